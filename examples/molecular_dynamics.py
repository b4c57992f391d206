"""A potential in place of any ASE calculator: energies, forces, stress, dynamics, relaxation.

The network here has random weights, so that the example needs no training: the interface is the
same, and energy is conserved all the same, since forces are its exact derivatives.
"""

import tempfile

import numpy as np
from ase.build import bulk

from subduce.interfaces.ase import Calculator
from subduce.models import Potential, PotentialConfig, save
from subduce.simulate import MDConfig, md

config = PotentialConfig(
    type_names=("Cu",),
    r_max=4.0,
    num_layers=1,
    num_features=8,
    avg_num_neighbors=18.0,
    per_type_energy_scales={"Cu": 0.1},
    zbl=True,
    model_dtype="float64",
)

with tempfile.TemporaryDirectory() as folder:
    save(Potential(config), f"{folder}/copper.safetensors")

    atoms = bulk("Cu", cubic=True).repeat(2)
    atoms.rattle(0.05, seed=1)
    atoms.calc = Calculator(f"{folder}/copper.safetensors")
    print(f"{atoms.get_potential_energy():.4f} eV; largest force {np.abs(atoms.get_forces()).max():.3f} eV/Å")
    print("stress (eV/Å³, xx yy zz yz xz xy):", np.round(atoms.get_stress(), 5))

    settings = MDConfig(ensemble="nve", temperature=300.0, timestep=1.0, steps=100, seed=0)
    record = md(f"{folder}/copper.safetensors", atoms, settings, trajectory=f"{folder}/nve.extxyz")
    drift = record.results["energy_drift"]
    print(f"{record.results['temperature_mean']:.0f} K on average, drift {drift:.4f} meV/atom/ps")
    assert abs(drift) < 5
