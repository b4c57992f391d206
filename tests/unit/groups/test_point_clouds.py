"""Symmetry of point sets, of fields and of levels with known answers (G14–G22, G24–G26, G43)."""

import numpy as np
import pytest
import torch
from scipy.optimize import minimize

from subduce.groups import (
    admissible_irreps,
    isotropy_of,
    isotropy_of_points,
    isotropy_subgroups,
    o3_matrices,
    point_group,
    subduce,
    symmetric_power,
)
from subduce.o3 import spherical_harmonics

OH, D4H = point_group("Oh"), point_group("D4h")
SQUARE = np.array([[1.0, 1, 0], [-1, 1, 0], [-1, -1, 0], [1, -1, 0]])
CUBE = np.array([[x, y, z] for x in (-1.0, 1.0) for y in (-1.0, 1.0) for z in (-1.0, 1.0)])


def names(group, kept):
    return {irrep.name for irrep in admissible_irreps(group, kept)}


def breaking(group, kept, top=6):
    """How many more features of each irrep of O(3) a subgroup leaves alone than its group."""
    found = {}
    for irrep in (f"{l}{parity}" for l in range(top + 1) for parity in "eo"):
        characters = np.trace(o3_matrices(group, irrep), axis1=1, axis2=2)
        found[irrep] = round(characters[list(kept.members)].mean() - characters.mean())
    return {irrep: count for irrep, count in found.items() if count}


def stretched(strain):
    return isotropy_of_points(OH, CUBE @ strain)


def test_a_square_becomes_a_rectangle():
    """G14."""
    kept = isotropy_of_points(D4H, SQUARE * [1.25, 0.8, 1])
    assert (kept.setting, kept.index) == ("D2h(axes)", 2)
    assert names(D4H, kept) == {"B1g"}
    assert breaking(D4H, kept) == {"2e": 1, "3e": 1, "4e": 1, "5e": 1, "6e": 2}
    even = [o3_matrices(kept.group, f"{l}e").mean(axis=0).trace() for l in range(7)]
    np.testing.assert_allclose(even, [1, 0, 2, 1, 3, 2, 4], atol=1e-9)


def test_a_square_becomes_a_rhombus():
    """G15."""
    kept = isotropy_of_points(D4H, SQUARE @ [[1, 0.2, 0], [0.2, 1, 0], [0, 0, 1]])
    assert (kept.setting, kept.index) == ("D2h(z; diagonals)", 2)
    assert names(D4H, kept) == {"B2g"}
    assert breaking(D4H, kept, 4) == {"2e": 1, "3e": 1, "4e": 1}


def test_a_square_becomes_a_parallelogram():
    """G16."""
    kept = isotropy_of_points(D4H, SQUARE @ [[1, 0, 0], [0.3, 0.9, 0], [0, 0, 1]])
    assert kept.name == "C2h"
    assert names(D4H, kept) == {"A2g", "B1g", "B2g"}


def test_a_cube_stretched_along_an_axis():
    """G17."""
    kept = stretched(np.diag([1, 1, 1.2]))
    assert (kept.setting, kept.index, names(OH, kept)) == ("D4h(z)", 3, {"Eg"})
    assert breaking(OH, kept) == {"2e": 1, "4e": 1, "5e": 1, "6e": 1}


def test_a_cube_stretched_along_all_axes_has_a_secondary_irrep():
    """G18: A2g is admissible, but only the third power of Eg has it."""
    kept = stretched(np.diag([1, 1.1, 1.25]))
    assert (kept.setting, kept.index, names(OH, kept)) == ("D2h(axes)", 6, {"Eg", "A2g"})
    way = next(way for way in isotropy_subgroups(OH, "Eg") if way.subgroup == kept)
    assert way.direction == "(a,b)"
    assert "A2g" not in symmetric_power(OH, "Eg", 2)
    assert symmetric_power(OH, "Eg", 3)["A2g"] == 1


def test_a_cube_stretched_along_its_diagonal():
    """G19."""
    kept = stretched(np.eye(3) + 0.1)
    assert (kept.setting, kept.index) == ("D3d([111])", 4)
    assert names(OH, kept) == {"T2g"}
    assert "(a,a,a)" in {way.direction for way in isotropy_subgroups(OH, "T2g") if way.subgroup.name == "D3d"}


def test_a_cube_breaks_nothing():
    """G20: of its harmonics only degrees 0, 4 and 6 are there, in the ratios that cubes have."""
    assert stretched(1.3 * np.eye(3)).order == 48
    for l in range(7):
        total = spherical_harmonics(l, torch.from_numpy(CUBE), normalize=True).sum(dim=0).numpy()
        if l in (4, 6):
            ratio = total[l + 4] / total[l]
            np.testing.assert_allclose(ratio, (5 / 7) ** 0.5 if l == 4 else -(7**0.5), atol=1e-6)
        assert (np.abs(total).max() > 1e-6) == (l in (0, 4, 6))


@pytest.mark.parametrize(
    ("shift", "name", "irreps", "domains"),
    [
        ((0, 0, 1), "C4v", {"Eg", "T1u"}, 6),
        ((1, 1, 1), "C3v", {"T1u", "T2g", "A2u"}, 8),
        ((1, 1, 0), "C2v", {"Eg", "T1u", "T2g", "T2u"}, 12),
    ],
)
def test_an_atom_off_the_centre_of_a_cube(shift, name, irreps, domains):
    """G21."""
    points = np.concatenate([CUBE, [0.1 * np.array(shift, dtype=float)]])
    kept = isotropy_of_points(OH, points, ["O"] * 8 + ["Ti"])
    assert (kept.name, kept.index, names(OH, kept)) == (name, domains, irreps)
    assert kept == isotropy_of(OH, OH.irrep("T1u"), np.array(shift, dtype=float), 1e-6)


@pytest.mark.parametrize(
    ("field", "axial", "polar"),
    [((0, 0, 1), "C4h", "C4v"), ((1, 1, 1), "S6", "C3v"), ((1, 1, 0), "C2h", "C2v")],
)
def test_axial_fields_are_told_from_polar_ones(field, axial, polar):
    """G22."""
    vector = np.array(field, dtype=float)
    assert isotropy_of(OH, OH.irrep("T1g"), vector, 1e-6).name == axial
    assert isotropy_of(OH, OH.irrep("T1u"), vector, 1e-6).name == polar


def prism(degrees, base):
    """Two unit triangles at z = ±0.5, turned against each other."""
    halves = []
    for z in (0.5, -0.5):
        angles = np.radians(base + np.sign(z) * degrees / 2 + np.array([0, 120, 240]))
        halves.append(np.stack([np.cos(angles), np.sin(angles), np.full(3, z)], axis=1))
    return np.concatenate(halves)


@pytest.mark.parametrize(
    ("name", "before", "after", "irrep", "dims"),
    [
        ("D3d", 60, 50, "A1u", {"0o": 1, "2o": 1, "3o": 1, "4o": 2}),
        ("D3h", 0, 10, "A1''", {"0o": 1, "2o": 1, "3e": 1, "4e": 1, "4o": 1}),
    ],
)
def test_a_twist_makes_a_prism_chiral(name, before, after, irrep, dims):
    """G24."""
    group = point_group(name)
    base = next(base for base in (0, 90) if isotropy_of_points(group, prism(before, base)).index == 1)
    kept = isotropy_of_points(group, prism(after, base))
    assert (kept.name, kept.index, names(group, kept)) == ("D3", 2, {irrep})
    assert breaking(group, kept, 4) == dims
    mirrored = prism(after, base) @ group.matrices[next(g for g in range(group.order) if g not in kept.members)].T
    other = prism(2 * before - after, base)  # the enantiomer is the twist the other way
    assert all(np.abs(other - point).max(axis=1).min() < 1e-9 for point in mirrored)


def test_a_jahn_teller_distortion_has_three_minima():
    """G25."""

    def energy(q):
        rho, phi = np.hypot(*q), np.arctan2(q[1], q[0])
        return 0.5 * rho**2 - 0.5 * rho - 0.1 * rho**3 * np.cos(3 * phi) + 0.01 * rho**6

    starts = [0.5 * np.array([np.cos(a), np.sin(a)]) for a in np.radians(np.arange(10, 360, 20))]
    minima = [minimize(energy, start, tol=1e-10) for start in starts]
    np.testing.assert_allclose([found.fun for found in minima], -0.141142, atol=1e-6)
    np.testing.assert_allclose([np.hypot(*found.x) for found in minima], 0.6049, atol=1e-3)
    kept = [isotropy_of(OH, OH.irrep("Eg"), found.x, 1e-2) for found in minima]
    assert {(k.name, k.index) for k in kept} == {("D4h", 3)}
    assert {k.setting for k in kept} == {"D4h(x)", "D4h(y)", "D4h(z)"}


@pytest.mark.parametrize(
    ("name", "irrep", "modes"),
    [
        ("Oh", "Eg", {"Eg"}),
        ("Oh", "T2g", {"Eg", "T2g"}),
        ("Td", "T2", {"E", "T2"}),
        ("D4h", "Eg", {"B1g", "B2g"}),
        ("D6h", "E1g", {"E2g"}),
        ("D3h", "E'", {"E'"}),
    ],
)
def test_modes_that_split_a_degenerate_level(name, irrep, modes):
    """G25."""
    group = point_group(name)
    assert set(symmetric_power(group, irrep)) - {group.irreps[0].name} == modes


@pytest.mark.parametrize(
    ("name", "irrep", "levels"),
    [
        ("Oh", "2e", "Eg + T2g"),
        ("Td", "2e", "E + T2"),
        ("D4h", "2e", "A1g + B1g + B2g + Eg"),
        ("D3d", "2e", "A1g + 2Eg"),
        ("Oh", "3o", "A2u + T1u + T2u"),
    ],
)
def test_levels_of_d_and_f_electrons(name, irrep, levels):
    """G26."""
    assert str(subduce(irrep, point_group(name))) == levels


@pytest.mark.parametrize(
    ("irrep", "vector", "name", "domains"),
    [
        ("Eg", (1, 0), "D4h", 3),
        ("T2g", (1, 1, 1), "D3d", 4),
        ("T1u", (0, 0, 1), "C4v", 6),
        ("T1u", (1, 1, 1), "C3v", 8),
        ("T1u", (1, 1, 0), "C2v", 12),
    ],
)
def test_as_many_domains_as_ways_to_break(irrep, vector, name, domains):
    """G43."""
    kept = isotropy_of(OH, OH.irrep(irrep), np.array(vector, dtype=float), 1e-6)
    images = {tuple(image.round(9) + 0.0) for image in OH.irrep(irrep).matrices @ np.array(vector, dtype=float)}
    assert (kept.name, kept.index, len(images)) == (name, domains, domains)


def test_a_cloud_without_symmetry_has_as_many_domains_as_elements():
    """G43."""
    assert isotropy_of_points(OH, np.random.default_rng(0).normal(size=(5, 3))).index == 48


def test_points_that_coincide_are_refused():
    with pytest.raises(ValueError, match="coincide"):
        isotropy_of_points(OH, np.zeros((2, 3)))
