"""Labels of irreps: complete and consistent tables, published anchors, origins, and CrystOD where it is installed."""

import json
import os
from importlib.resources import files

import numpy as np
import pytest

from subduce.crystals import identify, irreps_at
from subduce.groups import point_group
from tests.golden.irrep_labels import oracle, rows_of

from .groups import standard_group

TABLES = json.loads(files("subduce.crystals").joinpath("labels.json").read_text())
POINTS = [(int(number), name) for number, table in TABLES.items() for name in table["points"]]


def named(number, k, shift=(0, 0, 0)):
    """Irreps by label at a wave vector of the standard conventional reciprocal basis, from another origin."""
    group = standard_group(number)
    basis = group.to_standard[0]
    group = group.shifted(np.linalg.solve(basis, np.array(shift, dtype=float)))
    return group, {irrep.label: irrep for irrep in irreps_at(group, basis.T @ np.array(k, dtype=float))}


@pytest.mark.parametrize(("number", "point"), POINTS)
def test_every_label_is_found_and_every_irrep_has_one(number, point):
    row = TABLES[str(number)]["points"][point]
    _, found = named(number, row["k"])
    assert "" not in found
    parts = [part for label in found for part in label.replace(point, " " + point).split()]
    for label, irrep in found.items():
        joined = label.count(point)
        assert joined == {"real": 1, "complex": 2, "quaternionic": 2}[irrep.type]
    assert sorted(set(parts)) == sorted(row["irreps"])
    dimensions = [np.atleast_1d(characters[0])[0] for characters in row["irreps"].values()]
    assert sum(d**2 for d in dimensions) == len(next(iter(found.values())).little)


def described_again(group, moved, shift, irrep):
    """The character of the operations of `group`, from an irrep of the same group described from another origin."""
    offsets = moved.translations - (group.translations + group.rotations @ shift - shift)
    matrices = irrep.matrices(np.arange(len(offsets)), -np.rint(offsets))
    return np.trace(matrices, axis1=1, axis2=2)


@pytest.mark.parametrize(("number", "point"), POINTS)
def test_labels_do_not_depend_on_a_general_origin(number, point):
    """A description from anywhere knows where the standard origin is: the same label is the same representation."""
    k, shift = TABLES[str(number)]["points"][point]["k"], np.array([0.137, 0.251, 0.083])
    group, here = named(number, k)
    moved, there = named(number, k, shift)
    assert list(here) == list(there)
    primitive = np.linalg.solve(group.to_standard[0], shift)
    for label, irrep in here.items():
        again = described_again(group, moved, primitive, there[label])
        assert np.allclose(again, np.trace(irrep.base, axis1=1, axis2=2), atol=1e-6)


# 1 A1, 2 A2, 3 E, 4 T1, 5 T2 at GM and R; 1 A1, 2 B1, 3 A2, 4 B2, 5 E at X and M (Stokes, Hatch and Campbell, ISOTROPY)
@pytest.mark.parametrize(
    ("point", "k", "names"),
    [
        ("GM", (0, 0, 0), {"1": "A1", "2": "A2", "3": "E", "4": "T1", "5": "T2"}),
        ("R", (0.5, 0.5, 0.5), {"1": "A1", "2": "A2", "3": "E", "4": "T1", "5": "T2"}),
        ("X", (0, 0.5, 0), {"1": "A1", "2": "B1", "3": "A2", "4": "B2", "5": "E"}),
        ("M", (0.5, 0.5, 0), {"1": "A1", "2": "B1", "3": "A2", "4": "B2", "5": "E"}),
    ],
)
def test_labels_of_the_perovskite_are_the_point_groups_irreps(point, k, names):
    group, found = named(221, k)
    for label, irrep in found.items():
        turned = group.cartesian[irrep.little]
        if point in ("X", "M"):  # the four-fold axis of the first arm brought to z
            cycle = np.roll(np.eye(3), {"X": 0, "M": 2}[point], axis=0)
            turned = cycle @ turned @ cycle.T
        expected = point_group("Oh" if point in ("GM", "R") else "D4h")
        places = [int(np.argmin(np.abs(expected.matrices - matrix).sum(axis=(1, 2)))) for matrix in turned]
        mulliken = names[label.removeprefix(point)[0]] + {"+": "g", "-": "u"}[label[-1]]
        assert np.allclose(expected.irrep(mulliken).character[places], irrep.small_characters)


def test_the_other_origin_of_the_perovskite_exchanges_labels():
    """Atoms A at the origin instead of B: the same modes, other labels (Howard and Stokes 1998, and table of both)."""
    pairs = {"R4+": "R5-", "M3+": "M2+", "X5+": "X5-", "M2+": "M3+", "R5+": "R4-"}
    points = {"R": (0.5, 0.5, 0.5), "M": (0.5, 0.5, 0), "X": (0, 0.5, 0)}
    for ours, theirs in pairs.items():
        group, here = named(221, points[ours[0]])
        moved, there = named(221, points[ours[0]], (0.5, 0.5, 0.5))
        assert np.allclose(moved.to_standard[1], 0)
        again = described_again(group, moved, np.full(3, 0.5), there[theirs])
        assert np.allclose(again, np.trace(here[ours].base, axis1=1, axis2=2))


def kept(group, supercell, directions):
    """Number of the space group that leaves vectors of some irreps alone."""
    cells = np.array(list(np.ndindex(*np.diag(supercell))))
    operations = np.repeat(np.arange(len(group.rotations)), len(cells))
    shifts = np.tile(cells, (len(group.rotations), 1))
    fixed = np.full(len(operations), True)
    for irrep, vector in directions:
        vector = np.array(vector, dtype=float)
        fixed &= np.abs(irrep.matrices(operations, shifts) @ vector - vector).max(axis=1) < 1e-9
    translations = (group.translations[operations] + shifts)[fixed] @ np.linalg.inv(supercell)
    rotations = np.rint(np.linalg.inv(supercell) @ group.rotations[operations][fixed] @ supercell).astype(int)
    return identify(np.asarray(supercell) @ group.lattice, rotations, translations)[0]


# Stokes and Hatch, Isotropy Subgroups of the 230 Crystallographic Space Groups; Howard and Stokes 1998
CASES = [
    ([("GM2+", (1,))], 200), ([("GM1-", (1,))], 207), ([("GM2-", (1,))], 215),
    ([("GM3+", (1, 0))], 123), ([("GM3+", (1, 0.3))], 47), ([("GM5+", (1, 1, 1))], 166), ([("GM5+", (0, 0, 1))], 65),
    ([("GM4+", (0, 0, 1))], 83), ([("GM4+", (1, 1, 1))], 148), ([("GM5-", (0, 0, 1))], 115),
    ([("GM4-", (0, 0, 1))], 99), ([("GM4-", (0, 1, 1))], 38), ([("GM4-", (1, 1, 1))], 160),
    ([("M2+", (0, 0, 1))], 127), ([("M3+", (0, 0, 1))], 127), ([("R3+", (0, 1))], 140), ([("R3+", (1, 0))], 139),
    ([("R1+", (1,))], 225), ([("X3-", (0, 0, 1))], 123), ([("X3-", (1, 1, 1))], 221),
    ([("M3+", (1, 0.7, 0.4))], 71), ([("M3+", (1, 1, 1))], 204), ([("R4+", (0, 0, 1)), ("M3+", (1, 0.7, 0))], 59),
    ([("R4+", (0, 0, 1)), ("M3+", (1, 1, 0))], 137), ([("R4+", (0, 1, 0.7)), ("M3+", (1, 0, 0))], 11),
    ([("R4+", (0, 1, 1)), ("M3+", (1, 0, 0))], 62), ([("R4+", (1, 0.7, 0.4))], 2), ([("R4+", (1, 0.7, 0.7))], 15),
    ([("R4+", (1, 1, 1))], 167), ([("M3+", (0, 1, 1))], 139), ([("R4+", (0, 0, 1)), ("M3+", (0, 1, 0))], 63),
    ([("R4+", (0, 1, 0.7))], 12), ([("R4+", (0, 1, 1))], 74), ([("R4+", (0, 0, 1))], 140),
    ([("R4+", (0, 0, 1)), ("GM4-", (0, 0, 1))], 108), ([("R4+", (0, 0, 1)), ("GM4-", (1, 0, 0))], 42),
    ([("R4+", (0, 0, 1)), ("GM4-", (1, 1, 0))], 46), ([("R4+", (1, 1, 1)), ("GM4-", (1, 1, 1))], 161),
    ([("R4+", (0, 1, 1)), ("GM4-", (0, 1, 1))], 46), ([("R4+", (0, 1, 1)), ("GM4-", (0, 1, -1))], 44),
    ([("R4+", (0, 1, 1)), ("GM4-", (1, 0, 0))], 46),
    ([("R4+", (0, 1, 1)), ("M3+", (1, 0, 0)), ("GM4-", (1, 0, 0))], 33),
    ([("R4+", (0, 1, 1)), ("M3+", (1, 0, 0)), ("GM4-", (0, 1, 1))], 26),
    ([("R4+", (0, 1, 1)), ("M3+", (1, 0, 0)), ("GM4-", (0, 1, -1))], 31),
    ([("R4+", (0, 1, 1)), ("M3+", (1, 0, 0)), ("R1+", (1,))], 14),
]  # fmt: skip


@pytest.mark.parametrize(("directions", "number"), CASES, ids=[f"{number}-{case}" for case, number in CASES])
def test_isotropy_subgroups_are_the_published_ones(directions, number):
    ks = {"G": (0, 0, 0), "R": (0.5, 0.5, 0.5), "M": (0.5, 0.5, 0), "X": (0, 0.5, 0)}
    group = standard_group(221)
    vectors = [(named(221, ks[label[0]])[1][label], vector) for label, vector in directions]
    assert kept(group, np.diag([2, 2, 2]), vectors) == number


# Published transitions: number, point, label, direction (zeros after it), supercell, subgroup
PUBLISHED = [
    (194, (1 / 3, 1 / 3, 0), "K3", (0, 1), (3, 3, 1), 185),  # YMnO3: Fennie and Rabe 2005; Artyukhin et al. 2014
    (194, (1 / 3, 1 / 3, 0), "K3", (1, 0), (3, 3, 1), 165),
    (194, (1 / 3, 1 / 3, 0), "K3", (1, 0.3), (3, 3, 1), 158),
    (194, (0, 0, 0), "GM2-", (1,), (1, 1, 1), 186),
    (139, (0.5, 0.5, 0), "X2+", (0, 1), (2, 2, 2), 64),  # Ca3Mn2O7: Harris 2011; Benedek and Fennie 2011
    (139, (0.5, 0.5, 0), "X2+", (1, 1), (2, 2, 2), 127),
    (139, (0.5, 0.5, 0), "X3-", (0, 1), (2, 2, 2), 63),
    (139, (0.5, 0.5, 0), "X3-", (1, 1), (2, 2, 2), 136),
    (225, (0, 0, 0), "GM4+", (0, 0, 1), (1, 1, 1), 87),  # ordered double perovskites: Howard, Kennedy, Woodward 2003
    (225, (0, 0, 0), "GM4+", (0, 1, 1), (1, 1, 1), 12),
    (225, (0, 0, 0), "GM4+", (1, 1, 1), (1, 1, 1), 148),
    (225, (0, 1, 0), "X3+", (0, 0, 1), (2, 2, 2), 128),
    (225, (0, 1, 0), "X3+", (0, 1, 1), (2, 2, 2), 134),
    (225, (0, 1, 0), "X3+", (1, 1, 1), (2, 2, 2), 201),
    (225, (0, 1, 0), "X2-", (0, 0, 1), (2, 2, 2), 137),  # ZrO2: Negita 1989
    (227, (0, 0, 0), "GM3-", (1, 0), (1, 1, 1), 98),  # Cd2Re2O7: Sergienko et al. 2004
    (227, (0, 0, 0), "GM3-", (0, 1), (1, 1, 1), 119),
    (227, (0, 0, 0), "GM2-", (1,), (1, 1, 1), 216),  # breathing pyrochlore
    (227, (0, 0, 0), "GM3+", (1, 0), (1, 1, 1), 141),  # Jahn-Teller spinels
    (216, (0, 0, 0), "GM4", (1, 1, 1), (1, 1, 1), 160),  # GaV4S8
    (216, (0, 0, 0), "GM4", (0, 0, 1), (1, 1, 1), 44),
    (229, (0.5, 0.5, 0), "N4-", (1,), (2, 2, 2), 63),  # bcc to hcp: Burgers 1934
    (136, (0, 0, 0), "GM2+", (1,), (1, 1, 1), 58),  # stishovite to CaCl2 type
    (136, (0, 0.5, 0.5), "R1-", (1, 0), (2, 2, 2), 14),  # VO2, M1 and M2: Brews 1970
    (136, (0, 0.5, 0.5), "R1-", (1, 1), (2, 2, 2), 12),
    (167, (0, 0, 0), "GM2-", (1,), (1, 1, 1), 161),  # LiNbO3
    (166, (0, 0, 0), "GM2-", (1,), (1, 1, 1), 160),
]


@pytest.mark.parametrize("case", PUBLISHED, ids=str)
def test_published_transitions_have_their_published_subgroups(case):
    number, k, label, direction, sizes, expected = case
    group, found = named(number, k)
    vector = np.array([*direction, *[0] * (found[label].dim - len(direction))])
    assert kept(group, np.diag(sizes), [(found[label], vector)]) == expected


def test_coupled_order_of_published_crystals():
    group, found = named(139, (0.5, 0.5, 0))  # hybrid improper ferroelectric, A2_1am
    assert kept(group, np.diag([2, 2, 2]), [(found["X2+"], (0, 1)), (found["X3-"], (0, 1))]) == 36
    group, waves = named(191, (0.5, 0, 0.5))  # charge order of AV3Sb5: Christensen et al. 2021
    flat = named(191, (0.5, 0, 0))[1]
    assert kept(group, np.diag([2, 2, 2]), [(flat["M1+"], (1, 0, 0)), (waves["L2-"], (0, 1, 1))]) == 69
    assert kept(group, np.diag([2, 2, 2]), [(waves["L2-"], (1, 1, 1))]) == 191


@pytest.mark.parametrize(
    ("numbers", "labels"),
    [
        ((221, 223, 225, 227, 229, 230), {"GM4-"}),
        ((123, 127, 129, 136, 139, 140, 141), {"GM3-", "GM5-"}),
        ((191, 193, 194), {"GM2-", "GM6-"}),
        ((164, 166, 167), {"GM2-", "GM3-"}),
        ((215, 216), {"GM4"}),
    ],
)
def test_polar_vectors_at_the_zone_centre(numbers, labels):
    for number in numbers:
        group, found = named(number, (0, 0, 0))
        vector = np.trace(group.cartesian, axis1=1, axis2=2)
        times = {label: np.trace(irrep.base, axis1=1, axis2=2) @ vector for label, irrep in found.items()}
        assert {label for label, count in times.items() if count > 1} == labels


def test_points_of_other_groups_and_characters_off_the_table_have_no_label():
    group = standard_group(14)
    assert {irrep.label for irrep in irreps_at(group, np.zeros(3))} == {""}
    group = standard_group(221)
    assert {irrep.label for irrep in irreps_at(group, np.array([0, 0, 0.25]))} == {""}


@pytest.mark.skipif("SUBDUCE_CRYSTOD" not in os.environ, reason="SUBDUCE_CRYSTOD names a Python that has CrystOD")
def test_the_tables_are_those_of_crystod():
    numbers = tuple(map(int, TABLES))
    answers = oracle(numbers)
    for number in numbers:
        assert json.loads(json.dumps(rows_of(number, answers[str(number)]))) == TABLES[str(number)]
