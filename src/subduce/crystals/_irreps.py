"""Real irreps of space groups: wave vectors, their stars, and orthogonal matrices induced over all arms."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Literal

import numpy as np
from jaxtyping import Float, Int

from subduce.groups import FiniteGroup

from ._labels import label_order, labels_of
from ._products import Products
from ._space_group import SpaceGroup

_CLOSE = 1e-6  # two wave vectors, or two characters, are the same below this
_TURN = np.array([[0.0, -1.0], [1.0, 0.0]])
_TYPES: dict[int, Literal["real", "complex", "quaternionic"]] = {1: "real", 2: "complex", 4: "quaternionic"}


@dataclass(frozen=True, eq=False)
class CrystalIrrep:
    """A physically irreducible (real) representation of a space group, over the star of a wave vector.

    Components are arm by arm in the order of `arms`, `dim / len(arms)` an arm. Where an arm and its opposite differ and
    the irrep joins them, they are one arm with cosine and sine components. Wave vectors are fractional in the basis
    dual to the primitive lattice, `k_standard` in the one dual to the standard conventional cell. A translation by n
    multiplies a Bloch function of k by exp(−2πi k·n). `small_characters` say what the operations `little`, which leave
    `k` alone, do at k: those of one small irrep, or of the two that a complex or quaternionic type joins.
    """

    label: str
    k: Float[np.ndarray, "3"]
    k_standard: Float[np.ndarray, "3"]
    arms: Float[np.ndarray, "arms 3"]
    type: Literal["real", "complex", "quaternionic"]
    little: Int[np.ndarray, " little"]
    small_characters: np.ndarray
    base: Float[np.ndarray, "order dim dim"]
    turn: Float[np.ndarray, "arm_dim arm_dim"]
    place: int = 1  # among the irreps at this wave vector, counted from 1

    @property
    def dim(self) -> int:
        """Number of real components."""
        return self.base.shape[1]

    @property
    def small_dim(self) -> int:
        """Complex dimension at the first arm."""
        return round(self.small_characters[0].real)

    def matrix(self, operation: int, cell: Sequence[int] = (0, 0, 0)) -> Float[np.ndarray, "dim dim"]:
        """The matrix of {R | t + cell}: the group's operation of this place, followed by a lattice translation."""
        return self.matrices([operation], [cell])[0]

    def matrices(
        self, operations: Sequence[int] | np.ndarray, cells: Sequence | np.ndarray
    ) -> Float[np.ndarray, "m dim dim"]:
        """The matrices of some operations, each followed by its lattice translation."""
        phases = 2 * np.pi * (np.asarray(cells) @ self.arms.T)[:, :, None, None]
        base = self.base[np.asarray(operations)]
        blocks = base.reshape(len(base), len(self.arms), -1, self.dim)
        return (np.cos(phases) * blocks - np.sin(phases) * (self.turn @ blocks)).reshape(base.shape)

    def __repr__(self) -> str:
        k = ", ".join(f"{component:.4g}" for component in self.k_standard)
        return f"CrystalIrrep({self.label!r}, k=({k}), dim={self.dim})"


def star(group: SpaceGroup, k: Float[np.ndarray, "3"]) -> Float[np.ndarray, "arms 3"]:
    """The wave vectors, between 0 and 1 and sorted, that the operations of a group make of one."""
    return _distinct(_images(group, np.asarray(k, dtype=float)))


def commensurate_wave_vectors(supercell: Int[np.ndarray, "3 3"]) -> Float[np.ndarray, "cells 3"]:
    """The wave vectors between 0 and 1 whose waves repeat with a supercell, rows in the primitive basis.

    Raises `ValueError` for a supercell without volume.

    >>> commensurate_wave_vectors(np.diag([1, 1, 2])).tolist()
    [[0.0, 0.0, 0.0], [0.0, 0.0, 0.5]]
    """
    supercell = np.asarray(supercell)
    size = round(abs(float(np.linalg.det(supercell))))
    if size == 0:
        raise ValueError(f"the supercell {supercell.tolist()} has no volume")
    found = {(0, 0, 0)}  # numerators over the number of cells
    for step in np.rint(np.linalg.inv(supercell).T * size).astype(int) % size:
        orbit, place = [], np.zeros(3, dtype=int)
        while not orbit or tuple(place.tolist()) not in found:
            orbit.append(place)
            place = (place + step) % size
        found = {tuple(((np.array(known) + at) % size).tolist()) for known in found for at in orbit}
    return np.array(sorted(found)) / size


def stars(group: SpaceGroup, supercell: Int[np.ndarray, "3 3"]) -> list[Float[np.ndarray, "3"]]:
    """The first arm of every star that has an arm commensurate with a supercell, the most symmetric stars first.

    Stars of k and of −k carry the same real irreps and count once.
    """
    found: dict[tuple, tuple[int, np.ndarray]] = {}
    for k in commensurate_wave_vectors(supercell):
        arms = _joined_arms(group, k)
        found.setdefault(_key(arms[0]), (len(arms), arms[0]))
    return [found[key][1] for key in sorted(found, key=lambda key: (any(key), found[key][0], key))]


def irreps_at(group: SpaceGroup, k: Float[np.ndarray, "3"]) -> tuple[CrystalIrrep, ...]:
    """The real irreps of a space group at a wave vector, in the order of their labels.

    They are the irreducible parts of one wave taken through all operations that keep k up to its sign (Dixon 1970,
    Math. Comp. 24, 707), induced over the arms (Bradley and Cracknell 1972). Where k equals −k and only signs tell
    them from irreps of a point group, components are the usual ones in the standard Cartesian frame: (x, y, z),
    (3z² − r², x² − y²), …; elsewhere they are even or odd under as many commuting two-fold operations as can be, even
    ones first. Labels are of the standard setting (`SpaceGroup.to_standard`), so they depend on the origin; a label is
    empty for points and groups without a table. Raises `ValueError` for operations that form no group.

    >>> from ase.build import bulk
    >>> from subduce.crystals import crystal
    >>> group = crystal(bulk("CsCl", "cesiumchloride", a=4.1)).group
    >>> [irrep.label for irrep in irreps_at(group, np.array([0, 0.5, 0.5]))]
    ['M1+', 'M2+', 'M3+', 'M4+', 'M5+', 'M1-', 'M2-', 'M3-', 'M4-', 'M5-']
    """
    arms = _joined_arms(group, np.asarray(k, dtype=float))
    first = arms[0]
    products = Products.of(group)
    images = _images(group, first)
    signs = np.where(_same(images, first), 1, np.where(_same(images, -first), -1, 0))
    members = np.flatnonzero(signs)  # they keep the first arm up to its sign
    alone = bool(_same(first, -first))
    table = np.searchsorted(members, products.table[np.ix_(members, members)])
    phases = products.cells[np.ix_(members, members)] @ first
    small = _small_irreps(table, phases, signs[members], alone)
    rotations = products.orthogonal[members]
    usual = _usual(small, rotations) if alone else None
    small = usual or [_tidied(*irrep, rotations) for irrep in small]
    return _finished(group, products, arms, members, signs[members] > 0, small)


def _key(k: np.ndarray) -> tuple[float, ...]:
    return tuple((np.round(k, 6) + 0.0).tolist())


def _same(k: np.ndarray, other: np.ndarray):
    """Whether wave vectors differ by a vector of the reciprocal lattice."""
    return np.all(np.abs(k - other - np.rint(k - other)) < _CLOSE, axis=-1)


def _reduced(k: np.ndarray) -> np.ndarray:
    """Wave vectors between 0 and 1."""
    reduced = k - np.floor(k + _CLOSE)
    return np.where(np.abs(reduced) < _CLOSE, 0.0, reduced)


def _distinct(waves: np.ndarray) -> np.ndarray:
    """Different wave vectors between 0 and 1, sorted."""
    unique = {_key(wave): wave for wave in _reduced(waves)}
    return np.stack([unique[key] for key in sorted(unique)])


def _images(group: SpaceGroup, k: np.ndarray) -> np.ndarray:
    """What each operation makes of a wave vector."""
    return k @ np.rint(np.linalg.inv(group.rotations))


def _joined_arms(group: SpaceGroup, k: np.ndarray) -> np.ndarray:
    """The arms of a star; of an arm and its opposite, and of the stars of k and of −k, the lower one."""
    arms = star(group, k)
    opposite = _reduced(-arms)
    if not _same(arms, -arms[0]).any():
        return min(arms, _distinct(opposite), key=lambda some: _key(some[0]))
    return _distinct(np.stack([min(pair, key=_key) for pair in zip(arms, opposite, strict=True)]))


def _turned(phases: np.ndarray, turn: np.ndarray) -> np.ndarray:
    """What translations with these k·n do, given their sense of rotation (zero where they only change signs)."""
    angles = 2 * np.pi * phases[..., None, None]
    return np.cos(angles) * np.eye(len(turn)) - np.sin(angles) * turn


def _small_irreps(
    table: np.ndarray, phases: np.ndarray, signs: np.ndarray, alone: bool
) -> list[tuple[np.ndarray, np.ndarray]]:
    """The real irreps of the group of k and −k in which translations are waves of k: matrices and sense of rotation."""
    order, size = len(table), 1 if alone else 2
    turn = np.zeros((1, 1)) if alone else _TURN
    whole = np.zeros((order, order, size, order, size))  # induced from one wave
    rows, columns = np.indices((order, order))
    whole[rows, table, :, columns, :] = _turned(signs[table] * phases, turn)
    whole = whole.reshape(order, order * size, order * size)
    sense = np.kron(np.diag(signs), turn)
    for seed in range(10):
        row = np.random.default_rng(seed).standard_normal((size, order * size))
        row = row if alone else row - turn @ row @ sense
        commuting = (row @ whole.transpose(0, 2, 1)).reshape(order * size, -1)
        found = _parts(commuting + commuting.T, whole, sense, signs > 0)
        total = sum(matrices.shape[1] ** 2 / _commutant(matrices, own, signs > 0) for matrices, own in found)
        if abs(total - order * size) < 1e-3:
            return found
    raise AssertionError("no random matrix told the irreps apart")


def _parts(
    commuting: np.ndarray, whole: np.ndarray, sense: np.ndarray, little: np.ndarray
) -> list[tuple[np.ndarray, np.ndarray]]:
    """The different representations in the eigenspaces of a matrix that commutes with one."""
    values, vectors = np.linalg.eigh(commuting)
    breaks = np.flatnonzero(np.diff(values) > 1e-7 * np.abs(values).max()) + 1
    found, characters = [], []
    for space in np.split(vectors, breaks, axis=1):
        matrices, own = space.T @ whole @ space, space.T @ sense @ space
        character = _character(matrices, own, little)
        if not any(np.allclose(character, known, atol=_CLOSE) for known in characters):
            characters.append(character)
            found.append((matrices, own))
    return found


def _character(matrices: np.ndarray, turn: np.ndarray, little: np.ndarray) -> np.ndarray:
    """The complex character at k of the operations that keep k."""
    traces = np.trace(matrices[little], axis1=1, axis2=2)
    if not turn.any():
        return traces + 0j
    return (traces - 1j * np.einsum("ij,gji->g", turn, matrices[little])) / 2


def _commutant(matrices: np.ndarray, turn: np.ndarray, little: np.ndarray) -> int:
    """Real dimension of what commutes with all matrices: 1, 2 or 4."""
    character = _character(matrices, turn, little)
    waves = 2 if turn.any() else 1  # k alone, or k and −k
    return max(1, round(waves * float(np.vdot(character, character).real) / len(matrices)))


@lru_cache(maxsize=64)
def _point_irreps(rotations: bytes) -> list[np.ndarray]:
    """Usual real irreps of a group of rotations, in the order of these."""
    matrices = np.frombuffer(rotations).reshape(-1, 3, 3)
    group = FiniteGroup.from_matrices(list(matrices[1:]) or [np.eye(3)])
    places = [int(np.argmin(np.abs(group.matrices - matrix).sum(axis=(1, 2)))) for matrix in matrices]
    return [irrep.matrices[places] for irrep in group.irreps]


def _usual(
    small: Sequence[tuple[np.ndarray, np.ndarray]], rotations: np.ndarray
) -> list[tuple[np.ndarray, np.ndarray]] | None:
    """Small irreps as products of signs and usual irreps of the point group; None where there are no such signs."""
    signs = [np.rint(matrices[:, 0, 0]) for matrices, _ in small if matrices.shape[1] == 1]
    if not signs:
        return None
    sign = max(signs, key=lambda some: (some.sum(), *some))[:, None, None]
    return [(sign * irrep, np.zeros(irrep.shape[1:])) for irrep in _point_irreps(rotations.tobytes())]


def _plainness(rotations: np.ndarray) -> np.ndarray:
    """Tells operations that do the same apart: rotations come highest, and those with most positive entries."""
    return np.round(10 * np.linalg.det(rotations) + rotations.sum(axis=(1, 2)), 6)


def _tidied(matrices: np.ndarray, turn: np.ndarray, rotations: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The same in a basis of common eigenvectors of commuting two-fold operations, those along the axes first."""
    off = [float(np.abs(rotation - np.diag(np.diag(rotation))).sum()) for rotation in rotations]
    order = sorted(range(len(off)), key=lambda g: (round(off[g], 6), np.trace(rotations[g]), *-np.diag(rotations[g])))
    spaces, used, plain = [np.eye(len(turn))], [], _plainness(rotations)
    for g in order:
        matrix = matrices[g]
        fits = all(np.allclose(matrix @ other, other @ matrix, atol=_CLOSE) for other in used)
        if np.allclose(matrix, matrix.T, atol=_CLOSE) and fits:
            used.append(matrix)
            spaces = [part for space in spaces for part in _signs_apart(space, matrix)]
    basis = np.concatenate(spaces, axis=1)
    for j in range(1, basis.shape[1]):
        entries = basis[:, :j].T @ matrices.transpose(0, 2, 1) @ basis[:, j]  # [g, i]: of D(g), from i to j
        linked = np.abs(entries) > 1 - _CLOSE
        if linked.any():
            i = int(np.argmax(linked.any(axis=0)))
            basis[:, j] *= np.sign(entries[int(np.argmax(np.where(linked[:, i], plain, -np.inf))), i])
    return basis.T @ matrices @ basis, basis.T @ turn @ basis


def _signs_apart(space: np.ndarray, matrix: np.ndarray) -> list[np.ndarray]:
    """The parts of an invariant space that an involution keeps and reverses."""
    values, vectors = np.linalg.eigh(space.T @ matrix @ space)
    return [part for part in (space @ vectors[:, values > 0], space @ vectors[:, values < 0]) if part.shape[1]]


def _finished(
    group: SpaceGroup,
    products: Products,
    arms: np.ndarray,
    members: np.ndarray,
    keeps: np.ndarray,
    small: Sequence[tuple[np.ndarray, np.ndarray]],
) -> tuple[CrystalIrrep, ...]:
    """Small irreps induced over the arms, with labels."""
    standard, little = np.linalg.solve(group.to_standard[0].T, arms[0]), members[keeps]
    characters = [_character(matrices, turn, keeps) for matrices, turn in small]
    labels = labels_of(group, products, arms[0], little, characters)
    found = []
    for (matrices, turn), character, label in zip(small, characters, labels, strict=True):
        kind = _TYPES[_commutant(matrices, turn, keeps)]
        base = _induced(group, products, arms, members, matrices, turn)
        for array in (base, character):
            array.flags.writeable = False
        found.append(CrystalIrrep(label, arms[0], standard, arms, kind, little, character, base, turn))
    found.sort(key=lambda irrep: (label_order(irrep.label), irrep.dim, _signature(irrep.small_characters)))
    return tuple(replace(irrep, place=place) for place, irrep in enumerate(found, start=1))


def _signature(character: np.ndarray) -> tuple:
    """Characters as plain numbers, so that irreps without labels have an order of their own."""
    rounded = np.round(character, 6) + 0.0
    return tuple(zip((-rounded.real).tolist(), rounded.imag.tolist(), strict=True))


def _induced(
    group: SpaceGroup,
    products: Products,
    arms: np.ndarray,
    members: np.ndarray,
    matrices: np.ndarray,
    turn: np.ndarray,
) -> np.ndarray:
    """Matrices of all operations over all arms, from those of the operations that keep the first arm up to its sign."""
    count, size, everything = len(arms), len(turn), np.arange(len(products.table))
    images = _images(group, arms[0])
    exact = np.stack([_same(images, arm) for arm in arms])
    arm_of = np.argmax(exact | np.stack([_same(images, -arm) for arm in arms]), axis=0)
    carriers = np.argmax(np.where(exact, _plainness(products.orthogonal), -np.inf), axis=1)
    base = np.zeros((len(everything), count, size, count, size))
    for j, carrier in enumerate(carriers):
        i = arm_of[products.table[:, carrier]]
        within, cells = products.carried(carriers[i], everything, carrier)
        places = np.searchsorted(members, within)
        base[everything, i, :, j, :] = _turned(cells @ arms[0], turn) @ matrices[places]
    base = base.reshape(-1, count * size, count * size)
    return np.where(np.abs(base) < 1e-13, 0.0, base)
