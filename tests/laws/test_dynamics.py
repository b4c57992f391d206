"""At constant energy, the total energy is kept: its error falls as the square of the time step, and nothing drifts."""

import numpy as np
import pytest
from ase import Atoms, units
from ase.build import molecule
from ase.md.velocitydistribution import Stationary
from ase.md.verlet import VelocityVerlet

from subduce.cli.demo import SETTINGS
from subduce.config import build
from subduce.data import read_structure
from subduce.interfaces.ase import Calculator
from subduce.kernels import reference_only
from subduce.models import Potential, PotentialConfig
from subduce.train import RunConfig, train

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


def drift(atoms, calculator, steps, step=0.5):
    """How fast the total energy of an atom changes at constant energy, and the error of that rate, meV/ps."""
    atoms = atoms.copy()
    atoms.set_momenta(
        np.sqrt(atoms.get_masses()[:, None] * units.kB * 300) * np.random.default_rng(0).normal(size=(len(atoms), 3))
    )
    Stationary(atoms)
    atoms.calc, energies = calculator, []
    dynamics = VelocityVerlet(atoms, step * units.fs)
    for _ in range(steps // 10):
        dynamics.run(10)
        energies.append(1e3 * atoms.get_total_energy() / len(atoms))
    energies = np.array(energies)
    # Rates of ten parts: what they differ by tells how well their mean is known.
    parts = [np.polyfit(0.01 * step * np.arange(len(part)), part, 1)[0] for part in np.array_split(energies, 10)]
    whole = np.polyfit(0.01 * step * np.arange(len(energies)), energies, 1)[0]
    return whole, np.std(parts, ddof=1) / 10**1.5, energies


def test_a_program_with_splines_keeps_the_energy_as_the_reference_does():
    config = PotentialConfig(
        type_names=("H", "C", "O"),
        r_max=3.5,
        num_layers=2,
        num_features=4,
        radial_mlp_width=8,
        avg_num_neighbors=4.0,
        per_type_energy_scales={"H": 0.3, "C": 0.3, "O": 0.3},
    )
    potential, atoms = Potential(config), molecule("CH3CH2OH")
    _, _, found = drift(atoms, Calculator(potential), 400)
    with reference_only():
        _, _, expected = drift(atoms, Calculator(potential, backend="reference", radial="exact"), 400)
    assert np.ptp(expected) > 1e-3  # the energy fluctuates with a finite step
    np.testing.assert_allclose(found - found[0], expected - expected[0], atol=0.02 * np.ptp(expected))


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:energies of single atoms:UserWarning")
def test_the_drift_over_20_ps_is_that_of_the_reference(tmp_path):
    """The demo's molecule with the demo's potential: in float32, the program with its splines beside the networks."""
    assets = "src/subduce/data/assets"
    data = {part: f"{assets}/ethanol_{part}.extxyz" for part in ("train", "val", "test")}
    train(build(RunConfig, {**SETTINGS, "data": data}, source="this test"), folder=tmp_path)
    atoms = read_structure(f"{assets}/ethanol_test.extxyz")
    model = tmp_path / "model.safetensors"
    found, error, _ = drift(atoms, Calculator(model), 40_000)
    with reference_only():
        expected, its_error, _ = drift(atoms, Calculator(model, backend="reference", radial="exact"), 40_000)
    print(f"drift {found:.2e} ± {error:.1e} meV/atom/ps, reference {expected:.2e} ± {its_error:.1e}")
    assert abs(found - expected) < 3 * np.hypot(error, its_error)
    assert abs(found) < 0.05
