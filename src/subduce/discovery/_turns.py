"""Turns of space: their generators in a representation, axes of tensors, and groups with all turns about an axis."""

from collections.abc import Callable

import numpy as np
import torch
from jaxtyping import Float

from subduce.groups import Subgroup
from subduce.o3 import Irrep, axis_angle_to_matrix

AXES = {"Lx": (1.0, 0.0, 0.0), "Ly": (0.0, 1.0, 0.0), "Lz": (0.0, 0.0, 1.0)}
NEAR = 0.1  # radians: axes of the data nearer than this to x, y, z are taken to be those
_ALIKE = 0.15  # of the largest: principal values of a tensor nearer than this single out no axis


def principal(matrix: Float[np.ndarray, "3 3"]) -> Float[np.ndarray, "some 3"]:
    """The principal axes of a symmetric traceless tensor, the largest first; where two are alike, that alone."""
    values, vectors = np.linalg.eigh(matrix)
    order = np.argsort(-np.abs(values))
    alike = abs(values[order[1]] - values[order[2]]) < _ALIKE * abs(values[order[0]])
    return vectors.T[order[: 1 if alike else 3]]


def generators(matrix: Callable[[np.ndarray], np.ndarray], degree: int) -> Float[np.ndarray, "3 dim dim"]:
    """Infinitesimal rotations about x, y, z of a representation that holds no degree above the one given.

    Matrix elements are trigonometric polynomials of the angle, whose derivative a few angles give exactly.
    """
    n = 2 * degree + 3
    angles = 2 * np.pi * np.arange(n) / n
    weights = np.array([sum(k * np.sin(k * angle) for k in range(1, degree + 2)) * 2 / n for angle in angles])
    found = []
    for axis in AXES.values():
        turns = axis_angle_to_matrix(torch.tensor(axis, dtype=torch.float64).expand(n, 3), torch.from_numpy(angles))
        found.append(np.einsum("k,kab->ab", weights, np.stack([matrix(turn.numpy()) for turn in turns])))
    return np.stack(found)


def tensor(components: np.ndarray) -> Float[np.ndarray, "3 3"]:
    """The symmetric traceless tensor of 2e in e3nn's order: xz, xy, 2y² − x² − z², yz, z² − x²."""
    xz, xy, yy, yz, last = (float(c) for c in components)
    s = 3**-0.5
    return np.array([[-s * yy - last, xy, xz], [xy, 2 * s * yy, yz], [xz, yz, -s * yy + last]])


def meet(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """The projector on what two projectors both keep."""
    values, vectors = np.linalg.eigh((first @ second @ first + (first @ second @ first).T) / 2)
    kept = vectors[:, values > 1 - 1e-8]
    return kept @ kept.T


_CONTINUED = {"D4h": "Dinfh", "C4v": "Cinfv", "C4h": "Cinfh", "D4": "Dinf", "C4": "Cinf"}


def continued(finite: Subgroup, axis: int) -> str | None:
    """The group that a finite one becomes with all turns about one of its axes, for those that name it."""
    about = "xyz"[axis]
    return _CONTINUED.get(finite.name) if finite.setting == f"{finite.name}({about})" else None


def symbol(name: str, direction: np.ndarray) -> str:
    """A direction in words: `along x` for vectors near an axis, else its components."""
    if Irrep.parse(name).l == 1:
        largest = int(np.argmax(np.abs(direction)))
        if abs(direction[largest]) > np.cos(NEAR):
            return f"along {'+' if direction[largest] > 0 else '-'}{'xyz'[largest]}"
    return "(" + ",".join(f"{component:.2f}" for component in np.round(direction, 2) + 0.0) + ")"
