"""Space groups in their standard setting, ideal crystals, and what is refused."""

import ase
import numpy as np
import pytest
import spglib
from ase.build import bulk
from ase.spacegroup import crystal as from_table

from subduce.config import InputError
from subduce.crystals import crystal, identify, scan_tolerances
from tests.unit.crystals.structures import perovskite, presented

RUTILE = from_table("TiO", [(0, 0, 0), (0.305, 0.305, 0)], spacegroup=136, cellpar=[4.6, 4.6, 2.96, 90, 90, 90])
TELLURIDE = from_table(
    "BiTeSe", [(0, 0, 0.4), (0, 0, 0), (0, 0, 0.21)], spacegroup=166, cellpar=[4.4, 4.4, 30, 90, 90, 120]
)


def assert_exact(found):
    """The group is closed and orthogonal, and maps the sites onto each other."""
    group, (target, cells) = found.group, found.permutations
    images = np.einsum("gij,sj->gsi", group.rotations, found.positions) + group.translations[:, None]
    assert np.abs(images - found.positions[target] - cells).max() < 1e-10
    assert (found.numbers[target] == found.numbers).all()
    turns = group.cartesian
    assert np.abs(turns @ turns.swapaxes(1, 2) - np.eye(3)).max() < 1e-10
    assert np.linalg.det(group.lattice) > 0
    assert (group.rotations[0] == np.eye(3)).all()
    assert not group.translations[0].any()
    keys = {rotation.tobytes(): place for place, rotation in enumerate(group.rotations)}
    for rotation, shift in zip(group.rotations, group.translations, strict=True):
        for other, moved in zip(group.rotations, group.translations, strict=True):
            product = keys[(rotation @ other).tobytes()]
            away = rotation @ moved + shift - group.translations[product]
            assert np.abs(away - np.rint(away)).max() < 1e-9
    assert identify(group.lattice, group.rotations, group.translations) == (group.number, group.symbol)


def standard_operations(group):
    """The operations in the standard setting, as a set of rounded rows modulo the primitive lattice."""
    basis, origin = group.to_standard
    inverse = np.linalg.inv(basis)
    rotations = np.rint(basis @ group.rotations @ inverse).astype(int)
    shifts = group.translations @ basis.T + origin - rotations @ origin
    return rotations, shifts @ inverse.T


@pytest.mark.parametrize(
    ("number", "symbol", "size", "atoms"),
    [
        (225, "Fm-3m", 2, bulk("NaCl", "rocksalt", 5.6)),
        (229, "Im-3m", 1, bulk("Fe", cubic=True)),
        (227, "Fd-3m", 2, bulk("Si", cubic=True)),
        (216, "F-43m", 2, bulk("ZnS", "zincblende", 5.4)),
        (194, "P6_3/mmc", 2, bulk("Mg")),
        (221, "Pm-3m", 5, perovskite()),
        (136, "P4_2/mnm", 6, RUTILE),
        (166, "R-3m", 5, TELLURIDE),
    ],
)
def test_ideal_crystals_have_exact_groups_in_any_presentation(number, symbol, size, atoms):
    generator = np.random.default_rng(number)
    for _ in range(5):
        found = crystal(presented(atoms, generator, noise=0.002), tolerance=0.05)
        assert (found.group.number, found.group.symbol, len(found.numbers)) == (number, symbol, size)
        assert_exact(found)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of spglib, for the calls made here
@pytest.mark.parametrize("number", [14, 62, 70, 88, 129, 141, 148, 161, 167, 194, 205, 221, 227, 230])
def test_the_standard_setting_is_that_of_the_tables(number):
    """Also from an origin that the tables do not have, and after a shift back."""
    kinds = {hall: spglib.get_spacegroup_type(hall) for hall in range(1, 531)}
    halls = [hall for hall in kinds if kinds[hall].number == number]
    hall = next((hall for hall in halls if kinds[hall].choice == "2"), halls[0])
    table = spglib.get_symmetry_from_database(hall)
    angle = 120 if 143 <= number <= 194 else 90
    lengths = [12, 12, 12] if number > 194 else [12, 12, 9] if number > 74 else [7, 8, 9]
    cell = ase.cell.Cell.fromcellpar([*lengths, 90, 98 if number == 14 else 90, angle])
    places = [(0, 0, 0), (0.13, 0.21, 0.34)]
    orbits = [np.einsum("gij,j->gi", table["rotations"], place) + table["translations"] for place in places]
    unique = [np.unique(np.round(orbit % 1, 6) % 1, axis=0) for orbit in orbits]
    numbers = np.repeat([22, 8], [len(orbit) for orbit in unique])
    atoms = ase.Atoms(numbers=numbers, scaled_positions=np.concatenate(unique), cell=cell, pbc=True)
    group = crystal(atoms).group
    assert (group.number, kinds[hall].international_short) == (number, group.symbol)
    assert not group.to_standard[1].any()
    moved = group.shifted([0.11, 0.23, 0.37])
    assert np.abs(moved.to_standard[1]).max() > 0
    back = moved.shifted([-0.11, -0.23, -0.37])
    expected = {}
    for rotation, shift in zip(table["rotations"], table["translations"], strict=True):
        expected.setdefault(rotation.astype(int).tobytes(), shift @ np.linalg.inv(group.to_standard[0]).T)
    for one in (group, moved, back):
        rotations, shifts = standard_operations(one)
        assert {rotation.tobytes() for rotation in rotations} == expected.keys()
        away = shifts - [expected[rotation.tobytes()] for rotation in rotations]
        assert np.abs(away - np.rint(away)).max() < 1e-6


def test_a_structure_keeps_its_own_origin_where_the_tables_allow_it():
    """Either cation of a perovskite may be at the origin; a shift by half the diagonal exchanges them."""
    for shift, letters in ((0.0, "baddd"), (0.5, "abccc")):
        found = crystal(perovskite(shift=shift))
        assert "".join(found.wyckoffs) == letters
        assert not found.group.to_standard[1].any()
        np.testing.assert_allclose(found.group.lattice, 4 * np.eye(3), atol=1e-9)
    group = crystal(perovskite()).group
    assert not group.shifted([0.5, 0.5, 0.5]).to_standard[1].any()
    np.testing.assert_allclose(group.shifted([0.5, 0, 0]).to_standard[1], [0.5, 0, 0])
    assert found.site_symmetries[0] == "m-3m"
    assert found.equivalent.tolist() == [0, 1, 2, 2, 2]


def test_positions_and_lattice_are_averaged():
    atoms = perovskite().repeat(2)
    atoms.positions += 0.003 * np.random.default_rng(1).standard_normal(atoms.positions.shape)
    atoms.set_cell(atoms.cell.array * [1, 1.0005, 0.9995], scale_atoms=True)
    found = crystal(atoms, tolerance=0.06)
    assert_exact(found)
    np.testing.assert_allclose(found.group.lattice, 4 * np.eye(3), atol=1e-6)
    assert len(found.atoms) == 5


def test_the_scan_shows_where_the_group_changes():
    atoms = perovskite().repeat(2)
    atoms.positions[1] += [0, 0, 0.01]
    scan = scan_tolerances(atoms)
    assert scan.rows[0][1:] == (123, "P4/mmm") or scan.rows[0][1:] == (99, "P4mm")
    assert scan.rows[-1][1:] == (221, "Pm-3m")
    low, high = scan.stable(1e-3)
    assert low == scan.rows[0][0]
    assert 0.004 < high < 0.02
    assert scan.stable(0.1) == (pytest.approx(scan.rows[-1][0], rel=100), scan.rows[-1][0])
    assert scan.sites[0] == 40
    assert scan.sites[-1] == 5


def test_operations_of_a_centred_cell_are_identified():
    cubic = np.array(list(np.ndindex(2, 2, 2))) / 2
    group = crystal(perovskite()).group
    rotations = np.repeat(group.rotations, 8, axis=0)
    shifts = (np.repeat(group.translations, 8, axis=0) / 2 + np.tile(cubic, (48, 1))) % 1
    assert identify(-2 * group.lattice, rotations, shifts) == (221, "Pm-3m")
    with pytest.raises(ValueError, match="no space group"):
        identify(np.eye(3), np.array([np.eye(3), np.eye(3)[[1, 2, 0]]], dtype=int), np.zeros((2, 3)))


def broken(**changes):
    atoms = perovskite()
    for name, value in changes.items():
        setattr(atoms, name, value)
    return atoms


@pytest.mark.parametrize(
    ("atoms", "message"),
    [
        (ase.Atoms(), "no atoms"),
        (ase.Atoms("H2", positions=[[0, 0, 0], [0, 0, 0.7]]), "three directions"),
        (broken(pbc=[True, True, False]), "three directions"),
        (broken(cell=[[4, 0, 0], [0, 4, 0], [4, 4, 0]]), "three directions"),
        (broken(positions=np.full((5, 3), np.nan)), "finite"),
        (broken(positions=np.zeros((5, 3))), "overlap"),
        (broken(info={"occupancy": {"0": {"Ba": 0.5, "Sr": 0.5}}}), "partial occupancies .Ba 0.5, Sr 0.5"),
    ],
)
def test_unusable_structures_are_refused_in_one_line(atoms, message):
    for look in (crystal, scan_tolerances):
        with pytest.raises(InputError, match=message) as caught:
            look(atoms)
        assert "\n" not in str(caught.value)
