"""A potential with its radial networks as splines: for inference, where they cost the most."""

import copy
from collections.abc import Callable

import torch
from torch import Tensor

from ..kernels import SplineTable, spline_coefficients
from ..nn import MLP, Convolution, Lengths, RadialBasis, Tabulated
from ._potential import Potential

_INTERVALS = (512, 1024, 2048, 4096)
_VALUE, _SLOPE = 2e-7, 2e-6
"""Largest errors of the weights and of their slopes, each relative to the largest."""
_STEP = 1e-5  # Å


def tabulated(potential: Potential) -> Potential:
    """A copy whose radial networks are cubic splines of the length, with continuous second derivatives.

    Forces stay the exact derivative of the energy, which is that of the splines. They are refined until
    they agree with the networks between the knots: weights to 2e-7 of the largest, slopes to 2e-6. The
    copy is for inference; `save` wants the original.

    Raises `ValueError` where 4096 intervals do not suffice: the radial functions are too steep.
    """
    if not isinstance(potential.radial, RadialBasis):
        return potential
    table = copy.deepcopy(potential).requires_grad_(False)
    for layer in table.layers:
        convolution: Convolution = layer.convolution  # type: ignore[assignment]
        convolution.radial = _spline(potential.radial, convolution.radial, potential)  # type: ignore[arg-type]
    table.radial = Lengths()
    return table


def _spline(basis: RadialBasis, network: MLP, potential: Potential) -> Tabulated:
    basis, network = copy.deepcopy(basis).cpu().double(), copy.deepcopy(network).cpu().double()

    def weights(r: Tensor) -> Tensor:
        values = network(basis(r))
        return values * basis.envelope(r)[:, None] if potential.config.radial_bias else values

    for intervals in _INTERVALS:
        knots = torch.linspace(0, basis.r_max, intervals + 1, dtype=torch.float64)
        coefficients = spline_coefficients(weights(knots))
        table = SplineTable(coefficients, basis.r_max / intervals)
        if all(_agrees(table, weights, some) for some in (knots[:-1:16], knots[:-1])):  # few tell of most that fail
            return Tabulated(coefficients.to(potential.embedding), basis.r_max)
    raise ValueError(
        f"the radial functions are too steep for a table of {_INTERVALS[-1]} intervals; use radial='exact'"
    )


def _agrees(table: SplineTable, weights: Callable[[Tensor], Tensor], knots: Tensor) -> bool:
    """Whether values and slopes agree well enough at three places after each of these knots."""
    between = torch.cat([knots + share * table.spacing for share in (0.25, 0.5, 0.75)])
    # In float64 a central difference knows slopes to about 1e-9 of the largest.
    before, values, after = (weights(between + step) for step in (-_STEP, 0.0, _STEP))
    slopes = (after - before) / (2 * _STEP)
    for order, exact, tolerance in ((0, values, _VALUE), (1, slopes, _SLOPE)):
        if (table(between, order) - exact).abs().max() > tolerance * exact.abs().max():
            return False
    return True
