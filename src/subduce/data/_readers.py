"""Files of structures behind one sequence: random access, nothing read whole where the format allows it."""

import hashlib
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol, overload
from weakref import WeakValueDictionary

import ase.io
import numpy as np
from ase.db import connect
from ase.io.formats import UnknownFileTypeError
from ase.io.trajectory import Trajectory
from ase_db_backends.aselmdb import LMDBDatabase

from ..config import InputError
from ._archives import HDF5Reader, NpzReader
from ._extxyz import ExtxyzReader
from ._properties import Property
from ._qm9 import OriginalReader, is_dsgdb9nsd, open_sdf, open_table, qm9_files
from ._structures import Frame, LabelKeys, Structure, Units, frame_from_atoms, structure_from_frame

_NO_LABELS = {"numbers", "positions", "initial_charges", "tags", "charge", "total_charge", "spin", "total_spin"}
_SAMPLE = 32  # structures looked at to say which labels a file uses


class Reader(Protocol):
    """One file of structures. Must survive pickling, as loaders in other processes get a copy."""

    path: Path
    units: Units

    def __len__(self) -> int: ...

    def place(self, index: int) -> str:
        """Where a structure stands in the file, for messages."""
        ...

    def frame(self, index: int) -> Frame:
        """One structure as the file has it."""
        ...


class Structures(Sequence[Structure]):
    """The structures of one or several files, read when asked for; a slice or `subset` reads nothing."""

    def __init__(
        self, readers: Sequence[Reader], keys: LabelKeys, units: Units, rows: np.ndarray | None = None
    ) -> None:
        self.keys = keys
        self._readers, self._units = list(readers), units
        self._starts = np.cumsum([0, *(len(reader) for reader in readers)])
        self._rows = np.arange(self._starts[-1]) if rows is None else rows

    def __len__(self) -> int:
        return len(self._rows)

    @overload
    def __getitem__(self, index: int) -> Structure: ...

    @overload
    def __getitem__(self, index: slice) -> "Structures": ...

    def __getitem__(self, index: int | slice) -> "Structure | Structures":
        if isinstance(index, slice):
            return self.subset(np.arange(len(self))[index])
        reader, row = self._find(index)
        units = reader.units.times(self._units)
        return structure_from_frame(reader.frame(row), self.keys, f"{reader.path}, {reader.place(row)}", units)

    def __iter__(self) -> Iterator[Structure]:
        return (self[index] for index in range(len(self)))

    def subset(self, indices: Sequence[int] | np.ndarray) -> "Structures":
        """Some of the structures, in the order given."""
        return Structures(self._readers, self.keys, self._units, self._rows[np.asarray(indices, dtype=np.int64)])

    def frame(self, index: int) -> Frame:
        """A structure as its file has it, with every value by the file's own name and in its units."""
        reader, row = self._find(index)
        return reader.frame(row)

    def source(self, index: int) -> str:
        """File and place of a structure, for messages; places are counted from 0, as ASE does."""
        reader, row = self._find(index)
        return f"{reader.path}, {reader.place(row)}"

    @property
    def paths(self) -> list[Path]:
        """The files."""
        return [reader.path for reader in self._readers]

    @property
    def labels_used(self) -> dict[str, tuple[str, ...]]:
        """For each label the names it goes by in the file, seen in a few dozen structures spread over it."""
        used: dict[str, dict[str, None]] = {}
        for index in np.unique(np.linspace(0, len(self) - 1, _SAMPLE).astype(int)) if len(self) else []:
            reader, row = self._find(index)
            for label, name in self.keys.used(reader.frame(row)).items():
                used.setdefault(label, {})[name] = None
        return {label: tuple(names) for label, names in used.items()}

    @property
    def other_numbers(self) -> dict[str, str]:
        """Names of all numbers but energies, forces and stresses, with units where the format fixes them; as above."""
        found: dict[str, str] = {}
        for index in np.unique(np.linspace(0, len(self) - 1, _SAMPLE).astype(int)) if len(self) else []:
            frame = self.frame(int(index))
            known = {*_NO_LABELS, *LabelKeys().energy, *LabelKeys().forces, *LabelKeys().stress}
            for name, value in frame.values.items():
                if name not in known and not isinstance(value, bool) and np.asarray(value).dtype.kind in "fiu":
                    found[name] = frame.units.get(name, "")
        return found

    @property
    def identity(self) -> str:
        """A digest of files (path, size, time of change), rows, label keys and units: equal for equal structures."""
        digest = hashlib.sha256(repr((self.keys, self._units)).encode())
        for path in (file for one in self._readers for file in (one.path, *getattr(one, "beside", ()))):
            stat = path.stat()
            digest.update(f"{path.resolve()}:{stat.st_size}:{stat.st_mtime_ns}".encode())
        digest.update(self._rows.astype("<i8").tobytes())
        return digest.hexdigest()

    def _find(self, index: int) -> tuple[Reader, int]:
        row = self._rows[index]
        number = int(np.searchsorted(self._starts, row, side="right")) - 1
        return self._readers[number], int(row - self._starts[number])


def structure_files(path: str | Path) -> list[Path]:
    """What a user names: a file or a folder, or the files of a data set by name, `qm9`; `InputError` for neither."""
    if Path(path).exists():
        return [Path(path)]
    if str(path) == "qm9":
        return qm9_files()
    raise InputError(f"{path}: no such file")


def open_structures(
    path: str | Path | Sequence[str | Path],
    *,
    keys: LabelKeys | None = None,
    energy_units_to_eV: float = 1.0,
    length_units_to_A: float = 1.0,
) -> Structures:
    """The structures of one file, several files, a folder of `*.aselmdb`, or `qm9`, the set in the package qm9pack.

    Extended XYZ, ASE databases, `.aselmdb`, ASE trajectories, SPICE's HDF5, SDF with a table (CSV) beside
    it and QM9 in its several forms are read at random and never whole; rMD17 and MD17 `.npz` and whatever
    else ASE reads are held in memory. Formats that fix their units ((r)MD17: kcal/mol; SPICE: Hartree and
    bohr) are converted; the two factors say what one unit is in eV and Å where a file has others, and multiply.

    Raises `InputError` for a missing file, one that holds no structures, and a truncated one, and for a
    property that a table of labels has no column for.
    """
    paths = [Path(path)] if isinstance(path, (str, Path)) else [Path(one) for one in path]
    for name, factor in (("energy_units_to_eV", energy_units_to_eV), ("length_units_to_A", length_units_to_A)):
        if not (factor > 0 and np.isfinite(factor)):
            raise InputError(f"{name}: must be a positive number, got {factor}")
    readers = [_open(file) for one in paths for file in _files(one)]
    structures = Structures(readers, keys or LabelKeys(), Units(energy_units_to_eV, length_units_to_A))
    for reader in readers:
        if len(reader) == 0:
            raise InputError(f"{reader.path}: holds no structures")
        reader.frame(len(reader) - 1)  # a cut-off end shows here, not hours later
    _check_columns(readers, structures.keys)
    return structures


def _files(named: Path) -> list[Path]:
    found = []
    for path in structure_files(named):
        inside = sorted(path.glob("*.aselmdb")) if path.is_dir() and not is_dsgdb9nsd(path) else [path]
        if not inside:
            raise InputError(f"{path}: a folder without *.aselmdb or dsgdb9nsd_*.xyz; name a file of structures")
        found += inside
    return found


def _check_columns(readers: Sequence[Reader], keys: LabelKeys) -> None:
    """Refuse a property that no file can have; where each structure names its own labels, a file may have any."""
    for one in keys.properties:
        if any(_may_have(reader, one) for reader in readers):
            continue
        first, units = readers[0], readers[0].frame(0).units
        known = [f"{name} ({units[name]})" if name in units else name for name in getattr(first, "columns", ())]
        what = f"{one.name} of shape {one.shape}" if one.shape else one.name
        note = getattr(first, "note", "") if one.shape else ""
        raise InputError(f"{first.path}: has no {what}; it has {', '.join(known)}{'. ' * bool(note)}{note}")


def _may_have(reader: Reader, wanted: Property) -> bool:
    columns = getattr(reader, "columns", None)
    if columns is None:
        return True
    if wanted.shape and wanted.per == "structure" and getattr(reader, "note", ""):
        return False
    return not set(columns).isdisjoint(wanted.names)


def _open(path: Path) -> Reader:
    if is_dsgdb9nsd(path):
        return OriginalReader(path)
    match path.suffix.lower():
        case ".sdf":
            return open_sdf(path)
        case ".csv":
            return open_table(path)
        case ".xyz" | ".extxyz":
            return ExtxyzReader(path)
        case ".npz":
            return NpzReader(path)
        case ".h5" | ".hdf5":
            return HDF5Reader(path)
        case ".db" | ".aselmdb":
            return DatabaseReader(path)
    try:
        with path.open("rb") as stream:
            first = stream.readline(100)
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from None
    if first.strip().isdigit():  # extended XYZ under another name
        return ExtxyzReader(path)
    return ASEReader(path)


class DatabaseReader:
    """An ASE database: SQLite (`.db`) or LMDB (`.aselmdb`), with gaps in its ids."""

    units = Units()

    def __init__(self, path: Path) -> None:
        self.path = path
        self._database: Any = None
        if path.suffix == ".aselmdb" and not _is_lmdb(path):
            raise InputError(f"{path}: not an LMDB database, or a damaged one")
        try:
            database = self._open()
            if path.suffix == ".aselmdb":
                self._ids = np.array(sorted(database.ids), dtype=np.int64)
            else:
                self._ids = np.array([row.id for row in database.select(columns=["id"])], dtype=np.int64)
        except Exception as error:
            raise InputError(f"{path}: not an ASE database ({_reason(error)})") from None

    def __len__(self) -> int:
        return len(self._ids)

    def __getstate__(self) -> dict:
        return {**self.__dict__, "_database": None}  # an open database stays in its process

    def place(self, index: int) -> str:
        """Where a structure stands, for messages."""
        return f"structure {index} (id {self._ids[index]})"

    def frame(self, index: int) -> Frame:
        """One row of the database; its `data` and key-value pairs count as labels too."""
        try:
            row = self._open().get(id=int(self._ids[index]))
            atoms = row.toatoms()
        except Exception as error:
            raise InputError(f"{self.path}, {self.place(index)}: cannot be read ({_reason(error)})") from None
        return frame_from_atoms(atoms, {**row.data, **row.key_value_pairs})

    def _open(self) -> Any:
        if self._database is None and self.path.suffix == ".aselmdb":
            # LMDB refuses to open a file twice in one process, so readers of one file share it.
            key = (os.getpid(), self.path.resolve())
            self._database = _lmdbs.get(key) or LMDBDatabase(self.path, readonly=True, use_lock_file=False)
            _lmdbs[key] = self._database
        elif self._database is None:
            self._database = connect(self.path, use_lock_file=False)
        return self._database


def _is_lmdb(path: Path) -> bool:
    with path.open("rb") as stream:
        return stream.read(20)[16:] == b"\xde\xc0\xef\xbe"  # LMDB's mark in its first page


_lmdbs: WeakValueDictionary[tuple[int, Path], LMDBDatabase] = WeakValueDictionary()


class ASEReader:
    """Any other file that ASE reads; trajectories at random, the rest held in memory."""

    units = Units()

    def __init__(self, path: Path) -> None:
        self.path = path
        self._images: Any = None
        try:
            self._is_trajectory = path.suffix == ".traj"
            self._count = len(self._open())
        except UnknownFileTypeError:
            raise InputError(
                f"{path}: not a structure file; expected extended XYZ, an ASE database, .aselmdb, .npz, .hdf5, "
                "or another format that ASE reads"
            ) from None
        except Exception as error:
            raise InputError(f"{path}: not a structure file, or a damaged one ({_reason(error)})") from None

    def __len__(self) -> int:
        return self._count

    def __getstate__(self) -> dict:
        return {**self.__dict__, "_images": None}

    def place(self, index: int) -> str:
        """Where a structure stands, for messages."""
        return f"structure {index}"

    def frame(self, index: int) -> Frame:
        """One structure."""
        try:
            return frame_from_atoms(self._open()[index])
        except Exception as error:
            raise InputError(f"{self.path}, {self.place(index)}: cannot be read ({_reason(error)})") from None

    def _open(self) -> Any:
        if self._images is None:
            self._images = Trajectory(self.path) if self._is_trajectory else ase.io.read(self.path, index=":")
        return self._images


def _reason(error: Exception) -> str:
    """The first line of an error from elsewhere."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:100]
