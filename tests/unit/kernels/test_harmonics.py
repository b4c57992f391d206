"""Harmonics in C are those of `o3`, with all their derivatives."""

import pytest
import torch

from subduce.kernels import harmonics
from subduce.o3 import Irreps, spherical_harmonics


def vectors(rows, dtype=torch.float64):
    found = torch.randn(rows, 3, dtype=dtype, generator=torch.Generator().manual_seed(rows))
    if rows > 3:
        found[1] = 0.0
        found[2] *= 1e-5
        found[3] = torch.tensor([0.0, 1e5, 0.0])
    return found.requires_grad_()


def derivatives(run, v, orders):
    """Values and derivatives along random directions."""
    generator, found, outputs = torch.Generator().manual_seed(1), [], [run(v)]
    for _ in range(orders):
        found += outputs
        directions = [torch.randn(o.shape, generator=generator, dtype=torch.float64).to(o) for o in outputs]
        along = sum((o**2 * d).sum() for o, d in zip(outputs, directions, strict=True))
        outputs = list(torch.autograd.grad(along, v, create_graph=True))
    return [*found, *outputs]


@pytest.mark.parametrize("l_max", range(1, 5))
@pytest.mark.parametrize("rows", [0, 1, 77])
def test_values_and_three_derivatives_are_those_of_o3(l_max, rows):
    irreps, v = Irreps.spherical_harmonics(l_max), vectors(rows)
    found = derivatives(lambda v: harmonics(irreps, v), v, 3)
    expected = derivatives(lambda v: spherical_harmonics(irreps, v), v, 3)
    length = v.detach().norm(dim=-1, keepdim=True)
    for order, (one, other) in enumerate(zip(found, expected, strict=True)):
        assert one.isfinite().all()
        scale = length**order  # short vectors turn fast
        torch.testing.assert_close(one * scale, other * scale, rtol=1e-9, atol=1e-9)
        assert rows == 0 or (other * scale).abs().max() > 0.01


def test_single_precision_and_the_second_derivative_of_a_loss():
    irreps, v = Irreps.spherical_harmonics(3), torch.randn(50, 3, generator=torch.Generator().manual_seed(0))
    for run in (harmonics, spherical_harmonics):
        argument = v.clone().requires_grad_()
        weights = torch.linspace(-1, 1, 16).requires_grad_()
        (slope,) = torch.autograd.grad((run(irreps, argument) * weights).sum(), argument, create_graph=True)
        found = torch.autograd.grad((slope**3).sum(), (argument, weights))
        if run is harmonics:
            first = found
    for one, other in zip(first, found, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-4)


def test_other_degrees_are_those_of_o3_and_strides_do_not_matter():
    v = vectors(5)
    for irreps in (Irreps("0e"), Irreps("1o"), Irreps("0e+2e"), Irreps.spherical_harmonics(5)):
        assert torch.equal(harmonics(irreps, v), spherical_harmonics(irreps, v))
    columns = v.detach().mT.contiguous().mT
    assert not columns.is_contiguous()
    irreps = Irreps.spherical_harmonics(2)
    torch.testing.assert_close(harmonics(irreps, columns), spherical_harmonics(irreps, columns))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_threads_change_no_bit(dtype):
    irreps, before, found = Irreps.spherical_harmonics(2), torch.get_num_threads(), []
    try:
        for threads in (1, 3):
            torch.set_num_threads(threads)
            v = vectors(30_001, dtype)
            y = harmonics(irreps, v)
            found.append((y.detach(), *torch.autograd.grad((y**3).sum(), v)))
    finally:
        torch.set_num_threads(before)
    assert all(torch.equal(one, other) for one, other in zip(*found, strict=True))


def test_they_are_what_the_fakes_promise():
    v, g = vectors(4), torch.randn(4, 9, dtype=torch.float64, requires_grad=True)
    for op, given in ((torch.ops.subduce.harmonics, (v, 2)), (torch.ops.subduce.harmonics_slopes, (v, g, 2))):
        utils = ("test_schema", "test_faketensor", "test_autograd_registration")
        torch.library.opcheck(op.default, given, test_utils=utils)
