"""Where the atoms of a child sit on the sites of a parent, once the lattices are matched: origin and assignment."""

import itertools
from collections import Counter
from collections.abc import Iterator

import numpy as np
from ase.geometry.minkowski_reduction import minkowski_reduce
from scipy.optimize import linear_sum_assignment
from scipy.spatial import KDTree

from ._space_group import Crystal, shortest

_STARTS = 8  # atoms of each of the two rarest species that the search for the origin starts from
_NEAR = 0.3  # Å, between origins that lead to the same one
_STEPS = 20  # of the origin, each to the mean displacement
_SAME = 0.02  # Å, between origins that are one


class Sites:
    """The sites of a parent by species, to find which is nearest to an atom."""

    def __init__(self, parent: Crystal):
        self.positions, self.kinds, self.lattice = parent.positions, parent.numbers, parent.group.lattice
        reduced, self.turn = minkowski_reduce(self.lattice)
        self.to_reduced = self.lattice @ np.linalg.inv(reduced)
        self.base = np.floor(self.positions @ self.to_reduced)
        around = np.array(list(itertools.product(range(-2, 3), repeat=3)))
        self.trees = {}
        for kind in set(self.kinds.tolist()):
            sites = np.flatnonzero(self.kinds == kind)
            inside = (self.positions @ self.to_reduced - self.base)[sites]
            images = (inside[:, None] + around).reshape(-1, 3)
            self.trees[kind] = KDTree(images @ reduced), np.repeat(sites, len(around)), np.tile(around, (len(sites), 1))
        self.reduced = np.asarray(reduced)

    def nearest(self, places: np.ndarray, kinds: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The site and the primitive cell nearest to each atom of some copies of a child, [copies, atoms, 3]."""
        fractional = places @ self.to_reduced
        base = np.floor(fractional)
        chosen, cells = np.zeros(places.shape[:2], dtype=np.int64), np.zeros(places.shape, dtype=np.int64)
        for kind, (tree, sites, around) in self.trees.items():
            alike = kinds == kind
            found = np.asarray(tree.query((fractional - base)[:, alike] @ self.reduced)[1])
            chosen[:, alike] = sites[found]
            steps = base[:, alike] + around[found] - self.base[sites[found]]
            cells[:, alike] = np.rint(steps @ self.turn).astype(np.int64)
        return chosen, cells


def origins(
    targets: Sites, places: np.ndarray, kinds: np.ndarray, limit: float
) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Shifts of atoms, fractional in the parent's lattice, that bring each to its nearest site: shift, sites, cells.

    Several atoms may come to one site. Shifts that leave them much further off than others, or than `limit` in Å, are
    dropped on the way.
    """
    shifts = _starts(targets, places, kinds)
    before = None
    for step in range(_STEPS):
        sites, cells = targets.nearest(places + shifts[:, None], kinds)
        moves = places - targets.positions[sites] - cells
        shifts = -moves.mean(axis=1)
        now = np.concatenate([sites[:, :, None], cells], axis=2)
        if before is not None and (now == before).all():
            break
        before = now
        if step == 1:
            spread = np.sqrt((((moves + shifts[:, None]) @ targets.lattice) ** 2).sum(axis=2).mean(axis=1))
            kept = spread <= 2 * min(limit, spread.min()) + _NEAR
            shifts, before = shifts[kept], now[kept]
            if not kept.any():
                return
    seen: list[np.ndarray] = []
    for shift, one_sites, one_cells in zip(shifts, sites, cells, strict=True):
        if seen and _lengths(np.array(seen) - shift, targets.lattice).min() < _SAME:
            continue
        seen.append(shift)
        yield shift, one_sites, one_cells


def _starts(targets: Sites, places: np.ndarray, kinds: np.ndarray) -> np.ndarray:
    """Shifts that put some atom of one of the two rarest species on a site, those within `_NEAR` counted once."""
    counts = Counter(kinds.tolist())
    starts: list[np.ndarray] = []
    for kind in sorted(counts, key=lambda kind: (counts[kind], kind))[:2]:
        for atom in np.flatnonzero(kinds == kind)[:_STARTS]:
            for start in targets.positions[targets.kinds == kind] - places[atom]:
                if not starts or _lengths(np.array(starts) - start, targets.lattice).min() > _NEAR:
                    starts.append(start)
    return np.array(starts)


def _lengths(fractional: np.ndarray, lattice: np.ndarray) -> np.ndarray:
    """Lengths in Å of fractional vectors, modulo the lattice."""
    return np.linalg.norm(shortest(fractional @ lattice, lattice), axis=-1)


def moves_of(parent: Crystal, places: np.ndarray, sites: np.ndarray, cells: np.ndarray) -> np.ndarray:
    """Displacements in Å of atoms from their sites, without their mean."""
    moves = (places - parent.positions[sites] - cells) @ parent.group.lattice
    return moves - moves.mean(axis=0)


def rms_of(moves: np.ndarray) -> float:
    return float(np.sqrt((moves**2).sum(axis=1).mean()))


def folded(cells: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Cells brought into the supercell by its lattice vectors."""
    return cells - np.floor(cells @ np.linalg.inv(rows) + 1e-9).astype(np.int64) @ rows


def assigned(parent: Crystal, places: np.ndarray, rows: np.ndarray, kinds: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The one-to-one map of atoms onto sites with the least sum of squared displacements."""
    corners = np.array(list(itertools.product((0, 1), repeat=3))) @ rows
    ranges = [np.arange(low, high + 1) for low, high in zip(corners.min(axis=0), corners.max(axis=0), strict=True)]
    box = np.stack(np.meshgrid(*ranges, indexing="ij"), axis=-1).reshape(-1, 3)
    cells = np.unique(folded(box, rows), axis=0)
    supercell, inverse = rows @ parent.group.lattice, np.linalg.inv(parent.group.lattice)
    chosen, where = np.zeros(len(places), dtype=np.int64), np.zeros((len(places), 3), dtype=np.int64)
    for _ in range(_STEPS):
        before = np.column_stack([chosen, where])
        for kind in set(kinds.tolist()):
            atoms, sites = np.flatnonzero(kinds == kind), np.flatnonzero(parent.numbers == kind)
            all_sites, all_cells = np.repeat(sites, len(cells)), np.tile(cells, (len(sites), 1))
            raw = (places[atoms][:, None] - parent.positions[all_sites] - all_cells) @ parent.group.lattice
            away = shortest(raw, supercell)
            take = linear_sum_assignment((away**2).sum(axis=2))[1]
            jump = (raw - away)[np.arange(len(atoms)), take] @ inverse
            chosen[atoms], where[atoms] = all_sites[take], all_cells[take] + np.rint(jump).astype(np.int64)
        if (np.column_stack([chosen, where]) == before).all():
            break
        places = places - (places - parent.positions[chosen] - where).mean(axis=0)
    return chosen, where
