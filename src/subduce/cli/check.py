"""Look for what is wrong with data sets before training: labels, units, signs, duplicates, outliers, leakage."""

import argparse
from pathlib import Path
from typing import Any

from ._common import add_output, keep_record, progress, say


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What the verb takes."""
    parser.add_argument("data", nargs="+", type=Path, metavar="DATA", help="one file, or the parts of a split")
    add_output(parser, None, "folder to keep the record in")


def run(options: argparse.Namespace) -> Any:
    """Check the files, each alone and all against each other."""
    from ..data import check

    with progress("structure") as advance:
        record = check(options.data, progress=advance)
    keep_record(record, options.output)
    findings = record.results["findings"]
    for finding in findings:
        more = "; ".join(finding[key] for key in ("where", "hint") if finding[key])
        say(f"{finding['severity']:<8} {finding['what']}", f"         {more}")
    counts = [f"{n} of {kind}" for kind in ("error", "warning", "info") if (n := _count(findings, kind))]
    say(f"findings: {', '.join(counts)}" if counts else "nothing wrong was found")
    return record


def _count(findings: Any, severity: str) -> int:
    return sum(finding["severity"] == severity for finding in findings)
