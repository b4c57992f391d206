"""Cartesian tensors and functions on the sphere."""

import e3nn.io
import pytest
import torch

from subduce.o3 import CartesianTensor, Irreps, SphereGrid, spherical_harmonics, wigner_d
from subduce.o3 import random_rotations as rotations


@pytest.mark.parametrize(
    ("formula", "irreps"),
    [
        ("i", "1o"),
        ("ij=ji", "0e+2e"),
        ("ij=-ji", "1e"),
        ("ij", "0e+1e+2e"),
        ("ijk=-jik=-ikj", "0o"),
        ("ijk=ikj", "2x1o+2o+3o"),  # piezoelectric
        ("ijkl=jikl=klij", "2x0e+2x2e+4e"),  # elasticity
    ],
)
def test_irreps_of_tensors_of_physics(formula, irreps):
    tensor = CartesianTensor(formula)
    assert tensor.irreps == Irreps(irreps)
    assert tensor == CartesianTensor(formula)
    basis = tensor.change_of_basis.flatten(1)
    torch.testing.assert_close(basis @ basis.mT, torch.eye(len(basis), dtype=torch.float64), rtol=0, atol=1e-14)


@pytest.mark.parametrize("formula", ["i", "ij=ji", "ij=-ji"])
def test_low_ranks_equal_e3nn(formula):
    theirs = e3nn.io.CartesianTensor(formula)
    x = torch.randn(4, theirs.dim, generator=torch.Generator().manual_seed(0))
    ours = CartesianTensor(formula)
    torch.testing.assert_close(ours.from_irreps(x), theirs.to_cartesian(x), rtol=1e-5, atol=1e-6)
    tensor = torch.randn(4, *[3] * ours.rank, generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(ours.to_irreps(tensor), theirs.from_cartesian(tensor), rtol=1e-5, atol=1e-6)


def test_isotropic_elasticity_is_two_scalars():
    eye = torch.eye(3, dtype=torch.float64)
    bulk = torch.einsum("ij,kl->ijkl", eye, eye)
    shear = torch.einsum("ik,jl->ijkl", eye, eye) + torch.einsum("il,jk->ijkl", eye, eye)
    features = CartesianTensor("ijkl=jikl=klij").to_irreps(torch.stack([bulk, shear]))
    assert features[:, 2:].abs().max() < 1e-14
    assert torch.linalg.matrix_rank(features[:, :2]) == 2


@pytest.mark.parametrize("formula", ["", "ii=ii", "ij=jk", "ij=kji", "i1", "ij=+ji", "ij=-ij", "ijk=jik=-ikj"])
def test_formulas_without_meaning_are_refused(formula):
    with pytest.raises(ValueError, match=r"expected|leaves no tensor"):
        CartesianTensor(formula)


def test_wrong_shapes_are_refused():
    stress = CartesianTensor("ij=ji")
    for shape in ((3,), (3, 2), (9,)):
        with pytest.raises(ValueError, match="indices of 3"):
            stress.to_irreps(torch.zeros(shape))
    with pytest.raises(ValueError, match="6 components"):
        stress.from_irreps(torch.zeros(5))


@pytest.mark.parametrize("l_max", [0, 1, 2, 5, 10])
@pytest.mark.parametrize("extra", [0, 1, 4])
def test_a_grid_gives_coefficients_back(l_max, extra):
    grid = SphereGrid(l_max, 2 * l_max + extra)
    coefficients = torch.randn(2, (l_max + 1) ** 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    values = grid.to_grid(coefficients)
    assert grid.points.shape == (grid.shape[0] * grid.shape[1], 3)
    torch.testing.assert_close(grid.from_grid(values), coefficients, rtol=0, atol=1e-12)
    mean_square = (values.square() * grid.weights).sum(-1) / (4 * torch.pi)
    torch.testing.assert_close(grid.power(coefficients).sum(-1), mean_square, rtol=1e-12, atol=1e-12)


def test_power_does_not_turn_and_delta_picks(generator):
    grid = SphereGrid(4)
    coefficients = torch.randn(25, dtype=torch.float64, generator=generator)
    rotation = rotations(1, generator=generator)[0]
    turned = Irreps.spherical_harmonics(4).D(rotation) @ coefficients
    torch.testing.assert_close(grid.power(turned), grid.power(coefficients))
    assert not torch.allclose(turned, coefficients)
    direction = rotation[0]
    delta = grid.to_grid(grid.delta(direction))
    expected = spherical_harmonics(range(5), direction) @ coefficients
    found = (delta * grid.to_grid(coefficients) * grid.weights).sum()
    torch.testing.assert_close(found, expected)
    pole = torch.tensor([0.0, 1.0, 0.0], dtype=torch.float64)
    turn = rotation @ pole
    torch.testing.assert_close(grid.delta(turn)[4:9], wigner_d(2, rotation) @ grid.delta(pole)[4:9])


def test_a_grid_too_coarse_is_refused():
    with pytest.raises(ValueError, match="at least"):
        SphereGrid(3, 5)
