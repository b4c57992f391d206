"""What a page shows of each kind of record."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..records import Record
from ._order_parameters import order_parameter_parts
from ._plots import COLOURS, Plot, bars, lines, parity
from ._speed import HEADER, cells
from ._symmetry import symmetry_facts, symmetry_plots, symmetry_tables
from ._units import duration, plain, quantity, scale

Results = Mapping[str, Any]
UNITS = {
    "per_atom_energy": "eV",
    "total_energy": "eV",
    "energy": "eV",
    "forces": "eV/Å",
    "stress": "eV/Å³",
    "dipole": "e Å",
}
TARGETS = ("per_atom_energy", "forces", "stress")


@dataclass(frozen=True)
class Table:
    """Rows under a heading."""

    caption: str
    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    text: bool = False  # words rather than numbers: set to the left
    picks: Sequence[int | None] = ()  # the viewer's field that each row shows when clicked


@dataclass(frozen=True)
class Section:
    """One record on the page: its key numbers, a crystal, plots, tables, and what went in."""

    title: str
    subtitle: str
    facts: Sequence[tuple[str, str]] = ()
    plots: Sequence[Plot] = ()
    tables: Sequence[Table] = ()
    viewer: Mapping[str, Any] | None = None
    verdict: str = ""
    notice: str = ""
    notes: Sequence[str] = ()
    methods: str = ""
    settings: Sequence[tuple[str, str]] = field(default=())
    inputs: Sequence[tuple[str, str]] = field(default=())


def section(record: Record) -> Section:
    """The section of a record; kinds that are not known here show their plain results."""
    show = _KINDS.get(record.kind, _anything)
    results = record.results if isinstance(record.results, Mapping) else {"rows": record.results}
    parts = show(results)
    names = ", ".join(Path(name).name for name in record.inputs)
    return Section(
        **{
            "title": record.kind.replace("-", " ").capitalize(),
            "notice": f"Stopped: {results['stopped']}" if results.get("stopped") else "",
            **parts,
            "subtitle": " · ".join(part for part in (names, duration(record.seconds)) if part),
            "settings": list(_flat(record.settings)),
            "inputs": [(name, digest) for name, digest in record.inputs.items()],
        }
    )


def _train(results: Results) -> dict[str, Any]:
    history = results.get("history") or []
    facts = [
        ("epochs", plain(len(history) or results.get("epochs"))),
        ("best validation loss", plain(results.get("best_val_loss"))),
        ("parameters", plain(results.get("num_parameters"))),
        ("train · val · test", " · ".join(plain(results.get(f"n_{n}")) for n in ("train", "val", "test"))),
    ]
    part = "test" if results.get("test") else "validation"
    evaluation = results.get(part) or {}
    return {
        "title": "Training",
        "facts": [*((f"{name}, {part}", text) for name, text in _errors(evaluation)), *_present(facts)],
        "plots": [
            *_learning_curves(history, _units(evaluation)),
            *_parity_plots(evaluation),
            *_species_bars(evaluation),
        ],
    }


def _units(results: Results) -> dict[str, str]:
    """The unit of each target that has errors: of properties what the results say, else those of potentials."""
    return dict(results.get("units") or {target: UNITS[target] for target in TARGETS})


def _learning_curves(history: Sequence[Results], units: Mapping[str, str]) -> list[Plot]:
    plots = []
    named = {"training": _column(history, "train_loss"), "validation": _column(history, "val_loss")}
    losses = {name: curve for name, curve in named.items() if curve[1]}
    if losses:
        colours = [COLOURS["background"], COLOURS["energy"]]
        plots.append(lines(losses, x="epoch", y="loss", caption="Loss", log=True, colours=colours))
    for target, unit in units.items():
        epochs, values = _column(history, f"{target}_mae")
        if values:
            factor, unit = scale(max(values), unit)
            curve = {target: (epochs, [factor * value for value in values])}
            y, caption = f"mean absolute error{unit and f' ({unit})'}", f"Validation error, {_name(target)}"
            plots.append(lines(curve, x="epoch", y=y, caption=caption, log=True, colours=[_colour(target)]))
    epochs, rates = _column(history, "learning_rate")
    if len(set(rates)) > 1:
        curve = {"learning rate": (epochs, rates)}
        caption, colours = "Learning rate", [COLOURS["other"]]
        plots.append(lines(curve, x="epoch", y="learning rate", caption=caption, log=True, colours=colours))
    return plots


def _evaluate(results: Results) -> dict[str, Any]:
    facts = _present([("structures", plain(results.get("n_structures"))), ("atoms", plain(results.get("n_atoms")))])
    tables = [_metrics_table(results)]
    groups = results.get("by_config_type") or {}
    if len(groups) > 1:
        tables.append(_by_type(groups, _units(results)))
    return {
        "title": "Errors",
        "facts": [*_errors(results), *facts],
        "plots": [*_parity_plots(results), *_species_bars(results)],
        "tables": [table for table in tables if table.rows],
    }


def _errors(results: Results) -> list[tuple[str, str]]:
    return [
        (f"{_name(target)} MAE", quantity(results[f"{target}_mae"], unit))
        for target, unit in _units(results).items()
        if results.get(f"{target}_mae") is not None
    ]


def _metrics_table(results: Results) -> Table:
    rows = []
    for target, unit in (results.get("units") or UNITS).items():
        errors = [results.get(f"{target}_{kind}") for kind in ("mae", "rmse")]
        if any(error is not None for error in errors):
            rows.append([_name(target), *(quantity(error, unit) for error in errors)])
    return Table("By target", ["", "mean absolute error", "root mean square"], rows)


def _by_type(groups: Mapping[str, Results], units: Mapping[str, str]) -> Table:
    targets = [target for target in units if any(f"{target}_mae" in group for group in groups.values())]
    rows = []
    for name, group in groups.items():
        errors = [quantity(group.get(f"{target}_mae"), units[target]) for target in targets]
        rows.append([name or "(none)", plain(group.get("n_structures")), *errors])
    return Table("By config_type, mean absolute errors", ["", "structures", *map(_name, targets)], rows)


def _parity_plots(results: Results) -> list[Plot]:
    plots, units = [], {**UNITS, **_units(results)}
    for target, pairs in (results.get("parity") or {}).items():
        if target in units and len(pairs.get("reference", ())):
            plots.append(parity(target, units[target], pairs["reference"], pairs["predicted"]))
    return plots


def _species_bars(results: Results) -> list[Plot]:
    plots = []
    for target, unit in _units(results).items():
        prefix = f"{target}_mae_"
        errors = {key.removeprefix(prefix): value for key, value in results.items() if key.startswith(prefix)}
        errors = {species: value for species, value in errors.items() if value is not None}
        if len(errors) > 1:
            caption = f"Mean absolute error of {_name(target)}, by species"
            names, values = list(errors), list(errors.values())
            plots.append(bars(names, values, unit=unit, caption=caption, colour=_colour(target)))
    return plots


def _md(results: Results) -> dict[str, Any]:
    drift = results.get("energy_drift")
    temperature = results.get("temperature_mean")
    spread = results.get("temperature_std")
    facts = [
        ("time", f"{plain(results.get('time_ps'))} ps"),
        ("mean temperature", f"{plain(temperature)} ± {plain(spread)} K" if temperature is not None else "–"),
        ("energy drift", f"{plain(drift)} meV/atom/ps" if drift is not None else "–"),
        ("steps per second", plain(results.get("steps_per_second"))),
    ]
    return {
        "title": f"Molecular dynamics, {results.get('ensemble', '')}",
        "facts": _present(facts),
        "plots": _traces(results.get("trace") or {}, results.get("n_atoms") or 1),
    }


def _traces(trace: Results, atoms: int) -> list[Plot]:
    if not trace.get("time_fs"):
        return []
    long = trace["time_fs"][-1] > 5000
    time, unit = [t / 1000 if long else t for t in trace["time_fs"]], "ps" if long else "fs"
    energies = {}
    for key, name in (("total_energy", "kinetic + potential"), ("conserved_energy", "conserved")):
        values = trace.get(key)
        if values and values[0] is not None and not (energies and values == trace.get("total_energy")):
            change = [1000 * (value - values[0]) / atoms if value is not None else float("nan") for value in values]
            energies[name] = (time, change)
    plots = []
    if energies:
        colours = [COLOURS["energy"], COLOURS["other"]]
        caption = "Change of the energy since the start"
        plots.append(
            lines(energies, x=f"time ({unit})", y="energy change (meV/atom)", caption=caption, colours=colours)
        )
    for key, label, what in (("temperature", "temperature (K)", "Temperature"), ("volume", "volume (Å³)", "Volume")):
        if trace.get(key):
            curve = {what: (time, [float("nan") if value is None else value for value in trace[key]])}
            colour = COLOURS["temperature" if key == "temperature" else "stress"]
            plots.append(lines(curve, x=f"time ({unit})", y=label, caption=what, colours=[colour]))
    return plots


def _relax(results: Results) -> dict[str, Any]:
    trace = results.get("trace") or {}
    change = results.get("volume_change")
    facts = [
        ("converged", plain(results.get("converged"))),
        ("steps", plain(results.get("steps"))),
        ("largest force", quantity(results.get("fmax"), "eV/Å")),
        ("energy change", quantity(results.get("energy_change"), "eV")),
        ("volume change", f"{plain(100 * change)} %" if change is not None else "–"),
    ]
    plots = []
    if trace.get("step"):
        steps, energies = trace["step"], trace["potential_energy"]
        above = {"energy": (steps, [1000 * (value - energies[-1]) for value in energies])}
        y, colours = "energy above the end (meV)", [COLOURS["energy"]]
        plots.append(lines(above, x="step", y=y, caption="Energy", colours=colours))
        force, y, colours = {"force": (steps, trace["fmax"])}, "largest force (eV/Å)", [COLOURS["forces"]]
        plots.append(lines(force, x="step", y=y, caption="Largest force", log=True, colours=colours))
    return {"title": "Relaxation", "facts": _present(facts), "plots": plots}


def _check(results: Results) -> dict[str, Any]:
    findings = [f if isinstance(f, Mapping) else {"finding": f} for f in results.get("findings") or []]
    facts = [("findings", plain(len(findings)))]
    facts += [(name.removeprefix("n_"), plain(results.get(name))) for name in ("n_structures", "n_atoms")]
    header = list(dict.fromkeys(key for finding in findings for key in finding))
    rows = [[plain(finding.get(key)) for key in header] for finding in findings]
    tables = [Table("Findings", header, rows, text=True)] if rows else []
    return {"title": "Check of the data", "facts": _present(facts), "tables": tables}


def _bench(results: Results) -> dict[str, Any]:
    rows = results.get("rows") or []
    judged = [row for row in rows if row.get("must") is not None]
    met = sum(row.get("met") in ("yes", "aim") for row in judged)
    facts = [("targets met", f"{met} of {len(judged)}")] if judged else []
    sizes = sorted((row["l_max"], row["atoms"], row["median_ms"]) for row in rows if row.get("l_max") is not None)
    curves = {
        f"l_max {l_max}": (
            [float(atoms) for l, atoms, took in sizes if l == l_max and took],
            [1e3 * took / atoms for l, atoms, took in sizes if l == l_max and took],
        )
        for l_max in dict.fromkeys(l for l, *_ in sizes)
    }
    plots = []
    if any(along for along, _ in curves.values()):
        y, caption = "time per atom (µs)", "Energy and forces of silicon"
        plots.append(lines(curves, x="atoms", y=y, caption=caption, log=True, log_x=True, markers=True))
    table = Table("Cases", HEADER, [cells(row) for row in rows], text=True)
    return {"title": "Speed", "facts": facts, "plots": plots, "tables": [table]}


def _discover(results: Results) -> dict[str, Any]:
    return {
        "title": f"Symmetry under {results.get('group', 'a group')}",
        "verdict": results.get("verdict") or "",
        "notes": results.get("warnings") or [],
        "facts": _present(symmetry_facts(results)),
        "plots": symmetry_plots(results),
        "tables": [Table(*parts, text=True) for parts in symmetry_tables(results)],
        "methods": results.get("methods") or "",
    }


def _order_parameters(results: Results) -> dict[str, Any]:
    parts = order_parameter_parts(results)
    return parts | {"tables": [Table(*table[:3], text=True, picks=table[3]) for table in parts["tables"]]}


def _anything(results: Results) -> dict[str, Any]:
    rows = [[name, text] for name, text in _flat(results) if len(text) < 200]
    return {"tables": [Table("Results", ["", "value"], rows, text=True)] if rows else []}


_KINDS: dict[str, Callable[[Results], dict[str, Any]]] = {
    "train": _train,
    "evaluate": _evaluate,
    "md": _md,
    "relax": _relax,
    "check": _check,
    "bench": _bench,
    "discover": _discover,
    "order-parameters": _order_parameters,
}


def _name(target: str) -> str:
    return "energy per atom" if target == "per_atom_energy" else target.replace("_", " ")


def _colour(target: str) -> str:
    return COLOURS.get(target.rpartition("_")[2], COLOURS["other"])


def _column(history: Sequence[Results], key: str) -> tuple[list[float], list[float]]:
    """Epochs and values of one column, where both are there."""
    pairs = [(row.get("epoch", index), row[key]) for index, row in enumerate(history) if row.get(key) is not None]
    return [float(epoch) for epoch, _ in pairs], [float(value) for _, value in pairs]


def _present(facts: Sequence[tuple[str, str]]) -> list[tuple[str, str]]:
    return [(name, text) for name, text in facts if not text.startswith("–")]


def _flat(values: Mapping[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    """Nested settings as `model.r_max` and their values."""
    rows = []
    for key, value in values.items():
        if isinstance(value, Mapping) and value:
            rows += _flat(value, f"{prefix}{key}.")
        else:
            rows.append((f"{prefix}{key}", plain(value)))
    return rows
