"""QM9 as it comes: the tables of the package qm9pack, the original `dsgdb9nsd` files, and PyG's and DeepChem's form.

All have the labels under the same names, in the units of `UNITS`. Source: doi:10.1038/sdata.2014.22.
"""

import atexit
import os
import re
import tarfile
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from functools import cache
from importlib.util import find_spec
from mmap import ACCESS_READ, mmap
from pathlib import Path
from typing import Any

import numpy as np
from ase.data import atomic_numbers

from ..config import InputError
from ._molfiles import NO_CELL, NOT_PERIODIC, SDFReader, Table, sdf_beside, table_beside
from ._structures import Frame, Units

UNITS = {
    **dict.fromkeys(("A", "B", "C"), "GHz"),
    **{"mu": "D", "alpha": "bohr^3", "homo": "Hartree", "lumo": "Hartree", "gap": "Hartree", "r2": "bohr^2"},
    **dict.fromkeys(("zpve", "U0", "U", "H", "G"), "Hartree"),
    "Cv": "cal/(mol K)",
}
"""Names of the labels in the order of the original files (after A, B and C the 12 targets), and their units."""

NO_TENSORS = (
    "QM9 has only the length of the dipole (mu) and a third of the trace of the polarizability (alpha): the tensors in "
    "qm9pack stand in Gaussian's standard orientation, not in the frame of its geometries, and are not read"
)

_PACK = "qm9pack==1.0.3"
_OTHER_UNITS = {"mulliken": "e", "frequencies": "1/cm"}
_ATOMS: dict[int, tuple[float, float, float, float]] = {  # U0, U, H and G of an atom, Hartree: QM9's atomref.txt
    1: (-0.500273, -0.498857, -0.497912, -0.510927),
    6: (-37.846772, -37.845355, -37.844411, -37.861317),
    7: (-54.583861, -54.582445, -54.581501, -54.598897),
    8: (-75.064579, -75.063163, -75.062219, -75.079532),
    9: (-99.718730, -99.717314, -99.716370, -99.733544),
}
_ATOMIZATION = ("U0", "U", "H", "G")
_GDB9 = {
    **{name.lower(): (name, unit) for name, unit in UNITS.items() if name not in "ABC"},
    **{name: (name, unit) for name, unit in UNITS.items() if name in "ABC"},
    **{f"{name.lower()}298": (name, "Hartree") for name in ("U", "H", "G")},
    **{f"{name.lower()}298_atom": (f"{name}_atom", "kcal/mol") for name in ("U", "H", "G")},
    "u0_atom": ("U0_atom", "kcal/mol"),
}
_QM9PACK_NAMES = (
    *("RotA_GHz", "RotB_GHz", "RotC_GHz", "Dipole_debye", "Polarizability_bohr3", "HOMO_au", "LUMO_au"),
    *("HOMO_LUMO_gap_au", "R2_bohr2", "ZPVE_au", "InternalEnergy_0K_au", "InternalEnergy_298K_au"),
    *("Enthalphy_298K_au", "GibbsFreeEnergy_298K_au", "Heatcapacity_Cv_cal_mol_K"),  # spelt so in the files
)
_QM9PACK: dict[str, tuple[str, str]] = dict(zip(_QM9PACK_NAMES, UNITS.items(), strict=True))
_MOLECULE = re.compile(rb"(\d+)[ \t\r]*\ngdb[ \t]+(\d+)")
_MOLECULES = re.compile(r"dsgdb9nsd_\d+\.xyz")


def qm9_files() -> list[Path]:
    """The three tables in the installed package qm9pack, which is not imported.

    Raises `InputError` where it is not installed.
    """
    found = find_spec("qm9pack")
    folders = [Path(place) / "data" for place in found.submodule_search_locations or ()] if found else []
    files = [file for folder in folders for file in sorted(folder.glob("qm9_part*.csv"))]
    if not files:
        raise InputError(
            f"qm9: no such file, and the package with the data set QM9 is not installed; pip install {_PACK}"
        )
    return files


def is_dsgdb9nsd(path: Path) -> bool:
    """Whether a path is a folder, an archive or a text of QM9's original files."""
    if path.is_dir():
        return any(_MOLECULES.fullmatch(entry.name) for entry in os.scandir(path))
    if path.name.lower().endswith((".tar", ".tar.bz2", ".tar.gz", ".tar.xz", ".tgz")):
        return True
    if path.suffix.lower() != ".xyz":
        return False
    with path.open("rb") as stream:
        return _MOLECULE.match(stream.read(100)) is not None


def open_table(path: Path) -> "QM9PackReader | SDFReader":
    """A table with geometries of its own (qm9pack), or one beside an SDF file."""
    if (sdf := sdf_beside(path)) is not None:
        return open_sdf(sdf, path)
    table = Table(path, _QM9PACK)
    if not {"Elements", "XYZ_Ang"} <= set(table.names):
        raise InputError(
            f"{path}: a table without geometries; expected {path.with_suffix('.sdf').name} beside it, "
            f"or a table of {_PACK}. It has the columns {', '.join(table.names[:10])}"
        )
    return QM9PackReader(table)


def open_sdf(path: Path, labels: Path | None = None) -> SDFReader:
    """An SDF file with the table beside it; `gdb9.sdf` without the molecules of `uncharacterized.txt` beside it."""
    labels = labels or table_beside(path)
    table = Table(labels) if labels else None
    if table is None or not {"mol_id", "u298", "gap"} <= set(table.names):
        return SDFReader(path, table)
    skip = frozenset(number - 1 for number in _uncharacterized(path))
    return SDFReader(path, Table(table.path, _GDB9), skip, NO_TENSORS)


class QM9PackReader:
    """The molecules in one of the tables of the package qm9pack."""

    units = Units()
    note = NO_TENSORS

    def __init__(self, table: Table) -> None:
        self.path, self._table = table.path, table
        self.columns = (*UNITS, *(f"{name}_atom" for name in _ATOMIZATION), *_OTHER_UNITS)

    def __len__(self) -> int:
        return len(self._table)

    def place(self, index: int) -> str:
        """Where a molecule stands, for messages."""
        return f"structure {index}"

    def frame(self, index: int) -> Frame:
        """One molecule with its labels."""
        row, source = self._table.row(index), f"{self.path}, {self.place(index)}"
        try:
            symbols = _list(row["Elements"].replace("'", ""))
            positions = np.array([float(one) for one in _list(row["XYZ_Ang"])]).reshape(-1, 3)
            numbers = [atomic_numbers[symbol] for symbol in symbols]
            values: dict[str, Any] = {name: float(row[name]) for name in UNITS}
            values["mulliken"] = np.array([float(one) for one in _list(row["Mulliken_pop"])])
            values["frequencies"] = np.array([float(one) for one in _list(row["Harmonic_Freq_cmi"])])
        except (KeyError, ValueError) as error:
            raise InputError(f"{source}: cannot be read ({error}); the file may be damaged") from None
        return _frame(np.array(numbers), positions, values)


class OriginalReader:
    """QM9's original files: a folder of `dsgdb9nsd_*.xyz`, their archive, or a text of one or several of them.

    Folders and archives are written once as one text into the folder for temporary files, and read there at random;
    the text goes with the process. Molecules that `uncharacterized.txt` beside the path lists are left out.
    """

    units = Units()
    note = NO_TENSORS

    def __init__(self, path: Path) -> None:
        self.path = path
        self.columns = (*UNITS, *(f"{name}_atom" for name in _ATOMIZATION), *_OTHER_UNITS)
        is_text, stat = path.is_file() and path.suffix == ".xyz", path.stat()
        self._text = path if is_text else _written_as_one(path, stat.st_size, stat.st_mtime_ns)
        self._offsets = _molecules(self._text, _uncharacterized(path))
        if not len(self._offsets):
            raise InputError(f"{path}: holds no molecules of QM9; expected files such as dsgdb9nsd_000001.xyz")

    def __len__(self) -> int:
        return len(self._offsets)

    def place(self, index: int) -> str:
        """Where a molecule stands, for messages."""
        return f"structure {index} (dsgdb9nsd_{self._offsets[index, 2]:06d})"

    def frame(self, index: int) -> Frame:
        """One molecule with its labels."""
        begin, end, _ = self._offsets[index]
        with self._text.open("rb") as stream:
            stream.seek(begin)
            lines = stream.read(end - begin).decode(errors="replace").replace("*^", "e").split("\n")
        try:
            count = int(lines[0])
            labels, atoms = lines[1].split()[2:], [line.split() for line in lines[2 : 2 + count]]
            positions = np.array([[float(one) for one in atom[1:4]] for atom in atoms])
            numbers = [atomic_numbers[atom[0]] for atom in atoms]
            values: dict[str, Any] = dict(zip(UNITS, map(float, labels), strict=True))
            values["mulliken"] = np.array([float(atom[4]) for atom in atoms])
            values["frequencies"] = np.array([float(one) for one in lines[2 + count].split()])
            return _frame(np.array(numbers), positions.reshape(count, 3), values)
        except (IndexError, KeyError, ValueError) as error:
            raise InputError(
                f"{self.path}, {self.place(index)}: cannot be read ({error}); the file may be truncated"
            ) from None


def _frame(numbers: np.ndarray, positions: np.ndarray, values: dict[str, Any]) -> Frame:
    """A molecule with its energies of atomization beside the total ones."""
    units = {**UNITS, **_OTHER_UNITS}
    if set(numbers.tolist()) <= _ATOMS.keys():
        free = np.array([_ATOMS[number] for number in numbers.tolist()]).sum(axis=0)
        for name, energy in zip(_ATOMIZATION, free.tolist(), strict=True):
            values[f"{name}_atom"], units[f"{name}_atom"] = values[name] - energy, "Hartree"
    return Frame(numbers, positions, NO_CELL, NOT_PERIODIC, values, units)


def _list(text: str) -> list[str]:
    return text.replace("[", "").replace("]", "").split(",") if text.strip("[]") else []


@cache
def _written_as_one(path: Path, size: int, changed: int) -> Path:
    """The texts of a folder or an archive, one after the other, in a file that this process leaves no trace of."""
    descriptor, name = tempfile.mkstemp(prefix="subduce-qm9-", suffix=".xyz")
    atexit.register(Path(name).unlink, missing_ok=True)
    try:
        with os.fdopen(descriptor, "wb") as stream:
            for text in _texts(path):
                stream.write(text.rstrip(b"\n") + b"\n")
    except (OSError, EOFError, tarfile.TarError) as error:
        raise InputError(f"{path}: cannot be unpacked ({error}); the archive may be truncated or no archive") from None
    return Path(name)


def _texts(path: Path) -> Iterator[bytes]:
    if path.is_dir():
        for file in sorted(file for file in path.iterdir() if _MOLECULES.fullmatch(file.name)):
            yield file.read_bytes()
        return
    with tarfile.open(path, "r|*") as archive:
        for member in archive:
            if _MOLECULES.fullmatch(Path(member.name).name) and (stream := archive.extractfile(member)) is not None:
                yield stream.read()
            archive.members = []  # else it remembers every one  # type: ignore[attr-defined]


def _molecules(path: Path, skip: set[int]) -> np.ndarray:
    """Begin, end and number of each molecule of a text, int64 [molecules, 3]."""
    size = path.stat().st_size
    found = []
    if size:
        with path.open("rb") as stream, mmap(stream.fileno(), 0, access=ACCESS_READ) as text:
            found = [(match.start(), int(match[2])) for match in _MOLECULE.finditer(text)]
    starts, numbers = np.array(found, dtype=np.int64).reshape(-1, 2).T
    rows = np.stack([starts, np.append(starts[1:], size)[: len(starts)], numbers], axis=1)
    return rows[~np.isin(numbers, list(skip))]


def _uncharacterized(path: Path) -> set[int]:
    """The numbers, from 1, in `uncharacterized.txt` beside a path: nine lines, one a molecule, and a last one."""
    numbers = set()
    with suppress(FileNotFoundError):
        for line in path.with_name("uncharacterized.txt").read_text(errors="replace").splitlines()[9:-1]:
            with suppress(ValueError, IndexError):
                numbers.add(int(line.split()[0]))
    return numbers
