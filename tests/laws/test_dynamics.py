"""P7: at constant energy, the error of the total energy falls as the square of the time step."""

import numpy as np
import pytest
from ase import Atoms, units
from ase.md.verlet import VelocityVerlet

from subduce.interfaces.ase import Calculator
from subduce.models import Potential, PotentialConfig

STEPS = (1.0, 0.5, 0.25)  # fs


@pytest.mark.parametrize("settings", [{"l_max": 0}, {"l_max": 1}, {"l_max": 2, "parity": False, "zbl": True}])
def test_the_drift_of_nve_falls_as_the_square_of_the_time_step(settings):
    config = PotentialConfig(
        type_names=("H", "C", "O"),
        r_max=3.5,
        num_layers=2,
        num_features=4,
        radial_mlp_width=8,
        avg_num_neighbors=4.0,
        per_type_energy_scales={"H": 0.3, "C": 0.3, "O": 0.3},
        model_dtype="float64",
        **settings,
    )
    potential = Potential(config)
    errors = []
    for step in STEPS:
        atoms = Atoms(
            "COH4", positions=[[0, 0, 0], [1.4, 0, 0], [-1, 0, 0.4], [0, 1.1, 0], [0, 0, -1.1], [1.7, 0.9, 0]]
        )
        spread = np.sqrt(atoms.get_masses()[:, None] * units.kB * 300)
        atoms.set_momenta(spread * np.random.default_rng(0).normal(size=(6, 3)))
        atoms.calc = Calculator(potential)
        dynamics, start, largest = VelocityVerlet(atoms, step * units.fs), atoms.get_total_energy(), 0.0
        for _ in range(round(20 / step)):
            dynamics.run(1)
            largest = max(largest, abs(atoms.get_total_energy() - start))
        errors.append(largest)
    slope = np.polyfit(np.log(STEPS), np.log(errors), 1)[0]
    assert slope == pytest.approx(2, abs=0.3), errors
