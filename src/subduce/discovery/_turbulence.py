"""One-point statistics of velocities: how anisotropic their second moment is, and what it keeps."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float


@dataclass(frozen=True)
class Anisotropy:
    """The anisotropy b_ij = ⟨u_i u_j⟩/⟨u_k u_k⟩ − δ_ij/3 of a Reynolds stress, its invariants and what it keeps."""

    tensor: Float[np.ndarray, "3 3"]
    eta: float
    """6 η² = b_ij b_ji."""
    xi: float
    """6 ξ³ = b_ij b_jk b_ki: positive where one direction has most, negative where one has least."""
    shares: tuple[float, float, float]
    """Of turbulence with one component, with two, and isotropic: they add up to 1."""
    preserved: str
    axis: tuple[float, float, float] | None
    """About which all turns are kept, where these are."""


def anisotropy(stress: Float[np.ndarray, "3 3"], *, alike: float = 1e-6) -> Anisotropy:
    """How anisotropic a second moment of velocities is (Lumley 1978, Choi and Lumley 2001, Banerjee et al. 2007).

    Eigenvalues of b nearer than `alike` count as one; for moments of few samples take their error. Raises `ValueError`
    for what is no symmetric positive matrix of 3 × 3.

    >>> found = anisotropy(np.diag([4.0, 1.0, 1.0]))
    >>> round(found.eta, 4), round(found.xi, 4), found.preserved, found.axis
    (0.1667, 0.1667, 'Dinfh', (1.0, 0.0, 0.0))
    """
    stress = np.asarray(stress, dtype=np.float64)
    if stress.shape != (3, 3) or not np.allclose(stress, stress.T) or not np.trace(stress) > 0:
        raise ValueError(f"expected a symmetric 3 × 3 matrix of positive trace, got {stress.tolist()}")
    b = stress / np.trace(stress) - np.eye(3) / 3
    values, vectors = np.linalg.eigh(b)
    third, second, first = values.tolist()
    if third < -1 / 3 - 1e-9:
        raise ValueError(f"no second moment has a negative eigenvalue, as {stress.tolist()} does")
    upper, lower = first - second <= alike, second - third <= alike
    axis = None if upper == lower else vectors[:, 0 if upper else 2]
    return Anisotropy(
        tensor=b,
        eta=float(((b @ b).trace() / 6) ** 0.5),
        xi=float(np.cbrt((b @ b @ b).trace() / 6)),
        shares=(first - second, 2 * (second - third), 3 * third + 1),
        preserved="O3" if upper and lower else "Dinfh" if axis is not None else "D2h",
        axis=None if axis is None else tuple((axis * np.sign(axis[np.argmax(np.abs(axis))])).round(12).tolist()),
    )
