"""Rotations between their forms, against e3nn; uniform random ones."""

import e3nn.o3
import pytest
import torch

from subduce.o3 import (
    axis_angle_to_matrix,
    euler_to_matrix,
    matrix_to_axis_angle,
    matrix_to_euler,
    random_rotations,
)


def test_random_rotations_are_reproducible_proper_and_uniform(generator):
    r = random_rotations(20000, generator=generator)
    assert torch.equal(r[:5], random_rotations(20000, generator=torch.Generator().manual_seed(0))[:5])
    torch.testing.assert_close(r @ r.mT, torch.eye(3, dtype=torch.float64).expand_as(r), rtol=0, atol=1e-14)
    assert (torch.linalg.det(r) > 0).all()
    # Over all rotations a matrix element has mean 0 and mean square 1/3, and the trace has mean square 1.
    assert r.mean(0).abs().max() < 0.02
    assert (r.square().mean(0) - 1 / 3).abs().max() < 0.01
    trace = r.diagonal(dim1=1, dim2=2).sum(-1)
    assert abs(trace.square().mean() - 1) < 0.04


def test_angles_equal_e3nn():
    angles = torch.rand(3, 10, dtype=torch.float64, generator=torch.Generator().manual_seed(1)) * 3
    rotation = e3nn.o3.angles_to_matrix(*angles)
    torch.testing.assert_close(euler_to_matrix(*angles), rotation)
    torch.testing.assert_close(torch.stack(matrix_to_euler(rotation)), angles)
    axis, angle = e3nn.o3.matrix_to_axis_angle(rotation)
    torch.testing.assert_close(matrix_to_axis_angle(rotation), (axis, angle))
    torch.testing.assert_close(axis_angle_to_matrix(5 * axis, angle), rotation)


@pytest.mark.parametrize("exponent", range(-16, 0, 2))
def test_small_angles_keep_all_their_digits(exponent):
    angle = torch.tensor(10.0**exponent, dtype=torch.float64)
    axis = torch.tensor([0.6, 0.0, 0.8], dtype=torch.float64)
    found_axis, found = matrix_to_axis_angle(axis_angle_to_matrix(axis, angle))
    torch.testing.assert_close(found, angle, rtol=1e-14, atol=0)
    torch.testing.assert_close(found_axis, axis, rtol=1e-14, atol=1e-14)


def test_half_turns_and_no_turn():
    for diagonal in ([1, -1, -1], [-1, 1, -1], [-1, -1, 1]):
        axis, angle = matrix_to_axis_angle(torch.diag(torch.tensor(diagonal, dtype=torch.float64)))
        assert angle.item() == pytest.approx(torch.pi)
        assert axis.abs().tolist() == [float(d == 1) for d in diagonal]
    axis, angle = matrix_to_axis_angle(torch.eye(3, dtype=torch.float64))
    assert (axis.tolist(), angle.item()) == ([0, 1, 0], 0)


def test_what_is_not_a_rotation_is_refused():
    with pytest.raises(ValueError, match="length above 0"):
        axis_angle_to_matrix(torch.zeros(3), torch.tensor(1.0))
    for convert in (matrix_to_axis_angle, matrix_to_euler):
        with pytest.raises(ValueError, match="determinant"):
            convert(-torch.eye(3))
        with pytest.raises(ValueError, match="orthogonal"):
            convert(2 * torch.eye(3))
