"""Subduction, reductions, directions of order parameters, and how a crystal field splits levels."""

import numpy as np
import pytest
import torch

from subduce.groups import (
    cyclic,
    dihedral,
    direction_symbol,
    invariant_basis,
    isotropy_of,
    isotropy_subgroups,
    o3_matrices,
    permutations,
    point_group,
    reduction,
    reflection,
    stabiliser,
    subduce,
    subgroup,
    symmetric_power,
    time_reversal,
)
from subduce.o3 import Irreps, clebsch_gordan, spherical_harmonics

OH = point_group("Oh")


def test_polar_and_axial_vectors():
    assert subduce("1o", OH) == {"T1u": 1}
    assert subduce("1e", OH) == {"T1g": 1}
    assert subduce("1o", point_group("Td")) == {"T2": 1}
    assert subduce("1e", point_group("Td")) == {"T1": 1}
    assert subduce("1o", point_group("D2d")) == {"B2": 1, "E": 1}
    assert subduce("0o", point_group("D3d")) == {"A1u": 1}
    assert subduce("1o", dihedral(4)) == {"A1": 1, "E": 1}  # z stays in the plane's groups
    assert subduce("1e", dihedral(4)) == {"A2": 1, "E": 1}


def test_xyz_is_b1g_of_pseudotensors_in_a_square_prism():
    """Of 3e, whose sign does not change on inversion: xyz is B1g, z(x² − y²) is B2g."""
    group = point_group("D4h")
    signs = {}
    x, y, z = np.array([0.3, 0.5, 0.7])
    for name, f in {"xyz": lambda v: v[0] * v[1] * v[2], "z(x2-y2)": lambda v: v[2] * (v[0] ** 2 - v[1] ** 2)}.items():
        values = [np.linalg.det(m) * f(m.T @ (x, y, z)) / f((x, y, z)) for m in group.matrices]
        signs[name] = np.array(values)
    assert reduction(group, signs["xyz"]) == {"B1g": 1}
    assert reduction(group, signs["z(x2-y2)"]) == {"B2g": 1}


def test_an_irrep_subduces_to_a_subgroup():
    square = subgroup(OH, ["C4z", "m_x", "i"])
    assert subduce(OH.irrep("T1u"), square) == {"A2u": 1, "Eu": 1}
    assert subduce("2e", square) == {"A1g": 1, "B1g": 1, "B2g": 1, "Eg": 1}
    with pytest.raises(ValueError, match="subduces to a Subgroup of that group"):
        subduce(OH.irrep("T1u"), point_group("D4h"))


def test_reductions_are_printed_as_sums():
    assert str(subduce("2x1o+0e", point_group("C4v"))) == "3A1 + 2E"
    assert str(reduction(OH, np.zeros(48))) == "0"


@pytest.mark.parametrize(
    ("character", "message"),
    [(np.ones(10), r"each of the 48 elements of Oh, got \(10,\)"), (np.arange(48.0), "no characters of Oh: A1g")],
)
def test_what_is_no_character_is_refused(character, message):
    with pytest.raises(ValueError, match=message):
        reduction(OH, character)


def test_groups_that_do_not_act_on_space_are_refused():
    with pytest.raises(ValueError, match="S3 does not act on space"):
        o3_matrices(permutations(3), "1o")


@pytest.mark.parametrize("group", [dihedral(4) * reflection("m_z"), dihedral(4) * dihedral(4)], ids=repr)
def test_two_factors_that_act_on_space_are_refused(group):
    with pytest.raises(ValueError, match=r"acts on space by D4 and .* FiniteGroup.from_matrices"):
        o3_matrices(group, "1o")


def test_time_reversal_leaves_tensors_of_space_alone():
    group = point_group("D4h") * time_reversal()
    assert subduce("1o", group) == {"A2u,T+": 1, "Eu,T+": 1}


def test_matrices_that_are_kept_cannot_be_changed():
    with pytest.raises(ValueError, match="read-only"):
        o3_matrices(OH, "1o")[0] = 0


def test_symmetric_powers():
    assert symmetric_power(OH, "T1u", 0) == {"A1g": 1}
    assert symmetric_power(OH, "T1u", 1) == {"T1u": 1}
    # quartic invariants of a vector in a cube: (x² + y² + z²)² and x⁴ + y⁴ + z⁴; cubic ones of Eg: one
    assert symmetric_power(OH, "T1u", 4)["A1g"] == 2
    assert symmetric_power(OH, "Eg", 3) == {"A1g": 1, "A2g": 1, "Eg": 1}
    with pytest.raises(ValueError, match="at least 0"):
        symmetric_power(OH, "Eg", -1)


@pytest.mark.parametrize(
    ("name", "irrep", "pattern"),
    [
        ("Oh", "2e", [2, 3]),
        ("Td", "2e", [2, 3]),
        ("D4h", "2e", [1, 1, 1, 2]),
        ("D3d", "2e", [1, 2, 2]),
        ("Oh", "3o", [1, 3, 3]),
    ],
)
def test_a_crystal_field_splits_levels_into_irreps(name, irrep, pattern):
    group, l = point_group(name), Irreps(irrep)[0].ir.l
    random = np.random.default_rng(0)
    hamiltonian = np.zeros((2 * l + 1, 2 * l + 1))
    for rank in range(2, 2 * l + 1, 2):  # H = Σ B_lm Y_lm with what the group leaves alone
        fields = invariant_basis(o3_matrices(group, f"{rank}e"))
        field = fields @ random.standard_normal(fields.shape[1])
        hamiltonian += clebsch_gordan(l, l, rank).numpy() @ field
    levels = np.linalg.eigvalsh(hamiltonian)
    widths = [len(level) for level in np.split(levels, np.flatnonzero(np.diff(levels) > 1e-9) + 1)]
    assert sorted(widths) == pattern
    dims = [group.irrep(key).dim for key, times in subduce(irrep, group).items() for _ in range(times)]
    assert sorted(dims) == pattern


@pytest.mark.parametrize(
    ("vector", "setting"),
    [
        ((0, 0, 1), "C4v(z)"),
        ((1, 1, 1), "C3v([111])"),
        ((0, 1, 1), "C2v([011]; axes)"),
        ((0, 1, 2), "Cs(m_x)"),
        ((1, 2, 3), "C1"),
        ((0, 0, 0), "Oh"),
    ],
)
def test_a_polarisation_keeps(vector, setting):
    assert isotropy_of(OH, OH.irrep("T1u"), np.array(vector, dtype=float), 1e-6).setting == setting


def test_a_tolerance_decides_what_is_kept():
    nearly = np.array([0.01, 0.0, 1.0])
    assert isotropy_of(OH, OH.irrep("T1u"), nearly, 1e-6).setting == "Cs(m_y)"
    assert isotropy_of(OH, OH.irrep("T1u"), nearly, 0.1).setting == "C4v(z)"


def test_irreps_of_complex_type_have_isotropy_subgroups_too():
    kept = [way.subgroup.name for way in isotropy_subgroups(cyclic(4), "E")]
    assert kept == ["C4", "C1"]


@pytest.mark.parametrize(
    ("columns", "symbol"),
    [
        ([(0, 0, 1)], "(0,0,a)"),
        ([(-1, -1, 0)], "(a,a,0)"),
        ([(1, -1, 0)], "(a,-a,0)"),
        ([(1, 1, 0), (0, 0, 2)], "(a,a,b)"),
        ([(1, 0, 0), (0, 1, 0), (0, 0, 1)], "(a,b,c)"),
        ([(1, 2, 0)], "(a,2a,0)"),
        ([(1, -(3**0.5))], "(a,-√3a)"),
        ([(2, 1)], "(a,a/2)"),
        ([(3**0.5, -1, 2)], "(a,-a/√3,2a/√3)"),
        ([(2, 3**0.5, 1.7)], "(a,√3a/2,0.85a)"),
        ([(1, 0, 1), (0, 1, -1)], "(a,b,a-b)"),
    ],
)
def test_direction_symbols(columns, symbol):
    assert direction_symbol(np.array(columns, dtype=float).T) == symbol


def test_usual_bases():
    """Partners are the usual functions: T1u (x, y, z), Eg (3z² − r², x² − y²), T2g (yz, xz, xy)."""
    random = np.random.default_rng(0).standard_normal(3)

    def functions(v):
        x, y, z = v
        e = (3 * z**2 - v @ v, 3**0.5 * (x**2 - y**2))
        return {"T1u": (x, y, z), "Eg": e, "T2g": (y * z, x * z, x * y)}

    for name in ("T1u", "Eg", "T2g"):
        for g, matrix in enumerate(OH.matrices):
            expected = OH.irrep(name).matrices[g] @ functions(random)[name]
            np.testing.assert_allclose(functions(matrix @ random)[name], expected, atol=1e-12)


HARMONICS = {  # of which parity, and what keeps it in Oh
    "D4h(z)": ("2e", lambda x, y, z: 2 * z**2 - x**2 - y**2),
    "D2h(axes)": ("2e", lambda x, y, z: x**2 - y**2),
    "D2h(z; diagonals)": ("2e", lambda x, y, z: x * y),
    "C4v(z)": ("1o", lambda x, y, z: z),
    "C4h(z)": ("1e", lambda x, y, z: z),
    "Td": ("3o", lambda x, y, z: x * y * z),
    "Th": ("3e", lambda x, y, z: x * y * z),
    "D2d(z; diagonals)": ("3o", lambda x, y, z: z * (x**2 - y**2)),
    "D4(z)": ("2o", lambda x, y, z: 2 * z**2 - x**2 - y**2),
    "D2d(z; axes)": ("2o", lambda x, y, z: x**2 - y**2),
    "O": ("0o", lambda x, y, z: 1 + 0 * x),
}


@pytest.mark.parametrize("setting", HARMONICS)
def test_what_keeps_a_single_harmonic(setting):
    irrep, function = HARMONICS[setting]
    points = torch.nn.functional.normalize(
        torch.randn(40, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0)), dim=1
    )
    values = spherical_harmonics(int(irrep[0]), points, normalize=True).numpy()
    vector, residual, *_ = np.linalg.lstsq(values, function(*points.numpy().T), rcond=None)
    assert residual.sum() < 1e-20
    kept = np.abs(o3_matrices(OH, irrep) @ vector - vector).max(axis=1) < 1e-9
    assert stabiliser(OH, kept).setting == setting
