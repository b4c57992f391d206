"""One pass over files of structures: what `check` needs to know about each, and a few kept to compare."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from ..config import InputError
from ._neighbors import neighbor_list
from ._readers import Structures
from ._split import fingerprint
from ._statistics import StatisticsPass
from ._structures import Structure
from ._suspect import bond_ratio, energy_unit

_KEPT, _KEPT_EACH, _KEPT_ATOMS = 800, 60, 300  # structures kept to compare: in all, of one kind, and atoms in each


@dataclass(frozen=True, slots=True)
class Row:
    """What is remembered of one structure."""

    part: int  # which file
    index: int  # where in it
    formula: str
    num_atoms: int
    num_edges: int
    num_lonely: int
    isolated_atom: bool
    energy: float
    max_force: float
    net_force: float
    sum_force: float
    trace: float  # of the stress
    volume: float
    nearest: float  # Å, smallest distance
    nearest_pair: tuple[int, int]
    bonds: float  # see bond_ratio
    energy_unit: str  # see energy_unit
    known: tuple[str, ...]
    zero: tuple[str, ...]  # labels that are exactly zero


@dataclass
class Survey:
    """Everything one pass collects."""

    cutoff: float
    rows: list[Row] = field(default_factory=list)
    unusable: list[tuple[str, str]] = field(default_factory=list)  # place, and what is wrong
    names: dict[str, Counter[str]] = field(default_factory=dict)  # label -> names it goes by
    compositions: dict[str, np.ndarray] = field(default_factory=dict)  # formula -> counts by atomic number
    config_types: Counter[str] = field(default_factory=Counter)
    prints: list = field(default_factory=list)
    elements: list[set[int]] = field(default_factory=list)  # of each file
    kept: dict[bytes, list[Structure]] = field(default_factory=dict)
    statistics: StatisticsPass = field(default_factory=StatisticsPass)
    num_kept: int = 0

    def read(self, structures: Structures, progress: Callable[[int], None] | None = None) -> None:
        """All structures of one file; those that cannot be used are noted, not raised."""
        part = len(self.elements)
        self.elements.append(set())
        for index in range(len(structures)):
            try:
                one = structures[index]
            except InputError as error:
                place = structures.source(index)
                self.unusable.append((place, str(error).removeprefix(f"{place}: ")))
            else:
                self._add(one, part, index)
            if progress:
                progress(len(self.rows) + len(self.unusable))

    def _add(self, one: Structure, part: int, index: int) -> None:
        numbers, positions = one.atomic_numbers, one.positions
        sender, receiver, shifts = neighbor_list(positions, one.cell, one.pbc, self.cutoff)
        vectors = positions[sender] - positions[receiver] + shifts @ one.cell
        distances = np.linalg.norm(vectors, axis=1)
        worst = int(distances.argmin()) if len(distances) else -1
        lonely = int((np.bincount(receiver, minlength=len(numbers)) == 0).sum())
        sizes = np.linalg.norm(one.forces, axis=1)
        labels = [label for label in ("energy", "forces", "stress") if one.has(label)]
        row = Row(
            part=part,
            index=index,
            formula=one.formula,
            num_atoms=len(numbers),
            num_edges=len(sender),
            num_lonely=lonely if len(numbers) > 1 or one.pbc.any() else 0,
            isolated_atom=one.is_isolated_atom,
            energy=one.energy,
            max_force=float(sizes.max()),
            net_force=float(np.linalg.norm(one.forces.sum(axis=0))),
            sum_force=float(sizes.sum()),
            trace=float(np.trace(one.stress)),
            volume=one.volume,
            nearest=float(distances[worst]) if len(distances) else float("nan"),
            nearest_pair=(int(receiver[worst]), int(sender[worst])) if len(distances) else (-1, -1),
            bonds=bond_ratio(numbers, sender, receiver, distances),
            energy_unit=energy_unit(numbers, one.energy),
            known=tuple(labels),
            zero=tuple(label for label in labels if not np.any(getattr(one, label))),
        )
        self.rows.append(row)
        for label, name in one.names.items():
            self.names.setdefault(label, Counter())[name] += 1
        self.elements[part].update(numbers.tolist())
        self.config_types[one.config_type] += 1
        self.prints.append((fingerprint(one), part, index))
        if row.formula not in self.compositions:
            self.compositions[row.formula] = np.bincount(numbers, minlength=119)
        self.statistics.add(
            np.zeros(len(numbers), dtype=np.int64),
            numbers,
            np.array([one.energy]),
            one.forces,
            np.array([len(sender)]),
            np.array([one.is_isolated_atom]),
        )
        if not one.is_isolated_atom:
            self._keep(one)

    def _keep(self, one: Structure) -> None:
        group = self.kept.setdefault(one.atomic_numbers.tobytes(), [])
        if self.num_kept < _KEPT and len(group) < _KEPT_EACH and one.num_atoms <= _KEPT_ATOMS:
            group.append(one)
            self.num_kept += 1
