"""A head: from the features of atoms to one property, of each atom or pooled over a structure."""

from collections.abc import Sequence

import torch
from ase.data import atomic_masses
from jaxtyping import Float, Int
from torch import Tensor, nn

from ..data import Graph, unit_factor
from ..nn import Gate, Linear
from ..o3 import CartesianTensor, Irreps
from ._target import CHARGE_LENGTH, TargetConfig


class Head(nn.Module):
    """The read-out of one target: its value for an atom, and how a structure's follows from those of its atoms.

    An atom's value is what its element adds (`shifts`) plus the network's output in units of `scale`; a sum's over
    the root of `num_atoms`, how many atoms a structure usually has. A dipole has latent charges too, which add up to
    the net charge; its origin, which matters for charged molecules alone, is the centre of mass.

    Raises `ValueError` where the features cannot make the target, which would be zero whatever the weights.
    """

    def __init__(
        self,
        target: TargetConfig,
        irreps_in: Irreps,
        elements: Sequence[str],
        *,
        widths: Sequence[int],
        num_atoms: float,
        generator: torch.Generator,
        dtype: torch.dtype,
    ) -> None:
        super().__init__()
        lacking = [str(ir) for _, ir in target.parts if ir not in irreps_in]
        if lacking:
            raise ValueError(
                f"no feature is {' or '.join(lacking)}, so that part of {target.irreps} is zero whatever the weights; "
                "raise l_max or num_layers, or set parity to true"
            )
        self.target, self.irreps = target, target.parts
        options = {"widths": widths, "generator": generator, "dtype": dtype}
        self.values = ReadOut(irreps_in, self.irreps, **options)
        self.charges = ReadOut(irreps_in, Irreps("0e"), **options) if target.charges else None
        attends = target.pool == "attention" and not target.rows_of_atoms
        self.attention = ReadOut(irreps_in, Irreps("0e"), **options) if attends else None
        self.tensor = CartesianTensor(target.symmetry) if target.symmetry else None
        adds_up = target.pool == "sum" and not target.rows_of_atoms
        self.scale = (target.scale or 1.0) / (num_atoms**0.5 if adds_up else 1.0)
        self.charge_unit = unit_factor(CHARGE_LENGTH, target.unit or CHARGE_LENGTH) if target.charges else 1.0
        self.shifts: Tensor
        self.register_buffer("shifts", _shifts(target, elements), persistent=False)

    def forward(
        self, x: Float[Tensor, "atoms dim"], species: Int[Tensor, " atoms"], graph: Graph
    ) -> Float[Tensor, "rows ..."]:
        """The property in its unit, `[structures or atoms, *shape]`, float64."""
        values = self.shifts[species] + self.scale * self.values(x).to(torch.float64)
        if self.charges is not None:
            values = values + self._charges(x, graph)[:, None] * _from_centre_of_mass(graph)
        if not self.target.rows_of_atoms:
            values = self._pooled(values, x, graph)
        if self.tensor is not None:
            return self.tensor.from_irreps(values)
        if self.target.norm:
            return torch.linalg.vector_norm(values, dim=-1)
        return self.irreps.to_e3nn(values).reshape(-1, *self.target.shape)

    def _pooled(self, values: Tensor, x: Tensor, graph: Graph) -> Tensor:
        if self.attention is not None:
            values = values * _shares(self.attention(x).squeeze(-1).to(torch.float64), graph)[:, None]
        total = graph.sum_atoms(values)
        return total / graph.atoms_per_structure()[:, None] if self.target.pool == "mean" else total

    def _charges(self, x: Tensor, graph: Graph) -> Float[Tensor, " atoms"]:
        """Charges of atoms, in the target's unit over Å, that add up to the net charge of each structure."""
        assert self.charges is not None
        given = self.scale * self.charges(x).squeeze(-1).to(torch.float64)
        excess = graph.sum_atoms(given) - self.charge_unit * graph.charge
        return given - (excess / graph.atoms_per_structure())[graph.structure]


class ReadOut(nn.Module):
    """Linear from irreps to irreps, with gated layers of some widths before."""

    def __init__(
        self,
        irreps_in: Irreps,
        irreps_out: Irreps,
        *,
        widths: Sequence[int],
        generator: torch.Generator,
        dtype: torch.dtype,
    ) -> None:
        super().__init__()
        self.steps = nn.Sequential()
        for width in widths:
            kinds = dict.fromkeys(ir for _, ir in Irreps("0e") + irreps_out)
            gate = Gate(Irreps([(width, ir) for ir in kinds]))
            self.steps.append(Linear(irreps_in, gate.irreps_in, generator=generator, dtype=dtype)).append(gate)
            irreps_in = gate.irreps_out
        self.steps.append(Linear(irreps_in, irreps_out, generator=generator, dtype=dtype))

    def forward(self, x: Float[Tensor, "atoms dim_in"]) -> Float[Tensor, "atoms dim_out"]:
        """The values of each atom."""
        return self.steps(x)


def _shifts(target: TargetConfig, elements: Sequence[str]) -> Float[Tensor, "species dim"]:
    """What each element adds to each component; to those that turn, nothing."""
    shifts = torch.zeros(len(elements), target.parts.dim, dtype=torch.float64)
    if target.shifts is not None:
        places = [place for (_, ir), place in zip(target.parts, target.parts.slices(), strict=True) if ir.is_scalar()]
        columns = [column for place in places for column in range(place.start, place.stop)]
        shifts[:, columns] = torch.tensor([target.shifts[name] for name in elements], dtype=torch.float64)
    return shifts


def _shares(scores: Float[Tensor, " atoms"], graph: Graph) -> Float[Tensor, " atoms"]:
    """Positive shares that add up to one in each structure."""
    most = scores.new_full((graph.num_structures,), -torch.inf)
    most = most.scatter_reduce(0, graph.structure, scores.detach(), "amax")
    weights = torch.exp(scores - most[graph.structure])
    return weights / graph.sum_atoms(weights)[graph.structure]


def _from_centre_of_mass(graph: Graph) -> Float[Tensor, "atoms 3"]:
    masses = torch.as_tensor(atomic_masses, device=graph.positions.device)[graph.atomic_numbers][:, None]
    centre = graph.sum_atoms(masses * graph.positions) / graph.sum_atoms(masses)
    return graph.positions - centre[graph.structure]
