"""NequIP's potential: from a graph to the energy of each atom, and nothing else."""

from typing import Literal

import torch
from ase.data import atomic_numbers, chemical_symbols
from jaxtyping import Float, Int
from pydantic import Field, field_validator, model_validator
from torch import Tensor, nn

from ..axes import AtomEnergies, AtomIndex
from ..config import Config, InputError
from ..data import Graph
from ..kernels import harmonics
from ..nn import MLP, Convolution, EquivariantNorm, Gate, Lengths, Linear, OnKnots, RadialBasis, reachable
from ..o3 import Irrep, Irreps
from ._repulsion import ZBL

DTYPES = {"float32": torch.float32, "float64": torch.float64}
Activation = Literal["silu", "gelu", "relu", "softplus", "sigmoid", "tanh", "abs", "mish", "identity"]


class PotentialConfig(Config):
    """Everything that rebuilds a potential, apart from its weights.

    The first block is what one chooses; the second comes from the data, and training fills it in;
    the third makes the architectures of other programs, and is best left alone otherwise.
    """

    r_max: float = Field(5.0, gt=0, description="cutoff, Å")
    num_layers: int = Field(4, ge=1, description="interactions; each reaches r_max farther")
    l_max: int = Field(2, ge=0, description="highest degree of features and edge harmonics")
    parity: bool = Field(True, description="features of both parities; without, only those of polar kind, (−1)^l")
    num_features: int | tuple[int, ...] = Field(32, description="channels of each irrep; or one number for each degree")
    num_bessels: int = Field(8, ge=1, description="radial functions")
    radial_mlp_depth: int = Field(1, ge=0, description="hidden layers of the radial network")
    radial_mlp_width: int = Field(64, ge=1, description="their width")
    polynomial_cutoff_p: float = Field(6.0, ge=2, description="power of the cutoff; smaller lets go earlier")
    zbl: bool = Field(False, description="add the repulsion of nuclei at short range")
    model_dtype: Literal["float32", "float64"] = Field("float32", description="precision of the network")
    seed: int = Field(0, description="of the initial weights")

    type_names: tuple[str, ...] | None = Field(None, description="element symbols")
    avg_num_neighbors: float | None = Field(None, gt=0, description="edges per atom; messages are scaled by its root")
    per_type_energy_shifts: dict[str, float] | None = Field(None, description="energy of an isolated atom, eV")
    per_type_energy_scales: dict[str, float] | None = Field(None, description="unit of the network's output, eV")

    irreps: tuple[str, ...] | None = Field(
        None, description="irreps that leave each layer, in place of l_max and parity"
    )
    edge_irreps: str | None = Field(None, description="irreps of the edge harmonics")
    type_embed_num_features: int | None = Field(None, ge=1, description="scalars that stand for an element at first")
    radial_basis: Literal["bessel", "gaussian", "bernstein"] = "bessel"
    bessel_trainable: bool = False
    bessel_amplitude: float | None = Field(None, description="factor of the Bessel functions; 2 / r_max")
    cutoff_function: Literal["polynomial", "xplor", "cosine"] = "polynomial"
    cutoff_onset: float = Field(0.9, gt=0, lt=1, description="where XPLOR's switch begins, in units of r_max")
    radial_activation: Activation = "silu"
    radial_constant: float | None = Field(None, description="factor of that activation; that of unit second moment")
    radial_bias: bool = Field(False, description="biases in the radial network; the cutoff then multiplies its output")
    self_connection: Literal["species", "linear", "none"] = "species"
    first_self_connection: bool = Field(
        False, description="in the first layer too; without, an isolated atom has exactly its shift"
    )
    norm: Literal["none", "rms", "layer", "joint"] = Field("none", description="norm of the features")
    norm_place: Literal["layer", "gate"] = Field("layer", description="of those that enter a layer, or its gate")
    norm_eps: float = Field(1e-5, gt=0, description="added to the mean square")
    activation: Activation = Field("silu", description="of even scalars")
    odd_activation: Literal["tanh", "identity"] = Field("tanh", description="of odd scalars")
    gate_activation: Activation = "silu"
    activation_constants: dict[str, float] | None = Field(
        None, description="factors of the activations; those of unit second moment"
    )
    readout_widths: tuple[int, ...] = Field((), description="hidden scalars between the last layer and the energy")
    readout_activation: Activation = "silu"

    @model_validator(mode="after")
    def _fits_together(self) -> "PotentialConfig":
        if isinstance(self.num_features, tuple) and len(self.num_features) != self.l_max + 1:
            raise ValueError(
                f"num_features: expected one number for each degree 0 … {self.l_max}, got {len(self.num_features)}"
            )
        if self.irreps is not None and len(self.irreps) != self.num_layers:
            raise ValueError(f"irreps: expected one entry for each of {self.num_layers} layers, got {len(self.irreps)}")
        return self

    @field_validator("num_features")
    @classmethod
    def _are_positive(cls, given: int | tuple[int, ...]) -> int | tuple[int, ...]:
        if min(given if isinstance(given, tuple) else (given,)) < 1:
            raise ValueError("expected 1 channel or more")
        return given

    @field_validator("type_names")
    @classmethod
    def _are_elements(cls, names: tuple[str, ...] | None) -> tuple[str, ...] | None:
        unknown = [name for name in names or () if name not in atomic_numbers or name == "X"]
        if unknown:
            raise ValueError(f"{unknown[0]} is not the symbol of an element")
        if names is not None and len(set(names)) != len(names):
            raise ValueError("an element stands there twice")
        return names

    @field_validator("irreps", "edge_irreps")
    @classmethod
    def _are_irreps(cls, given: tuple[str, ...] | str | None) -> tuple[str, ...] | str | None:
        for text in (given,) if isinstance(given, str) else given or ():
            Irreps(text)
        return given

    def harmonics(self) -> Irreps:
        """The irreps of the edge harmonics."""
        return Irreps(self.edge_irreps) if self.edge_irreps else Irreps.spherical_harmonics(self.l_max)

    def hidden(self) -> tuple[Irreps, ...]:
        """The irreps that should leave each layer; the last keeps scalars only, since the energy is one."""
        if self.irreps is not None:
            return tuple(Irreps(text) for text in self.irreps)
        muls = self.num_features if isinstance(self.num_features, tuple) else (self.num_features,) * (self.l_max + 1)
        parities = (-1, 1) if self.parity else (None,)
        wanted = Irreps([(mul, Irrep(l, p or (-1) ** l)) for l, mul in enumerate(muls) for p in parities])
        return (wanted,) * (self.num_layers - 1) + (Irreps([(muls[0], "0e")]),)

    def embedding(self) -> Irreps:
        """The scalars that stand for an element before the first layer."""
        first = self.num_features[0] if isinstance(self.num_features, tuple) else self.num_features
        return Irreps([(self.type_embed_num_features or first, "0e")])


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


class Potential(nn.Module):
    """An E(3)-equivariant interatomic potential (Batzner et al. 2022, doi:10.1038/s41467-022-29939-5).

    A pure function from a graph to the energy of each atom: forces and stress are taken around it,
    by `forces_and_stress`. Geometry and sums are float64, the network is `config.model_dtype`.

    Raises `ValueError` where the config lacks what only data can tell (elements, neighbours).
    """

    def __init__(self, config: PotentialConfig, *, backend: str = "auto") -> None:
        super().__init__()
        self.rows: Tensor
        self.shifts: Tensor
        self.scales: Tensor
        if config.type_names is None or config.avg_num_neighbors is None:
            raise ValueError("the config lacks type_names or avg_num_neighbors; training takes them from the data")
        self.config, self.backend = config, backend
        self.cutoff = config.r_max
        self.knots: int | None = None  # in training, intervals of splines in place of the networks at each length
        self.elements = tuple(atomic_numbers[name] for name in config.type_names)
        self._register_species(config)
        dtype, num_species = DTYPES[config.model_dtype], len(self.elements)
        generator = torch.Generator().manual_seed(config.seed)
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
        self._harmonics, irreps = config.harmonics(), config.embedding()
        self.embedding = nn.Parameter(torch.randn(num_species, irreps.dim, generator=generator, dtype=dtype))
        self.layers = nn.ModuleList()
        for i, wanted in enumerate(config.hidden()):
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
        self._scalars = irreps.count("0e")
        self.scalar_place = next(
            place for (_, ir), place in zip(irreps, irreps.slices(), strict=True) if ir.is_scalar()
        )
        self.readout = MLP(
            [self._scalars, *config.readout_widths, 1],
            activation=config.readout_activation,
            constant=(config.activation_constants or {}).get(config.readout_activation),
            generator=generator,
            dtype=dtype,
        )
        self.repulsion = ZBL(config.r_max, elements=self.elements) if config.zbl else None

    def _register_species(self, config: PotentialConfig) -> None:
        names = config.type_names or ()
        # An unknown element points past the last row, so that it fails and is never taken for another.
        rows = torch.full((len(chemical_symbols),), len(names))
        rows[list(self.elements)] = torch.arange(len(names))
        shifts, scales = config.per_type_energy_shifts or {}, config.per_type_energy_scales or {}
        self.register_buffer("rows", rows, persistent=False)
        for name, values, default in (("shifts", shifts, 0.0), ("scales", scales, 1.0)):
            numbers = torch.tensor([values.get(symbol, default) for symbol in names], dtype=torch.float64)
            self.register_buffer(name, numbers, persistent=False)

    @property
    def dtype(self) -> torch.dtype:
        """The dtype that the network computes in."""
        return self.embedding.dtype

    def forward(self, graph: Graph) -> AtomEnergies:
        """The energy of each atom, eV, float64. Edges beyond the cutoff count for nothing."""
        species = self.rows[graph.atomic_numbers]
        vectors = graph.edge_vectors()
        lengths = torch.linalg.vector_norm(vectors, dim=-1).to(self.dtype)
        edges = harmonics(self._harmonics, vectors.to(self.dtype))
        kept, row = _distinct_lengths(graph)
        lengths = lengths if kept is None else lengths[kept]
        if self.knots is not None and self.training and isinstance(self.radial, RadialBasis):
            radial = OnKnots(self.radial, lengths, self.knots, enveloped=self.config.radial_bias)
        else:
            radial = self.radial(lengths)
        # With biases the network does not vanish at the cutoff by itself; a table has the cutoff in it.
        envelope = None
        if self.config.radial_bias and isinstance(self.radial, RadialBasis) and not isinstance(radial, OnKnots):
            envelope = self.radial.envelope(lengths)
        x = self.embedding[species]
        for layer in self.layers:
            x = layer(x, species, edges, radial, graph.sender, graph.receiver, envelope, row)
        output = self.readout(x[:, self.scalar_place]).squeeze(-1).to(torch.float64)
        energies = self.shifts[species] + self.scales[species] * output
        return energies if self.repulsion is None else energies + self.repulsion(graph)

    def with_dtype(self, dtype: Literal["float32", "float64"] | str) -> "Potential":
        """The same potential computing in another dtype."""
        if dtype not in DTYPES:
            raise InputError(f"dtype: expected float32 or float64, got {dtype!r}")
        other = Potential(self.config.replace(model_dtype=dtype), backend=self.backend)
        other.load_state_dict(self.state_dict())
        return other.to(self.embedding.device).train(self.training)


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
