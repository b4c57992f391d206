"""A crystal with periodic boundaries: finitely many operations on finitely many sites, in which a child is a field."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import ase
import numpy as np
from ase.geometry.minkowski_reduction import minkowski_reduce
from jaxtyping import Float, Int

from subduce.config import InputError

from ._space_group import Crystal, identify, identify_magnetic

_LARGEST = 50_000_000  # entries of the tables of products and of permutations
_ROUND = 1e-6


@dataclass(frozen=True, eq=False)
class PeriodicCrystal:
    """An ideal crystal modulo a superlattice that every operation of its space group maps to itself.

    Its operations are pairs of one of the space group and a translation by one of the `cells`; its sites are those of
    the primitive cell, cell after cell. All of it is finite, so that fields on it are vectors and operations matrices.
    A `grey` crystal, of no magnetic moments, has each operation twice: without time reversal, then with it.
    """

    crystal: Crystal
    superlattice: Int[np.ndarray, "3 3"]
    grey: bool = False

    @classmethod
    def holding(cls, crystal: Crystal, supercell: Int[np.ndarray, "3 3"], grey: bool = False) -> "PeriodicCrystal":
        """The smallest one in which every distortion with the period of `supercell` has room, however it is turned.

        Raises `InputError` where it would not fit into memory.
        """
        superlattice = invariant_superlattice(crystal.group.rotations, supercell)
        found = cls(crystal, superlattice, grey)
        cells = round(abs(np.linalg.det(superlattice)))
        order = cells * len(crystal.group.rotations) * (1 + grey)
        if order * max(order, cells * len(crystal.numbers)) > _LARGEST:
            raise InputError(
                f"the child's cell repeats with all operations of the parent only after {cells} cells of the parent, "
                "too many; give a child with a smaller or less skewed supercell"
            )
        return found

    @cached_property
    def cells(self) -> Int[np.ndarray, "cells 3"]:
        """One cell of each class modulo the superlattice, the cell at the origin first."""
        span = np.abs(self.superlattice).sum(axis=0)
        grid = np.stack(np.meshgrid(*(np.arange(-n, n + 1) for n in span), indexing="ij"), -1).reshape(-1, 3)
        grid = grid[np.argsort((grid**2).sum(axis=1), kind="stable")]
        _, first = np.unique(self._codes(grid), return_index=True)
        return grid[np.sort(first)]

    def cell_index(self, cells: Int[np.ndarray, "*shape 3"]) -> Int[np.ndarray, "*shape"]:
        """The place in `cells` of the class of each cell."""
        known = self._codes(self.cells)
        order = np.argsort(known)
        return order[np.searchsorted(known[order], self._codes(cells))]

    def _codes(self, cells: np.ndarray) -> np.ndarray:
        """A whole number for each class modulo the superlattice."""
        volume = round(abs(np.linalg.det(self.superlattice)))
        adjoint = np.rint(np.linalg.inv(self.superlattice) * volume).astype(np.int64)
        digits = (np.asarray(cells, dtype=np.int64) @ adjoint) % volume
        return (digits[..., 0] * volume + digits[..., 1]) * volume + digits[..., 2]

    @cached_property
    def orbits(self) -> tuple[tuple[int, ...], ...]:
        """Sites of the primitive cell that operations take to each other."""
        equivalent = self.crystal.equivalent.tolist()
        return tuple(tuple(s for s, first in enumerate(equivalent) if first == o) for o in dict.fromkeys(equivalent))

    @property
    def atoms(self) -> ase.Atoms:
        """All sites, cell after cell, with the species of the parent."""
        ideal, lattice = self.crystal, self.crystal.group.lattice
        positions = (self.cells[:, None] + ideal.positions).reshape(-1, 3) @ lattice
        numbers = np.tile(ideal.numbers, len(self.cells))
        return ase.Atoms(numbers=numbers, positions=positions, cell=self.superlattice @ lattice, pbc=True)

    @property
    def sites(self) -> int:
        """Number of sites."""
        return len(self.cells) * len(self.crystal.numbers)

    @cached_property
    def operations(self) -> tuple[Int[np.ndarray, " order"], Int[np.ndarray, "order 3"]]:
        """Which operation of the space group, and which cell it is followed by; the identity first."""
        count, times = len(self.crystal.group.rotations), 1 + self.grey
        return np.tile(np.repeat(np.arange(count), len(self.cells)), times), np.tile(self.cells, (count * times, 1))

    @cached_property
    def reversals(self) -> Float[np.ndarray, " order"]:
        """−1 for operations with time reversal, else 1."""
        order = len(self.operations[0])
        return np.where(np.arange(order) < order // (1 + self.grey), 1.0, -1.0)

    @property
    def order(self) -> int:
        """Number of operations."""
        return len(self.operations[0])

    @cached_property
    def permutations(self) -> Int[np.ndarray, "order sites"]:
        """Where each operation takes each site."""
        crystal, count = self.crystal, len(self.crystal.numbers)
        found = []
        for rotation, permutation, offset in zip(crystal.group.rotations, *crystal.permutations, strict=True):
            turned = self.cells @ rotation.T  # [cell, 3]
            image = turned[None, :, None] + offset[None, None] + self.cells[:, None, None]  # [shift, cell, site, 3]
            found.append((self.cell_index(image) * count + permutation).reshape(len(self.cells), -1))
        return np.concatenate(found * (1 + self.grey)).astype(np.int32)

    @cached_property
    def table(self) -> Int[np.ndarray, "order order"]:
        """table[g, h] = g·h."""
        group = self.crystal.group
        rotations, translations = group.rotations, group.translations
        once = self.order // (1 + self.grey)
        which, cells = self.operations[0][:once], self.operations[1][:once]
        keys = {tuple(rotation.ravel()): place for place, rotation in enumerate(rotations)}
        product = np.array([[keys[tuple((a @ b).ravel())] for b in rotations] for a in rotations])
        rest = (
            np.einsum("aij,bj->abi", rotations, translations) + translations[:, None] - translations[product]
        )  # {R|t}{S|s} = {RS|Rs + t}
        rest = np.rint(rest).astype(np.int64)
        moved = np.einsum("aij,cj->aci", rotations, cells)  # of every operation's own cell
        found = np.empty((once, once), dtype=np.int32)
        for g, (a, cell) in enumerate(zip(which, cells, strict=True)):
            target = self.cell_index(moved[a] + rest[a, which] + cell)
            found[g] = product[a, which] * len(self.cells) + target
        return np.block([[found, found + once], [found + once, found]]) if self.grey else found

    def apply(
        self, operations: Sequence[int] | np.ndarray, field: Float[np.ndarray, "sites axes"], images: np.ndarray
    ) -> Float[np.ndarray, "some sites axes"]:
        """A field on the sites after each of some operations; `images` turn its value, one for every operation."""
        turned = np.einsum("gij,sj->gsi", images[operations], field)
        found = np.empty_like(turned)
        np.put_along_axis(found, self.permutations[operations][:, :, None].astype(np.int64), turned, axis=1)
        return found

    def type_of(self, operations: Int[np.ndarray, " some"]) -> tuple[int, str]:
        """Number and symbol of the space group that some of the operations form, time reversal left aside."""
        once = self.order // (1 + self.grey)
        return identify(*self._in_own_cell(np.unique(np.asarray(operations) % once))[:3])

    def magnetic_type_of(self, operations: Int[np.ndarray, " some"]) -> str:
        """Number (Belov, Neronova and Smirnova) of the magnetic space group that some of the operations form."""
        return identify_magnetic(*self._in_own_cell(operations))

    def _in_own_cell(self, operations: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Primitive lattice, rotations, translations and reversals of the group that some operations form."""
        group, reversed_ = self.crystal.group, self.reversals[operations] < 0
        which, cells = (part[operations] for part in self.operations)
        steps = cells[(which == 0) & ~reversed_]
        rows = np.asarray(minkowski_reduce(_whole_rows(np.concatenate([self.superlattice, steps])) @ group.lattice)[0])
        basis = np.rint(rows @ np.linalg.inv(group.lattice)).T
        change = np.linalg.inv(basis)
        rotations = np.rint(change @ group.rotations[which] @ basis).astype(np.int64)
        translations = (group.translations[which] + cells) @ change.T
        translations -= np.floor(translations + _ROUND)
        keys = np.column_stack([which, reversed_])  # one operation of each class of translations
        first = np.sort(np.unique(keys, axis=0, return_index=True)[1])
        return rows, rotations[first], translations[first], reversed_[first]

    def translations_in(self, operations: Int[np.ndarray, " some"]) -> int:
        """How many of some operations are translations alone, without time reversal."""
        return int(((self.operations[0][operations] == 0) & (self.reversals[operations] > 0)).sum())


def invariant_superlattice(
    rotations: Int[np.ndarray, "order 3 3"], supercell: Int[np.ndarray, "3 3"]
) -> Int[np.ndarray, "3 3"]:
    """The largest lattice in that of `supercell` that every rotation maps to itself.

    Its reciprocal lattice is the sum of all images of that of `supercell`.

    >>> turn = np.array([[[0, -1, 0], [1, 0, 0], [0, 0, 1]]])
    >>> abs(round(np.linalg.det(invariant_superlattice(turn, np.diag([2, 1, 1])))))
    4
    """
    volume = round(abs(np.linalg.det(supercell)))
    wave_vectors = np.rint(np.linalg.inv(supercell).T * volume).astype(np.int64)
    group = {tuple(rotation.ravel()): rotation for rotation in rotations}
    images = [wave_vectors @ np.rint(np.linalg.inv(rotation)).astype(np.int64) for rotation in group.values()]
    reduced = np.eye(3, dtype=np.int64) * volume
    while True:  # to the end even where only generators are given
        grown = _whole_rows(np.concatenate([reduced, wave_vectors, *images]))
        if (grown == reduced).all():
            break
        reduced = grown
        images = [reduced @ np.rint(np.linalg.inv(rotation)).astype(np.int64) for rotation in group.values()]
    return np.rint(np.linalg.inv(reduced / volume).T).astype(np.int64)


def _whole_rows(rows: Int[np.ndarray, "rows 3"]) -> Int[np.ndarray, "3 3"]:
    """A triangular basis of the lattice that some rows of whole numbers span (Hermite's normal form)."""
    rows = rows.copy()
    for column in range(3):
        while True:
            below = rows[column:, column]
            if np.count_nonzero(below) <= 1:
                break
            pivot = column + int(np.argmin(np.where(below == 0, np.iinfo(np.int64).max, np.abs(below))))
            rows[[column, pivot]] = rows[[pivot, column]]
            rows[column + 1 :] -= (rows[column + 1 :, column] // rows[column, column])[:, None] * rows[column]
        pivot = column + int(np.argmax(np.abs(rows[column:, column])))
        rows[[column, pivot]] = rows[[pivot, column]]
        rows[column] *= np.sign(rows[column, column]) or 1
        rows[:column] -= (rows[:column, column] // rows[column, column])[:, None] * rows[column]
    return rows[:3]
