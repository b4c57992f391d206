"""Local functions of fields and of vectors: neighbours on a stencil, their products, and how a group turns them."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations_with_replacement, product
from math import factorial, prod

import numpy as np
from jaxtyping import Float

_SLAB = 1 << 22  # numbers of features held at a time


@dataclass(frozen=True)
class LocalFunctions:
    """Products of values near a point: what a law's output there is made of, linearly.

    `offsets` are steps on the grid, the point itself first; of vectors there is that one alone, without axes. A
    function is a product of values (channel, offset): none (the constant), one, or more, of which all but one are at
    the point itself. Each is weighted by the root of the number of its orderings: a group acts by orthogonal matrices.
    """

    channels: int
    offsets: tuple[tuple[int, ...], ...]
    degree: int = 1
    powers: int = 1  # products of values at the point itself go up to this degree
    nested: tuple[int, ...] = ()  # products are of so many first channels, with a factor of so many; so many are finer

    @classmethod
    def stencil(
        cls, channels: int, dimension: int, radius: int, *, degree: int = 1, powers: int = 1
    ) -> "LocalFunctions":
        """All neighbours up to `radius` steps along each axis; in space, of radius 2 those within a ball."""
        cube = product(range(-radius, radius + 1), repeat=dimension)
        inside = [v for v in cube if dimension < 3 or radius < 2 or sum(x * x for x in v) <= radius * radius]
        return cls(
            channels, tuple(sorted(inside, key=lambda v: (sum(x * x for x in v), [-x for x in v]))), degree, powers
        )

    @property
    def radius(self) -> int:
        """The longest step along an axis."""
        return max((abs(x) for v in self.offsets for x in v), default=0)

    @cached_property
    def values(self) -> tuple[tuple[int, int], ...]:
        """The values that functions are made of: (offset, channel), the point's own first."""
        return tuple(product(range(len(self.offsets)), range(self.channels)))

    @cached_property
    def functions(self) -> tuple[tuple[int, ...], ...]:
        """For each function the places of its factors among `values`, ascending."""
        everything, (few, some) = range(len(self.values)), self.nested[:2] or (self.channels, len(self.values))
        own = range(few)
        found: dict[tuple[int, ...], None] = {(): None}
        for degree in range(1, self.degree + 1):
            for central in combinations_with_replacement(own, degree - 1):
                for last in everything if degree == 1 else range(some):
                    found[tuple(sorted((*central, last)))] = None
        for degree in range(self.degree + 1, self.powers + 1):
            for factors in combinations_with_replacement(own, degree):
                found[factors] = None
        return tuple(found)

    @cached_property
    def weights(self) -> Float[np.ndarray, " functions"]:
        """The root of the number of orderings of each function's factors."""
        return np.array(
            [(factorial(len(f)) / prod(factorial(n) for n in Counter(f).values())) ** 0.5 for f in self.functions]
        )

    def __len__(self) -> int:
        return len(self.functions)

    def of(self, values: Float[np.ndarray, "values *points"]) -> Float[np.ndarray, "functions *points"]:
        """The functions of some values."""
        found = np.ones((len(self), *values.shape[1:]))
        for row, (factors, weight) in enumerate(zip(self.functions, self.weights, strict=True)):
            for factor in factors:
                found[row] *= values[factor]
            found[row] *= weight
        return found

    def evaluate(self, field: Float[np.ndarray, "channels *space"], periodic: tuple[bool, ...]) -> Iterator[tuple]:
        """Functions [function, *points] of a field slab by slab, and the slices of the points that they are at.

        Along an axis that does not repeat, points nearer to its ends than the radius are left out.
        """
        if not self.offsets[0]:
            yield self.of(field[..., None]), (slice(None),)
            return
        shape, r = field.shape[1:], self.radius
        lows = [0 if repeats else r for repeats in periodic]
        highs = [n if repeats else n - r for n, repeats in zip(shape, periodic, strict=True)]
        rows = max(1, _SLAB // max(1, len(self) * int(np.prod(shape[1:]))))
        for start in range(lows[0], highs[0], rows):
            box = [(start, min(start + rows, highs[0])), *zip(lows[1:], highs[1:], strict=True)]
            values = np.stack([_shifted(field, box, offset) for offset in self.offsets])
            points = tuple(slice(low, high) for low, high in box)
            yield self.of(values.reshape(-1, *values.shape[2:])), points

    def matrices(
        self, grid: Float[np.ndarray, "order d d"], channels: Float[np.ndarray, "order c c"]
    ) -> Float[np.ndarray, "order functions functions"]:
        """How the functions turn: φ(g·x) = D(g) φ(x), for a group that acts on the grid and on the channels."""
        place = {v: i for i, v in enumerate(self.offsets)}
        n = len(self.offsets)
        linear = np.zeros((len(channels), n, self.channels, n, self.channels))
        for g, matrix in enumerate(channels):
            for i, offset in enumerate(self.offsets):
                moved = tuple(np.rint(grid[g] @ np.array(offset)).astype(int).tolist()) if offset else offset
                linear[g, place[moved], :, i, :] = matrix
        linear = linear.reshape(len(channels), n * self.channels, -1)
        if self.degree == self.powers == 1:
            whole = np.zeros((len(linear), len(self), len(self)))
            whole[:, 0, 0], whole[:, 1:, 1:] = 1, linear
            return whole
        return self._of_products(linear)

    def _of_products(self, linear: np.ndarray) -> np.ndarray:
        """The action on products, function by function: each factor becomes a sum over values."""
        place = {f: i for i, f in enumerate(self.functions)}
        found = np.zeros((len(linear), len(self), len(self)))
        for g, matrix in enumerate(linear):
            rows = [[(int(c), matrix[row, c]) for c in np.flatnonzero(matrix[row])] for row in range(len(matrix))]
            for row, factors in enumerate(self.functions):
                for terms in product(*(rows[factor] for factor in factors)):
                    column = place[tuple(sorted(term[0] for term in terms))]
                    size = prod(term[1] for term in terms)
                    found[g, row, column] += size * self.weights[row] / self.weights[column]
        return found


@dataclass(frozen=True)
class Rung:
    """One class of laws: which of the gathered functions it has."""

    name: str
    functions: np.ndarray


def classes_of(functions: LocalFunctions) -> tuple[Rung, ...]:
    """Classes of laws from small to large: stencils of radius 1 and 2, products of values; or powers of vectors.

    Of point clouds the last has symmetric laws for placebos, more functions than are usually fitted.
    """
    degrees = np.array([len(f) for f in functions.functions])
    if functions.nested:
        last = np.array([max(f, default=0) for f in functions.functions])
        _, small, finer = functions.nested
        chosen = {
            "linear in the features": (degrees <= 1) & (last < small),
            "linear in finer features": (degrees <= 1) & (last < finer),
            "polynomial of degree 2": (degrees <= 2) & (last < finer),
            "polynomial of degree 2 with the finest features": degrees <= 2,
        }
        return tuple(Rung(name, np.flatnonzero(inside)) for name, inside in chosen.items())
    if not functions.offsets[0]:
        several = range(1, max(functions.degree, 2))
        return tuple(Rung(f"polynomial of degree {d}", np.flatnonzero(degrees <= d)) for d in several)
    steps = [max(map(abs, offset), default=0) for offset, _ in product(functions.offsets, range(functions.channels))]
    far = np.array([max((steps[i] for i in f), default=0) for f in functions.functions])
    chosen = {
        "stencil of radius 1": (degrees <= 1) & (far <= 1),
        "stencil of radius 2": degrees <= 1,
        "polynomial of degree 2, radius 1": (degrees <= 2) & (far <= 1),
        "polynomial of degree 2, radius 2": degrees <= 2,
    }
    found = {inside.tobytes(): Rung(name, np.flatnonzero(inside)) for name, inside in reversed(chosen.items())}
    return tuple(sorted(found.values(), key=lambda rung: list(chosen).index(rung.name)))  # small grids have no radius 2


def _shifted(field: np.ndarray, box: list[tuple[int, int]], offset: tuple[int, ...]) -> np.ndarray:
    """The values at some steps from the points of a box, wrapped around where they leave the grid."""
    taken = field
    for axis, ((low, high), step) in enumerate(zip(box, offset, strict=True), start=1):
        n = field.shape[axis]
        if low + step >= 0 and high + step <= n:
            taken = taken[(slice(None),) * axis + (slice(low + step, high + step),)]
        else:
            taken = np.take(taken, np.arange(low + step, high + step) % n, axis=axis)
    return taken
