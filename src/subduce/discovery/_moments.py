"""One pass over the data: for every exchangeable unit, the moments that all tests are made of."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from subduce.data import Pairs

from ._local import LocalFunctions

_LARGEST = 1 << 25  # numbers in the moments; units are put together where there would be more


@dataclass(frozen=True)
class Moments:
    """Sums over the points of each unit: functions with functions, functions with targets, and how many points.

    A law y = Bᵀφ(x) fitted by least squares, its residuals' sums by unit, and every refit to resampled units follow
    from these; the data are not read again.
    """

    gram: Float[np.ndarray, "units functions functions"]
    cross: Float[np.ndarray, "units functions targets"]
    square: Float[np.ndarray, "units targets"]
    points: Float[np.ndarray, " units"]

    @property
    def units(self) -> int:
        """How many exchangeable units there are."""
        return len(self.points)

    def gradients(self, law: Float[np.ndarray, "functions targets"]) -> Float[np.ndarray, "units functions targets"]:
        """The sum of residual times function over each unit's points: the score of every coefficient, unit by unit."""
        return self.cross - self.gram @ law

    def at(self, place: int, places: int) -> "Moments":
        """The moments at one place of units that were divided."""
        rows = slice(place, None, places)
        return Moments(self.gram[rows], self.cross[rows], self.square[rows], self.points[rows])

    def restricted(self, functions: np.ndarray) -> "Moments":
        """The moments of some of the functions."""
        return Moments(self.gram[:, functions][:, :, functions], self.cross[:, functions], self.square, self.points)


class Stopped(KeyboardInterrupt):
    """A pass over the data was interrupted; it holds the moments of the units that were read whole."""

    def __init__(self, done: int, moments: Moments) -> None:
        super().__init__()
        self.done, self.moments = done, moments


def gather(
    pairs: Pairs,
    functions: LocalFunctions,
    *,
    scale_input: Float[np.ndarray, " channels"],
    scale_target: Float[np.ndarray, " targets"],
    increments: bool,
    places: Int[np.ndarray, "*space"] | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Moments:
    """The moments of some functions of the input with the target, or with its difference to the input.

    With `places`, a number for each point of the grid, a unit is divided by them: its moments stand one place after the
    other. Units of which there are very many are put together, which exchangeable ones allow.
    """
    labels, units = np.unique(pairs.units, return_inverse=True)
    m, q = len(functions), pairs.target_channels.count if pairs.target_channels else pairs.input_channels.count
    most = max(16, _LARGEST // (m * m))
    if len(labels) > most:
        units = units % most
    divided = 1 if places is None else int(places.max()) + 1
    count = (int(units.max()) + 1) * divided
    gram, cross = np.zeros((count, m, m)), np.zeros((count, m, q))
    square, points = np.zeros((count, q)), np.zeros(count)
    done = 0
    try:
        for rows, inputs, targets in pairs.batches(256 if not pairs.shape else 1):
            targets = inputs if targets is None else targets
            inputs, outputs = _scaled(inputs, scale_input), targets - inputs if increments else targets
            outputs = _scaled(outputs, scale_target)
            for unit in np.unique(units[rows]) if not pairs.shape else [units[rows[0]]]:
                here = units[rows] == unit
                x = inputs[here].T if not pairs.shape else inputs[0]
                y = outputs[here].T if not pairs.shape else outputs[0]
                for phi, where in _evaluated(functions, x, pairs):
                    phi = phi.reshape(m, -1)
                    out = y[(slice(None), *where)].reshape(q, -1)
                    for row, chosen in _divided(int(unit) * divided, places, where):
                        some, wanted = phi[:, chosen], out[:, chosen]
                        gram[row] += some @ some.T
                        cross[row] += some @ wanted.T
                        square[row] += (wanted * wanted).sum(axis=1)
                        points[row] += some.shape[1]
            done += len(rows)
            progress(done, len(pairs))
    except KeyboardInterrupt:
        if places is not None:
            raise
        whole = np.setdiff1d(units[:done], units[done:])  # those of which every row was read
        raise Stopped(done, Moments(gram[whole], cross[whole], square[whole], points[whole])) from None
    return Moments(gram, cross, square, points)


def _divided(first: int, places: np.ndarray | None, where: tuple) -> Iterator[tuple[int, Any]]:
    """The rows that points add to, and which points those are."""
    if places is None:
        yield first, slice(None)
        return
    here = places[where].reshape(-1)
    for place in np.unique(here).tolist():
        yield first + place, here == place


def _evaluated(functions: LocalFunctions, x: np.ndarray, pairs: Pairs):
    if pairs.shape:
        yield from functions.evaluate(x, pairs.periodic)
    else:
        yield functions.of(x), (slice(None),)


def _scaled(values: np.ndarray, scale: np.ndarray) -> np.ndarray:
    return values / scale.reshape(1, -1, *(1,) * (values.ndim - 2))
