"""What a record of `order-parameters` shows: the sentence, key numbers, modes, strain, other origins, the network."""

import re
from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import Any

import numpy as np

from ._crystal import viewer
from ._crystal_plots import surfaces, tree
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
    plots = [tree(_symbol(results["parent"]), _steps(results), _symbol(results["child"]))] if _steps(results) else []
    return {
        "title": f"Order parameters, {_symbol(results.get('parent'))} to {_symbol(results.get('child'))}",
        "verdict": sentence(results),
        "notes": results.get("warnings") or [],
        "facts": [(name, text) for name, text in _facts(results) if text and not text.startswith("–")],
        "viewer": shown,
        "plots": [*plots, *([surfaces(sites)] if sites else [])],
        "tables": [table for table in _tables(results, (shown or {}).get("modes") or []) if table[2]],
        "methods": results.get("methods") or "",
    }


def irrep(label: str) -> str:
    """An ASCII label, or a product of several, as it is printed.

    >>> irrep("GM4-"), irrep("mR4+"), irrep("K3^3 GM2-")
    ('Γ₄⁻', 'mR₄⁺', 'K₃³ Γ₂⁻')
    """
    text = re.sub(r"(GM|DT|LD|SM|[A-Z]{1,2})(\d+)([+-]?)", _printed, label)
    return re.sub(r"\^(\d+)", lambda found: found[1].translate(_UP), text)


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
    ('(½, 0, −⅓)', '(0.123, 0, 0)')
    """
    return f"({', '.join(map(_fraction, k))})"


def _fraction(value: float) -> str:
    sign, size = "−" if value < -1e-9 else "", abs(value)
    for text, part in _PARTS.items():
        if abs(size - part) < 1e-6:
            return sign + text
    simple = Fraction(size).limit_denominator(12)
    return sign + (str(simple) if abs(simple - size) < 1e-6 else number(float(size)))


def sentence(results: Results) -> str:
    """The verdict in words."""
    verdict = results.get("verdict")
    parent, child = _symbol(results.get("parent")), _symbol(results.get("child"))
    if verdict == "unbroken":
        return f"No symmetry is broken: the child has the parent's group {parent}, with all its translations."
    if verdict != "broken":
        return "The child does not derive from the parent."
    first = [mode for mode in results.get("modes") or [] if mode.get("primary")]
    named = _and([f"{_name(mode)} {mode.get('direction_symbol') or ''} of {_size(mode)}" for mode in first])
    others = [_name(row) for row in results.get("modes") or [] if not row.get("primary")]
    also = f" {_and(others)} follow{'s' if len(others) == 1 else ''} as secondary." if others else ""
    domains = f", in {plain(results['domains'])} domain states" if results.get("domains") else ""
    cause = f" through {named}" if named else ""
    return f"{parent} is broken to {child}{cause}{domains}.{also}"


def _facts(results: Results) -> list[tuple[str, str]]:
    tolerance, origin, lost = (results.get(name) or {} for name in ("tolerance", "origin", "lost"))
    low, high = tolerance.get("stable") or (None, None)
    moved = results.get("displacements") or (results.get("structures") or {}).get("displacements")
    network = results.get("network") or {}
    agrees = {True: "agrees", False: "disagrees"}.get(network.get("agrees"), "–")
    whole = [mode["amplitude"] ** 2 for mode in results.get("modes") or [] if _kind(mode) == "displacement"]
    return [
        ("parent", _group(results.get("parent"))),
        ("child", _group(results.get("child"))),
        ("index", _index(results.get("index"), lost)),
        ("child's cell", f"{plain(results.get('cell_size'))} × the parent's" if results.get("cell_size") else ""),
        ("total amplitude", f"{number(float(np.sqrt(sum(whole))))} Å" if whole else ""),
        ("largest displacement", f"{number(float(np.linalg.norm(moved, axis=-1).max()))} Å" if moved else ""),
        ("origin of the labels", _origin(origin) if origin else ""),
        ("tolerance", f"{plain(tolerance.get('used'))} Å" if tolerance else ""),
        ("same groups between", f"{_power(low)} and {_power(high)} Å" if low is not None else ""),
        ("network", agrees),
        ("largest forbidden gradient", _power(network.get("forbidden_max")) if network.get("forbidden_max") else ""),
    ]  # fmt: skip


def _tables(results: Results, drawn: Sequence[int | None]) -> list[Table]:
    modes, allowed = _modes(results)
    header = ["irrep", "k", "direction", "A_s", "A_p", "isotropy subgroup", "role", "driven by"]
    caption = "Modes: A_s over the child's primitive cell, A_p over the parent's"
    caption += "; click one to see it" if any(place is not None for place in drawn) else ""
    strain = [
        [irrep(row["irrep"]), _decimal(row["amplitude"]), *map(_decimal, row["voigt"])]
        for row in results.get("strain") or []
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
    return [
        (caption, header, modes + allowed, [*drawn, *[None] * (len(modes + allowed) - len(drawn))]),
        ("Strain, apart from the modes", ["irrep", "amplitude", "xx", "yy", "zz", "yz", "xz", "xy"], strain, []),
        ("The same modes named from another origin", ["origin", "shift", "labels"], origins, []),
        ("Order parameters on sites", ["species", "Wyckoff", "irreps"], sites, []),
        ("Irreps by the network", ["", "irreps"], [row for row in learned if row[1]], []),
    ]


def _modes(results: Results) -> tuple[list[list[str]], list[list[str]]]:
    """Rows of the modes, and of the irreps that the child allows without any amplitude."""
    modes, secondary = results.get("modes") or [], results.get("secondary") or []
    couplings = {row["irrep"]: irrep(row.get("coupling") or "–") for row in secondary}
    rows = [
        [_name(mode), wave_vector(mode["k"]), mode.get("direction_symbol") or "–", _size(mode),
         _size({**mode, "amplitude": mode.get("amplitude_parent"), "interval": None}),
         _group(mode.get("isotropy_subgroup")), "primary" if mode.get("primary") else "secondary",
         couplings.get(mode["irrep"], "–")]
        for mode in modes
    ]  # fmt: skip
    known = {mode["irrep"] for mode in modes}
    return rows, [
        [irrep(row["irrep"]), "–", row.get("direction_symbol") or "–", _size(row), "–", "–", "allowed",
         couplings[row["irrep"]]]
        for row in secondary if row["irrep"] not in known
    ]  # fmt: skip


def _steps(results: Results) -> list[dict[str, Any]]:
    """Subgroups on the path: symbol, index, and what leads there; the child last."""
    return [
        {"symbol": _group(row), "index": row.get("index"), "modes": " + ".join(map(irrep, row.get("modes") or []))}
        for row in results.get("subgroups") or []
    ]


def _entry(value: Any) -> str:
    return irrep(value if isinstance(value, str) else str(value.get("irrep", plain(value))))


def _name(mode: Results) -> str:
    """The label, or the wave vector where no label is certain; what is no displacement is named."""
    name = irrep(mode["irrep"]) if mode.get("irrep") else f"k = {wave_vector(mode['k'])}"
    return name if _kind(mode) == "displacement" else f"{name} ({_kind(mode)})"


def _kind(mode: Results) -> str:
    return mode.get("kind") or "displacement"


def _size(mode: Results) -> str:
    value, ends = mode.get("amplitude"), mode.get("interval")
    if value is None:
        return "–"
    spread = f" ({number(float(ends[0]))} to {number(float(ends[1]))})" if ends else ""
    return f"{_decimal(value)} {_UNITS.get(_kind(mode), '')}".strip() + spread


def _decimal(value: float) -> str:
    text = "0" if abs(value) < 5e-7 else f"{value:.4f}" if abs(value) >= 1e-3 else f"{value:.2g}"
    return text.replace("-", "−")


def _origin(origin: Results) -> str:
    return f"{origin.get('site')}, Wyckoff {origin.get('wyckoff')}"


def _power(value: float | None) -> str:
    """A small number with its power of ten.

    >>> _power(1e-5), _power(0.05), _power(2.4e-14)
    ('10⁻⁵', '0.05', '2.4 × 10⁻¹⁴')
    """
    if value is None or value >= 1e-3 or value <= 0:
        return plain(value)
    digits, power = f"{value:.1e}".split("e")
    ten = f"10{str(int(power)).translate(_UP)}"
    return ten if digits == "1.0" else f"{digits.removesuffix('.0')} × {ten}"


def _symbol(group: Results | None) -> str:
    return group_symbol(group["symbol"]) if group else "–"


def _group(group: Results | None) -> str:
    return f"{_symbol(group)} ({group['number']})" if group else "–"


def _index(index: int | None, lost: Results) -> str:
    if index is None:
        return "–"
    return f"{index} = {lost['point']} × {lost['translations']}" if lost else plain(index)


def _and(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}" if names else ""
