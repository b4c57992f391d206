"""Rotations as matrices, as axis and angle, and as Euler angles.

They are active, R turns the vector v into R v; angles are in radians.
"""

import torch
from jaxtyping import Float
from torch import Tensor


def random_rotations(
    n: int, *, generator: torch.Generator, dtype: torch.dtype = torch.float64
) -> Float[Tensor, "{n} 3 3"]:
    """Uniform rotations: the Q of a Gaussian matrix, signs fixed so that it is uniform and det Q = +1."""
    gauss = torch.randn(n, 3, 3, dtype=dtype, generator=generator, device=generator.device)
    q, r = torch.linalg.qr(gauss)
    q = q * r.diagonal(dim1=-2, dim2=-1).sign().unsqueeze(-2)
    return q * torch.linalg.det(q).sign()[:, None, None]


def axis_angle_to_matrix(
    axis: Float[Tensor, "*batch 3"], angle: Float[Tensor, "*batch"]
) -> Float[Tensor, "*batch 3 3"]:
    """The right-handed rotation about an axis, whose length does not matter (Rodrigues' formula).

    Raises `ValueError` where an axis has length 0.

    >>> quarter = axis_angle_to_matrix(torch.tensor([0.0, 0.0, 2.0]), torch.tensor(torch.pi / 2))
    >>> (quarter @ torch.tensor([1.0, 0.0, 0.0])).round().long()
    tensor([0, 1, 0])
    """
    length = torch.linalg.vector_norm(axis, dim=-1, keepdim=True)
    if (length == 0).any():
        raise ValueError("an axis of rotation has a length above 0, got the zero vector")
    x, y, z = (axis / length).unbind(-1)
    zero = torch.zeros_like(x)
    cross = torch.stack([zero, -z, y, z, zero, -x, -y, x, zero], -1).unflatten(-1, (3, 3))
    sine, half = torch.sin(angle)[..., None, None], torch.sin(angle / 2)[..., None, None]
    identity = torch.eye(3, dtype=axis.dtype, device=axis.device)
    return identity + sine * cross + 2 * half**2 * (cross @ cross)


def matrix_to_axis_angle(
    rotation: Float[Tensor, "*batch 3 3"],
) -> tuple[Float[Tensor, "*batch 3"], Float[Tensor, "*batch"]]:
    """Unit axis and angle in [0, π] of a rotation, accurate at every angle; the identity's axis is y.

    Goes through the quaternion (w, x, y, z), taking the row of 4 q qᵀ with the largest diagonal
    (Shepperd, J. Guidance Control 1, 223, 1978). Raises `ValueError` where R is not a rotation.
    """
    check_rotation(rotation, proper=True)
    m = rotation
    xx, yy, zz = m.diagonal(dim1=-2, dim2=-1).unbind(-1)
    wx, wy, wz = m[..., 2, 1] - m[..., 1, 2], m[..., 0, 2] - m[..., 2, 0], m[..., 1, 0] - m[..., 0, 1]
    xy, xz, yz = m[..., 0, 1] + m[..., 1, 0], m[..., 0, 2] + m[..., 2, 0], m[..., 1, 2] + m[..., 2, 1]
    diagonal = torch.stack([1 + xx + yy + zz, 1 + xx - yy - zz, 1 - xx + yy - zz, 1 - xx - yy + zz], -1)
    w, x, y, z = diagonal.unbind(-1)
    products = torch.stack([w, wx, wy, wz, wx, x, xy, xz, wy, xy, y, yz, wz, xz, yz, z], -1).unflatten(-1, (4, 4))
    largest = diagonal.argmax(-1)[..., None, None].expand(*diagonal.shape[:-1], 1, 4)
    quaternion = products.gather(-2, largest).squeeze(-2)
    quaternion = quaternion * torch.where(quaternion[..., :1] < 0, -1.0, 1.0)
    vector = quaternion[..., 1:]
    length = torch.linalg.vector_norm(vector, dim=-1, keepdim=True)
    default = torch.tensor([0.0, 1.0, 0.0], dtype=rotation.dtype, device=rotation.device)
    axis = torch.where(length > 0, vector / torch.where(length > 0, length, 1.0), default)
    return axis, 2 * torch.atan2(length.squeeze(-1), quaternion[..., 0])


def euler_to_matrix(
    alpha: Float[Tensor, "*batch"], beta: Float[Tensor, "*batch"], gamma: Float[Tensor, "*batch"]
) -> Float[Tensor, "*batch 3 3"]:
    """R = R_y(α) R_x(β) R_y(γ), e3nn's Euler angles: γ about y first, α about y last."""
    return _about(1, alpha) @ _about(0, beta) @ _about(1, gamma)


def matrix_to_euler(
    rotation: Float[Tensor, "*batch 3 3"],
) -> tuple[Float[Tensor, "*batch"], Float[Tensor, "*batch"], Float[Tensor, "*batch"]]:
    """Euler angles (α, β, γ) about y, x, y, with β in [0, π]; `euler_to_matrix` gives R back.

    At the poles, β = 0 or π, only α ± γ means anything; the angles stay exact as a whole there.
    Raises `ValueError` where R is not a rotation.
    """
    check_rotation(rotation, proper=True)
    x, y, z = rotation[..., :, 1].unbind(-1)  # where the pole goes
    alpha, beta = torch.atan2(x, z), torch.atan2(torch.hypot(x, z), y)
    rest = (_about(1, alpha) @ _about(0, beta)).mT @ rotation
    return alpha, beta, torch.atan2(rest[..., 0, 2], rest[..., 0, 0])


def check_rotation(rotation: Float[Tensor, "*batch 3 3"], *, proper: bool) -> None:
    """Raises `ValueError` unless R Rᵀ = 1 to 1e-5 and, for proper ones, det R = +1."""
    exact = rotation.detach().to(torch.float64)
    error = (exact @ exact.mT - torch.eye(3, dtype=torch.float64, device=rotation.device)).abs()
    if error.numel() and not error.max() < 1e-5:
        raise ValueError(f"a rotation is an orthogonal matrix, but R Rᵀ − 1 reaches {error.max().item():.3g}")
    if proper and (torch.linalg.det(exact) < 0).any():
        raise ValueError("expected rotations of determinant +1, got −1; irrep_matrix takes reflections too")


def _about(axis: int, angle: Tensor) -> Tensor:
    """The rotation about one of the axes x, y, z."""
    cosine, sine, one, zero = torch.cos(angle), torch.sin(angle), torch.ones_like(angle), torch.zeros_like(angle)
    rows = {
        0: [one, zero, zero, zero, cosine, -sine, zero, sine, cosine],
        1: [cosine, zero, sine, zero, one, zero, -sine, zero, cosine],
    }[axis]
    return torch.stack(rows, -1).unflatten(-1, (3, 3))
