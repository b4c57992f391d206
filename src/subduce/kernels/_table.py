r"""Radial functions as cubic splines: for inference, where a network on the length of every edge would cost the most.

A table holds the coefficients of cubic B-splines at equal distances h, one row a spline and one column a function;
four of them reach any length. So a value is a sum of four rows, whatever the coefficients it has continuous first and
second derivatives, and there is a quarter of the numbers that four powers for each interval would take. Besides the
functions themselves, $s^{(k)}(r)$, their products with a cotangent are an operator,
$\langle a, s^{(k)}(r) \rangle$, so that neither derivatives nor what they are made of is ever stored for an edge.
The two are closed:

$$ \frac{\partial}{\partial r} \langle a, s^{(k)} \rangle = \langle a, s^{(k+1)} \rangle, \qquad
   \frac{\partial}{\partial a} \, g \, \langle a, s^{(k)} \rangle = g \, s^{(k)} . $$
"""

from math import perm
from typing import final

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from . import _cpu
from ._operator import operator

_CUBIC = ((1, -3, 3, -1), (4, 0, -6, 3), (1, 3, 3, -3), (0, 0, 0, 1))
"""Six times the powers 0 to 3 of t = r/h − i in each of the four splines that reach interval i."""


def spline_coefficients(values: Float[Tensor, "knots functions"]) -> Float[Tensor, "knots+2 functions"]:
    """Coefficients of the cubic splines through values at equally spaced knots, the last with slope zero.

    The first piece continues the second without a jump in its third derivative (`not a knot`).
    Raises `ValueError` for fewer than four knots.
    """
    knots = values.shape[0]
    if knots < 4:
        raise ValueError(f"a cubic spline needs at least 4 knots, got {knots}")
    v = 6 * values.double().cpu().numpy()
    c = np.zeros((knots + 2, values.shape[1]))
    # A value is (c[i] + 4 c[i+1] + c[i+2]) / 6. Without a jump at knot 1, the first three alone give c[2].
    c[2] = (8 * v[1] - v[0] - v[2]) / 36
    # The rest is tridiagonal: eliminated upwards, where the last slope gives c[knots+1] = c[knots−1], and back.
    pivots = [4.0]
    c[3] = v[2] - c[2]
    for i in range(4, knots + 1):
        before = 2.0 if i == knots else 1.0
        c[i] = v[i - 1] - before / pivots[-1] * c[i - 1]
        pivots.append(4.0 - before / pivots[-1])
    for i in range(knots, 2, -1):
        c[i] = (c[i] - (c[i + 1] if i < knots else 0.0)) / pivots[i - 3]
    c[knots + 1] = c[knots - 1]
    c[1] = v[1] - 4 * c[2] - c[3]
    c[0] = v[0] - 4 * c[1] - c[2]
    return torch.from_numpy(c)


def local_coefficients(values: Float[Tensor, "knots functions"]) -> Float[Tensor, "coefficients functions"]:
    """Coefficients near those of the splines through values, each from three neighbours: no system to solve.

    Two knots more than the splines have intervals and one are needed on either side. The error is of the same fourth
    order (quasi-interpolation: c = v − v″/6), and gradients stay local.
    """
    return (8 * values[1:-1] - values[:-2] - values[2:]) / 6


@final
class SplineTable:
    """Evaluates splines and their derivatives at many lengths; `coefficients` as `spline_coefficients` gives them.

    Beyond the last knot everything is zero.
    """

    def __init__(self, coefficients: Float[Tensor, "coefficients functions"], spacing: float) -> None:
        self.coefficients, self.spacing = coefficients, spacing

    def __call__(self, r: Float[Tensor, " edges"], order: int = 0) -> Float[Tensor, "edges functions"]:
        """Every function, or its derivative of an order, at every length; differentiable to any order."""
        return _values(r, self.coefficients, self.spacing, order)


@operator("spline")
def _values(r: Tensor, coefficients: Tensor, spacing: float, order: int) -> Tensor:
    """The derivatives s^(order)(r) of all functions."""
    fast = _cpu.spline(r, coefficients, spacing, order)
    if fast is not None:
        return fast
    result = r.new_zeros(r.shape[0], coefficients.shape[1])
    if order < 4:
        for piece in _pieces(r, coefficients):
            rows, factors = _located(r[piece], coefficients, spacing, order)
            result[piece] = torch.einsum("ep,epf->ef", factors, coefficients[rows])
    return result


@operator("spline_dot")
def _dots(a: Tensor, r: Tensor, coefficients: Tensor, spacing: float, order: int) -> Tensor:
    """The products of `a` with s^(order)(r), edge by edge."""
    fast = _cpu.spline(r, coefficients, spacing, order, a)
    if fast is not None:
        return fast
    result = torch.zeros_like(r)
    if order < 4:
        for piece in _pieces(r, coefficients):
            rows, factors = _located(r[piece], coefficients, spacing, order)
            result[piece] = torch.einsum("epf,ep,ef->e", coefficients[rows], factors, a[piece])
    return result


def _pieces(r: Tensor, coefficients: Tensor) -> list[slice]:
    """Ranges of edges whose coefficients stay in the processor's cache."""
    length = max(1, 2**18 // max(1, 4 * coefficients.shape[1]))
    return [slice(begin, begin + length) for begin in range(0, r.shape[0], length)]


def _located(r: Tensor, coefficients: Tensor, spacing: float, order: int) -> tuple[Tensor, Tensor]:
    """For each length the four rows of coefficients that reach it and their factors, zero beyond the last knot."""
    place = r / spacing
    first = place.nan_to_num().long().clamp(0, coefficients.shape[0] - 4)
    t = place - first
    powers = [
        perm(power, order) * t ** (power - order) if power >= order else torch.zeros_like(t) for power in range(4)
    ]
    factors = torch.stack(powers, -1) @ t.new_tensor(_CUBIC).mT * (spacing**-order / 6)
    beyond = place >= coefficients.shape[0] - 3
    return first[:, None] + torch.arange(4, device=r.device), factors.masked_fill(beyond[:, None], 0.0)


@_values.register_fake
def _(r, coefficients, spacing, order):
    return r.new_empty(r.shape[0], coefficients.shape[1])


@_dots.register_fake
def _(a, r, coefficients, spacing, order):
    return torch.empty_like(r)


@operator("spline_sums")
def _sums(a: Tensor, r: Tensor, spacing: float, order: int, rows: int) -> Tensor:
    """The derivatives by the coefficients of Σ ⟨a, s^(order)(r)⟩ over all lengths."""
    fast = _cpu.spline_sums(a, r, spacing, order, rows)
    if fast is not None:
        return fast
    result = a.new_zeros(rows, a.shape[1])
    if order < 4:
        places, factors = _located(r, result, spacing, order)
        for row, factor in zip(places.unbind(1), factors.unbind(1), strict=True):
            result.index_add_(0, row, factor[:, None] * a)
    return result


@_sums.register_fake
def _(a, r, spacing, order, rows):
    return a.new_empty(rows, a.shape[1])


def _save_values(ctx, inputs, output) -> None:
    r, coefficients, ctx.spacing, ctx.order = inputs
    ctx.save_for_backward(r, coefficients)


def _differentiate_values(ctx, cotangent):
    r, coefficients = ctx.saved_tensors
    by_r = by_coefficients = None
    if ctx.needs_input_grad[0]:
        by_r = _dots(cotangent, r, coefficients, ctx.spacing, ctx.order + 1)
    if ctx.needs_input_grad[1]:
        by_coefficients = _sums(cotangent, r, ctx.spacing, ctx.order, coefficients.shape[0])
    return by_r, by_coefficients, None, None


def _save_dots(ctx, inputs, output) -> None:
    a, r, coefficients, ctx.spacing, ctx.order = inputs
    ctx.save_for_backward(a, r, coefficients)


def _differentiate_dots(ctx, cotangent):
    a, r, coefficients = ctx.saved_tensors
    by_a = by_r = by_coefficients = None
    if ctx.needs_input_grad[0]:
        by_a = cotangent[:, None] * _values(r, coefficients, ctx.spacing, ctx.order)
    if ctx.needs_input_grad[1]:
        by_r = cotangent * _dots(a, r, coefficients, ctx.spacing, ctx.order + 1)
    if ctx.needs_input_grad[2]:
        by_coefficients = _sums(cotangent[:, None] * a, r, ctx.spacing, ctx.order, coefficients.shape[0])
    return by_a, by_r, by_coefficients, None, None


def _save_sums(ctx, inputs, output) -> None:
    a, r, ctx.spacing, ctx.order, _ = inputs
    ctx.save_for_backward(a, r)


def _differentiate_sums(ctx, cotangent):
    a, r = ctx.saved_tensors
    by_a = by_r = None
    if ctx.needs_input_grad[0]:
        by_a = _values(r, cotangent, ctx.spacing, ctx.order)
    if ctx.needs_input_grad[1]:
        by_r = _dots(a, r, cotangent, ctx.spacing, ctx.order + 1)
    return by_a, by_r, None, None, None


_values.register_autograd(_differentiate_values, setup_context=_save_values)
_sums.register_autograd(_differentiate_sums, setup_context=_save_sums)
_dots.register_autograd(_differentiate_dots, setup_context=_save_dots)
