"""Laws of point clouds (G17–G22, measured): what stretches, pushes and labels of atoms break, and every bad file."""

import json

import numpy as np
import pytest

from subduce.cli import main
from subduce.config import InputError
from subduce.data import open_clouds
from subduce.discovery import discover_symmetries
from tests.unit.discovery.clouds import cubes, pushed, scattered, write

FIELD = np.array([0, 0, 0.5])
STRETCHES = {
    "z": (np.diag([1, 1, 1.2]), "D4h(z)", {"Eg"}),
    "xyz": (np.diag([1, 1.1, 1.25]), "D2h", {"Eg"}),
    "[111]": (np.eye(3) + 0.06, "D3d([111])", {"T2g"}),
}


def repelled(clouds):
    """What every atom of a cloud does to every other."""
    return -pushed(clouds, lambda r: np.exp(-r))


def broken(results):
    return {row["irrep"] for row in results["irreps"] if row["verdict"] == "broken"}


@pytest.fixture
def discover(tmp_path):
    """What a group says of clouds and the clouds they become, or of clouds with labels."""

    def call(before, group, after=None, *, options=(), species=None, cell=None, comments=None, **labels):
        data = write(tmp_path / "a.extxyz", before, species, cell, comments, **labels)
        reading = dict(options)
        if after is not None:
            reading["target"] = write(tmp_path / "b.extxyz", after, species, cell)
        return discover_symmetries(data, group, **reading).results

    return call


@pytest.mark.parametrize("group", ["Oh", "O(3)"])
@pytest.mark.parametrize("field", [False, True])
def test_an_external_field_is_found_among_forces_and_nothing_without(discover, group, field):
    rng = np.random.default_rng(7)
    clouds = scattered(rng, 100, 6)
    forces = repelled(clouds) + 0.4 * rng.normal(size=clouds.shape) + field * FIELD
    found = discover(clouds, group, options={"target": "forces"}, forces=forces)
    if not field:
        assert not broken(found)
        assert found["preserved"]["conjugacy"] == group
        return
    assert broken(found) == {"T1u" if group == "Oh" else "1o"}
    row = next(r for r in found["irreps"] if r["verdict"] == "broken")
    assert found["preserved"]["conjugacy"] == ("C4v(z)" if group == "Oh" else "Cinfv(z)")
    if group == "O(3)":
        assert row["direction_symbol"] == "along +z"


@pytest.mark.parametrize("name", list(STRETCHES))
def test_a_stretch_of_cubes_keeps_what_the_stretched_cube_keeps(discover, name):
    """G17, G18, G19."""
    strain, kept, irreps = STRETCHES[name]
    rng = np.random.default_rng(100)
    before = cubes(rng, 60)
    found = discover(before, "Oh", before @ strain + 0.02 * rng.normal(size=before.shape))
    assert broken(found) == irreps
    assert found["preserved"]["conjugacy"].partition("(")[0] == kept.partition("(")[0]
    assert kept in (found["preserved"]["conjugacy"], found["preserved"]["name"])


def test_cubes_that_grow_break_nothing(discover):
    """G20."""
    rng = np.random.default_rng(2)
    before = cubes(rng, 60)
    found = discover(before, "Oh", 1.1 * before + 0.02 * rng.normal(size=before.shape))
    assert not broken(found)
    assert found["preserved"]["conjugacy"] == "Oh"


def test_atoms_of_one_species_that_shift_along_an_axis_leave_c4v(discover):
    """G21: cations and anions move against each other."""
    rng = np.random.default_rng(3)
    before = cubes(rng, 60)
    shift = np.where(np.arange(8)[:, None] < 4, 0.1, -0.1) * [0, 0, 1]
    species = ["Na"] * 4 + ["Cl"] * 4
    order = np.stack([rng.permutation(8) for _ in before])
    before = np.take_along_axis(before, order[:, :, None], 1)  # else the species say which corner it is
    found = discover(before, "Oh", before + shift + 0.02 * rng.normal(size=before.shape), species=species)
    assert broken(found) == {"T1u"}
    assert found["preserved"]["conjugacy"] == "C4v(z)"


def test_velocities_that_a_magnetic_field_turns_leave_c4h(discover):
    """G22: an axial field along z, told from a polar one by parity."""
    rng = np.random.default_rng(4)
    clouds = scattered(rng, 100, 6)
    velocities = rng.normal(size=clouds.shape)
    forces = repelled(clouds) + 0.6 * np.cross(velocities, [0, 0, 1.0]) + 0.4 * rng.normal(size=clouds.shape)
    found = discover(clouds, "Oh", options={"target": "forces"}, forces=forces, velocities=velocities)
    assert broken(found) == {"T1g"}
    assert found["preserved"]["conjugacy"] == "C4h(z)"


def test_a_label_of_structures_is_a_law_too(discover):
    rng = np.random.default_rng(6)
    clouds = scattered(rng, 200, 5)
    centred = clouds - clouds.mean(axis=1, keepdims=True)
    dipole = centred.sum(axis=1) + 0.02 * rng.normal(size=(200, 3)) + [0, 0.5, 0]
    comments = [f'dipole="{x:.9g} {y:.9g} {z:.9g}"' for x, y, z in dipole]
    found = discover(centred, "Oh", options={"target": "dipole"}, comments=comments)
    assert broken(found) == {"T1u"}
    assert found["preserved"]["conjugacy"] == "C4v(y)"


def test_forces_far_richer_than_the_features_are_not_called_broken(discover):
    rng = np.random.default_rng(7)
    clouds = scattered(rng, 100, 6)
    forces = pushed(clouds, lambda r: np.sin(25 * r))
    found = discover(clouds, "Oh", options={"target": "forces"}, forces=forces)
    assert not broken(found)


def test_clouds_that_repeat_move_by_the_nearest_image(tmp_path):
    rng = np.random.default_rng(8)
    clouds = rng.uniform(0, 4, size=(30, 6, 3))
    moved = 0.05 * rng.normal(size=clouds.shape)
    cell = 4 * np.eye(3)
    before = write(tmp_path / "a.extxyz", clouds, cell=cell)
    after = write(tmp_path / "b.extxyz", (clouds + moved) % 4, cell=cell)
    pairs = open_clouds(before, target=after)
    target = np.array([pairs[i][1] for i in range(len(pairs))]).reshape(clouds.shape)
    np.testing.assert_allclose(target, moved - moved.mean(axis=1, keepdims=True), atol=1e-9)


def test_the_verb_takes_two_files_and_fingerprints_both(tmp_path, capsys):
    rng = np.random.default_rng(9)
    before = cubes(rng, 40)
    a, b = write(tmp_path / "a.extxyz", before), write(tmp_path / "b.extxyz", before * [1, 1, 1.3])
    code = main(["discover", "--input", str(a), "--target", str(b), "--group", "D4h", "--cutoff", "2.5", "--json"])
    record = json.loads(capsys.readouterr().out)
    assert code == 0
    assert set(record["inputs"]) == {str(a), str(b)}
    assert record["settings"]["reading"]["cutoff"] == 2.5


def _shifted(cloud):
    return cloud + np.arange(8)[:, None] * 0.01 * [1, 0, 0]


@pytest.mark.parametrize(
    ("before", "after", "says"),
    [
        (12, (12, 8, "Si"), "hold the same positions"),
        (12, (11, 8, "Si"), "has 12 structures and"),
        (12, (12, 7, "Si"), "expected the same atoms"),
        (12, (12, 8, "Ge"), "is Si in"),
        (1, (1, 8, "Si"), "one pair of structures is one exchangeable unit"),
        (5, (5, 8, "Si"), "5 are few"),
    ],
)
def test_files_that_do_not_belong_together_are_refused_in_one_line(tmp_path, before, after, says):
    clouds = cubes(np.random.default_rng(0), before)
    count, atoms, species = after
    moved = clouds[:count, :atoms]
    a = write(tmp_path / "a.extxyz", clouds)
    b = write(tmp_path / "b.extxyz", moved, [species] * atoms)
    with pytest.raises(InputError, match=says) as raised:
        discover_symmetries(a, "Oh", target=b)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"target": "spins"}, "nothing says how 'spins' turns"),
        ({"target": "spins", "target_channels": "spins=1e"}, "no label 'spins'; the structure has"),
        ({"target": "forces", "lag": 1}, "take no --lag"),
        ({"target": "forces", "cutoff": -1.0}, "expected a positive distance"),
        ({"target": "forces", "units": "group:run"}, "no 'run' for units"),
        ({}, "no target"),
    ],
)
def test_options_that_clouds_do_not_take_are_refused_in_one_line(tmp_path, options, says):
    clouds = cubes(np.random.default_rng(0), 12)
    data = write(tmp_path / "a.extxyz", clouds, forces=repelled(clouds))
    with pytest.raises(InputError, match=says) as raised:
        discover_symmetries(data, "Oh", **options)
    assert "\n" not in str(raised.value)


def test_a_cutoff_is_of_clouds_alone():
    x = np.random.default_rng(0).normal(size=(20, 3))
    with pytest.raises(InputError, match="cutoff 2"):
        discover_symmetries({"input": x, "target": x}, "Oh", cutoff=2.0)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("law", [lambda r: 3 * np.cos(9 * r), lambda r: (0.7 / r) ** 7 - (0.7 / r) ** 13])
def test_a_rich_law_of_stretched_clouds_is_not_called_broken(discover, law, seed):
    """Where the clouds themselves are longer along z, what the features miss of the law looks like breaking."""
    clouds = scattered(np.random.default_rng(seed), 160, 8) * [1, 1, 1.4]
    found = discover(clouds, "Oh", options={"target": "forces"}, forces=pushed(clouds, law))
    assert not broken(found)
