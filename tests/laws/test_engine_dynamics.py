"""At constant energy the engine drifts no more than the reference with exact radial networks."""

from importlib.resources import files

import numpy as np
import pytest
from ase import Atoms, units
from ase.md.verlet import VelocityVerlet

from subduce import kernels
from subduce.config import build
from subduce.data import open_structures
from subduce.interfaces.ase import Calculator
from subduce.models import Potential, load
from subduce.train import RunConfig, train

pytestmark = [
    pytest.mark.skipif("cpu" not in kernels.available(), reason="the package was installed without a compiler"),
    pytest.mark.filterwarnings("ignore:energies of single atoms"),  # one composition tells little of them
]
ASSETS = files("subduce.data") / "assets"
STEP = 0.5  # fs


def trained(folder, epochs: int) -> Potential:
    """A small potential of ethanol."""
    data = {part: str(ASSETS / f"ethanol_{part}.extxyz") for part in ("train", "val", "test")}
    settings = {
        "data": data,
        "device": "cpu",
        "model": {"r_max": 4.0, "num_layers": 2, "num_features": 8, "l_max": 1, "radial_mlp_width": 16},
        "train": {"max_epochs": epochs, "learning_rate": 0.01, "schedule": "cosine"},
    }
    train(build(RunConfig, settings, source="a test"), folder=folder)
    return load(folder / "model.safetensors")


def ethanol() -> Atoms:
    structure = open_structures(str(ASSETS / "ethanol_test.extxyz"))[0]
    atoms = Atoms(structure.atomic_numbers, structure.positions)
    spread = np.sqrt(atoms.get_masses()[:, None] * units.kB * 300)
    momenta = spread * np.random.default_rng(0).normal(size=(len(atoms), 3))
    atoms.set_momenta(momenta - momenta.mean(0))
    return atoms


def total_energies(potential: Potential, steps: int, **how: str) -> np.ndarray:
    """The total energy (eV per atom) after every step, from its start."""
    atoms = ethanol()
    atoms.calc = Calculator(potential, **how)
    dynamics, energies = VelocityVerlet(atoms, STEP * units.fs), []
    dynamics.attach(lambda: energies.append(atoms.get_total_energy() / len(atoms)))
    dynamics.run(steps)
    return np.array(energies) - energies[0]


def drift(energies: np.ndarray, blocks: int = 10) -> tuple[float, float]:
    """The slope of a line through the means of blocks, times the whole time, and its standard error (eV per atom)."""
    means = np.array([block.mean() for block in np.array_split(energies, blocks)])
    time = (np.arange(blocks) + 0.5) / blocks
    centred = time - time.mean()
    slope = (centred @ means) / (centred @ centred)
    left = means - means.mean() - slope * centred
    return slope, (left @ left / (blocks - 2) / (centred @ centred)) ** 0.5


@pytest.mark.slow
def test_over_20_ps_the_drift_is_the_references_within_its_error(tmp_path):
    potential, steps = trained(tmp_path / "run", 60), round(20_000 / STEP)
    engine = total_energies(potential, steps)
    with kernels.reference_only():
        reference = total_energies(potential, steps, radial="exact", backend="reference")
    (one, error), (other, other_error) = drift(engine), drift(reference)
    print(f"drift in 20 ps, eV per atom: {one:.2e} ± {error:.1e}, reference {other:.2e} ± {other_error:.1e}")
    print(f"spread, eV per atom: {engine.std():.2e}, reference {reference.std():.2e}")
    assert abs(one - other) <= 3 * (error**2 + other_error**2) ** 0.5
    assert abs(one) < 1e-3


def test_for_a_short_while_the_energies_are_the_references(tmp_path):
    """The same path, before chaos parts the two: total energies agree better than they are conserved."""
    potential = trained(tmp_path / "run", 3)
    engine = total_energies(potential, 150)
    with kernels.reference_only():
        reference = total_energies(potential, 150, radial="exact", backend="reference")
    assert np.abs(engine - reference).max() < 0.1 * reference.std()
    assert reference.std() < 1e-3
