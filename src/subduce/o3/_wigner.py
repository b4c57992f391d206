"""How degrees couple and turn: real Clebsch-Gordan coefficients and Wigner matrices, for any l.

Everything here is float64 and follows from exact rational arithmetic. The basis is e3nn's: real,
with m = −l … l about the y axis, so that degree 1 is (x, y, z).
"""

from fractions import Fraction
from functools import cache
from math import factorial, sqrt

import torch
from jaxtyping import Float
from torch import Tensor

from ._rotation import check_rotation


def clebsch_gordan(l1: int, l2: int, l3: int) -> Float[Tensor, "{2*l1+1} {2*l2+1} {2*l3+1}"]:
    """Real couplings C of degrees l1 ⊗ l2 → l3 in float64: e3nn's `wigner_3j`, signs included.

    C is invariant when all three indices turn, and its Frobenius norm is 1; √(2 l3 + 1) C has
    orthonormal columns. Raises `ValueError` unless |l1 − l2| ≤ l3 ≤ l1 + l2.

    >>> clebsch_gordan(1, 1, 0)[:, :, 0] * 3  # the scalar product of two vectors, scaled
    tensor([[1.7321, 0.0000, 0.0000],
            [0.0000, 1.7321, 0.0000],
            [0.0000, 0.0000, 1.7321]], dtype=torch.float64)
    """
    if min(l1, l2, l3) < 0 or not abs(l1 - l2) <= l3 <= l1 + l2:
        raise ValueError(
            f"degrees {l1} and {l2} couple to |l1 − l2| … l1 + l2 = {abs(l1 - l2)} … {l1 + l2}, got l3 = {l3}"
        )
    return _coupling(l1, l2, l3).clone()


def wigner_d(l: int, rotation: Float[Tensor, "*batch 3 3"]) -> Float[Tensor, "*batch {2*l+1} {2*l+1}"]:
    """The orthogonal matrices D with Y_l(R v) = D Y_l(v), in float64, for rotations R of determinant 1.

    Degree l is the highest part of degree l − 1 times a vector, so D climbs from degree to degree by
    one coupling each: no angles, hence no poles, and polynomial in R, hence differentiable.
    Raises `ValueError` where R is not a rotation.
    """
    if l < 0:
        raise ValueError(f"a degree is 0 or more, got l = {l}")
    check_rotation(rotation, proper=True)
    rotation = rotation.to(torch.float64)
    matrix = rotation.new_ones(*rotation.shape[:-2], 1, 1)
    for degree in range(l):
        up = climb(degree).to(rotation.device)
        matrix = torch.einsum("mic,...mn,...ij,njd->...cd", up, matrix, rotation, up)
    return matrix


def climb(l: int) -> Float[Tensor, "{2*l+1} 3 {2*l+3}"]:
    """The isometry that puts degree l + 1 into degree l ⊗ a vector."""
    return _coupling(l, 1, l + 1) * sqrt(2 * l + 3)


@cache
@torch.inference_mode(False)
def _coupling(l1: int, l2: int, l3: int) -> Tensor:
    complex_coupling = torch.zeros(2 * l1 + 1, 2 * l2 + 1, 2 * l3 + 1, dtype=torch.complex128, device="cpu")
    for m1 in range(-l1, l1 + 1):
        for m2 in range(max(-l2, -l3 - m1), min(l2, l3 - m1) + 1):
            coefficient = _su2_coefficient(l1, m1, l2, m2, l3)
            complex_coupling[l1 + m1, l2 + m2, l3 + m1 + m2] = coefficient
    q1, q2, q3 = (_real_to_complex(l) for l in (l1, l2, l3))
    coupling = torch.einsum("ia,jb,kc,ijk->abc", q1, q2, q3.conj(), complex_coupling).real
    # Half a turn about x tells which coefficients vanish; rounding must not fill them.
    sine1, sine2, sine3 = (torch.arange(-l, l + 1, device="cpu") < 0 for l in (l1, l2, l3))
    odd = sine1[:, None, None] ^ sine2[:, None] ^ sine3
    return torch.where(odd == bool((l1 + l2 + l3) % 2), coupling, 0.0)


def _su2_coefficient(j1: int, m1: int, j2: int, m2: int, j3: int) -> float:
    """⟨j1 m1 j2 m2 | j3 m1+m2⟩ / √(2 j3 + 1) by Racah's sum, exact until the square root.

    Condon and Shortley's phases; Varshalovich, Quantum Theory of Angular Momentum, 8.2.1.
    """
    m3 = m1 + m2
    total = Fraction(0)
    for k in range(max(0, j2 - j3 - m1, j1 - j3 + m2), min(j1 + j2 - j3, j1 - m1, j2 + m2) + 1):
        below = (k, j1 + j2 - j3 - k, j1 - m1 - k, j2 + m2 - k, j3 - j2 + m1 + k, j3 - j1 - m2 + k)
        total += Fraction((-1) ** k, _factorials(*below))
    triangle = Fraction(_factorials(j3 + j1 - j2, j3 - j1 + j2, j1 + j2 - j3), factorial(j1 + j2 + j3 + 1))
    magnetic = _factorials(j1 + m1, j1 - m1, j2 + m2, j2 - m2, j3 + m3, j3 - m3)
    size = sqrt(triangle * magnetic * total**2)
    return size if total > 0 else -size


def _factorials(*numbers: int) -> int:
    product = 1
    for number in numbers:
        product *= factorial(number)
    return product


def _real_to_complex(l: int) -> Tensor:
    """Rows: complex harmonics m = −l … l; columns: real ones; (−i)^l makes every coupling real."""
    real, imag = torch.zeros(2, 2 * l + 1, 2 * l + 1, dtype=torch.float64, device="cpu")
    real[l, l] = 1
    for m in range(1, l + 1):
        real[l - m, l + m], imag[l - m, l - m] = sqrt(0.5), -sqrt(0.5)
        real[l + m, l + m], imag[l + m, l - m] = (-1) ** m * sqrt(0.5), (-1) ** m * sqrt(0.5)
    return (1, -1j, -1, 1j)[l % 4] * torch.complex(real, imag)
