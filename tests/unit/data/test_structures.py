"""Labels found under their names, brought to eV and Å, and refused by place when they cannot be meant."""

import ase
import numpy as np
import pytest
from ase.calculators.singlepoint import SinglePointCalculator

from subduce.config import InputError
from subduce.data import LabelKeys, atoms_from_structure, structure_from_atoms


def crystal(**info):
    atoms = ase.Atoms("SiC", [[0, 0, 0], [1, 1, 1]], cell=np.eye(3) * 2, pbc=True)
    atoms.info.update(info)
    return atoms


def test_reference_labels_come_before_stored_results_and_those_before_dft():
    atoms = crystal(dft_energy=-1.0, energy=-2.0)
    assert structure_from_atoms(atoms).energy == -2.0
    atoms.calc = SinglePointCalculator(atoms, energy=-3.0)
    assert structure_from_atoms(atoms).energy == -3.0
    atoms.info["REF_energy"] = -4.0
    structure = structure_from_atoms(atoms)
    assert (structure.energy, structure.names["energy"]) == (-4.0, "REF_energy")
    assert structure_from_atoms(atoms, keys=LabelKeys(energy="dft_energy")).energy == -1.0


def test_missing_labels_are_nan_and_nothing_is_calculated():
    structure = structure_from_atoms(crystal())
    assert not any(structure.has(label) for label in ("energy", "forces", "stress"))
    assert structure.forces.shape == (2, 3)
    assert structure.stress.shape == (3, 3)


def test_virial_is_minus_volume_times_stress():
    virial = np.diag([8.0, 16.0, 24.0])
    structure = structure_from_atoms(crystal(REF_virials=virial))
    np.testing.assert_allclose(structure.stress, -virial / 8)


@pytest.mark.parametrize("shape", [(6,), (9,), (3, 3)])
def test_stress_as_six_or_nine_numbers(shape):
    tensor = np.array([[1.0, 6, 5], [6, 2, 4], [5, 4, 3]])
    values = np.arange(1.0, 7) if shape == (6,) else tensor.reshape(shape)
    np.testing.assert_array_equal(structure_from_atoms(crystal(stress=values)).stress, tensor)


def test_weights_and_config_type():
    info = {"config_type": "slab", "config_weight": 2.0, "config_energy_weight": 0.5, "config_virials_weight": 3.0}
    structure = structure_from_atoms(crystal(**info, charge=-1, spin=3))
    assert (structure.energy_weight, structure.forces_weight, structure.stress_weight) == (1.0, 2.0, 6.0)
    assert (structure.config_type, structure.charge, structure.spin) == ("slab", -1.0, 3.0)


def test_there_and_back():
    atoms = crystal(charge=1.0, config_type="slab", config_forces_weight=0.3)
    rng = np.random.default_rng(0)
    atoms.calc = SinglePointCalculator(atoms, energy=-3.0, forces=rng.normal(size=(2, 3)), stress=rng.normal(size=6))
    first = structure_from_atoms(atoms)
    second = structure_from_atoms(atoms_from_structure(first))
    for name in ("energy", "forces", "stress", "positions", "cell", "pbc", "charge", "config_type", "forces_weight"):
        np.testing.assert_array_equal(getattr(first, name), getattr(second, name))


@pytest.mark.parametrize(
    ("info", "message"),
    [
        ({"energy": np.nan}, r"a\.xyz, structure 3: energy is nan; expected finite numbers"),
        ({"energy": "low"}, r"energy is 'low'; expected numbers"),
        ({"REF_forces": np.zeros((2, 2))}, r"REF_forces has shape \(2, 2\), expected \(2, 3\)"),
        ({"forces": np.array([[0, 0, 0], [0, np.inf, 0]])}, r"forces is inf at atom 1"),
        ({"stress": np.zeros(5)}, r"stress has shape \(5,\); expected 6 numbers"),
        ({"config_weight": -1.0}, r"weight of energy is -1\.0; weights must not be negative"),
    ],
)
def test_labels_that_cannot_be_meant(info, message):
    with pytest.raises(InputError, match=message) as caught:
        structure_from_atoms(crystal(**info), source="a.xyz, structure 3")
    assert "\n" not in str(caught.value)


def test_periodic_without_a_cell():
    with pytest.raises(InputError, match="no volume there; give the lattice vectors, or set pbc to false"):
        structure_from_atoms(ase.Atoms("H", pbc=True), source="here")
    assert structure_from_atoms(ase.Atoms("H", cell=[0, 0, 4], pbc=[False, False, True])).cell[2, 2] == 4


def test_virial_needs_a_volume():
    atoms = crystal(virial=np.eye(3))
    atoms.pbc = [True, True, False]
    with pytest.raises(InputError, match="virial needs a volume"):
        structure_from_atoms(atoms)
