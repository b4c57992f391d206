"""Relaxation of positions, or of positions and cell together."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import numpy as np
from ase import Atoms, units
from ase.calculators.calculator import Calculator as ASECalculator
from ase.filters import FrechetCellFilter
from ase.optimize import BFGS, FIRE, LBFGS
from pydantic import Field

from ..config import Config, InputError
from ..interfaces.ase import Calculator
from ..models import EnergyModel
from ..records import Record, fingerprint
from ._watch import refuse_bad_geometry

_OPTIMIZERS = {"fire": FIRE, "lbfgs": LBFGS, "bfgs": BFGS}


class RelaxConfig(Config):
    """Settings of a relaxation."""

    fmax: float = Field(default=0.01, gt=0)  # eV/Å, the largest force left; with the cell, its strain too
    steps: int = Field(default=500, ge=0)
    cell: bool = False  # relax the lattice vectors too
    pressure: float = Field(default=0.0, allow_inf_nan=False)  # GPa, with the cell
    optimizer: Literal["fire", "lbfgs", "bfgs"] = "fire"


def relax(
    model: EnergyModel | ASECalculator | str | Path,
    atoms: Atoms,
    config: RelaxConfig | None = None,
    *,
    progress: Callable[[int, int], None] | None = None,
) -> Record:
    """Move `atoms` (and their cell, if asked) to a minimum of the energy, and say how it went.

    `model` is a model, the path of one, or any ASE calculator. Results: `converged`, `steps`, the
    largest force left `fmax` (eV/Å), `energy` and `energy_change` (eV), `max_displacement` (Å, apart
    from what the strain of the cell does), and with the cell `volume`, `volume_change` (of one) and
    `stress_max` (eV/Å³). A relaxation whose energies stop being finite ends, with `stopped`
    saying so, at the last geometry that was sound.

    Raises `InputError` for atoms on top of each other and for a cell that is asked for and absent.
    """
    config, started = config or RelaxConfig(), time.perf_counter()
    if config.cell and not (atoms.pbc.all() and atoms.cell.rank == 3):
        raise InputError("--cell: the structure has no three periodic lattice vectors; relax its positions alone")
    refuse_bad_geometry(atoms)
    atoms.calc = model if isinstance(model, ASECalculator) else Calculator(model)
    before, energy = atoms.copy(), atoms.get_potential_energy()
    energies, forces, stopped = _descend(atoms, config, progress)
    results: dict[str, Any] = {
        "n_atoms": len(atoms),
        "formula": atoms.get_chemical_formula(),
        "converged": stopped is None and forces[-1] < config.fmax,
        "steps": len(energies) - 1,
        "fmax": forces[-1],
        "energy": energies[-1],
        "energy_change": energies[-1] - energy,
        "max_displacement": _displacement(before, atoms),
        "stopped": stopped,
        "trace": {"step": list(range(len(energies))), "potential_energy": energies, "fmax": forces},
    }
    if config.cell:
        results["cell"] = atoms.cell.array.tolist()
        results["volume"] = float(atoms.cell.volume)
        results["volume_change"] = float(atoms.cell.volume / before.cell.volume - 1)
        results["stress_max"] = float(np.abs(atoms.get_stress()).max())
    inputs = {str(model): fingerprint(model)} if isinstance(model, str | Path) else {}
    return Record("relax", inputs, config.model_dump(), results, time.perf_counter() - started)


def _descend(
    atoms: Atoms, config: RelaxConfig, progress: Callable[[int, int], None] | None
) -> tuple[list[float], list[float], str | None]:
    """Energies and largest forces of every step, and why it stopped early, if it did."""
    moving = FrechetCellFilter(atoms, scalar_pressure=config.pressure * units.GPa) if config.cell else atoms
    optimizer = _OPTIMIZERS[config.optimizer](moving, logfile=None)
    energies: list[float] = []
    forces: list[float] = []
    sound = atoms.positions.copy(), atoms.cell.array.copy()
    try:
        for _ in optimizer.irun(fmax=config.fmax, steps=config.steps):
            energy, force = atoms.get_potential_energy(), np.linalg.norm(moving.get_forces(), axis=1).max()
            if not (np.isfinite(energy) and np.isfinite(force)):
                raise InputError("the energy or a force is no longer finite")
            energies.append(float(energy))
            forces.append(float(force))
            sound = atoms.positions.copy(), atoms.cell.array.copy()
            if progress is not None:
                progress(len(energies) - 1, config.steps)
    except InputError as error:  # raised by the calculator too, for atoms that have left all bounds
        if not energies:
            raise
        atoms.set_cell(sound[1])
        atoms.set_positions(sound[0])
        return energies, forces, str(error)
    return energies, forces, None


def _displacement(before: Atoms, after: Atoms) -> float:
    """The farthest that an atom moved, Å, apart from a uniform strain and a shift of all."""
    if after.cell.rank == 3:
        strained = before.cell.scaled_positions(before.positions) @ after.cell.array
    else:
        strained = before.positions
    moved = after.positions - strained
    return float(np.linalg.norm(moved - moved.mean(0), axis=1).max())
