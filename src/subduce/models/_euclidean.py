"""The Euclidean network: from a graph and inputs that may break its symmetry to irreps at every site."""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from ase.data import atomic_numbers, chemical_symbols
from jaxtyping import Float
from pydantic import Field, field_validator
from torch import Tensor, nn

from ..config import Config
from ..data import Graph
from ..kernels import harmonics
from ..nn import ChannelwiseTensorProduct, Linear, RadialBasis
from ..o3 import Irrep, Irreps
from ._config import DTYPES, PotentialConfig
from ._trunk import Layer


class EuclideanNetworkConfig(Config):
    """Everything that rebuilds a Euclidean network, apart from its weights."""

    type_names: tuple[str, ...] = Field(description="element symbols; any will do for points without an element")
    output: str = Field("1x1o", description="irreps at every site")
    order: str = Field("", description="irreps of the inputs beside the element, which may break symmetry")
    products: bool = Field(True, description="features are multiplied with each other at each site, after each layer")
    r_max: float = Field(5.0, gt=0, description="cutoff, Å")
    num_layers: int = Field(2, ge=1, description="interactions; each reaches r_max farther")
    l_max: int = Field(2, ge=0, description="highest degree of features and edge harmonics")
    num_features: int = Field(8, ge=1, description="channels of each irrep, of both parities")
    num_bessels: int = Field(8, ge=1, description="radial functions")
    radial_basis: Literal["bessel", "gaussian", "bernstein"] = "gaussian"
    radial_mlp_depth: int = Field(1, ge=0, description="hidden layers of the radial network")
    radial_mlp_width: int = Field(32, ge=1, description="their width")
    avg_num_neighbors: float = Field(8.0, gt=0, description="edges per site; messages are scaled by its root")
    model_dtype: Literal["float32", "float64"] = Field("float64", description="precision of the network")
    seed: int = Field(0, description="of the initial weights")

    @field_validator("output", "order")
    @classmethod
    def _are_irreps(cls, given: str) -> str:
        return str(Irreps(given))

    def potential(self) -> PotentialConfig:
        """The same settings as a potential's, whose layers the network is made of."""
        own = self.model_dump(exclude={"output", "order", "products", "num_features", "num_layers"})
        both = Irreps([(self.num_features, Irrep(l, p)) for l in range(self.l_max + 1) for p in (1, -1)])
        hidden = (str(both),) * self.num_layers
        return PotentialConfig(**own, num_layers=self.num_layers, irreps=hidden, first_self_connection=True)


class _Squares(nn.Module):
    """Features times themselves: without it a layer is linear in inputs that reach no scalar, such as axial vectors."""

    def __init__(self, irreps: Irreps, *, backend: str, generator: torch.Generator, dtype: torch.dtype) -> None:
        super().__init__()
        few = Irreps([(1, ir) for _, ir in irreps])
        self.before = Linear(irreps, few, generator=generator, dtype=dtype)
        self.product = ChannelwiseTensorProduct(irreps, few, irreps, backend=backend, generator=generator, dtype=dtype)
        self.after = Linear(self.product.irreps_out, irreps, generator=generator, dtype=dtype)

    def forward(self, x: Float[Tensor, "nodes dim"]) -> Float[Tensor, "nodes dim"]:
        """The products, mixed to the irreps that went in."""
        return self.after(self.product(x, self.before(x)))


class EuclideanNetwork(nn.Module):
    """An E(3)-equivariant network on sites, whose input may break their symmetry (Smidt et al. 2021, arXiv:2007.02005).

    A pure function of a graph and of an order parameter, irreps `config.order` at every site that are zero where none
    are given: then the output has all the symmetry that the sites have, whatever the weights (Curie's principle).
    """

    def __init__(self, config: EuclideanNetworkConfig, *, backend: str = "auto") -> None:
        super().__init__()
        self.rows: Tensor
        self.config, self.cutoff = config, config.r_max
        self.order, self.irreps_out = Irreps(config.order), Irreps(config.output)
        inner, dtype = config.potential(), DTYPES[config.model_dtype]
        generator = torch.Generator().manual_seed(config.seed)
        # An unknown element points past the last row, so that it fails and is never taken for another.
        rows = torch.full((len(chemical_symbols),), len(config.type_names))
        rows[[atomic_numbers[name] for name in config.type_names]] = torch.arange(len(config.type_names))
        self.register_buffer("rows", rows, persistent=False)
        self.radial = RadialBasis(config.num_bessels, config.r_max, kind=config.radial_basis, dtype=dtype)
        num_species, self._harmonics = len(config.type_names), inner.harmonics()
        self.embedding = nn.Parameter(torch.randn(num_species, config.num_features, generator=generator, dtype=dtype))
        irreps, self.layers = Irreps([(config.num_features, "0e")]) + self.order, nn.ModuleList()
        self.products = nn.ModuleList()
        for wanted in inner.hidden(self.irreps_out):
            layer = Layer(
                inner, irreps, wanted, first=False, num_species=num_species, backend=backend, generator=generator
            )
            self.layers.append(layer)
            irreps = layer.irreps_out
            if config.products:
                self.products.append(_Squares(irreps, backend=backend, generator=generator, dtype=dtype))
        self.readout = Linear(irreps, self.irreps_out, num_species=num_species, generator=generator, dtype=dtype)

    def forward(
        self, graph: Graph, order: Float[Tensor, "atoms dim_order"] | None = None
    ) -> Float[Tensor, "atoms dim_out"]:
        """The output at every site."""
        species, dtype = self.rows[graph.atomic_numbers], self.embedding.dtype
        vectors = graph.edge_vectors().to(dtype)
        radial = self.radial(torch.linalg.vector_norm(vectors, dim=-1))
        edges = harmonics(self._harmonics, vectors)
        x = self.embedding[species]
        order = x.new_zeros(len(x), self.order.dim) if order is None else order.to(dtype)
        x = torch.cat([x, order], dim=1)
        for layer, product in itertools.zip_longest(self.layers, self.products):
            x = layer(x, species, edges, radial, graph.sender, graph.receiver, None, None)
            x = x if product is None else x + product(x)
        return self.readout(x, species)


@dataclass(frozen=True, eq=False)
class Modulation:
    """How few amplitudes make a field over the sites: field = `matrix` @ amplitudes.

    `names` say what each amplitude stands for: the whole structure, a site, or a wave.

    >>> Modulation.waves([[0, 0, 0], [1, 0, 0]], {"X": [0.5, 0, 0]}).matrix.tolist()
    [[1.0], [-1.0]]
    """

    names: tuple[str, ...]
    matrix: Float[np.ndarray, "sites places"]

    @classmethod
    def shared(cls, sites: int) -> "Modulation":
        """The same at every site."""
        return cls(("all",), np.ones((sites, 1)))

    @classmethod
    def on(cls, sites: int, chosen: Sequence[int]) -> "Modulation":
        """One for each of some sites, none at the others."""
        return cls(tuple(f"site {site}" for site in chosen), np.eye(sites)[:, list(chosen)])

    @classmethod
    def waves(
        cls,
        positions: Sequence[Sequence[int | float]] | np.ndarray,
        vectors: Mapping[str, Sequence[int | float]],
        chosen: Sequence[int] | None = None,
    ) -> "Modulation":
        """Waves cos 2πk·R over some sites or all, and sin 2πk·R where that is another; none at the other sites.

        Positions R and wave vectors k are in fractions of the same cell and of its reciprocal.
        """
        positions = np.asarray(positions, dtype=np.float64)
        here = np.zeros(len(positions))
        here[slice(None) if chosen is None else list(chosen)] = 1.0
        names, columns = [], []
        for name, vector in vectors.items():
            phase = 2 * np.pi * (positions @ np.asarray(vector, dtype=np.float64))
            for function, kind in ((np.cos, ""), (np.sin, " (sin)")):
                column = here * function(phase).round(12)  # so that zeros are zeros
                if column.any():
                    names.append(name + kind)
                    columns.append(column)
        return cls(tuple(names), np.stack(columns, axis=1))
