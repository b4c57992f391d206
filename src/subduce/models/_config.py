"""Settings of the network of atoms and their neighbours that every model of structures is made of."""

from typing import Literal

import torch
from ase.data import atomic_numbers
from pydantic import Field, field_validator, model_validator

from ..config import Config
from ..o3 import Irrep, Irreps

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

    def hidden(self, read: Irreps) -> tuple[Irreps, ...]:
        """The irreps that should leave each layer; the last keeps what is `read` from it, scalars for an energy."""
        if self.irreps is not None:
            return tuple(Irreps(text) for text in self.irreps)
        muls = self.num_features if isinstance(self.num_features, tuple) else (self.num_features,) * (self.l_max + 1)
        parities = (-1, 1) if self.parity else (None,)
        wanted = Irreps([(mul, Irrep(l, p or (-1) ** l)) for l, mul in enumerate(muls) for p in parities])
        beyond = Irreps([(muls[-1], ir) for _, ir in read if ir not in wanted])
        return (wanted,) * (self.num_layers - 1) + (wanted.keep(lambda ir: ir in read) + beyond,)

    def embedding(self) -> Irreps:
        """The scalars that stand for an element before the first layer."""
        first = self.num_features[0] if isinstance(self.num_features, tuple) else self.num_features
        return Irreps([(self.type_embed_num_features or first, "0e")])
