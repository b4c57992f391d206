"""Groups by name: orders, classes, names of elements and irreps, and refusals in one line."""

import numpy as np
import pytest

from subduce.groups import (
    FiniteGroup,
    cyclic,
    dihedral,
    grid_action,
    permutations,
    point_group,
    reflection,
    subgroup,
    time_reversal,
    translations,
)

# order, number of classes, names of the real irreps
POINT_GROUPS = {
    "C1": (1, 1, "A"),
    "Ci": (2, 2, "Ag Au"),
    "C2": (2, 2, "A B"),
    "Cs": (2, 2, "A' A''"),
    "C2h": (4, 4, "Ag Bg Au Bu"),
    "D2": (4, 4, "A B1 B2 B3"),
    "C2v": (4, 4, "A1 A2 B1 B2"),
    "D2h": (8, 8, "Ag B1g B2g B3g Au B1u B2u B3u"),
    "C4": (4, 4, "A B E"),
    "S4": (4, 4, "A B E"),
    "C4h": (8, 8, "Ag Bg Eg Au Bu Eu"),
    "D4": (8, 5, "A1 A2 B1 B2 E"),
    "C4v": (8, 5, "A1 A2 B1 B2 E"),
    "D2d": (8, 5, "A1 A2 B1 B2 E"),
    "D4h": (16, 10, "A1g A2g B1g B2g Eg A1u A2u B1u B2u Eu"),
    "C3": (3, 3, "A E"),
    "S6": (6, 6, "Ag Eg Au Eu"),
    "D3": (6, 3, "A1 A2 E"),
    "C3v": (6, 3, "A1 A2 E"),
    "D3d": (12, 6, "A1g A2g Eg A1u A2u Eu"),
    "C6": (6, 6, "A B E1 E2"),
    "C3h": (6, 6, "A' E' A'' E''"),
    "C6h": (12, 12, "Ag Bg E1g E2g Au Bu E1u E2u"),
    "D6": (12, 6, "A1 A2 B1 B2 E1 E2"),
    "C6v": (12, 6, "A1 A2 B1 B2 E1 E2"),
    "D3h": (12, 6, "A1' A2' E' A1'' A2'' E''"),
    "D6h": (24, 12, "A1g A2g B1g B2g E1g E2g A1u A2u B1u B2u E1u E2u"),
    "T": (12, 4, "A E T"),
    "Th": (24, 8, "Ag Eg Tg Au Eu Tu"),
    "O": (24, 5, "A1 A2 E T1 T2"),
    "Td": (24, 5, "A1 A2 E T1 T2"),
    "Oh": (48, 10, "A1g A2g Eg T1g T2g A1u A2u Eu T1u T2u"),
    "I": (60, 5, "A T1 T2 G H"),
    "Ih": (120, 10, "Ag T1g T2g Gg Hg Au T1u T2u Gu Hu"),
    "C5v": (10, 4, "A1 A2 E1 E2"),
    "D5d": (20, 8, "A1g A2g E1g E2g A1u A2u E1u E2u"),
    "D5h": (20, 8, "A1' A2' E1' E2' A1'' A2'' E1'' E2''"),
    "S8": (8, 8, "A B E1 E2 E3"),
    "D4d": (16, 7, "A1 A2 B1 B2 E1 E2 E3"),
    "D6d": (24, 9, "A1 A2 B1 B2 E1 E2 E3 E4 E5"),
}
INTERNATIONAL = {"m-3m": "Oh", "-43m": "Td", "4/mmm": "D4h", "-3": "S6", "-6": "C3h", "mm2": "C2v", "-42m": "D2d"}


@pytest.mark.parametrize("name", POINT_GROUPS)
def test_point_groups(name):
    group = point_group(name)
    order, classes, irreps = POINT_GROUPS[name]
    assert (group.name, group.order, len(group.classes)) == (name, order, classes)
    assert [irrep.name for irrep in group.irreps] == irreps.split()
    assert group.elements[0] == "e"
    assert len(set(group.elements)) == order
    assert (group.irreps[0].character == 1).all()


@pytest.mark.parametrize(("international", "name"), INTERNATIONAL.items())
def test_international_names(international, name):
    np.testing.assert_array_equal(point_group(international).matrices, point_group(name).matrices)


@pytest.mark.parametrize(("alias", "name"), [("C3i", "S6"), ("C1h", "Cs"), ("S2", "Ci"), ("D1", "C2"), ("D1d", "C2h")])
def test_other_names_of_a_group_lead_to_its_usual_one(alias, name):
    assert point_group(alias).name == name


@pytest.mark.parametrize("wrong", ["Q", "S5", "C0", "C2d", "D3v", "oh", "Ohh", ""])
def test_a_name_of_no_point_group_is_refused(wrong):
    with pytest.raises(ValueError, match="is no point group; expected Cn, Cnv"):
        point_group(wrong)


@pytest.mark.parametrize("name", ["Oh", "D4h", "D2d", "C2v", "Th", "S4"])
def test_subgroups_of_the_cube_are_signed_permutations(name):
    matrices = point_group(name).matrices
    assert np.isin(matrices, (-1, 0, 1)).all()
    assert (np.abs(matrices).sum(axis=2) == 1).all()


def test_elements_do_what_their_names_say():
    oh = point_group("Oh")
    x, y, z = np.eye(3)
    for name, images in {
        "C4z": (y, -x, z),
        "C2[110]": (y, x, -z),
        "C3[111]": (y, z, x),
        "S4z": (y, -x, -z),
        "m_x": (-x, y, z),
        "m_[1-10]": (y, x, z),
        "i": (-x, -y, -z),
    }.items():
        np.testing.assert_array_equal(oh.matrices[oh.index(name)].T, images)


def test_the_plane():
    square = dihedral(4)
    assert square.elements == ("e", "C4", "m_y", "C2", "m_diag", "m_antidiag", "C4^3", "m_x")
    np.testing.assert_array_equal(square.matrices[square.index("m_x")], [[-1, 0], [0, 1]])
    np.testing.assert_array_equal(square.matrices[square.index("m_diag")], [[0, 1], [1, 0]])
    np.testing.assert_array_equal(square.matrices[square.index("C4")], [[0, -1], [1, 0]])
    assert [irrep.name for irrep in cyclic(6).irreps] == ["A", "B", "E1", "E2"]
    assert [irrep.type for irrep in cyclic(6).irreps] == ["real", "real", "complex", "complex"]
    assert (dihedral(1).name, dihedral(1).elements) == ("Cs", ("e", "m_y"))
    with pytest.raises(ValueError, match="at least 1, got 0"):
        cyclic(0)


def test_the_square_tells_stretches_from_shears():
    square = dihedral(4)
    mirror, diagonal, quarter = (square.index(name) for name in ("m_x", "m_diag", "C4"))
    signs = {irrep.name: irrep.character[[quarter, mirror, diagonal]].tolist() for irrep in square.irreps}
    assert signs == {"A1": [1, 1, 1], "A2": [1, -1, -1], "B1": [-1, 1, -1], "B2": [-1, -1, 1], "E": [0, 0, 0]}


def test_permutations():
    s4 = permutations(4)
    assert s4.order == 24
    assert sorted(irrep.dim for irrep in s4.irreps) == [1, 1, 2, 3, 3]
    np.testing.assert_array_equal(s4.matrices[s4.index("(123)")] @ np.arange(4), [2, 0, 1, 3])  # 1 → 2 → 3 → 1
    assert permutations(1).elements == ("e",)
    with pytest.raises(ValueError, match="1 to 6 things, got 7"):
        permutations(7)


def test_translations_act_on_the_points_of_their_grid():
    group = translations((3, 4))
    field = np.arange(12).reshape(3, 4)
    moved = np.empty(12, dtype=int)
    moved[group.table[group.index("t(1,2)")]] = field.ravel()
    np.testing.assert_array_equal(moved.reshape(3, 4), np.roll(field, (1, 2), axis=(0, 1)))
    assert group.is_abelian()
    assert [group.elements[g] for g in group.generators] == ["t(1,0)", "t(0,1)"]
    for wrong in ((), (0,), (64, 64)):
        with pytest.raises(ValueError, match="a grid of 1 to 1024 points"):
            translations(wrong)


@pytest.mark.parametrize(("size", "classes"), [(3, 9), (4, 20), (5, 14)])
def test_translations_and_turns_of_a_torus_are_a_semidirect_product(size, classes):
    """All moves of a grid that repeats: D4 turns the translations, which are a normal subgroup of index 8.

    Irreps are counted by hand: those of the stabiliser of a wave vector, for each star of wave vectors.
    """
    square, steps = dihedral(4), translations((size, size))
    turns = grid_action(square.matrices, (size, size))
    moves = {"C4": turns[square.index("C4")], "m": turns[square.index("m_x")], "t": steps.table[steps.index("t(1,0)")]}
    points = np.eye(size * size)
    group = FiniteGroup.from_matrices({name: points[:, place] for name, place in moves.items()}, elements="words")
    assert group.order == 8 * size**2
    assert len(group.classes) == classes == sum(irrep.commutant > 0 for irrep in group.irreps)
    assert sum(irrep.dim**2 // irrep.commutant for irrep in group.irreps) == group.order
    np.testing.assert_array_equal(group.regular.sum(axis=(1, 2)), group.order)
    assert [round(float(np.trace(m))) for m in group.regular] == [group.order, *[0] * (group.order - 1)]
    shifts = {int(np.flatnonzero((group.matrices == points[:, row]).all(axis=(1, 2)))[0]) for row in steps.table}
    assert subgroup(group, shifts).order == size**2
    assert subgroup(group, shifts).is_normal()


def test_products_with_time_reversal():
    group = point_group("Oh") * time_reversal()
    assert (group.name, group.order, len(group.irreps)) == ("OhxT", 96, 20)
    assert group.elements[:2] == ("e", "T")
    assert "C4z*T" in group.elements
    odd = group.irrep("T1u,T-")
    both = group.index("C4z*T")
    np.testing.assert_array_equal(odd.matrices[both], -point_group("Oh").irrep("T1u").matrices[both // 2])
    np.testing.assert_array_equal(group.matrices[group.index("T")], np.diag([1, 1, 1, -1]))


def test_products_of_complex_types_split():
    group = cyclic(4) * cyclic(3)
    assert sum(irrep.dim**2 / irrep.commutant for irrep in group.irreps) == group.order
    assert sorted(irrep.dim for irrep in group.irreps) == [1, 1, 2, 2, 2, 2, 2]


def test_reflections_have_two_signs():
    assert [irrep.name for irrep in reflection("m_y").irreps] == ["m_y+", "m_y-"]


def test_the_quaternions_have_an_irrep_of_their_own_type():
    i = np.kron([[0, -1], [1, 0]], np.eye(2))
    j = np.kron([[1, 0], [0, -1]], [[0, -1], [1, 0]])
    group = FiniteGroup.from_matrices({"i": i, "j": j})
    assert [(irrep.dim, irrep.type) for irrep in group.irreps] == [(1, "real")] * 4 + [(4, "quaternionic")]


@pytest.mark.parametrize(
    ("generators", "message"),
    [
        ([], "at least one generator"),
        ([5.0], "all must be square"),
        ([np.ones((2, 3))], "all must be square"),
        ([np.eye(2), np.eye(3)], "generator g1 has the shape"),
        ({"a": [[2, 0], [0, 1]]}, "generator a is not orthogonal"),
        ([[[np.cos(1), -np.sin(1)], [np.sin(1), np.cos(1)]]], "more than 4096 elements"),
        ([[[-0.5, -0.866025], [0.866025, -0.5]]], "to all digits"),
    ],
)
def test_matrices_that_generate_no_group_are_refused(generators, message):
    with pytest.raises(ValueError, match=message):
        FiniteGroup.from_matrices(generators)


def test_what_is_not_there_is_named_with_what_is():
    group = point_group("D4")
    with pytest.raises(ValueError, match="D4 has no element 'C3'; it has e, C4z"):
        group.index("C3")
    with pytest.raises(ValueError, match="D4 has no irrep 'T2'; it has A1, A2, B1, B2, E"):
        group.irrep("T2")
    with pytest.raises(ValueError, match="elements 0 to 7, got 8"):
        group.index(8)
    assert group.index(np.int64(3)) == 3


def test_tables_cannot_be_changed():
    group = cyclic(4)
    for array in (group.table, group.matrices):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 0
