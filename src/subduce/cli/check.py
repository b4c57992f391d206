"""Look for what is wrong with data sets before training: labels, units, signs, duplicates, outliers, leakage."""

import argparse
from pathlib import Path
from typing import Any

from ._common import add_output, keep_record, say


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What the verb takes."""
    parser.add_argument("data", nargs="+", type=Path, metavar="DATA", help="one file, or the parts of a split")
    add_output(parser, None, "folder to keep the record in")


def run(options: argparse.Namespace) -> Any:
    """Check the files, each alone and all against each other."""
    from ..data import check

    record = check(*options.data)
    keep_record(record, options.output)
    findings = record.results.get("findings") or []
    say(*(_describe(finding) for finding in findings))
    say(f"{len(findings)} finding{'' if len(findings) == 1 else 's'}" if findings else "nothing wrong was found")
    return record


def _describe(finding: Any) -> str:
    return "  " + (": ".join(str(part) for part in finding.values()) if isinstance(finding, dict) else str(finding))
