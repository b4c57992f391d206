"""Train a small potential on ethanol data that ships inside, test it, run dynamics with it, and write a page."""

import argparse
from typing import Any

from ._common import add_device, add_output, add_seed, keep_record, progress, say, table
from .md import describe as describe_md
from .train import describe, epoch_lines

SETTINGS = {
    "model": {"r_max": 4.0, "num_layers": 2, "l_max": 1, "num_features": 16},
    "train": {"max_epochs": 100, "max_seconds": 180, "learning_rate": 0.01, "schedule": "cosine"},
}
STEPS = 1000


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What the verb takes."""
    parser.set_defaults(threads=1)  # more only get in each other's way on so small a potential
    add_output(parser, "demo", "folder of the model, the trajectory and report.html")
    add_seed(parser)
    add_device(parser)


def run(options: argparse.Namespace) -> Any:
    """Train, test, simulate, and write the page."""
    from importlib.resources import as_file, files

    from ..config import build
    from ..data import read_structure
    from ..records import Record
    from ..report import write_report
    from ..simulate import MDConfig, md
    from ..train import RunConfig, train

    folder, seed = options.output, options.seed or 0
    trajectory = folder / "trajectory.extxyz"
    with as_file(files("subduce.data") / "assets") as assets:
        data = {part: str(assets / f"ethanol_{part}.extxyz") for part in ("train", "val", "test")}
        settings = {**SETTINGS, "data": data, "seed": seed, "device": options.device}
        say("training on 300 frames of ethanol (GFN2-xTB), a few minutes …")
        config = build(RunConfig, settings, source="subduce demo")
        training = train(config, folder=folder, overwrite=options.overwrite, on_epoch=epoch_lines())
        say(describe(training.results))
        atoms = read_structure(data["test"])
    trajectory.unlink(missing_ok=True)
    say(f"{STEPS} steps of dynamics at constant energy, from 300 K:")
    with progress("step") as advance:
        dynamics = md(
            folder / "model.safetensors",
            atoms,
            MDConfig(steps=STEPS, seed=seed),
            trajectory=trajectory,
            progress=advance,
        )
    say(describe_md(dynamics.results))
    page = folder / "report.html"
    write_report([training, dynamics], page, title="Ethanol: a potential in a few minutes")
    results = {
        "test": training.results["test"],
        "md": {key: value for key, value in dynamics.results.items() if key != "trace"},
        "model": str(folder / "model.safetensors"),
        "report": str(page),
        "stopped": dynamics.results["stopped"],
    }
    record = Record("demo", training.inputs, training.settings, results, training.seconds + dynamics.seconds)
    keep_record(record, folder)
    say(table({"model": results["model"], "trajectory": str(trajectory), "page": results["report"]}))
    return record
