"""NequIP's potential: from a graph to the energy of each atom, and nothing else."""

from typing import Literal

import torch
from torch import Tensor

from ..axes import AtomEnergies
from ..config import InputError
from ..data import Graph
from ..nn import MLP
from ..o3 import Irreps
from ._config import DTYPES, PotentialConfig
from ._repulsion import ZBL
from ._trunk import Trunk


class Potential(Trunk):
    """An E(3)-equivariant interatomic potential (Batzner et al. 2022, doi:10.1038/s41467-022-29939-5).

    A pure function from a graph to the energy of each atom: forces and stress are taken around it,
    by `forces_and_stress`. Geometry and sums are float64, the network is `config.model_dtype`.

    Raises `ValueError` where the config lacks what only data can tell (elements, neighbours).
    """

    def __init__(self, config: PotentialConfig, *, backend: str = "auto") -> None:
        generator = torch.Generator().manual_seed(config.seed)
        super().__init__(config, Irreps("0e"), backend=backend, generator=generator)
        self.shifts: Tensor
        self.scales: Tensor
        self.config = config
        shifts, scales = config.per_type_energy_shifts or {}, config.per_type_energy_scales or {}
        for name, values, default in (("shifts", shifts, 0.0), ("scales", scales, 1.0)):
            numbers = [values.get(symbol, default) for symbol in config.type_names or ()]
            self.register_buffer(name, torch.tensor(numbers, dtype=torch.float64), persistent=False)
        self.scalar_place = next(
            place for (_, ir), place in zip(self.irreps_out, self.irreps_out.slices(), strict=True) if ir.is_scalar()
        )
        self.readout = MLP(
            [self.irreps_out.count("0e"), *config.readout_widths, 1],
            activation=config.readout_activation,
            constant=(config.activation_constants or {}).get(config.readout_activation),
            generator=generator,
            dtype=DTYPES[config.model_dtype],
        )
        self.repulsion = ZBL(config.r_max, elements=self.elements) if config.zbl else None

    def forward(self, graph: Graph) -> AtomEnergies:
        """The energy of each atom, eV, float64. Edges beyond the cutoff count for nothing."""
        species = self.rows[graph.atomic_numbers]
        x = self.features(graph, species)
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
