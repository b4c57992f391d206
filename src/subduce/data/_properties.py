"""`Property`: a label beyond energy, forces and stress, and how it is found in a file."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from ..config import InputError
from ._units import unit_factor

_VOIGT = np.array([[0, 5, 4], [5, 1, 3], [4, 3, 2]])


@dataclass(frozen=True)
class Property:
    """A label by name: the shape of one value, whether a structure or each atom has one, and its unit.

    Files hold it under the first of `keys` that a structure has; without any these are `REF_name`, `name` and
    `dft_name`. Values are converted to `unit` from the unit that the file's format declares, or else `file_unit`.

    >>> Property("dipole", (3,)).names
    ('REF_dipole', 'dipole', 'dft_dipole')
    """

    name: str
    shape: tuple[int, ...] = ()
    per: Literal["structure", "atom"] = "structure"
    unit: str = ""
    file_unit: str = ""
    keys: tuple[str, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """What files may call it, best first."""
        return self.keys or (f"REF_{self.name}", self.name, f"dft_{self.name}")

    def read(self, values: Mapping[str, Any], units: Mapping[str, str], num_atoms: int, source: str) -> np.ndarray:
        """The values among those of a structure, float64 `[1 or atoms, *shape]`; NaN where there are none.

        Nine numbers or six (xx, yy, zz, yz, xz, xy) make a 3 × 3 matrix. Raises `InputError` where the file holds
        something of another shape or unit.
        """
        rows = num_atoms if self.per == "atom" else 1
        name = next((name for name in self.names if values.get(name) is not None), None)
        if name is None:
            return np.full((rows, *self.shape), np.nan)
        try:
            found = np.array(values[name], dtype=np.float64)
        except (TypeError, ValueError):
            found = np.empty(0)
        size = rows * int(np.prod(self.shape))
        if self.shape == (3, 3) and found.size == 6 * rows:
            found = found.reshape(rows, 6)[:, _VOIGT]
        if found.size != size or np.isinf(found).any():
            what = "one value for each atom" if self.per == "atom" else "one value for the structure"
            shown = f"shape {found.shape}" if found.size else repr(str(values[name])[:40])
            raise InputError(
                f"{source}: {name} has {shown}; expected {what}, finite and of shape {self.shape}. "
                f"Declare the target {self.name} with the irreps that it has"
            )
        return found.reshape(rows, *self.shape) * self._factor(units.get(name), name, source)

    def _factor(self, declared: str | None, name: str, source: str) -> float:
        unit = declared or self.file_unit
        if not unit or not self.unit or unit == self.unit:
            return 1.0
        try:
            return unit_factor(unit, self.unit)
        except ValueError as error:
            raise InputError(f"{source}: {name}: {error}") from None
