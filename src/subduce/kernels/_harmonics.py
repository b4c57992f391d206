"""Spherical harmonics of edges: in C on CPUs, value and two derivatives; elsewhere, and beyond, those of `o3`."""

import ctypes
from functools import cache

import torch
from jaxtyping import Float
from torch import Tensor

from ..o3 import Irreps, clebsch_gordan, spherical_harmonics
from . import _library as c
from ._operator import operator

L_MAX = 4
"""The highest degree that C has room for."""

_FEW = 20_000  # vectors below which another thread costs more than it saves


def harmonics(irreps: Irreps, vectors: Float[Tensor, "edges 3"]) -> Float[Tensor, "edges dim"]:
    """Real spherical harmonics of vectors of any length, normalised by component: those of `o3.spherical_harmonics`.

    Differentiable to any order. Compiled code takes degrees from 0 on without a gap, up to 4.
    """
    l_max = len(irreps) - 1
    if torch.compiler.is_compiling() or not 0 < l_max <= L_MAX or not c.fits(vectors):
        return spherical_harmonics(irreps, vectors)
    if [(mul, ir.l) for mul, ir in irreps] != [(1, l) for l in range(l_max + 1)]:
        return spherical_harmonics(irreps, vectors)
    return _values(vectors, l_max)


@operator("harmonics")
def _values(vectors: Tensor, l_max: int) -> Tensor:
    vectors = vectors.contiguous()
    y = vectors.new_empty(len(vectors), (l_max + 1) ** 2)
    _run(l_max, vectors, y=y)
    return y


@operator("harmonics_slopes")
def _slopes(vectors: Tensor, g: Tensor, l_max: int) -> Tensor:
    """The derivatives by the vectors of what has the derivatives `g` by the harmonics."""
    vectors = vectors.contiguous()
    slopes = torch.empty_like(vectors)
    _run(l_max, vectors, g=g.contiguous(), dv=slopes)
    return slopes


@operator("harmonics_curvatures")
def _curvatures(vectors: Tensor, g: Tensor, along: Tensor, l_max: int) -> tuple[Tensor, Tensor]:
    """How the slopes and the harmonics change along vectors: the derivatives of the slopes' product with these."""
    vectors = vectors.contiguous()
    by_vectors, by_g = torch.empty_like(vectors), vectors.new_empty(g.shape)
    _run(l_max, vectors, g=g.contiguous(), along=along.contiguous(), y=by_g, dv=by_vectors)
    return by_vectors, by_g


def _run(l_max: int, vectors: Tensor, **rows: Tensor) -> None:
    terms = harmonic_terms(l_max)
    task = c.Harmonics(ctypes.addressof(terms), len(terms), (l_max + 1) ** 2, vectors.data_ptr())
    for name, values in rows.items():
        setattr(task, name, values.data_ptr())
    threads = torch.get_num_threads() if len(vectors) > _FEW else 1
    cuts = [len(vectors) * part // threads for part in range(threads + 1)]
    c.share("subduce_harmonics", task, (vectors.dtype == torch.float64,), cuts)


@_values.register_fake
def _(vectors, l_max):
    return vectors.new_empty(len(vectors), (l_max + 1) ** 2)


@_slopes.register_fake
def _(vectors, g, l_max):
    return torch.empty_like(vectors, memory_format=torch.contiguous_format)


def _save(ctx, inputs, output) -> None:
    *tensors, ctx.l_max = inputs
    ctx.save_for_backward(*tensors)


def _differentiate(ctx, g):
    (vectors,) = ctx.saved_tensors
    return _slopes(vectors, g, ctx.l_max), None


def _differentiate_slopes(ctx, along):
    vectors, g = ctx.saved_tensors
    if not torch.is_grad_enabled():
        return *_curvatures(vectors, g, along, ctx.l_max), None
    # A third derivative is asked for: the formula itself has them all. What depends on g through the vectors is not
    # a part of this derivative, so both begin anew here.
    vectors, g = vectors.view_as(vectors), g.view_as(g)
    values = spherical_harmonics(range(ctx.l_max + 1), vectors)
    (slopes,) = torch.autograd.grad(values, vectors, g, create_graph=True)
    return *torch.autograd.grad(slopes, (vectors, g), along, create_graph=True, materialize_grads=True), None


_values.register_autograd(_differentiate, setup_context=_save)
_slopes.register_autograd(_differentiate_slopes, setup_context=_save)


@cache
@torch.inference_mode(False)
def harmonic_terms(l_max: int) -> ctypes.Array:
    """The harmonics from the constant upwards: each degree is the one below coupled with the unit vector."""
    found: list[tuple[int, int, int, float]] = []
    for l in range(l_max):
        coupling = clebsch_gordan(l, 1, l + 1)
        # At the pole, the second axis, only the middle component is not zero: √(2l+1), by the normalisation.
        coupling = coupling * ((2 * l + 3) / (2 * l + 1)) ** 0.5 / coupling[l, 1, l + 1]
        found += [
            (l**2 + m, (l + 1) ** 2 + k, axis, coupling[m, axis, k].item())
            for m, axis, k in coupling.nonzero().tolist()
        ]
    table = (c.Term * len(found))()
    for row, (start, to, axis, factor) in zip(table, found, strict=True):
        row.start, row.to, row.axis, row.factor = start, to, axis, factor
    return table
