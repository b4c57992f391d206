"""How the elements of a group permute the points of a grid or of a cloud: exact, or refused."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Int

_CLOSE = 1e-9


def grid_action(matrices: Float[np.ndarray, "order dim dim"], shape: Sequence[int]) -> Int[np.ndarray, "order points"]:
    """Where each element sends each point of a regular grid, turned about the grid's centre.

    Axis i of the grid is coordinate i; points are counted as `ravel` does. The element g turns a field f on the grid
    into h with `h.ravel()[action[g]] = f.ravel()`; elements compose as `action[g·h] = action[g][action[h]]`. The centre
    is a point along axes of odd length and lies between two along even ones. Raises `ValueError` for matrices that are
    no signed permutations, or that exchange axes of different lengths, and says which groups act on the grid.

    >>> from subduce.groups import cyclic
    >>> grid_action(cyclic(4).matrices, (2, 2))[1].tolist()
    [2, 0, 3, 1]
    """
    shape = tuple(int(n) for n in shape)
    if not shape or min(shape) < 1:
        raise ValueError(f"a grid has at least one axis and one point along each, got the shape {shape}")
    if matrices.ndim != 3 or matrices.shape[1:] != (len(shape), len(shape)):
        raise ValueError(
            f"a grid of {len(shape)} axes needs matrices of {len(shape)} × {len(shape)}, got the shape {matrices.shape}"
        )
    signs = np.rint(matrices)
    if not np.allclose(matrices, signs, atol=_CLOSE) or not (np.abs(signs).sum(axis=2) == 1).all():
        raise ValueError(f"some elements do not map a grid to itself (C3, C6, turns by 45°, …); {_who_acts(shape)}")
    source = np.argmax(np.abs(signs), axis=2)  # [g, i]: the coordinate that coordinate i comes from
    for images in source.tolist():
        for axis, other in enumerate(images):
            if shape[axis] != shape[other]:
                lengths = f"{other} and {axis} of lengths {shape[other]} and {shape[axis]}"
                raise ValueError(f"some elements exchange axes {lengths}; {_who_acts(shape)}")
    sizes = np.asarray(shape)
    doubled = 2 * np.stack(np.unravel_index(np.arange(sizes.prod()), shape)) - (sizes - 1)[:, None]  # whole numbers
    turned = (signs.astype(np.int64) @ doubled + (sizes - 1)[:, None]) // 2
    return np.array(np.ravel_multi_index(tuple(turned.transpose(1, 0, 2)), shape))


def _who_acts(shape: tuple[int, ...]) -> str:
    """The largest group that acts on a grid, and its subgroups by name."""
    size = " × ".join(map(str, shape))
    if len(shape) == 1:
        return f"on a grid of {size} points act C1 and the reflection m_x"
    if len(shape) == 2:
        largest, smaller = ("D4", "C4, D2, C2, Cs") if shape[0] == shape[1] else ("D2", "C2, Cs")
        return f"on a {size} grid act {largest} and its subgroups ({smaller}, C1)"
    if len(shape) > 3:
        return f"on a {size} grid act signed permutations of axes of the same length"
    if len(set(shape)) == 1:
        return f"on a {size} grid act Oh and its subgroups (O, Td, Th, T, D4h, D3d, …)"
    if len(set(shape)) == 3:
        return f"on a {size} grid act D2h and its subgroups (D2, C2v, C2h, C2, Cs, Ci, C1)"
    unlike = next(axis for axis, n in enumerate(shape) if shape.count(n) == 1)
    return f"on a {size} grid act D4h about {'xyz'[unlike]} and its subgroups (D4, C4v, D2d, C4h, D2h, …)"


def point_permutation(
    matrices: Float[np.ndarray, "order dim dim"],
    points: Float[np.ndarray, "points dim"],
    kinds: Sequence | None = None,
    tolerance: float = 1e-6,
) -> Int[np.ndarray, "order points"]:
    """Where each element, a matrix about the origin, sends each point of a cloud.

    `kinds` are labels that must agree, such as chemical elements. An image may miss its point by `tolerance`, in the
    points' unit. Raises `ValueError` that names the first element (by its place) which does not map the cloud to
    itself, and how far it misses.

    >>> from subduce.groups import dihedral
    >>> corners = np.array([[1.0, 1.0], [-1.0, 1.0], [-1.0, -1.0], [1.0, -1.0]])
    >>> point_permutation(dihedral(4).matrices, corners)[1].tolist()
    [1, 2, 3, 0]
    """
    points = np.asarray(points, dtype=np.float64)
    if points.ndim != 2 or points.shape[1:] != matrices.shape[2:]:
        raise ValueError(f"expected points of {matrices.shape[-1]} coordinates, got the shape {points.shape}")
    if not np.isfinite(points).all():
        raise ValueError("some points are not finite")
    unlike = np.zeros((len(points), len(points)), dtype=bool)
    if kinds is not None:
        if len(kinds) != len(points):
            raise ValueError(f"expected a kind for each of {len(points)} points, got {len(kinds)}")
        codes = np.unique(np.asarray(kinds), return_inverse=True)[1].ravel()
        unlike = codes[:, None] != codes
    found = np.empty((len(matrices), len(points)), dtype=np.int64)
    for place, matrix in enumerate(matrices):
        distances = np.linalg.norm((points @ matrix.T)[:, None] - points, axis=-1)
        distances[unlike] = np.inf
        images = distances.argmin(axis=1) if len(points) else found[place]
        misses = distances[np.arange(len(points)), images]
        if (misses > tolerance).any():
            far = int(np.argmax(misses))
            miss = f"misses every point of its kind by {misses[far]:.3g}" if np.isfinite(misses[far]) else "has no kin"
            raise ValueError(f"element {place} does not map the points to themselves: the image of point {far} {miss}")
        if len(set(images.tolist())) < len(points):
            raise ValueError(f"element {place} sends two points to one: points coincide within {tolerance:g}")
        found[place] = images
    return found
