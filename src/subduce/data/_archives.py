"""Archives of arrays with units of their own: rMD17 and MD17 `.npz`, SPICE `.hdf5`."""

import zipfile
from pathlib import Path
from typing import Any

import ase.units
import h5py
import numpy as np

from ..config import InputError
from ._structures import Frame, Units

_NOT_PERIODIC = np.zeros(3, dtype=bool)
_NO_CELL = np.zeros((3, 3))


class NpzReader:
    """rMD17 (`nuclear_charges coords energies forces`) and MD17 (`z R E F`), kcal/mol and Å; held in memory.

    Sources: doi:10.1088/2632-2153/abba6f (rMD17), doi:10.1126/sciadv.1603015 (MD17).
    """

    units = Units(energy=ase.units.kcal / ase.units.mol)
    _names = (
        ("nuclear_charges", "coords", "energies", "forces"),
        ("z", "R", "E", "F"),
    )

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            with np.load(path, allow_pickle=False) as archive:
                names = next((n for n in self._names if set(n) <= set(archive.files)), None)
                if names is None:
                    raise InputError(
                        f"{path}: holds the arrays {', '.join(archive.files)}; expected "
                        "nuclear_charges, coords, energies, forces (rMD17) or z, R, E, F (MD17)"
                    )
                self._numbers, self._positions, self._energy, self._forces = (archive[name] for name in names)
        except (OSError, EOFError, TypeError, ValueError, zipfile.BadZipFile) as error:
            if isinstance(error, InputError):
                raise
            raise InputError(f"{path}: not an .npz of plain arrays, or a damaged one ({error})") from None
        atoms, count = len(self._numbers), len(self._positions)
        wanted = {"positions": (count, atoms, 3), "forces": (count, atoms, 3)}
        found = {"positions": self._positions.shape, "forces": self._forces.shape}
        if found != wanted or self._energy.size != count:
            raise InputError(f"{path}: arrays do not fit together: found {found} for {self._energy.size} energies")

    def __len__(self) -> int:
        return len(self._positions)

    def place(self, index: int) -> str:
        """Where a structure stands, for messages."""
        return f"structure {index}"

    def frame(self, index: int) -> Frame:
        """One structure in kcal/mol and Å."""
        values = {"energy": self._energy.reshape(-1)[index], "forces": self._forces[index]}
        return Frame(self._numbers, self._positions[index], _NO_CELL, _NOT_PERIODIC, values)


class HDF5Reader:
    """SPICE: a group for each molecule, conformations in bohr, energies in Hartree, gradient = −force.

    Source: doi:10.1038/s41597-022-01882-6.
    """

    units = Units(energy=ase.units.Hartree, length=ase.units.Bohr)

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file: Any = None
        try:
            file = self._open()
            self._groups = [n for n, g in file.items() if isinstance(g, h5py.Group) and "conformations" in g]
            counts = [len(file[name]["conformations"]) for name in self._groups]
        except OSError as error:
            raise InputError(f"{path}: not an HDF5 file, or a damaged one ({error})") from None
        if not self._groups or not all("atomic_numbers" in file[name] for name in self._groups):
            raise InputError(
                f"{path}: holds {', '.join(list(file)[:5])}; expected SPICE's layout, a group for each molecule "
                "with atomic_numbers, conformations, dft_total_energy and dft_total_gradient"
            )
        self._starts = np.cumsum([0, *counts])

    def __len__(self) -> int:
        return int(self._starts[-1])

    def __getstate__(self) -> dict:
        return {**self.__dict__, "_file": None}  # an open file stays in its process

    def place(self, index: int) -> str:
        """Where a structure stands, for messages."""
        number = int(np.searchsorted(self._starts, index, side="right")) - 1
        return f"structure {index} ({self._groups[number]}, conformation {index - self._starts[number]})"

    def frame(self, index: int) -> Frame:
        """One conformation in Hartree and bohr."""
        number = int(np.searchsorted(self._starts, index, side="right")) - 1
        group, row = self._open()[self._groups[number]], index - self._starts[number]
        try:
            values = {}
            if "dft_total_energy" in group:
                values["energy"] = group["dft_total_energy"][row]
            if "dft_total_gradient" in group:
                values["forces"] = -group["dft_total_gradient"][row].astype(np.float64)
            return Frame(group["atomic_numbers"][:], group["conformations"][row], _NO_CELL, _NOT_PERIODIC, values)
        except (OSError, ValueError, IndexError) as error:
            raise InputError(f"{self.path}, {self.place(index)}: cannot be read ({error})") from None

    def _open(self) -> Any:
        if self._file is None:
            self._file = h5py.File(self.path, "r")
        return self._file
