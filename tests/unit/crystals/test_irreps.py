"""Real irreps of space groups: stars, types, dimensions and the bases that people expect."""

import numpy as np
import pytest
from spgrep import get_spacegroup_irreps_from_primitive_symmetry

from subduce.crystals import commensurate_wave_vectors, irrep_name, irreps_at, star, stars

from .groups import standard_group


def named(group, k):
    return {irrep.label: irrep for irrep in irreps_at(group, np.array(k))}


@pytest.mark.parametrize(
    "supercell", [np.diag([2, 2, 2]), [[2, 1, 0], [-1, 1, 0], [0, 0, 1]], [[1, 1, 0], [1, -1, 0], [0, 0, -2]]]
)
def test_wave_vectors_of_a_supercell_are_as_many_as_its_cells(supercell):
    found = commensurate_wave_vectors(np.array(supercell))
    phases = found @ np.array(supercell).T
    assert len(found) == len(np.unique(found, axis=0)) == round(abs(np.linalg.det(supercell)))
    assert np.abs(phases - np.rint(phases)).max() < 1e-12


def test_a_flat_supercell_is_refused():
    with pytest.raises(ValueError, match="no volume"):
        commensurate_wave_vectors(np.ones((3, 3), dtype=int))


def test_stars_of_the_perovskite_supercell():
    group = standard_group(221)
    found = stars(group, np.diag([2, 2, 2]))
    assert [k.tolist() for k in found] == [[0, 0, 0], [0.5, 0.5, 0.5], [0, 0, 0.5], [0, 0.5, 0.5]]
    assert star(group, found[-1]).tolist() == [[0, 0.5, 0.5], [0.5, 0, 0.5], [0.5, 0.5, 0]]


def test_a_star_counts_when_any_arm_is_commensurate():
    found = stars(standard_group(221), np.diag([1, 1, 2]))
    assert [k.tolist() for k in found] == [[0, 0, 0], [0, 0, 0.5]]
    assert [k.tolist() for k in stars(standard_group(221), np.diag([2, 1, 1]))] == [[0, 0, 0], [0, 0, 0.5]]


def test_opposite_stars_count_once():
    """I23 has no operation that turns P into −P; their waves are still real together."""
    group = standard_group(197)
    k = np.array([0.25, 0.25, 0.25])
    assert len(star(group, k)) == 1
    assert np.allclose(irreps_at(group, k)[0].k, irreps_at(group, -k)[0].k)
    assert {irrep.type for irrep in irreps_at(group, k)} == {"complex"}


@pytest.mark.parametrize(
    ("number", "k", "expected"),
    [
        (75, (0, 0, 0), [(1, "real"), (1, "real"), (2, "complex")]),  # P4: A, B, E
        (19, (0.5, 0.5, 0.5), [(4, "quaternionic")]),  # P2₁2₁2₁ at R
        (230, (0.25, 0.25, 0.25), [(8, "complex"), (8, "real")]),  # Ia-3d at P: P1P2, P3
        (194, (1 / 3, 1 / 3, 0), [(2, "real")] * 4 + [(4, "real")] * 2),
        (194, (0, 0, 0.5), [(2, "real"), (2, "real"), (4, "real")]),
        (194, (1 / 3, 1 / 3, 0.5), [(4, "real")] * 3),
        (216, (0, 0, 0.5), [(4, "real"), (4, "real"), (8, "real")]),  # L of F-43m
    ],
)
def test_dimensions_and_types(number, k, expected):
    found = irreps_at(standard_group(number), np.array(k))
    assert sorted((irrep.dim, irrep.type) for irrep in found) == sorted(expected)


def test_waves_on_a_line_have_irreps_without_labels():
    """Σ of Pm-3m at a quarter, of antiferroelectric PbZrO₃: twelve arms in six pairs of k and −k."""
    group = standard_group(221)
    found = irreps_at(group, np.array([0.25, 0.25, 0]))
    assert len(star(group, np.array([0.25, 0.25, 0]))) == 12
    assert [(irrep.label, len(irrep.arms), irrep.dim, irrep.small_dim, irrep.type) for irrep in found] == [
        ("", 6, 12, 1, "real")
    ] * 4
    for irrep in found:  # cosines and sines: every operation permutes components up to signs
        assert np.allclose(np.abs(irrep.base), np.rint(np.abs(irrep.base)), atol=1e-9)


def test_tilts_and_polar_modes_have_components_along_x_y_z():
    group = standard_group(221)
    for label, k in (("R4+", (0.5, 0.5, 0.5)), ("GM4+", (0, 0, 0))):
        irrep = named(group, k)[label]
        axial = np.linalg.det(group.cartesian)[:, None, None] * group.cartesian
        assert np.allclose(irrep.matrices(np.arange(48), np.zeros((48, 3))), axial)
    assert np.allclose(named(group, (0, 0, 0))["GM4-"].base, group.cartesian)
    assert np.allclose(named(group, (0.5, 0.5, 0.5))["R4+"].matrix(0, (1, 0, 0)), -np.eye(3))


def test_in_phase_tilts_have_one_component_an_axis():
    group = standard_group(221)
    irrep = named(group, (0.5, 0.5, 0))["M3+"]
    assert irrep.dim == 3
    axial = np.linalg.det(group.cartesian)[:, None, None] * group.cartesian
    assert np.allclose(irrep.base, axial)  # of rotations about x, y, z, with B at the origin
    assert np.allclose(irrep.matrix(0, (1, 0, 0)), np.diag([1, -1, -1]))


def test_the_strain_doublet_is_in_the_usual_basis():
    group = standard_group(221)
    quarter = [[0, -1, 0], [1, 0, 0], [0, 0, 1]]
    place = next(g for g, turned in enumerate(group.cartesian) if np.allclose(turned, quarter))
    assert np.allclose(named(group, (0, 0, 0))["GM3+"].matrix(place), np.diag([1, -1]))


@pytest.mark.parametrize(
    ("number", "k"), [(221, (0.5, 0.5, 0)), (227, (0.5, 0.5, 0)), (194, (1 / 3, 1 / 3, 0.5)), (230, (0.25, 0.25, 0.25)),
                      (167, (0.5, 0.5, 0.5)), (62, (0.5, 0.5, 0.5)), (198, (0.5, 0.5, 0.5)), (33, (0.1, 0.5, 0.3))]
)  # fmt: skip
def test_small_characters_are_those_of_spgrep(number, k):
    group = standard_group(number)
    for irrep in irreps_at(group, np.array(k)):
        theirs, little = get_spacegroup_irreps_from_primitive_symmetry(group.rotations, group.translations, irrep.k)
        assert little.tolist() == irrep.little.tolist()
        traces = np.array([np.trace(matrices, axis1=1, axis2=2) for matrices in theirs])
        times = traces.conj() @ irrep.small_characters / len(little)
        assert np.allclose(times @ traces, irrep.small_characters, atol=1e-5)
        parts = {"real": [[1]], "complex": [[1], [1, 1]], "quaternionic": [[2]]}[irrep.type]
        assert sorted(round(x) for x in times.real if x > 0.1) in parts
        assert np.allclose(times, np.rint(times.real), atol=1e-5)


def test_operations_that_are_no_group_are_refused():
    group = standard_group(221)
    half = type(group)(group.lattice, group.rotations[:5], group.translations[:5], 221, "Pm-3m", group.to_standard)
    with pytest.raises(ValueError, match="not closed"):
        irreps_at(half, np.zeros(3))


def test_irreps_without_labels_have_names_of_their_own():
    group = standard_group(221)
    names = [irrep_name(irrep) for irrep in irreps_at(group, np.array([0.25, 0.25, 0]))]
    assert names == [f"k=(0,0.25,0.25) no. {place}" for place in range(1, 5)]
    assert names == [irrep_name(irrep) for irrep in irreps_at(group, np.array([0, 0.75, 0.25]))]
