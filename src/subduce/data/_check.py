"""`check`: what is wrong with a data set, before anyone trains on it."""

import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from ase.data import chemical_symbols

from ..records import Record, fingerprint
from ._packed import LABELS, OVERLAP, Progress
from ._readers import Structures, open_structures
from ._split import same_structures
from ._statistics import Statistics
from ._structures import LabelKeys
from ._survey import Row, Survey
from ._suspect import judge_forces, judge_stress, stress_trend, work_between

_SHOWN = 5  # places named in one finding


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong or worth knowing."""

    severity: Literal["error", "warning", "info"]
    what: str
    where: str
    hint: str


def check(
    paths: str | Path | Sequence[str | Path],
    *,
    cutoff: float = 5.0,
    keys: LabelKeys | None = None,
    energy_units_to_eV: float = 1.0,
    length_units_to_A: float = 1.0,
    progress: Progress | None = None,
) -> Record:
    """Reads files of structures once and returns a record of kind `check` with `findings` and a `summary`.

    Several files are taken for the parts of one split, the first for training, and searched for leakage.
    Findings have a severity (`error`: do not train on this; `warning`: look at it; `info`), what it is,
    where, and a hint, worst first. Raises `InputError` where a file cannot be opened at all.
    """
    start = time.perf_counter()
    paths = [paths] if isinstance(paths, (str, Path)) else list(paths)
    files = [
        open_structures(path, keys=keys, energy_units_to_eV=energy_units_to_eV, length_units_to_A=length_units_to_A)
        for path in paths
    ]
    total, survey = sum(len(one) for one in files), Survey(cutoff)
    for one in files:
        survey.read(one, (lambda done: progress(done, total)) if progress else None)
    known = survey.statistics.result(total)
    findings = [
        *_unreadable(survey),
        *_labels(survey, files),
        *_geometry(survey, files),
        *_units(survey),
        *_signs(survey),
        *_energies(survey, files, known),
        *_forces(survey, files),
        *_repeats(survey, files),
    ]
    findings.sort(key=lambda one: ("error", "warning", "info").index(one.severity))
    return Record(
        kind="check",
        inputs={str(path): fingerprint(path) for one in files for path in one.paths},
        settings={
            "cutoff": cutoff,
            "keys": asdict(keys or LabelKeys()),
            "energy_units_to_eV": energy_units_to_eV,
            "length_units_to_A": length_units_to_A,
        },
        results={"findings": [asdict(one) for one in findings], "summary": _summary(survey, total, known)},
        seconds=time.perf_counter() - start,
    )


def _unreadable(survey: Survey) -> Iterator[Finding]:
    for place, wrong in survey.unreadable[:_SHOWN]:
        yield Finding("error", wrong, place, "this structure stops a training run; correct or remove it")
    if len(survey.unreadable) > _SHOWN:
        more = len(survey.unreadable) - _SHOWN
        yield Finding(
            "error", f"{more} more structures cannot be used", survey.unreadable[_SHOWN][0] + " …", "as above"
        )


def _labels(survey: Survey, files: list[Structures]) -> Iterator[Finding]:
    rows = survey.rows
    for label in LABELS:
        looked = ", ".join(getattr(files[0].keys, label))
        without = [row for row in rows if label not in row.known and not (label != "energy" and row.isolated_atom)]
        if rows and len(without) == len(rows):
            severity = "info" if label == "stress" else "error" if label == "energy" else "warning"
            yield Finding(
                severity,
                f"no {label} at all",
                "every structure",
                f"looked for {looked}; name the key if it has another",
            )
        elif without and not (label == "stress" and all(np.isnan(row.volume) for row in without)):
            yield Finding(
                "warning", f"{label} is missing", _where(without, files, rows), "these take no part in that loss"
            )
        names = survey.names.get(label, {})
        if len(names) > 1:
            counts = ", ".join(f"{name} in {count}" for name, count in names.items())
            yield Finding(
                "warning",
                f"{label} goes by several names: {counts}",
                "the set",
                "one level of theory? if not, name the key",
            )
        zero = [row for row in rows if label in row.zero and row.num_atoms > 1]
        having = sum(label in row.known and row.num_atoms > 1 for row in rows)
        if zero and len(zero) > 0.1 * having:
            severity = "error" if len(zero) == having else "warning"
            yield Finding(
                severity,
                f"{label} is exactly zero",
                _where(zero, files, rows),
                "placeholders? leave the label out there",
            )


def _geometry(survey: Survey, files: list[Structures]) -> Iterator[Finding]:
    rows = survey.rows
    for low, high, severity, text in (
        (0, OVERLAP, "error", "atoms on top of each other"),
        (OVERLAP, 0.6, "warning", "atoms nearer than 0.6 Å"),
    ):
        near = sorted((row for row in rows if low <= row.nearest < high), key=lambda row: row.nearest)
        if near:
            worst = near[0]
            pair = f"atoms {worst.nearest_pair[0]} and {worst.nearest_pair[1]} at {worst.nearest:.3g} Å"
            yield Finding(
                severity,
                f"{text}: worst {pair}",
                _where(near, files, rows),
                "damaged structures, or the unit of length",
            )
    lonely = [row for row in rows if row.num_lonely]
    if lonely:
        count = sum(row.num_lonely for row in lonely)
        text = f"{count} atoms have no neighbour within {survey.cutoff:g} Å"
        yield Finding("warning", text, _where(lonely, files, rows), "the network cannot see them; is r_max too small?")
    for part, elements in enumerate(survey.elements[1:], start=1):
        if new := sorted(elements - survey.elements[0]):
            names = ", ".join(chemical_symbols[number] for number in new)
            where = _paths(files[part])
            yield Finding(
                "error",
                f"elements that {_paths(files[0])} does not have: {names}",
                where,
                "add them to the training set",
            )


def _units(survey: Survey) -> Iterator[Finding]:
    bonds = np.array([row.bonds for row in survey.rows])
    if len(bonds) and np.isfinite(bonds).any():
        ratio = float(np.nanmedian(bonds))
        unit = "bohr" if 1.6 < ratio < 2.4 else "another unit" if ratio < 0.6 else ""
        if unit:
            text = (
                f"nearest neighbours are {ratio:.2g} times as far apart as bonds: lengths look like {unit}, expected Å"
            )
            factor = "0.529177" if unit == "bohr" else "the unit in Å"
            yield Finding("warning", text, "the set", f"set length_units_to_A={factor}")
    units = [row.energy_unit for row in survey.rows if "energy" in row.known and not row.isolated_atom]
    for unit, factor in (("Hartree", 27.211386), ("kcal/mol", 0.0433641), ("kJ/mol", 0.0103643)):
        if units and units.count(unit) > 0.9 * len(units):
            text = f"energies look like all-electron totals in {unit}, expected eV"
            yield Finding("warning", text, "the set", f"set energy_units_to_eV={factor}")
    largest = np.array([row.max_force for row in survey.rows if "forces" in row.known])
    if len(largest) and np.median(largest) > 20:
        text = f"half of the structures have forces above {np.median(largest):.3g} eV/Å: kcal/mol/Å?"
        yield Finding(
            "warning", text, "the set", "set energy_units_to_eV, or check that structures are not too distorted"
        )


def _signs(survey: Survey) -> Iterator[Finding]:
    work = work_between(survey.kept.values())
    for label, verdict in (("forces", judge_forces(work)), ("stress", judge_stress(work))):
        if verdict is not None:
            text = f"energies follow the {label} with slope {verdict.slope:.3g} over {verdict.pairs} pairs of near structures"
            if verdict.wrong:
                yield Finding(
                    "error", f"{verdict.wrong}: {text}", "the set", f"convert the {label} (eV, Å, tension positive)"
                )
            else:
                yield Finding("info", f"{label} agree with the energies: {text}", "the set", "")
    rows = [row for row in survey.rows if "stress" in row.known and np.isfinite(row.volume)]
    if rows and judge_stress(work) is None:
        counts = np.array([survey.compositions[row.formula] for row in rows], dtype=np.float64)
        volumes, traces = np.array([[row.volume, row.trace] for row in rows]).T
        trend = stress_trend(volumes, counts, traces)
        if trend is not None and trend < -0.5:
            text = f"stretched cells push (correlation {trend:.2f}): stress seems to have VASP's sign"
            yield Finding("warning", text, "the set", "multiply stress by −1: positive in tension")
        elif trend is None or trend < 0.5:
            yield Finding(
                "info",
                "the sign of the stress could not be tested",
                "the set",
                "needs strained cells of one composition",
            )


def _energies(survey: Survey, files: list[Structures], known: Statistics) -> Iterator[Finding]:
    if known.undetermined:
        yield Finding("info", known.undetermined, "the set", "")
    rows = [row for row in survey.rows if "energy" in row.known and not row.isolated_atom]
    if not rows:
        return
    shifts = np.zeros(119)
    for symbol, shift in known.shifts.items():
        shifts[chemical_symbols.index(symbol)] = shift
    rest = np.array([(row.energy - survey.compositions[row.formula] @ shifts) / row.num_atoms for row in rows])
    if known.fixed and np.isfinite(rest).all() and abs(np.median(rest)) > 15:
        text = f"energies lie {np.median(rest):.4g} eV per atom from the isolated atoms ({', '.join(known.fixed)})"
        yield Finding("error", text, "IsolatedAtom", "isolated atoms and structures of different codes or units?")
    centre = np.nanmedian(rest)
    limit = max(0.5, 15 * 1.4826 * float(np.nanmedian(np.abs(rest - centre))))
    far = [(abs(value - centre), row) for value, row in zip(rest, rows, strict=True) if abs(value - centre) > limit]
    if far:
        worst = max(distance for distance, _ in far)
        text = f"energies up to {worst:.3g} eV per atom from the rest (limit {limit:.2g})"
        yield Finding(
            "warning", text, _where([row for _, row in far], files, rows), "unconverged, or another level of theory"
        )


def _forces(survey: Survey, files: list[Structures]) -> Iterator[Finding]:
    rows = [row for row in survey.rows if "forces" in row.known and row.num_atoms > 1]
    if not rows:
        return
    pushed = [row for row in rows if row.net_force > max(0.05, 2e-3 * row.sum_force)]
    if pushed:
        worst = max(row.net_force for row in pushed)
        text = f"forces do not add up to zero, the worst to {worst:.3g} eV/Å"
        yield Finding(
            "warning", text, _where(pushed, files, rows), "no energy gives such forces; unconverged or a wrong column?"
        )
    largest = np.array([row.max_force for row in rows])
    limit = max(10.0, 10 * float(np.median(largest)))
    strong = [row for row in rows if row.max_force > limit]
    if strong:
        text = f"forces up to {largest.max():.3g} eV/Å (limit {limit:.3g})"
        yield Finding("warning", text, _where(strong, files, rows), "they dominate the loss; remove, or weigh down")


def _repeats(survey: Survey, files: list[Structures]) -> Iterator[Finding]:
    by_place = {(row.part, row.index): row for row in survey.rows}
    found = same_structures(survey.prints)
    inside = [pair for pair in found if pair[0][0] == pair[1][0] and not by_place[pair[0]].isolated_atom]
    across = [pair for pair in found if pair[0][0] != pair[1][0] and not by_place[pair[0]].isolated_atom]
    for pairs, severity, text, hint in (
        (
            across,
            "error",
            "structures that stand in two files: test errors will be too small",
            "split by time or composition",
        ),
        (inside, "warning", "structures that repeat within a file", "remove them"),
    ):
        if pairs:
            places = [" = ".join(files[part].source(index) for part, index in pair) for pair in pairs[:_SHOWN]]
            more = f" … {len(pairs)} pairs" if len(pairs) > _SHOWN else ""
            yield Finding(severity, text, "; ".join(places) + more, hint)


def _summary(survey: Survey, total: int, known: Statistics) -> dict:
    rows = survey.rows

    def span(values: list[float]) -> list[float] | None:
        finite = [value for value in values if np.isfinite(value)]
        return [min(finite), max(finite)] if finite else None

    return {
        "n_structures": total,
        "n_unusable": len(survey.unreadable),
        "n_atoms": sum(row.num_atoms for row in rows),
        "elements": {symbol: count for symbol, count in known.counts.items()},
        "config_types": dict(survey.config_types),
        "labels_used": {label: dict(names) for label, names in survey.names.items()},
        "avg_num_neighbors": known.avg_num_neighbors,
        "energy_shifts": dict(known.shifts),
        "energy_residual_rms": known.energy_residual_rms,
        "forces_rms": known.forces_rms,
        "ranges": {
            "atoms": span([row.num_atoms for row in rows]),
            "energy_per_atom": span([row.energy / row.num_atoms for row in rows]),
            "max_force": span([row.max_force for row in rows]),
            "volume_per_atom": span([row.volume / row.num_atoms for row in rows]),
            "pressure": span([-row.trace / 3 for row in rows]),
            "nearest_distance": span([row.nearest for row in rows]),
        },
    }


def _where(some: list[Row], files: list[Structures], rows: list[Row]) -> str:
    places = ", ".join(files[row.part].source(row.index) for row in some[:_SHOWN])
    return f"{places}{' …' if len(some) > _SHOWN else ''} ({len(some)} of {len(rows)} structures)"


def _paths(structures: Structures) -> str:
    return ", ".join(str(path) for path in structures.paths)
