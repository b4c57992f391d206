"""Pairs of point clouds: what surrounds each atom, as features with irreps, and how it moves or what it is labelled."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import torch
from ase.data import atomic_masses, chemical_symbols

from ..config import InputError
from ..o3 import CartesianTensor, Irreps, spherical_harmonics
from ._fields import Pairs, open_pairs
from ._neighbors import complete_cell, neighbor_list
from ._readers import open_structures
from ._structures import Frame, LabelKeys, Units, structure_from_frame

_FEWEST = 8  # structures
_NEAR = 14  # neighbours that an atom has on average within a cutoff that is not given
_PER_FEATURE = 12  # samples
_LARGEST = 120  # features of the smallest class of laws
_KNOWN = {
    **{"energy": "0e", "forces": "1o", "stress": "0e+2e", "dipole": "1o", "polarizability": "0e+2e"},
    **{"charges": "0e", "magmoms": "0e", "velocities": "1o", "momenta": "1o"},
}
_READ = ("energy", "forces", "stress")
_BEYOND = ("finer", "next", "waves")
_WAVES = np.arange(1, 21)  # half waves over the range of distances, only tested against
_RICHNESS = (  # by species, functions of the distance for the target's degrees and for others
    *((True, 6, 2), (True, 4, 2), (True, 4, 1), (True, 2, 1), (True, 1, 1)),
    *((False, 4, 2), (False, 2, 1), (False, 1, 1)),
)


def open_clouds(
    path: str | Path,
    *,
    input: str = "input",
    target: str | Path | None = None,
    target_channels: str | None = None,
    channels: str | None = None,
    units: str = "sample",
    cutoff: float | None = None,
    distribution: bool = False,
    **others: Any,
) -> Pairs:
    """Pairs of a law of point clouds, from one or two files of structures; a structure is one exchangeable unit.

    `target` is a second file with the same atoms (the target is how far each has moved, both clouds about their
    centroids, or by the nearest image in a cell that repeats), or the name of a label, of atoms or of structures:
    `energy`, `forces`, `stress` (as 0e+2e), or any other with its irreps in `target_channels`, such as `spins=1e`.

    A sample is an atom, or a structure where the label is one of structures, which has the sums over its atoms. The
    input's channels are sums over neighbours within `cutoff` (not given: 14 neighbours on average) of functions of the
    distance times spherical harmonics up to degree 2, by species; the species; velocities where the file has them; and,
    where atoms move and nothing repeats, the place in the cloud. The law may be nonlinear in the density and one
    vector. What each class of laws has stands in `nested` of the pairs. `units`: `sample`, `block:N`, `group:KEY`.

    Raises `InputError`, one line, for files that do not belong together, labels that are not there, and too few atoms.
    """
    wrong = [f"--{name.replace('_', '-')}" for name, value in others.items() if value]
    if wrong:
        raise InputError(f"{path}: point clouds take no {', '.join(wrong)}; features have their irreps already")
    if input not in ("input", str(path)):
        raise InputError(f"{path}: an input {input!r} as well; give one file, and the other with --target")
    frames = _frames(path)
    goal = None if distribution else _goal(path, frames, target, target_channels or channels)
    labels = _units(path, frames, units)
    rows = sum(len(f.atomic_numbers) for f in frames) if goal is None or goal.by_atom else len(frames)
    about = _Surroundings.of(frames, cutoff, goal, rows, str(path))
    found = [about.features(frame) for frame in frames]
    counts = [len(next(iter(one.values()))) for one in found]
    arrays, texts, sizes = [], [], []
    for name, irrep in about.variables.items():
        values, dim = np.concatenate([one[name] for one in found]), Irreps(irrep).dim
        copies = values.reshape(len(values), values.shape[1] // dim, dim)
        there = np.abs(copies).max(axis=(0, 2), initial=0.0) > 1e-9
        values = copies[:, there].reshape(len(values), -1)
        sizes.append(values.shape[1])
        if there.any():
            arrays.append(values)
            texts.append(f"{name}={there.sum()}x{irrep}")
    pairs = open_pairs(
        {"input": np.concatenate(arrays, axis=1), "structure": np.repeat(labels, counts)}
        | ({} if goal is None else {"target": goal.values}),
        input_channels=",".join(texts),
        target_channels=None if goal is None else goal.text,
        units="group:structure",
        distribution=goal is None,
    )
    ends = [sum(sizes[: len(sizes) - count * len(about.degrees)]) for count in (len(_BEYOND), 1)]
    return replace(pairs, nested=(sum(sizes[:2]), *ends))


def _frames(path: str | Path) -> list[Frame]:
    structures = open_structures(path)
    if len(structures) < _FEWEST:
        one = (
            "one pair of structures is one exchangeable unit" if len(structures) == 1 else f"{len(structures)} are few"
        )
        raise InputError(f"{path}: {one}; at least {_FEWEST} structures are needed, and 13 for O(3) and SO(3)")
    return [structures.frame(i) for i in range(len(structures))]


def _units(path: str | Path, frames: Sequence[Frame], units: str) -> np.ndarray:
    """The unit of each structure, counted from 0."""
    kind, _, value = units.partition(":")
    numbers = np.arange(len(frames))
    if units == "sample":
        return numbers
    if kind == "block" and value.isdigit() and int(value) > 0:
        return numbers // int(value)
    if kind != "group" or not value:
        raise InputError(f"{path}: units {units!r}; expected sample, block:N (N structures in a row) or group:KEY")
    missing = next((i for i, frame in enumerate(frames) if value not in frame.values), None)
    if missing is not None:
        raise InputError(f"{path}, structure {missing}: no {value!r} for units; {_labels(frames[missing])}")
    return np.unique([str(frame.values[value]) for frame in frames], return_inverse=True)[1].reshape(-1)


def _labels(frame: Frame) -> str:
    return f"the structure has {', '.join(frame.values) or 'no labels'}"


# -- targets


@dataclass(frozen=True)
class _Goal:
    """What is to be explained: numbers [sample, channel], what they are, and whether a sample is an atom."""

    values: np.ndarray
    text: str
    by_atom: bool
    moves: bool = False

    @property
    def degrees(self) -> set[int]:
        """Degrees up to 2 of the irreps."""
        return {ir.l for _, ir in Irreps(self.text.rpartition("=")[2])} & {0, 1, 2}


def _goal(path: str | Path, frames: Sequence[Frame], target: str | Path | None, text: str | None) -> _Goal:
    named, _, irreps = (text or "").rpartition("=")
    name = str(target) if target not in (None, "target") else named
    if not name:
        raise InputError(
            f"{path}: no target; --target FILE of the same atoms moved, or a label ({_labels(frames[0])}), "
            "or --distribution"
        )
    if Path(name).suffix.lower() in (".extxyz", ".xyz"):
        return _Goal(_displacements(path, frames, name), "displacement=1o", True, moves=True)
    irreps = irreps or _KNOWN.get(name.removeprefix("REF_"), "")
    if not irreps:
        raise InputError(f"{path}: nothing says how {name!r} turns; add --target-irreps such as {name}=1o")
    try:
        dim = Irreps(irreps).dim
    except ValueError:
        raise InputError(f"{path}: cannot read the irreps {irreps!r} of {name}; expected such as 1o or 0e+2e") from None
    values = [_label(frame, name, dim, f"{path}, structure {i}") for i, frame in enumerate(frames)]
    by_atom = [value.ndim == 2 for value in values]
    if len(set(by_atom)) > 1:
        raise InputError(f"{path}: {name} is a label of atoms in some structures and of structures in others")
    whole = np.concatenate(values) if by_atom[0] else np.stack(values)
    if not np.isfinite(whole).all() or np.ptp(whole, axis=0).max() == 0:
        raise InputError(f"{path}: {name} is missing in some structures, or the same everywhere; expected numbers")
    return _Goal(whole, f"{name}={irreps}", by_atom[0])


def _label(frame: Frame, name: str, dim: int, source: str) -> np.ndarray:
    """A label as [atoms, dim], or [dim] where it is one of the structure."""
    n = len(frame.atomic_numbers)
    if name in _READ:
        structure = structure_from_frame(frame, LabelKeys(), source, Units())
        if not structure.has(name):
            raise InputError(f"{source}: no {name}; {_labels(frame)}")
        found = getattr(structure, name)
    elif name not in frame.values:
        raise InputError(f"{source}: no label {name!r}; {_labels(frame)}")
    else:
        found = frame.values[name]
    try:
        value = np.asarray(found, dtype=np.float64)
    except (TypeError, ValueError):
        raise InputError(f"{source}: {name} is no array of numbers") from None
    if dim == 6 and value.size in (6, 9):  # xx yy zz yz xz xy, or a matrix
        six = value.reshape(-1)[[0, 5, 4, 5, 1, 3, 4, 3, 2]] if value.size == 6 else value
        return CartesianTensor("ij=ji").to_irreps(torch.from_numpy(six.reshape(3, 3).copy())).numpy()
    if value.shape == (n, dim) or (dim == 1 and value.shape == (n,)):
        return value.reshape(n, dim)
    if value.size != dim:
        raise InputError(f"{source}: {name} has shape {value.shape}; its irreps make {dim} numbers an atom or in all")
    return value.reshape(dim)


def _displacements(path: str | Path, frames: Sequence[Frame], target: str) -> np.ndarray:
    """How far each atom has moved, structure after structure, without the motion of the centroid."""
    after = open_structures(target)
    if len(after) != len(frames):
        raise InputError(f"{path} has {len(frames)} structures and {target} {len(after)}; expected as many")
    found = []
    for i, frame in enumerate(frames):
        other = after.frame(i)
        if len(other.atomic_numbers) != len(frame.atomic_numbers):
            raise InputError(
                f"{path} has {len(frame.atomic_numbers)} atoms in structure {i} and {target} "
                f"{len(other.atomic_numbers)}; expected the same atoms"
            )
        wrong = np.flatnonzero(other.atomic_numbers != frame.atomic_numbers)
        if len(wrong):
            a, b = (chemical_symbols[f.atomic_numbers[wrong[0]]] for f in (frame, other))
            raise InputError(
                f"atom {wrong[0]} of structure {i} is {a} in {path} and {b} in {target}; expected the same"
            )
        moved = other.positions - frame.positions
        if frame.pbc.any():
            cell = complete_cell(frame.cell, frame.pbc)
            steps = moved @ np.linalg.inv(cell)
            moved = moved - (np.rint(steps) * frame.pbc) @ cell
        found.append(moved - moved.mean(axis=0))
    whole = np.concatenate(found)
    if not np.isfinite(whole).all():
        raise InputError(f"{target}: positions are not finite")
    if np.abs(whole).max() < 1e-12 * max(1.0, max(np.abs(f.positions).max() for f in frames)):
        raise InputError(f"{path} and {target} hold the same positions: no law can be tested; see --distribution")
    return whole


# -- features


@dataclass(frozen=True)
class _Surroundings:
    """Which functions of an atom's neighbours are taken."""

    species: tuple[int, ...]
    nearest: float
    cutoff: float
    vectors: tuple[str, ...]  # that each atom has of its own
    by_species: bool
    steps: Mapping[int, int]  # for each degree how many functions of the distance
    degrees: tuple[int, ...]  # of the target
    by_atom: bool

    @classmethod
    def of(
        cls, frames: Sequence[Frame], cutoff: float | None, goal: _Goal | None, rows: int, source: str
    ) -> "_Surroundings":
        """The richest functions that so many samples can tell apart."""
        if cutoff is not None and not 0 < cutoff < np.inf:
            raise InputError(f"cutoff {cutoff:g}: expected a positive distance")
        nearest, reach = _reach(frames)
        reach = cutoff or reach
        plain = not any(frame.pbc.any() for frame in frames)
        vectors = ["place"] if plain and (goal is None or goal.moves or not goal.by_atom) else []
        name = next((v for v in ("velocities", "momenta") if all(v in f.values for f in frames)), None)
        if name and (goal is None or name != goal.text.partition("=")[0]):
            vectors.append(name)
        shared: Mapping[str, Any] = {
            "species": tuple(np.unique(np.concatenate([f.atomic_numbers for f in frames])).tolist()),
            "nearest": min(nearest, 0.9 * reach),
            "cutoff": reach,
            "vectors": tuple(vectors),
            "degrees": tuple(goal.degrees if goal else ()),
            "by_atom": goal is None or goal.by_atom,
        }
        limit = min(_LARGEST, rows // _PER_FEATURE) if goal else 0
        for by_species, rich, poor in _RICHNESS:
            steps = {l: rich if l in shared["degrees"] else poor for l in range(3)}
            found = cls(**shared, by_species=by_species, steps=steps)
            if found.size <= limit:
                return found
        if goal is not None:
            what = "atoms in all structures" if goal.by_atom else "structures"
            raise InputError(
                f"{source}: {rows} {what} are too few; {_PER_FEATURE * found.size} are needed to tell features apart"
            )
        return found

    @property
    def size(self) -> int:
        """How many features the smallest class of laws has, at most."""
        kinds = len(self.species) ** 2 if self.by_species else 1
        near = sum((2 * l + 1) * kinds * steps for l, steps in self.steps.items())
        return len(self.species) * (1 + 3 * len(self.vectors)) - 1 + near

    @property
    def variables(self) -> dict[str, str]:
        """Names with the irrep of one copy: the two that products are made of, the others, those tested against."""
        found = dict.fromkeys((*self.vectors[:1], "gradient")[:1], "1o") | {"density": "0e", "gradient": "1o"}
        found |= dict.fromkeys(self.vectors, "1o") | {"species": "0e"}
        found |= {f"{name}_by_species": "1o" for name in self.vectors}
        names = [*(("near", l) for l in self.steps), *product(_BEYOND, self.degrees)]
        return found | {f"{name}{l}": f"{l}{'eo'[l % 2]}" for name, l in names}

    def features(self, frame: Frame) -> dict[str, np.ndarray]:
        """Every variable [atoms, channels] of a structure, or [1, channels] their sums."""
        n, kinds = len(frame.atomic_numbers), len(self.species)
        own = np.eye(kinds)[np.searchsorted(self.species, frame.atomic_numbers)]  # [atoms, species]
        sender, receiver, shifts = neighbor_list(frame.positions, frame.cell, frame.pbc, self.cutoff)
        edges = frame.positions[sender] + shifts @ frame.cell - frame.positions[receiver]
        lengths = np.linalg.norm(edges, axis=1)
        angular = {l: spherical_harmonics(l, torch.from_numpy(edges), normalization="norm").numpy() for l in range(3)}

        def around(weights: np.ndarray, l: int) -> np.ndarray:
            """Sums over neighbours [atoms, weights, components]."""
            found = np.zeros((n, weights.shape[1], 2 * l + 1))
            np.add.at(found, receiver, weights[:, :, None] * angular[l][:, None])
            return found

        envelope = self._bumps(lengths, 1)
        density, gradient = around(envelope, 0), around(envelope, 1)
        waves = np.cos(np.pi / (self.cutoff - self.nearest) * (lengths - self.nearest)[:, None] * _WAVES)
        scalars = np.stack([density[:, 0, 0], np.linalg.norm(gradient[:, 0], axis=1)], axis=1)
        crowded = np.cos(np.pi / 4 * scalars[:, :, None] * _WAVES[:3]).reshape(n, -1)
        found = {"density": density, "gradient": gradient, "species": own[:, 1 if self.by_atom else 0 :]}
        for name in self.vectors:
            vector = self._vector(frame, name)
            found |= {name: vector, f"{name}_by_species": own[:, 1:, None] * vector[:, None]}
        for l, steps in self.steps.items():
            bumps = self._bumps(lengths, steps)
            if self.by_species:
                apart = around((own[sender][:, :, None] * bumps[:, None]).reshape(len(bumps), -1), l)
                near = (own[:, :, None, None] * apart[:, None]).reshape(n, -1, 2 * l + 1)
            else:
                near = around(bumps, l)
            found[f"near{l}"] = near[:, 1 if l < 2 else 0 :]  # all together they make density and gradient
        for l in self.degrees:
            found[f"finer{l}"] = around(self._bumps(lengths, 2 * self.steps[l]), l)
            found[f"next{l}"] = around(envelope * density[sender][:, :, 0], l)
            both = around(envelope * waves, l), crowded[:, :, None] * around(envelope, l)
            found[f"waves{l}"] = np.concatenate(both, axis=1)
        flat = {name: value.reshape(n, -1) for name, value in found.items()}
        return flat if self.by_atom else {name: value.sum(axis=0)[None] for name, value in flat.items()}

    def _vector(self, frame: Frame, name: str) -> np.ndarray:
        if name == "place":
            return frame.positions - frame.positions.mean(axis=0)
        vector = np.asarray(frame.values[name], dtype=np.float64)
        return vector / atomic_masses[frame.atomic_numbers][:, None] if name == "momenta" else vector

    def _bumps(self, lengths: np.ndarray, count: int) -> np.ndarray:
        """Functions of the distance [edges, count], smooth, that add up to 1 up to the last of them."""
        step = (self.cutoff - self.nearest) / count
        away = (np.maximum(lengths, self.nearest) - self.nearest)[:, None] / step - np.arange(count)
        return np.cos(np.pi / 2 * np.clip(away, -1, 1)) ** 2


def _reach(frames: Sequence[Frame]) -> tuple[float, float]:
    """The smallest distances in some structures, and one within which atoms have so many neighbours."""
    smallest, wanted = [], []
    for i in np.unique(np.linspace(0, len(frames) - 1, 10).astype(int)):
        frame = frames[i]
        n = len(frame.atomic_numbers)
        extent = np.ptp(frame.positions, axis=0).max(initial=0.0) + 1e-3
        if frame.pbc.any():
            extent = max(extent, float(np.linalg.norm(frame.cell[frame.pbc], axis=1).max()))
        cutoff, lengths = extent / max(1.0, n ** (1 / 3)), np.zeros(0)
        while len(lengths) < _NEAR * n:
            sender, receiver, shifts = neighbor_list(frame.positions, frame.cell, frame.pbc, cutoff)
            edges = frame.positions[sender] + shifts @ frame.cell - frame.positions[receiver]
            lengths = np.sort(np.linalg.norm(edges, axis=1))
            if not frame.pbc.any() and len(lengths) == n * (n - 1):
                break
            cutoff *= 1.5
        if len(lengths):
            smallest.append(lengths[0])
            wanted.append(lengths[_NEAR * n - 1] if len(lengths) >= _NEAR * n else 1.25 * lengths[-1])
    return (float(np.mean(smallest)), float(np.mean(wanted))) if smallest else (0.5, 1.0)
