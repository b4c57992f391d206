"""Errors of a model on a data set: by target, by species, by config_type, with parity data."""

import argparse
from pathlib import Path
from typing import Any

from ._common import add_device, add_output, add_radial, keep_record, metrics_table, progress, say


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What the verb takes."""
    parser.add_argument("model", type=Path, metavar="MODEL", help="a model file")
    parser.add_argument("data", type=Path, metavar="DATA", help="structures with labels")
    add_output(parser, None, "folder to keep the record in")
    add_device(parser)
    add_radial(parser)


def run(options: argparse.Namespace) -> Any:
    """Evaluate and say the errors."""
    from ..evaluation import evaluate

    with progress("structure") as advance:
        record = evaluate(
            options.model, options.data, device=options.device, radial=options.radial, on_progress=advance
        )
    keep_record(record, options.output)
    say(metrics_table(record.results))
    return record
