"""How groups permute grids and clouds of points, and what is refused."""

import numpy as np
import pytest

from subduce.groups import (
    FiniteGroup,
    cyclic,
    dihedral,
    grid_action,
    permutations,
    point_group,
    point_permutation,
    reflection,
)

CUBE = np.array([[x, y, z] for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)], dtype=float)


def turned(group, element, field):
    found = np.empty(field.size, dtype=field.dtype)
    found[grid_action(group.matrices, field.shape)[group.index(element)]] = field.ravel()
    return found.reshape(field.shape)


@pytest.mark.parametrize("n", [4, 5])
def test_elements_turn_a_picture(n):
    field, square = np.arange(n * n).reshape(n, n), dihedral(4)
    np.testing.assert_array_equal(turned(square, "m_x", field), field[::-1])
    np.testing.assert_array_equal(turned(square, "m_y", field), field[:, ::-1])
    np.testing.assert_array_equal(turned(square, "m_diag", field), field.T)
    np.testing.assert_array_equal(turned(square, "C4", field), np.rot90(field))  # from axis 0 towards axis 1


def test_elements_turn_a_box():
    field, box = np.arange(36).reshape(3, 3, 4), point_group("D4h")
    np.testing.assert_array_equal(turned(box, "m_z", field), field[:, :, ::-1])
    np.testing.assert_array_equal(turned(box, "C4z", field), np.rot90(field, axes=(0, 1)))
    np.testing.assert_array_equal(turned(box, "i", field), field[::-1, ::-1, ::-1])


def test_a_line_is_reflected():
    np.testing.assert_array_equal(grid_action(reflection().matrices, (4,)), [[0, 1, 2, 3], [3, 2, 1, 0]])


def test_a_grid_turns_as_the_coordinates_of_its_points():
    group, shape = point_group("Oh"), (4, 4, 4)
    points = np.stack(np.unravel_index(np.arange(64), shape), axis=1) - 1.5
    np.testing.assert_array_equal(grid_action(group.matrices, shape), point_permutation(group.matrices, points))


@pytest.mark.parametrize(
    ("group", "shape", "message"),
    [
        (cyclic(3), (16, 16), r"do not map a grid to itself \(C3.*on a 16 × 16 grid act D4 and its subgroups \(C4, D2"),
        (cyclic(4), (16, 8), r"exchange axes 1 and 0 of lengths 8 and 16; on a 16 × 8 grid act D2 and its subgroups"),
        (dihedral(8), (9, 9), "on a 9 × 9 grid act D4"),
        (point_group("Oh"), (4, 4, 6), "on a 4 × 4 × 6 grid act D4h about z"),
        (point_group("D4"), (4, 6, 6), "on a 4 × 6 × 6 grid act D4h about x"),
        (point_group("O"), (4, 5, 6), "on a 4 × 5 × 6 grid act D2h"),
        (point_group("C6"), (6, 6, 6), "on a 6 × 6 × 6 grid act Oh"),
        (cyclic(4), (4, 4, 4), r"a grid of 3 axes needs matrices of 3 × 3, got the shape \(4, 2, 2\)"),
        (cyclic(4), (), "at least one axis"),
        (permutations(4), (2, 2, 2, 3), "signed permutations of axes of the same length"),
    ],
)
def test_a_group_that_does_not_act_on_a_grid_is_told_which_do(group, shape, message):
    with pytest.raises(ValueError, match=message):
        grid_action(group.matrices, shape)


def test_what_is_said_to_act_on_a_grid_acts():
    for group, shape in [
        (dihedral(4), (6, 6)),
        (dihedral(2), (16, 8)),
        (point_group("Oh"), (3, 3, 3)),
        (point_group("D4h"), (4, 4, 6)),
        (point_group("D2h"), (4, 5, 6)),
    ]:
        assert grid_action(group.matrices, shape).shape == (group.order, np.prod(shape))


def test_corners_of_a_cube():
    group = point_group("Oh")
    images = point_permutation(group.matrices, CUBE)
    np.testing.assert_allclose(CUBE[images], np.einsum("gij,nj->gni", group.matrices, CUBE))


def test_kinds_of_points_must_agree():
    square = np.array([[1.0, 0], [0, 1], [-1, 0], [0, -1]])
    kinds = ["A", "B", "A", "B"]
    assert point_permutation(dihedral(2).matrices, square, kinds).shape == (4, 4)
    with pytest.raises(ValueError, match=r"element 1 does not map .* the image of point 0 misses .* by 1\.41"):
        point_permutation(cyclic(4).matrices, square, kinds)
    with pytest.raises(ValueError, match="a kind for each of 4 points, got 2"):
        point_permutation(cyclic(4).matrices, square, ["A", "B"])


def test_a_cloud_may_miss_by_the_tolerance():
    points = np.array([[1.0, 0], [0, 1], [-1, 0], [0, -1.001]])
    with pytest.raises(ValueError, match=r"by 0\.001"):
        point_permutation(cyclic(4).matrices, points)
    assert point_permutation(cyclic(4).matrices, points, tolerance=0.01)[1].tolist() == [1, 2, 3, 0]


@pytest.mark.parametrize(
    ("points", "message"),
    [
        (np.zeros((3, 3)), "points of 2 coordinates"),
        ([[np.nan, 0.0]], "not finite"),
        (np.zeros((2, 2)), "points coincide"),
    ],
)
def test_bad_clouds(points, message):
    with pytest.raises(ValueError, match=message):
        point_permutation(cyclic(4).matrices, points)


def test_an_empty_cloud_is_kept_by_everything():
    assert point_permutation(cyclic(4).matrices, np.zeros((0, 2))).shape == (4, 0)


def test_a_group_of_one_element_leaves_every_grid_alone():
    one = FiniteGroup.from_matrices([np.eye(2)])
    assert grid_action(one.matrices, (3, 2)).tolist() == [[0, 1, 2, 3, 4, 5]]
