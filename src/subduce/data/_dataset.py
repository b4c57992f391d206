"""`GraphDataset`: structures with their edges, ready for a loader, larger than memory if need be."""

import copy
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Self

import numpy as np
import torch
from torch.utils.data import Dataset

from ..config import InputError
from ._graph import Batch, Graph, Labels
from ._neighbors import graph_of
from ._packed import LABELS, Progress, edges_of, pack
from ._readers import Structures
from ._structures import Structure


class GraphDataset(Dataset[Batch]):
    """A map-style set: `dataset[i]` is structure i as a `Batch` of one, `dataset.batch([i, j])` a batch of two.

    Edges up to `cutoff` (Å) are searched once. With `cache`, a folder, everything is packed there and
    memory-mapped, so that memory does not grow with the number of structures, and the next run finds it
    again as long as files and settings are the same; without it the packed arrays stay in memory.
    `workers` processes read files and search edges. `progress(done, total)` is called on the way.

    Raises `InputError` for a structure that cannot be used and a cache that cannot be written.
    """

    def __init__(
        self,
        structures: Sequence[Structure],
        cutoff: float,
        *,
        cache: str | Path | None = None,
        workers: int = 0,
        progress: Progress | None = None,
    ) -> None:
        self.structures, self.cutoff = structures, float(cutoff)
        folder = None if cache is None else Path(cache)
        self._packed = pack(structures, self.cutoff, cache=folder, workers=workers, progress=progress)
        self._rows = np.arange(len(structures))

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, index: int) -> Batch:
        return self.batch([index])

    def __getitems__(self, indices: Sequence[int]) -> list[Batch]:
        """A whole batch at once, as a loader asks for it; `Batch.collate` takes the list as it is."""
        return [self.batch(indices)]

    def batch(self, indices: Sequence[int] | np.ndarray) -> Batch:
        """Some structures as one batch, in the order given; `labels.index` holds `indices`."""
        indices = np.asarray(indices, dtype=np.int64)
        rows, arrays = self._rows[indices], self._packed.arrays
        atoms, edges = self._packed.atom_starts, self._packed.edge_starts
        num_atoms, num_edges = atoms[rows + 1] - atoms[rows], edges[rows + 1] - edges[rows]
        first = np.repeat(np.cumsum(num_atoms) - num_atoms, num_edges)

        def gather(name: str, starts: np.ndarray) -> np.ndarray:
            array = arrays[name]
            pieces = [array[begin:end] for begin, end in zip(starts[rows], starts[rows + 1], strict=True)]
            return np.concatenate(pieces) if pieces else array[:0].copy()

        graph = Graph(
            atomic_numbers=torch.from_numpy(gather("atomic_numbers", atoms).astype(np.int64)),
            positions=torch.from_numpy(gather("positions", atoms)),
            cell=torch.from_numpy(arrays["cell"][rows]),
            pbc=torch.from_numpy(arrays["pbc"][rows]),
            structure=torch.from_numpy(np.repeat(np.arange(len(rows)), num_atoms)),
            sender=torch.from_numpy(gather("sender", edges) + first),
            receiver=torch.from_numpy(gather("receiver", edges) + first),
            shifts=torch.from_numpy(gather("shifts", edges).astype(np.float64)),
            charge=torch.from_numpy(arrays["charge"][rows]),
        )
        weights = torch.from_numpy(arrays["weights"][rows])
        labels = Labels(
            energy=torch.from_numpy(arrays["energy"][rows]),
            forces=torch.from_numpy(gather("forces", atoms)),
            stress=torch.from_numpy(arrays["stress"][rows]),
            energy_weight=weights[:, 0],
            forces_weight=weights[:, 1],
            stress_weight=weights[:, 2],
            properties_weight=weights[:, 3],
            index=torch.from_numpy(indices),
            properties={
                name: torch.from_numpy(gather(column, atoms) if self._packed.per_atom(column) else arrays[column][rows])
                for name, column in self._packed.properties.items()
            },
        )
        return Batch(graph, labels)

    def subset(self, indices: Sequence[int] | np.ndarray) -> Self:
        """Some of the structures, in the order given, sharing the packed arrays."""
        part = copy.copy(self)
        part._rows = self._rows[np.asarray(indices, dtype=np.int64)]
        return part

    @property
    def num_atoms(self) -> np.ndarray:
        """Number of atoms of each structure, int64 [structures]."""
        return self._packed.arrays["num_atoms"][self._rows].astype(np.int64)

    @property
    def num_edges(self) -> np.ndarray:
        """Number of directed edges of each structure, int64 [structures]."""
        return self._packed.arrays["num_edges"][self._rows].astype(np.int64)

    @property
    def num_lonely(self) -> np.ndarray:
        """Atoms without a neighbour in each structure, int64 [structures]; single free atoms do not count."""
        return self._packed.arrays["num_lonely"][self._rows].astype(np.int64)

    @property
    def config_types(self) -> list[str]:
        """The `config_type` of each structure, empty where it has none."""
        names = self._packed.config_types
        return [names[number] for number in self._packed.arrays["config_type"][self._rows]]

    def atomic_numbers(self, index: int) -> np.ndarray:
        """Atomic numbers of one structure, uint8 [atoms]."""
        begin, end = self._packed.atom_starts[self._rows[index] + np.arange(2)]
        return self._packed.arrays["atomic_numbers"][begin:end]

    def composition(self, numbers: Sequence[int]) -> np.ndarray:
        """How many atoms of each of some elements each structure has, float64 [structures, elements]."""
        known = self._packed.arrays["atomic_numbers"][:, None] == np.asarray(numbers)
        counts = np.add.reduceat(known, self._packed.atom_starts[:-1], axis=0, dtype=np.float64) if len(self) else known
        return counts[self._rows]

    def values(self, name: str) -> np.ndarray:
        """The labels of a property, float64 [structures or atoms, *shape]; NaN where there is none."""
        column = self._packed.properties[name]
        array, starts = self._packed.arrays[column], self._packed.atom_starts
        if not self._packed.per_atom(column):
            return array[self._rows]
        return np.concatenate([array[starts[row] : starts[row + 1]] for row in self._rows])

    @property
    def charges(self) -> np.ndarray:
        """The net charge of each structure, e, float64 [structures]."""
        return self._packed.arrays["charge"][self._rows]

    def source(self, index: int) -> str:
        """File and place of a structure, for messages."""
        row = int(self._rows[index])
        return self.structures.source(row) if isinstance(self.structures, Structures) else self.structures[row].source

    def missing(self, label: str) -> np.ndarray:
        """Indices of the structures without the label `energy`, `forces` or `stress`, or a property."""
        column = (*LABELS, *self._packed.properties).index(label)
        return np.flatnonzero(~self._packed.arrays["known"][self._rows, column])

    def require(self, labels: Iterable[str]) -> dict[str, int]:
        """How many structures lack each of the labels; `InputError` for a label that they all lack."""
        lacking = {label: len(self.missing(label)) for label in labels}
        for label, count in lacking.items():
            if count == len(self):
                place = self.source(0) if count == 1 else f"{self.source(0)} … {self.source(count - 1)}"
                keys = self.structures.keys if isinstance(self.structures, Structures) else None
                looked = f", looked for under {', '.join(keys.names(label))}" if keys else ""
                raise InputError(
                    f"{place}: no {label} in any of {count} structures{looked}; "
                    f"name the label's key, or leave {label} out of the loss"
                )
        return lacking


def graph_from_structure(structure: Structure, cutoff: float) -> Batch:
    """One structure as a batch of one, with its edges up to `cutoff` (Å) and its labels.

    Raises `InputError` where two atoms are on top of each other.
    """
    one = np.array([1.0])
    graph = graph_of(
        structure.atomic_numbers,
        structure.positions,
        structure.cell,
        structure.pbc,
        *edges_of(structure, cutoff),
        structure.charge,
    )
    labels = Labels(
        energy=torch.from_numpy(one * structure.energy),
        forces=torch.from_numpy(structure.forces),
        stress=torch.from_numpy(structure.stress)[None],
        energy_weight=torch.from_numpy(one * structure.energy_weight),
        forces_weight=torch.from_numpy(one * structure.forces_weight),
        stress_weight=torch.from_numpy(one * structure.stress_weight),
        properties_weight=torch.from_numpy(one * structure.properties_weight),
        index=torch.zeros(1, dtype=torch.int64),
        properties={name: torch.from_numpy(values) for name, values in structure.properties.items()},
    )
    return Batch(graph, labels)
