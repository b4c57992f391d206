"""How a group acts on a set of pairs: on the grid, on the channels of the input, on those of the target."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float
from scipy.linalg import block_diag
from scipy.sparse.csgraph import connected_components

from subduce.config import InputError
from subduce.data import Pairs
from subduce.groups import FiniteGroup, named_group, space_matrices

_EXACT = {0: "T", 1: "m_x", 2: "C2, C4, Cs, D2, D4", 3: "O, Oh, Td, D4h and all subgroups of Oh"}


@dataclass(frozen=True)
class Action:
    """A group with its orthogonal matrices on the axes of a grid, as the array has them, and on the channels."""

    group: FiniteGroup
    grid: Float[np.ndarray, "order d d"]
    input: Float[np.ndarray, "order c c"]
    target: Float[np.ndarray, "order q q"]


def action_on(pairs: Pairs, group: str | Mapping[str, Any] | FiniteGroup, *, time_odd: Sequence[str] = ()) -> Action:
    """The action of a group, by name or with its generators, on pairs of fields or of vectors.

    A name is that of a point group, on an axis of time `T`, or a product of both. Generators are matrices on the
    channels of the `input` and of the `target`, and on fields, where they move points, on the axes of the `grid`, in
    the array's order. A group of permutation matrices permutes the channels of each side that has as many; other sides
    stay. `time_odd` names variables that time reversal, a factor `T` of the group, turns around.

    Raises `InputError` for a group that does not act on the grid (it says which do), on such a space, or on that number
    of channels, and where nothing says how the channels turn.
    """
    sides = [pairs.input_channels, pairs.target_channels or pairs.input_channels]
    if isinstance(group, Mapping):
        if time_odd:
            raise InputError("time_odd: a group given by matrices says itself, in them, what changes sign")
        return _from_generators(pairs, group)
    if isinstance(group, str):
        _ = [side.irreps for side in sides]  # asked for first: a missing channel axis makes a plane a line
    whole = group if isinstance(group, FiniteGroup) else _group(group, _dimension(pairs))
    backwards = _time_signs(whole)
    _check_time(whole, pairs, {name for side in sides for name in side.slices}, time_odd)
    if permuted := _of_channels(pairs, whole):
        return permuted
    space = _on_space(whole)
    try:
        grid = pairs.grid_matrices(space) if pairs.shape else np.zeros((whole.order, 0, 0))
    except ValueError as error:
        plane = len(pairs.axes) == 2 and "; a group of the plane turns x and y: name them so with --axes"
        raise InputError(
            f"{whole.name} does not act on the axes {' '.join(pairs.axes)}: {error}{plane or ''}"
        ) from None
    if "t" in pairs.axes:
        grid[:, pairs.axes.index("t"), pairs.axes.index("t")] = backwards
    _check_grid(whole, grid, pairs)
    matrices = []
    for side in sides:
        signs = np.ones((whole.order, side.count))
        for name in time_odd:
            if name in side.slices:
                signs[:, side.slices[name]] *= backwards[:, None]
        turned = side.matrices(space)
        turned[np.abs(turned) < 1e-12] = 0
        matrices.append(turned * signs[:, :, None])
    return Action(whole, grid, matrices[0], matrices[1])


def _group(name: str, dimension: int) -> FiniteGroup:
    try:
        return named_group(name, dimension)
    except ValueError as error:
        raise InputError(str(error)) from None


def _dimension(pairs: Pairs) -> int:
    """Of the space that a group acts on: the number of spatial axes, or that of vectors' components."""
    if pairs.shape:
        return len([axis for axis in pairs.axes if axis != "t"])
    return len(pairs.input_channels.coordinates)


def _on_space(group: FiniteGroup) -> np.ndarray:
    """The elements as matrices of space; time reversal alone leaves it as it is."""
    if _reverses_time(group):
        return np.tile(np.eye(3), (2, 1, 1))
    try:
        return space_matrices(group)
    except ValueError as error:
        raise InputError(f"{error}; whether a law is the same along an axis is asked with --where") from None


def _reverses_time(group: FiniteGroup) -> bool:
    return group.name == "T" and group.order == 2 and not group.geometric


def _time_signs(group: FiniteGroup) -> np.ndarray:
    """−1 for elements that turn time around, else +1."""
    signs, factors = np.ones(group.order), group.factors or (group,)
    sizes = [factor.order for factor in factors]
    for place, factor in enumerate(factors):
        if _reverses_time(factor):
            signs = 1.0 - 2.0 * np.unravel_index(np.arange(group.order), sizes)[place]
    return signs


def _check_time(group: FiniteGroup, pairs: Pairs, known: set[str], time_odd: Sequence[str]) -> None:
    """Whether time reversal, and what is odd under it, have something to act on."""
    for name in time_odd:
        if name not in known:
            raise InputError(f"no variable {name!r} to turn around in time; there are {', '.join(sorted(known))}")
    if time_odd and (_time_signs(group) > 0).all():
        raise InputError(f"time_odd: {group.name} does not turn time around; {group.name}xT does")
    if _reverses_time(group) and pairs.shape and "t" not in pairs.axes:
        raise InputError(f"T reverses an axis of time, and the axes are {' '.join(pairs.axes)}; name it with --axes t")


def _check_grid(group: FiniteGroup, grid: np.ndarray, pairs: Pairs) -> None:
    """Whether every element sends grid points to grid points."""
    if not pairs.shape:
        return
    if not np.allclose(np.abs(grid), np.rint(np.abs(grid)), atol=1e-9):
        raise InputError(
            f"{group.name} does not act on a grid of {len(pairs.shape)} axes: a turn by other than 90° does not send "
            f"points to points; what does: {_EXACT[_dimension(pairs)]}"
        )
    moves = np.abs(np.rint(grid)).max(axis=0) > 0
    for i, j in zip(*np.nonzero(moves), strict=True):
        exchanged = f"{group.name} exchanges the axes {pairs.axes[i]} and {pairs.axes[j]}"
        if min(pairs.shape[i], pairs.shape[j]) == 1 < max(pairs.shape[i], pairs.shape[j]):
            raise InputError(
                f"{exchanged}, of {pairs.shape[i]} and {pairs.shape[j]} points; an axis of one point is no direction: "
                "is it that of the channels, and --no-channels too much?"
            )
        if abs(pairs.spacing[i] - pairs.spacing[j]) > 1e-6 * pairs.spacing[i]:
            raise InputError(
                f"{exchanged}, but their spacings are {pairs.spacing[i]:g} and {pairs.spacing[j]:g}; "
                "take a group that keeps them apart"
            )
        if pairs.periodic[i] != pairs.periodic[j]:
            raise InputError(f"{exchanged}, of which one repeats and the other does not; say with --periodic which do")


def _of_channels(pairs: Pairs, group: FiniteGroup) -> Action | None:
    """Permutation matrices on the channels of the sides that have as many, if it is such a group; others stay."""
    n, d = group.matrices.shape[-1], len(pairs.shape)
    counts = [pairs.input_channels.count, (pairs.target_channels or pairs.input_channels).count]
    if group.geometric or n < 2 or not np.isin(group.matrices, (0, 1)).all():
        return None
    if n not in counts:
        raise InputError(f"{group.name} permutes {n} channels; the input has {counts[0]}, the target {counts[1]}")
    input, target = (group.matrices if c == n else np.tile(np.eye(c), (group.order, 1, 1)) for c in counts)
    return Action(group, np.tile(np.eye(d), (group.order, 1, 1)), input, target)


def _from_generators(pairs: Pairs, about: Mapping[str, Any]) -> Action:
    """A group from {"name", "generators": {NAME: {"input": matrix, "target": matrix, "grid": matrix of fields}}}."""
    c, d = pairs.input_channels.count, len(pairs.shape)
    q = (pairs.target_channels or pairs.input_channels).count
    generators = {}
    try:
        for key, value in about["generators"].items():
            sides = {
                "grid": np.eye(d),
                **({"target": value["input"]} if pairs.target_channels is None else {}),
                **value,
            }
            parts = [np.array(sides.pop(side), dtype=float) for side in ("input", "target", "grid")]
            if sides:
                raise KeyError(next(iter(sides)))
            generators[str(key)] = parts
    except (KeyError, TypeError, ValueError, AttributeError):
        raise InputError(
            'a group reads {"name": NAME, "generators": {NAME: {"input": [[…]], "target": [[…]]}, …}}, '
            'on fields also with "grid": [[…]], a matrix on the axes'
        ) from None
    for key, parts in generators.items():
        for side, matrix, n in zip(("input", "target", "grid"), parts, (c, q, d), strict=True):
            if matrix.shape != (n, n):
                raise InputError(
                    f"generator {key}: expected a matrix of {n} × {n} for the {side}, got the shape {matrix.shape}"
                )
        signs = np.abs(parts[2])
        if not (np.isin(signs, (0, 1)).all() and (signs.sum(axis=0) == 1).all() and (signs.sum(axis=1) == 1).all()):
            raise InputError(
                f"generator {key}: a grid's matrix has one 1 or -1 in each row and column, for the axes "
                f"{' '.join(pairs.axes)}; other turns do not send points to points"
            )
        generators[key] = block_diag(*parts)
    try:
        whole = FiniteGroup.from_matrices(generators, name=str(about.get("name", "G")), elements="words")
    except ValueError as error:
        raise InputError(f"{about.get('name', 'group')}: {error}") from None
    input, target, grid = (whole.matrices[:, a:b, a:b] for a, b in ((0, c), (c, c + q), (c + q, c + q + d)))
    _check_grid(whole, grid, pairs)
    return Action(whole, grid, input, target)


def blocks(matrices: Float[np.ndarray, "order n n"]) -> list[list[int]]:
    """Components that a group mixes with each other, in sets."""
    mixed = np.abs(matrices).max(axis=0) > 1e-9
    count, labels = connected_components(mixed, directed=False)
    return [np.flatnonzero(labels == k).tolist() for k in range(count)]
