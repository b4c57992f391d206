r"""Radial functions as cubic splines: for inference, where a network on the length of every edge would cost the most.

A table holds for each interval of length h, and each of its many functions, the four coefficients of a
cubic in $t = r/h - i$; the pieces meet with equal values, slopes and curvatures. Besides the functions
themselves, $s^{(k)}(r)$, their products with a cotangent are an operator, $\langle a, s^{(k)}(r) \rangle$, so that
neither derivatives nor what they are made of is ever stored for an edge. The two are closed:

$$ \frac{\partial}{\partial r} \langle a, s^{(k)} \rangle = \langle a, s^{(k+1)} \rangle, \qquad
   \frac{\partial}{\partial a} \, g \, \langle a, s^{(k)} \rangle = g \, s^{(k)} . $$
"""

from typing import final

import torch
from jaxtyping import Float
from torch import Tensor

from . import _cpu

_FACTORS = ((1, 1, 1, 1), (0, 1, 2, 3), (0, 0, 2, 6), (0, 0, 0, 6))
"""By order of the derivative: what each coefficient is multiplied with."""


def spline_coefficients(values: Float[Tensor, "knots functions"]) -> Float[Tensor, "intervals 4 functions"]:
    """Coefficients of the cubic splines through values at equally spaced knots, the last with slope zero.

    The first piece continues the second without a jump in its third derivative (`not a knot`).
    Raises `ValueError` for fewer than four knots.
    """
    knots = values.shape[0]
    if knots < 4:
        raise ValueError(f"a cubic spline needs at least 4 knots, got {knots}")
    values = values.double()
    # The slopes m solve m[i-1] + 4 m[i] + m[i+1] = 3 (v[i+1] − v[i-1]) inside.
    matrix = torch.zeros(knots, knots, dtype=torch.float64)
    inner = torch.arange(1, knots - 1)
    matrix[inner, inner - 1], matrix[inner, inner], matrix[inner, inner + 1] = 1.0, 4.0, 1.0
    right = torch.zeros_like(values)
    right[1:-1] = 3 * (values[2:] - values[:-2])
    matrix[0, :3] = torch.tensor([1.0, 0.0, -1.0])
    right[0] = 2 * (2 * values[1] - values[0] - values[2])
    matrix[-1, -1] = 1.0
    slopes = torch.linalg.solve(matrix, right)
    step = values[1:] - values[:-1]
    before, after = slopes[:-1], slopes[1:]
    return torch.stack([values[:-1], before, 3 * step - 2 * before - after, before + after - 2 * step], dim=1)


@final
class SplineTable:
    """Evaluates splines and their derivatives at many lengths; `coefficients` as `spline_coefficients` gives them.

    Beyond the last knot everything is zero.
    """

    def __init__(self, coefficients: Float[Tensor, "intervals 4 functions"], spacing: float) -> None:
        self.coefficients, self.spacing = coefficients, spacing

    def __call__(self, r: Float[Tensor, " edges"], order: int = 0) -> Float[Tensor, "edges functions"]:
        """Every function, or its derivative of an order, at every length; differentiable by `r` to any order."""
        return _values(r, self.coefficients, self.spacing, order)


@torch.library.custom_op("subduce::spline", mutates_args=())
def _values(r: Tensor, coefficients: Tensor, spacing: float, order: int) -> Tensor:
    """The derivatives s^(order)(r) of all functions."""
    fast = _cpu.spline(r, coefficients, spacing, order)
    if fast is not None:
        return fast
    result = r.new_zeros(r.shape[0], coefficients.shape[2])
    if order < 4:
        for piece in _pieces(r, coefficients):
            rows, near, powers = _located(r[piece], coefficients, spacing, order)
            result[piece] = torch.einsum("ep,epf->ef", powers, coefficients[rows]) * near
    return result


@torch.library.custom_op("subduce::spline_dot", mutates_args=())
def _dots(a: Tensor, r: Tensor, coefficients: Tensor, spacing: float, order: int) -> Tensor:
    """The products of `a` with s^(order)(r), edge by edge."""
    fast = _cpu.spline(r, coefficients, spacing, order, a)
    if fast is not None:
        return fast
    result = torch.zeros_like(r)
    if order < 4:
        for piece in _pieces(r, coefficients):
            rows, near, powers = _located(r[piece], coefficients, spacing, order)
            products = torch.einsum("epf,ef->ep", coefficients[rows], a[piece])
            result[piece] = (products * powers).sum(-1) * near[:, 0]
    return result


def _pieces(r: Tensor, coefficients: Tensor) -> list[slice]:
    """Ranges of edges whose coefficients stay in the processor's cache."""
    length = max(1, 2**18 // max(1, coefficients.shape[1] * coefficients.shape[2]))
    return [slice(begin, begin + length) for begin in range(0, r.shape[0], length)]


def _located(r: Tensor, coefficients: Tensor, spacing: float, order: int) -> tuple[Tensor, Tensor, Tensor]:
    """For each length its interval, whether it has one, and the factors of the four coefficients."""
    place = r / spacing
    rows = place.long().clamp(0, coefficients.shape[0] - 1)
    t = place - rows
    powers = [factor * spacing**-order * t ** max(power - order, 0) for power, factor in enumerate(_FACTORS[order])]
    return rows, (place < coefficients.shape[0]).to(r.dtype)[:, None], torch.stack(powers, dim=-1)


@_values.register_fake
def _(r, coefficients, spacing, order):
    return r.new_empty(r.shape[0], coefficients.shape[2])


@_dots.register_fake
def _(a, r, coefficients, spacing, order):
    return torch.empty_like(r)


def _save_values(ctx, inputs, output) -> None:
    r, coefficients, ctx.spacing, ctx.order = inputs
    ctx.save_for_backward(r, coefficients)


def _differentiate_values(ctx, cotangent):
    r, coefficients = ctx.saved_tensors
    return _dots(cotangent, r, coefficients, ctx.spacing, ctx.order + 1), None, None, None


def _save_dots(ctx, inputs, output) -> None:
    a, r, coefficients, ctx.spacing, ctx.order = inputs
    ctx.save_for_backward(a, r, coefficients)


def _differentiate_dots(ctx, cotangent):
    a, r, coefficients = ctx.saved_tensors
    by_a = by_r = None
    if ctx.needs_input_grad[0]:
        by_a = cotangent[:, None] * _values(r, coefficients, ctx.spacing, ctx.order)
    if ctx.needs_input_grad[1]:
        by_r = cotangent * _dots(a, r, coefficients, ctx.spacing, ctx.order + 1)
    return by_a, by_r, None, None, None


_values.register_autograd(_differentiate_values, setup_context=_save_values)
_dots.register_autograd(_differentiate_dots, setup_context=_save_dots)
