"""Splitting a set, and finding structures that stand on both sides of a split."""

from collections.abc import Sequence
from typing import Literal

import numpy as np

from ..config import InputError
from ._dataset import GraphDataset
from ._neighbors import neighbor_list
from ._structures import Structure, formula

_REACH = 4.0  # Å; neighbours that enter the fingerprint of a structure
_SAME = 3e-8  # relative difference of fingerprints below which two structures are one


def split(
    structures: int | Sequence[Structure] | GraphDataset,
    fractions: Sequence[float | int],
    *,
    how: Literal["random", "time", "composition"] = "random",
    seed: int = 0,
) -> tuple[np.ndarray, ...]:
    """Indices of each part, ascending; `fractions` are shares of the whole, or whole numbers of structures.

    `random` draws them; `time` cuts contiguous blocks in the order of the file, so that neighbouring
    frames of a trajectory stay together; `composition` keeps structures of one composition together,
    with sizes as near as that allows. Deterministic in `seed`.

    Raises `InputError` for impossible shares.

    >>> [part.tolist() for part in split(5, (3, 2), how="time")]
    [[0, 1, 2], [3, 4]]
    """
    count = structures if isinstance(structures, int) else len(structures)
    sizes = _sizes(count, fractions)
    if how == "time":
        order = np.arange(count)
    elif how == "random":
        order = np.random.default_rng(seed).permutation(count)
    elif how == "composition":
        if isinstance(structures, int):
            raise ValueError("a split by composition needs the structures, got only their number")
        return _by_composition(_compositions(structures), sizes, seed)
    else:
        raise InputError(f"split: {how!r} is not one of random, time, composition")
    ends = np.cumsum(sizes)
    return tuple(np.sort(order[end - size : end]) for size, end in zip(sizes, ends, strict=True))


def leakage(*parts: Sequence[Structure]) -> list[tuple[int, int, int, int]]:
    """Structures that occur in two parts: (part, index, other part, index), by geometry alone.

    Two structures are the same if they have the same composition and the same distances between near
    atoms, whatever their place, orientation, order of atoms or labels.
    """
    prints = [(fingerprint(one), part, index) for part, some in enumerate(parts) for index, one in enumerate(some)]
    return [(part, index, other, second) for (part, index), (other, second) in same_structures(prints) if part != other]


def fingerprint(structure: Structure) -> tuple[str, np.ndarray]:
    """Composition, and a few smooth sums over near pairs that do not depend on place, orientation or order."""
    positions, numbers = structure.positions, structure.atomic_numbers
    sender, receiver, shifts = neighbor_list(positions, structure.cell, structure.pbc, _REACH)
    vectors = positions[sender] - positions[receiver] + shifts @ structure.cell
    # Squares of a polynomial that vanishes at the reach: a pair there cannot make the difference.
    near = (1 - np.einsum("ea,ea->e", vectors, vectors) / _REACH**2).clip(0) ** 2
    charge = numbers.astype(np.float64)
    around = np.bincount(receiver, near * charge[sender], minlength=len(numbers))
    return formula(numbers), np.array([near.sum(), (near**3).sum(), charge @ around, charge @ around**2])


Place = tuple[int, int]
"""Part and index of a structure."""


def same_structures(prints: Sequence[tuple[tuple[str, np.ndarray], int, int]]) -> list[tuple[Place, Place]]:
    """Places of equal structures, two by two, from (fingerprint, part, index); each with the next one equal to it."""
    groups: dict[str, list[tuple[np.ndarray, Place]]] = {}
    for (composition, values), part, index in prints:
        if not values.any() and not composition.isalpha():
            continue  # atoms out of each other's reach: nothing to compare
        groups.setdefault(composition, []).append((values, (part, index)))
    found = []
    for group in groups.values():
        values = np.array([one for one, _ in group])
        order = np.lexsort(values.T[::-1])
        scale = np.abs(values).max(axis=0).clip(1e-12)
        for k, row in enumerate(order):
            for other in order[k + 1 :]:
                if values[other, 0] - values[row, 0] > _SAME * scale[0]:
                    break
                if (np.abs(values[other] - values[row]) <= _SAME * scale).all():
                    found.append(tuple(sorted((group[row][1], group[other][1]))))
                    break
    return sorted(found)


def _sizes(count: int, fractions: Sequence[float | int]) -> list[int]:
    shown = ", ".join(str(one) for one in fractions)
    if not fractions or any(one < 0 for one in fractions):
        raise InputError(f"split: {shown} are no shares; expected e.g. 0.8, 0.1, 0.1 or 900, 100")
    if all(isinstance(one, (int, np.integer)) for one in fractions) and sum(fractions) > 1:
        sizes = [int(one) for one in fractions]
        if sum(sizes) > count:
            raise InputError(f"split: {shown} ask for {sum(sizes)} structures, but there are {count}")
        return sizes
    if sum(fractions) > 1 + 1e-9:
        raise InputError(f"split: the shares {shown} add up to {sum(fractions):g}, more than 1")
    ends = np.rint(np.cumsum(np.asarray(fractions, dtype=np.float64)) * count).astype(int)
    return np.diff(ends, prepend=0).tolist()


def _compositions(structures: Sequence[Structure] | GraphDataset) -> list[str]:
    if isinstance(structures, GraphDataset):
        return [formula(structures.atomic_numbers(index)) for index in range(len(structures))]
    return [one.formula for one in structures]


def _by_composition(compositions: list[str], sizes: list[int], seed: int) -> tuple[np.ndarray, ...]:
    """Whole compositions, largest first, each to the part that lacks most of its size."""
    groups: dict[str, list[int]] = {}
    for index, composition in enumerate(compositions):
        groups.setdefault(composition, []).append(index)
    if len(groups) < sum(size > 0 for size in sizes):
        raise InputError(
            f"split: {len(groups)} compositions cannot fill {len(sizes)} parts; split by random or time instead"
        )
    names = list(groups)
    order = np.random.default_rng(seed).permutation(len(names))
    parts: list[list[int]] = [[] for _ in sizes]
    spare = len(compositions) - sum(sizes)  # what no part asked for
    wanted = np.array([*sizes, spare], dtype=np.float64)
    parts.append([])
    for name in sorted((names[k] for k in order), key=lambda name: -len(groups[name])):
        part = int(np.argmax(wanted))
        parts[part] += groups[name]
        wanted[part] -= len(groups[name])
    return tuple(np.array(sorted(part), dtype=np.int64) for part in parts[:-1])
