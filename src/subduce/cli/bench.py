"""Measure speed on this machine: our backends, and other programs that are installed, one call of each in turn."""

import argparse
from pathlib import Path
from typing import Any

from ._common import add_output, keep_record, progress, say


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What the verb takes."""
    parser.add_argument("--quick", action="store_true", help="two small cases; without, all, which takes long")
    parser.add_argument(
        "--cases", nargs="+", metavar="WORD", help="only cases whose names hold one of these words; see --list"
    )
    parser.add_argument("--list", action="store_true", help="say which cases there are, and measure nothing")
    parser.add_argument(
        "--peers", type=Path, default=Path(".peers"), metavar="DIR", help="environments of other programs (.peers)"
    )
    add_output(parser, None, "folder to keep the record in")


def run(options: argparse.Namespace) -> Any:
    """Measure and tell."""
    from ..benchmark import bench, case_names
    from ..records import Record
    from ..report import speed_line, speed_table

    if options.list:
        names = case_names(quick=options.quick)
        say(*names)
        return Record("bench", {}, {"list": True}, [{"case": name} for name in names], 0.0)
    with progress("case") as advance:
        record = bench(
            quick=options.quick,
            peers=options.peers,
            threads=options.threads or 1,
            cases=options.cases,
            progress=advance,
            tell=lambda row: say(speed_line(row)),
        )
    keep_record(record, options.output)
    missing = [name for name, python in record.settings["peers"].items() if python is None]
    say("", speed_table(record.results))
    if missing:
        say(f"not installed, so not measured: {', '.join(missing)}")
    return record
