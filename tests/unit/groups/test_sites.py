"""Fields over sites: how operations act on them, what they keep, and which images they have."""

import numpy as np
import pytest

from subduce.groups import SiteSymmetry, point_group, subgroup

CUBE = np.array([[x, y, z] for x in (-1.0, 1) for y in (-1.0, 1) for z in (-1.0, 1)])
OH = SiteSymmetry.of_points(point_group("Oh"), CUBE)
IRREPS = "0o+1o+1e+2e"


@pytest.fixture
def field():
    return np.random.default_rng(0).standard_normal((8, 12))


def test_images_compose_as_the_group_does(field):
    group = point_group("Oh")
    once = OH.images(field, IRREPS)
    for g, h in ((5, 17), (30, 41), (47, 2)):
        np.testing.assert_allclose(OH.images(once[h], IRREPS)[g], once[group.table[g, h]], atol=1e-12)


def test_positions_are_a_field_that_everything_keeps():
    np.testing.assert_allclose(OH.average(CUBE, "1o"), CUBE, atol=1e-12)
    np.testing.assert_allclose(OH.average(CUBE, "1e"), 0, atol=1e-12)
    assert OH.keeping(CUBE, "1o").order == 48


def test_the_mean_is_a_projection_on_what_is_kept(field):
    polar = SiteSymmetry.of_points(subgroup(point_group("Oh"), ["C4z", "m_x"]), CUBE)
    mean = polar.average(field, IRREPS)
    np.testing.assert_allclose(polar.average(mean, IRREPS), mean, atol=1e-12)
    assert polar.order == OH.keeping(mean, IRREPS).order == 8


@pytest.mark.parametrize(
    ("vector", "domains"), [((0, 0, 1), 6), ((1, 1, 1), 8), ((0, 1, 1), 12), ((1, 2, 3), 48), ((0, 0, 0), 1)]
)
def test_domains_are_counted_by_the_index(vector, domains):
    field = np.tile(np.array(vector, dtype=float), (8, 1))
    found = OH.domains(field, "1o")
    assert len(found) == domains == 48 // OH.keeping(field, "1o").order
    np.testing.assert_array_equal(found[0], field)


def test_a_tolerance_among_the_differences_is_refused():
    # The mirror x = y moves it by 0.4, and one by z by nothing: of such elements some products move it farther.
    field = np.tile([1.0, 0.6, 0.0], (8, 1))
    with pytest.raises(ValueError, match="form no group"):
        OH.keeping(field, "1o", 0.7)


def test_a_cell_acts_as_a_cloud_does_where_both_do():
    fractions = (CUBE + 2) / 8
    whole = np.rint(point_group("Oh").matrices).astype(int)
    shifts = np.array([0.25, 0.25, 0.25]) - whole @ np.array([0.25, 0.25, 0.25])
    found = SiteSymmetry.of_cell(8 * np.eye(3), fractions, whole, shifts)
    np.testing.assert_array_equal(found.permutations, OH.permutations)
    np.testing.assert_allclose(found.rotations, OH.rotations, atol=1e-12)
    with pytest.raises(ValueError, match="operation 1 does not map the sites"):
        SiteSymmetry.of_cell(8 * np.eye(3), fractions, whole[[0, 5]], np.array([[0.0] * 3, [0.1, 0, 0]]))


def test_functions_over_sites_turn_into_each_other_or_are_refused():
    parity = CUBE.prod(axis=1, keepdims=True)
    assert set(np.round(OH.induced(parity).ravel(), 12)) == {-1.0, 1.0}
    np.testing.assert_allclose(OH.induced(CUBE), OH.rotations, atol=1e-12)  # x, y, z turn as vectors
    with pytest.raises(ValueError, match="all arms of a star"):
        OH.induced(CUBE[:, :1])
