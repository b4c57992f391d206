"""Splines: what they interpolate, how smooth they are, and derivatives that are those of the spline itself."""

import math

import numpy as np
import pytest
import scipy.interpolate
import torch

from subduce.kernels import SplineTable, local_coefficients, spline_coefficients

R_MAX = 5.0


@pytest.fixture(autouse=True, params=["plain torch", "compiled"])
def backend(request, monkeypatch):
    """Every test by both ways of computing; without compiled code both are plain torch."""
    if request.param == "plain torch":
        monkeypatch.setattr("subduce.kernels._cpu.library", lambda: None)


def functions(r: torch.Tensor) -> torch.Tensor:
    return torch.stack([torch.sin(k * r) * (1 - r / R_MAX) ** 3 for k in range(1, 6)], dim=-1)


def table(intervals: int = 64) -> SplineTable:
    knots = torch.linspace(0, R_MAX, intervals + 1, dtype=torch.float64)
    return SplineTable(spline_coefficients(functions(knots)), R_MAX / intervals)


def test_splines_are_those_of_scipy_but_for_the_last_slope():
    knots = torch.linspace(0, R_MAX, 65, dtype=torch.float64)
    values = functions(knots)
    theirs = scipy.interpolate.CubicSpline(knots, values, bc_type=("not-a-knot", (1, np.zeros(5))))
    r = torch.rand(200, dtype=torch.float64, generator=torch.Generator().manual_seed(0)) * R_MAX
    for order in range(4):
        found, wanted = table()(r, order), torch.from_numpy(theirs(r, order))
        torch.testing.assert_close(found, wanted, rtol=1e-9, atol=1e-9)


def test_the_error_falls_with_the_fourth_power_of_the_spacing():
    r = torch.linspace(0, R_MAX, 5001, dtype=torch.float64)
    errors = [(table(n)(r) - functions(r)).abs().max().item() for n in (64, 128)]
    assert math.log2(errors[0] / errors[1]) == pytest.approx(4, abs=0.4)


def test_derivatives_are_those_of_the_spline_to_second_order():
    r = (torch.rand(6, dtype=torch.float64, generator=torch.Generator().manual_seed(1)) * R_MAX).requires_grad_()
    assert torch.autograd.gradcheck(table(), (r,))
    assert torch.autograd.gradgradcheck(table(), (r,))


def test_derivatives_by_the_coefficients_to_second_order():
    generator = torch.Generator().manual_seed(2)
    r = (torch.rand(6, dtype=torch.float64, generator=generator) * 6).requires_grad_()  # some beyond the last knot
    coefficients = torch.randn(13, 3, dtype=torch.float64, generator=generator).requires_grad_()
    for order in range(2):
        assert torch.autograd.gradcheck(lambda r, c, k=order: SplineTable(c, 0.5)(r, k), (r, coefficients))
        assert torch.autograd.gradgradcheck(lambda r, c, k=order: SplineTable(c, 0.5)(r, k), (r, coefficients))


def test_local_coefficients_are_as_good_to_fourth_order():
    r, errors = torch.linspace(0, R_MAX - 0.2, 3001, dtype=torch.float64), []
    for intervals in (64, 128):
        knots = R_MAX / intervals * torch.arange(-2, intervals + 3, dtype=torch.float64)
        near = SplineTable(local_coefficients(functions(knots)), R_MAX / intervals)
        errors.append((near(r) - functions(r)).abs().max().item())
    assert math.log2(errors[0] / errors[1]) == pytest.approx(4, abs=0.4)


def test_value_slope_and_curvature_have_no_jump_at_a_knot():
    knot, step = 17 * R_MAX / 64, 1e-9
    r = torch.tensor([knot - step, knot + step], dtype=torch.float64)
    for order in range(3):
        before, after = table()(r, order)
        torch.testing.assert_close(before, after, rtol=1e-5, atol=1e-5)


def test_beyond_the_last_knot_there_is_nothing_and_no_number_stays_none():
    r = torch.tensor([R_MAX, 7.0, float("nan"), 0.0], dtype=torch.float64)
    found = table()(r)
    assert torch.equal(found[:2], torch.zeros(2, 5, dtype=torch.float64))
    assert found[2].isnan().all()
    torch.testing.assert_close(found[3], torch.zeros(5, dtype=torch.float64))
    assert table()(r[:0]).shape == (0, 5)


def test_a_spline_needs_four_knots():
    with pytest.raises(ValueError, match="at least 4 knots, got 3"):
        spline_coefficients(torch.zeros(3, 2))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("functions", [1, 31, 100])
def test_threads_change_nothing(dtype, functions):
    generator = torch.Generator().manual_seed(0)
    coefficients = torch.randn(23, functions, generator=generator, dtype=dtype)
    r = torch.rand(6000, generator=generator, dtype=dtype) * 6
    a = torch.randn(6000, functions, generator=generator, dtype=dtype)
    before, found = torch.get_num_threads(), []
    try:
        for threads in (1, 3):
            torch.set_num_threads(threads)
            argument = r.clone().requires_grad_()
            knots = coefficients.clone().requires_grad_()
            values = SplineTable(knots, 0.25)(argument)
            found.append((values.detach(), *torch.autograd.grad((values * a).sum(), (argument, knots))))
    finally:
        torch.set_num_threads(before)
    for one, other in zip(*found, strict=True):
        assert torch.equal(one, other)
