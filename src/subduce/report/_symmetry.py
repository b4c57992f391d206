"""What a record of `discover` shows: irreps and elements with intervals, kept subgroups, classes of elements."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ._plots import COLOURS, Plot, bars, heat, matrix, ranges
from ._units import number, plain

Results = Mapping[str, Any]
_MANY = 12
VERDICTS = {
    "broken": COLOURS["forces"],
    "preserved": COLOURS["stress"],
    "undetermined": COLOURS["background"],
}


def symmetry_facts(results: Results) -> list[tuple[str, str]]:
    """The key numbers, by name."""
    fit = results.get("lack_of_fit") or {}
    explained = results.get("explained")
    lack = p_value(fit.get("p_value")) + _fit_note(results) if fit else "–"
    found = results.get("distribution") or {}
    return [
        ("not rejected", _subgroup(results.get("preserved"))),
        (f"proven within {plain(results.get('delta'))}", _subgroup(results.get("proven"))),
        ("smallest detectable effect", plain(results.get("detectable_effect"))),
        ("exchangeable units", plain(results.get("units"))),
        ("class of laws", plain(results.get("estimator"))),
        ("explained", f"{number(100 * explained)} %" if explained is not None else "–"),
        ("lack of fit", lack),
        ("distribution keeps", _subgroup(found.get("preserved"))),
    ]


def _fit_note(results: Results) -> str:
    if results.get("calibration"):
        return " (significant; p-values from placebos)"
    return " (significant)" if results["lack_of_fit"].get("flag") else ""


def symmetry_plots(results: Results) -> list[Plot]:
    """Irreps by their share of the law, elements by their effect, irreps of the distribution's moments."""
    plots = []
    legend = VERDICTS
    if rows := [row for row in results.get("irreps") or [] if row.get("interval")]:
        plots.append(_plot(rows, "irrep", "energy_fraction", x="share of the law's mean square",
                           caption="Irreps: how much of the law lies in each", legend=legend))  # fmt: skip
    if rows := [row for row in _elements(results) if row["name"] != "e"]:
        delta = results.get("delta")
        plots.append(_plot(rows, "name", "effect", x="effect: r.m.s. of g·f − f over that of f", 
                           line=delta, line_name="delta", caption="Elements: how far each moves the law",
                           legend=legend))  # fmt: skip
    if rows := (results.get("distribution") or {}).get("irreps"):
        rows = [{**row, "irrep": f"{row['irrep']}, moment {row['moment']}"} for row in rows]
        plots.append(_plot(rows, "irrep", "effect", x="part of the moment",
                           caption="Distribution of the inputs: irreps of its moments", legend=legend))  # fmt: skip
    if found := results.get("relaxed_weights"):
        plots += _relaxed(found)
    return [*plots, *_maps(results.get("where") or {}, results.get("level") or 0.0)]


def _relaxed(found: Results) -> list[Plot]:
    """Relaxed weights by layer and element, and how much of them lies in each irrep but the trivial one."""
    caption = "Relaxed weights that each layer alone would take in one step; equal ones mean a kept symmetry"
    weights = matrix(found["weights"], rows=found["layers"], columns=found["elements"], centre=1.0, caption=caption)
    powers = list(found["spectrum"].items())[1:]
    caption = "Their Fourier spectrum: which irreps the weights leave equality in (weights, not sizes of effects)"
    shares = bars([name for name, _ in powers], [power for _, power in powers], unit="", caption=caption,
                  colour=COLOURS["other"])  # fmt: skip
    return [weights, shares]


def _maps(where: Results, level: float) -> list[Plot]:
    """The share of each irrep that is broken somewhere, over boxes of a plane; of space, means along the last axis."""
    plots = []
    for place, row in enumerate(where.get("irreps") or []):
        if row["boxes"] and len(where["boxes"]) > 1 and where.get("energy_fractions"):
            first, second, *rest = where["axes"].split()
            mean = f", mean along {rest[0]}" if rest else ""
            boxes = f"{row['boxes']} of {math.prod(where['boxes'])} boxes"
            marks = [[np.asarray(p, dtype=float) < level for p in line] for line in where["p_values"][place]]
            caption = f"Where: share of {row['irrep']} in the law, broken in {boxes} (dots){mean}"
            plots.append(heat(where["energy_fractions"][place], x=second, y=first, caption=caption, marks=marks))
    return plots


def symmetry_tables(results: Results) -> list[tuple[str, list[str], list[list[str]]]]:
    """Captions, headers and rows: the kept subgroups, classes of elements, irreps, elements, the distribution."""
    tables = [_subgroups(results)]
    classes = results.get("classes") or []
    if 0 < len(classes) < (results.get("order") or 0):  # else each element is a class of its own
        rows = [[", ".join(c["elements"]), ", ".join(c["verdicts"]), _span(c.get("effect"))] for c in classes]
        caption = "Classes: elements that act alike on every law that keeps the subgroup not rejected"
        tables.append((caption, ["elements", "verdict", "effect"], rows))
    if results.get("irreps"):
        rows = [
            [r["irrep"], plain(r.get("dimension")), r["verdict"], _with(r.get("energy_fraction"), r.get("interval")),
             r.get("direction_symbol") or "–", _direction(r.get("direction")), p_value(r.get("p_value"))]
            for r in results["irreps"]
        ]  # fmt: skip
        header = ["irrep", "dimension", "verdict", "share of the law (95 %)", "symbol", "direction", "p"]
        tables.append(("Irreps, p corrected for their number", header, rows))
    if results.get("elements"):
        rows = [
            [r["name"], r["verdict"], _with(r["effect"], r.get("interval")), p_value(r.get("p_value"))]
            for r in _elements(results)
        ]
        tables.append(("Elements, p by closed testing", ["element", "verdict", "effect (95 %)", "p"], rows))
    if len(rows := results.get("seeds") or []) > 1:
        names = list(rows[0]["p_values"])
        cells = [
            [plain(r["seed"]), r["preserved"], p_value(r["lack_of_fit"]), f"{number(100 * r['explained'])} %",
             number(r["effect"]), *(p_value(r["p_values"][name]) for name in names)]
            for r in rows
        ]  # fmt: skip
        header = ["seed", "not rejected", "lack of fit", "explained", "largest effect", *(f"p of {n}" for n in names)]
        tables.append(("Networks from each seed, alone", header, cells))
    if rows := (results.get("distribution") or {}).get("irreps"):
        cells = [
            [r["irrep"], plain(r["moment"]), r.get("verdict", "–"), _with(r.get("effect"), r.get("interval")),
             p_value(r.get("p_value"))]
            for r in rows
        ]  # fmt: skip
        tables.append(("Distribution of the inputs", ["irrep", "moment", "verdict", "part (95 %)", "p"], cells))
    return [table for table in [*tables, *_places(results)] if table[2]]


def _places(results: Results) -> list[tuple[str, list[str], list[list[str]]]]:
    """Tables of translations, onsets and scales."""
    kept = (results.get("where") or {}).get("translations") or {}
    along = [[axis, row["verdict"], p_value(row.get("p_value"))] for axis, row in kept.items()]
    onsets = [
        [row["irrep"], plain(row.get("onset")), " to ".join(map(plain, row.get("interval") or ["–"]))]
        for row in (results.get("when") or {}).get("irreps") or []
    ]
    bands = []
    for row in results.get("scales") or []:
        low, high = row["band"]
        broken = [r["irrep"] for r in row.get("irreps") or [] if r["verdict"] == "broken"]
        name = f"{plain(low)} to {plain(high)}" if high is not None else f"{plain(low)} and more"
        bands.append([name, _subgroup(row.get("preserved")), _names(broken),
                      _subgroup(row["distribution"].get("preserved"))])  # fmt: skip
    return [
        ("Whether the law is the same along each axis", ["axis", "verdict", "p"], along),
        ("When each broken irrep sets in, by pair from 0", ["irrep", "onset", "95 %"], onsets),
        ("Bands of wavenumber", ["|k|", "law keeps", "law breaks", "distribution keeps"], bands),
    ]


def _elements(results: Results) -> list[Results]:
    """Elements in their order; many by their effect, so that those that are alike lie together."""
    rows = list(results.get("elements") or [])
    return rows if len(rows) <= _MANY else sorted(rows, key=lambda row: -row["effect"])


def p_value(value: float | None) -> str:
    """A p-value as people read it.

    >>> p_value(0.031), p_value(2.4e-36), p_value(0.0), p_value(None)
    ('0.031', '2e−36', '< 1e−300', '–')
    """
    if value is None:
        return "–"
    text = "< 1e-300" if value < 1e-300 else f"{value:.0e}" if value < 1e-3 else f"{value:.2g}"
    return text.replace("-", "−")


def _subgroups(results: Results) -> tuple[str, list[str], list[list[str]]]:
    rows = []
    for name, what in (("preserved", "not rejected"), ("proven", "proven")):
        found = results.get(name)
        if found:
            rows.append([what, _subgroup(found), plain(found.get("order")), _names(found.get("generators")),
                         _names(found.get("elements"))])  # fmt: skip
    return "Subgroups that the law keeps", ["", "subgroup", "order", "generators", "elements"], rows


def _plot(rows: Sequence[Results], name: str, value: str, **options: Any) -> Plot:
    used = [row.get("verdict", "undetermined") for row in rows]
    options["legend"] = {verdict: colour for verdict, colour in options["legend"].items() if verdict in used}
    return ranges(
        [row[name] for row in rows],
        [row.get(value) for row in rows],
        [row.get("interval") for row in rows],
        colours=[VERDICTS.get(verdict, COLOURS["background"]) for verdict in used],
        **options,
    )


def _subgroup(found: Results | None) -> str:
    return (found.get("conjugacy") or found.get("name") or "–") if found else "–"


def _names(names: Sequence[str] | None) -> str:
    return ", ".join(names) if names else "–"


def _with(value: float | None, interval: Sequence[float | None] | None) -> str:
    if value is None or not interval:
        return "–"
    return f"{number(float(value))} ({' to '.join(plain(end) for end in interval)})"


def _span(ends: Sequence[float] | None) -> str:
    if not ends:
        return "–"
    low, high = (number(float(end)) for end in ends)
    return low if low == high else f"{low} to {high}"


def _direction(values: Sequence[float] | None) -> str:
    return f"({', '.join(f'{v:.2f}'.replace('-', '−') for v in values)})" if values else "–"
