"""What a set looks like: isolated-atom energies by least squares, scales, neighbour counts, in one pass."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from ase.data import chemical_symbols

from ._dataset import GraphDataset
from ._structures import ISOLATED_ATOM

_MAX_NUMBER = 119
_ROWS = 512  # structures folded into the triangular factor at a time
_RANK_TOLERANCE = 1e-8


@dataclass(frozen=True)
class Statistics:
    """Facts of a training set that a potential starts from; dictionaries go by element symbol."""

    elements: tuple[int, ...]  # atomic numbers, ascending
    num_structures: int
    counts: Mapping[str, int]  # atoms of each element
    shifts: Mapping[str, float]  # eV, energy of an atom of each element by least squares of energies per atom
    fixed: tuple[str, ...]  # elements whose shift is the energy of an isolated atom of the set
    energy_residual_rms: float  # eV per atom, what the shifts leave of the energies
    forces_rms: float  # eV/Å, of all components
    forces_rms_by_element: Mapping[str, float]
    avg_num_neighbors: float  # edges per atom
    rank: int  # how many independent compositions there are
    undetermined: str  # which shifts the compositions leave open; empty if none


def statistics(dataset: GraphDataset) -> Statistics:
    """Statistics of a set in one streaming pass, in float64.

    Shifts minimise the squared error of the energy per atom. Single atoms marked
    `config_type=IsolatedAtom` fix the shift of their element and are left out of everything else.
    Where the compositions cannot tell elements apart, the shifts are as equal as the energies allow,
    and `undetermined` says so. Quantities without any label are NaN.
    """
    running, isolated = StatisticsPass(), np.array([name == ISOLATED_ATOM for name in dataset.config_types])
    num_edges, single = dataset.num_edges, dataset.num_atoms == 1
    for start in range(0, len(dataset), _ROWS):
        rows = np.arange(start, min(start + _ROWS, len(dataset)))
        batch = dataset.batch(rows)
        running.add(
            batch.graph.structure.numpy(),
            batch.graph.atomic_numbers.numpy(),
            batch.labels.energy.numpy(),
            batch.labels.forces.numpy(),
            num_edges[rows],
            isolated[rows] & single[rows],
        )
    return running.result(len(dataset))


class StatisticsPass:
    """Running sums; energies enter as a triangular factor, which squares no condition number."""

    def __init__(self) -> None:
        self._factor: Any = np.zeros((0, _MAX_NUMBER + 1))
        self._isolated: dict[int, list[float]] = {}
        self._counts = np.zeros(_MAX_NUMBER)
        self._squares, self._force_counts = np.zeros(_MAX_NUMBER), np.zeros(_MAX_NUMBER)
        self._edges = self._atoms = self._energies = 0
        self._waiting: list[np.ndarray] = []

    def add(
        self,
        structure: np.ndarray,
        numbers: np.ndarray,
        energies: np.ndarray,
        forces: np.ndarray,
        num_edges: np.ndarray,
        isolated: np.ndarray,
    ) -> None:
        """Some structures: to which each atom belongs, what it is, labels, edges, and which are isolated atoms."""
        counts = np.zeros((len(energies), _MAX_NUMBER))
        np.add.at(counts, (structure, numbers), 1)
        self._counts += counts.sum(axis=0)
        for row in np.flatnonzero(isolated & np.isfinite(energies)):
            self._isolated.setdefault(int(counts[row].argmax()), []).append(float(energies[row]))
        atoms = counts.sum(axis=1)
        self._edges += int(num_edges[~isolated].sum())
        self._atoms += int(atoms[~isolated].sum())
        rows = ~isolated & np.isfinite(energies)
        self._energies += int(rows.sum())
        self._waiting.append(np.column_stack([counts, energies])[rows] / atoms[rows, None])
        if sum(map(len, self._waiting)) >= _ROWS:
            self._fold()
        known = np.isfinite(forces).all(axis=1) & ~isolated[structure]
        squares = np.square(forces[known]).sum(axis=1)
        self._squares += np.bincount(numbers[known], squares, minlength=_MAX_NUMBER)
        self._force_counts += 3 * np.bincount(numbers[known], minlength=_MAX_NUMBER)

    def result(self, num_structures: int) -> Statistics:
        """Everything that follows from the sums."""
        self._fold()
        elements = np.flatnonzero(self._counts)
        shifts, residual, rank, undetermined = self._shifts(elements)
        names = {int(number): chemical_symbols[number] for number in elements}
        with np.errstate(invalid="ignore"):
            by_element = np.sqrt(self._squares / self._force_counts)
            overall = float(np.sqrt(self._squares.sum() / self._force_counts.sum()))
        return Statistics(
            elements=tuple(names),
            num_structures=num_structures,
            counts={names[number]: int(self._counts[number]) for number in names},
            shifts={names[number]: float(shift) for number, shift in zip(names, shifts, strict=True)},
            fixed=tuple(names[number] for number in names if number in self._isolated),
            energy_residual_rms=residual,
            forces_rms=overall,
            forces_rms_by_element={names[number]: float(by_element[number]) for number in names},
            avg_num_neighbors=self._edges / self._atoms if self._atoms else float("nan"),
            rank=rank,
            undetermined=undetermined,
        )

    def _fold(self) -> None:
        if self._waiting:
            self._factor = np.linalg.qr(np.vstack([self._factor, *self._waiting]), mode="r")
            self._waiting = []

    def _shifts(self, elements: np.ndarray) -> tuple[np.ndarray, float, int, str]:
        fixed = np.isin(elements, list(self._isolated))
        shifts = np.array([np.mean(self._isolated[n]) if n in self._isolated else 0.0 for n in elements.tolist()])
        free = elements[~fixed]
        if not self._energies:
            shifts[~fixed] = np.nan
            open_text = f"no energies that tell the shift of {_list(free)}" if len(free) else ""
            return shifts, float("nan"), 0, open_text
        matrix, target = self._factor[:, free], self._factor[:, -1] - self._factor[:, elements] @ shifts
        rank, open_text = 0, ""
        if len(free):
            left, values, right = np.linalg.svd(matrix, full_matrices=False)
            rank = int((values > _RANK_TOLERANCE * values.max(initial=0.0)).sum())
            # One energy for every atom first, then the smallest deviations from it.
            alike = matrix.sum(axis=1)
            common = alike @ target / (alike @ alike)
            deviations = right[:rank].T @ ((left[:, :rank].T @ (target - common * alike)) / values[:rank])
            shifts[~fixed] = common + deviations
            open_text = _undetermined(free, right[:rank])
        rest = self._factor[:, -1] - self._factor[:, elements] @ shifts
        return shifts, float(np.linalg.norm(rest) / self._energies**0.5), rank, open_text


def _undetermined(elements: np.ndarray, known: np.ndarray) -> str:
    """Which elements have a shift that the compositions do not fix; `known` spans what they do fix."""
    if len(known) == len(elements):
        return ""
    # An element is determined if its unit vector lies in the row space.
    loose = elements[1 - np.square(known).sum(axis=0) > _RANK_TOLERANCE]
    independent = "one composition alone" if len(known) == 1 else f"only {len(known)} independent compositions"
    return (
        f"{independent} for {len(elements)} elements: the energies of {_list(loose)} cannot be told apart; "
        "shifts as equal as can be were taken. Add isolated atoms or other compositions before comparing them"
    )


def _list(numbers: Sequence[int] | np.ndarray) -> str:
    return ", ".join(chemical_symbols[int(number)] for number in numbers)
