"""Subgroups: how many, what they are called, cosets, conjugates, and what a child may break."""

import numpy as np
import pytest

from subduce.groups import (
    admissible_irreps,
    dihedral,
    normal_subgroups,
    permutations,
    point_group,
    stabiliser,
    subgroup,
    subgroup_classes,
    subgroups,
    time_reversal,
)


@pytest.mark.parametrize(
    ("group", "everything", "classes"),
    [
        (dihedral(4), 10, 8),
        (point_group("O"), 30, 11),
        (point_group("D4h"), 35, 27),
        (point_group("Oh"), 98, 33),
        (permutations(4), 30, 11),
        (permutations(5), 156, 19),
        (point_group("Ih"), 164, 22),
    ],
    ids=lambda value: getattr(value, "name", None),
)
def test_numbers_of_subgroups(group, everything, classes):
    found = subgroups(group)
    assert (len(found), len(subgroup_classes(group))) == (everything, classes)
    assert found[0].order == group.order
    assert found[-1].elements == ("e",)
    for kept in found:
        inside = group.table[np.ix_(kept.members, kept.members)]
        assert set(inside.ravel().tolist()) == set(kept.members)


@pytest.mark.parametrize(
    "group",
    [*map(point_group, ["Oh", "Th", "D4h", "D6h", "D8h", "D6d", "D5d"]), dihedral(6), dihedral(4) * time_reversal()],
    ids=lambda group: group.name,
)
def test_every_subgroup_has_a_setting_of_its_own(group):
    settings = [kept.setting for kept in subgroups(group)]
    assert len(set(settings)) == len(settings)


def test_conjugates_are_named_alike():
    names = {tuple(sorted(kept.setting for kept in conjugates)) for conjugates in subgroup_classes(point_group("Oh"))}
    assert ("C4v(x)", "C4v(y)", "C4v(z)") in names
    assert ("D2h(x; diagonals)", "D2h(y; diagonals)", "D2h(z; diagonals)") in names
    assert ("D2d(x; axes)", "D2d(y; axes)", "D2d(z; axes)") in names
    assert ("D2(axes)",) in names


def test_settings_in_the_plane():
    assert [conjugates[0].setting for conjugates in subgroup_classes(dihedral(4))] == [
        "D4",
        "C4",
        "D2(axes)",
        "D2(diagonals)",
        "Cs(m_y)",
        "C2",
        "Cs(m_diag)",
        "C1",
    ]


def test_a_subgroup_by_its_generators():
    oh = point_group("Oh")
    polar = subgroup(oh, ["C4z", "m_x"])
    assert (polar.name, polar.order, polar.index) == ("C4v", 8, 6)
    assert polar <= subgroup(oh, ["C4z", "m_x", "i"])
    assert not polar <= subgroup(oh, ["i"])
    assert oh.index("m_y") in polar
    assert oh.index("m_z") not in polar
    assert set(subgroup(oh, polar.generators).members) == set(polar.members)
    assert polar.group.name == "C4v"
    assert [irrep.name for irrep in polar.group.irreps] == ["A1", "A2", "B1", "B2", "E"]
    np.testing.assert_array_equal(polar.group.matrices, oh.matrices[list(polar.members)])


def test_cosets_and_conjugates():
    oh = point_group("Oh")
    polar = subgroup(oh, ["C4z", "m_x"])
    cosets = polar.cosets()
    assert cosets[0] == polar.members
    assert sorted(sum(cosets, ())) == list(range(48))
    axes = {tuple(oh.matrices[coset[0]] @ [0, 0, 1]) for coset in cosets}
    assert len(axes) == 6  # one coset for each way that z can point
    assert {kept.setting for kept in polar.conjugates()} == {"C4v(x)", "C4v(y)", "C4v(z)"}
    assert not polar.is_normal()


def test_normal_subgroups():
    names = [kept.setting for kept in normal_subgroups(point_group("Oh"))]
    assert names == ["Oh", "O", "Th", "Td", "T", "D2h(axes)", "D2(axes)", "Ci", "C1"]
    assert [kept.order for kept in normal_subgroups(permutations(4))] == [24, 12, 4, 1]


def test_stabilisers():
    oh = point_group("Oh")
    keeps = np.abs(oh.matrices @ [0, 0, 1] - [0, 0, 1]).max(axis=1) < 1e-9
    assert stabiliser(oh, keeps).setting == "C4v(z)"
    with pytest.raises(ValueError, match="form no subgroup"):
        stabiliser(oh, [True, True] + [False] * 46)


@pytest.mark.parametrize(
    ("generators", "domains"),
    [
        (["C4z", "m_x", "i"], 3),
        (["C3[111]", "C2[1-10]", "i"], 4),
        (["C4z", "m_x"], 6),
        (["C3[111]", "m_[1-10]"], 8),
        (["C2[110]", "m_z"], 12),
        ([], 48),
    ],
    ids=["D4h", "D3d", "C4v", "C3v", "C2v", "C1"],
)
def test_as_many_domains_as_cosets(generators, domains):
    kept = subgroup(point_group("Oh"), generators)
    assert kept.index == len(kept.cosets()) == domains


def test_a_square_becomes_a_rectangle_in_two_ways_by_b1():
    square = dihedral(4)
    rectangle = subgroup(square, ["m_x", "m_y"])
    assert rectangle.index == 2
    assert rectangle.setting == "D2(axes)"
    assert [irrep.name for irrep in admissible_irreps(square, rectangle)] == ["B1"]
    assert [irrep.name for irrep in admissible_irreps(square, subgroup(square, ["m_diag", "C2"]))] == ["B2"]


def test_subgroups_of_a_product_are_named_by_their_factors():
    group = dihedral(4) * time_reversal()
    names = {kept.setting for kept in subgroups(group)}
    assert {"C4xT", "D2(axes)xT", "D2(diagonals)xT", "D4", "T", "<C4,m_x*T>"} <= names
