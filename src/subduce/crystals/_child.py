"""The primitive cell of a structure whose atoms are where they are only within a tolerance."""

from collections import Counter
from dataclasses import dataclass

import ase
import numpy as np
from ase.geometry.minkowski_reduction import minkowski_reduce
from scipy.spatial import KDTree

from ._space_group import checked_cell

_MOMENT = 0.05  # μB, by which moments of atoms that a translation exchanges may differ


@dataclass(frozen=True, eq=False)
class PrimitiveCell:
    """A structure in its reduced primitive cell, atoms averaged over the translations that hold."""

    name: str
    lattice: np.ndarray
    positions: np.ndarray
    numbers: np.ndarray
    moments: np.ndarray | None
    first: np.ndarray  # the atom of the file that each stands for


def primitive_cell(atoms: ase.Atoms, tolerance: float) -> PrimitiveCell:
    """The primitive cell of a structure: reduced by translations that hold within a tolerance in Å, and by no other."""
    name = atoms.get_chemical_formula()
    lattice, positions, numbers = checked_cell(atoms)
    moments = _moments(atoms)
    images, steps = _translations(lattice, positions, numbers, moments, tolerance)
    count = len(images)
    whole = np.rint(steps * count).astype(np.int64)  # a translation's order divides that of its group
    rows = _row_basis(np.concatenate([count * np.eye(3, dtype=np.int64), whole])) / count
    first = np.flatnonzero(images.min(axis=0) == np.arange(len(numbers)))
    away = positions[images[:, first]] - whole[:, None] / count - positions[first]
    means = positions[first] + (away - np.rint(away)).mean(axis=0)
    reduced = np.asarray(minkowski_reduce(rows @ lattice)[0])
    fractional = means @ lattice @ np.linalg.inv(reduced)
    kept = None if moments is None else moments[images[:, first]].mean(axis=0)
    return PrimitiveCell(name, reduced, fractional, numbers[first], kept, first)


def _moments(atoms: ase.Atoms) -> np.ndarray | None:
    """Magnetic moments as vectors in the structure's frame; None where all are zero."""
    moments = np.asarray(atoms.get_initial_magnetic_moments(), dtype=np.float64)
    if not moments.any():
        return None
    return moments if moments.ndim == 2 else moments[:, None] * [0.0, 0.0, 1.0]


def _translations(
    lattice: np.ndarray, positions: np.ndarray, numbers: np.ndarray, moments: np.ndarray | None, tolerance: float
) -> tuple[np.ndarray, np.ndarray]:
    """A group of translations that a structure has: where each takes every atom, and its fractional vector."""
    inside = positions % 1.0
    inside[inside >= 1.0] = 0.0
    tree = KDTree(inside, boxsize=1.0)
    rarest = min(Counter(numbers.tolist()).items(), key=lambda item: (item[1], item[0]))[0]
    alike = np.flatnonzero(numbers == rarest)
    holds: dict[bytes, tuple[float, np.ndarray, np.ndarray]] = {}
    for atom in alike:
        step = positions[atom] - positions[alike[0]]
        moved = inside + step
        moved -= np.floor(moved)
        moved[moved >= 1.0] = 0.0
        image = np.asarray(tree.query(moved)[1])
        if len(set(image.tolist())) < len(image) or (numbers[image] != numbers).any():
            continue
        if moments is not None and np.abs(moments[image] - moments).max() > _MOMENT:
            continue
        miss = positions[image] - positions - step
        miss -= np.rint(miss)
        step = step + miss.mean(axis=0)
        worst = np.linalg.norm((miss - miss.mean(axis=0)) @ lattice, axis=1).max()
        if worst <= tolerance:
            holds[image.tobytes()] = (worst, image, step)
    group = {np.arange(len(numbers)).tobytes()}
    for _, image, _ in sorted(holds.values(), key=lambda one: one[0]):
        larger, power = set(group), image
        while power.tobytes() not in group:
            larger |= {power[np.frombuffer(one, dtype=image.dtype)].tobytes() for one in group}
            power = image[power]
        if larger <= holds.keys():
            group = larger
    kept = [holds[key] for key in sorted(group, key=lambda key: holds[key][0])]
    return np.array([image for _, image, _ in kept]), np.array([step for _, _, step in kept])


def _row_basis(rows: np.ndarray) -> np.ndarray:
    """Three whole rows that span the same lattice as many, by Euclid's algorithm."""
    rows = rows.copy()
    for axis in range(3):
        while np.count_nonzero(rows[axis:, axis]) > 1:
            entries = np.where(rows[axis:, axis] == 0, np.iinfo(np.int64).max, np.abs(rows[axis:, axis]))
            pivot = axis + int(entries.argmin())
            rows[[axis, pivot]] = rows[[pivot, axis]]
            rows[axis + 1 :] -= (rows[axis + 1 :, axis] // rows[axis, axis])[:, None] * rows[axis]
        pivot = axis + int(np.flatnonzero(rows[axis:, axis])[0])
        rows[[axis, pivot]] = rows[[pivot, axis]]
    return rows[:3]
