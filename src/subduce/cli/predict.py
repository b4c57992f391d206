"""Write a model's predictions beside the structures of a file: pred_energy, pred_forces, pred_stress."""

import argparse
from pathlib import Path
from typing import Any

from ._common import add_device, add_radial, progress, refuse_to_overwrite, say


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What the verb takes."""
    parser.add_argument("model", type=Path, metavar="MODEL", help="a model file")
    parser.add_argument("source", type=Path, metavar="IN", help="structures")
    parser.add_argument("target", type=Path, metavar="OUT", help="the file to write, .extxyz")
    parser.add_argument("--overwrite", action="store_true", help="write over a file that is there")
    add_device(parser)
    add_radial(parser)


def run(options: argparse.Namespace) -> Any:
    """Predict and write."""
    refuse_to_overwrite(options.target, options.overwrite)

    from ..interfaces import predict

    with progress("structure") as advance:
        record = predict(
            options.model,
            options.source,
            options.target,
            device=options.device,
            radial=options.radial,
            progress=advance,
        )
    say(f"wrote {record.results['n_structures']} structures with predictions to {options.target}")
    return record
