"""Structures and their edges packed into flat arrays, in memory or in a cache folder on disk."""

import hashlib
import json
import math
import os
import shutil
import tempfile
import zlib
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Self

import numpy as np

from ..config import InputError
from ._neighbors import neighbor_list
from ._readers import Structures
from ._structures import Structure

Progress = Callable[[int, int], None]
"""Called with the number of structures packed and the number in all."""

LABELS = ("energy", "forces", "stress")
OVERLAP = 0.1  # Å; nearer than this, two atoms are one mistake

_VERSION = 2
_CHUNK = 256  # structures packed at a time, and sent between processes
Layout = dict[str, tuple[str, tuple[int, ...]]]
_LAYOUT: Layout = {
    # per structure
    "num_atoms": ("<i4", ()),
    "num_edges": ("<i4", ()),
    "num_lonely": ("<i4", ()),
    "cell": ("<f8", (3, 3)),
    "pbc": ("|b1", (3,)),
    "energy": ("<f8", ()),
    "stress": ("<f8", (3, 3)),
    "charge": ("<f8", ()),
    "weights": ("<f8", (4,)),
    "known": ("|b1", (3,)),
    "config_type": ("<i4", ()),
    # per atom
    "atomic_numbers": ("|u1", ()),
    "positions": ("<f8", (3,)),
    "forces": ("<f8", (3,)),
    # per edge; atoms counted within the structure
    "sender": ("<i4", ()),
    "receiver": ("<i4", ()),
    "shifts": ("<i2", (3,)),
}


class Packed:
    """Flat arrays of many structures, and where each structure begins in them.

    On disk the arrays are memory-mapped, so that memory does not grow with their number; a copy in
    another process opens the files again.
    """

    def __init__(
        self,
        arrays: dict[str, np.ndarray],
        config_types: Sequence[str],
        properties: Sequence[str],
        folder: Path | None = None,
    ) -> None:
        self.arrays, self.config_types, self.folder = arrays, tuple(config_types), folder
        self.properties = {name: _column(place) for place, name in enumerate(properties)}
        self.atom_starts = np.concatenate([[0], np.cumsum(arrays["num_atoms"], dtype=np.int64)])
        self.edge_starts = np.concatenate([[0], np.cumsum(arrays["num_edges"], dtype=np.int64)])

    def __reduce__(self) -> tuple:
        if self.folder is None:
            return Packed, (self.arrays, self.config_types, tuple(self.properties))
        return Packed.open, (self.folder,)

    def per_atom(self, column: str) -> bool:
        """Whether a column has a row for each atom, and not one for each structure."""
        return len(self.arrays[column]) == self.atom_starts[-1]

    @classmethod
    def open(cls, folder: Path) -> Self:
        """The arrays of a cache folder; raises `ValueError` or `OSError` where it is missing or damaged."""
        described = json.loads((folder / "layout.json").read_text())
        if described["version"] != _VERSION:
            raise ValueError(f"{folder}: version {described['version']}, expected {_VERSION}")
        arrays, properties = {}, described["properties"]
        for name, (dtype, shape) in _with_properties(properties.values()).items():
            length, size = described["lengths"][name], (folder / name).stat().st_size
            if size != length * np.dtype(dtype).itemsize * math.prod(shape):
                raise ValueError(f"{folder / name}: {size} bytes do not hold {length} entries")
            # An empty file cannot be mapped.
            mapped = (
                np.memmap(folder / name, dtype, "r", shape=(length, *shape)) if length else np.empty((0, *shape), dtype)
            )
            arrays[name] = mapped.view(np.ndarray)
        if zlib.crc32(arrays["num_edges"].tobytes() + arrays["num_atoms"].tobytes()) != described["crc"]:
            raise ValueError(f"{folder}: the numbers of atoms and edges were changed")
        return cls(arrays, described["config_types"], list(properties), folder)


def pack(
    structures: Sequence[Structure],
    cutoff: float,
    *,
    cache: Path | None = None,
    workers: int = 0,
    progress: Progress | None = None,
) -> Packed:
    """Structures with their edges (Å cutoff): from the cache where it holds them, else packed anew.

    Raises `InputError` for the first structure that is damaged or has atoms on top of each other,
    and where the cache folder cannot be written.
    """
    if cache is None:
        return _in_memory(_shapes(structures), _chunks(structures, cutoff, workers, progress))
    folder = Path(cache) / _key(structures, cutoff)
    try:
        return Packed.open(folder)
    except (OSError, ValueError, KeyError, TypeError):  # not there, or damaged: build it
        pass
    try:
        Path(cache).mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(dir=cache, prefix=".packing-"))
        try:
            _write(temporary, _shapes(structures), _chunks(structures, cutoff, workers, progress))
            _place(temporary, folder)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
    except OSError as error:
        raise InputError(f"{cache}: cannot hold the cache ({error.strerror}); name another folder") from None
    return Packed.open(folder)


def pack_some(structures: Sequence[Structure], rows: range, cutoff: float) -> tuple[dict[str, np.ndarray], list[str]]:
    """A few structures as flat arrays, and the `config_type` of each."""
    shapes = _shapes(structures)
    layout = _with_properties(shapes.values())
    columns: dict[str, list] = {name: [] for name in layout if name != "config_type"}
    types = []
    for row in rows:
        structure = structures[row]
        sender, receiver, shifts = edges_of(structure, cutoff)
        neighbours = np.bincount(receiver, minlength=structure.num_atoms)
        lonely = int((neighbours == 0).sum()) if structure.num_atoms > 1 or structure.pbc.any() else 0
        values = {
            "num_atoms": structure.num_atoms,
            "num_edges": len(sender),
            "num_lonely": lonely,
            "weights": [getattr(structure, f"{label}_weight") for label in (*LABELS, "properties")],
            "known": [structure.has(label) for label in (*LABELS, *shapes)],
            **{"sender": sender, "receiver": receiver, "shifts": shifts},
            **{_column(place): structure.properties[name] for place, name in enumerate(shapes)},
        }
        for name, column in columns.items():
            column.append(values[name] if name in values else getattr(structure, name))
        types.append(structure.config_type)
    per_structure = set(_LAYOUT) - {"atomic_numbers", "positions", "forces", "sender", "receiver", "shifts"}
    arrays = {
        name: np.array(column, dtype=layout[name][0])
        if name in per_structure
        else np.concatenate(column).astype(layout[name][0])
        for name, column in columns.items()
    }
    return arrays, types


def edges_of(structure: Structure, cutoff: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Sender, receiver and shifts of a structure; `InputError` where two atoms are on top of each other."""
    sender, receiver, shifts = neighbor_list(structure.positions, structure.cell, structure.pbc, cutoff)
    if np.abs(shifts).max(initial=0) > np.iinfo(np.int16).max:
        raise InputError(f"{structure.source}: atoms lie thousands of cells away; wrap them into the cell")
    positions = structure.positions
    vectors = positions[sender] - positions[receiver] + shifts @ structure.cell
    distances = np.einsum("ea,ea->e", vectors, vectors) ** 0.5
    if distances.min(initial=np.inf) < OVERLAP:
        worst = int(distances.argmin())
        raise InputError(
            f"{structure.source}: atoms {receiver[worst]} and {sender[worst]} are {distances[worst]:.3g} Å apart, "
            f"on top of each other; expected at least {OVERLAP} Å. Remove the structure, or check the unit of length"
        )
    return sender, receiver, shifts


def _chunks(
    structures: Sequence[Structure], cutoff: float, workers: int, progress: Progress | None
) -> Iterator[tuple[dict[str, np.ndarray], list[str]]]:
    """Packed pieces in order, with only a few of them alive at a time."""
    total = len(structures)
    pieces = [range(start, min(start + _CHUNK, total)) for start in range(0, total, _CHUNK)]
    if workers == 0:
        for rows in pieces:
            yield pack_some(structures, rows, cutoff)
            if progress:
                progress(rows.stop, total)
        return
    # Spawned, not forked: torch and HDF5 have threads and locks that a fork would copy in mid-air.
    with ProcessPoolExecutor(workers, get_context("spawn"), _begin, (structures, cutoff)) as pool:
        waiting = deque((rows, pool.submit(_pack_here, rows)) for rows in pieces[: 3 * workers])
        upcoming = iter(pieces[3 * workers :])
        while waiting:
            rows, result = waiting.popleft()
            yield result.result()
            if (following := next(upcoming, None)) is not None:
                waiting.append((following, pool.submit(_pack_here, following)))
            if progress:
                progress(rows.stop, total)


_here: tuple[Sequence[Structure], float]  # what a worker process packs, set once by `_begin`


def _begin(structures: Sequence[Structure], cutoff: float) -> None:
    global _here
    _here = structures, cutoff


def _pack_here(rows: range) -> tuple[dict[str, np.ndarray], list[str]]:
    structures, cutoff = _here
    return pack_some(structures, rows, cutoff)


def _column(place: int) -> str:
    """The name of a property's column; its own might be no name of a file."""
    return f"property.{place}"


def _shapes(structures: Sequence[Structure]) -> dict[str, list[int]]:
    """The properties that structures have, all the same ones, and the shape of one value."""
    first = structures[0].properties if len(structures) else {}
    return {name: list(values.shape[1:]) for name, values in first.items()}


def _with_properties(shapes: Iterable[Sequence[int]]) -> Layout:
    rows: dict[str, tuple[str, tuple[int, ...]]] = {
        _column(place): ("<f8", tuple(shape)) for place, shape in enumerate(shapes)
    }
    return {**_LAYOUT, "known": ("|b1", (len(LABELS) + len(rows),)), **rows}


def _in_memory(shapes: dict[str, list[int]], chunks: Iterator[tuple[dict[str, np.ndarray], list[str]]]) -> Packed:
    layout = _with_properties(shapes.values())
    parts: dict[str, list[np.ndarray]] = {n: [np.empty((0, *shape), dtype)] for n, (dtype, shape) in layout.items()}
    numbers: dict[str, int] = {}
    for arrays, types in chunks:
        for name, array in _numbered(arrays, types, numbers).items():
            parts[name].append(array)
    return Packed({name: np.concatenate(part) for name, part in parts.items()}, list(numbers), list(shapes))


def _write(
    folder: Path, shapes: dict[str, list[int]], chunks: Iterator[tuple[dict[str, np.ndarray], list[str]]]
) -> None:
    layout = _with_properties(shapes.values())
    lengths, crc, numbers = dict.fromkeys(layout, 0), {"num_edges": 0, "num_atoms": 0}, {}
    counts: dict[str, list[np.ndarray]] = {name: [] for name in crc}
    streams = {name: (folder / name).open("wb") for name in layout}
    try:
        for arrays, types in chunks:
            for name, array in _numbered(arrays, types, numbers).items():
                streams[name].write(np.ascontiguousarray(array).data)
                lengths[name] += len(array)
                if name in counts:
                    counts[name].append(array)
    finally:
        for stream in streams.values():
            stream.close()
    digest = 0
    for name in ("num_edges", "num_atoms"):
        for array in counts[name]:
            digest = zlib.crc32(array.tobytes(), digest)
    described = {"version": _VERSION, "lengths": lengths, "config_types": list(numbers), "crc": digest}
    described["properties"] = shapes
    (folder / "layout.json").write_text(json.dumps(described, indent=1))


def _numbered(arrays: dict[str, np.ndarray], types: list[str], numbers: dict[str, int]) -> dict[str, np.ndarray]:
    """The arrays with `config_type` as numbers; `numbers` learns the names that are new."""
    column = [numbers.setdefault(name, len(numbers)) for name in types]
    return {**arrays, "config_type": np.array(column, dtype=_LAYOUT["config_type"][0])}


def _place(temporary: Path, folder: Path) -> None:
    """Move a finished cache into place; another process may have been faster, with the same content."""
    temporary.chmod(0o755)
    try:
        os.rename(temporary, folder)
    except OSError:
        try:
            Packed.open(folder)
        except (OSError, ValueError, KeyError, TypeError):  # a damaged one stands in the way
            shutil.rmtree(folder)
            os.rename(temporary, folder)


def _key(structures: Sequence[Structure], cutoff: float) -> str:
    identity = structures.identity if isinstance(structures, Structures) else _content(structures)
    return hashlib.sha256(f"{_VERSION}:{cutoff!r}:{identity}".encode()).hexdigest()[:32]


def _content(structures: Sequence[Structure]) -> str:
    digest = hashlib.sha256()
    for one in structures:
        digest.update(repr((one.num_atoms, one.energy, one.energy_weight, one.forces_weight)).encode())
        digest.update(repr((one.stress_weight, one.properties_weight, one.config_type, one.charge)).encode())
        digest.update(repr(list(one.properties)).encode())
        arrays = (one.atomic_numbers, one.positions, one.cell, one.pbc, one.forces, one.stress)
        for array in (*arrays, *one.properties.values()):
            digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()
