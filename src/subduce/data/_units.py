"""Units by name: products and powers of a few, and what one is in another."""

import re
from functools import cache

import ase.units as known

_ENERGIES = {"eV": 1.0, "meV": 1e-3, "Hartree": known.Hartree, "Ha": known.Hartree, "Ry": known.Rydberg}
_ENERGIES |= {"J": known.J, "kJ": known.kJ, "cal": known.kcal / 1e3, "kcal": known.kcal}
_LENGTHS = {"Å": 1.0, "A": 1.0, "Angstrom": 1.0, "nm": 10.0, "cm": 1e8, "bohr": known.Bohr, "a0": known.Bohr}
_BASE: dict[str, tuple[float, dict[str, int]]] = {
    **{name: (size, {"energy": 1}) for name, size in _ENERGIES.items()},
    **{name: (size, {"length": 1}) for name, size in _LENGTHS.items()},
    "GPa": (known.GPa, {"energy": 1, "length": -3}),
    "e": (1.0, {"charge": 1}),
    "D": (known.Debye, {"charge": 1, "length": 1}),
    "muB": (1.0, {"moment": 1}),
    "K": (1.0, {"temperature": 1}),
    "GHz": (1.0, {"frequency": 1}),
    "mol": (known.mol, {}),
    "1": (1.0, {}),
}
_SUPERSCRIPTS = str.maketrans("²³⁴⁻·", "234-*")


def unit_factor(unit: str, target: str) -> float:
    """What one `unit` is in `target`; units are products, quotients and powers such as `cal/(mol K)` or `bohr^3`.

    Raises `ValueError` for an unknown unit and where one cannot be converted into the other.

    >>> round(unit_factor("Hartree", "eV"), 4), round(unit_factor("e*bohr", "D"), 4)
    (27.2114, 2.5417)
    """
    (size, dimension), (other, wanted) = _read(unit), _read(target)
    if dimension != wanted:
        raise ValueError(f"the unit {unit} cannot be converted into {target}")
    return size / other


@cache
def _read(text: str) -> tuple[float, dict[str, int]]:
    size, dimension, sign, inside = 1.0, dict[str, int](), 1, False
    for token in re.findall(r"[()/]|[^\s()/*]+", text.translate(_SUPERSCRIPTS)):
        if token in "()":
            inside = token == "("
            sign = sign if inside else 1
            continue
        if token == "/":
            sign = -1
            continue
        name, power = re.fullmatch(r"(.*?)\^?(-?\d*)", token).groups()  # type: ignore[union-attr]
        if token in _BASE:
            name, power = token, ""
        if name not in _BASE:
            raise ValueError(f"no unit is called {name or token!r}; known are {', '.join(_BASE)} and products of them")
        exponent, (one, parts) = sign * int(power or 1), _BASE[name]
        size *= one**exponent
        for what, number in parts.items():
            dimension[what] = dimension.get(what, 0) + number * exponent
        sign = sign if inside else 1
    return size, {what: number for what, number in dimension.items() if number}
