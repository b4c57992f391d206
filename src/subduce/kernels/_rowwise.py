r"""Gates and norms as operators: each row by itself, in one pass of C for the results and for either derivative.

With $T(g, x, w, b) = \sum_i \langle g_i, F(x_i, w, b) \rangle$ the first derivatives are those of T by x, w and b, and
the second those of their product with what stands in their places. C computes both on CPUs; torch's own operators do
elsewhere, for functions that C does not know, and for derivatives beyond these.
"""

import ctypes
from ast import literal_eval
from collections.abc import Callable, Sequence
from functools import cache
from itertools import groupby
from typing import NamedTuple, final

import torch
from jaxtyping import Float
from torch import Tensor, nn

from . import _library as c
from ._operator import operator

FUNCTIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "silu": nn.functional.silu,
    "gelu": nn.functional.gelu,
    "relu": nn.functional.relu,
    "softplus": nn.functional.softplus,
    "sigmoid": torch.sigmoid,
    "tanh": torch.tanh,
    "abs": torch.abs,
    "mish": nn.functional.mish,
    "identity": lambda x: x,
}
"""Functions of scalars, by name."""

_IN_C = ("identity", "silu", "sigmoid", "tanh")  # as csrc/kernels.c numbers them

_FEW = 2**16  # numbers below which another thread costs more than it saves
_TOGETHER, _MOST_SUMS = 64, 16  # rows whose sums are added up first, at least; and how many such sums, at most


class GateBlock(NamedTuple):
    """Channels of one irrep times `scale` and a function of a scalar each; with no components, that function alone."""

    components: int
    channels: int
    function: str
    scale: float


class NormBlock(NamedTuple):
    """Channels of one irrep, whether they are centred, and the factor of their squares in what they are divided by."""

    components: int
    channels: int
    centred: bool
    share: float


@final
class GateMap:
    """A gate: in a row the scalars of all blocks come first, then what they open; in the result, block after block."""

    def __init__(self, blocks: Sequence[GateBlock]) -> None:
        self.blocks = tuple(blocks)
        self.num_scalars = sum(block.channels for block in blocks)
        self.dim_in = self.num_scalars + sum(block.components * block.channels for block in blocks)
        self.dim_out = sum(max(block.components, 1) * block.channels for block in blocks)
        self.num_weights = self.num_biases = 0
        self.in_c = all(block.function in _IN_C for block in blocks)
        self.key = repr((tuple(map(tuple, blocks)),))
        self._runs = [(*name, [*run]) for name, run in groupby(blocks, lambda block: (block.function, block.scale))]

    def __call__(self, x: Float[Tensor, "rows dim_in"]) -> Float[Tensor, "rows dim_out"]:
        """The gated rows, differentiable to any order. Raises `ValueError` for rows of another width."""
        return _computed(self, x)

    def by_torch(self, x: Tensor) -> Tensor:
        """The same by torch's operators, with one call for scalars beside one another that take one function."""
        parts, gate, start = [], 0, self.num_scalars
        for function, scale, run in self._runs:
            channels = [block.channels for block in run]
            opened = FUNCTIONS[function](x[:, gate : gate + sum(channels)]) * scale
            gate += sum(channels)
            for block, values in zip(run, opened.split(channels, -1), strict=True):
                end = start + block.components * block.channels
                rows, start = x[:, start:end].unflatten(-1, (block.components, block.channels)), end
                parts.append((rows * values[:, None, :]).flatten(-2) if block.components else values)
        return torch.cat(parts, -1) if parts else x[:, :0]

    def task(self) -> ctypes.Structure:
        """What C is told of it."""
        table = _gate_table(self.blocks)
        return c.Gate(ctypes.addressof(table), len(table), self.dim_in, self.dim_out)


@final
class NormMap:
    """A norm: each block divided by the root of `eps` and its size, or, `joint`, all by that of their sizes together.

    Scales stand in the order of the channels, and biases in that of the centred ones.
    """

    def __init__(self, blocks: Sequence[NormBlock], eps: float, *, joint: bool) -> None:
        self.blocks, self.eps, self.joint = tuple(blocks), eps, joint
        self.dim_in = self.dim_out = sum(block.components * block.channels for block in blocks)
        self.num_weights = sum(block.channels for block in blocks)
        self.num_biases = sum(block.channels for block in blocks if block.centred)
        self.in_c = True
        self.key = repr((tuple(map(tuple, blocks)), eps, joint))

    def __call__(
        self,
        x: Float[Tensor, "rows dim"],
        weights: Float[Tensor, " num_weights"],
        biases: Float[Tensor, " num_biases"] | None = None,
    ) -> Float[Tensor, "rows dim"]:
        """The normalised rows, differentiable to any order. Raises `ValueError` for other widths."""
        self.check(weights, biases)
        return _computed(self, x, weights, *(() if biases is None else (biases,)))

    def check(self, weights: Tensor, biases: Tensor | None) -> None:
        """Raise `ValueError` unless there is a scale for each channel, and a bias, if any, for each centred one."""
        if weights.shape != (self.num_weights,) or (biases is not None and biases.shape != (self.num_biases,)):
            raise ValueError(
                f"a norm of {self.num_weights} channels, {self.num_biases} of them centred, got scales of shape "
                f"{tuple(weights.shape)} and biases of {None if biases is None else tuple(biases.shape)}"
            )

    def by_torch(self, x: Tensor, w: Tensor, b: Tensor | None = None) -> Tensor:
        """The same by torch's operators."""
        sizes = [block.components * block.channels for block in self.blocks]
        parts = [
            rows.unflatten(-1, (block.components, block.channels))
            for rows, block in zip(x.split(sizes, -1), self.blocks, strict=True)
        ]
        parts = [
            part - part.mean(-1, keepdim=True) if block.centred else part
            for part, block in zip(parts, self.blocks, strict=True)
        ]
        squares = [
            part.square().sum((-2, -1), keepdim=True) * block.share
            for part, block in zip(parts, self.blocks, strict=True)
        ]
        if self.joint:
            squares = [sum(squares[1:], start=squares[0])] * len(squares) if squares else []
        weights = w.split([block.channels for block in self.blocks])
        parts = [
            part * (square + self.eps).rsqrt() * weight
            for part, square, weight in zip(parts, squares, weights, strict=True)
        ]
        if b is not None:
            biases = iter(b.split([block.channels for block in self.blocks if block.centred]))
            parts = [
                part + next(biases) if block.centred else part for part, block in zip(parts, self.blocks, strict=True)
            ]
        return torch.cat([part.flatten(-2) for part in parts], -1) if parts else x[:, :0]

    def task(self) -> ctypes.Structure:
        """What C is told of it."""
        table = _norm_table(self.blocks)
        return c.Norm(
            blocks=ctypes.addressof(table),
            num_blocks=len(table),
            width=self.dim_in,
            num_weights=self.num_weights,
            num_biases=self.num_biases,
            joint=self.joint,
            eps=self.eps,
        )


def _computed(map_: GateMap | NormMap, x: Tensor, *weights: Tensor) -> Tensor:
    if x.dim() != 2 or x.shape[1] != map_.dim_in:
        raise ValueError(f"rows of {map_.dim_in} numbers are wanted, got shape {tuple(x.shape)}")
    mixed = any(other.dtype != x.dtype or other.device != x.device for other in weights)
    if torch.compiler.is_compiling() or mixed or not map_.in_c or not c.fits(x):
        return map_.by_torch(x, *weights)
    w, b = (*weights, None, None)[:2]
    return _values(map_.key, x, w, b)


@cache
def _map(key: str) -> GateMap | NormMap:
    blocks, *rest = literal_eval(key)
    if not rest:
        return GateMap([GateBlock(*block) for block in blocks])
    return NormMap([NormBlock(*block) for block in blocks], rest[0], joint=rest[1])


@operator("rows")
def _values(key: str, x: Tensor, w: Tensor | None, b: Tensor | None) -> Tensor:
    out = x.new_empty(len(x), _map(key).dim_out)
    _run(key, False, x=x, weights=w, bias=b, out=out)
    return out


@operator("rows_slopes")
def _slopes(key: str, g: Tensor, x: Tensor, w: Tensor | None, summed: bool) -> tuple[Tensor, Tensor, Tensor]:
    """∂T/∂x, and if `summed` ∂T/∂w and ∂T/∂b."""
    dx = torch.empty_like(x, memory_format=torch.contiguous_format)
    return dx, *_run(key, summed, x=x, weights=w, out=g, dx=dx)


@operator("rows_curvatures")
def _curvatures(
    key: str,
    g: Tensor,
    x: Tensor,
    w: Tensor | None,
    along: Tensor,
    w_along: Tensor | None,
    b_along: Tensor | None,
    summed: bool,
) -> tuple[Tensor, Tensor, Tensor]:
    """The derivatives by g, x and, if `summed`, w of the slopes times what is given for each."""
    dx, change = (torch.empty_like(like, memory_format=torch.contiguous_format) for like in (x, g))
    given = {"along": along, "weights_along": w_along, "bias_along": b_along}
    dw, _ = _run(key, summed, x=x, weights=w, out=g, dx=dx, change=change, **given)
    return change, dx, dw


def _run(key: str, summed: bool, **given: Tensor | None) -> tuple[Tensor, Tensor]:
    """Have C compute what is given places for; if `summed`, sums over rows, in an order that threads do not change."""
    map_ = _map(key)
    tensors = {name: value.contiguous() for name, value in given.items() if value is not None}
    x, task = tensors["x"], map_.task()
    together = max(_TOGETHER, -(-len(x) // _MOST_SUMS))
    parts = -(-len(x) // together)
    numbers = (map_.num_weights, map_.num_biases) if summed else (0, 0)
    sums = [x.new_zeros(parts, count) for count in numbers]
    if summed and isinstance(map_, NormMap):
        tensors |= {"dw": sums[0], "db": sums[1]}
        task.together = together
    for name, value in tensors.items():
        setattr(task, name, value.data_ptr())
    threads = max(min(torch.get_num_threads(), parts), 1) if x.numel() > _FEW else 1
    cuts = [min(together * (parts * i // threads), len(x)) for i in range(threads + 1)]
    name = "subduce_norm" if isinstance(map_, NormMap) else "subduce_gate"
    c.share(name, task, (x.dtype == torch.float64,), cuts)
    by_w, by_b = (sum(one.unbind(), x.new_zeros(count)) for one, count in zip(sums, numbers, strict=True))
    return by_w, by_b


@_values.register_fake
def _(key, x, w, b):
    return x.new_empty(x.shape[0], _map(key).dim_out)


@_slopes.register_fake
def _(key, g, x, w, summed):
    map_ = _map(key)
    numbers = (map_.num_weights, map_.num_biases) if summed else (0, 0)
    dx = torch.empty_like(x, memory_format=torch.contiguous_format)
    return dx, *(x.new_empty(count) for count in numbers)


def _save(ctx, inputs, output) -> None:
    ctx.set_materialize_grads(False)
    ctx.key, x, w, _ = inputs
    ctx.save_for_backward(x, w)


def _differentiate(ctx, g):
    if g is None:
        return None, None, None, None
    by_w, by_b = ctx.needs_input_grad[2:]
    dx, dw, db = _slopes(ctx.key, g, *ctx.saved_tensors, by_w or by_b)
    return None, dx, dw if by_w else None, db if by_b else None


def _save_slopes(ctx, inputs, output) -> None:
    ctx.set_materialize_grads(False)
    ctx.key, *tensors, _ = inputs
    ctx.save_for_backward(*tensors)


def _differentiate_slopes(ctx, by_x, by_w, by_b):
    g, x, w = ctx.saved_tensors
    map_, along = _map(ctx.key), (by_x, by_w, by_b)
    if all(one is None for one in along):
        return None, None, None, None, None
    if torch.is_grad_enabled():  # a third derivative is asked for: the formula itself has them all
        return None, *_by_formula(map_, g, x, w, along), None
    if w is None:
        change, dx, _ = _curvatures(ctx.key, g, x, w, by_x, None, None, False)
        return None, change, dx, None, None
    by_x, by_w = (torch.zeros_like(like) if one is None else one for one, like in ((by_x, x), (by_w, w)))
    by_b = w.new_zeros(map_.num_biases) if by_b is None else by_b
    change, dx, dw = _curvatures(ctx.key, g, x, w, by_x, by_w, by_b, ctx.needs_input_grad[3])
    return None, change, dx, dw if ctx.needs_input_grad[3] else None, None


def _by_formula(
    map_: GateMap | NormMap, g: Tensor, x: Tensor, w: Tensor | None, along: Sequence[Tensor | None]
) -> list[Tensor | None]:
    """The second derivatives by torch; what depends on g through x is no part of them, so all begin anew here."""
    inputs = [_anew(value) for value in (g, x, w) if value is not None]
    biases = [] if w is None else [w.new_zeros(map_.num_biases, requires_grad=True)]
    read = [*inputs[1:], *biases]
    slopes = torch.autograd.grad(map_.by_torch(*read), read, inputs[0], create_graph=True, materialize_grads=True)
    given = zip(slopes, along, strict=False)  # a gate has fewer
    pairs = [(slope, one) for slope, one in given if one is not None and slope.requires_grad]
    outputs, directions = zip(*pairs, strict=True)
    found = torch.autograd.grad(outputs, inputs, directions, create_graph=True, materialize_grads=True)
    return [*found, *[None] * (3 - len(found))]


def _anew(value: Tensor) -> Tensor:
    return value.view_as(value) if value.requires_grad else value.detach().requires_grad_()


_values.register_autograd(_differentiate, setup_context=_save)
_slopes.register_autograd(_differentiate_slopes, setup_context=_save_slopes)


@cache
def _gate_table(blocks: tuple[GateBlock, ...]) -> ctypes.Array:
    table, start, gate, out = (c.GateBlock * len(blocks))(), sum(block.channels for block in blocks), 0, 0
    for row, block in zip(table, blocks, strict=True):
        row.start, row.gate, row.start_out = start, gate, out
        row.components, row.channels = block.components, block.channels
        row.function, row.scale = _IN_C.index(block.function), block.scale
        start += block.components * block.channels
        gate += block.channels
        out += max(block.components, 1) * block.channels
    return table


@cache
def _norm_table(blocks: tuple[NormBlock, ...]) -> ctypes.Array:
    table, start, weight, bias = (c.NormBlock * len(blocks))(), 0, 0, 0
    for row, block in zip(table, blocks, strict=True):
        row.start, row.start_weight, row.start_bias = start, weight, bias if block.centred else -1
        row.components, row.channels, row.share = block.components, block.channels, block.share
        start += block.components * block.channels
        weight += block.channels
        bias += block.channels if block.centred else 0
    return table
