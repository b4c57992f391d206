"""Files of arrays behind one interface: shapes are read at once, numbers only when a piece is asked for."""

import importlib
import tempfile
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

import h5py
import numpy as np
from scipy.io import netcdf_file

from ..config import InputError

_IN_MEMORY = 64 * 2**20  # bytes; larger compressed members are unpacked to a temporary file
_PIECE = 2**20
DAMAGED = (OSError, ValueError, TypeError, KeyError, EOFError, RuntimeError, zlib.error, zipfile.BadZipFile)


class Store(Protocol):
    """One file of named arrays. Survives pickling: open files stay in their process."""

    path: Path

    def names(self) -> list[str]:
        """The arrays that the file holds."""
        ...

    def array(self, name: str) -> Any:
        """Something with `shape` and `dtype` that reads no more than the piece it is indexed with."""
        ...

    def dims(self, name: str) -> tuple[str, ...]:
        """The names of an array's axes; empty where the format keeps none."""
        ...

    def attributes(self, name: str) -> Mapping[str, Any]:
        """What the file says about an array."""
        ...


def open_store(path: str | Path | Mapping[str, np.ndarray]) -> Store:
    """The file or folder of arrays at a path, or arrays by name; raises `InputError` for a path that is none."""
    if isinstance(path, Mapping):
        return ArrayStore(path)
    path = Path(path)
    if not path.exists():
        raise InputError(f"{path}: no such file")
    kinds = {
        ".npz": NpzStore,
        ".npy": NpyStore,
        ".h5": HDF5Store,
        ".hdf5": HDF5Store,
        ".nc": HDF5Store,
        ".nc4": HDF5Store,
        ".zarr": ZarrStore,
    }
    kind = kinds.get(path.suffix.lower())
    if path.is_dir() and kind is not ZarrStore:
        kind = ZarrStore if any((path / mark).exists() for mark in ("zarr.json", ".zgroup", ".zarray")) else NpyStore
    if kind is None:
        raise InputError(f"{path}: not a file of arrays that is known; give .npz, .npy, .h5, .nc or .zarr")
    if kind is HDF5Store and path.is_file() and path.open("rb").read(3) == b"CDF":
        kind = ClassicNetCDFStore
    try:
        return kind(path)
    except InputError:
        raise
    except DAMAGED as error:
        raise InputError(f"{path}: not {kind.what}, or a damaged one ({reason(error)})") from None


class _Plain:
    """What formats without names of axes and attributes share."""

    path: Path

    def __init__(self, path: Path) -> None:
        self.path = path
        self._open: dict[str, Any] = {}

    def __getstate__(self) -> dict:
        return {**self.__dict__, "_open": {}}

    def dims(self, name: str) -> tuple[str, ...]:
        """No names of axes."""
        return ()

    def attributes(self, name: str) -> Mapping[str, Any]:
        """No attributes."""
        return {}


class ArrayStore(_Plain):
    """Arrays that are in memory already."""

    def __init__(self, arrays: Mapping[str, np.ndarray]) -> None:
        super().__init__(Path("arrays"))
        self._arrays = {name: np.asarray(array) for name, array in arrays.items()}

    def names(self) -> list[str]:
        """The names that were given."""
        return list(self._arrays)

    def array(self, name: str) -> np.ndarray:
        """The array itself."""
        return self._arrays[name]


class NpyStore(_Plain):
    """One `.npy`, or a folder of them, as memory maps."""

    what = "an .npy of one plain array"

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        files = sorted(path.glob("*.npy")) if path.is_dir() else [path]
        self._files = {file.stem: file for file in files}
        if not files:
            raise InputError(f"{path}: a folder without .npy files; give a file of arrays")

    def names(self) -> list[str]:
        """The names of the files."""
        return list(self._files)

    def array(self, name: str) -> np.ndarray:
        """A memory map."""
        if name not in self._open:
            self._open[name] = np.load(self._files[name], mmap_mode="r", allow_pickle=False)
        return self._open[name]


class NpzStore(_Plain):
    """An `.npz`: stored members as memory maps, compressed ones unpacked on their own, when first read."""

    what = "an .npz of plain arrays"

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        with zipfile.ZipFile(path) as archive:
            self._members = {i.filename[:-4]: i for i in archive.infolist() if i.filename.endswith(".npy")}

    def names(self) -> list[str]:
        """The members."""
        return list(self._members)

    def array(self, name: str) -> Any:
        """A memory map, or a packed array that is unpacked at the first read."""
        if name not in self._open:
            self._open[name] = self._member(name)
        return self._open[name]

    def _member(self, name: str) -> Any:
        info = self._members[name]
        with zipfile.ZipFile(self.path) as archive, archive.open(info) as stream:
            shape, fortran, dtype = _npy_header(stream)
            start = stream.tell()
        if info.compress_type != zipfile.ZIP_STORED or dtype.hasobject:
            return PackedArray(self.path, info, start, shape, fortran, dtype)
        with self.path.open("rb") as stream:
            stream.seek(info.header_offset + 26)  # the two lengths that only the local header knows
            lengths = np.frombuffer(stream.read(4), dtype="<u2")
        offset = info.header_offset + 30 + int(lengths.sum()) + start
        if not all(shape):
            return np.empty(shape, dtype)
        return np.memmap(self.path, dtype, "r", offset, shape, "F" if fortran else "C")


class PackedArray:
    """A compressed member of an `.npz`; a large one is unpacked, once, to a temporary file."""

    def __init__(
        self, path: Path, info: zipfile.ZipInfo, start: int, shape: tuple[int, ...], fortran: bool, dtype: np.dtype
    ) -> None:
        self.shape, self.dtype = shape, dtype
        self._path, self._info, self._start, self._order = path, info, start, "F" if fortran else "C"
        self._values: np.ndarray | None = None

    def __getitem__(self, index: Any) -> np.ndarray:
        if self._values is None:
            self._values = self._unpack()
        return self._values[index]

    def _unpack(self) -> np.ndarray:
        size = int(np.prod(self.shape)) * self.dtype.itemsize
        with zipfile.ZipFile(self._path) as archive, archive.open(self._info) as stream:
            stream.read(self._start)
            if size <= _IN_MEMORY:
                return np.frombuffer(stream.read(size), self.dtype).reshape(self.shape, order=self._order)  # type: ignore[call-overload]
            with tempfile.TemporaryFile() as file:  # its map keeps it until nobody reads it
                while piece := stream.read(_PIECE):
                    file.write(piece)
                file.flush()
                return np.memmap(file, self.dtype, "r", 0, self.shape, self._order)  # type: ignore[call-overload]


def _npy_header(stream: Any) -> tuple[tuple[int, ...], bool, np.dtype]:
    version = np.lib.format.read_magic(stream)
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    return read(stream)


class HDF5Store(_Plain):
    """HDF5, and NetCDF 4, which is HDF5; arrays in groups are named `group/array`."""

    what = "an HDF5 or NetCDF file"

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        found: list[str] = []
        self._file().visititems(lambda name, item: found.append(name) if _is_array(item) else None)
        self._names = found

    def names(self) -> list[str]:
        """The data sets, without the bare dimensions that NetCDF keeps as such."""
        return self._names

    def array(self, name: str) -> Any:
        """A data set of the open file."""
        return self._file()[name]

    def dims(self, name: str) -> tuple[str, ...]:
        """The scales that NetCDF or h5py attached to the axes, or their labels."""
        array = self._file()[name]
        scales = [next((dim[0].name.rsplit("/", 1)[-1] for _ in range(len(dim) > 0)), dim.label) for dim in array.dims]
        return tuple(scales) if all(scales) else ()

    def attributes(self, name: str) -> Mapping[str, Any]:
        """The attributes of a data set."""
        return self._file()[name].attrs

    def _file(self) -> Any:
        if "file" not in self._open:
            self._open["file"] = h5py.File(self.path, "r")
        return self._open["file"]


def _is_array(item: Any) -> bool:
    bare = b"This is a netCDF dimension but not a netCDF variable"
    return isinstance(item, h5py.Dataset) and not bytes(item.attrs.get("NAME", b"")).startswith(bare)


class ClassicNetCDFStore(_Plain):
    """NetCDF 3, as memory maps."""

    what = "a NetCDF file"

    def names(self) -> list[str]:
        """The variables."""
        return list(self._file().variables)

    def array(self, name: str) -> Any:
        """A memory map."""
        return self._file().variables[name].data

    def dims(self, name: str) -> tuple[str, ...]:
        """The dimensions of a variable."""
        return self._file().variables[name].dimensions

    def attributes(self, name: str) -> Mapping[str, Any]:
        """The attributes of a variable."""
        return self._file().variables[name]._attributes

    def _file(self) -> Any:
        if "file" not in self._open:
            self._open["file"] = netcdf_file(self.path, "r", mmap=True)
        return self._open["file"]


class ZarrStore(_Plain):
    """Zarr, a group of arrays or one array alone; needs the extra `subduce[fields]`."""

    what = "a Zarr group"

    def names(self) -> list[str]:
        """The arrays, those in groups as `group/array`."""
        root = self._root()
        if not hasattr(root, "members"):
            return [self.path.stem]
        return sorted(name for name, item in root.members(max_depth=None) if not hasattr(item, "members"))

    def array(self, name: str) -> Any:
        """An array of the open group."""
        root = self._root()
        return root[name] if hasattr(root, "members") else root

    def dims(self, name: str) -> tuple[str, ...]:
        """The dimension names of format 3, or those that xarray writes into format 2."""
        array = self.array(name)
        found = getattr(array.metadata, "dimension_names", None) or array.attrs.get("_ARRAY_DIMENSIONS")
        return tuple(found) if found and all(found) else ()

    def attributes(self, name: str) -> Mapping[str, Any]:
        """The attributes of an array."""
        return self.array(name).attrs

    def _root(self) -> Any:
        if "root" not in self._open:
            try:
                zarr = importlib.import_module("zarr")  # slow to import, and few need it
            except ImportError:
                raise InputError(
                    f"{self.path}: Zarr is not installed; pip install 'subduce[fields]', or give .h5 or .npz"
                ) from None
            self._open["root"] = zarr.open(str(self.path), mode="r")
        return self._open["root"]


def reason(error: BaseException) -> str:
    """The first line of an error from elsewhere."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:100]
