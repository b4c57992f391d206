"""Children found on their parents whatever the file presents them in (G1, G12, G13), and what is refused."""

from pathlib import Path

import ase
import ase.io
import numpy as np
import pytest
from ase.build import bulk

from subduce.config import InputError
from subduce.crystals import crystal, match
from subduce.crystals._space_group import shortest
from tests.unit.crystals.structures import GLAZER, glazer, norms, perovskite, presented, tilts

PARENT = crystal(perovskite())
STRUCTURES = Path(__file__).parents[2] / "data" / "perovskites.extxyz"

PAIRS = [
    ("BaTiO3_cubic", "BaTiO3_tetragonal", 1),
    ("BaTiO3_cubic", "BaTiO3_orthorhombic", 1),
    ("BaTiO3_cubic", "BaTiO3_rhombohedral", 1),
    ("SrTiO3_cubic", "SrTiO3_I4mcm", 2),
    ("CaTiO3_cubic", "CaTiO3_Pnma", 4),
    ("LaAlO3_cubic", "LaAlO3_R-3c", 2),
    ("NaNbO3_cubic", "NaNbO3_P4mbm", 2),
    ("NaNbO3_cubic", "NaNbO3_R3c", 2),
    ("YMnO3_P63mmc", "YMnO3_P63cm", 3),
]


def assert_maps(found, child):
    """The sites, moved and strained as the match says, are the child's atoms, up to one shift."""
    lattice, size = found.parent.group.lattice, round(np.linalg.det(found.supercell))
    assert size >= 1
    assert len(found.sites) == size * len(found.parent.numbers)
    assert (np.bincount(found.sites) == size).all()
    deformation = found.rotation @ (np.eye(3) + found.strain)
    np.testing.assert_allclose(found.rotation @ found.rotation.T, np.eye(3), atol=1e-12)
    np.testing.assert_allclose(found.strain, found.strain.T, atol=1e-12)
    ideal = (found.parent.positions[found.sites] + found.cells) @ lattice
    made = (ideal + found.displacements) @ deformation.T - child.positions[found.order]
    away = shortest(made - made[0], found.supercell @ lattice @ deformation.T)
    assert np.abs(away).max() < 1e-8
    assert (found.numbers == child.numbers[found.order]).all()
    np.testing.assert_allclose(found.displacements.sum(axis=0), 0, atol=1e-10)
    inside = found.cells @ np.linalg.inv(found.supercell)
    assert (inside > -1e-9).all()
    assert (inside < 1 - 1e-9).all()


def presentations(parent, child, count, noise, tolerance, seed, cells=2):
    generator = np.random.default_rng(seed)
    expected = match(parent, child)
    for _ in range(count):
        shown = presented(child, generator, noise=noise, cells=cells)
        found = match(parent, shown, tolerance=tolerance)
        assert len(found.sites) == len(expected.sites)
        if not noise:
            assert_maps(found, shown)
        away = np.abs(norms(found) - norms(expected))
        assert np.sqrt((away**2).mean()) < (1e-2 if noise else 1e-8)
        amplitudes = [np.linalg.norm(one.displacements) for one in (found, expected)]
        # the noise adds its own square, 3 × 0.003² for each atom
        assert abs(amplitudes[0] - amplitudes[1]) < (2e-2 if noise else 1e-8)
        np.testing.assert_allclose(np.linalg.eigvalsh(found.strain), np.linalg.eigvalsh(expected.strain), atol=1e-9)


@pytest.mark.parametrize("system", GLAZER)
def test_tilts_are_found_with_their_amplitude_in_every_presentation(system):
    child, (number, units) = glazer(system), GLAZER[system]
    assert crystal(child).group.number == number
    found = match(PARENT, child)
    assert_maps(found, child)
    assert len(found.sites) == 5 * units
    expected = np.sqrt(2 * units * sum((one**2).sum() for one in tilts(system)))
    assert np.linalg.norm(found.displacements) == pytest.approx(expected, abs=1e-9)
    presentations(PARENT, child, 6, 0.0, None, seed=1)
    presentations(PARENT, child, 6, 0.003, 0.03, seed=2)


@pytest.mark.slow
@pytest.mark.parametrize("system", GLAZER)
def test_tilts_are_found_in_a_hundred_presentations(system):
    presentations(PARENT, glazer(system), 100, 0.0, None, seed=3, cells=4)
    presentations(PARENT, glazer(system), 100, 0.003, 0.03, seed=4, cells=4)


@pytest.mark.parametrize(("parent", "child", "size"), PAIRS)
def test_published_structures_lie_on_their_parents(parent, child, size):
    known = {atoms.info["name"]: atoms for atoms in ase.io.read(STRUCTURES, index=":")}
    atoms = known[child]
    ideal = crystal(known[parent])
    found = match(ideal, atoms)
    assert_maps(found, atoms)
    assert round(np.linalg.det(found.supercell)) == size
    assert 0.02 < found.largest < 0.6
    assert np.abs(found.strain).max() < 0.03
    presentations(ideal, atoms, 4, 0.0, None, seed=5)
    presentations(ideal, atoms, 4, 0.003, 0.03, seed=6)


def test_a_child_in_the_parents_frame_stays_in_it():
    child = perovskite()
    child.positions[1] += [0, 0.1, 0]
    child.set_cell(child.cell.array * [1, 1.01, 1], scale_atoms=True)
    found = match(PARENT, child)
    np.testing.assert_allclose(found.rotation, np.eye(3), atol=1e-12)
    np.testing.assert_allclose(found.strain, np.diag([0, 0.01, 0]), atol=1e-12)
    moved = found.displacements[found.sites == 1][0]
    np.testing.assert_allclose(moved, [0, 0.08, 0], atol=1e-9)  # the mean over five atoms is taken off
    assert found.largest == pytest.approx(0.08)
    assert found.rms == pytest.approx(0.1 * np.sqrt(0.2 * 0.8))


def test_translations_are_used_only_where_they_hold():
    """A frame of a simulation keeps its cell; the average over translations needs a tolerance that covers the noise."""
    child = glazer("a+b-b-")
    child.positions += 0.01 * np.random.default_rng(0).standard_normal(child.positions.shape)
    whole = match(PARENT, child)
    assert len(whole.sites) == 40
    assert_maps(whole, child)
    reduced = match(PARENT, child, tolerance=0.1)
    assert len(reduced.sites) == 20
    exact = match(PARENT, glazer("a+b-b-"))
    assert np.linalg.norm(norms(reduced) - norms(exact)) < 0.06
    small = perovskite().repeat(2)
    small.positions[1] += [0, 0, 0.02]
    assert len(match(PARENT, small).sites) == 40
    assert len(match(PARENT, small, tolerance=0.05).sites) == 5


def quartz():
    places = [(0.47, 0, 1 / 3), (0.4135, 0.2669, 0.4525)]
    return ase.spacegroup.crystal("SiO", places, spacegroup=152, cellpar=[4.91, 4.91, 5.4, 90, 90, 120])


@pytest.mark.parametrize("parent", ["fcc", "bcc", "hcp", "rocksalt", "diamond", "quartz"])
def test_random_children_of_other_parents_are_found(parent):
    """No map is worse than the one that made the child; a chiral parent takes a mirrored child as well."""
    made = {
        "fcc": bulk("Cu"), "bcc": bulk("W"), "hcp": bulk("Mg"), "rocksalt": bulk("NaCl", "rocksalt", 5.6),
        "diamond": bulk("Si"), "quartz": quartz(),
    }  # fmt: skip
    ideal, generator = crystal(made[parent]), np.random.default_rng(7)
    for size in (1, 2, 3, 4):
        while True:
            cell = generator.integers(-2, 3, (3, 3))
            if round(np.linalg.det(cell)) == size:
                break
        child = ase.build.make_supercell(ideal.atoms, cell)
        moves = 0.1 * generator.standard_normal(child.positions.shape)
        child.positions += moves - moves.mean(axis=0)
        strain = 0.01 * generator.standard_normal((3, 3))
        child.set_cell(child.cell.array @ (np.eye(3) + strain + strain.T), scale_atoms=True)
        shown = presented(child, generator, cells=1)
        found = match(ideal, shown, tolerance=1e-5)
        assert_maps(found, shown)
        assert found.rms == pytest.approx(np.sqrt(((moves - moves.mean(axis=0)) ** 2).sum(axis=1).mean()), abs=1e-9)
        expected = np.sort(np.linalg.eigvalsh(strain + strain.T))
        np.testing.assert_allclose(np.linalg.eigvalsh(found.strain), expected, atol=1e-9)


def test_an_order_of_species_is_assigned():
    double = perovskite().repeat(2)
    checker = np.rint(double.positions / 4).sum(axis=1) % 2 == 0
    double.numbers[(double.numbers == 22) & checker] = 40
    found = match(PARENT, presented(double, np.random.default_rng(0)))
    assert abs(round(np.linalg.det(found.supercell))) == 2
    assert sorted(found.numbers[found.sites == 1].tolist()) == [22, 40]
    assert found.largest < 1e-9
    layered = bulk("Cu", cubic=True, a=3.8)
    layered.numbers = [29, 79, 79, 29]
    assert sorted(match(crystal(bulk("Cu", a=3.8)), layered).numbers.tolist()) == [29, 79]
    both = double.copy()
    both.numbers[np.flatnonzero(both.numbers == 56)] = [38, 20] * 4
    found = match(PARENT, both)  # Zr, Ca or Sr could replace one Ti in two, but only Zr is where Ti is
    assert set(found.numbers[found.sites == 0].tolist()) == {20, 38}
    assert set(found.numbers[found.sites == 1].tolist()) == {22, 40}
    assert found.largest < 1e-9


@pytest.mark.parametrize("seed", range(5))
def test_moments_turn_as_axial_vectors(seed):
    """Of a G-type antiferromagnet whose cation moves along its moment, in frames of either hand."""
    child = perovskite().repeat(2)
    metals = np.flatnonzero(child.numbers == 22)
    signs = (-1.0) ** np.rint(child.positions[metals] / 4).sum(axis=1)
    moments = np.zeros((40, 3))
    moments[metals] = np.outer(signs, [0.3, 0, 2.0])
    child.positions[metals] += [0, 0, 0.1]
    child.set_initial_magnetic_moments(moments)
    plain = match(PARENT, child)
    np.testing.assert_allclose(np.abs(plain.moments[plain.sites == 1]), [[0.3, 0, 2.0]] * 2, atol=1e-9)
    found = match(PARENT, presented(child, np.random.default_rng(seed)))
    assert len(found.sites) == 10
    here = found.moments[found.sites == 1]
    np.testing.assert_allclose(here[0], -here[1], atol=1e-9)
    np.testing.assert_allclose(np.sort(np.abs(here[0])), [0, 0.3, 2.0], atol=1e-9)
    along = found.displacements[found.sites == 1][0]
    assert np.abs(along).argmax() == np.abs(here[0]).argmax()
    assert not found.moments[found.sites != 1].any()
    child.set_array("initial_magmoms", None)
    child.set_initial_magnetic_moments(moments[:, 2])
    np.testing.assert_allclose(np.abs(match(PARENT, child).moments[2:4]), [[0, 0, 2.0]] * 2, atol=1e-9)


def test_moments_keep_their_hand_beside_displacements():
    """In a chiral parent no operation changes the sign of displacement · moment, and no frame of the file may."""
    ideal = crystal(quartz())
    child = ideal.atoms
    moments = np.zeros((9, 3))
    moments[0] = [0.5, 0.7, 1.1]
    child.positions[0] += [0.05, 0.04, 0.03]
    child.set_initial_magnetic_moments(moments)
    products = []
    for seed in range(8):
        found = match(ideal, presented(child, np.random.default_rng(seed)))
        products.append((found.displacements * found.moments).sum())
    np.testing.assert_allclose(products, products[0], atol=1e-9)
    assert products[0] == pytest.approx(8 / 9 * (0.025 + 0.028 + 0.033), abs=1e-9)


def changed(scale=(1, 1, 1), *, numbers=None, remove=None, move=None):
    atoms = perovskite().repeat((2, 1, 1))
    if numbers is not None:
        atoms.numbers[list(numbers)] = list(numbers.values())
    if move is not None:
        atoms.positions[2] += move
    if remove is not None:
        del atoms[remove]
    atoms.set_cell(atoms.cell.array * scale, scale_atoms=True)
    return atoms


@pytest.mark.parametrize(
    ("child", "message"),
    [
        (changed(scale=(1, 1, 1.17)), r"needs 0\.170.*max_strain=0\.18"),
        (changed(scale=(1, 1, 2)), "not related"),
        (changed(numbers={0: 38, 5: 38}), "not that of the parent, BaO3Ti"),
        (changed(numbers={0: 40, 1: 40}), "nor an order of several species on one of its sites"),
        (changed(remove=3), "9 atoms, no multiple of the 5"),
        (changed(move=[0.9, 1.4, 0.9]), r"moves O \(atom 2\) by 1\.\d+ Å, more than 1\.5 Å"),
    ],
)
def test_structures_that_are_not_related_say_how_close_they_came(child, message):
    with pytest.raises(InputError, match=message) as caught:
        match(PARENT, child)
    assert "\n" not in str(caught.value)


def test_limits_that_mean_nothing_are_refused():
    for limits in ({"tolerance": 0.0}, {"max_strain": 1.0}, {"max_displacement": -1.0}):
        with pytest.raises(ValueError, match="limits of a match"):
            match(PARENT, perovskite(), **limits)


def test_what_the_message_allows_then_holds():
    with pytest.raises(InputError, match="max_strain"):
        match(PARENT, changed(scale=(1, 1, 1.17)))
    assert match(PARENT, changed(scale=(1, 1, 1.17)), max_strain=0.18).strain.max() == pytest.approx(0.17)
    assert match(PARENT, changed(move=[0.9, 1.4, 0.9]), max_displacement=1.8).largest > 1.5


def test_a_child_of_more_symmetry_than_its_parent_is_told_to_be_the_parent():
    with pytest.raises(InputError, match=r"5 atoms, no multiple of the 20 .*; exchange the two"):
        match(crystal(glazer("a+b-b-")), perovskite())


def nearly_tetragonal(b):
    """A perovskite whose second axis is a little longer, so that its group relates no two axes."""
    atoms = perovskite()
    atoms.set_cell([4.0, b, 4.2], scale_atoms=True)
    return crystal(atoms, tolerance=1e-5)


def test_two_maps_that_fit_equally_well_are_refused():
    """The child moves along an axis of which it cannot be said whether it is the parent's first or second."""
    child = perovskite()
    child.set_cell([4.005, 4.005, 4.2], scale_atoms=True)
    child.positions[1] += [0.1, 0, 0]
    with pytest.raises(InputError, match=r"does not relate fit equally well .* would tell them apart"):
        match(nearly_tetragonal(4.01), child)
    child.set_cell([4.0, 4.01, 4.2], scale_atoms=True)
    found = match(nearly_tetragonal(4.01), child)
    assert np.linalg.norm(found.displacements, axis=0).argmax() == 0
    with pytest.raises(InputError, match=r"a tolerance below 4\.\de-03 Å would tell them apart") as caught:
        match(nearly_tetragonal(4.01), child, tolerance=0.02)
    assert "\n" not in str(caught.value)
    assert len(match(nearly_tetragonal(4.01), child, tolerance=3e-3).sites) == 5


def test_maps_that_only_the_child_relates_are_one():
    """A cubic child of a parent with three different axes lies on it in six ways that are the same."""
    found = match(nearly_tetragonal(4.1), perovskite(4.1))
    assert found.largest < 1e-9
    np.testing.assert_allclose(np.sort(np.diag(found.strain)), [4.1 / 4.2 - 1, 0, 0.025], atol=1e-9)
