"""One pass gives shifts, scales and neighbour counts; what compositions cannot tell is said."""

from dataclasses import replace
from pathlib import Path

import ase
import numpy as np
import pytest
from ase.calculators.singlepoint import SinglePointCalculator
from hypothesis import given
from hypothesis import strategies as st

from subduce.data import GraphDataset, open_structures, statistics, structure_from_atoms

DATA = Path(__file__).parents[2] / "data"
TRUE = {1: -13.6, 6: -1030.0, 8: -2041.0}


def molecule(numbers, energy=None, config_type="", forces=None):
    positions = np.arange(3.0 * len(numbers)).reshape(-1, 3)
    atoms = ase.Atoms(numbers=numbers, positions=positions, info={"config_type": config_type})
    energy = sum(TRUE[n] for n in numbers) if energy is None else energy
    labels = {"energy": energy} | ({} if forces is None else {"forces": forces})
    atoms.calc = SinglePointCalculator(atoms, **labels)
    return structure_from_atoms(atoms)


def measure(*structures):
    return statistics(GraphDataset(structures, 4.0))


@given(
    st.lists(st.lists(st.sampled_from([1, 6, 8]), min_size=1, max_size=9), min_size=8, max_size=20),
    st.floats(-1e5, 1e5),
)
def test_shifts_explain_sums_of_atom_energies(compositions, offset):
    energies = [sum(TRUE[n] + offset for n in numbers) for numbers in compositions]
    found = measure(*(molecule(n, e) for n, e in zip(compositions, energies, strict=True)))
    assert found.energy_residual_rms < 1e-8 * (abs(offset) + 2041)
    if not found.undetermined:
        for symbol, number in (("H", 1), ("C", 6), ("O", 8)):
            if symbol in found.shifts:
                assert found.shifts[symbol] == pytest.approx(TRUE[number] + offset, abs=1e-6)
    else:
        assert found.rank < len(found.elements)


def test_large_offsets_keep_small_differences():
    rng = np.random.default_rng(0)
    noise = rng.normal(size=2000) * 1e-4
    sizes = rng.integers(1, 9, (2000, 2))
    structures = [
        molecule([1] * a + [8] * b, -4210.0 * (a + b) + n * (a + b)) for (a, b), n in zip(sizes, noise, strict=True)
    ]
    found = measure(*structures)
    assert found.energy_residual_rms == pytest.approx(np.sqrt(np.mean(noise**2)), rel=2e-3)
    assert found.shifts["H"] == pytest.approx(-4210.0, abs=1e-4)


def test_pure_water_is_undetermined_and_says_so():
    found = measure(molecule([8, 1, 1]), molecule([8, 1, 1] * 2))
    assert (found.rank, found.elements) == (1, (1, 8))
    assert "one composition alone for 2 elements: the energies of H, O cannot be told apart" in found.undetermined
    assert 2 * found.shifts["H"] + found.shifts["O"] == pytest.approx(2 * TRUE[1] + TRUE[8])
    assert found.shifts["H"] == pytest.approx(found.shifts["O"])  # of all that fit, the most equal


def test_only_what_is_open_is_called_so():
    found = measure(molecule([8, 1, 1]), molecule([6]), molecule([8, 1, 1, 6]))
    assert "H, O cannot" in found.undetermined
    assert found.shifts["C"] == pytest.approx(TRUE[6])


def test_isolated_atoms_fix_the_shift_of_their_element():
    found = measure(molecule([8, 1, 1], -2100.0), molecule([1], -13.6, "IsolatedAtom"))
    assert found.fixed == ("H",)
    assert found.shifts == {"H": -13.6, "O": pytest.approx(-2100.0 + 2 * 13.6)}
    assert found.undetermined == ""
    alone = measure(molecule([1], -13.6, "IsolatedAtom"))
    assert alone.shifts == {"H": -13.6}
    assert np.isnan(alone.avg_num_neighbors)


def test_forces_and_neighbours():
    dataset = GraphDataset(open_structures(DATA / "ethanol_gfn2.extxyz"), 4.0)
    found, whole = statistics(dataset), dataset.batch(range(len(dataset)))
    forces, numbers = whole.labels.forces, whole.graph.atomic_numbers
    assert found.forces_rms == pytest.approx(forces.square().mean().sqrt().item())
    assert found.forces_rms_by_element["C"] == pytest.approx(forces[numbers == 6].square().mean().sqrt().item())
    assert found.avg_num_neighbors == pytest.approx(whole.graph.num_edges / whole.graph.num_atoms)
    assert found.counts == {"H": 240, "C": 80, "O": 40}


def test_missing_labels_are_left_out():
    forces = np.ones((2, 3))
    without = molecule([1, 1])
    found = measure(molecule([1, 1], forces=forces), without, replace(molecule([1, 8]), energy=np.nan))
    assert found.forces_rms == pytest.approx(1.0)
    assert found.shifts["H"] == pytest.approx(TRUE[1])
    assert "O" in found.undetermined
    nothing = measure(replace(without, energy=np.nan))
    assert np.isnan([nothing.shifts["H"], nothing.forces_rms]).all()
