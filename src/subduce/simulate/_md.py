"""Molecular dynamics that can be continued, and that stops when it has left what the potential knows."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms, units
from ase.calculators.calculator import Calculator as ASECalculator
from ase.md.md import MolecularDynamics

from ..config import InputError
from ..interfaces.ase import Calculator
from ..models import EnergyModel
from ..records import Record, fingerprint
from ._ensembles import MDConfig, degrees_of_freedom, draw_velocities, integrator, temperature
from ._trajectory import FrameWriter, check_suffix, last_frame
from ._watch import Watch, refuse_bad_geometry

_TRACE = 500  # points of a trace in a record, however long the run


def md(
    model: EnergyModel | ASECalculator | str | Path,
    atoms: Atoms,
    config: MDConfig | None = None,
    *,
    trajectory: str | Path | None = None,
    restart: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> Record:
    """Run `config.steps` steps from `atoms`, which is moved, and say how they went.

    `model` is a model, the path of one, or any ASE calculator. Velocities that `atoms` brings are
    kept; without any, they are drawn from Maxwell-Boltzmann with `config.seed` and without drift.
    Frames go to `trajectory` (.extxyz or .traj) at step 0, every `config.interval` steps and at the
    end, each on disk before the next step. With `restart` the last frame there is the start:
    an NVE run goes on as if it had never stopped; thermostats begin anew. `progress` is called
    with the number of the step and of the last one.

    Results: `temperature_mean` (K), `energy_drift` of the conserved energy (meV/atom/ps, absent for
    Langevin, which conserves none), `steps_per_second`, `frames`, a `trace`, and `stopped`: why the
    run ended early (energies not finite, far too hot, atoms flown apart), or null.

    Raises `InputError` for atoms on top of each other, for npt without a cell, and where a
    trajectory exists already and `restart` is not given, or has nothing to continue from.
    """
    config = config or MDConfig()
    path = Path(trajectory) if trajectory is not None else None
    started, first = time.perf_counter(), 0
    if path is not None:
        check_suffix(path)
        if path.exists() and not restart:
            raise InputError(f"{path}: exists already; continue it with --restart, or choose another name")
    if restart:
        if path is None:
            raise InputError("--restart: no trajectory to continue; name one with --trajectory")
        first = _continue(atoms, path)
    _check(atoms, config)
    atoms.calc = model if isinstance(model, ASECalculator) else Calculator(model)
    if not atoms.get_momenta().any() and first == 0:
        draw_velocities(atoms, config)
    constraints = list(atoms.constraints)
    run = _Run(atoms, config, first, path, progress)
    try:
        stopped = run.go()
    finally:
        run.close()
        atoms.set_constraint(constraints)
    inputs = {str(model): fingerprint(model)} if isinstance(model, str | Path) else {}
    return Record("md", inputs, config.model_dump(), run.results(stopped), time.perf_counter() - started)


class _Run:
    """One stretch of dynamics: steps, frames, and the numbers of every step."""

    def __init__(
        self,
        atoms: Atoms,
        config: MDConfig,
        first: int,
        path: Path | None,
        progress: Callable[[int, int], None] | None,
    ) -> None:
        self.atoms, self.config, self.first, self.step = atoms, config, first, first
        self._path, self._progress = path, progress
        self._rows: list[tuple[float, float, float, float]] = []  # potential, kinetic, conserved, volume
        self._frames, self._seconds = 0, 0.0
        self._writer = FrameWriter(path, append=first > 0) if path is not None else None

    def go(self) -> str | None:
        """Step until the end; returns why it ended early, if it did."""
        start = temperature(self.atoms, self.config.ensemble)
        watch = Watch(self.atoms, max(start, self.config.temperature))
        dynamics = integrator(self.atoms, self.config, self.first)
        trouble = self._look(dynamics, watch)
        if self.first == 0 and trouble is None:
            self._frame()
        clock = time.perf_counter()
        while trouble is None and self.step < self.config.steps:
            try:
                dynamics.step()  # type: ignore[attr-defined]
            except InputError as error:  # atoms so far gone that there is no graph of them
                return str(error)
            self.step += 1
            trouble = self._look(dynamics, watch)
            if trouble is None and (self.step % self.config.interval == 0 or self.step == self.config.steps):
                self._frame()
                trouble = watch.bonds(self.atoms) if self.config.stop_when_apart else None
            if self._progress is not None:
                self._progress(self.step, self.config.steps)
            self._seconds = time.perf_counter() - clock
        return trouble

    def close(self) -> None:
        """Close the trajectory."""
        if self._writer is not None:
            self._writer.close()

    def _look(self, dynamics: MolecularDynamics, watch: Watch) -> str | None:
        potential, forces = self.atoms.get_potential_energy(), self.atoms.get_forces(md=True)
        kinetic = self.atoms.get_kinetic_energy()
        conserved = potential + kinetic
        if self.config.ensemble in ("nose-hoover", "npt"):
            conserved = dynamics.get_conserved_energy()  # type: ignore[attr-defined]
        self._rows.append((potential, float(kinetic), conserved, float(self.atoms.cell.volume)))
        return watch.motion(potential, forces, temperature(self.atoms, self.config.ensemble))

    def _frame(self) -> None:
        self._frames += 1
        if self._writer is not None:
            self._writer.write(self.atoms, self.step, self.step * self.config.timestep)

    def results(self, stopped: str | None) -> dict[str, Any]:
        """What the record says."""
        rows = np.array(self._rows).reshape(-1, 4)
        freedom = degrees_of_freedom(self.atoms, self.config.ensemble)
        temperatures = 2 * rows[:, 1] / (units.kB * freedom)
        times = (self.first + np.arange(len(rows))) * self.config.timestep
        done = self.step - self.first
        rate = done / self._seconds if done and self._seconds else None
        results = {
            "ensemble": self.config.ensemble,
            "n_atoms": len(self.atoms),
            "formula": self.atoms.get_chemical_formula(),
            "first_step": self.first,
            "steps": self.step,
            "time_ps": self.step * self.config.timestep / 1000,
            "frames": self._frames,
            "trajectory": str(self._path) if self._path is not None else None,
            "temperature_mean": float(temperatures.mean()),
            "temperature_std": float(temperatures.std()),
            "steps_per_second": rate,
            "ns_per_day": rate * self.config.timestep * 86400e-6 if rate else None,
            "stopped": stopped,
            "trace": self._trace(times, rows, temperatures),
        }
        if self.config.ensemble != "langevin" and len(rows) > 2:
            per_atom = 1000 * rows[:, 2] / len(self.atoms)
            slope, offset = np.polyfit(times / 1000, per_atom, 1)
            results["energy_drift"] = float(slope)
            results["energy_fluctuation"] = float(np.std(per_atom - slope * times / 1000 - offset))
        if self.config.ensemble == "npt":
            results["volume_mean"] = float(rows[:, 3].mean())
        return results

    def _trace(self, times: np.ndarray, rows: np.ndarray, temperatures: np.ndarray) -> dict[str, list[float]]:
        keep = np.unique(np.linspace(0, len(rows) - 1, min(len(rows), _TRACE)).astype(int))
        trace = {
            "time_fs": times[keep].tolist(),
            "potential_energy": rows[keep, 0].tolist(),
            "total_energy": (rows[keep, 0] + rows[keep, 1]).tolist(),
            "conserved_energy": rows[keep, 2].tolist(),
            "temperature": temperatures[keep].tolist(),
        }
        return trace | ({"volume": rows[keep, 3].tolist()} if self.config.ensemble == "npt" else {})


def _continue(atoms: Atoms, path: Path) -> int:
    """Put `atoms` where the last frame of a trajectory left them; returns its step."""
    frame, step = last_frame(path)
    if not np.array_equal(frame.numbers, atoms.numbers):
        raise InputError(
            f"{path}: the trajectory is of {frame.get_chemical_formula()}, the structure is "
            f"{atoms.get_chemical_formula()}; continue with the structure it began with"
        )
    atoms.set_cell(frame.cell, apply_constraint=False)
    atoms.set_pbc(frame.pbc)
    atoms.set_positions(frame.positions, apply_constraint=False)
    atoms.set_momenta(frame.get_momenta(), apply_constraint=False)
    return step


def _check(atoms: Atoms, config: MDConfig) -> None:
    if config.ensemble == "npt" and not (atoms.pbc.all() and atoms.cell.rank == 3):
        raise InputError(
            "ensemble npt: the structure has no three periodic lattice vectors; use nve, langevin or nose-hoover"
        )
    if config.ensemble == "npt" and atoms.constraints:
        raise InputError("ensemble npt: the structure has fixed atoms, which move with no barostat; use langevin")
    refuse_bad_geometry(atoms)
