"""From files to training, validation and test parts, and from those to where a potential starts."""

import math
import os
import warnings
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
from ase.data import atomic_numbers, chemical_symbols
from pydantic import Field

from ..config import Config, InputError
from ..data import GraphDataset, LabelKeys, Property, Statistics, Structures, open_structures, split, structure_files
from ..models import PotentialConfig
from ._processes import Processes

LABELS = ("energy", "forces", "stress")
_ISOLATED = "IsolatedAtom"
_MANY = 50_000  # structures that are not held in memory
_FAR = 10.0  # eV per atom between given and fitted energies of atoms: more than any solid is bound by

Paths = str | tuple[str, ...]


class DataConfig(Config):
    """Files, or shares of the training file: 0.1 is a tenth of it, 50 are fifty structures."""

    train: Paths = Field(description="file or files to learn from")
    val: float | int | Paths = Field(0.1, description="to choose the best weights by")
    test: float | int | Paths | None = Field(None, description="to judge the result by")
    size: int | None = Field(None, ge=1, description="how many of the training file's structures to learn from; all")
    split: Literal["random", "time", "composition"] = Field(
        "random", description="how shares are taken; time: contiguous blocks, as for one trajectory"
    )
    keys: LabelKeys | None = Field(None, description="names under which the files hold energy, forces, stress")
    energy_units_to_eV: float = Field(1.0, gt=0, description="one unit of the files' energies, eV")
    length_units_to_A: float = Field(1.0, gt=0, description="one unit of the files' lengths, Å")
    cache: str | None = Field(
        None, description="folder for packed structures and edges; of more than 50,000, the user's caches"
    )

    def files(self) -> tuple[str, ...]:
        """Every file that is named."""
        named = [value for value in (self.train, self.val, self.test) if isinstance(value, str | tuple)]
        paths = [file for value in named for path in _paths(value) for file in structure_files(path)]
        return tuple(dict.fromkeys(map(str, paths)))


@dataclass(frozen=True)
class Parts:
    """The structures to learn from, to choose weights by, and to judge by."""

    train: GraphDataset
    val: GraphDataset
    test: GraphDataset | None

    def labels(self, asked: Collection[str]) -> tuple[str, ...]:
        """The labels of the training part, with a warning for gaps and `InputError` for one asked for and absent."""
        self.train.require(asked)
        present = []
        for label in LABELS:
            lacking, count = len(self.train.missing(label)), len(self.train)
            if lacking < count:
                present.append(label)
                if lacking and (label != "stress" or label in asked):
                    warnings.warn(
                        f"{lacking} of {count} training structures have no {label}; the others teach it", stacklevel=2
                    )
        return tuple(present)


def open_parts(
    config: DataConfig,
    cutoff: float,
    workers: int,
    seed: int,
    group: Processes,
    properties: tuple[Property, ...] = (),
) -> Parts:
    """Open the files and find all edges; with a cache the first process builds it and the others find it.

    Of more than 50,000 structures none is held in memory: they are packed into the user's folder of caches.
    """
    if properties:
        config = config.replace(keys=replace(config.keys or LabelKeys(), properties=properties))
    opened = [
        _structures(share, config) if isinstance(share, str | tuple) else None
        for share in (config.train, config.val, config.test)
    ]
    structures, drawn = opened[0], None
    assert structures is not None
    if config.size is not None:
        drawn = _draw(structures, config, seed)
        opened[0] = structures = structures.subset(np.sort(np.concatenate(drawn)))
    cache = config.cache or (_usual_cache() if len(structures) > _MANY else None)
    if cache is not None and not group.first:
        group.wait()
    whole, val, test = (
        None if one is None else GraphDataset(one, cutoff, cache=cache, workers=workers) for one in opened
    )
    if cache is not None and group.first:
        group.wait()
    assert whole is not None
    parts = _shared_out(whole, val, test, config, seed, drawn)
    lonely = int(parts.train.num_lonely.sum())
    if lonely:
        warnings.warn(
            f"{lonely} atoms of the training structures have no neighbour within r_max = {cutoff} Å; "
            "they feel no force: raise model.r_max",
            stacklevel=2,
        )
    return parts


def starting_network(config: PotentialConfig, parts: Parts, facts: Statistics) -> PotentialConfig:
    """The model config with elements and neighbours, where it leaves them open, taken from the training part.

    Raises `InputError` for elements that a part has and the potential would not know.
    """
    symbols = [chemical_symbols[number] for number in facts.elements]
    names = config.type_names or tuple(symbols)
    for part in (parts.train, parts.val, parts.test):
        if part is not None:
            _check_elements(part, names, given=config.type_names is not None)
    neighbors = config.avg_num_neighbors or max(1.0, _finite(facts.avg_num_neighbors, 1.0))
    return config.replace(type_names=names, avg_num_neighbors=neighbors)


def starting_point(config: PotentialConfig, parts: Parts, facts: Statistics) -> PotentialConfig:
    """The config of a potential with all that it leaves open taken from the training part (see `starting_network`)."""
    config = starting_network(config, parts, facts)
    names = config.type_names or ()
    shifts = config.per_type_energy_shifts
    if shifts is None:
        shifts = {name: _finite(facts.shifts.get(name, 0.0), 0.0) for name in names}
        if facts.undetermined:
            warnings.warn(f"energies of single atoms: {facts.undetermined}", stacklevel=2)
    else:
        _check_shifts(shifts, facts)
    scale = next((one for one in (facts.forces_rms, facts.energy_residual_rms) if _finite(one, 0.0) > 1e-6), 1.0)
    return config.replace(
        per_type_energy_shifts=shifts,
        per_type_energy_scales=config.per_type_energy_scales or dict.fromkeys(names, float(scale)),
    )


def training_structures(config: DataConfig) -> Structures:
    """The structures of the training files, not yet read."""
    return _structures(config.train, config)


def _structures(paths: Paths, config: DataConfig) -> Structures:
    return open_structures(
        _paths(paths),
        keys=config.keys,
        energy_units_to_eV=config.energy_units_to_eV,
        length_units_to_A=config.length_units_to_A,
    )


def _usual_cache() -> Path | None:
    """A folder for what need not be made again, or none where there is no place for it."""
    folder = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "subduce"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        return None
    return folder if os.access(folder, os.W_OK) else None


def _draw(structures: Structures, config: DataConfig, seed: int) -> list[np.ndarray]:
    """Rows to learn from, to validate and to test by; drawn at random, fewer to learn from are part of more."""
    count, size = len(structures), config.size or 0
    sizes = [_size(share, count) for share in (config.val, config.test)]
    over = count - size - sum(sizes)
    if over < 0:
        raise InputError(
            f"data.size: {_paths(config.train)[0]} has {count} structures, fewer than {size} to learn from, "
            f"{sizes[0]} for validation and {sizes[1]} for test"
        )
    whole = structures if config.split == "composition" else count
    shares = split(whole, (size, over, *sizes), how=config.split, seed=seed)
    return [shares[0], *shares[2:]]


def _shared_out(
    whole: GraphDataset,
    val: GraphDataset | None,
    test: GraphDataset | None,
    config: DataConfig,
    seed: int,
    drawn: Sequence[np.ndarray] | None = None,
) -> Parts:
    """The parts, with shares of the whole where there is no file; single atoms always stay in training."""
    kinds = np.array(whole.config_types)
    alone = (kinds == _ISOLATED) & (whole.num_atoms == 1)
    single, rest = np.flatnonzero(alone), np.flatnonzero(~alone)
    if drawn is None:
        for_train, for_val, for_test = (rest[share] for share in _shares(whole.subset(rest), config, seed))
    else:
        rows = np.sort(np.concatenate(drawn))
        for_train, for_val, for_test = (np.setdiff1d(np.searchsorted(rows, share), single) for share in drawn)
    return Parts(
        whole.subset(np.sort(np.concatenate([for_train, single]))),
        whole.subset(for_val) if val is None else val,
        whole.subset(for_test) if test is None and len(for_test) else test,
    )


def _shares(whole: GraphDataset, config: DataConfig, seed: int) -> tuple[np.ndarray, ...]:
    count = len(whole)
    sizes = [_size(share, count) for share in (config.val, config.test)]
    left = count - sum(sizes)
    if left < 1:
        raise InputError(
            f"{_paths(config.train)[0]}: {count} structures cannot be split into {sizes[0]} for validation, "
            f"{sizes[1]} for test and at least one to learn from; give more, or smaller data.val and data.test"
        )
    return split(whole, (left, *sizes), how=config.split, seed=seed)


def _size(share: float | int | Paths | None, count: int) -> int:
    if share is None or isinstance(share, str | tuple):
        return 0
    if isinstance(share, int) and share >= 1:
        return share
    if not 0 < share < 1:
        raise InputError(f"data.val, data.test: {share} is neither a share between 0 and 1 nor a number of structures")
    return max(1, round(share * count))


def _paths(value: Paths) -> Sequence[str]:
    return (value,) if isinstance(value, str) else value


def _check_elements(part: GraphDataset, names: Collection[str], *, given: bool) -> None:
    known = {atomic_numbers[name] for name in names}
    for row in range(len(part)):
        strange = set(part.atomic_numbers(row).tolist()) - known
        if strange:
            place = "model.type_names lists" if given else "the training structures have"
            raise InputError(
                f"{part.source(row)}: contains {chemical_symbols[min(strange)]}, but {place} only {', '.join(names)}"
            )


def _check_shifts(shifts: dict[str, float], facts: Statistics) -> None:
    """Energies of atoms from another method than the structures' are the commonest error of all."""
    lacking = [name for name in facts.counts if name not in shifts]
    if lacking:
        raise InputError(f"model.per_type_energy_shifts: lacks {', '.join(lacking)}; give every element, or none")
    atoms = sum(facts.counts.values())
    away = sum(count * (shifts[name] - facts.shifts[name]) for name, count in facts.counts.items()) / atoms
    if abs(away) > _FAR:
        fitted = ", ".join(f"{name} {value:.2f}" for name, value in facts.shifts.items())
        warnings.warn(
            f"model.per_type_energy_shifts are {away:+.1f} eV per atom away from what the energies say ({fitted} by "
            "least squares); were both computed with one method and one set of pseudopotentials?",
            stacklevel=2,
        )


def _finite(value: float, default: float) -> float:
    return float(value) if math.isfinite(value) else default
