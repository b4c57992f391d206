"""The trunk: from a graph to equivariant features of each atom, which readouts turn into energies and properties."""

import torch
from ase.data import atomic_numbers, chemical_symbols
from jaxtyping import Float, Int
from torch import Tensor, nn

from ..axes import AtomIndex
from ..data import Graph
from ..kernels import harmonics
from ..nn import Convolution, EquivariantNorm, Gate, Lengths, Linear, OnKnots, RadialBasis, reachable
from ..o3 import Irreps
from ._config import DTYPES, PotentialConfig


class Layer(nn.Module):
    """One interaction: convolution over neighbours plus self-connection, then the gate."""

    def __init__(
        self,
        config: PotentialConfig,
        irreps_in: Irreps,
        irreps_out: Irreps,
        *,
        first: bool,
        num_species: int,
        backend: str,
        generator: torch.Generator,
    ) -> None:
        super().__init__()
        dtype, constants = DTYPES[config.model_dtype], config.activation_constants or {}
        self.gate = Gate(
            reachable(irreps_in, config.harmonics(), irreps_out),
            even=config.activation,
            odd=config.odd_activation,
            gate=config.gate_activation,
            constants=constants,
        )
        self.norm, self.norm_place = None, config.norm_place
        if config.norm != "none":
            normed = irreps_in if config.norm_place == "layer" else self.gate.irreps_in
            self.norm = EquivariantNorm(normed, kind=config.norm, eps=config.norm_eps, dtype=dtype)
        self.convolution = Convolution(
            irreps_in,
            config.harmonics(),
            self.gate.irreps_in,
            num_radial=config.num_bessels,
            radial_mlp_depth=config.radial_mlp_depth,
            radial_mlp_width=config.radial_mlp_width,
            radial_activation=config.radial_activation,
            radial_bias=config.radial_bias,
            radial_constant=config.radial_constant,
            avg_num_neighbors=config.avg_num_neighbors or 1.0,
            backend=backend,
            generator=generator,
            dtype=dtype,
        )
        self.self_connection = None
        if config.self_connection != "none" and (config.first_self_connection or not first):
            self.self_connection = Linear(
                irreps_in,
                self.gate.irreps_in,
                num_species=num_species if config.self_connection == "species" else None,
                generator=generator,
                dtype=dtype,
            )
        self.irreps_out = self.gate.irreps_out

    def forward(
        self,
        x: Float[Tensor, "atoms dim_in"],
        species: Int[Tensor, " atoms"],
        harmonics: Float[Tensor, "edges dim_edge"],
        radial: Float[Tensor, "lengths functions"] | OnKnots,
        sender: AtomIndex,
        receiver: AtomIndex,
        envelope: Float[Tensor, " lengths"] | None,
        row: Int[Tensor, " edges"] | None,
    ) -> Float[Tensor, "atoms dim_out"]:
        """The features of the next layer."""
        if self.norm is not None and self.norm_place == "layer":
            x = self.norm(x)
        message = self.convolution(x, harmonics, radial, sender, receiver, envelope, row)
        if self.self_connection is not None:
            kinds = species if self.self_connection.num_species is not None else None
            message = message + self.self_connection(x, kinds)
        if self.norm is not None and self.norm_place == "gate":
            message = self.norm(message)
        return self.gate(message)


class Trunk(nn.Module):
    """The layers that a potential and a property model share; `read` says which irreps their last one keeps.

    Raises `ValueError` where the config lacks what only data can tell (elements, neighbours).
    """

    def __init__(self, config: PotentialConfig, read: Irreps, *, backend: str, generator: torch.Generator) -> None:
        super().__init__()
        self.rows: Tensor
        if config.type_names is None or config.avg_num_neighbors is None:
            raise ValueError("the config lacks type_names or avg_num_neighbors; training takes them from the data")
        self.backend, self.cutoff = backend, config.r_max
        self.knots: int | None = None  # in training, intervals of splines in place of the networks at each length
        self.elements = tuple(atomic_numbers[name] for name in config.type_names)
        # An unknown element points past the last row, so that it fails and is never taken for another.
        rows = torch.full((len(chemical_symbols),), len(self.elements))
        rows[list(self.elements)] = torch.arange(len(self.elements))
        self.register_buffer("rows", rows, persistent=False)
        dtype, num_species = DTYPES[config.model_dtype], len(self.elements)
        self.radial: RadialBasis | Lengths = RadialBasis(
            config.num_bessels,
            config.r_max,
            kind=config.radial_basis,
            cutoff=config.cutoff_function,
            p=config.polynomial_cutoff_p,
            onset=config.cutoff_onset,
            trainable=config.bessel_trainable,
            amplitude=config.bessel_amplitude,
            dtype=dtype,
        )
        self._harmonics, irreps, self._enveloped = config.harmonics(), config.embedding(), config.radial_bias
        self.embedding = nn.Parameter(torch.randn(num_species, irreps.dim, generator=generator, dtype=dtype))
        self.layers = nn.ModuleList()
        for i, wanted in enumerate(config.hidden(read)):
            layer = Layer(
                config,
                irreps,
                wanted,
                first=i == 0,
                num_species=num_species,
                backend=backend,
                generator=generator,
            )
            self.layers.append(layer)
            irreps = layer.irreps_out
        self.irreps_out = irreps

    @property
    def dtype(self) -> torch.dtype:
        """The dtype that the network computes in."""
        return self.embedding.dtype

    def features(self, graph: Graph, species: Int[Tensor, " atoms"]) -> Float[Tensor, "atoms dim"]:
        """What the last layer says of each atom. Edges beyond the cutoff count for nothing."""
        vectors = graph.edge_vectors()
        lengths = torch.linalg.vector_norm(vectors, dim=-1).to(self.dtype)
        edges = harmonics(self._harmonics, vectors.to(self.dtype))
        kept, row = _distinct_lengths(graph)
        lengths = lengths if kept is None else lengths[kept]
        if self.knots is not None and self.training and isinstance(self.radial, RadialBasis):
            radial = OnKnots(self.radial, lengths, self.knots, enveloped=self._enveloped)
        else:
            radial = self.radial(lengths)
        # With biases the network does not vanish at the cutoff by itself; a table has the cutoff in it.
        envelope = None
        if self._enveloped and isinstance(self.radial, RadialBasis) and not isinstance(radial, OnKnots):
            envelope = self.radial.envelope(lengths)
        x = self.embedding[species]
        for layer in self.layers:
            x = layer(x, species, edges, radial, graph.sender, graph.receiver, envelope, row)
        return x


def _distinct_lengths(graph: Graph) -> tuple[Tensor | None, Tensor | None]:
    """Edges whose lengths stand for all, and which one stands for each: an edge is as long as its reverse.

    None, for all, on a GPU, where finding the reverses would make the host wait, and when compiled, since how many
    there are depends on the data.
    """
    if graph.sender.device.type != "cpu" or torch.compiler.is_compiling():
        return None, None
    reverse = graph.reverse_edges()
    if reverse is None:
        return None, None
    own = torch.arange(graph.num_edges)
    is_first = own <= reverse
    place = is_first.cumsum(0) - 1
    return is_first.nonzero().squeeze(1), place[torch.minimum(own, reverse)]
