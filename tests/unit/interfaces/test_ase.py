"""The ASE calculator: the same numbers as the model, nothing computed that was not asked for, clear refusals."""

import warnings

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.build import bulk, molecule
from ase.calculators.calculator import PropertyNotImplementedError

from subduce.config import InputError
from subduce.interfaces.ase import Calculator
from subduce.models import Potential, PotentialConfig, save
from tests.toys import LennardJones, Springs


@pytest.fixture
def crystal() -> Atoms:
    atoms = bulk("Ar", "fcc", a=5.3, cubic=True) * (2, 2, 2)
    atoms.rattle(0.1, seed=1)
    return atoms


@pytest.fixture
def potential() -> Potential:
    config = PotentialConfig(
        type_names=("H", "O"), num_layers=1, l_max=1, num_features=4, avg_num_neighbors=2.0, model_dtype="float64"
    )
    return Potential(config)


def test_energies_and_forces_are_those_of_the_pairs_written_out():
    atoms = Atoms("Ar3", [[0, 0, 0], [3.9, 0, 0], [0.3, 4.1, 0.2]])
    atoms.calc = Calculator(LennardJones(epsilon=0.01, sigma=3.4, cutoff=7.0))

    def energies(positions):
        distances = np.linalg.norm(positions[:, None] - positions, axis=-1) + 1e9 * np.eye(3)
        pairs = 0.02 * ((3.4 / distances) ** 12 - (3.4 / distances) ** 6)
        return (pairs * np.clip(1 - (distances / 7) ** 2, 0, None) ** 3).sum(1)

    np.testing.assert_allclose(atoms.get_potential_energies(), energies(atoms.positions), atol=1e-12)
    forces, step = np.zeros((3, 3)), 1e-5
    for atom, axis in np.ndindex(3, 3):
        shift = np.zeros((3, 3))
        shift[atom, axis] = step
        forces[atom, axis] = (energies(atoms.positions - shift).sum() - energies(atoms.positions + shift).sum()) / (
            2 * step
        )
    np.testing.assert_allclose(atoms.get_forces(), forces, atol=1e-9)


def test_stress_is_the_slope_of_the_energy_in_ases_order(crystal):
    crystal.set_cell(crystal.cell.array @ [[1, 0.02, 0], [0, 1.01, -0.03], [0.01, 0, 0.99]], scale_atoms=True)
    crystal.calc = Calculator(LennardJones(), skin=0.0)
    stress, cell, volume = crystal.get_stress(), crystal.cell.array.copy(), crystal.get_volume()
    pairs = [(0, 0), (1, 1), (2, 2), (1, 2), (0, 2), (0, 1)]
    for (i, j), expected in zip(pairs, stress, strict=True):
        energies = []
        for sign in (1, -1):
            strain = np.eye(3)
            strain[i, j] += sign * 5e-6
            strain[j, i] += sign * 5e-6
            moved = crystal.copy()
            moved.calc = crystal.calc
            moved.set_cell(cell @ strain, scale_atoms=True)
            energies.append(moved.get_potential_energy())
        assert (energies[0] - energies[1]) / 2e-5 / volume == pytest.approx(expected, abs=1e-9)


def test_free_energy_is_the_energy(crystal):
    crystal.calc = Calculator(LennardJones())
    assert crystal.get_potential_energy(force_consistent=True) == crystal.get_potential_energy()
    assert crystal.get_potential_energies().sum() == pytest.approx(crystal.get_potential_energy(), abs=1e-10)


def test_stress_needs_three_lattice_vectors():
    atoms = Atoms("Ar2", [[0, 0, 0], [3.8, 0, 0]], cell=[20, 20, 20], pbc=[True, True, False])
    atoms.calc = Calculator(LennardJones())
    atoms.get_forces()
    with pytest.raises(PropertyNotImplementedError):
        atoms.get_stress()


def test_only_what_was_asked_is_computed(crystal):
    crystal.calc = Calculator(LennardJones())
    crystal.get_potential_energy()
    assert "forces" not in crystal.calc.results
    crystal.get_forces()
    assert "forces" in crystal.calc.results
    assert "stress" not in crystal.calc.results


def test_a_geometry_that_needs_stress_costs_one_pass_a_step(crystal):
    model = LennardJones()
    crystal.calc = Calculator(model)
    for step in range(5):
        crystal.rattle(0.01, seed=step)
        model.calls = 0
        crystal.get_forces(), crystal.get_stress(), crystal.get_potential_energy()
        assert model.calls == (2 if step == 0 else 1)
    crystal.rattle(0.01, seed=99)
    crystal.get_forces()
    crystal.rattle(0.01, seed=100)
    crystal.get_forces()
    assert "stress" not in crystal.calc.results  # no longer asked for, no longer computed


def test_edges_are_kept_until_an_atom_has_moved_half_the_skin(crystal):
    calculator = Calculator(LennardJones(), skin=0.5)
    crystal.calc = calculator
    for _ in range(5):
        crystal.positions[0, 0] += 0.045
        crystal.get_forces()
    assert calculator._neighbors.searches == 1
    fresh = crystal.copy()
    fresh.calc = Calculator(LennardJones(), skin=0.0)
    np.testing.assert_allclose(crystal.get_forces(), fresh.get_forces(), atol=1e-12)
    crystal.positions[0, 0] += 0.2
    crystal.get_forces()
    assert calculator._neighbors.searches == 2


def test_one_calculator_serves_structures_of_different_sizes():
    calculator = Calculator(Springs())
    for name in ("H2O", "C2H6", "H2O"):
        atoms, alone = molecule(name), molecule(name)
        atoms.calc, alone.calc = calculator, Calculator(Springs())
        np.testing.assert_array_equal(atoms.get_forces(), alone.get_forces())


def test_an_unknown_element_is_named_with_those_known(potential):
    atoms = molecule("CH3OH")
    atoms.calc = Calculator(potential)
    with pytest.raises(InputError, match=r"contains C, which the model has never seen; it knows H, O"):
        atoms.get_potential_energy()


def test_a_periodic_cell_without_volume_is_refused(crystal):
    crystal.calc = Calculator(LennardJones())
    crystal.set_cell([[5, 0, 0], [5, 0, 0], [0, 0, 5]])
    with pytest.raises(InputError, match="no volume"):
        crystal.get_potential_energy()


def test_positions_that_are_not_finite_are_refused(crystal):
    crystal.calc = Calculator(LennardJones())
    crystal.positions[3, 1] = np.nan
    with pytest.raises(InputError, match="not finite"):
        crystal.get_forces()


def test_charge_and_spin_are_ignored_with_one_warning():
    atoms = molecule("H2O")
    atoms.info.update(charge=-1, spin=2)
    atoms.calc = Calculator(Springs())
    with pytest.warns(UserWarning, match="charge and spin"):
        atoms.get_potential_energy()
    atoms.rattle(0.01)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        atoms.get_potential_energy()


def test_a_neutral_structure_needs_no_warning():
    atoms = molecule("H2O")
    atoms.info.update(charge=0, spin=0)
    atoms.calc = Calculator(Springs())
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        atoms.get_potential_energy()


def test_a_file_and_the_model_in_it_are_the_same(potential, tmp_path):
    save(potential, tmp_path / "model.safetensors")
    from_file, loaded = molecule("H2O"), molecule("H2O")
    from_file.calc = Calculator(tmp_path / "model.safetensors")
    loaded.calc = Calculator(potential)
    np.testing.assert_array_equal(from_file.get_forces(), loaded.get_forces())


def test_another_precision_changes_the_numbers_a_little_and_leaves_the_model_alone(potential, tmp_path):
    save(potential, tmp_path / "model.safetensors")
    exact = molecule("H2O")
    exact.calc = Calculator(potential)
    for model in (potential, tmp_path / "model.safetensors"):
        for dtype in ("float32", torch.float32):
            rough = molecule("H2O")
            rough.calc = Calculator(model, dtype=dtype)
            assert rough.get_potential_energy() == pytest.approx(exact.get_potential_energy(), abs=1e-4)
            assert (rough.get_forces() != exact.get_forces()).any()
    assert all(parameter.dtype == torch.float64 for parameter in potential.parameters())


def test_wrong_choices_are_refused(potential, tmp_path):
    with pytest.raises(ValueError, match="backend"):
        Calculator(potential, backend="abacus")
    with pytest.raises(ValueError, match="float32 or float64"):
        Calculator(potential, dtype="float16")
    with pytest.raises(ValueError, match="LennardJones"):
        Calculator(LennardJones(), dtype="float32")
    with pytest.raises(InputError, match="GPU"):
        Calculator(potential, device="cuda:99")
    with pytest.raises(InputError, match="no such model file"):
        Calculator(tmp_path / "absent.safetensors")


def test_a_table_in_place_of_radial_networks_gives_the_same_forces(potential):
    atoms = molecule("H2O")
    forces = []
    for radial in ("exact", "table"):
        atoms.calc = Calculator(potential, radial=radial)
        forces.append(atoms.get_forces())
    np.testing.assert_allclose(forces[0], forces[1], atol=1e-5 * np.abs(forces[0]).max())
    with pytest.raises(ValueError, match="exact or table, got 'spline'"):
        Calculator(potential, radial="spline")
