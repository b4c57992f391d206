"""Molecules as SDF, with labels in its data fields or in a table (CSV) beside it; both read at random."""

import csv
import mmap
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from ase.data import atomic_numbers

from ..config import InputError
from ._structures import Frame, Units
from ._units import unit_factor

NOT_PERIODIC, NO_CELL = np.zeros(3, dtype=bool), np.zeros((3, 3))

_CHUNK = 1 << 24
_MISSING = {"", "nan", "na", "n/a", "none", "null"}
_HEADER = re.compile(r"(.*\S)\s*[\[(](.+)[\])]\s*")
_FIELD = re.compile(r"^>[^\n]*?<([^>\n]+)>[^\n]*\n(.*?)\n\s*?(?:\n|\Z)", re.MULTILINE | re.DOTALL)
_IDS = {"mol_id", "id", "name", "title"}
_CODES = {1: 3, 2: 2, 3: 1, 5: -1, 6: -2, 7: -3}  # charges in the atom lines of a V2000 molfile


class Table:
    """The rows of a CSV file, at random; only their offsets are held.

    `names` gives names and units for headers that are known; else a unit may stand in brackets, as in `gap [eV]`.
    """

    def __init__(self, path: Path, names: Mapping[str, tuple[str, str]] | None = None) -> None:
        self.path, self._offsets = path, _rows(path)
        if not len(self._offsets):
            raise InputError(f"{path}: an empty table; expected a line of names and a line for each molecule")
        header = self._text(0).removeprefix("\ufeff")
        self._delimiter = max(",;\t", key=header.count)
        self.header = self._cells(header)
        described = [(names or {}).get(name) or _name_and_unit(name) for name in self.header]
        self.names = tuple(name for name, _ in described)
        self.units = {name: unit for name, unit in described if unit}

    def __len__(self) -> int:
        return len(self._offsets) - 1

    def row(self, index: int) -> dict[str, str]:
        """The cells of a row by name, as they stand there."""
        cells = self._cells(self._text(index + 1))
        if len(cells) != len(self.names):
            raise InputError(
                f"{self.path}, row {index}: {len(cells)} columns, expected {len(self.names)}; the file may be truncated"
            )
        return dict(zip(self.names, cells, strict=True))

    def _text(self, line: int) -> str:
        begin, end = self._offsets[line]
        with self.path.open("rb") as stream:
            stream.seek(begin)
            return stream.read(end - begin).decode(errors="replace")

    def _cells(self, text: str) -> list[str]:
        return [cell.strip() for cell in next(csv.reader([text], delimiter=self._delimiter), [])]


class SDFReader:
    """The molecules of an SDF file (V2000), with labels from its data fields and from the rows of a table.

    Row k of the table belongs to molecule k; where the table begins with names of molecules they must agree.
    `skip` are molecules to leave out, counted from 0; `note` says why there are no tensors.
    """

    units = Units()

    def __init__(
        self, path: Path, table: Table | None = None, skip: frozenset[int] = frozenset(), note: str = ""
    ) -> None:
        self.path, self._table, self.note = path, table, note
        self.beside = (table.path,) if table else ()
        self.columns = table.names if table else None
        self._offsets = _records(path)
        if table is not None and len(table) != len(self._offsets):
            raise InputError(
                f"{table.path}: {len(table)} rows for the {len(self._offsets)} molecules of {path.name}; "
                "expected a row for each molecule, in the same order"
            )
        self._rows = np.array([row for row in range(len(self._offsets)) if row not in skip], dtype=np.int64)

    def __len__(self) -> int:
        return len(self._rows)

    def place(self, index: int) -> str:
        """Where a molecule stands, for messages."""
        return f"structure {index}"

    def frame(self, index: int) -> Frame:
        """One molecule with its labels; cells that are empty are missing labels."""
        row, source = int(self._rows[index]), f"{self.path}, {self.place(index)}"
        begin, end = self._offsets[row]
        with self.path.open("rb") as stream:
            stream.seek(begin)
            text = stream.read(end - begin).decode(errors="replace").replace("\r\n", "\n").partition("\n$$$$")[0]
        title, numbers, positions, charge = parse_molfile(text, source)
        cells = {match[1]: match[2] for match in _FIELD.finditer(text)}
        if self._table is not None:
            labels = self._table.row(row)
            named = next(iter(labels.items()))
            if named[0].lower() in _IDS and title and named[1] != title:
                raise InputError(
                    f"{source}: is called {title}, but row {row} of {self._table.path.name} {named[1]}; "
                    "expected the rows in the order of the molecules"
                )
            cells |= labels
        values = {"charge": charge, **read_values(cells)}
        return Frame(numbers, positions, NO_CELL, NOT_PERIODIC, values, self._table.units if self._table else {})


def parse_molfile(text: str, source: str) -> tuple[str, np.ndarray, np.ndarray, float]:
    """Title, atomic numbers, positions (Å) and net charge of a molecule; raises `InputError` for one without 3D."""
    lines = text.split("\n")
    counts = lines[3] if len(lines) > 3 else ""
    if "V3000" in counts:
        raise InputError(f"{source}: is written as V3000; expected V2000, which is for up to 999 atoms")
    if not counts[:3].strip().isdigit():
        raise InputError(f"{source}: no counts line, found {counts[:40]!r}; the file may be truncated or no SDF")
    atoms = lines[4 : 4 + int(counts[:3])]
    symbols = [line[31:34].strip() for line in atoms]
    try:
        positions = [[float(line[start : start + 10]) for start in (0, 10, 20)] for line in atoms]
        numbers = [1 if symbol in ("D", "T") else atomic_numbers[symbol] for symbol in symbols]
        codes = [int(line[36:39].strip() or 0) for line in atoms]
    except (ValueError, KeyError) as error:
        raise InputError(
            f"{source}: an atom's line cannot be read ({error}); expected x, y, z and an element"
        ) from None
    if not any(line.startswith("M  END") for line in lines) or len(atoms) != int(counts[:3]):
        raise InputError(f"{source}: ends before its M  END; the file may be truncated")
    if lines[1][:22].rstrip().endswith("2D") and not any(z for _, _, z in positions):
        raise InputError(f"{source}: a drawing (2D), not a geometry; write it with coordinates in space")
    written = [line[9:].split()[1::2] for line in lines if line.startswith("M  CHG")]
    charge = sum(int(one) for some in written for one in some) if written else sum(_CODES.get(c, 0) for c in codes)
    return (
        lines[0].strip(),
        np.array(numbers, dtype=np.int64),
        np.array(positions, dtype=np.float64).reshape(-1, 3),
        float(charge),
    )


def read_values(cells: Mapping[str, str]) -> dict[str, Any]:
    """Cells as numbers, arrays or text, without those that say that a value is missing."""
    return {name: _value(cell) for name, cell in cells.items() if cell.strip().lower() not in _MISSING}


def table_beside(path: Path) -> Path | None:
    """The table of an SDF file, `x.sdf.csv` or `x.csv`, if there is one."""
    beside = (path.with_name(path.name + ".csv"), path.with_suffix(".csv"))
    return next((one for one in beside if one.is_file()), None)


def sdf_beside(path: Path) -> Path | None:
    """The SDF file of a table, if there is one."""
    return next((one for one in (path.with_suffix(""), path.with_suffix(".sdf")) if _is_sdf(one)), None)


def _is_sdf(path: Path) -> bool:
    return path.suffix.lower() == ".sdf" and path.is_file()


def _value(text: str) -> Any:
    try:
        found = [float(word) for word in text.replace(",", " ").split()]
    except ValueError:
        return text.strip()
    return found[0] if len(found) == 1 else np.array(found)


def _name_and_unit(header: str) -> tuple[str, str]:
    if match := _HEADER.fullmatch(header):
        try:
            unit_factor(match[2], match[2])
        except ValueError:
            return header, ""
        return match[1], match[2]
    return header, ""


def _rows(path: Path) -> np.ndarray:
    """Begin and end of each row that is not empty; a line end within quotes ends no row."""
    starts, quotes, base = [np.zeros(1, dtype=np.int64)], 0, 0
    with path.open("rb") as stream:
        while piece := stream.read(_CHUNK):
            text = np.frombuffer(piece, dtype=np.uint8)
            ends, marks = np.flatnonzero(text == 10), np.flatnonzero(text == 34)
            outside = (quotes + np.searchsorted(marks, ends)) % 2 == 0
            starts.append(base + ends[outside] + 1)
            quotes, base = quotes + len(marks), base + len(piece)
    edges = np.unique(np.concatenate([*starts, [base]]))
    rows = np.stack([edges[:-1], edges[1:]], axis=1)
    return rows[rows[:, 1] - rows[:, 0] > 2]


def _records(path: Path) -> np.ndarray:
    """Begin and end of each molecule, from the lines `$$$$` after them."""
    size = path.stat().st_size
    if size == 0:
        return np.zeros((0, 2), dtype=np.int64)
    with path.open("rb") as stream, mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as text:
        ends = [match.end() for match in re.finditer(rb"\n\$\$\$\$[^\n]*\n?", text)]
        if text[ends[-1] if ends else 0 :].strip():
            ends.append(size)
    return np.stack([np.array([0, *ends[:-1]]), np.array(ends)], axis=1).astype(np.int64)
