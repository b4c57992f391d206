"""Functions on the sphere: their values on a grid, and their coefficients in spherical harmonics."""

from dataclasses import dataclass
from functools import cached_property
from math import pi

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from ._harmonics import spherical_harmonics


@dataclass(frozen=True)
class SphereGrid:
    """A grid on the sphere that takes functions of degree up to `l_max` to coefficients and back, exactly.

    A function is f(v) = Σ c_lm Y_lm(v) with `component` harmonics, coefficients in the order of
    `Irreps.spherical_harmonics(l_max)`. `degree`, 2 l_max unless given, is the highest degree that the
    weights integrate exactly; a larger one serves functions that are sharper than l_max, or a finer picture.
    Gauss-Legendre along the polar axis y, uniform about it.

    >>> grid = SphereGrid(2)
    >>> round(grid.weights.sum().item() / torch.pi, 12)
    4.0
    >>> grid.from_grid(grid.points[:, 0] ** 2)[0].round(decimals=12)  # the mean of x² is a third
    tensor(0.3333, dtype=torch.float64)
    """

    l_max: int
    degree: int | None = None

    def __post_init__(self) -> None:
        if self.l_max < 0 or (self.degree is not None and self.degree < 2 * self.l_max):
            raise ValueError(f"degree is at least 2 l_max and l_max ≥ 0, got l_max = {self.l_max}, {self.degree}")

    @property
    def shape(self) -> tuple[int, int]:
        """Numbers of latitudes, from y = −1 to 1, and of longitudes; points are in this order, flat."""
        degree = 2 * self.l_max if self.degree is None else self.degree
        return degree // 2 + 1, degree + 1

    @cached_property
    def points(self) -> Float[Tensor, "points 3"]:
        """Unit vectors, float64."""
        y, longitude = torch.from_numpy(np.polynomial.legendre.leggauss(self.shape[0])[0]), self.shape[1]
        angle = torch.arange(longitude, dtype=torch.float64) * (2 * pi / longitude)
        ring = torch.sqrt((1 - y) * (1 + y))[:, None]
        parts = (ring * torch.sin(angle), y[:, None].expand(-1, longitude), ring * torch.cos(angle))
        return torch.stack(parts, -1).flatten(0, 1)

    @cached_property
    def weights(self) -> Float[Tensor, " points"]:
        """Quadrature weights, float64; their sum is 4π."""
        weights = torch.from_numpy(np.polynomial.legendre.leggauss(self.shape[0])[1])
        return (weights * (2 * pi / self.shape[1])).repeat_interleave(self.shape[1])

    def to_grid(self, coefficients: Float[Tensor, "*batch dim"]) -> Float[Tensor, "*batch points"]:
        """Values on the grid's points."""
        return coefficients @ self._harmonics.mT.to(coefficients)

    def from_grid(self, values: Float[Tensor, "*batch points"]) -> Float[Tensor, "*batch dim"]:
        """Coefficients up to `l_max` of a function known on the grid's points."""
        return values @ (self._harmonics * self.weights[:, None] / (4 * pi)).to(values)

    def power(self, coefficients: Float[Tensor, "*batch dim"]) -> Float[Tensor, "*batch degrees"]:
        """What each degree adds to the mean of f² over the sphere; no rotation changes it."""
        blocks = coefficients.square().split([2 * l + 1 for l in range(self.l_max + 1)], dim=-1)
        return torch.stack([block.sum(-1) for block in blocks], dim=-1)

    def delta(self, directions: Float[Tensor, "*batch 3"]) -> Float[Tensor, "*batch dim"]:
        """Coefficients of the function that picks f(direction) out of the integral ∫ f δ over the sphere."""
        return spherical_harmonics(range(self.l_max + 1), directions) / (4 * pi)

    @cached_property
    def _harmonics(self) -> Tensor:
        return spherical_harmonics(range(self.l_max + 1), self.points)
