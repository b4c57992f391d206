"""`Graph`: a frozen batch of structures with the edges between their atoms, and the labels beside it."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Self

import torch
from jaxtyping import Float, Int
from torch import Tensor

from ..axes import AtomIndex, Cells, EdgeVectors, Periodic, Positions, Shifts


class _Tensors:
    """Moving and copying for frozen dataclasses of tensors."""

    def to(self, device: torch.device | str, *, non_blocking: bool = False) -> Self:
        """The same values on another device."""
        return self._each(lambda value: value.to(device, non_blocking=non_blocking))

    def pin_memory(self) -> Self:
        """The same values in page-locked memory, for a copy to a GPU that does not wait."""
        return self._each(lambda value: value.pin_memory())

    def replace(self, **changes: Tensor | Mapping[str, Tensor]) -> Self:
        """A copy with some tensors exchanged."""
        return dataclasses.replace(self, **changes)  # type: ignore[type-var]

    def _each(self, change: Callable[[Tensor], Tensor]) -> Self:
        values = {one.name: getattr(self, one.name) for one in dataclasses.fields(self)}  # type: ignore[arg-type]
        return self.replace(
            **{
                name: change(value) if isinstance(value, Tensor) else {key: change(one) for key, one in value.items()}
                for name, value in values.items()
            }
        )


@dataclass(frozen=True)
class Graph(_Tensors):
    """A batch of structures and the directed edges `sender → receiver` between their atoms.

    Geometry is float64 whatever the dtype of the network. Edges are sorted by receiver, and
    every edge joins two atoms of one structure (or of its periodic images).
    """

    atomic_numbers: Int[Tensor, " atoms"]
    positions: Positions
    cell: Cells
    pbc: Periodic
    structure: Int[Tensor, " atoms"]  # to which structure an atom belongs, ascending
    sender: AtomIndex
    receiver: AtomIndex
    shifts: Shifts
    charge: Float[Tensor, " structures"]  # net charge, e

    @property
    def num_atoms(self) -> int:
        """Number of atoms in the batch."""
        return self.positions.shape[0]

    @property
    def num_edges(self) -> int:
        """Number of directed edges in the batch."""
        return self.sender.shape[0]

    @property
    def num_structures(self) -> int:
        """Number of structures in the batch."""
        return self.cell.shape[0]

    def edge_vectors(self) -> EdgeVectors:
        """Vectors from each receiver to its sender, positions[s] + shifts @ cell − positions[r], in Å."""
        return self.positions[self.sender] - self.positions[self.receiver] + self.translations()

    def translations(self) -> EdgeVectors:
        """What periodicity adds to the vector of each edge, shifts @ cell, in Å."""
        return torch.einsum("ea,eab->eb", self.shifts, self.cell[self.structure[self.receiver]])

    def reverse_edges(self) -> AtomIndex | None:
        """For each edge the one that runs the other way; None where some edge has none.

        A matter of whole numbers: the reverse joins the same atoms by the opposite shift.
        """
        atoms, reach = max(self.num_atoms, 1), int(self.shifts.abs().max()) if self.num_edges else 0
        if atoms**2 * (2 * reach + 1) ** 3 > 2**62:
            return None
        there, back = (
            _mixed([*ends, *(reach + sign * self.shifts).long().unbind(1)], [atoms, *[2 * reach + 1] * 3])
            for ends, sign in (((self.receiver, self.sender), 1), ((self.sender, self.receiver), -1))
        )
        from_there, from_back = there.argsort(stable=True), back.argsort(stable=True)
        if not torch.equal(there[from_there], back[from_back]):
            return None
        return torch.empty_like(from_there).index_copy_(0, from_there, from_back)

    def sum_atoms(self, values: Tensor) -> Tensor:
        """Sums over the atoms of each structure: `[atoms, …]` to `[structures, …]`."""
        total = values.new_zeros(self.num_structures, *values.shape[1:])
        return total.index_add(0, self.structure, values)

    def atoms_per_structure(self) -> Int[Tensor, " structures"]:
        """Number of atoms in each structure."""
        return torch.bincount(self.structure, minlength=self.num_structures)

    @staticmethod
    def batch(graphs: Sequence["Graph"]) -> "Graph":
        """Several graphs as one, without edges between them."""
        atoms = torch.tensor([0, *(g.num_atoms for g in graphs)]).cumsum(0).tolist()
        structures = torch.tensor([0, *(g.num_structures for g in graphs)]).cumsum(0).tolist()
        return Graph(
            atomic_numbers=torch.cat([g.atomic_numbers for g in graphs]),
            positions=torch.cat([g.positions for g in graphs]),
            cell=torch.cat([g.cell for g in graphs]),
            pbc=torch.cat([g.pbc for g in graphs]),
            structure=torch.cat([g.structure + first for g, first in zip(graphs, structures, strict=False)]),
            sender=torch.cat([g.sender + first for g, first in zip(graphs, atoms, strict=False)]),
            receiver=torch.cat([g.receiver + first for g, first in zip(graphs, atoms, strict=False)]),
            shifts=torch.cat([g.shifts for g in graphs]),
            charge=torch.cat([g.charge for g in graphs]),
        )


def _mixed(digits: list[Tensor], bases: list[int]) -> Tensor:
    """One whole number for several, each but the first smaller than its base."""
    number = digits[0]
    for digit, base in zip(digits[1:], bases, strict=True):
        number = number * base + digit
    return number


torch.export.register_dataclass(Graph, serialized_type_name="subduce.Graph")


@dataclass(frozen=True)
class Labels(_Tensors):
    """What is known about each structure of a batch. NaN marks a label that a structure lacks."""

    energy: Float[Tensor, " structures"]  # eV
    forces: Float[Tensor, "atoms 3"]  # eV/Å
    stress: Float[Tensor, "structures 3 3"]  # eV/Å³, positive in tension
    energy_weight: Float[Tensor, " structures"]
    forces_weight: Float[Tensor, " structures"]
    stress_weight: Float[Tensor, " structures"]
    properties_weight: Float[Tensor, " structures"]
    index: Int[Tensor, " structures"]  # row in the data set that the structure came from
    properties: Mapping[str, Tensor] = field(default_factory=dict)  # by name, [structures or atoms, *shape]

    @staticmethod
    def batch(labels: Sequence["Labels"]) -> "Labels":
        """The labels of several structures as one."""
        names = [one.name for one in dataclasses.fields(Labels) if one.name != "properties"]
        return Labels(
            **{name: torch.cat([getattr(one, name) for one in labels]) for name in names},
            properties={name: torch.cat([one.properties[name] for one in labels]) for name in labels[0].properties},
        )

    def unlabelled(self) -> "Labels":
        """The same rows with every label missing."""
        nothing = {name: torch.full_like(getattr(self, name), torch.nan) for name in ("energy", "forces", "stress")}
        properties = {name: torch.full_like(value, torch.nan) for name, value in self.properties.items()}
        return self.replace(**nothing, properties=properties)


@dataclass(frozen=True)
class Batch:
    """Structures to predict and the labels to compare with."""

    graph: Graph
    labels: Labels

    def to(self, device: torch.device | str, *, non_blocking: bool = False) -> "Batch":
        """The same values on another device."""
        return Batch(
            self.graph.to(device, non_blocking=non_blocking), self.labels.to(device, non_blocking=non_blocking)
        )

    def pin_memory(self) -> "Batch":
        """The same values in page-locked memory."""
        return Batch(self.graph.pin_memory(), self.labels.pin_memory())

    @staticmethod
    def collate(batches: Sequence["Batch"]) -> "Batch":
        """Several batches as one; the `collate_fn` of a data loader."""
        return Batch(Graph.batch([b.graph for b in batches]), Labels.batch([b.labels for b in batches]))
