"""What a survey of a data set shows to be wrong, one question a function."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from ase.data import chemical_symbols

from ._packed import LABELS, OVERLAP
from ._readers import Structures
from ._split import same_structures
from ._statistics import Statistics
from ._survey import Row, Survey
from ._suspect import judge_forces, judge_stress, stress_trend, work_between

_SHOWN = 5  # places named in one finding
_ALL = "all structures"


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong or worth knowing."""

    severity: str  # error, warning or info
    what: str
    where: str
    hint: str


def findings(survey: Survey, files: Sequence[Structures], known: Statistics) -> list[Finding]:
    """Everything that was found, worst first."""
    found = [
        *_unusable(survey),
        *_missing(survey, files),
        *_placeholders(survey, files),
        *_geometry(survey, files),
        *_elements(survey, files),
        *_units(survey),
        *_signs(survey),
        *_energies(survey, files, known),
        *_forces(survey, files),
        *_repeats(survey, files),
    ]
    return sorted(found, key=lambda one: ("error", "warning", "info").index(one.severity))


def _unusable(survey: Survey) -> Iterator[Finding]:
    for place, wrong in survey.unusable[:_SHOWN]:
        yield Finding("error", wrong, place, "correct or remove it; it would stop a training run")
    if rest := survey.unusable[_SHOWN:]:
        yield Finding("error", f"{len(rest)} more structures cannot be used", f"{rest[0][0]} …", "as above")


def _missing(survey: Survey, files: Sequence[Structures]) -> Iterator[Finding]:
    rows = survey.rows
    for label in LABELS:
        # Neither a free atom's forces nor the stress of what is not periodic are ever missed.
        expected = [
            row
            for row in rows
            if label == "energy" or (not row.isolated_atom and (label == "forces" or np.isfinite(row.volume)))
        ]
        without = [row for row in expected if label not in row.known]
        if expected and len(without) == len(expected):
            severity = {"energy": "error", "forces": "warning", "stress": "info"}[label]
            looked = ", ".join(getattr(files[0].keys, label))
            others = [f"{name} ({unit})" if unit else name for name, unit in files[0].other_numbers.items()]
            if others and "energy" not in survey.names:  # a set for property models
                if label == "energy":
                    yield Finding("info", "no energy, but other labels", _ALL, f"target=NAME: {', '.join(others)}")
                continue
            yield Finding(severity, f"no {label}", _ALL, f"looked for {looked}; name its key if it has another")
        elif without:
            yield Finding("warning", f"{label} missing", _where(without, files, rows), "left out of that loss")


def _placeholders(survey: Survey, files: Sequence[Structures]) -> Iterator[Finding]:
    rows = survey.rows
    for label in LABELS:
        names = survey.names.get(label, {})
        if len(names) > 1:
            what = f"{label} under several names: {', '.join(f'{name} ({n})' for name, n in names.items())}"
            yield Finding("warning", what, _ALL, "is it one level of theory? if not, name the key to use")
        having = [row for row in rows if label in row.known and row.num_atoms > 1]
        zero = [row for row in having if label in row.zero]
        if len(zero) > 0.1 * len(having):
            severity = "error" if len(zero) == len(having) else "warning"
            hint = "zero by symmetry, or placeholders? leave placeholders out of the file"
            yield Finding(severity, f"{label} exactly zero", _where(zero, files, rows), hint)


def _geometry(survey: Survey, files: Sequence[Structures]) -> Iterator[Finding]:
    rows = survey.rows
    for low, high, severity, what in (
        (0.0, OVERLAP, "error", "atoms on top of each other"),
        (OVERLAP, 0.6, "warning", "atoms very near each other"),
    ):
        near = sorted((row for row in rows if low <= row.nearest < high), key=lambda row: row.nearest)
        if near:
            first, second = near[0].nearest_pair
            worst = f"atoms {first} and {second} at {near[0].nearest:.3g} Å"
            hint = "remove damaged structures, or give the unit of length"
            yield Finding(severity, f"{what}: worst {worst}", _where(near, files, rows), hint)
    lonely = [row for row in rows if row.num_lonely]
    if lonely:
        what = f"{sum(row.num_lonely for row in lonely)} atoms without a neighbour within {survey.cutoff:g} Å"
        yield Finding("warning", what, _where(lonely, files, rows), "nothing to learn from there; is r_max too small?")


def _elements(survey: Survey, files: Sequence[Structures]) -> Iterator[Finding]:
    for part, elements in enumerate(survey.elements[1:], start=1):
        if new := sorted(elements - survey.elements[0]):
            names = ", ".join(chemical_symbols[number] for number in new)
            what = f"elements that {_paths(files[0])} does not have: {names}"
            yield Finding("error", what, _paths(files[part]), "add them to the training set")


def _units(survey: Survey) -> Iterator[Finding]:
    bonds = np.array([row.bonds for row in survey.rows if np.isfinite(row.bonds)])
    if len(bonds) and not 0.6 < (ratio := float(np.median(bonds))) < 1.6:
        unit, factor = ("bohr", "0.529177") if 1.6 < ratio < 2.4 else ("another unit", "that unit in Å")
        what = f"nearest neighbours are {ratio:.2g} bond lengths apart: lengths look like {unit}, not Å"
        yield Finding("warning", what, _ALL, f"set length_units_to_A={factor}")
    units = [row.energy_unit for row in survey.rows if "energy" in row.known and not row.isolated_atom]
    for unit, factor in (("Hartree", 27.211386), ("kcal/mol", 0.0433641), ("kJ/mol", 0.0103643)):
        if units and units.count(unit) > 0.9 * len(units):
            what = f"energies look like all-electron totals in {unit}, not eV"
            yield Finding("warning", what, _ALL, f"set energy_units_to_eV={factor}")
    largest = np.array([row.max_force for row in survey.rows if "forces" in row.known])
    if len(largest) and (middle := float(np.median(largest))) > 20:
        what = f"half of the structures have forces above {middle:.3g} eV/Å: are they kcal/mol/Å?"
        yield Finding("warning", what, _ALL, "set energy_units_to_eV=0.0433641, or leave torn structures out")


def _signs(survey: Survey) -> Iterator[Finding]:
    work = work_between(survey.kept.values())
    verdicts = {"forces": judge_forces(work), "stress": judge_stress(work)}
    for label, verdict in verdicts.items():
        if verdict is not None:
            told = f"energies change by {verdict.slope:.3g} times the work of {label}, over {verdict.pairs} pairs"
            if verdict.wrong:
                hint = f"bring {label} to eV and Å, " + ("F = −dE/dr" if label == "forces" else "positive in tension")
                yield Finding("error", f"{verdict.wrong}: {told}", _ALL, hint)
            else:
                yield Finding("info", f"energies and {label} agree: {told}", _ALL, "")
    rows = [row for row in survey.rows if "stress" in row.known and np.isfinite(row.volume)]
    if rows and verdicts["stress"] is None:
        counts = np.array([survey.compositions[row.formula] for row in rows], dtype=np.float64)
        volumes, traces = np.array([[row.volume, row.trace] for row in rows]).T
        trend = stress_trend(volumes, counts, traces)
        if trend is None or abs(trend) < 0.5:
            what = "the sign of the stress could not be tested"
            yield Finding("info", what, _ALL, "that takes strained cells of one composition")
        elif trend < 0:
            what = f"stretched cells push (correlation {trend:.2f}): the stress seems to have VASP's sign"
            yield Finding("warning", what, _ALL, "multiply it by −1: stress is positive in tension")


def _energies(survey: Survey, files: Sequence[Structures], known: Statistics) -> Iterator[Finding]:
    if known.undetermined:
        yield Finding("info", known.undetermined, _ALL, "")
    rows = [row for row in survey.rows if "energy" in row.known and not row.isolated_atom]
    if not rows:
        return
    shifts = np.zeros(len(chemical_symbols))
    for symbol, shift in known.shifts.items():
        shifts[chemical_symbols.index(symbol)] = shift
    rest = np.array([(row.energy - survey.compositions[row.formula] @ shifts) / row.num_atoms for row in rows])
    if known.fixed and abs(np.median(rest)) > 15:
        what = f"energies lie {np.median(rest):.4g} eV per atom from those of isolated {', '.join(known.fixed)}"
        yield Finding("error", what, "config_type=IsolatedAtom", "take atoms and structures from one code and unit")
    distance = np.abs(rest - np.median(rest))
    limit = max(0.5, 15 * 1.4826 * float(np.median(distance)))
    far = [row for row, value in zip(rows, distance, strict=True) if value > limit]
    if far:
        what = f"energies up to {distance.max():.3g} eV per atom from the rest (limit {limit:.2g})"
        yield Finding("warning", what, _where(far, files, rows), "unconverged, or another level of theory")


def _forces(survey: Survey, files: Sequence[Structures]) -> Iterator[Finding]:
    rows = [row for row in survey.rows if "forces" in row.known and row.num_atoms > 1]
    pushed = [row for row in rows if row.net_force > max(0.05, 2e-3 * row.sum_force)]
    if pushed:
        what = f"forces do not add up to zero, at worst to {max(row.net_force for row in pushed):.3g} eV/Å"
        hint = "no energy gives such forces: unconverged, an outer field, or a wrong column"
        yield Finding("warning", what, _where(pushed, files, rows), hint)
    limit = max(10.0, 10 * float(np.median([row.max_force for row in rows]))) if rows else 0.0
    strong = sorted((row for row in rows if row.max_force > limit), key=lambda row: -row.max_force)
    if strong:
        what = f"forces up to {strong[0].max_force:.3g} eV/Å (limit {limit:.3g})"
        yield Finding("warning", what, _where(strong, files, rows), "they rule the loss: remove or weigh them down")


def _repeats(survey: Survey, files: Sequence[Structures]) -> Iterator[Finding]:
    single = {(row.part, row.index) for row in survey.rows if row.num_atoms == 1}
    pairs = [pair for pair in same_structures(survey.prints) if pair[0] not in single]
    for across, severity, what, hint in (
        (True, "error", "structures in two files at once", "errors will look too small; split by time or composition"),
        (False, "warning", "structures that repeat within a file", "remove them"),
    ):
        some = [pair for pair in pairs if (pair[0][0] != pair[1][0]) == across]
        if some:
            places = [" = ".join(files[part].source(index) for part, index in pair) for pair in some[:_SHOWN]]
            where = f"{'; '.join(places)}{' …' if len(some) > _SHOWN else ''} ({len(some)} pairs)"
            yield Finding(severity, what, where, hint)


def _where(some: Sequence[Row], files: Sequence[Structures], rows: Sequence[Row]) -> str:
    """The first few places, each file named once, and how many there are."""
    places, last = [], ""
    for row in some[:_SHOWN]:
        path, _, place = files[row.part].source(row.index).rpartition(", structure ")
        places.append(place if path == last else f"{path}, structure {place}")
        last = path
    return f"{', '.join(places)}{' …' if len(some) > _SHOWN else ''} ({len(some)} of {len(rows)} structures)"


def _paths(structures: Structures) -> str:
    return ", ".join(str(path) for path in structures.paths)
