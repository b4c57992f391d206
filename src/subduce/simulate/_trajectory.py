"""Trajectories that survive a crash and can be continued: extxyz in full precision, or ASE's own `.traj`.

An extxyz frame is written in one piece and flushed; numbers carry 17 digits, so that a run that
continues from the last frame has the same positions and momenta to the last bit.
"""

import os
from pathlib import Path
from typing import IO, Any

import ase.io
import numpy as np
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator
from ase.io.trajectory import Trajectory, TrajectoryReader

from ..config import InputError
from ..records import write_whole

SUFFIXES = (".extxyz", ".xyz", ".traj")


class FrameWriter:
    """Appends frames to a trajectory; the suffix says which format."""

    def __init__(self, path: Path, *, append: bool) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        mode = "a" if append else "w"
        self._text: IO[str] | None = None
        self._binary = Trajectory(str(path), mode) if path.suffix == ".traj" else None
        if self._binary is None:
            self._text = path.open(mode, encoding="utf-8")

    def write(self, atoms: Atoms, step: int, time_fs: float) -> None:
        """One frame, on disk before this returns."""
        frame = _snapshot(atoms, step=step, time_fs=time_fs)
        if self._binary is not None:
            self._binary.write(frame)  # type: ignore[union-attr]
        elif self._text is not None:
            self._text.write(_extxyz(frame))
            self._text.flush()

    def close(self) -> None:
        """Close the file."""
        for file in (self._text, self._binary):
            if file is not None:
                file.close()


def write_structure(atoms: Atoms, path: str | Path) -> None:
    """One structure with what its calculator last said of it, as extxyz in full precision, whole or not at all."""
    write_whole(path, _extxyz(_snapshot(atoms)))


def check_suffix(path: Path) -> None:
    """Raise `InputError` for a trajectory in a format that cannot be continued."""
    if path.suffix not in SUFFIXES:
        raise InputError(f"{path}: expected a trajectory ending in {', '.join(SUFFIXES)}")


def last_frame(path: Path) -> tuple[Atoms, int]:
    """The last whole frame of a trajectory that this program wrote, and its step.

    What a crash left of a further frame is cut off. Raises `InputError` where there is no such frame.
    """
    check_suffix(path)
    if not path.exists():
        raise InputError(f"{path}: no trajectory to continue; start one without --restart")
    if path.suffix != ".traj":
        _cut_torn_frame(path)
    try:
        atoms: Any = TrajectoryReader(str(path))[-1] if path.suffix == ".traj" else ase.io.read(path, format="extxyz")
        step = int(atoms.info["step"])
    except Exception as error:  # ASE's readers fail in many ways
        raise InputError(f"{path}: no whole frame with a step count to continue from ({error})") from None
    if "momenta" not in atoms.arrays:
        raise InputError(f"{path}: the last frame has no momenta; only a trajectory of `subduce md` can be continued")
    atoms.calc = None
    return atoms, step


def _snapshot(atoms: Atoms, **info: float) -> Atoms:
    frame = atoms.copy()
    frame.set_constraint()
    frame.info = info
    said: Any = atoms.calc
    results = {name: said.results[name] for name in ("energy", "forces", "stress") if name in said.results}
    frame.calc = SinglePointCalculator(frame, **results)
    return frame


def _extxyz(frame: Atoms) -> str:
    said: Any = frame.calc
    results = said.results
    columns = {"pos": frame.positions}
    columns |= {name: frame.arrays[name] for name in ("momenta", "masses") if frame.has(name)}
    columns["forces"] = results["forces"]
    widths = {name: values.size // len(frame) for name, values in columns.items()}
    properties = "".join(f":{name}:R:{width}" for name, width in widths.items())
    header = [f'Lattice="{_numbers(frame.cell.array)}"'] if frame.cell.rank else []
    header += [f"Properties=species:S:1{properties}", f'pbc="{" ".join("FT"[int(flag)] for flag in frame.pbc)}"']
    header += [f"energy={results['energy']:.17g}"]
    if "stress" in results:
        header.append(f'stress="{_numbers(frame.get_stress(voigt=False))}"')
    header += [f"{name}={value:.17g}" for name, value in frame.info.items()]
    table = np.column_stack(list(columns.values()))
    rows = [f"{symbol} {_numbers(row)}" for symbol, row in zip(frame.symbols, table, strict=True)]
    return "\n".join([str(len(frame)), " ".join(header), *rows]) + "\n"


def _numbers(values: np.ndarray) -> str:
    return " ".join(f"{value:.17g}" for value in np.ravel(values))


def _cut_torn_frame(path: Path) -> None:
    """Shorten the file to its whole frames."""
    whole = 0
    with path.open("rb") as file:
        while (count := file.readline()).strip().isdigit():
            lines = [file.readline() for _ in range(int(count) + 1)]
            if not all(line.endswith(b"\n") for line in lines):
                break
            whole = file.tell()
    if whole and whole < path.stat().st_size:
        os.truncate(path, whole)
