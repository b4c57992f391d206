"""Molecular dynamics with GFN2-xTB itself, for the comparison in `dynamics.py`.

Run it with a Python that has tblite (`pip install ase tblite` in an environment of its own):
`python peer_xtb.py SETTINGS.json RESULT.npz`. Langevin dynamics with ASE's integrator, as
`subduce.simulate.md` runs it: drift removed, temperature over the degrees of freedom that are left. What was
done is kept every 10,000 steps, and a run that was stopped goes on from there, with other noise.
"""

import json
import sys
from pathlib import Path

import ase.io
import numpy as np
from ase import units
from ase.constraints import FixCom
from ase.md.langevin import Langevin
from tblite.ase import TBLite

KEEP = 10_000  # steps


def start(settings):
    """The molecule with velocities of the temperature and no drift."""
    atoms, noise = ase.io.read(settings["start"]), np.random.default_rng(settings["seed"])
    atoms.calc = TBLite(method="GFN2-xTB", accuracy=0.1, verbosity=0)
    atoms.set_constraint(FixCom())
    spread = np.sqrt(units.kB * settings["temperature"] * atoms.get_masses())
    momenta = spread[:, None] * noise.standard_normal((len(atoms), 3))
    atoms.set_momenta(momenta - atoms.get_masses()[:, None] * momenta.sum(0) / atoms.get_masses().sum())
    return atoms


def save(path, atoms, step, frames):
    positions, velocities = (np.array([frame[k] for frame in frames], dtype=np.float32) for k in (0, 1))
    draft = path.with_suffix(".draft.npz")
    np.savez(
        draft, positions=positions, velocities=velocities, numbers=atoms.numbers, step=step,
        last_positions=atoms.positions, last_momenta=atoms.get_momenta(),
    )  # fmt: skip
    draft.replace(path)


def main():
    settings, path = json.loads(Path(sys.argv[1]).read_text()), Path(sys.argv[2])
    atoms, step, frames = start(settings), 0, []
    if path.exists():
        found = np.load(path)
        step, frames = int(found["step"]), list(zip(found["positions"], found["velocities"], strict=True))
        atoms.set_positions(found["last_positions"], apply_constraint=False)
        atoms.set_momenta(found["last_momenta"], apply_constraint=False)
    while step < settings["steps"]:
        timestep, friction = settings["timestep"] * units.fs, settings["friction"] / units.fs
        noise = np.random.default_rng([settings["seed"], step])
        dynamics = Langevin(
            atoms, timestep, temperature_K=settings["temperature"], friction=friction, fixcm=False, rng=noise
        )
        for _ in range(min(KEEP, settings["steps"] - step)):
            dynamics.step()
            step += 1
            if step % settings["interval"] == 0:
                frames.append((atoms.get_positions(), atoms.get_velocities() * units.fs))
        save(path, atoms, step, frames)


if __name__ == "__main__":
    main()
