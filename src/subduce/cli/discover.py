"""Which elements and irreps of a group data break, the subgroup they keep, how large and how sure."""

import argparse
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from ._common import add_output, add_seed, keep_record, progress, say

_MANY = 16
_READING = ("target", "lag", "channels", "input_channels", "target_channels", "axes", "periodic", "cutoff")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What the verb takes."""
    parser.add_argument("data", nargs="?", type=Path, metavar="DATA", help=".npz, .npy, .h5, .nc, .zarr or .extxyz")
    parser.add_argument(
        "--group", required=True, metavar="G", help="D4, Oh, OhxT …; or generators as JSON, or in a .json file"
    )
    _add_reading(parser.add_argument_group("what is read"))
    tests = parser.add_argument_group("what is tested")
    tests.add_argument("--level", type=float, default=0.05, metavar="P", help="chance of any false rejection (0.05)")
    tests.add_argument("--delta", type=float, default=0.01, metavar="D", help="effects below count as none (0.01)")
    tests.add_argument(
        "--estimator", default="auto", metavar="E", help="auto, stencil, polynomial or network (auto: the first to fit)"
    )
    tests.add_argument(
        "--distribution", action="store_true", help="test no law, but whether the array itself is symmetric"
    )
    tests.add_argument("--where", action="store_true", help="add maps of where symmetry breaks")
    tests.add_argument("--when", action="store_true", help="add the time at which it breaks")
    tests.add_argument("--scales", metavar="LIST", help='scales to look at, such as "1,4,8,16"')
    tests.add_argument("--seeds", type=int, metavar="N", help="networks to train where a network is needed (1)")
    add_seed(tests)  # type: ignore[arg-type]
    add_output(parser, None, "folder for the record and its page")


def _add_reading(group: Any) -> None:
    group.add_argument("--input", default="input", metavar="NAME", help="array of the inputs (input)")
    group.add_argument("--target", metavar="NAME", help="array of the targets (target); a label or file of .extxyz")
    group.add_argument("--lag", type=int, metavar="N", help="pairs (t, t + N) of one array, in place of targets")
    group.add_argument("--channels", metavar="TEXT", help='how channels turn: "velocity=1o,pressure=0e"')
    for side in ("input", "target"):
        group.add_argument(
            f"--{side}-channels", f"--{side}-irreps", metavar="TEXT", help=f"the same, of the {side} only"
        )
    group.add_argument("--no-channels", action="store_true", help="the arrays have no channel axis")
    group.add_argument("--axes", metavar="NAMES", help='axes of space in the order of the array, such as "z y x"')
    group.add_argument("--periodic", metavar="NAMES", help='axes that repeat, such as "x y"; none: "" (all but t)')
    group.add_argument("--units", default="sample", metavar="U", help="sample, block:N or group:ARRAY (sample)")
    group.add_argument("--spacing", metavar="NUMBERS", help='distance of grid points, or one an axis: "1 1 0.5"')
    group.add_argument("--cutoff", type=float, metavar="R", help="how far atoms see (14 neighbours on average)")
    group.add_argument(
        "--time-odd", action="append", default=[], metavar="NAMES", help="variables that change sign with time"
    )


def run(options: argparse.Namespace) -> Any:
    """Look into the data and say what they break."""
    from ..config import InputError

    if options.data is None:
        if not options.input.endswith("xyz"):
            raise InputError("no data given; expected subduce discover DATA --group G")
        options.data = Path(options.input)
    page = options.output and options.output / "report.html"
    if page:
        _refuse(page, options)
    reading = {name: getattr(options, name) for name in _READING if getattr(options, name) is not None}
    if options.spacing is not None:
        reading["spacing"] = _numbers(options.spacing, "--spacing")
    if options.distribution and options.target is not None:
        raise InputError("--target and --distribution: the distribution is that of the input; give one of them")

    kept: list[Any] = []

    def keep(record: Any) -> None:
        kept[:] = [record]
        keep_record(record, options.output)

    try:
        record = _discover(options, reading, keep)
    except KeyboardInterrupt:
        if kept:
            _tell(kept[0], page)
        raise
    _tell(record, page)
    return record


def _discover(options: argparse.Namespace, reading: dict[str, Any], keep: Callable[[Any], None]) -> Any:
    from ..discovery import discover_symmetries

    with progress("sample") as advance:
        return discover_symmetries(
            options.data,
            options.group,
            time_odd=[name for text in options.time_odd for name in text.replace(",", " ").split()],
            level=options.level,
            delta=options.delta,
            estimator=options.estimator,
            distribution=options.distribution,
            where=options.where,
            when=options.when,
            scales=_numbers(options.scales, "--scales") if options.scales is not None else (),
            seeds=options.seeds,
            seed=options.seed or 0,
            output=options.output,
            on_part=keep,
            progress=advance,
            input=options.input,
            units=options.units,
            no_channels=options.no_channels,
            **reading,
        )


def _tell(record: Any, page: Path | None) -> None:
    say(*describe(record.results))
    if page:
        from ..report import write_report

        write_report([record], page, title="Which symmetries the data break")
        say("", f"wrote {page}")


def describe(results: Any) -> list[str]:
    """The findings in a few lines: verdict, irreps, elements, how well the law fits, warnings."""
    lines = [results["verdict"]]
    if results.get("irreps"):
        rows = [
            [r["irrep"], r["verdict"], _range(r.get("energy_fraction"), r.get("interval")), _number(r["p_value"])]
            for r in results["irreps"]
        ]
        lines += ["", *_columns(["irrep", "verdict", "share of the law", "p"], rows)]
    if results.get("elements"):
        lines += ["", *_elements(results)]
    if rows := (results.get("distribution") or {}).get("irreps"):
        cells = [
            [r["irrep"], str(r["moment"]), r["verdict"], _range(r["effect"], r["interval"]), _number(r["p_value"])]
            for r in rows
        ]
        lines += ["", *_columns(["irrep", "moment", "verdict", "part of the moment", "p"], cells)]
    lines += _more(results)
    if results.get("lack_of_fit"):
        lines += [
            "",
            f"law: {results['estimator']}, explains {100 * results['explained']:.3g} % of the target; "
            f"lack of fit {_lack(results['lack_of_fit']['p_value'])}",
            f"smallest effect that {results['units']} units would show: {_number(results['detectable_effect'])}",
        ]
    return [*lines, *(f"warning: {warning}" for warning in results.get("warnings") or [])]


def _more(results: Any) -> list[str]:
    """Where, when and at which scales, a line each."""
    lines = []
    if found := results.get("where"):
        total = math.prod(found["boxes"])
        said = [f"{row['irrep']} in {row['boxes']} of {total} boxes" for row in found["irreps"] if row["boxes"]]
        moved = [axis for axis, row in found["translations"].items() if row["verdict"] == "broken"]
        lines.append(f"where: {', '.join(said) or 'no irrep is broken in any box alone'}")
        lines.append(f"the law changes along {' and '.join(moved)}" if moved else "the law changes along no axis")
    if found := results.get("when"):
        for row in found["irreps"]:
            if row["onset"] is None:
                lines.append(f"when: {row['irrep']} with no onset")
            else:
                low, high = row["interval"]
                lines.append(f"when: {row['irrep']} from pair {row['onset']} on ({low} to {high})")
        if not found["irreps"]:
            lines.append("when: no irrep is broken")
    for row in results.get("scales") or []:
        low, high = row["band"]
        kept = [f"the law {_setting(row['preserved'])}"] if row.get("preserved") else []
        kept.append(f"the distribution {_setting(row['distribution']['preserved'])}")
        lines.append(f"wavenumber {low:g} to {'the largest' if high is None else f'{high:g}'}: {', '.join(kept)}")
    return ["", *lines] if lines else []


def _setting(found: Any) -> str:
    return f"keeps {found.get('conjugacy') or found['name']}"


def _elements(results: Any) -> list[str]:
    """A row an element; of many, a row for each class of elements that act alike."""
    if len(results["elements"]) > _MANY and results.get("classes"):
        rows = [
            [
                _some(c["elements"]),
                " or ".join(c["verdicts"]),
                " to ".join(map(_number, sorted(set(c["effect"] or ())))),
            ]
            for c in results["classes"]
        ]
        return _columns(["elements", "verdict", "effect"], rows)
    rows = [
        [r["name"], r["verdict"], _range(r["effect"], r.get("interval")), _number(r["p_value"])]
        for r in results["elements"]
        if r["name"] != "e"
    ]
    return _columns(["element", "verdict", "effect", "p"], rows)


def _span(ends: Sequence[float] | None) -> str:
    return " to ".join(dict.fromkeys(map(_number, ends or ())))


def _some(names: Sequence[str]) -> str:
    return ", ".join(names) if len(names) <= 4 else f"{', '.join(names[:3])} and {len(names) - 3} more"


def _refuse(page: Path, options: argparse.Namespace) -> None:
    from ._common import refuse_to_overwrite

    refuse_to_overwrite(page.with_name("record.json"), options.overwrite)
    refuse_to_overwrite(page, options.overwrite)


def _numbers(text: str, option: str) -> list[float]:
    from ..config import InputError

    try:
        found = [float(part) for part in text.replace(",", " ").split()]
    except ValueError:
        found = []
    if not found:
        raise InputError(f'{option} {text!r}: expected numbers such as "1 1 0.5"')
    return found


def _lack(p_value: float | None) -> str:
    return "not tested" if p_value is None else f"p = {_number(p_value)}"


def _range(value: float | None, interval: Sequence[float] | None) -> str:
    if value is None or interval is None or interval[0] is None:
        return "–"
    return f"{_number(value)} ({_number(interval[0])} to {_number(interval[1])})"


def _number(value: float | None) -> str:
    if value is None or value != value:
        return "–"
    return "0" if value == 0 else f"{value:.0e}" if abs(value) < 1e-4 else f"{value:.3g}"


def _columns(header: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    lines = [header, *rows]
    widths = [max(len(line[i]) for line in lines) for i in range(len(header))]
    return ["  " + "  ".join(f"{c:<{w}}" for c, w in zip(line, widths, strict=True)).rstrip() for line in lines]
