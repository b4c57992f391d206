"""How a group acts on a set of pairs: on the grid, on the channels of the input, on those of the target."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float

from subduce.config import InputError
from subduce.data import Pairs
from subduce.groups import FiniteGroup, named_group, space_matrices

_EXACT = {1: "m_x", 2: "C2, C4, Cs, D2, D4", 3: "O, Oh, Td, D4h and all subgroups of Oh"}


@dataclass(frozen=True)
class Action:
    """A group with its orthogonal matrices on the axes of a grid, as the array has them, and on the channels."""

    group: FiniteGroup
    grid: Float[np.ndarray, "order d d"]
    input: Float[np.ndarray, "order c c"]
    target: Float[np.ndarray, "order q q"]


def action_on(pairs: Pairs, group: str | Mapping[str, Any] | FiniteGroup, *, time_odd: Sequence[str] = ()) -> Action:
    """The action of a group, by name or with its generators, on pairs of fields or of vectors.

    `time_odd` names variables that time reversal, a factor `T` of the group, turns around. Raises `InputError` for a
    group that does not act on the grid (it says which do), on such a space, or on that number of channels.
    """
    if isinstance(group, Mapping):
        return _from_generators(pairs, group)
    whole = group if isinstance(group, FiniteGroup) else _group(group, _dimension(pairs))
    space = space_matrices(whole)
    reversed_in_time = _time_signs(whole)
    try:
        grid = pairs.grid_matrices(space) if pairs.shape else np.zeros((whole.order, 0, 0))
    except ValueError as error:
        raise InputError(f"{whole.name} does not act on the axes {' '.join(pairs.axes)}: {error}") from None
    _check_grid(whole, grid, pairs)
    sides = [pairs.input_channels, pairs.target_channels or pairs.input_channels]
    matrices = []
    for side in sides:
        signs = np.ones((whole.order, side.count))
        for name in time_odd:
            if name in side.slices:
                signs[:, side.slices[name]] *= reversed_in_time[:, None]
        turned = side.matrices(space)
        turned[np.abs(turned) < 1e-12] = 0
        matrices.append(turned * signs[:, :, None])
    known = {name for side in sides for name in side.slices}
    for name in time_odd:
        if name not in known:
            raise InputError(f"no variable {name!r} to turn around in time; there are {', '.join(sorted(known))}")
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


def _time_signs(group: FiniteGroup) -> np.ndarray:
    """−1 for elements that turn time around, else +1."""
    signs = np.ones(group.order)
    sizes = [factor.order for factor in group.factors]
    for place, factor in enumerate(group.factors):
        if factor.name == "T" and factor.order == 2 and not factor.geometric:
            signs = 1.0 - 2.0 * np.unravel_index(np.arange(group.order), sizes)[place]
    return signs


def _check_grid(group: FiniteGroup, grid: np.ndarray, pairs: Pairs) -> None:
    """Whether every element sends grid points to grid points."""
    if not pairs.shape:
        return
    if not np.allclose(np.abs(grid), np.rint(np.abs(grid)), atol=1e-9):
        raise InputError(
            f"{group.name} does not act on a grid of {len(pairs.shape)} axes: a turn by other than 90° does not send "
            f"points to points; what does: {_EXACT[len(pairs.shape)]}"
        )
    moves = np.abs(np.rint(grid)).max(axis=0) > 0
    for i, j in zip(*np.nonzero(moves), strict=True):
        if abs(pairs.spacing[i] - pairs.spacing[j]) > 1e-6 * pairs.spacing[i]:
            raise InputError(
                f"{group.name} exchanges the axes {pairs.axes[i]} and {pairs.axes[j]}, but their spacings are "
                f"{pairs.spacing[i]:g} and {pairs.spacing[j]:g}; take a group that keeps them apart"
            )
        if pairs.periodic[i] != pairs.periodic[j]:
            raise InputError(
                f"{group.name} exchanges the axes {pairs.axes[i]} and {pairs.axes[j]}, of which one repeats and "
                "the other does not; say with --periodic which do"
            )


def _from_generators(pairs: Pairs, about: Mapping[str, Any]) -> Action:
    """A group of vectors from {"name", "generators": {NAME: {"input": matrix, "target": matrix}}}."""
    if pairs.shape:
        raise InputError("a group given by matrices acts on vectors; on fields, name a point group")
    try:
        sides = {
            key: (np.array(value["input"], dtype=float), np.array(value["target"], dtype=float))
            for key, value in about["generators"].items()
        }
    except (KeyError, TypeError, ValueError, AttributeError):
        raise InputError(
            'a group reads {"name": NAME, "generators": {NAME: {"input": [[…]], "target": [[…]]}, …}}'
        ) from None
    c = pairs.input_channels.count
    q = (pairs.target_channels or pairs.input_channels).count
    generators = {}
    for key, (left, right) in sides.items():
        if left.shape != (c, c) or right.shape != (q, q):
            raise InputError(
                f"generator {key}: expected matrices of {c} × {c} for the input and {q} × {q} for the target, "
                f"got {left.shape} and {right.shape}"
            )
        generators[key] = np.block([[left, np.zeros((c, q))], [np.zeros((q, c)), right]])
    try:
        whole = FiniteGroup.from_matrices(generators, name=str(about.get("name", "G")), elements="words")
    except ValueError as error:
        raise InputError(f"{about.get('name', 'group')}: {error}") from None
    matrices = whole.matrices
    return Action(whole, np.zeros((whole.order, 0, 0)), matrices[:, :c, :c], matrices[:, c:, c:])


def blocks(matrices: Float[np.ndarray, "order n n"]) -> list[list[int]]:
    """Components that a group mixes with each other, in sets."""
    mixed = np.abs(matrices).max(axis=0) > 1e-9
    reach = np.linalg.matrix_power((mixed | mixed.T | np.eye(len(mixed), dtype=bool)).astype(float), len(mixed)) > 0
    found: list[list[int]] = []
    for row in reach:
        members = np.flatnonzero(row).tolist()
        if members not in found:
            found.append(members)
    return found
