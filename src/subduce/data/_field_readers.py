"""Arrays of a file as samples of channels on a grid, whatever the layout; numbers are read by the piece."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from ..config import InputError
from ._field_stores import DAMAGED, Store, reason

_STEP = re.compile(r"(.+)_(\d{4,})")  # velocity_0001


class Source:
    """One array, or a numbered series of them, as samples `[sample, channel, *space]` in float64.

    A series `name_0001`, `name_0002`, … is what the Johns Hopkins turbulence database cuts out: one
    array a time, axes z y x, components last. Its samples are the times in order.

    Raises `InputError` for a name that the file does not hold (it says which it does), for numbers
    that are not real, and for an array without sample or channel.
    """

    def __init__(self, store: Store, name: str, *, no_channels: bool = False) -> None:
        self.store, self.name = store, name
        self._no_channels = no_channels
        series = series_in(store)
        held = {one.lower(): one for one in series}
        if name in store.names():
            self._members: list[str] = []
            shape, dtype, dims = self._describe(name)
            shape, dims = ((*shape[:1], 1, *shape[1:]), dims[1:]) if no_channels else (shape, dims[2:])
        elif name.lower() in held:
            self._members = series[held[name.lower()]]
            shape, dtype, dims = self._describe(self._members[0])
            if {self._describe(one)[0] for one in self._members} != {shape} or len(shape) < 2:
                raise InputError(f"{self}: the times of the series differ in shape, or have no components")
            shape, dims = (len(self._members), shape[-1], *shape[:-1]), dims[:-1]
        else:
            raise InputError(f"{store.path}: no array {name!r}; the file holds {', '.join(contents(store)) or 'none'}")
        if dtype.kind not in "fiub":
            kind = {"c": "complex numbers", "O": "objects", "V": "records"}.get(dtype.kind, f"{dtype}")
            way = "store real and imaginary part as two channels" if dtype.kind == "c" else "store plain numbers"
            raise InputError(f"{self}: expected real numbers, found {kind}; {way}")
        if len(shape) < 2:
            raise InputError(
                f"{self}: shape {_sizes(shape)}; "
                "expected [sample, channel, *space]; without a channel axis --no-channels"
            )
        if not all(shape):
            raise InputError(f"{self}: holds no numbers, its shape is {_sizes(shape)}; expected samples")
        self._packing = _Packing(store.attributes((self._members or [name])[0]))
        self.shape: tuple[int, ...] = shape
        self.dtype: np.dtype = dtype
        self.axes: tuple[str, ...] = tuple(dims) if len(dims) == len(shape) - 2 else ()

    def __str__(self) -> str:
        return f"{self.store.path}, {self.name}"

    @property
    def times(self) -> list[int]:
        """The numbers in the names of a series; empty for one array."""
        return [int(name.rpartition("_")[2]) for name in self._members]

    @property
    def is_series(self) -> bool:
        """Whether the samples are arrays of their own."""
        return bool(self._members)

    def read(self, rows: np.ndarray, box: tuple[slice, ...] = ()) -> np.ndarray:
        """Samples `[sample, channel, *space]`, float64, or a box of each; nothing else is read."""
        if self._members:
            return np.stack([np.moveaxis(self._piece(self._members[row], box, row), -1, 0) for row in rows.tolist()])
        channel = () if self._no_channels else (slice(None),)
        pieces = [self._piece(self.name, (run, *channel, *box), run.start) for run in _runs(rows)]
        values = pieces[0] if len(pieces) == 1 else np.concatenate(pieces)
        return values[:, None] if self._no_channels else values

    def _piece(self, name: str, index: tuple[slice, ...], sample: int) -> np.ndarray:
        try:
            return self._packing.unpack(np.asarray(self.store.array(name)[(*index, ...)]))
        except InputError:
            raise
        except DAMAGED as error:
            raise InputError(f"{self}, sample {sample}: cannot be read ({reason(error)})") from None

    def _describe(self, name: str) -> tuple[tuple[int, ...], np.dtype, tuple[str, ...]]:
        try:
            array = self.store.array(name)
            return tuple(array.shape), np.dtype(array.dtype), self.store.dims(name)
        except InputError:
            raise
        except DAMAGED as error:
            raise InputError(f"{self.store.path}, {name}: not a plain array ({reason(error)})") from None


def series_in(store: Store) -> dict[str, list[str]]:
    """The numbered series of a file, each with its members in order."""
    found: dict[str, list[tuple[int, str]]] = {}
    for name in store.names():
        if match := _STEP.fullmatch(name):
            found.setdefault(match[1], []).append((int(match[2]), name))
    return {base: [name for _, name in sorted(members)] for base, members in found.items()}


def contents(store: Store) -> list[str]:
    """What can be asked for: arrays by name, series by their common name."""
    series = series_in(store)
    members = {name for names in series.values() for name in names}
    return [*series, *(name for name in store.names() if name not in members)]


def whole(store: Store, name: str, shape: tuple[int, ...]) -> np.ndarray | None:
    """All of a small array of that shape, such as a coordinate or labels; None, and nothing read, for another shape.

    Raises `InputError` where it cannot be read.
    """
    try:
        array = store.array(name)
        return np.asarray(array[...]) if tuple(array.shape) == shape else None
    except DAMAGED as error:
        raise InputError(f"{store.path}, {name}: not a plain array ({reason(error)})") from None


def _runs(rows: np.ndarray) -> Iterator[slice]:
    """Rows as slices of rows in a row."""
    for run in np.split(rows, np.flatnonzero(np.diff(rows) != 1) + 1):
        yield slice(int(run[0]), int(run[-1]) + 1)


class _Packing:
    """Numbers as meant: packed ones unpacked and missing ones NaN, by the attributes that NetCDF defines."""

    def __init__(self, attributes: Mapping[str, Any]) -> None:
        missing = [_number(attributes, key) for key in ("_FillValue", "missing_value")]
        self._missing = [value for value in missing if value is not None and np.isfinite(value)]
        self._scale, self._offset = _number(attributes, "scale_factor"), _number(attributes, "add_offset")

    def unpack(self, values: np.ndarray) -> np.ndarray:
        """The values in float64."""
        result = values.astype(np.float64)
        for missing in self._missing:
            result[values == np.asarray(missing).astype(values.dtype)] = np.nan
        if self._scale is not None:
            result *= self._scale
        if self._offset is not None:
            result += self._offset
        return result


def _number(attributes: Mapping[str, Any], key: str) -> float | None:
    value = np.asarray(attributes.get(key, ""))
    return float(value.reshape(-1)[0]) if value.dtype.kind in "fiu" and value.size == 1 else None


def _sizes(shape: tuple[int, ...]) -> str:
    return "[" + ", ".join(map(str, shape)) + "]"
