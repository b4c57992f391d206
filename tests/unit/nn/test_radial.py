"""Radial functions: values at the ends, smoothness at the cutoff, unit variance."""

import math

import pytest
import torch

from subduce.nn import MLP, BernsteinBasis, BesselBasis, GaussianBasis, RadialBasis, polynomial_cutoff


@pytest.mark.parametrize("p", [2.0, 5.0, 6.0, 7.5])
def test_the_cutoff_is_one_at_zero_and_lets_go_with_two_zero_derivatives(p):
    x = torch.tensor([0.0, 1.0, 1.7, 40.0], dtype=torch.float64, requires_grad=True)
    value = polynomial_cutoff(x, p)
    (slope,) = torch.autograd.grad(value.sum(), x, create_graph=True)
    (curvature,) = torch.autograd.grad(slope.sum(), x)
    assert value.tolist() == [1.0, 0.0, 0.0, 0.0]
    assert slope[1:].abs().max() < 1e-12
    assert curvature[1:].abs().max() < 1e-12


@pytest.mark.parametrize("cutoff", ["polynomial", "xplor", "cosine"])
def test_every_cutoff_falls_from_one_to_zero_without_a_jump(cutoff):
    basis = RadialBasis(4, 5.0, cutoff=cutoff)
    r = torch.linspace(0, 6, 2001, dtype=torch.float64)
    envelope = basis.envelope(r)
    assert envelope[0] == 1
    assert torch.all(envelope[r >= 5] == 0)
    assert torch.all(envelope.diff() <= 1e-12)
    assert envelope.diff().abs().max() < 0.01


@pytest.mark.parametrize("kind", ["bessel", "gaussian", "bernstein"])
def test_a_basis_is_smooth_down_to_zero(kind):
    basis = RadialBasis(8, 5.0, kind=kind, dtype=torch.float64)
    r = torch.tensor([0.0, 1e-9, 2.5], dtype=torch.float64, requires_grad=True)
    value = basis(r)
    (slope,) = torch.autograd.grad(value.sum(), r, create_graph=True)
    (curvature,) = torch.autograd.grad(slope.sum(), r)
    assert torch.isfinite(value).all()
    assert torch.isfinite(slope).all()
    assert torch.isfinite(curvature[1:]).all()
    torch.testing.assert_close(value[0], value[1])


def test_bessel_functions_are_those_of_the_paper():
    r = torch.linspace(0.1, 4.9, 7, dtype=torch.float64)
    found = BesselBasis(8, 5.0, dtype=torch.float64)(r)
    n = torch.arange(1, 9, dtype=torch.float64)
    torch.testing.assert_close(found, 2 / 5.0 * torch.sin(n * math.pi * r[:, None] / 5.0) / r[:, None])


def test_bessel_roots_learn_only_when_asked():
    assert not BesselBasis(4, 5.0).roots.requires_grad
    assert BesselBasis(4, 5.0, trainable=True).roots.requires_grad


def test_bernstein_polynomials_sum_to_one():
    found = BernsteinBasis(9, 4.0, dtype=torch.float64)(torch.linspace(0, 4, 11, dtype=torch.float64))
    torch.testing.assert_close(found.sum(-1), torch.ones(11, dtype=torch.float64))
    assert torch.all(found >= 0)


def test_gaussians_peak_at_their_centres():
    basis = GaussianBasis(5, 4.0, dtype=torch.float64)
    found = basis(torch.tensor([0.0, 1.0, 2.0, 3.0, 4.0], dtype=torch.float64))
    torch.testing.assert_close(found.diagonal(), torch.ones(5, dtype=torch.float64))


def test_an_mlp_keeps_unit_variance_and_maps_zero_to_zero():
    generator = torch.Generator().manual_seed(0)
    network = MLP([64, 128, 128, 256], generator=generator, dtype=torch.float64)
    x = torch.randn(2000, 64, generator=generator, dtype=torch.float64)
    assert abs(network(x).square().mean() - 1) < 0.1
    assert torch.equal(network(torch.zeros(1, 64, dtype=torch.float64)), torch.zeros(1, 256, dtype=torch.float64))
