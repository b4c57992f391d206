"""Targets of a property model: found in the files, completed by their shape and name, and standardised."""

import difflib
import warnings
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from ase.data import atomic_numbers

from ..config import InputError, build
from ..data import GraphDataset, Property, Structures, unit_factor
from ..models import TargetConfig
from ..o3 import CartesianTensor

_SAMPLE = 16  # structures looked at to see which values a file has, and of which shape
_LEAST = 1e-6  # of the labels: what shifts leave of them may be nothing but rounding
_ORBITAL = {"pool": "attention"}
_USUAL: dict[tuple[str, tuple[int, ...]], dict[str, Any]] = {
    ("mu", ()): {"irreps": "1o", "norm": True, "charges": True},
    ("dipole", (3,)): {"irreps": "1o", "charges": True},
    **{(name, ()): _ORBITAL for name in ("homo", "lumo", "gap")},
    **{(name, ()): {"pool": "mean"} for name in ("A", "B", "C")},
}
"""What quantities of some names and shapes usually are; everything else of a structure is taken to be extensive."""


class _Seen(NamedTuple):
    """A value as a file has it."""

    shape: tuple[int, ...]
    num_atoms: int
    unit: str


def completed(
    given: Mapping[str, TargetConfig], asked: Sequence[str], structures: Structures
) -> dict[str, TargetConfig]:
    """The targets given and asked for by name, with what was left open taken from the shape of their values.

    Raises `InputError` for one that no structure looked at has, with those there are.
    """
    rows = np.unique(np.linspace(0, len(structures) - 1, _SAMPLE).astype(int)).tolist()
    frames = [structures.frame(row) for row in rows]
    found = {}
    for name in dict.fromkeys([*asked, *given]):
        target = given.get(name, TargetConfig.model_validate({}))
        own = target.model_dump(include=target.model_fields_set)
        names, seen = Property(name, keys=target.keys).names, []
        for frame in frames:
            if (key := _first(frame.values, names)) is not None:
                seen.append(_Seen(np.shape(frame.values[key]), len(frame.atomic_numbers), frame.units.get(key, "")))
        if not seen and name not in given:
            raise InputError(f"{structures.paths[0]}: {_unknown(name, frames)}")
        usual = _usual(name, seen, own) if seen else {}
        if any(np.any(frame.pbc) for frame in frames):  # what repeats has no dipole of charges and positions
            usual.pop("charges", None)
        found[name] = build(TargetConfig, {**usual, **own}, source=f"targets.{name}")
    return found


def standardised(
    targets: Mapping[str, TargetConfig], dataset: GraphDataset, elements: Sequence[str]
) -> dict[str, TargetConfig]:
    """The targets with shifts and scales from the labels of a set, which come first in what a network has to learn.

    An extensive quantity has what each element adds by least squares, one of atoms each element's mean, any other the
    mean; the scale is the root mean square of the rest. Warns where labels are missing in part, and of charged
    molecules. Raises `InputError` for a target that no structure has.
    """
    lacking = dataset.require(targets)
    for name, count in lacking.items():
        if count:
            warnings.warn(
                f"{count} of {len(dataset)} training structures have no {name}; the others teach it", stacklevel=3
            )
    charged = int(np.count_nonzero(dataset.charges))
    if charged and any(target.charges for target in targets.values()):
        warnings.warn(
            f"{charged} training structures are charged: their dipoles depend on the origin and are taken about the "
            "centre of mass; labels must be too",
            stacklevel=3,
        )
    counts = dataset.composition([atomic_numbers[name] for name in elements])
    return {
        name: _standard(target, dataset.values(name), counts, dataset, elements) for name, target in targets.items()
    }


def _standard(
    target: TargetConfig, labels: np.ndarray, counts: np.ndarray, dataset: GraphDataset, elements: Sequence[str]
) -> TargetConfig:
    parts = _components(target, labels)
    known = np.isfinite(parts).all(1)
    columns = [] if target.norm else _scalars(target)
    if target.rows_of_atoms:
        numbers = np.concatenate([dataset.atomic_numbers(row) for row in range(len(dataset))])
        counts = (numbers[:, None] == [atomic_numbers[name] for name in elements]).astype(float)
    adds_up = target.rows_of_atoms or target.pool == "sum"
    design = counts if adds_up else np.full((len(parts), 1), 1.0)
    if target.shifts is not None:
        shifts = np.array([target.shifts[name] for name in elements]).reshape(len(elements), len(columns))
        added = (design if adds_up else counts / counts.sum(1, keepdims=True)) @ shifts
    else:
        solved = np.linalg.lstsq(design[known], parts[known][:, columns], rcond=None)[0]
        added, shifts = design @ solved, solved if adds_up else np.repeat(solved, len(elements), axis=0)
    rest = parts.copy()
    rest[:, columns] -= added
    scale = float(np.sqrt(np.square(rest[known]).mean())) if known.any() else 1.0
    size = float(np.sqrt(np.square(parts[known]).mean())) if known.any() else 1.0
    return target.replace(
        shifts=dict(zip(elements, map(tuple, shifts.tolist()), strict=True)) if columns else None,
        scale=target.scale or max(scale, _LEAST * size) or 1.0,
    )


def _components(target: TargetConfig, labels: np.ndarray) -> np.ndarray:
    """Labels as components of the irreps, float64 [rows, dim]; of a length, itself."""
    values = torch.from_numpy(labels)
    if target.symmetry:
        return CartesianTensor(target.symmetry).to_irreps(values).numpy()
    flat = values.reshape(len(values), -1)
    return flat.numpy() if target.norm else target.parts.from_e3nn(flat).numpy()


def _scalars(target: TargetConfig) -> list[int]:
    """Which components no rotation changes."""
    places = [place for (_, ir), place in zip(target.parts, target.parts.slices(), strict=True) if ir.is_scalar()]
    return [column for place in places for column in range(place.start, place.stop)]


def _usual(name: str, seen: Sequence[_Seen], own: Mapping[str, Any]) -> dict[str, Any]:
    """What the shapes of values say that a target is, and its name where it is a usual one."""
    per = own.get("per") or ("atom" if _of_atoms(seen) else "structure")
    shape, facts = seen[0].shape[1:] if per == "atom" else seen[0].shape, {"per": per, "unit": _unit(seen[0].unit)}
    if not {"irreps", "symmetry"} & set(own):
        facts["irreps"] = _irreps(shape)
    if per == "structure" and not {"irreps", "symmetry", "pool"} & set(own):
        facts |= _USUAL.get((name, shape), {})
    return facts


def _of_atoms(seen: Sequence[_Seen]) -> bool:
    """Whether values have a row for each atom; where all molecules are of one size it may be a vector or a matrix."""
    sizes = {one.num_atoms for one in seen}
    told = len(sizes) > 1 or len(seen[0].shape) > 1 or sizes.isdisjoint({1, 3, 6, 9})
    return told and all(one.shape[:1] == (one.num_atoms,) for one in seen)


def _irreps(shape: tuple[int, ...]) -> str:
    if shape in ((3, 3), (6,), (9,)):
        return "0e+2e"
    return "1o" if shape == (3,) else f"{shape[0]}x0e" if len(shape) == 1 else "0e"


def _unit(declared: str) -> str:
    """The unit to predict in: eV for energies, else that of the file."""
    try:
        return "eV" if declared and unit_factor(declared, "eV") else declared
    except ValueError:
        return declared


def _first(values: Mapping[str, Any], names: Sequence[str]) -> str | None:
    return next((name for name in names if values.get(name) is not None), None)


def _unknown(name: str, frames: Sequence[Any]) -> str:
    offered = [key for frame in frames for key, value in frame.values.items() if _is_number(value)]
    known = list(dict.fromkeys(offered))
    near = difflib.get_close_matches(name, known, n=1)
    hint = f"did you mean {near[0]}? " if near else ""
    return f"no structure has a value called {name}; {hint}there are {', '.join(known) or 'none'}"


def _is_number(value: Any) -> bool:
    return not isinstance(value, bool) and np.asarray(value).dtype.kind in "fiu"
