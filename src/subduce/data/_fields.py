"""Pairs of fields on regular grids, or of vectors, read from files by the piece."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import product
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ..config import InputError
from ._channels import Channels
from ._field_readers import Source, contents, whole
from ._field_stores import Store, open_store
from ._field_survey import FieldSurvey, survey_pairs

_AXES = "xyzt"
_KNOWN = {"velocity": "1o", "vectorpotential": "1o", "magneticfield": "1e", "vorticity": "1e"}


class Patch(NamedTuple):
    """A box of one pair, and where its lowest corner lies in the grid."""

    sample: int
    corner: tuple[int, ...]
    input: np.ndarray
    target: np.ndarray | None


@dataclass(frozen=True, eq=False)
class Pairs:
    """Pairs of input and target, both on one grid or both without space; nothing is read until asked for.

    `pairs[i]` is one pair, `[channel, *space]` each, float64. `target_channels` and every target are
    None where there is one array alone. `axes`, `periodic` and `spacing` describe the axes of space in
    the order of the array; `units[i]` is the exchangeable unit that pair `i` belongs to, counted from 0.
    Survives pickling: open files stay in their process.
    """

    input_channels: Channels
    target_channels: Channels | None
    shape: tuple[int, ...]
    axes: tuple[str, ...]
    periodic: tuple[bool, ...]
    spacing: tuple[float, ...]
    units: np.ndarray  # [sample]
    _input: Source = field(repr=False)
    _target: Source | None = field(repr=False)
    _rows: np.ndarray = field(repr=False)  # where in the file each input lies
    _lag: int = field(repr=False)
    _memo: dict[str, FieldSurvey] = field(default_factory=dict, repr=False)
    nested: tuple[int, ...] = ()
    """How many of the first input channels laws may have products of, a small class of laws has, and a finer one."""

    @property
    def n_samples(self) -> int:
        """How many pairs there are."""
        return len(self._rows)

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, index: int) -> tuple[np.ndarray, np.ndarray | None]:
        inputs, targets = self._read(self._rows[[index]], ())
        return inputs[0], None if targets is None else targets[0]

    def __iter__(self) -> Iterator[tuple[np.ndarray, np.ndarray | None]]:
        return (self[index] for index in range(len(self)))

    def subset(self, indices: Sequence[int] | np.ndarray) -> "Pairs":
        """Some of the pairs, by numbers or by a mask, in the order given; they keep the numbers of their units."""
        chosen = np.arange(len(self))[indices]
        return replace(self, units=self.units[chosen], _rows=self._rows[chosen], _memo={})

    def without_target(self) -> "Pairs":
        """The inputs alone."""
        return replace(self, target_channels=None, _target=None)

    def holding(self, other: "Pairs") -> "Pairs":
        """The numbers of other pairs of the same shape, with the channels, axes and units of these."""
        same = {
            name: getattr(self, name) for name in ("input_channels", "target_channels", "periodic", "spacing", "units")
        }
        return replace(other, **same)

    def batches(
        self, size: int, *, indices: Sequence[int] | np.ndarray | None = None
    ) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray | None]]:
        """Indices `[batch]`, inputs and targets `[batch, channel, *space]` of up to `size` pairs at a time."""
        if size < 1:
            raise ValueError(f"a batch holds at least one pair, got size {size}")
        order = np.arange(len(self))[slice(None) if indices is None else indices]
        for start in range(0, len(order), size):
            rows = order[start : start + size]
            yield rows, *self._read(self._rows[rows], ())

    def patches(
        self,
        size: int | Sequence[int],
        stride: int | Sequence[int] | None = None,
        *,
        indices: Sequence[int] | None = None,
    ) -> Iterator[Patch]:
        """Boxes of `size` points along each axis, `stride` apart (`size` where not given), one after the other.

        Boxes lie inside the grid and never wrap around it; what is left at the far ends where the
        strides do not fit is not covered. Only the box is read, where the format allows it. Raises
        `ValueError` for a box larger than the grid or for pairs without space.
        """
        size = (size,) * len(self.shape) if isinstance(size, int) else tuple(size)
        stride = size if stride is None else (stride,) * len(self.shape) if isinstance(stride, int) else tuple(stride)
        fits = len(size) == len(stride) == len(self.shape) > 0 and min(*size, *stride) > 0
        if not fits or any(s > n for s, n in zip(size, self.shape, strict=True)):
            raise ValueError(f"boxes of {size} points, {stride} apart, do not fit a grid of {self.shape}")
        starts = [range(0, n - s + 1, d) for n, s, d in zip(self.shape, size, stride, strict=True)]
        for sample in np.arange(len(self))[slice(None) if indices is None else indices].tolist():
            for corner in product(*starts):
                box = tuple(slice(c, c + s) for c, s in zip(corner, size, strict=True))
                inputs, targets = self._read(self._rows[[sample]], box)
                yield Patch(sample, corner, inputs[0], None if targets is None else targets[0])

    def survey(self) -> FieldSurvey:
        """Moments, constant channels and identity, in one pass over all pairs that is made once and kept.

        Raises `InputError` at the first number that is not finite (it says where), and where all
        channels of input or target are constant.
        """
        if not len(self):
            raise ValueError("no pairs to survey")
        if "survey" not in self._memo:
            self._memo["survey"] = survey_pairs(self._input, self._rows, self._target, self._rows + self._lag)
        return self._memo["survey"]

    @property
    def identity(self) -> bool:
        """Whether the target is the input; makes the pass of `survey` where it has not been made."""
        return self.survey().identity

    def grid_matrices(self, rotations: np.ndarray) -> np.ndarray:
        """Orthogonal matrices `[order, 3, 3]` with rows x, y, z, as `[order, d, d]` with rows as the array's axes.

        An axis of time stays. Raises `ValueError` where a matrix mixes the axes of the grid with others.
        """
        space = [place for place, axis in enumerate(self.axes) if axis != "t"]
        kept = ["xyz".index(self.axes[place]) for place in space]
        turned = np.asarray(rotations, dtype=np.float64)[:, kept][:, :, kept]
        if not np.allclose(turned @ turned.transpose(0, 2, 1), np.eye(len(kept)), atol=1e-9):
            raise ValueError(f"a matrix does not keep the axes {' '.join(self.axes)} among themselves")
        matrices = np.tile(np.eye(len(self.axes)), (len(turned), 1, 1))
        matrices[:, np.array(space, dtype=int)[:, None], np.array(space, dtype=int)] = turned
        return matrices

    def _read(self, rows: np.ndarray, box: tuple[slice, ...]) -> tuple[np.ndarray, np.ndarray | None]:
        return self._input.read(rows, box), None if self._target is None else self._target.read(rows + self._lag, box)


def open_pairs(
    path: str | Path | Mapping[str, np.ndarray],
    *,
    input: str = "input",
    target: str | None = "target",
    lag: int | None = None,
    channels: str | None = None,
    input_channels: str | None = None,
    target_channels: str | None = None,
    no_channels: bool = False,
    axes: str | Sequence[str] | None = None,
    periodic: str | Sequence[str] | None = None,
    units: str = "sample",
    spacing: float | Sequence[float] | None = None,
    distribution: bool = False,
) -> Pairs:
    """The pairs in arrays `input` and `target` of one file, `[sample, channel, *space]`, none of them read yet.

    A mapping from names to arrays does as well as a file: `.npz`, `.npy` (one array, or a folder of them), HDF5,
    NetCDF and Zarr (the extra `subduce[fields]`). Vectors are `[sample, channel]`. With `lag` the pairs are
    (t, t + lag) of the array `input`, `[time, channel, *space]`; with `distribution` there are no targets; either
    way a file's only array needs no name.

    - `channels` says how the channels of both sides turn (see `Channels`), `input_channels` and
      `target_channels` those of one side; one scalar needs none. `no_channels`: the arrays have no
      channel axis.
    - `axes` names the axes of space in the order of the array, `"z y x"`; else the names that the file
      keeps, else x, y, z. An axis `t` is time.
    - `periodic` names the axes that repeat (`""`: none); not given, all do but time.
    - `spacing`: one number or one an axis; else that of the coordinates in the file, else 1.
    - `units`: what is exchangeable: `sample`, `block:N` (N pairs in a row; the last block may be
      shorter), or `group:ARRAY`, an array of the same file with a label for each sample; with `lag`, no
      pair joins two groups.

    Cutouts of the Johns Hopkins turbulence database, new and old: `velocity` means the arrays
    `velocity_0001`, …, in any spelling of capitals, times as samples and the last axis as channels; axes
    are z y x, known variables need no `channels`, and a cutout is not periodic unless `periodic` says so.

    Raises `InputError`, one line, for what is missing, does not fit together, or is no set of real numbers.

    >>> import numpy as np, tempfile
    >>> file = f"{tempfile.mkdtemp()}/flow.npz"
    >>> velocity = np.random.default_rng(0).normal(size=(10, 3, 8, 8, 8))
    >>> np.savez(file, velocity=velocity, pressure=velocity[:, :1] ** 2)
    >>> pairs = open_pairs(file, input="velocity", target="pressure", input_channels="velocity=1o", units="block:5")
    >>> len(pairs), pairs.axes, pairs.input_channels.irreps, pairs.units.max()
    (10, ('x', 'y', 'z'), 1x1o, np.int64(1))
    >>> field, wanted = pairs[3]
    >>> field.shape, wanted.shape
    ((3, 8, 8, 8), (1, 8, 8, 8))
    """
    store = open_store(path)
    path = store.path
    alone = distribution or lag is not None
    if distribution and lag is not None:
        raise InputError(f"{path}: lag {lag} and distribution; give one of them")
    if alone and target not in (None, "target"):
        raise InputError(
            f"{path}: a target {target!r} and {'distribution' if distribution else 'lag'}: give one of them"
        )
    source = Source(store, _name(store, input, alone), no_channels=no_channels)
    other = _target(store, source, target, lag, distribution, no_channels)
    shape = source.shape[2:]
    named = _axes(source, axes)
    rows, unit_of = _units(store, source, units, lag)
    return Pairs(
        input_channels=_channels(source, input_channels or channels, named, "input"),
        target_channels=None if other is None else _channels(other, target_channels or channels, named, "target"),
        shape=shape,
        axes=named,
        periodic=_periodic(source, named, periodic),
        spacing=_spacing(source, named, spacing),
        units=unit_of,
        _input=source,
        _target=other,
        _rows=rows,
        _lag=lag or 0,
    )


def _name(store: Store, name: str, alone: bool) -> str:
    """The array meant by a name: a file's only array goes by any where only one is wanted."""
    if name != "input" or name in store.names() or not alone:
        return name
    held = contents(store)
    several = held if len(held) == 1 else [one for one in held if not _is_line(store, one)]
    return several[0] if len(several) == 1 else name


def _is_line(store: Store, name: str) -> bool:
    """Whether an array is a coordinate, a set of labels or less."""
    return name in store.names() and len(getattr(store.array(name), "shape", ())) < 2


def _target(
    store: Store, source: Source, target: str | None, lag: int | None, distribution: bool, no_channels: bool
) -> Source | None:
    if distribution:
        return None
    if lag is not None:
        if not 1 <= lag < source.shape[0]:
            raise InputError(
                f"{source}: lag {lag} for {source.shape[0]} times; expected at least 1 and more times than it"
            )
        if source.is_series and len(set(np.diff(source.times).tolist())) > 1:
            raise InputError(f"{source}: the times {source.times} are not evenly spaced; a lag needs a regular series")
        return Source(store, source.name, no_channels=no_channels)  # its own place in the file
    if target is None:
        raise InputError(f"{source}: no target; name one with --target, or use --lag N or --distribution")
    try:
        other = Source(store, target, no_channels=no_channels)
    except InputError as error:
        if target == "target" and "no array" in str(error):
            raise InputError(f"{error}; name one with --target, or use --lag N or --distribution") from None
        raise
    if other.shape[0] != source.shape[0]:
        raise InputError(
            f"{store.path}: {source.shape[0]} samples in {source.name} and {other.shape[0]} in {other.name}; "
            "expected as many targets as inputs"
        )
    if other.shape[2:] != source.shape[2:] or other.is_series != source.is_series:
        raise InputError(
            f"{store.path}: {source.name} has {_space(source)} and {other.name} {_space(other)}; "
            "expected [sample, channel, *space] with one space for both"
        )
    return other


def _space(source: Source) -> str:
    return f"space {' x '.join(map(str, source.shape[2:]))}" if source.shape[2:] else "no space"


def _channels(source: Source, text: str | None, axes: tuple[str, ...], side: str) -> Channels:
    known = _KNOWN.get(source.name.lower()) if source.is_series else None
    if text is None and known and source.shape[1] == 3:
        text = f"{source.name.lower()}={known}"
    name = source.name.lower() if source.is_series else side
    return Channels.parse(text, count=source.shape[1], axes=axes, name=name, source=str(source))


def _axes(source: Source, axes: str | Sequence[str] | None) -> tuple[str, ...]:
    dimension = len(source.shape) - 2
    if axes is None:
        kept = tuple(name.lower().removesuffix("coor") for name in source.axes)
        if kept and set(kept) <= set(_AXES) and len(set(kept)) == len(kept):
            return kept
        named = ("z", "y", "x")[-dimension:] if source.is_series and dimension else tuple(_AXES[:dimension])
    else:
        named = _words(axes)
    if len(named) != dimension or (axes is None and dimension > 3):
        raise InputError(
            f"{source}: {dimension} axes of space in {list(source.shape)} (after sample and channel), "
            f"{len(named) if axes is not None else 'up to 3'} expected; name them with --axes, or use --no-channels"
        )
    if not set(named) <= set(_AXES) or len(set(named)) < len(named):
        raise InputError(f"{source}: axes {' '.join(named)!r}; expected different ones of x, y, z, t")
    return named


def _words(names: str | Sequence[str]) -> tuple[str, ...]:
    return tuple(names.replace(",", " ").split()) if isinstance(names, str) else tuple(names)


def _periodic(source: Source, axes: tuple[str, ...], periodic: str | Sequence[str] | None) -> tuple[bool, ...]:
    if periodic is None:
        return tuple(axis != "t" and not source.is_series for axis in axes)
    named = tuple(name for name in _words(periodic) if name != "none")
    if not set(named) <= set(axes):
        raise InputError(
            f"{source}: periodic {' '.join(named)!r}; expected some of the axes {' '.join(axes) or '(none)'}"
        )
    return tuple(axis in named for axis in axes)


def _spacing(source: Source, axes: tuple[str, ...], spacing: float | Sequence[float] | None) -> tuple[float, ...]:
    if spacing is None:
        return tuple(_step(source, number, axis) for number, axis in enumerate(axes))
    given = np.asarray(spacing, dtype=np.float64)
    steps = tuple((np.full(len(axes), given) if given.ndim == 0 else given.reshape(-1)).tolist())
    if len(steps) != len(axes) or not all(0 < step < np.inf for step in steps):
        raise InputError(
            f"{source}: spacing {spacing}; expected a positive number, or one for each of {len(axes)} axes"
        )
    return steps


def _step(source: Source, number: int, axis: str) -> float:
    """The step of a coordinate kept in the file under the axis's name, or 1."""
    names = [*source.axes[number : number + 1], axis, f"{axis}coor"]
    name = next((one for one in names if one in source.store.names()), None)
    if name is None:
        return 1.0
    points = whole(source.store, name, source.shape[2 + number : 3 + number])
    if points is None or len(points) < 2 or points.dtype.kind not in "fiu":
        return 1.0
    steps = np.diff(points.astype(np.float64))
    if not np.allclose(steps, steps.mean(), rtol=1e-3) or steps.mean() <= 0:
        raise InputError(f"{source}: the coordinate {name} is not evenly spaced and ascending; give a spacing")
    return float(steps.mean())


def _units(store: Store, source: Source, units: str, lag: int | None) -> tuple[np.ndarray, np.ndarray]:
    """Which samples are inputs, and the unit of each, counted from 0."""
    rows = np.arange(source.shape[0] - (lag or 0))
    kind, _, value = units.partition(":")
    if units == "sample":
        return rows, rows.copy()
    if kind == "block" and value.isdigit() and int(value) > 0:
        return rows, rows // int(value)
    if kind != "group" or not value:
        raise InputError(f"{store.path}: units {units!r}; expected sample, block:N (N pairs in a row) or group:ARRAY")
    if value not in store.names():
        raise InputError(f"{store.path}: no array {value!r} for units; the file holds {', '.join(contents(store))}")
    labels = whole(store, value, source.shape[:1])
    if labels is None or labels.dtype.kind not in "biufSUO":
        shape = list(store.array(value).shape)
        raise InputError(
            f"{store.path}: units {value} has shape {shape}; expected a label for each of {source.shape[0]} samples"
        )
    if labels.dtype.kind == "f" and not np.isfinite(labels).all():
        raise InputError(f"{store.path}: units {value} holds NaN; expected a label for each sample")
    numbers = np.unique(labels, return_inverse=True)[1].reshape(-1)
    if lag:
        rows = rows[numbers[:-lag] == numbers[lag:]]
        if not len(rows):
            raise InputError(f"{store.path}: lag {lag} leaves no pair within a group of {value}; take a smaller lag")
    return rows, np.unique(numbers[rows], return_inverse=True)[1].reshape(-1)
