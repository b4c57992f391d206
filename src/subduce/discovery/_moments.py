"""One pass over the data: for every exchangeable unit, the moments that all tests are made of."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

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

    def restricted(self, functions: np.ndarray) -> "Moments":
        """The moments of some of the functions."""
        return Moments(self.gram[:, functions][:, :, functions], self.cross[:, functions], self.square, self.points)


def gather(
    pairs: Pairs,
    functions: LocalFunctions,
    *,
    scale_input: Float[np.ndarray, " channels"],
    scale_target: Float[np.ndarray, " targets"],
    increments: bool,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Moments:
    """The moments of some functions of the input with the target, or with its difference to the input."""
    labels, units = np.unique(pairs.units, return_inverse=True)
    m, q = len(functions), pairs.target_channels.count if pairs.target_channels else pairs.input_channels.count
    most = max(16, _LARGEST // (m * m))
    if len(labels) > most:  # units are exchangeable: some put together are units again
        units = units % most
    count = int(units.max()) + 1
    gram, cross = np.zeros((count, m, m)), np.zeros((count, m, q))
    square, points = np.zeros((count, q)), np.zeros(count)
    done = 0
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
                gram[unit] += phi @ phi.T
                cross[unit] += phi @ out.T
                square[unit] += (out * out).sum(axis=1)
                points[unit] += phi.shape[1]
        done += len(rows)
        progress(done, len(pairs))
    return Moments(gram, cross, square, points)


def _evaluated(functions: LocalFunctions, x: np.ndarray, pairs: Pairs):
    if pairs.shape:
        yield from functions.evaluate(x, pairs.periodic)
    else:
        yield functions.of(x), (slice(None),)


def _scaled(values: np.ndarray, scale: np.ndarray) -> np.ndarray:
    return values / scale.reshape(1, -1, *(1,) * (values.ndim - 2))
