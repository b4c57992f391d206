"""Which irreps break a parent structure into a child: k, label, direction, amplitude, isotropy subgroup."""

import argparse
from pathlib import Path
from typing import Any

from ._common import add_output, add_seed, keep_record, refuse_to_overwrite, say, table


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What the verb takes."""
    parser.add_argument("parent", type=Path, metavar="PARENT", help="the symmetric structure, any file that ASE reads")
    parser.add_argument("child", type=Path, metavar="CHILD", help="the distorted one, in any cell, origin and order")
    what = "largest distance, Å, by which atoms may miss a symmetry of the child (from its own gaps)"
    parser.add_argument("--tolerance", type=_positive, metavar="T", help=what)
    what = "the same for the parent's own group (0.001)"
    parser.add_argument("--parent-tolerance", type=_positive, metavar="T", help=what)
    what = "which structure of the child's file (the mean of all, with intervals and p-values)"
    parser.add_argument("--index", type=int, metavar="N", help=what)
    what = "standard uncertainty of the child's coordinates, Å: for intervals and p-values"
    parser.add_argument("--sigma", type=_positive, metavar="S", help=what)
    what = "group theory, an equivariant network's gradient, or both, which must agree (both)"
    parser.add_argument("--method", choices=["group", "network", "both"], default="both", help=what)
    add_seed(parser)
    add_output(parser, None, "folder for the record and the page")


def run(options: argparse.Namespace) -> Any:
    """Compare the two, say what was found, and keep it."""
    from ..discovery import order_parameters

    if options.output is not None:
        refuse_to_overwrite(options.output / "record.json", options.overwrite)
    names = ("tolerance", "parent_tolerance", "index", "sigma", "method")
    settings: dict[str, Any] = {name: getattr(options, name) for name in names}
    record = order_parameters(options.parent, options.child, **settings, seed=options.seed or 0)
    say(*_describe(record.results))
    if options.output is not None:
        from ..report import write_report

        options.output.mkdir(parents=True, exist_ok=True)
        keep_record(record, options.output)
        write_report([record], options.output / "report.html", title="Order parameters")
        say(f"page: {options.output / 'report.html'}")
    return record


def _positive(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < 10:
        raise argparse.ArgumentTypeError(f"expected a distance in Å, such as 0.01, got {text!r}")
    return value


def _describe(results: Any) -> list[str]:
    lines = [results["sentence"]] + ([f"mean of {results['frames']} frames"] if results["frames"] > 1 else [])
    secondary = {entry["irrep"]: entry["coupling"] for entry in results["secondary"]}
    rows = {}
    for mode in results["modes"]:
        role = "primary" if mode["primary"] else f"secondary: {secondary.get(mode['irrep']) or 'allowed'}"
        kind = mode["isotropy_subgroup"]
        size = f"{mode['amplitude']:.4f} {mode['unit']}".rstrip()
        rows[f"{mode['irrep']} {mode['direction_symbol']}"] = f"{size}   {kind['symbol']} ({kind['number']})   {role}"
    if rows:
        lines += ["", table(rows)]
    strain = [f"{entry['irrep']} {entry['amplitude']:.4f}" for entry in results["strain"] if entry["amplitude"] > 1e-5]
    lines += [f"strain: {', '.join(strain)}"] if strain else []
    origin = results["origin"]
    lines.append(f"origin: {origin['site'] or 'no atom'} ({origin['wyckoff'] or '–'})")
    for other in results["alternative_origin"]:
        labels = ", ".join(f"{old} = {new}" for old, new in other["labels"].items())
        lines.append(f"from the origin at {other['origin']['site'] or other['origin']['shift']}: {labels}")
    if "network" in results:
        network = results["network"]
        verdict = "agrees" if network["agrees"] else "disagrees"
        missed, forbidden = ", ".join(network["found"]), network["forbidden_max"]
        lines.append(f"network: {verdict}; it misses {missed} (forbidden: {forbidden:.0e} of the gradient)")
        if "learned" in network:
            lines.append(_learned(network["learned"]))
    return [*lines, *(f"warning: {text}" for text in results["warnings"])]


def _learned(learned: Any) -> str:
    """Which inputs a network learned, and how much of the error they took away."""
    lengths = learned["path"][learned["chosen"]]["blocks"]
    used = ", ".join(f"{block} ({length:.2g})" for block, length in lengths.items() if length)
    gain = learned["symmetric_loss"] / max(learned["loss"], 1e-300)
    return f"learned on {learned['species']}: {used}; squared error {gain:.2g} times less, {learned['domains']} domains"
