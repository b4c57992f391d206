"""Molecular dynamics: physics of each ensemble, trajectories that continue, and stops that say why."""

from pathlib import Path

import ase.io
import numpy as np
import pytest
from ase import Atoms, units
from ase.build import bulk, molecule
from ase.constraints import FixAtoms

from subduce.config import InputError
from subduce.interfaces.ase import Calculator
from subduce.simulate import MDConfig, md
from tests.toys import LennardJones, Springs


@pytest.fixture
def tetrahedron() -> Atoms:
    return Atoms("C4", 0.53 * np.array([[1, 1, 1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1]]))


@pytest.fixture
def crystal() -> Atoms:
    return bulk("Ar", "fcc", a=5.3, cubic=True) * (2, 2, 2)


def config(**settings) -> MDConfig:
    return MDConfig(**{"steps": 50, "interval": 10, **settings})


def test_nve_keeps_the_energy_and_momentum(tetrahedron):
    record = md(Springs(), tetrahedron, config(steps=400, timestep=0.25))
    assert abs(record.results["energy_drift"]) < 0.5  # meV/atom/ps
    assert record.results["stopped"] is None
    np.testing.assert_allclose(tetrahedron.get_momenta().sum(0), 0, atol=1e-10)


def test_the_energy_error_of_nve_falls_as_the_square_of_the_time_step(tetrahedron):
    errors = []
    for timestep in (1.0, 0.5):
        atoms = tetrahedron.copy()
        results = md(Springs(), atoms, config(steps=round(200 / timestep), timestep=timestep)).results
        errors.append(results["energy_fluctuation"])
    assert errors[0] / errors[1] == pytest.approx(4, rel=0.15)


def test_velocities_start_at_exactly_the_temperature_without_drift_or_rotation(tetrahedron):
    record = md(Springs(), tetrahedron, config(steps=0, temperature=512.0, seed=3))
    assert record.results["trace"]["temperature"] == [pytest.approx(512.0)]
    momenta, arms = tetrahedron.get_momenta(), tetrahedron.positions - tetrahedron.get_center_of_mass()
    np.testing.assert_allclose(momenta.sum(0), 0, atol=1e-12)
    np.testing.assert_allclose(np.cross(arms, momenta).sum(0), 0, atol=1e-12)
    assert tetrahedron.get_kinetic_energy() == pytest.approx(0.5 * 6 * units.kB * 512.0)


def test_velocities_of_the_structure_are_kept(tetrahedron):
    tetrahedron.set_velocities([[0.01, 0, 0], [-0.01, 0, 0], [0, 0.01, 0], [0, -0.01, 0]])
    before = tetrahedron.get_momenta()
    md(Springs(), tetrahedron, config(steps=0))
    np.testing.assert_array_equal(tetrahedron.get_momenta(), before)


def test_the_same_seed_gives_the_same_run(tetrahedron):
    ends = []
    for seed in (1, 1, 2):
        atoms = tetrahedron.copy()
        md(Springs(), atoms, config(ensemble="langevin", seed=seed))
        ends.append(atoms.positions)
    np.testing.assert_array_equal(ends[0], ends[1])
    assert not np.allclose(ends[0], ends[2])


@pytest.mark.parametrize("ensemble", ["langevin", "nose-hoover"])
def test_a_thermostat_holds_the_temperature_of_a_small_molecule(tetrahedron, ensemble):
    """Six or nine degrees of freedom, so counting three an atom would be off by a third or a half."""
    settings = config(ensemble=ensemble, steps=1500, timestep=1.0, temperature=300, friction=0.05, seed=4, interval=500)
    settings = settings.replace(thermostat_time=25.0)
    results = md(Springs(stiffness=30.0), tetrahedron, settings).results
    assert results["temperature_mean"] == pytest.approx(300, rel=0.25)
    assert results["temperature_std"] > 50


def test_npt_reaches_the_pressure_and_conserves_its_energy(crystal):
    settings = config(
        ensemble="npt", steps=300, timestep=4.0, temperature=40, thermostat_time=200.0, barostat_time=400.0
    )
    squeezed = crystal.copy()
    loose = md(LennardJones(), crystal, settings).results
    tight = md(LennardJones(), squeezed, settings.replace(pressure=0.5)).results
    assert tight["volume_mean"] < 0.95 * loose["volume_mean"]
    assert abs(loose["energy_drift"]) < 0.5
    assert len(tight["trace"]["volume"]) == len(tight["trace"]["time_fs"])


def test_npt_needs_three_lattice_vectors(tetrahedron):
    with pytest.raises(InputError, match="npt"):
        md(Springs(), tetrahedron, config(ensemble="npt"))


@pytest.mark.parametrize("suffix", [".extxyz", ".traj"])
def test_a_restarted_nve_run_equals_the_unbroken_one(tetrahedron, tmp_path, suffix):
    whole, broken = tetrahedron.copy(), tetrahedron.copy()
    md(Springs(), whole, config(steps=60), trajectory=tmp_path / f"whole{suffix}")
    path = tmp_path / f"broken{suffix}"
    md(Springs(), broken, config(steps=35), trajectory=path)
    again = tetrahedron.copy()
    record = md(Springs(), again, config(steps=60), trajectory=path, restart=True)
    np.testing.assert_allclose(again.positions, whole.positions, atol=1e-13)
    np.testing.assert_allclose(again.get_momenta(), whole.get_momenta(), atol=1e-13)
    assert record.results["first_step"] == 35
    steps = [int(frame.info["step"]) for frame in ase.io.read(path, ":")]
    assert steps == [0, 10, 20, 30, 35, 40, 50, 60]


def test_restarting_a_finished_run_does_nothing(tetrahedron, tmp_path):
    path = tmp_path / "run.extxyz"
    md(Springs(), tetrahedron, config(), trajectory=path)
    before = path.read_bytes()
    record = md(Springs(), tetrahedron.copy(), config(), trajectory=path, restart=True)
    assert path.read_bytes() == before
    assert record.results["steps"] == 50


def test_a_frame_torn_by_a_crash_is_cut_off(tetrahedron, tmp_path):
    path = tmp_path / "run.extxyz"
    md(Springs(), tetrahedron.copy(), config(), trajectory=path)
    whole = path.read_bytes()
    path.write_bytes(whole[:-37])
    md(Springs(), tetrahedron.copy(), config(), trajectory=path, restart=True)
    assert [int(frame.info["step"]) for frame in ase.io.read(path, ":")] == [0, 10, 20, 30, 40, 50]
    final, expected = ase.io.read(path, -1), whole.decode().split()
    assert final.positions[-1, 0] == pytest.approx(float(expected[-9]), abs=1e-12)


def test_a_trajectory_reads_back_with_energies_forces_and_momenta(tetrahedron, tmp_path):
    path = tmp_path / "run.extxyz"
    md(Springs(), tetrahedron, config(), trajectory=path)
    frame = ase.io.read(path, -1)
    tetrahedron.calc = Calculator(Springs())
    assert frame.get_potential_energy() == pytest.approx(tetrahedron.get_potential_energy(), abs=1e-12)
    np.testing.assert_allclose(frame.get_forces(), tetrahedron.get_forces(), atol=1e-12)
    np.testing.assert_array_equal(frame.get_momenta(), tetrahedron.get_momenta())
    assert frame.info["time_fs"] == 25.0


def test_an_existing_trajectory_is_not_written_over(tetrahedron, tmp_path):
    path = tmp_path / "run.extxyz"
    path.write_text("precious")
    with pytest.raises(InputError, match="exists already"):
        md(Springs(), tetrahedron, config(), trajectory=path)
    assert path.read_text() == "precious"


@pytest.mark.parametrize(
    ("content", "message"), [(None, "no trajectory"), ("", "no whole frame"), ("precious", "no whole frame")]
)
def test_what_cannot_be_continued_is_refused(tetrahedron, tmp_path, content, message):
    path = tmp_path / "run.extxyz"
    if content is not None:
        path.write_text(content)
    with pytest.raises(InputError, match=message):
        md(Springs(), tetrahedron, config(), trajectory=path, restart=True)
    assert content is None or path.read_text() == content


def test_a_trajectory_of_another_structure_is_not_continued(tetrahedron, tmp_path):
    path = tmp_path / "run.extxyz"
    md(Springs(), tetrahedron, config(), trajectory=path)
    with pytest.raises(InputError, match="H2O"):
        md(Springs(), molecule("H2O"), config(), trajectory=path, restart=True)


def test_an_unknown_trajectory_format_is_refused(tetrahedron):
    with pytest.raises(InputError, match=r"\.extxyz"):
        md(Springs(), tetrahedron, config(), trajectory=Path("run.xtc"))


class Exploding(Springs):
    """Pushes everything apart."""

    def __call__(self, graph):
        return -super().__call__(graph)


class Broken(Springs):
    """Not a number as soon as anything has moved."""

    def __call__(self, graph):
        return super().__call__(graph) * (float("nan") if self.start_moved(graph) else 1.0)

    def start_moved(self, graph):
        self.start = getattr(self, "start", graph.positions.detach().clone())
        return bool((graph.positions - self.start).abs().max() > 1e-9)


def test_a_run_that_heats_up_stops_and_says_so(tetrahedron, tmp_path):
    tetrahedron.positions *= 1.3
    model = Exploding(stiffness=20.0)
    record = md(model, tetrahedron, config(steps=2000, timestep=1.0), trajectory=tmp_path / "run.extxyz")
    assert "temperature reached" in record.results["stopped"]
    assert record.results["steps"] < 2000
    assert np.isfinite(ase.io.read(tmp_path / "run.extxyz", -1).positions).all()


def test_a_run_that_flies_apart_stops_and_says_so():
    pair = Atoms("C2", [[0, 0, 0], [1.4, 0, 0]])
    pair.set_velocities([[-0.2, 0, 0], [0.2, 0, 0]])
    free = config(steps=500, timestep=1.0)
    record = md(Springs(stiffness=0.0), pair.copy(), free)
    assert "flew apart: 1 bonded piece became 2" in record.results["stopped"]
    allowed = pair.copy()
    allowed.set_velocities(pair.get_velocities())
    assert md(Springs(stiffness=0.0), allowed, free.replace(stop_when_apart=False)).results["stopped"] is None


def test_energies_that_are_not_finite_stop_the_run(tetrahedron):
    record = md(Broken(), tetrahedron, config())
    assert "no longer finite" in record.results["stopped"]
    assert record.results["steps"] == 1


def test_molecules_that_part_were_never_one_piece():
    pair = Atoms("C2", [[0, 0, 0], [3.4, 0, 0]])
    pair.set_velocities([[-0.05, 0, 0], [0.05, 0, 0]])
    assert md(Springs(stiffness=0.0), pair, config(steps=200, timestep=1.0)).results["stopped"] is None


def test_fixed_atoms_stay_and_the_constraint_too(tetrahedron):
    tetrahedron.set_constraint(FixAtoms([0]))
    before = tetrahedron.positions[0].copy()
    record = md(Springs(), tetrahedron, config(ensemble="langevin"))
    np.testing.assert_array_equal(tetrahedron.positions[0], before)
    assert len(tetrahedron.constraints) == 1
    assert record.results["trace"]["temperature"][0] == pytest.approx(300)


def test_atoms_on_top_of_each_other_are_refused(tetrahedron):
    tetrahedron.positions[2] = tetrahedron.positions[1] + 0.01
    with pytest.raises(InputError, match=r"atoms 1 and 2|atoms 2 and 1"):
        md(Springs(), tetrahedron, config())


def test_progress_counts_steps(tetrahedron):
    seen = []
    md(Springs(), tetrahedron, config(steps=5), progress=lambda done, total: seen.append((done, total)))
    assert seen == [(1, 5), (2, 5), (3, 5), (4, 5), (5, 5)]
