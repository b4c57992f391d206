"""`check`: what is wrong with a data set, before anyone trains on it."""

import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from ..records import Record, fingerprint
from ._findings import findings
from ._packed import Progress
from ._readers import open_structures
from ._statistics import Statistics
from ._structures import LabelKeys
from ._survey import Survey


def check(
    paths: str | Path | Sequence[str | Path],
    *,
    cutoff: float = 5.0,
    keys: LabelKeys | None = None,
    energy_units_to_eV: float = 1.0,
    length_units_to_A: float = 1.0,
    progress: Progress | None = None,
) -> Record:
    """A record of kind `check`: `findings` about files of structures, and a `summary`, from reading them once.

    Several files are taken for the parts of one split, the first for training, and searched for leakage.
    A finding says its `severity` (`error`: do not train on this; `warning`: look at it; `info`), `what`,
    `where` and a `hint`; the worst come first. Raises `InputError` where a file cannot be opened at all.
    """
    start = time.perf_counter()
    paths = [paths] if isinstance(paths, (str, Path)) else list(paths)
    units = {"energy_units_to_eV": energy_units_to_eV, "length_units_to_A": length_units_to_A}
    files = [open_structures(path, keys=keys, **units) for path in paths]
    total, survey = sum(len(one) for one in files), Survey(cutoff)
    for one in files:
        survey.read(one, (lambda done: progress(done, total)) if progress else None)
    known = survey.statistics.result(total)
    return Record(
        kind="check",
        inputs={str(path): fingerprint(path) for one in files for path in one.paths},
        settings={"cutoff": cutoff, "keys": asdict(keys or LabelKeys()), **units},
        results={
            "findings": [asdict(one) for one in findings(survey, files, known)],
            "summary": _summary(survey, total, known),
        },
        seconds=time.perf_counter() - start,
    )


def _summary(survey: Survey, total: int, known: Statistics) -> dict[str, Any]:
    rows = survey.rows
    ranges = {
        "atoms": [row.num_atoms for row in rows],
        "energy_per_atom": [row.energy / row.num_atoms for row in rows],
        "max_force": [row.max_force for row in rows],
        "volume_per_atom": [row.volume / row.num_atoms for row in rows],
        "pressure": [-row.trace / 3 for row in rows],
        "nearest_distance": [row.nearest for row in rows],
    }
    return {
        "n_structures": total,
        "n_unusable": len(survey.unusable),
        "n_atoms": sum(row.num_atoms for row in rows),
        "elements": dict(known.counts),
        "config_types": dict(survey.config_types),
        "labels_used": {label: dict(names) for label, names in survey.names.items()},
        "avg_num_neighbors": known.avg_num_neighbors,
        "energy_shifts": dict(known.shifts),
        "energy_residual_rms": known.energy_residual_rms,
        "forces_rms": known.forces_rms,
        "forces_rms_by_element": dict(known.forces_rms_by_element),
        "ranges": {name: _span(values) for name, values in ranges.items()},
    }


def _span(values: list[float]) -> list[float] | None:
    finite = [value for value in values if np.isfinite(value)]
    return [min(finite), max(finite)] if finite else None
