"""`PropertyModel`: from a graph to properties of any irreps, through the same layers as a potential."""

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn

from ..config import Config, InputError
from ..data import Graph
from ..o3 import Irreps
from ._config import DTYPES, PotentialConfig
from ._head import Head
from ._target import TargetConfig
from ._trunk import Trunk

_RESERVED = ("energy", "total_energy", "per_atom_energy", "forces", "stress")


class PropertyConfig(Config):
    """Everything that rebuilds a property model, apart from its weights: the network, and a head for each target."""

    model: PotentialConfig = Field(description="the network of atoms; what it says of energies does not count")
    targets: dict[str, TargetConfig] = Field(min_length=1, description="what to predict, by name")
    num_atoms: float = Field(1.0, gt=0, description="how many atoms a structure usually has")

    @model_validator(mode="after")
    def _fits_together(self) -> "PropertyConfig":
        if self.model.zbl:
            raise ValueError("model.zbl is a part of an energy; leave it out for properties")
        for name in self.targets:
            if not name or "." in name:
                raise ValueError(f"a target cannot be called {name!r}; a name has no dot")
            if name in _RESERVED:
                raise ValueError(
                    f"{name} is predicted by a potential; train one, or give the target another name and keys: [{name}]"
                )
        return self


class PropertyModel(Trunk):
    """Properties of structures and atoms, each a head on the features of a network like `Potential`'s.

    A pure function from a graph to values by name, `[structures or atoms, *shape]` in each target's unit, float64.

    Raises `ValueError` where the config lacks what only data can tell, and for a target that the features cannot make.
    """

    def __init__(self, config: PropertyConfig, *, backend: str = "auto") -> None:
        generator = torch.Generator().manual_seed(config.model.seed)
        read = Irreps("0e") + sum((target.parts for target in config.targets.values()), Irreps())
        super().__init__(config.model, read, backend=backend, generator=generator)
        self.config, self.targets = config, config.targets
        self.heads = nn.ModuleDict()
        for name, target in config.targets.items():
            try:
                self.heads[name] = Head(
                    target,
                    self.irreps_out,
                    config.model.type_names or (),
                    widths=config.model.readout_widths,
                    num_atoms=config.num_atoms,
                    generator=generator,
                    dtype=DTYPES[config.model.model_dtype],
                )
            except ValueError as error:
                raise ValueError(f"targets.{name}: {error}") from None

    def forward(self, graph: Graph) -> dict[str, Tensor]:
        """Every property, by name. Raises `InputError` for the dipole of a periodic structure, which has none."""
        if any(target.charges for target in self.targets.values()) and graph.pbc.any():
            raise InputError("the dipole of a periodic structure is not defined; leave charges out of the target")
        species = self.rows[graph.atomic_numbers]
        x = self.features(graph, species)
        return {name: head(x, species, graph) for name, head in self.heads.items()}

    def with_dtype(self, dtype: str) -> "PropertyModel":
        """The same model computing in another dtype."""
        if dtype not in DTYPES:
            raise InputError(f"dtype: expected float32 or float64, got {dtype!r}")
        config = self.config.replace(model=self.config.model.replace(model_dtype=dtype))
        other = PropertyModel(config, backend=self.backend)
        other.load_state_dict(self.state_dict())
        return other.to(self.embedding.device).train(self.training)
