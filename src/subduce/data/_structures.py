"""`Structure`: atoms and what is known about them, in eV and Å, whatever file or program they came from."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any

import ase
import numpy as np
from ase.calculators.singlepoint import SinglePointCalculator
from ase.data import chemical_symbols

from ..config import InputError
from ._neighbors import complete_cell
from ._properties import Property

ISOLATED_ATOM = "IsolatedAtom"  # the `config_type` of reference energies


@dataclass(frozen=True, eq=False)
class Structure:
    """Atoms, their cell and their labels. NaN stands for a label that is missing."""

    atomic_numbers: np.ndarray  # int64 [atoms]
    positions: np.ndarray  # float64 [atoms, 3], Å
    cell: np.ndarray  # float64 [3, 3], lattice vectors as rows, Å; zeros if there are none
    pbc: np.ndarray  # bool [3]
    energy: float  # eV
    forces: np.ndarray  # float64 [atoms, 3], eV/Å
    stress: np.ndarray  # float64 [3, 3], eV/Å³, positive in tension
    energy_weight: float = 1.0
    forces_weight: float = 1.0
    stress_weight: float = 1.0
    properties_weight: float = 1.0
    config_type: str = ""
    charge: float = 0.0  # e
    spin: float = 0.0  # as the file has it
    source: str = "structure"  # for messages: file and place
    names: Mapping[str, str] = field(default_factory=dict)  # for each label, what the file calls it
    properties: Mapping[str, np.ndarray] = field(default_factory=dict)  # by name, float64 [1 or atoms, *shape]

    @property
    def num_atoms(self) -> int:
        """Number of atoms."""
        return len(self.atomic_numbers)

    @property
    def formula(self) -> str:
        """The composition: elements and how many atoms of each.

        >>> structure_from_atoms(ase.Atoms("OH2")).formula
        'H2O'
        """
        return formula(self.atomic_numbers)

    @property
    def volume(self) -> float:
        """Volume of the cell in Å³; NaN unless all three directions repeat."""
        return float(abs(np.linalg.det(self.cell))) if self.pbc.all() else float("nan")

    @property
    def is_isolated_atom(self) -> bool:
        """Whether this is a reference energy: one atom alone, marked `config_type=IsolatedAtom`."""
        return self.config_type == ISOLATED_ATOM and self.num_atoms == 1

    def has(self, label: str) -> bool:
        """Whether the label `energy`, `forces` or `stress`, or a property, is known."""
        return not np.isnan(self.properties[label] if label in self.properties else getattr(self, label)).all()


@dataclass(frozen=True)
class LabelKeys:
    """The names under which a file holds its labels; the first that a structure has is taken.

    A name with `virial` in it holds the virial, −volume · stress. One name may be given as a string.

    >>> LabelKeys(energy="my_energy").energy
    ('my_energy',)
    """

    energy: tuple[str, ...] | str = ("REF_energy", "energy", "free_energy", "dft_energy")
    forces: tuple[str, ...] | str = ("REF_forces", "forces", "dft_forces")
    stress: tuple[str, ...] | str = (
        *("REF_stress", "REF_virial", "REF_virials"),
        *("stress", "virial", "virials"),
        *("dft_stress", "dft_virial", "dft_virials"),
    )
    properties: tuple[Property, ...] = ()

    def __post_init__(self) -> None:
        for one in fields(self)[:3]:
            names = getattr(self, one.name)
            object.__setattr__(self, one.name, (names,) if isinstance(names, str) else tuple(names))

    def names(self, label: str) -> tuple[str, ...]:
        """The names that a label, or a property, may go by."""
        own = {one.name: one.names for one in self.properties}
        return own[label] if label in own else getattr(self, label)

    def used(self, frame: "Frame") -> dict[str, str]:
        """For each label that a frame has, the name it goes by."""
        labels = ("energy", "forces", "stress", *(one.name for one in self.properties))
        found = {label: _first(frame.values, self.names(label)) for label in labels}
        return {label: name for label, name in found.items() if name is not None}


@dataclass(frozen=True)
class Units:
    """What one unit of a file is in eV and in Å."""

    energy: float = 1.0
    length: float = 1.0

    def times(self, other: "Units") -> "Units":
        """Units of units: of a format, and of what a user says about a file."""
        return Units(self.energy * other.energy, self.length * other.length)


@dataclass(frozen=True, eq=False)
class Frame:
    """A structure as a file has it: raw units, and every value by the file's own name."""

    atomic_numbers: np.ndarray
    positions: np.ndarray
    cell: np.ndarray
    pbc: np.ndarray
    values: Mapping[str, Any] = field(default_factory=dict)
    units: Mapping[str, str] = field(default_factory=dict)  # of values whose unit the format fixes


def structure_from_atoms(atoms: ase.Atoms, *, keys: LabelKeys | None = None, source: str | None = None) -> Structure:
    """The structure of an ASE `Atoms`, with labels from its stored results, `info` and `arrays`.

    Nothing is calculated. Raises `InputError` for a cell without volume, labels that are not finite
    and labels of the wrong shape.
    """
    source = source or atoms.get_chemical_formula()
    return structure_from_frame(frame_from_atoms(atoms), keys or LabelKeys(), source, Units())


def frame_from_atoms(atoms: ase.Atoms, extra: Mapping[str, Any] | None = None) -> Frame:
    """An ASE `Atoms` as a frame; stored results hide `info` and `arrays`, and those hide `extra`."""
    results = getattr(atoms.calc, "results", None) or {}
    values = {**(extra or {}), **atoms.arrays, **atoms.info, **results}
    return Frame(atoms.numbers, atoms.positions, atoms.cell.array, atoms.pbc, values)


def atoms_from_structure(structure: Structure) -> ase.Atoms:
    """The structure as ASE `Atoms`, its labels as stored results of a single-point calculator."""
    atoms = ase.Atoms(
        numbers=structure.atomic_numbers, positions=structure.positions, cell=structure.cell, pbc=structure.pbc
    )
    defaults = {"config_type": "", "charge": 0.0, "spin": 0.0}
    atoms.info = {k: getattr(structure, k) for k, default in defaults.items() if getattr(structure, k) != default}
    weights = {f"config_{k}": getattr(structure, k) for k in ("energy_weight", "forces_weight", "stress_weight")}
    atoms.info |= {name: weight for name, weight in weights.items() if weight != 1.0}
    labels = {k: getattr(structure, k) for k in ("energy", "forces", "stress") if structure.has(k)}
    if "stress" in labels:
        labels["stress"] = labels["stress"][[0, 1, 2, 1, 0, 0], [0, 1, 2, 2, 2, 1]]
    if labels:
        atoms.calc = SinglePointCalculator(atoms, **labels)
    return atoms


def structure_from_frame(frame: Frame, keys: LabelKeys, source: str, units: Units) -> Structure:
    """A frame with its labels found, checked and brought to eV and Å."""
    count = len(frame.atomic_numbers)
    if count == 0:
        raise InputError(f"{source}: holds no atoms; remove it")
    positions = _numbers(frame.positions, (count, 3), "positions", source) * units.length
    cell = np.asarray(frame.cell, dtype=np.float64) * units.length
    pbc = np.array(frame.pbc, dtype=bool)
    if pbc.any():
        try:
            complete_cell(cell, pbc)
        except ValueError as error:
            raise InputError(f"{source}: {error}") from None
    used = keys.used(frame)
    energy, forces, stress = np.nan, np.full((count, 3), np.nan), np.full((3, 3), np.nan)
    if name := used.get("energy"):
        energy = float(_numbers(frame.values[name], (), name, source)) * units.energy
    if name := used.get("forces"):
        forces = _numbers(frame.values[name], (count, 3), name, source) * (units.energy / units.length)
    if name := used.get("stress"):
        stress = _stress(frame.values[name], name, source, cell, pbc, units)
    return Structure(
        atomic_numbers=np.array(frame.atomic_numbers, dtype=np.int64),
        positions=positions,
        cell=cell,
        pbc=pbc,
        energy=energy,
        forces=forces,
        stress=stress,
        **_weights(frame.values, source),
        config_type=str(frame.values.get("config_type", "")),
        charge=_scalar(frame.values, ("charge", "total_charge")),
        spin=_scalar(frame.values, ("spin", "total_spin")),
        source=source,
        names=used,
        properties={one.name: one.read(frame.values, frame.units, count, source) for one in keys.properties},
    )


def formula(atomic_numbers: np.ndarray) -> str:
    """Elements and how many atoms of each, in Hill's order: C and H first where there is carbon, then the alphabet."""
    counts = {chemical_symbols[number]: count for number, count in Counter(atomic_numbers.tolist()).items()}
    first = [symbol for symbol in ("C", "H") if symbol in counts] if "C" in counts else []
    order = [*first, *sorted(counts.keys() - set(first))]
    return "".join(symbol + (str(counts[symbol]) if counts[symbol] > 1 else "") for symbol in order)


def _stress(value: Any, name: str, source: str, cell: np.ndarray, pbc: np.ndarray, units: Units) -> np.ndarray:
    """Stress in eV/Å³ from six numbers (xx yy zz yz xz xy) or nine, or from the virial."""
    raw = np.asarray(value)
    if raw.size not in (6, 9):
        raise InputError(f"{source}: {name} has shape {raw.shape}; expected 6 numbers (xx yy zz yz xz xy) or 3 × 3")
    six = _numbers(raw.reshape(-1), (raw.size,), name, source)
    tensor = six[[0, 5, 4, 5, 1, 3, 4, 3, 2]].reshape(3, 3) if raw.size == 6 else six.reshape(3, 3)
    tensor = (tensor + tensor.T) / 2
    if "virial" not in name.lower():
        return tensor * (units.energy / units.length**3)
    if not pbc.all():
        raise InputError(f"{source}: {name} needs a volume, but only {pbc.sum()} directions repeat; remove it there")
    return tensor * (-units.energy / abs(np.linalg.det(cell)))


def _numbers(value: Any, shape: tuple[int, ...], name: str, source: str) -> np.ndarray:
    """Finite float64 numbers of one shape, or an `InputError` that says what is there instead."""
    try:
        array = np.array(value, dtype=np.float64)
    except (TypeError, ValueError):
        raise InputError(f"{source}: {name} is {str(value)[:40]!r}; expected numbers of shape {shape}") from None
    if shape == () and array.size == 1:
        array = array.reshape(())
    if array.shape != shape:
        raise InputError(f"{source}: {name} has shape {array.shape}, expected {shape}")
    if not np.isfinite(array).all():
        wrong = array[~np.isfinite(array)].flat[0]
        atom = f" at atom {np.argwhere(~np.isfinite(array))[0][0]}" if len(shape) == 2 else ""
        raise InputError(
            f"{source}: {name} is {wrong}{atom}; expected finite numbers. "
            "Remove the structure, or leave the label out of it"
        )
    return array


def _weights(values: Mapping[str, Any], source: str) -> dict[str, float]:
    if not any(name.startswith("config_") for name in values):
        return {}
    whole = _numbers(values.get("config_weight", 1.0), (), "config_weight", source)
    weights = {"properties_weight": float(whole)}
    for label, names in (("energy", ["energy"]), ("forces", ["forces"]), ("stress", ["stress", "virials"])):
        keys = [f"config_{name}_weight" for name in names]
        key = next((key for key in keys if key in values), None)
        weight = float(whole) * (float(_numbers(values[key], (), key, source)) if key else 1.0)
        if weight < 0:
            raise InputError(f"{source}: the weight of {label} is {weight}; weights must not be negative")
        weights[f"{label}_weight"] = weight
    return weights


def _scalar(values: Mapping[str, Any], names: tuple[str, ...]) -> float:
    """The first of some numbers by name; per-atom arrays of the same name do not count."""
    for name in names:
        if isinstance(values.get(name), (int, float, np.number)):
            return float(values[name])
    return 0.0


def _first(values: Mapping[str, Any], names: Iterable[str]) -> str | None:
    return next((name for name in names if values.get(name) is not None), None)
