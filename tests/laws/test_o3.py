"""O(3) as mathematics has it, on random rotations, degrees and irreps."""

import e3nn.io
import e3nn.o3
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from subduce.o3 import (
    CartesianTensor,
    Irrep,
    Irreps,
    axis_angle_to_matrix,
    clebsch_gordan,
    euler_to_matrix,
    irrep_matrix,
    matrix_to_axis_angle,
    matrix_to_euler,
    random_rotations,
    spherical_harmonics,
    wigner_d,
)

degrees = st.integers(0, 6)
single_irreps = st.builds(Irrep, degrees, st.sampled_from([-1, 1]))
irreps = st.lists(st.tuples(st.integers(0, 4), single_irreps), max_size=5).map(Irreps)
seeds = st.integers(0, 2**32 - 1)
formulas = st.sampled_from(
    ["i", "ij", "ij=ji", "ij=-ji", "ijk=jki", "ijk=-jik", "ijkl=jikl=klij", "ijkl=jikl=ijlk", "ijkl=-jikl"]
)


def rotations(n, seed):
    return random_rotations(n, generator=torch.Generator().manual_seed(seed))


def close(found, expected, tolerance=1e-10):
    torch.testing.assert_close(found, expected, rtol=tolerance, atol=tolerance)


@st.composite
def couplings(draw, largest=6):
    l1, l2 = draw(st.integers(0, largest)), draw(st.integers(0, largest))
    return l1, l2, draw(st.integers(abs(l1 - l2), l1 + l2))


@given(single_irreps, seeds, st.booleans(), st.booleans())
def test_matrices_of_an_irrep_multiply_as_rotations_do(irrep, seed, invert_first, invert_last):
    a, b = rotations(2, seed)
    a, b = (-a if invert_last else a), (-b if invert_first else b)
    close(irrep_matrix(irrep, a @ b), irrep_matrix(irrep, a) @ irrep_matrix(irrep, b))


@given(st.integers(0, 12), seeds)
def test_wigner_matrices_are_rotations_themselves(l, seed):
    d = wigner_d(l, rotations(3, seed))
    close(d @ d.mT, torch.eye(2 * l + 1, dtype=torch.float64).expand_as(d), 1e-12)
    close(torch.linalg.det(d), torch.ones(3, dtype=torch.float64), 1e-12)


@given(couplings(), seeds)
def test_a_coupling_does_not_change_when_everything_turns(coupling, seed):
    c = clebsch_gordan(*coupling)
    d1, d2, d3 = (wigner_d(l, rotations(1, seed)[0]) for l in coupling)
    close(torch.einsum("ia,jb,abk->ijk", d1, d2, c), torch.einsum("ijc,ck->ijk", c, d3), 1e-12)


@given(degrees, degrees)
def test_couplings_of_two_degrees_are_a_complete_orthonormal_basis(l1, l2):
    parts = [clebsch_gordan(l1, l2, l) * (2 * l + 1) ** 0.5 for l in range(abs(l1 - l2), l1 + l2 + 1)]
    basis = torch.cat(parts, dim=-1).flatten(0, 1)
    close(basis.mT @ basis, torch.eye(basis.shape[0], dtype=torch.float64), 1e-13)


@given(degrees, seeds, st.sampled_from(["component", "integral", "norm"]), st.booleans(), st.booleans())
def test_harmonics_turn_with_their_vectors(l, seed, normalization, normalize, invert):
    vectors = torch.randn(5, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    rotation = -rotations(1, seed)[0] if invert else rotations(1, seed)[0]
    y = spherical_harmonics(l, vectors, normalize=normalize, normalization=normalization)
    turned = spherical_harmonics(l, vectors @ rotation.mT, normalize=normalize, normalization=normalization)
    expected = y @ irrep_matrix(Irrep(l, (-1) ** l), rotation).mT
    close(turned / y.abs().max(), expected / y.abs().max())


@given(st.integers(0, 12), seeds)
def test_harmonics_have_their_norm(l, seed):
    vectors = torch.randn(5, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    for normalization, norm in (("component", 2 * l + 1), ("norm", 1), ("integral", (2 * l + 1) / (4 * torch.pi))):
        y = spherical_harmonics(l, vectors, normalization=normalization)
        close(y.square().sum(-1), torch.full((5,), norm, dtype=torch.float64), 1e-12)


@given(couplings(3), seeds)
def test_coupled_harmonics_of_one_vector_are_harmonics(coupling, seed):
    vector = torch.randn(3, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    y1, y2, y3 = (spherical_harmonics(l, vector, normalization="norm") for l in coupling)
    found = torch.einsum("i,j,ijk->k", y1, y2, clebsch_gordan(*coupling))
    close(found, (found @ y3) * y3, 1e-12)


@given(seeds, st.floats(0, 1e-7), st.sampled_from([0.0, torch.pi]))
def test_rotations_survive_angles_and_back_near_the_poles_too(seed, small, pole):
    angles = torch.rand(2, dtype=torch.float64, generator=torch.Generator().manual_seed(seed)) * 6 - 3
    beta = torch.tensor(abs(pole - small), dtype=torch.float64)
    near_pole = euler_to_matrix(angles[0], beta, angles[1])
    axis, _ = matrix_to_axis_angle(rotations(1, seed)[0])
    near_half_turn = axis_angle_to_matrix(axis, beta)
    for rotation in (*rotations(3, seed), near_pole, near_half_turn):
        close(euler_to_matrix(*matrix_to_euler(rotation)), rotation, 1e-13)
        close(axis_angle_to_matrix(*matrix_to_axis_angle(rotation)), rotation, 1e-13)


@given(irreps, seeds)
def test_features_turn_alike_in_both_layouts(found, seed):
    rotation = -rotations(1, seed)[0]
    x = torch.randn(2, found.dim, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    here = found.to_e3nn(x @ found.D(rotation).mT)
    close(here, found.to_e3nn(x) @ found.D(rotation, layout="e3nn").mT, 1e-12)
    close(found.from_e3nn(found.to_e3nn(x)), x, 0)


@given(irreps, irreps)
def test_irreps_reckon_as_in_e3nn(left, right):
    theirs, other = e3nn.o3.Irreps(str(left)), e3nn.o3.Irreps(str(right))
    assert str(left) == str(theirs)
    assert Irreps(str(left)) == left
    assert left.dim == theirs.dim
    assert left.slices() == tuple(theirs.slices())
    assert left.num_irreps == theirs.num_irreps
    assert str(left + right) == str(theirs + other)
    assert str(left.simplify()) == str(theirs.simplify())
    ours, expected = left.sort(), theirs.sort()
    assert (str(ours.irreps), ours.places) == (str(expected.irreps), expected.p)
    assert str(left.regroup()) == str(theirs.sort().irreps.simplify())
    assert all(left.count(str(ir)) == theirs.count(ir) for _, ir in (*theirs, *other))


@given(single_irreps, single_irreps)
def test_products_of_irreps_are_e3nns(left, right):
    expected = e3nn.o3.Irrep(str(left)) * e3nn.o3.Irrep(str(right))
    assert [str(ir) for ir in left * right] == [str(ir) for ir in expected]


@given(formulas, seeds, st.booleans())
def test_tensors_turn_as_their_irreps_do(formula, seed, invert):
    tensor = CartesianTensor(formula)
    x = torch.randn(tensor.irreps.dim, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    rotation = -rotations(1, seed)[0] if invert else rotations(1, seed)[0]
    cartesian = tensor.from_irreps(x)
    for axis in range(tensor.rank):
        cartesian = torch.tensordot(cartesian, rotation, dims=([axis], [1])).movedim(-1, axis)
    close(tensor.to_irreps(cartesian), tensor.irreps.D(rotation) @ x, 1e-12)


@given(formulas, seeds)
def test_tensors_survive_irreps_and_back(formula, seed):
    tensor = CartesianTensor(formula)
    x = torch.randn(2, tensor.irreps.dim, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    cartesian = tensor.from_irreps(x)
    close(tensor.to_irreps(cartesian), x, 1e-13)
    close(cartesian.flatten(1).norm(dim=1), x.norm(dim=1), 1e-13)
    first, *others = formula.split("=")
    for term in others:
        sign, indices = (-1, term[1:]) if term[0] == "-" else (1, term)
        close(torch.einsum(f"z{indices}->z{first}", cartesian) * sign, cartesian, 1e-13)


@pytest.mark.parametrize("formula", ["i", "ij", "ij=ji", "ij=-ji", "ijk", "ijk=jik=ikj", "ijkl=jikl=klij"])
def test_tensors_have_as_many_irreps_as_in_e3nn(formula):
    theirs = e3nn.io.CartesianTensor(formula)
    assert str(CartesianTensor(formula).irreps) == str(theirs.sort().irreps.simplify())
