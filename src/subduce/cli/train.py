"""Train a potential, or with target=NAME a property model, on a data file, with all defaults, or as a YAML config says.

Settings are changed as key.sub=value, for example model.l_max=2 train.max_epochs=200 data.test=test.extxyz.
"""

import argparse
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ._common import add_device, add_output, add_seed, first_process, keep_record, metrics_table, say

_SHOWN = (("forces", "meV/Å", "forces_mae"), ("energy per atom", "meV", "per_atom_energy_mae"))


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What the verb takes."""
    parser.add_argument("source", metavar="DATA|CONFIG", help="structures with labels, or a .yaml of settings")
    parser.add_argument("changes", nargs="*", metavar="key=value", help="settings to change, as in model.r_max=4")
    parser.add_argument("--resume", action="store_true", help="go on with the run in the output folder")
    add_output(parser, "run", "folder of the model, its metrics and its state")
    add_seed(parser)
    add_device(parser)


def run(options: argparse.Namespace) -> Any:
    """Train, and show how well it went."""
    from ..report import write_report
    from ..train import read_run, train

    changes = list(options.changes)
    changes += [f"device={options.device}"] if options.device != "auto" else []
    changes += [f"seed={options.seed}"] if options.seed is not None else []
    config = read_run(options.source, changes)
    folder, resume, overwrite = options.output, options.resume, options.overwrite
    record = train(config, folder=folder, resume=resume, overwrite=overwrite, on_epoch=epoch_lines())
    if first_process():
        keep_record(record, folder)
        write_report([record], folder / "report.html", title=f"Training on {Path(options.source).name}")
        say(describe(record.results), f"model in {folder / 'model.safetensors'}, plots in {folder / 'report.html'}")
    return record


def describe(results: Any) -> str:
    """How long, and the errors on what was held back."""
    part = "test" if "test" in results else "validation"
    ending = f"{results['epochs']} epochs, {results['steps']} steps (ended by {results['ended']})"
    return f"{ending}\nerrors on the {part} part:\n{metrics_table(results[part])}"


def epoch_lines(every: float = 15.0) -> Callable[[dict[str, Any]], None] | None:
    """A line on stderr now and then, where there is no terminal to draw a bar on."""
    if sys.stderr.isatty():
        return None
    last = -float("inf")

    def show(row: dict[str, Any]) -> None:
        nonlocal last
        if time.monotonic() - last < every:
            return
        last = time.monotonic()
        known = [(name, unit, row.get(key)) for name, unit, key in _SHOWN]
        errors = [f"{name} {1000 * error:.3g} {unit}" for name, unit, error in known if error is not None]
        own = {name for _, _, name in _SHOWN} | {"total_energy_mae", "stress_mae"}
        errors += [f"{key[:-4]} {row[key]:.4g}" for key in row if key.endswith("_mae") and key not in own]
        shown = ", ".join(errors)
        say(f"epoch {row['epoch']}: validation loss {row['val_loss']:.4g}" + (f"; {shown}" if shown else ""))

    return show
