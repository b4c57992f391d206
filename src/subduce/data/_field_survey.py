"""One pass over pairs of fields: moments, and what makes them unusable."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from ..config import InputError
from ._field_readers import Source

_NUMBERS = 2**22  # read at once


@dataclass(frozen=True)
class FieldSurvey:
    """What one pass over all pairs found; moments `[channel]` are over samples and places, float64."""

    input_mean: np.ndarray
    input_variance: np.ndarray
    target_mean: np.ndarray | None
    target_variance: np.ndarray | None
    constant: tuple[str, ...]  # channels in which every number is the same, as "input 2"
    identity: bool  # target and input are the same numbers, to the coarser of their dtypes


def survey_pairs(source: Source, rows: np.ndarray, target: Source | None, target_rows: np.ndarray) -> FieldSurvey:
    """Read every pair once, in slabs; raises `InputError` at the first NaN, and where a side is constant."""
    sides = [_Moments(source, "input")]
    dtype = source.dtype
    if target is not None:
        sides.append(_Moments(target, "target"))
        dtype = min(source.dtype, target.dtype, key=lambda kind: np.finfo(kind).bits if kind.kind == "f" else 64)
    same = target is not None and target.shape[1] == source.shape[1]
    for some, box in _blocks(len(rows), _wider(source, target)):
        values = source.read(rows[some], box)
        sides[0].add(values, rows[some], box)
        if target is not None:
            wanted = target.read(target_rows[some], box)
            sides[1].add(wanted, target_rows[some], box)
            same = same and _equal(values, wanted, dtype)
    for side in sides:
        side.refuse_constant()
    return FieldSurvey(
        input_mean=sides[0].mean,
        input_variance=sides[0].variance,
        target_mean=sides[1].mean if target is not None else None,
        target_variance=sides[1].variance if target is not None else None,
        constant=tuple(f"{side.label} {channel}" for side in sides for channel in side.constant.nonzero()[0]),
        identity=same,
    )


class _Moments:
    """Mean and variance of each channel, gathered slab by slab without losing digits (Chan et al. 1983)."""

    def __init__(self, source: Source, label: str) -> None:
        self.label, self._source = label, source
        channels = source.shape[1]
        self.count, self.mean, self._squares = 0, np.zeros(channels), np.zeros(channels)
        self._low, self._high = np.full(channels, np.inf), np.full(channels, -np.inf)

    def add(self, values: np.ndarray, rows: np.ndarray, box: tuple[slice, ...]) -> None:
        """Some samples `[sample, channel, *box]`."""
        flat = np.moveaxis(values, 1, 0).reshape(values.shape[1], -1)
        low, high = flat.min(axis=1), flat.max(axis=1)
        if not (np.isfinite(low) & np.isfinite(high)).all():
            self._refuse(values, rows, box)
        self._low, self._high = np.minimum(self._low, low), np.maximum(self._high, high)
        mean, number = flat.mean(axis=1), flat.shape[1]
        shift, total = mean - self.mean, self.count + number
        self._squares += ((flat - mean[:, None]) ** 2).sum(axis=1) + shift**2 * (self.count * number / total)
        self.mean = self.mean + shift * (number / total)
        self.count = total

    @property
    def variance(self) -> np.ndarray:
        """Of each channel, over samples and places."""
        return self._squares / self.count

    @property
    def constant(self) -> np.ndarray:
        """The channels in which every number is the same."""
        return self._low == self._high

    def refuse_constant(self) -> None:
        """Raise where no channel varies."""
        if self.constant.all():
            raise InputError(
                f"{self._source}: a constant field, every number of {'each channel' if len(self._low) > 1 else 'it'} "
                f"is the same ({self._low[0]:g}); expected a field that varies"
            )

    def _refuse(self, values: np.ndarray, rows: np.ndarray, box: tuple[slice, ...]) -> None:
        first = np.argwhere(~np.isfinite(values))[0].tolist()
        row, channel, *place = first
        kind = "NaN" if np.isnan(values[tuple(first)]) else "infinity"
        if box:
            place[0] += box[0].start
        at = f", place ({', '.join(map(str, place))})" if place else ""
        raise InputError(
            f"{self._source}: {kind} at sample {rows[row]}, channel {channel}{at}; remove the sample or fill the gap"
        )


def _wider(source: Source, target: Source | None) -> tuple[int, ...]:
    return (max(source.shape[1], target.shape[1] if target else 0), *source.shape[2:])


def _blocks(count: int, shape: tuple[int, ...]) -> Iterator[tuple[slice, tuple[slice, ...]]]:
    """Several small samples at once, or a slab of a large one `[channel, *space]` along the first axis of space."""
    size = int(np.prod(shape))
    if size <= _NUMBERS or len(shape) < 2:
        some = max(1, _NUMBERS // size)
        yield from ((slice(start, start + some), ()) for start in range(0, count, some))
        return
    thick = max(1, _NUMBERS * shape[1] // size)
    for number in range(count):
        for start in range(0, shape[1], thick):
            yield slice(number, number + 1), (slice(start, min(start + thick, shape[1])),)


def _equal(one: np.ndarray, other: np.ndarray, dtype: np.dtype) -> bool:
    if np.array_equal(one, other):
        return True
    return dtype.kind == "f" and np.array_equal(one.astype(dtype), other.astype(dtype))
