"""Space groups as operations with a standard setting, and ideal crystals with symmetrised positions.

Rows are lattice vectors in Å; positions are fractional; an operation takes x to R x + t. Space groups are found by
spglib (Togo, Shinohara and Tanaka, Sci. Technol. Adv. Mater.: Methods 4, 2384822, 2024).
"""

import itertools
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, cached_property
from typing import Any

import ase
import numpy as np
import spglib
from ase.data import chemical_symbols
from ase.geometry.minkowski_reduction import minkowski_reduce
from jaxtyping import Bool, Float, Int
from spglib.error import SpglibError

from ..config import InputError

TOLERANCE = 1e-3  # Å, by which atoms of one structure may miss a symmetry
_OVERLAP = 0.4  # Å; nothing is bound at a shorter distance
_EXACT = 1e-5  # fractional, between translations that are the same
_ORIGIN = 1e-3  # fractional; spglib's origins are as exact as the atoms
_FLAT = 1e-6  # volume over the product of the three lengths, of a cell without volume
_AROUND = np.array(list(itertools.product((-1, 0, 1), repeat=3)))
_GRID = tuple(float(f"{tolerance:.1e}") for tolerance in np.geomspace(1e-5, 0.3, 28))

_PRIMITIVE = {  # primitive vectors as columns, in the conventional basis
    "P": np.eye(3),
    "A": np.array([[2, 0, 0], [0, 1, -1], [0, 1, 1]]) / 2,
    "C": np.array([[1, 1, 0], [-1, 1, 0], [0, 0, 2]]) / 2,
    "I": np.array([[-1, 1, 1], [1, -1, 1], [1, 1, -1]]) / 2,
    "F": np.array([[0, 1, 1], [1, 0, 1], [1, 1, 0]]) / 2,
    "R": np.array([[2, -1, -1], [1, 1, -2], [1, 1, 1]]) / 3,
}


@dataclass(frozen=True, eq=False)
class SpaceGroup:
    """The operations of a space group on a primitive lattice, one for each coset of its translations, identity first.

    `to_standard` holds (P, p): x_standard = P x + p are coordinates in the standard setting of the International
    Tables (origin choice 2, hexagonal axes), with the structure's own origin (p = 0) wherever the tables allow it.
    """

    lattice: Float[np.ndarray, "3 3"]  # Å, primitive, rows
    rotations: Int[np.ndarray, "operations 3 3"]
    translations: Float[np.ndarray, "operations 3"]
    number: int
    symbol: str
    to_standard: tuple[Float[np.ndarray, "3 3"], Float[np.ndarray, "3"]]

    @cached_property
    def cartesian(self) -> Float[np.ndarray, "operations 3 3"]:
        """The rotations as orthogonal matrices that act on Cartesian columns."""
        return self.lattice.T @ self.rotations @ np.linalg.inv(self.lattice.T)

    def shifted(self, shift: Float[np.ndarray, "3"]) -> "SpaceGroup":
        """The same group described from another origin: x_new = x − shift, `shift` fractional in `lattice`."""
        shift = np.asarray(shift, dtype=np.float64)
        basis, origin = self.to_standard
        own = _own_origin(_halls()[self.number], basis, origin + basis @ shift)
        moved = (self.translations + self.rotations @ shift - shift + _EXACT) % 1.0 - _EXACT
        return SpaceGroup(self.lattice, self.rotations, moved, self.number, self.symbol, (basis, own))


@dataclass(frozen=True, eq=False)
class Crystal:
    """An ideal structure in its primitive cell: positions that the group maps onto each other exactly."""

    group: SpaceGroup
    positions: Float[np.ndarray, "sites 3"]  # fractional in the group's lattice
    numbers: Int[np.ndarray, " sites"]  # atomic numbers
    wyckoffs: tuple[str, ...]
    site_symmetries: tuple[str, ...]
    equivalent: Int[np.ndarray, " sites"]  # the first site of the orbit of each

    @cached_property
    def permutations(self) -> tuple[Int[np.ndarray, "operations sites"], Int[np.ndarray, "operations sites 3"]]:
        """Where each operation takes each site: to which site, and in which primitive cell."""
        images = np.einsum("gij,sj->gsi", self.group.rotations, self.positions) + self.group.translations[:, None]
        target, miss = _nearest(images, self.positions, self.numbers, self.group.lattice)
        return target, np.rint(images - self.positions[target] - miss).astype(np.int64)

    @cached_property
    def atoms(self) -> ase.Atoms:
        """The primitive cell as ASE `Atoms`."""
        cell = self.group.lattice
        return ase.Atoms(numbers=self.numbers, scaled_positions=self.positions, cell=cell, pbc=True)


@dataclass(frozen=True)
class ToleranceScan:
    """The space group of a structure at growing tolerances."""

    rows: tuple[tuple[float, int, str], ...]  # tolerance in Å, number, symbol; number 0 where none was found
    sites: tuple[int, ...]  # in the primitive cell at each tolerance

    def stable(self, tolerance: float) -> tuple[float, float]:
        """The lowest and the highest tolerance of the scan, in Å, between which the group is that at `tolerance`."""
        same = [(row[1], sites) for row, sites in zip(self.rows, self.sites, strict=True)]
        steps = [row[0] for row in self.rows]
        here = min(range(len(steps)), key=lambda i: abs(np.log(steps[i] / tolerance)))
        low, high = here, here
        while low > 0 and same[low - 1] == same[here]:
            low -= 1
        while high + 1 < len(steps) and same[high + 1] == same[here]:
            high += 1
        return steps[low], steps[high]


def crystal(atoms: ase.Atoms, *, tolerance: float | None = None) -> Crystal:
    """The ideal crystal of a structure: primitive cell, space group, lattice and positions symmetrised.

    Atoms may miss the symmetry by `tolerance` in Å (default 1e-3). The frame and the origin stay the structure's own.
    Raises `InputError` for structures that are not periodic, overlap, or have partial occupancies.

    >>> rock_salt = ase.Atoms("NaCl", cell=[[0, 2.8, 2.8], [2.8, 0, 2.8], [2.8, 2.8, 0]], pbc=True)
    >>> rock_salt.set_scaled_positions([[0, 0, 0], [0.5, 0.5, 0.5]])
    >>> crystal(rock_salt).group.symbol
    'Fm-3m'
    """
    tolerance = TOLERANCE if tolerance is None else tolerance
    lattice, positions, numbers = checked_cell(atoms)
    found = _dataset(lattice, positions, numbers, tolerance)
    if found is None:
        raise InputError(
            f"{atoms.get_chemical_formula()}: no space group was found at a tolerance of {tolerance:g} Å; "
            "try another tolerance, and check that no two atoms are closer than that"
        )
    hall = found.hall_number
    to_primitive = _PRIMITIVE[found.international[0]]
    group = _group(lattice, found, _own_origin(hall, to_primitive, found.origin_shift))
    images = positions @ (np.linalg.inv(to_primitive) @ found.transformation_matrix).T
    first = np.unique(found.mapping_to_primitive, return_index=True)[1]
    first.sort()
    means = []
    for atom in first:
        away = images[found.mapping_to_primitive == found.mapping_to_primitive[atom]] - images[atom]
        means.append(images[atom] + (away - np.rint(away)).mean(axis=0))
    sites = _symmetrised(np.array(means), numbers[first], group)
    orbits = found.crystallographic_orbits[first]
    equivalent = np.array([int(np.flatnonzero(orbits == orbit)[0]) for orbit in orbits])
    return Crystal(
        group=group,
        positions=sites,
        numbers=numbers[first],
        wyckoffs=tuple(found.wyckoffs[atom] for atom in first),
        site_symmetries=tuple(found.site_symmetry_symbols[atom] for atom in first),
        equivalent=equivalent,
    )


def scan_tolerances(atoms: ase.Atoms, tolerances: tuple[float, ...] = _GRID) -> ToleranceScan:
    """The space group at each of some tolerances in Å; raises `InputError` as `crystal` does."""
    cell = checked_cell(atoms)
    rows, sites = [], []
    for tolerance in tolerances:
        found = _dataset(*cell, tolerance)
        number, symbol = (found.number, found.international) if found else (0, "")
        rows.append((float(tolerance), number, symbol))
        sites.append(len(set(found.mapping_to_primitive.tolist())) if found else 0)
    return ToleranceScan(tuple(rows), tuple(sites))


def identify(
    lattice: Float[np.ndarray, "3 3"],
    rotations: Int[np.ndarray, "operations 3 3"],
    translations: Float[np.ndarray, "operations 3"],
) -> tuple[int, str]:
    """Number and symbol of the space group that some operations of a cell form.

    The cell need not be primitive; then its centring translations are among the operations. Raises `ValueError` where
    the operations form no space group.
    """
    handed = np.sign(np.linalg.det(lattice)) * np.eye(3)
    found = _quiet(
        lambda: spglib.get_spacegroup_type_from_symmetry(rotations, translations @ handed, handed @ lattice, 1e-4)
    )
    if found is None:
        raise ValueError(f"{len(rotations)} operations form no space group: they must be closed, with whole rotations")
    return found.number, found.international_short


def identify_magnetic(
    lattice: Float[np.ndarray, "3 3"],
    rotations: Int[np.ndarray, "operations 3 3"],
    translations: Float[np.ndarray, "operations 3"],
    reversals: Bool[np.ndarray, " operations"],
) -> str:
    """BNS number of the magnetic space group that some operations of a cell form, with time reversal or without.

    Raises `ValueError` where the operations form none.
    """
    handed = np.sign(np.linalg.det(lattice)) * np.eye(3)
    found = _quiet(
        lambda: spglib.get_magnetic_spacegroup_type_from_symmetry(
            rotations, translations @ handed, reversals.astype(np.intc), handed @ lattice, 1e-4
        )
    )
    if found is None:
        raise ValueError(f"{len(rotations)} operations form no magnetic space group: they must be closed")
    return found.bns_number


def checked_cell(
    atoms: ase.Atoms,
) -> tuple[Float[np.ndarray, "3 3"], Float[np.ndarray, "atoms 3"], Int[np.ndarray, " atoms"]]:
    """Right-handed lattice, fractional positions and atomic numbers of a structure, or an `InputError`."""
    name = atoms.get_chemical_formula() or "structure"
    lattice = np.array(atoms.cell.array, dtype=np.float64)
    if len(atoms) == 0:
        raise InputError("structure: holds no atoms")
    if not np.isfinite(lattice).all() or not np.isfinite(atoms.positions).all():
        raise InputError(f"{name}: cell and positions must be finite numbers")
    lengths = np.linalg.norm(lattice, axis=1)
    if not atoms.pbc.all() or abs(np.linalg.det(lattice)) <= _FLAT * max(lengths.prod(), 1e-12):
        raise InputError(f"{name}: a crystal repeats in three directions; got pbc {atoms.pbc.tolist()}, cell {lengths}")
    for occupancy in (atoms.info.get("occupancy") or {}).values():
        if any(share < 1 - 1e-6 for share in occupancy.values()):
            shares = ", ".join(f"{symbol} {share:g}" for symbol, share in occupancy.items())
            raise InputError(f"{name}: partial occupancies ({shares}) are not supported; use an ordered structure")
    if np.linalg.det(lattice) < 0:
        lattice = -lattice
    positions = atoms.positions @ np.linalg.inv(lattice)
    apart, pair = _closest(positions, lattice)
    if apart < _OVERLAP:
        names = " and ".join(f"{chemical_symbols[atoms.numbers[i]]} (atom {i})" for i in pair)
        raise InputError(f"{name}: {names} overlap, {apart:.2g} Å apart; remove one of them")
    return lattice, positions, np.array(atoms.numbers, dtype=np.int64)


def shortest(vectors: Float[np.ndarray, "... 3"], lattice: Float[np.ndarray, "3 3"]) -> Float[np.ndarray, "... 3"]:
    """Cartesian vectors in Å, each brought by a lattice vector to its smallest length."""
    reduced = minkowski_reduce(lattice)[0]
    inverse = np.linalg.inv(reduced)
    short = vectors - np.rint(vectors @ inverse) @ reduced
    safe = 0.5 / np.linalg.norm(inverse, axis=0).max()  # half the narrowest spacing of planes: nothing is shorter
    far = np.linalg.norm(short, axis=-1) > safe
    if far.any():
        images = short[far][:, None] + _AROUND @ reduced
        nearest = np.linalg.norm(images, axis=-1).argmin(axis=1)
        short[far] = images[np.arange(len(images)), nearest]
    return short


def _closest(positions: np.ndarray, lattice: np.ndarray) -> tuple[float, tuple[int, int]]:
    """The smallest distance between two atoms in Å, and which they are."""
    first, second = np.triu_indices(len(positions), 1)
    if not len(first):
        return np.inf, (0, 0)
    lengths = np.linalg.norm(shortest((positions[first] - positions[second]) @ lattice, lattice), axis=1)
    pair = int(lengths.argmin())
    return float(lengths[pair]), (int(first[pair]), int(second[pair]))


def _nearest(
    images: np.ndarray, positions: np.ndarray, numbers: np.ndarray, lattice: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """For images [operations, sites] of sites, the site of the same species next to each, and by how much it misses."""
    away = shortest((images[:, :, None] - positions) @ lattice, lattice)
    lengths = np.where(numbers[:, None] == numbers, np.linalg.norm(away, axis=-1), np.inf)
    target = lengths.argmin(axis=2)
    miss = np.take_along_axis(away, target[:, :, None, None], axis=2)[:, :, 0] @ np.linalg.inv(lattice)
    return target, miss


def _symmetrised(positions: np.ndarray, numbers: np.ndarray, group: SpaceGroup) -> np.ndarray:
    """Positions averaged over the images of each under the group, within [0, 1)."""
    images = np.einsum("gij,sj->gsi", group.rotations, positions) + group.translations[:, None]
    target, miss = _nearest(images, positions, numbers, group.lattice)
    moves = np.zeros_like(positions)
    np.add.at(moves, target, miss)
    ideal = positions + moves / len(images)
    return (ideal + _EXACT) % 1.0 - _EXACT


def _group(lattice: np.ndarray, found: spglib.SpglibDataset, origin: np.ndarray) -> SpaceGroup:
    """The space group that spglib found in a cell, on its primitive lattice with a metric that it keeps exactly."""
    basis = _PRIMITIVE[found.international[0]]
    rotations, translations = _primitive_operations(found.hall_number, basis, origin)
    primitive = (np.linalg.inv(found.transformation_matrix) @ basis).T @ lattice
    metric = np.mean(rotations.swapaxes(1, 2) @ (primitive @ primitive.T) @ rotations, axis=0)
    inverse = np.linalg.inv(primitive)
    squares, axes = np.linalg.eigh(inverse @ metric @ inverse.T)
    stretch = axes * np.sqrt(squares) @ axes.T  # symmetric, so that nothing turns
    return SpaceGroup(primitive @ stretch, rotations, translations, found.number, found.international, (basis, origin))


def _primitive_operations(hall: int, basis: np.ndarray, origin: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The tabulated operations in a primitive basis with x_standard = basis x + origin, one for each rotation."""
    rotations, translations = _tabulated(hall)
    inverse = np.linalg.inv(basis)
    turned = np.rint(inverse @ rotations @ basis).astype(np.int64)
    kept = np.sort(np.unique(turned.reshape(-1, 9), axis=0, return_index=True)[1])
    moved = (translations + rotations @ origin - origin) @ inverse.T
    return turned[kept], (moved[kept] + _EXACT) % 1.0 - _EXACT


def _own_origin(hall: int, basis: np.ndarray, origin: np.ndarray) -> np.ndarray:
    """Zero where the group looks as tabulated from the structure's own origin, else the origin given."""
    rotations = _tabulated(hall)[0]
    away = (rotations @ origin - origin) @ np.linalg.inv(basis).T  # whole where the operations stay the same
    ours = np.abs(away - np.rint(away)).max() < _ORIGIN
    return np.zeros(3) if ours else np.asarray(origin, dtype=np.float64)


@cache
def _tabulated(hall: int) -> tuple[np.ndarray, np.ndarray]:
    """Rotations and translations of a Hall number in its conventional basis."""
    table = _quiet(lambda: spglib.get_symmetry_from_database(hall))
    return np.asarray(table["rotations"], dtype=np.int64), np.asarray(table["translations"], dtype=np.float64)


@cache
def _halls() -> dict[int, int]:
    """The Hall number of the standard setting of each space group: unique axis b, origin choice 2, hexagonal axes."""
    halls: dict[int, int] = {}
    for hall in range(1, 531):
        kind = _quiet(lambda hall=hall: spglib.get_spacegroup_type(hall))
        if kind.number not in halls or kind.choice == "2":
            halls[kind.number] = hall
    return halls


def _dataset(
    lattice: np.ndarray, positions: np.ndarray, numbers: np.ndarray, tolerance: float
) -> spglib.SpglibDataset | None:
    """What spglib says of a cell in the standard setting, or None."""
    cell: Any = (lattice, positions, numbers)
    found = _quiet(lambda: spglib.get_symmetry_dataset(cell, symprec=tolerance))
    if found is not None and found.hall_number != (hall := _halls()[found.number]):
        found = _quiet(lambda: spglib.get_symmetry_dataset(cell, symprec=tolerance, hall_number=hall))
    return found


def _quiet(call: Callable[[], Any]) -> Any:
    """The value of a call of spglib, None where it fails; old and new versions fail in different ways."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return call()
        except SpglibError:
            return None
