"""Relaxation: to the minimum that is known, with and without the cell."""

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.io import read

from subduce.config import InputError
from subduce.data import read_structure
from subduce.simulate import RelaxConfig, relax, write_structure
from tests.toys import LennardJones, Springs


@pytest.mark.parametrize("optimizer", ["fire", "lbfgs", "bfgs"])
def test_a_tetrahedron_of_springs_relaxes_to_their_rest_length(optimizer):
    atoms = Atoms("C4", [[0.7, 0.6, 0.5], [0.5, -0.6, -0.6], [-0.5, 0.5, -0.7], [-0.6, -0.5, 0.5]])
    record = relax(Springs(rest=1.5), atoms, RelaxConfig(fmax=1e-4, optimizer=optimizer))
    distances = atoms.get_all_distances()[np.triu_indices(4, 1)]
    np.testing.assert_allclose(distances, 1.5, atol=1e-3)
    assert record.results["converged"]
    assert record.results["fmax"] < 1e-4
    assert record.results["energy_change"] < 0


def test_the_cell_relaxes_to_zero_pressure_or_the_one_asked_for():
    volumes = []
    for pressure in (0.0, 0.5):
        atoms = bulk("Ar", "fcc", a=5.6, cubic=True)
        results = relax(LennardJones(), atoms, RelaxConfig(fmax=1e-4, cell=True, pressure=pressure)).results
        assert results["converged"]
        assert results["volume_change"] == pytest.approx(atoms.get_volume() / 5.6**3 - 1)
        volumes.append(results["volume"])
    assert volumes[1] < volumes[0] < 5.6**3
    assert results["stress_max"] * 160.21766 == pytest.approx(0.5, abs=1e-2)


def test_a_relaxation_out_of_steps_says_so():
    atoms = Atoms("C2", [[0, 0, 0], [2.2, 0, 0]])
    results = relax(Springs(), atoms, RelaxConfig(fmax=1e-9, steps=3)).results
    assert not results["converged"]
    assert results["steps"] == 3
    assert len(results["trace"]["fmax"]) == 4


def test_a_cell_that_is_not_there_is_refused():
    with pytest.raises(InputError, match="--cell"):
        relax(Springs(), Atoms("C2", [[0, 0, 0], [2.2, 0, 0]]), RelaxConfig(cell=True))


def test_energies_that_are_not_finite_leave_the_last_sound_geometry():
    class Cliff(Springs):
        def __call__(self, graph):
            energies = super().__call__(graph)
            return energies * float("nan") if (graph.positions[1, 0] - graph.positions[0, 0]) < 1.8 else energies

    atoms = Atoms("C2", [[0, 0, 0], [2.2, 0, 0]])
    results = relax(Cliff(), atoms, RelaxConfig()).results
    assert "no longer finite" in results["stopped"]
    assert not results["converged"]
    assert 1.8 <= atoms.get_distance(0, 1) < 2.2


def test_a_structure_survives_the_file_to_the_last_bit(tmp_path):
    atoms = bulk("Ar", "fcc", a=5.3, cubic=True)
    atoms.rattle(0.05, seed=2)
    relax(LennardJones(), atoms, RelaxConfig(steps=2))
    write_structure(atoms, tmp_path / "relaxed.extxyz")
    back = read(tmp_path / "relaxed.extxyz")
    np.testing.assert_array_equal(back.positions, atoms.positions)
    np.testing.assert_array_equal(back.cell.array, atoms.cell.array)
    assert back.get_potential_energy() == atoms.get_potential_energy()
    np.testing.assert_array_equal(read_structure(tmp_path / "relaxed.extxyz").positions, atoms.positions)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("absent.extxyz", None, "no such file"),
        ("text.extxyz", "hello\nworld\n", "not a structure file"),
        ("short.extxyz", "3\n\nH 0 0 0\n", "not a structure file"),
        ("nothing.bin", b"\x00\x01\x02", "not a structure file"),
        ("empty.extxyz", "", "structure"),
        ("nan.extxyz", "1\nProperties=species:S:1:pos:R:3\nH nan 0 0\n", "not finite"),
    ],
)
def test_a_file_without_a_structure_is_refused_in_one_line(tmp_path, name, content, message):
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(InputError, match=message) as refusal:
        read_structure(path)
    assert "\n" not in str(refusal.value)
    assert name in str(refusal.value)
