"""Extended XYZ: an index of byte offsets, and one frame at a time, without reading the file whole."""

import json
import re
from array import array
from pathlib import Path
from typing import Any

import numpy as np
from ase.data import atomic_numbers

from ..config import InputError
from ._structures import Frame, Units

_PAIR = re.compile(
    r"""\s*(?P<key>"[^"]*"|[^\s="]+)"""
    r"""(?:\s*=\s*(?:"(?P<double>(?:\\.|[^"\\])*)"|'(?P<single>[^']*)'|\{(?P<brace>[^}]*)\}"""
    r"""|\[(?P<bracket>[^=]*)\]|(?P<bare>\S+)))?"""
)
_TRUTH = {
    "T": True,
    "True": True,
    "TRUE": True,
    "true": True,
    "F": False,
    "False": False,
    "FALSE": False,
    "false": False,
}
_CHUNK = 1 << 24


class ExtxyzReader:
    """The frames of an extended XYZ file, at random.

    Opening reads the file once in pieces and keeps the offset of each frame, 8 bytes a frame.
    Raises `InputError`, naming the frame, where an atom count is missing or the file ends early.
    """

    units = Units()

    def __init__(self, path: Path) -> None:
        self.path = path
        self._offsets = np.array([*_index(path), path.stat().st_size], dtype=np.int64)

    def __len__(self) -> int:
        return len(self._offsets) - 1

    def place(self, index: int) -> str:
        """Where a frame stands, for messages; counted from 0, as ASE does."""
        return f"structure {index}"

    def frame(self, index: int) -> Frame:
        """One frame, read and parsed."""
        begin, end = self._offsets[index], self._offsets[index + 1]
        with self.path.open("rb") as stream:  # opened each time: nothing to share between processes
            stream.seek(begin)
            text = stream.read(end - begin)
        return parse_frame(text.decode(errors="replace"), f"{self.path}, {self.place(index)}")


def parse_frame(text: str, source: str) -> Frame:
    """One frame of extended XYZ: count, comment with key=value pairs, a line for each atom."""
    lines = text.split("\n")
    count = int(lines[0])
    values = parse_comment(lines[1])
    columns = _columns(values.pop("Properties", None), source)
    width = sum(number for _, _, number in columns) if columns else len(lines[2].split())
    columns = columns or [("species", "S", 1), ("pos", "R", 3)]
    tokens = "\n".join(lines[2 : count + 2]).split()
    if len(tokens) != count * width or width < 4:
        wrong = next((k for k, line in enumerate(lines[2 : count + 2]) if len(line.split()) != width), 0)
        raise InputError(
            f"{source}: atom {wrong} has {len(lines[wrong + 2].split())} columns, expected {width}; "
            "the file may be truncated, or Properties may not describe it"
        )
    start, numbers = 0, None
    for name, kind, number in columns:
        block = [tokens[column::width] for column in range(start, start + number)]
        start += number
        if name in ("species", "Z", "numbers") and numbers is None:
            numbers = _elements(block[0], source)
        elif kind in "RI":
            values[name] = _floats(block, name, source)
    positions = values.pop("pos", values.pop("positions", None))
    if numbers is None or positions is None:
        raise InputError(f"{source}: Properties names no species or no pos; expected species:S:1:pos:R:3")
    cell = _lattice(values.pop("Lattice", None), source)
    pbc = values.pop("pbc", cell.any())
    return Frame(numbers, positions, cell, np.zeros(3, dtype=bool) | pbc, values)


def parse_comment(line: str) -> dict[str, Any]:
    """The key=value pairs of a comment line, as numbers, arrays, truth values or text.

    >>> parse_comment('energy=-1.5 pbc="T T F" name=a flag')
    {'energy': -1.5, 'pbc': [True, True, False], 'name': 'a', 'flag': True}
    """
    values = {}
    for match in _PAIR.finditer(line.strip()):
        kind = match.lastgroup
        if kind is None or kind == "key":
            values[match["key"].strip('"')] = True
        else:
            text = match[kind]
            values[match["key"].strip('"')] = _value(text.replace('\\"', '"') if kind == "double" else text)
    return values


def _value(text: str) -> Any:
    parts = text.replace(",", " ").split()
    for convert in (int, float, _TRUTH.__getitem__):
        try:
            found = [convert(part) for part in parts]
        except (ValueError, KeyError):
            continue
        if len(found) == 1:
            return found[0]
        return found if convert not in (int, float) or not found else np.array(found, dtype=float)
    if text.startswith("_JSON "):
        try:
            return json.loads(text.removeprefix("_JSON "))
        except json.JSONDecodeError:
            return text
    return text


def _columns(properties: Any, source: str) -> list[tuple[str, str, int]]:
    """Name, type and number of columns of each property; empty for plain XYZ."""
    if properties is None:
        return []
    parts = str(properties).split(":")
    if len(parts) % 3 or not all(p.isdigit() for p in parts[2::3]) or not set(parts[1::3]) <= set("RISL"):
        raise InputError(f"{source}: Properties={properties} is not of the form species:S:1:pos:R:3")
    return list(zip(parts[::3], parts[1::3], map(int, parts[2::3]), strict=True))


def _elements(words: list[str], source: str) -> np.ndarray:
    try:
        return np.array([int(w) if w.isdigit() else atomic_numbers[w] for w in words], dtype=np.int64)
    except KeyError as error:
        raise InputError(f"{source}: {error} is no chemical element; expected symbols or atomic numbers") from None


def _floats(block: list[list[str]], name: str, source: str) -> np.ndarray:
    try:
        found = np.array([[float(word) for word in column] for column in block]).T
    except ValueError as error:
        raise InputError(f"{source}: {name} holds a word that is no number ({error})") from None
    return found if len(block) > 1 else found[:, 0]


def _lattice(value: Any, source: str) -> np.ndarray:
    if value is None:
        return np.zeros((3, 3))
    if np.size(value) != 9 or isinstance(value, str):
        raise InputError(f"{source}: Lattice={value} is not 9 numbers, vector by vector")
    return np.asarray(value, dtype=np.float64).reshape(3, 3)


def _index(path: Path) -> array:
    """Byte offset of each frame, from the atom counts and the positions of line ends."""
    offsets = array("q")
    skip, base, rest = 0, 0, b""
    with path.open("rb") as stream:
        while True:
            piece = stream.read(_CHUNK)
            if not piece and not rest:
                break
            text = rest + (piece or b"\n")  # a last line without its end is a line too
            ends = np.flatnonzero(np.frombuffer(text, dtype=np.uint8) == 10)
            starts = np.concatenate([[0], ends[:-1] + 1])
            line = skip
            while line < len(ends):
                word = text[starts[line] : ends[line]].strip()
                if not word:
                    line += 1
                    continue
                if not word.isdigit():
                    raise InputError(
                        f"{path}, structure {len(offsets)}: expected the number of atoms, found {_shown(word)}; "
                        "the file may be truncated or no extended XYZ"
                    )
                offsets.append(base + int(starts[line]))
                line += int(word) + 2
            skip = line - len(ends)
            used = int(ends[-1]) + 1 if len(ends) else 0
            base, rest = base + used, text[used:]
    if skip > 0:
        raise InputError(
            f"{path}, structure {len(offsets) - 1}: the file ends in the middle of it, {skip} lines short; "
            "copy the file again, or cut that structure off"
        )
    return offsets


def _shown(word: bytes) -> str:
    text = word[:40].decode(errors="replace")
    return repr(text + ("…" if len(word) > 40 else ""))
