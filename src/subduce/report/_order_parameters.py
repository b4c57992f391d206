"""What a record of `order-parameters` shows: the sentence, key numbers, modes, strain, other origins, the network."""

import re
from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import Any

import numpy as np

from ._crystal import viewer
from ._crystal_plots import surfaces, tree
from ._plots import COLOURS, bars
from ._symmetry import p_value
from ._units import number, plain

Results = Mapping[str, Any]
Table = tuple[str, list[str], list[list[str]], list[int | None]]
_UP, _DOWN = str.maketrans("0123456789+-", "⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻"), str.maketrans("0123456789+-", "₀₁₂₃₄₅₆₇₈₉₊₋")
_GREEK = {"GM": "Γ", "DT": "Δ", "LD": "Λ", "SM": "Σ"}
_PARTS = {"½": 1 / 2, "⅓": 1 / 3, "⅔": 2 / 3, "¼": 1 / 4, "¾": 3 / 4}
_UNITS = {"displacement": "Å", "magnetic": "µB"}


def order_parameter_parts(results: Results) -> dict[str, Any]:
    """What the section holds; tables as captions, headers, rows and the field that each row picks."""
    shown = viewer(results)
    for mode, place in zip(results.get("modes") or [], (shown or {}).get("modes") or [], strict=bool(shown)):
        if shown and place is not None:
            shown["fields"][place]["label"] = _name(mode)
    sites = [(row["name"], row["coefficients"]) for row in (results.get("network") or {}).get("sites") or []]
    plots = [tree(_steps(results))] if results.get("subgroups") else []
    moved = [mode for mode in results.get("modes") or [] if _kind(mode) == "displacement"]
    if len(moved) > 1:
        names, sizes = [irrep(mode["irrep"]) for mode in moved], [mode["amplitude"] for mode in moved]
        plots.append(bars(names, sizes, unit="Å", caption="Amplitudes Aₛ (Å)", colour=COLOURS["energy"]))
    return {
        "title": f"Order parameters, {_symbol(results.get('parent'))} to {_symbol(results.get('child'))}",
        "verdict": sentence(results),
        "notes": results.get("warnings") or [],
        "facts": [(name, text) for name, text in _facts(results) if text and "–" not in text],
        "viewer": shown,
        "plots": [*plots, *([surfaces(sites)] if sites else [])],
        "tables": [table for table in _tables(results, (shown or {}).get("modes") or []) if table[2]],
        "methods": results.get("methods") or "",
    }


def irrep(label: str) -> str:
    """An ASCII label, or a product of several, as it is printed.

    >>> irrep("GM4-"), irrep("mR4+"), irrep("K3^3 GM2-")
    ('Γ₄⁻', 'mR₄⁺', '(K₃)³ Γ₂⁻')
    """
    text = re.sub(r"(GM|DT|LD|SM|[A-Z]{1,2})(\d+)([+-]?)", _printed, label)
    return re.sub(r"(\S+)\^(\d+)", lambda found: f"({found[1]}){found[2].translate(_UP)}", text)


def _printed(found: re.Match[str]) -> str:
    return _GREEK.get(found[1], found[1]) + found[2].translate(_DOWN) + found[3].translate(_UP)


def group_symbol(symbol: str) -> str:
    """A space-group symbol as it is printed.

    >>> group_symbol("P6_3/mmc"), group_symbol("Pnma")
    ('P6₃/mmc', 'Pnma')
    """
    text = re.sub(r"_(\d)", lambda found: found[1].translate(_DOWN), symbol)
    return re.sub(r"-(\d)", "\\1\u0305", text)


def wave_vector(k: Sequence[float]) -> str:
    """A wave vector in fractions.

    >>> wave_vector([0.5, 0.0, -1 / 3]), wave_vector([0.1234, 0, 0])
    ('(½,\\xa00,\\xa0−⅓)', '(0.123,\\xa00,\\xa00)')
    """
    return "(" + ",\u00a0".join(map(_fraction, k)) + ")"


def _fraction(value: float) -> str:
    sign, size = "−" if value < -1e-9 else "", abs(value)
    for text, part in _PARTS.items():
        if abs(size - part) < 1e-6:
            return sign + text
    simple = Fraction(size).limit_denominator(12)
    return sign + (str(simple) if abs(simple - size) < 1e-6 else number(float(size)))


def sentence(results: Results) -> str:
    """The record's sentence, its symbols as they are printed: those of groups stand before " by ", of irreps behind."""
    head, by, tail = (results.get("sentence") or results.get("verdict") or "").partition(" by ")
    for group in (results.get("parent"), results.get("child")):
        head = head.replace(group["symbol"], _symbol(group)) if group else head
    for mode in results.get("modes") or []:
        tail = tail.replace(mode["irrep"], f"{irrep(mode['irrep'])} ")
    return head + by + tail


def _facts(results: Results) -> list[tuple[str, str]]:
    tolerance, origin, lost = (results.get(name) or {} for name in ("tolerance", "origin", "lost"))
    low, high = tolerance.get("stable") or (None, None)
    low, high = 0 if low is not None and low < 1e-8 else low, "∞" if tolerance and high is None else high
    moved = _displacements(results)
    network = results.get("network") or {}
    whole = [mode["amplitude"] ** 2 for mode in results.get("modes") or [] if _kind(mode) == "displacement"]
    return [
        ("parent", _group(results.get("parent"))),
        ("child", _group(results.get("child"))),
        ("magnetic group", (results.get("child") or {}).get("magnetic") or ""),
        ("index", f"{plain(results.get('index'))} = {plain(lost.get('point'))} × {plain(lost.get('translations'))}"),
        ("child's cell", f"{plain(results.get('cell_size'))} × the parent's"),
        ("total amplitude", f"{number(float(np.sqrt(sum(whole))))} Å" if whole else ""),
        ("largest displacement", f"{number(float(np.linalg.norm(moved, axis=-1).max()))} Å" if moved else ""),
        ("origin of the labels", _origin(origin)),
        ("frames", plain(results.get("frames")) if (results.get("frames") or 1) > 1 else ""),
        ("tolerance", f"{_power(tolerance.get('used'))} Å"),
        ("child's group holds", f"{_power(low)} to {_power(high)} Å"),
        ("network", {"True": "agrees", "False": "disagrees"}.get(str(network.get("agrees")), "")),
        ("largest forbidden gradient", _power(network.get("forbidden_max"))),
    ]


def _displacements(results: Results) -> list[list[float]] | None:
    return (results.get("structures") or {}).get("displacements")


def _tables(results: Results, drawn: Sequence[int | None]) -> list[Table]:
    modes, allowed = _modes(results)
    rows = modes + allowed
    header = ["irrep", "k", "direction", "Aₛ", "Aₚ", "on", "isotropy subgroup", "role", "driven by", "p"]
    told = [i for i in range(len(header)) if any(row[i] != "–" for row in rows)]
    caption = "Modes: amplitudes Aₛ over the child's primitive cell, Aₚ over the parent's"
    caption += "; click one to see it" if any(place is not None for place in drawn) else ""
    strain = [
        [irrep(row["irrep"]), _decimal(row["amplitude"]), *map(_decimal, row["voigt"])]
        for row in results.get("strain") or []
        if abs(row["amplitude"]) > 5e-7
    ]
    origins = [
        [_origin(row["origin"]), wave_vector(row["origin"].get("shift") or []),
         ", ".join(f"{irrep(here)} → {irrep(there)}" for here, there in row["labels"].items())]
        for row in results.get("alternative_origin") or []
    ]  # fmt: skip
    sites = [
        [row.get("species") or "–", row.get("wyckoff") or "–", ", ".join(row.get("irreps") or [])]
        for row in results.get("sites") or []
    ]
    network = results.get("network") or {}
    learned = [[name, ", ".join(map(_entry, network.get(name) or []))] for name in ("admissible", "found")]
    characters = [
        [_name(row), "  ".join(f"{re:.3g}{im:+.3g}i" if im else f"{re:.3g}" for re, im in row["characters"])]
        for row in results.get("modes") or []
        if row.get("characters")
    ]
    scan = [
        [f"{_power(row['tolerance'])} Å", _group(row)]
        for row in (results.get("parent_tolerance") or {}).get("scan") or []
    ]
    return [
        (
            caption,
            [header[i] for i in told],
            [[row[i] for i in told] for row in rows],
            [*drawn, *[None] * (len(rows) - len(drawn))],
        ),
        ("Strain, apart from the modes", ["irrep", "amplitude", "xx", "yy", "zz", "yz", "xz", "xy"], strain, []),
        ("The same modes named from another origin", ["origin", "shift", "labels"], origins, []),
        ("Order parameters on sites", ["species", "Wyckoff", "irreps"], sites, []),
        ("Irreps by the network", ["", "irreps"], [row for row in learned if row[1]], []),
        ("Characters of the little group, where no label is certain", ["irrep", "characters"], characters, []),
        ("The parent's own group, from which tolerance on", ["tolerance", "group"], scan if len(scan) > 1 else [], []),
    ]


def _modes(results: Results) -> tuple[list[list[str]], list[list[str]]]:
    """Rows of the modes, and of the irreps that the child allows without any amplitude."""
    modes, secondary = results.get("modes") or [], results.get("secondary") or []
    couplings = {(row["irrep"], _kind(row)): irrep(row.get("coupling") or "–") for row in secondary}
    rows = [
        [_name(mode), wave_vector(mode["k"]), mode.get("direction_symbol") or "–", _size(mode),
         _size({**mode, "amplitude": mode.get("amplitude_parent"), "interval": None}), _shares(mode),
         _group(mode.get("isotropy_subgroup")), "primary" if mode.get("primary") else "secondary",
         couplings.get((mode["irrep"], _kind(mode)), "–"), p_value(mode.get("p_value"))]
        for mode in modes
    ]  # fmt: skip
    known = {(mode["irrep"], _kind(mode)) for mode in modes}
    return rows, [
        [_name(row), "–", row.get("direction_symbol") or "–", _size(row), "–", "–", "–",
         "secondary" if row.get("amplitude") else "allowed", irrep(row.get("coupling") or "–"),
         p_value(row.get("p_value"))]
        for row in secondary if (row["irrep"], _kind(row)) not in known
    ]  # fmt: skip


def _shares(mode: Results) -> str:
    """Which atoms move, by the part of the amplitude on their sites."""
    large = [row for row in mode.get("sites") or [] if row["amplitude"] > 0.01 * mode["amplitude"]]
    if len(large) < 2:
        return "".join(row["species"] for row in large) or "–"
    return ", ".join(f"{row['species']} {row['amplitude']:.3f}" for row in large)


def _steps(results: Results) -> list[dict[str, Any]]:
    """Groups on the path from the parent to the child, with the modes that lead to each."""
    parent = {"symbol": _group(results.get("parent")), "index": 1, "modes": ()}
    rows = results.get("subgroups") or []
    return [
        parent,
        *({"symbol": _group(r), "index": r["index"], "modes": tuple(map(irrep, r["modes"]))} for r in rows),
    ]


def _entry(value: Any) -> str:
    return irrep(value if isinstance(value, str) else str(value.get("irrep", plain(value))))


def _name(mode: Results) -> str:
    return irrep(mode["irrep"]) + (f" ({_kind(mode)})" if _kind(mode) != "displacement" else "")


def _kind(mode: Results) -> str:
    return mode.get("kind") or "displacement"


def _size(mode: Results) -> str:
    value, ends = mode.get("amplitude"), mode.get("interval")
    if value is None:
        return "–"
    spread = f" ({number(float(ends[0]))} to {number(float(ends[1]))})" if ends else ""
    return f"{_decimal(value)}\u00a0{_UNITS.get(_kind(mode), '')}".strip() + spread


def _decimal(value: float) -> str:
    text = "0" if abs(value) < 5e-7 else f"{value:.4f}" if abs(value) >= 1e-3 else f"{value:.2g}"
    return text.replace("-", "−")


def _origin(origin: Results) -> str:
    return f"{origin['site']}, Wyckoff {origin['wyckoff']}" if origin.get("site") else "no atom" if origin else ""


def _power(value: Any) -> str:
    """A small number with its power of ten.

    >>> _power(1e-5), _power(0.05), _power(2.4e-14)
    ('10⁻⁵', '0.05', '2.4 × 10⁻¹⁴')
    """
    if not isinstance(value, float) or value >= 1e-3 or value <= 0:
        return plain(value)
    digits, power = f"{value:.1e}".split("e")
    ten = f"10{str(int(power)).translate(_UP)}"
    return ten if digits == "1.0" else f"{digits.removesuffix('.0')} × {ten}"


def _symbol(group: Results | None) -> str:
    return group_symbol(group["symbol"]) if group else "–"


def _group(group: Results | None) -> str:
    return f"{_symbol(group)} ({group['number']})" if group else "–"
