"""Relax a structure with a model: its positions, and its cell if asked."""

import argparse
from pathlib import Path
from typing import Any

from ._common import add_device, add_output, add_radial, keep_record, progress, refuse_to_overwrite, say, table


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What the verb takes."""
    parser.add_argument("model", type=Path, metavar="MODEL", help="a model file")
    parser.add_argument("structure", type=Path, metavar="STRUCTURE", help="any file that ASE reads")
    parser.add_argument("--index", type=int, default=0, metavar="N", help="which structure of the file (0, the first)")
    parser.add_argument("--fmax", type=float, default=0.01, metavar="F", help="largest force to leave, eV/Å (0.01)")
    parser.add_argument("--steps", type=int, default=500, metavar="N", help="at most so many steps (500)")
    parser.add_argument("--cell", action="store_true", help="relax the lattice vectors too")
    parser.add_argument("--pressure", type=float, default=0.0, metavar="GPA", help="in GPa, with --cell (0)")
    parser.add_argument("--optimizer", default="fire", help="fire, lbfgs or bfgs (fire)")
    parser.add_argument("--dtype", choices=["float32", "float64"], help="precision of the network")
    add_output(parser, "relax", "folder of relaxed.extxyz and the record")
    add_device(parser)
    add_radial(parser)


def run(options: argparse.Namespace) -> Any:
    """Relax and write the structure."""
    from dataclasses import replace

    from ..config import build
    from ..data import read_structure
    from ..interfaces.ase import Calculator
    from ..records import fingerprint
    from ..simulate import RelaxConfig, relax, write_structure

    settings = {name: getattr(options, name) for name in ("fmax", "steps", "cell", "pressure", "optimizer")}
    config = build(RelaxConfig, settings, source="subduce relax")
    target = options.output / "relaxed.extxyz"
    refuse_to_overwrite(target, options.overwrite)
    atoms = read_structure(options.structure, options.index)
    calculator = Calculator(options.model, device=options.device, dtype=options.dtype, radial=options.radial)
    with progress("step") as advance:
        record = relax(calculator, atoms, config, progress=advance)
    write_structure(atoms, target)
    inputs = {str(path): fingerprint(path) for path in (options.model, options.structure)}
    record = replace(record, inputs=inputs, results={**record.results, "structure": str(target)})
    keep_record(record, options.output)
    say(_describe(record.results))
    return record


def _describe(results: Any) -> str:
    ending = "converged" if results["converged"] else "not converged"
    rows = {
        "result": f"{ending} after {results['steps']} steps",
        "largest force": f"{results['fmax']:.3g} eV/Å",
        "energy": f"{results['energy']:.6f} eV ({results['energy_change']:+.4g} eV)",
    }
    if results.get("volume_change") is not None:
        rows["volume"] = f"{results['volume']:.4f} Å³ ({100 * results['volume_change']:+.2f} %)"
    rows["structure"] = results["structure"]
    return table(rows)
