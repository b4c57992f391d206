"""Initial velocities and integrators of each ensemble, with the degrees of freedom counted right.

Where the total momentum (and, for a free molecule, the angular momentum) stays zero, the motion
has fewer degrees of freedom than three an atom. Temperatures and thermostats here count what is
left: for nine atoms the difference is a fifth.
"""

from typing import Any, Literal

import numpy as np
from ase import Atoms, units
from ase.constraints import FixCom
from ase.md.langevin import Langevin
from ase.md.md import MolecularDynamics
from ase.md.nose_hoover_chain import MTKNPT, IsotropicMTKNPT, NoseHooverChainNVT
from ase.md.velocitydistribution import Stationary, ZeroRotation
from ase.md.verlet import VelocityVerlet
from pydantic import Field

from ..config import Config

GPA = units.GPa


class MDConfig(Config):
    """Settings of molecular dynamics."""

    ensemble: Literal["nve", "langevin", "nose-hoover", "npt"] = "nve"
    temperature: float = Field(default=300.0, ge=0, allow_inf_nan=False)  # K; of the initial velocities and the bath
    pressure: float = Field(default=0.0, allow_inf_nan=False)  # GPa, for npt
    timestep: float = Field(default=0.5, gt=0, le=20)  # fs
    steps: int = Field(default=1000, ge=0)  # counted from the start of the trajectory, restarts included
    interval: int = Field(default=10, ge=1)  # steps between frames
    friction: float = Field(default=0.01, gt=0)  # 1/fs, of langevin
    thermostat_time: float | None = Field(default=None, gt=0)  # fs; 100 time steps
    barostat_time: float | None = Field(default=None, gt=0)  # fs; 1000 time steps
    shape: Literal["isotropic", "full"] = "isotropic"  # how the cell may change in npt
    stop_when_apart: bool = True  # stop when the bonded pieces of the start fall apart
    seed: int = Field(default=0, ge=0)


def draw_velocities(atoms: Atoms, config: MDConfig) -> None:
    """Maxwell-Boltzmann velocities of exactly the temperature asked for, without drift."""
    spread = np.sqrt(units.kB * config.temperature * atoms.get_masses())
    atoms.set_momenta(spread[:, None] * np.random.default_rng(config.seed).standard_normal((len(atoms), 3)))
    if _keeps_drift(atoms):
        Stationary(atoms, preserve_temperature=False)
    if _keeps_rotation(atoms, config.ensemble):
        ZeroRotation(atoms, preserve_temperature=False)
    now = temperature(atoms, config.ensemble)
    if now > 0:  # not when everything is fixed
        atoms.set_momenta(atoms.get_momenta() * np.sqrt(config.temperature / now))


def temperature(atoms: Atoms, ensemble: str) -> float:
    """Kinetic temperature, K, over the degrees of freedom that can move."""
    return float(2 * atoms.get_kinetic_energy() / (units.kB * max(degrees_of_freedom(atoms, ensemble), 1)))


def degrees_of_freedom(atoms: Atoms, ensemble: str) -> int:
    """How many velocities are free: three an atom, less what is fixed, drift, and rotations of a free molecule."""
    removed = sum(constraint.get_removed_dof(atoms) for constraint in _fixed(atoms))
    drift = 3 if _keeps_drift(atoms) else 0
    rotations = _rotations(atoms) if _keeps_rotation(atoms, ensemble) else 0
    return 3 * len(atoms) - removed - drift - rotations


def integrator(atoms: Atoms, config: MDConfig, step: int) -> MolecularDynamics:
    """ASE's integrator of the ensemble, at `step` of its trajectory."""
    timestep = config.timestep * units.fs
    if config.ensemble == "nve":
        return VelocityVerlet(atoms, timestep)
    if config.ensemble == "langevin":
        if _keeps_drift(atoms):
            atoms.set_constraint(FixCom())
        noise = np.random.default_rng([config.seed, step])  # a restart draws other noise than the run before it
        friction = config.friction / units.fs
        return Langevin(atoms, timestep, temperature_K=config.temperature, friction=friction, fixcm=False, rng=noise)
    bath: dict[str, Any] = {
        "temperature_K": config.temperature,
        "tdamp": (config.thermostat_time or 100 * config.timestep) * units.fs,
    }
    if config.ensemble == "nose-hoover":
        dynamics = NoseHooverChainNVT(atoms, timestep, **bath)
    else:
        barostat = IsotropicMTKNPT if config.shape == "isotropic" else MTKNPT
        pressure_time = (config.barostat_time or 1000 * config.timestep) * units.fs
        dynamics = barostat(atoms, timestep, pressure_au=config.pressure * GPA, pdamp=pressure_time, **bath)
    # ASE's chain thermostats three degrees of freedom an atom, though the drift is zero and stays so.
    dynamics._thermostat._num_atoms_global = degrees_of_freedom(atoms, config.ensemble) / 3  # type: ignore
    return dynamics


def _fixed(atoms: Atoms) -> list:
    return [constraint for constraint in atoms.constraints if not isinstance(constraint, FixCom)]


def _keeps_drift(atoms: Atoms) -> bool:
    """Whether the total momentum is conserved, and so zero from the start."""
    return len(atoms) > 1 and not _fixed(atoms)


def _keeps_rotation(atoms: Atoms, ensemble: str) -> bool:
    """Whether the angular momentum is conserved, and so zero from the start."""
    return ensemble in ("nve", "nose-hoover") and _keeps_drift(atoms) and not atoms.pbc.any()


def _rotations(atoms: Atoms) -> int:
    """Three rotations, or two of atoms on a line."""
    centred = atoms.positions - atoms.positions.mean(0)
    return 3 if np.linalg.matrix_rank(centred, tol=1e-3) > 1 else 2
