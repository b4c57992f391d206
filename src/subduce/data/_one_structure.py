"""One structure from any file that ASE reads, refused in one line where there is none."""

from pathlib import Path

import ase.io
import numpy as np
from ase import Atoms

from subduce.config import InputError


def read_structure(path: str | Path, index: int = 0) -> Atoms:
    """The structure number `index` of a file (from 0, or from the end with −1), with its velocities if it has any.

    Raises `InputError` where the file is missing, is not a structure file, or has no such structure.
    """
    return _read(Path(path), index)[0]


def read_frames(path: str | Path) -> list[Atoms]:
    """All structures of a file; raises `InputError` as `read_structure` does."""
    return _read(Path(path), ":")


def _read(path: Path, index: int | str) -> list[Atoms]:
    if not path.is_file():
        raise InputError(f"{path}: no such file; expected a structure that ASE reads (extxyz, cif, POSCAR, …)")
    try:
        found = ase.io.read(path, index=index)
    except IndexError:
        raise InputError(f"{path}: no structure number {index}; count from 0, or from the end with -1") from None
    except Exception as error:  # ASE's readers fail in many ways
        reason = " ".join(str(error).split()) or type(error).__name__
        raise InputError(f"{path}: not a structure file that ASE reads ({reason})") from None
    structures = found if isinstance(found, list) else [found]
    for place, atoms in enumerate(structures):
        number = place if index == ":" else index
        if not isinstance(atoms, Atoms) or not len(atoms):
            raise InputError(f"{path}: no atoms in structure {number}")
        if not np.isfinite(atoms.positions).all():
            raise InputError(f"{path}: structure {number} has positions that are not finite")
        atoms.calc = None
    if not structures:
        raise InputError(f"{path}: holds no structure")
    return structures
