"""Run molecular dynamics with a model, from a structure or from the last frame of a trajectory."""

import argparse
from pathlib import Path
from typing import Any

from ._common import (
    add_device,
    add_output,
    add_radial,
    add_seed,
    keep_record,
    progress,
    refuse_to_overwrite,
    say,
    table,
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What the verb takes."""
    parser.add_argument("model", type=Path, metavar="MODEL", help="a model file")
    parser.add_argument("structure", type=Path, metavar="STRUCTURE", help="any file that ASE reads")
    parser.add_argument("--index", type=int, default=0, metavar="N", help="which structure of the file (0, the first)")
    parser.add_argument("--ensemble", default="nve", metavar="E", help="nve, langevin, nose-hoover or npt (nve)")
    parser.add_argument("--temperature", type=float, default=300.0, metavar="K", help="in K (300)")
    parser.add_argument("--pressure", type=float, default=0.0, metavar="GPA", help="in GPa, for npt (0)")
    parser.add_argument("--timestep", type=float, default=0.5, metavar="FS", help="in fs (0.5)")
    parser.add_argument("--steps", type=int, default=1000, metavar="N", help="steps, restarts included (1000)")
    parser.add_argument("--interval", type=int, default=10, metavar="N", help="steps between frames (10)")
    parser.add_argument("--friction", type=float, default=0.01, metavar="F", help="of langevin, in 1/fs (0.01)")
    parser.add_argument("--shape", default="isotropic", help="how npt may change the cell: isotropic or full")
    parser.add_argument("--trajectory", type=Path, metavar="FILE", help=".extxyz or .traj (DIR/trajectory.extxyz)")
    parser.add_argument("--restart", action="store_true", help="go on from the last frame of the trajectory")
    parser.add_argument("--let-go", action="store_true", help="go on when bonded pieces fall apart")
    parser.add_argument("--dtype", choices=["float32", "float64"], help="precision of the network")
    add_output(parser, None, "folder of the record and the trajectory (md, without --trajectory)")
    add_seed(parser)
    add_device(parser)
    add_radial(parser)


def run(options: argparse.Namespace) -> Any:
    """Run the dynamics."""
    from dataclasses import replace

    from ..config import build
    from ..data import read_structure
    from ..interfaces.ase import Calculator
    from ..records import fingerprint
    from ..simulate import MDConfig, md

    names = ("ensemble", "temperature", "pressure", "timestep", "steps", "interval", "friction", "shape")
    settings = {name: getattr(options, name) for name in names}
    settings |= {"stop_when_apart": not options.let_go, "seed": options.seed or 0}
    config = build(MDConfig, settings, source="subduce md")
    folder = options.output or (None if options.trajectory else Path("md"))
    trajectory = options.trajectory or (folder or Path("md")) / "trajectory.extxyz"
    if not options.restart:
        refuse_to_overwrite(trajectory, options.overwrite, "--restart to go on or --overwrite to begin anew")
    atoms = read_structure(options.structure, options.index)
    calculator = Calculator(options.model, device=options.device, dtype=options.dtype, radial=options.radial)
    calculator.graph(atoms)  # a structure that the model cannot take is refused before anything is written over
    if options.overwrite and not options.restart:
        trajectory.unlink(missing_ok=True)
    options.trajectory = trajectory
    with progress("step") as advance:
        record = md(calculator, atoms, config, trajectory=trajectory, restart=options.restart, progress=advance)
    inputs = {str(path): fingerprint(path) for path in (options.model, options.structure)}
    record = replace(record, inputs=inputs)
    keep_record(record, folder)
    say(describe(record.results))
    return record


def describe(results: Any) -> str:
    """What a run did, in a few lines."""
    rows = {
        "steps": f"{results['steps']} ({results['time_ps']:g} ps)",
        "mean temperature": f"{results['temperature_mean']:.0f} K ± {results['temperature_std']:.0f} K",
    }
    if results.get("energy_drift") is not None:
        rows["energy drift"] = f"{results['energy_drift']:.3g} meV/atom/ps"
    if results.get("volume_mean") is not None:
        rows["mean volume"] = f"{results['volume_mean']:.4g} Å³"
    if results["steps_per_second"]:
        rows["speed"] = f"{results['steps_per_second']:.3g} steps/s ({results['ns_per_day']:.3g} ns/day)"
    rows["trajectory"] = f"{results['trajectory']}, {results['frames']} frames"
    return table(rows)
