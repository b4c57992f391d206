"""Labels of irreps: complete and consistent tables, published anchors, origins, and CrystOD where it is installed."""

import json
import os
from importlib.resources import files

import numpy as np
import pytest

from subduce.crystals import identify, irreps_at
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


@pytest.mark.parametrize(("number", "point"), POINTS)
def test_labels_do_not_depend_on_where_the_origin_is(number, point):
    """A description from a general origin knows where the standard one is: same operations, same labels."""
    k = TABLES[str(number)]["points"][point]["k"]
    here, there = named(number, k)[1], named(number, k, (0.137, 0.251, 0.083))[1]
    assert list(here) == list(there)
    for label, irrep in here.items():
        moved = np.abs(np.trace(there[label].base, axis1=1, axis2=2))
        assert np.allclose(moved[0], irrep.dim)
        assert irrep.type == there[label].type


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
    quadratic = {"B1": (1, 1), "B2": (0, 1)}  # x² − y² and xy about the axis of the arm
    for label, irrep in found.items():
        name = names[label.removeprefix(point)[0]]
        turned = group.cartesian[irrep.little]
        parity = np.linalg.det(turned)
        inversion = int(np.flatnonzero(np.isclose(np.trace(turned, axis1=1, axis2=2), -3))[0])
        assert np.sign(irrep.small_characters[inversion].real) == (1 if label.endswith("+") else -1)
        proper = parity > 0
        characters = irrep.small_characters[proper].real
        turned = turned[proper]
        if name == "T1":
            assert np.allclose(characters, np.trace(turned, axis1=1, axis2=2))
        elif name == "A1":
            assert np.allclose(characters, 1)
        elif point in "GMR" and point != "M" and name in ("A2", "T2"):
            cubic = (
                characters
                if name == "A2"
                else characters / np.where(np.abs(traces := np.trace(turned, axis1=1, axis2=2)) > 0.5, traces, 1)
            )
            diagonal = np.abs(np.diagonal(turned, axis1=1, axis2=2)).sum(axis=1)
            even = np.isclose(diagonal, 3) | np.isclose(diagonal, 0)  # C2 along axes and C3: even permutations of axes
            keep = np.abs(traces) > 0.5 if name == "T2" else np.full(len(even), True)
            assert np.allclose(cubic[keep], np.where(even, 1, -1)[keep])
        elif name in ("A2", "B1", "B2"):
            mark = np.abs(irrep.k) < 0.1 if point == "M" else np.abs(irrep.k) > 0.1
            axis = int(np.flatnonzero(mark)[0])
            a, b = (i for i in range(3) if i != axis)
            if name == "A2":
                expected = turned[:, axis, axis]  # a rotation about the axis
            else:
                form = np.zeros((3, 3))
                if quadratic[name] == (1, 1):
                    form[a, a], form[b, b] = 1, -1
                else:
                    form[a, b] = form[b, a] = 1
                expected = np.einsum("gij,jk,glk,il->g", turned, form, turned, form) / (form**2).sum()
            assert np.allclose(characters, expected)


def test_the_other_origin_of_the_perovskite_exchanges_labels():
    """Atoms A at the origin instead of B: the same modes, other labels (Howard and Stokes 1998, and table of both)."""
    pairs = {"R4+": "R5-", "M3+": "M2+", "X5+": "X5-", "M2+": "M3+", "R5+": "R4-"}
    points = {"R": (0.5, 0.5, 0.5), "M": (0.5, 0.5, 0), "X": (0, 0.5, 0)}
    for ours, theirs in pairs.items():
        group, here = named(221, points[ours[0]])
        moved, there = named(221, points[ours[0]], (0.5, 0.5, 0.5))
        assert np.allclose(moved.to_standard[1], 0)
        # the same operation is followed by another lattice translation when it is described from there
        offsets = moved.translations - (group.translations + group.rotations @ np.full(3, 0.5) - 0.5)
        matrices = there[theirs].matrices(np.arange(48), -np.rint(offsets))
        assert np.allclose(np.trace(matrices, axis1=1, axis2=2), np.trace(here[ours].base, axis1=1, axis2=2))


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


# Fennie and Rabe 2005 (K3, GM2- of YMnO3); Benedek and Fennie 2011 (X2+, X3- of I4/mmm)
@pytest.mark.parametrize(
    ("number", "k", "label", "vectors", "numbers"),
    [
        (194, (1 / 3, 1 / 3, 0), "K3", "any", {185, 165, 158}),
        (194, (0, 0, 0), "GM2-", [(1,)], {186}),
    ],
)
def test_isotropy_subgroups_of_hexagonal_manganites(number, k, label, vectors, numbers):
    group, found = named(number, k)
    irrep = found[label]
    if vectors == "any":
        vectors = [(np.cos(a), np.sin(a)) for a in np.pi * np.arange(12) / 6] + [(np.cos(0.2), np.sin(0.2))]
    assert {kept(group, np.diag([3, 3, 1]), [(irrep, vector)]) for vector in vectors} == numbers


def test_points_of_other_groups_and_characters_off_the_table_have_no_label():
    group = standard_group(62)
    assert {irrep.label for irrep in irreps_at(group, np.zeros(3))} == {""}
    group = standard_group(221)
    assert {irrep.label for irrep in irreps_at(group, np.array([0, 0, 0.25]))} == {""}


@pytest.mark.skipif("SUBDUCE_CRYSTOD" not in os.environ, reason="SUBDUCE_CRYSTOD names a Python that has CrystOD")
def test_the_tables_are_those_of_crystod():
    numbers = tuple(map(int, TABLES))
    answers = oracle(numbers)
    for number in numbers:
        assert json.loads(json.dumps(rows_of(number, answers[str(number)]))) == TABLES[str(number)]
