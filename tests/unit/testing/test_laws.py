"""The assertions pass what is right and catch what is wrong."""

import pytest
import torch

from subduce.o3 import Irreps
from subduce.testing import TOLERANCE, assert_conservative, assert_equivariant, assert_smooth

VECTORS, SCALARS = Irreps("2x1o"), Irreps("0e")


def length(x):
    return x.unflatten(-1, (3, 2)).square().sum((-2, -1)).sqrt()[:, None]


def swirl(x):
    """The axial vector v0 × v1 as if it were polar."""
    v = x.unflatten(-1, (3, 2))
    return torch.linalg.cross(v[..., 0], v[..., 1], dim=-1)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_equivariant_functions_pass(generator, dtype):
    assert_equivariant(length, VECTORS, SCALARS, generator=generator, dtype=dtype)
    assert_equivariant(lambda x: x * length(x), VECTORS, VECTORS, generator=generator, dtype=dtype)
    assert_equivariant(swirl, VECTORS, Irreps("1e"), generator=generator, dtype=dtype)


@pytest.mark.parametrize(
    ("f", "irreps_in", "irreps_out", "message"),
    [
        (torch.tanh, VECTORS, VECTORS, "a rotation"),
        (swirl, VECTORS, Irreps("1o"), "with inversion"),
        (lambda x: x * (1 + 1e-8 * x[:, :1]), VECTORS, VECTORS, "2x1o"),
        (lambda x: 0 * x, VECTORS, VECTORS, "cannot be judged"),
        (lambda x: x * torch.nan, VECTORS, VECTORS, "cannot be judged"),
        (lambda x: x, VECTORS, SCALARS, "shape"),
    ],
)
def test_others_are_caught(generator, f, irreps_in, irreps_out, message):
    with pytest.raises(AssertionError, match=message):
        assert_equivariant(f, irreps_in, irreps_out, generator=generator)


def energy(positions):
    distance = torch.pdist(positions)
    return (torch.exp(-2 * (distance - 1)) - 2 * torch.exp(1 - distance)).sum()


def test_forces_of_an_energy(generator):
    positions = torch.randn(4, 3, dtype=torch.float64, generator=generator)
    assert_conservative(energy, positions)
    x = positions.clone().requires_grad_(True)
    forces = -torch.autograd.grad(energy(x), x)[0]
    assert_conservative(energy, positions, forces)
    assert_conservative(energy, positions.float(), forces.float())
    for wrong in (-forces, forces * (1 + 1e-5), forces * torch.nan):
        with pytest.raises(AssertionError, match="−dE/dr"):
            assert_conservative(energy, positions, wrong)


def test_a_detached_energy_has_wrong_forces(generator):
    positions = torch.randn(4, 3, dtype=torch.float64, generator=generator)
    with pytest.raises(AssertionError, match="along"):
        assert_conservative(lambda r: energy(r) + energy(r.detach()), positions)


@pytest.mark.parametrize("order", range(4))
def test_smoothness_to_an_order(order):
    def kink(x):  # its first `order` derivatives are continuous, the next one jumps
        return 3 * x + torch.where(x < 1, (x - 1) ** (order + 1), 0.0)

    assert_smooth(kink, 1.0, order)
    assert_smooth(kink, 0.3, order + 1)
    with pytest.raises(AssertionError, match=f"derivative {order + 1} is not continuous"):
        assert_smooth(kink, 1.0, order + 1)


def test_steps_and_singular_points_are_not_smooth():
    with pytest.raises(AssertionError, match="derivative 0"):
        assert_smooth(lambda x: torch.where(x > 2, x, x + 1e-3), 2.0, 0)
    with pytest.raises(AssertionError, match="derivative 1"):
        assert_smooth(lambda x: x.abs().sqrt(), 0.0, 1)
    assert_smooth(lambda x: torch.zeros(()), 1.0, 2)


def test_the_tolerances_cannot_be_changed():
    with pytest.raises(TypeError):
        TOLERANCE["equal"][torch.float64] = 1.0
