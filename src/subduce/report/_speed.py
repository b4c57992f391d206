"""What `bench` measured, for people."""

from collections.abc import Mapping, Sequence
from typing import Any

Row = Mapping[str, Any]
HEADER = ("case", "ours", "peer", "takes", "ratio", "target", "met", "agrees")


def cells(row: Row) -> list[str]:
    """One row as words, under `HEADER`: what we take, what the peer takes, how many times faster we are."""
    quantity = row.get("quantity", "time")
    if quantity in ("time", "memory"):
        key, unit = ("median_ms", "ms") if quantity == "time" else ("added_mb", "MB")
        ours, theirs = _amount(row.get(key), unit), _amount(row.get(f"peer_{key}"), unit) if row.get("peer") else ""
        if quantity == "time" and row.get("spread") is not None:
            ours += f" ±{row['spread']:.0%}"
        ratio = f"{row['ratio']:.3g}" if row.get("ratio") is not None else ""
    else:
        ours, theirs, ratio = "", "", f"{row['value']:.3g}" if row.get("value") is not None else ""
    name = row["case"] if quantity == "time" else f"{row['case']}: {_QUANTITIES.get(quantity, quantity)}"
    peer = row.get("peer") or ""
    return [name, ours, peer, theirs, ratio, _target(row), row.get("met") or "", _agreement(row)]


def speed_line(row: Row) -> str:
    """One row of a `bench` record as a line."""
    name, ours, peer, theirs, ratio, target, met, agrees = cells(row)
    parts = [name, ours]
    if peer:
        parts += [f"{peer} {theirs}", f"{ratio} times" if ratio else row.get("note") or ""]
    elif ratio:
        parts.append(ratio)
    else:
        parts.append(row.get("note") or "")
    parts += [f"target {target}: {met}" if met else "", f"differs by {agrees}" if agrees else ""]
    return "   ".join(part for part in parts if part)


def speed_table(rows: Sequence[Row]) -> str:
    """The rows of a `bench` record as a table, each case named once."""
    found: list[list[str]] = [list(HEADER)]
    last = ""
    for row in rows:
        line = cells(row)
        last, line[0] = line[0], "" if line[0] == last else line[0]
        found.append(line)
    notes = dict.fromkeys(f"{row.get('peer') or row['case']}: {row['note']}" for row in rows if row.get("note"))
    return "\n".join([*_columns(found), *notes])


_QUANTITIES = {
    "memory": "memory of the calls",
    "share": "share of the step",
    "peak_gb": "peak memory, GiB",
    "slope": "slope of log time by log atoms",
}


def _columns(lines: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    aligned = [str.ljust, str.rjust, str.ljust, str.rjust, str.rjust, str.ljust, str.ljust, str.ljust]
    return ["  ".join(f(c, w) for f, c, w in zip(aligned, line, widths, strict=True)).rstrip() for line in lines]


def _amount(value: float | None, unit: str) -> str:
    if value is None:
        return "–"
    if unit == "ms" and value >= 1000:
        value, unit = value / 1000, "s"
    return f"{value:.0f} {unit}" if value >= 100 else f"{value:.3g} {unit}"


def _target(row: Row) -> str:
    if row.get("must") is None:
        return ""
    aim = f" (aim {row['aim']:g})" if row.get("aim") is not None else ""
    sign = {"at most": "≤ ", "near one": "1 ± "}.get(row.get("sense", ""), "≥ ")
    return f"{sign}{row['must']:g}{aim}"


def _agreement(row: Row) -> str:
    return ", ".join(f"{key} {value:.0e}" for key, value in (row.get("agreement") or {}).items())
