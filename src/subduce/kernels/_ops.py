r"""The edge product and all its derivatives: one operator, one rule.

For an edge $e$ from sender $j$ to receiver $i$, a path $p = (l_1, l_2, l_3)$ and a channel $c$,

$$ \mathrm{out}_i[p,k,c] = \sum_{e \to i} w_p(e)[c] \; a_p \sum_{mn} C_p[m,n,k] \, Y_{l_2,n}(e) \, x_j[l_1,m,c] $$

with $C_p$ the real coupling of Frobenius norm 1 and $a_p = \sqrt{2 l_3 + 1}$. Give the result a
cotangent $g$, and there is one number, linear in each of four slots:

$$ T(g, x, Y, w) = \sum_i \langle g_i, \mathrm{out}_i \rangle . $$

Everything that is ever computed here is a partial derivative of $T$:

- $F = \partial T/\partial g$, the product itself, from $(x, Y, w)$;
- $B = \partial T/\partial x$, from $(g, Y, w)$;
- $R_Y = \partial T/\partial Y$, from $(g, x, w)$;
- $R_w = \partial T/\partial w$, from $(g, x, Y)$.

Since $T$ is linear in slot $s$, pairing $\partial T/\partial s$ with a cotangent $s'$ gives $T$ again,
with $s'$ in the place of $s$:

$$ \langle s', \partial T/\partial s \rangle = T|_{s := s'} \qquad\text{so}\qquad
   \frac{\partial}{\partial r} \langle s', \partial T/\partial s \rangle = \frac{\partial T}{\partial r}\Big|_{s := s'},
   \quad r \ne s . $$

That is the whole of `_differentiate`: the derivative of any operator is the other three with one slot
exchanged. The family is closed, so forces, the training on forces, Hessians and what lies beyond take
no further formula. The operator takes the set of `wanted` slots, so that a backend may share work
between the derivatives of one call; only slots that need a gradient are asked for.
"""

from collections.abc import Callable, Sequence
from typing import final

import torch
from jaxtyping import Float, Int
from torch import Tensor

from ..axes import AtomIndex
from . import _cpu, _reference, _triton
from ._library import is_reference_only, library
from ._operator import operator
from ._plan import ProductPlan

SLOTS = "gxyw"

Backend = Callable[..., dict[str, Tensor]]
"""(plan, wanted, g, x, y, w, sender, receiver, num_receivers) → ∂T/∂s for each slot s in `wanted`."""

_FUSED = {"cpu": _cpu, "triton": _triton}
_BACKENDS: dict[str, Backend] = {name: code.partials for name, code in _FUSED.items()}
_BACKENDS["reference"] = _reference.partials


def _chosen(backend: str, plan: ProductPlan, x: Tensor) -> str:
    """The backend of a call: `auto` is the one that is fused for the tensors' device, where there is one."""
    if is_reference_only():
        return "reference"
    if backend != "auto":
        return backend
    fused = "triton" if x.is_cuda else "cpu"
    return fused if _FUSED[fused].computes(plan, x) else "reference"


@operator("edge_product")
def _partials(
    plan: str,
    backend: str,
    wanted: str,
    g: Tensor | None,
    x: Tensor,
    y: Tensor,
    w: Tensor,
    row: Tensor | None,
    sender: Tensor,
    receiver: Tensor,
    num_receivers: int,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """∂T/∂s for the slots s in `wanted`, nothing (no rows) for others; `g` is None where only F is wanted."""
    sender, receiver = sender.long(), receiver.long()
    if wanted == "g":
        _check_receivers(receiver, num_receivers)
    product = ProductPlan.from_key(plan)
    graph = (sender, receiver, num_receivers)
    return _in_slots(_computed(_chosen(backend, product, x), product, wanted, (g, x, y, w), row, graph), x)


def _computed(
    name: str,
    plan: ProductPlan,
    wanted: str,
    slots: tuple[Tensor | None, Tensor, Tensor, Tensor],
    row: Tensor | None,
    graph: tuple[Tensor, Tensor, int],
    tangents: dict[str, Tensor] | None = None,
) -> dict[str, Tensor]:
    """What a backend computes; one that does not know of shared rows of w gets a copy of them for each edge."""
    options: dict = {} if tangents is None else {"tangents": tangents}
    g, x, y, w = slots
    if row is None:
        return _BACKENDS[name](plan, wanted, *slots, *graph, **options)
    if name == "cpu" and _cpu.computes(plan, x):
        return _cpu.partials(plan, wanted, *slots, *graph, **options, row=row)
    if tangents is not None and "w" in tangents:
        options["tangents"] = tangents | {"w": tangents["w"].index_select(0, row)}
    found = _BACKENDS[name](plan, wanted, g, x, y, w.index_select(0, row), *graph, **options)
    if "w" in found:
        found["w"] = torch.zeros_like(w).index_add_(0, row, found["w"])
    return found


@_partials.register_fake
def _shapes(plan, backend, wanted, g, x, y, w, row, sender, receiver, num_receivers):
    out = (num_receivers, ProductPlan.from_key(plan).irreps_out.dim)
    shapes = {"g": out, "x": x.shape, "y": y.shape, "w": w.shape}
    return _in_slots({slot: x.new_empty(shapes[slot]) for slot in wanted}, x)


def _in_slots(found: dict[str, Tensor], like: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    g, x, y, w = (found[slot] if slot in found else like.new_empty(0) for slot in SLOTS)
    return g, x, y, w


def _save(ctx, inputs, output) -> None:
    ctx.set_materialize_grads(False)
    ctx.plan, ctx.backend, ctx.wanted, *slots, row, sender, receiver, ctx.num_receivers = inputs
    ctx.save_for_backward(*slots, row, sender, receiver)


def _differentiate(ctx, *cotangents: Tensor | None):
    *slots, row, sender, receiver = ctx.saved_tensors
    needed = [slot for slot, need in zip(SLOTS, ctx.needs_input_grad[3:7], strict=True) if need]
    if _in_one_pass(ctx, slots, cotangents):
        graph = (row, sender, receiver, ctx.num_receivers)
        partials = _along(ctx.plan, ctx.backend, "".join(needed), *slots, *cotangents[1:], *graph)
        total = {slot: partial for slot, partial in zip(SLOTS, partials, strict=True) if slot in needed}
        return None, None, None, *(total.get(slot) for slot in SLOTS), None, None, None, None
    graph = (row, sender, receiver, ctx.num_receivers)

    def exchange(wanted: str, values: list[Tensor | None]) -> Sequence[Tensor]:
        return _partials(ctx.plan, ctx.backend, wanted, *values, *graph)

    total = exchanged(SLOTS, slots, ctx.wanted, cotangents, needed, exchange)
    return None, None, None, *(total.get(slot) for slot in SLOTS), None, None, None, None


def exchanged(
    names: str,
    slots: Sequence[Tensor | None],
    wanted: str,
    cotangents: Sequence[Tensor | None],
    needed: Sequence[str],
    partials: Callable[[str, list[Tensor | None]], Sequence[Tensor]],
) -> dict[str, Tensor]:
    """The rule above: for each cotangent, the partials of T by the other slots, with it in the place of its own."""
    total: dict[str, Tensor] = {}
    for s, cotangent in zip(names, cotangents, strict=True):
        others = "".join(r for r in needed if r != s)
        if cotangent is None or s not in wanted or not others:
            continue
        values = [cotangent if name == s else value for name, value in zip(names, slots, strict=True)]
        for r, partial in zip(names, partials(others, values), strict=True):
            if r in others:
                total[r] = total[r] + partial if r in total else partial
    return total


@operator("edge_product_tangent")
def _along(
    plan: str,
    backend: str,
    wanted: str,
    g: Tensor,
    x: Tensor,
    y: Tensor,
    w: Tensor,
    x2: Tensor | None,
    y2: Tensor | None,
    w2: Tensor | None,
    row: Tensor | None,
    sender: Tensor,
    receiver: Tensor,
    num_receivers: int,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """The sum of `_partials` with x, y or w exchanged for x2, y2 or w2, where no derivative of it is needed."""
    tangents = {slot: value for slot, value in zip("xyw", (x2, y2, w2), strict=True) if value is not None}
    graph = (sender.long(), receiver.long(), num_receivers)
    product = ProductPlan.from_key(plan)
    name = _chosen(backend, product, x)
    return _in_slots(_computed(name, product, wanted, (g, x, y, w), row, graph, tangents), x)


@_along.register_fake
def _shapes_along(plan, backend, wanted, g, x, y, w, x2, y2, w2, row, sender, receiver, num_receivers):
    return _shapes(plan, backend, wanted, g, x, y, w, row, sender, receiver, num_receivers)


def _in_one_pass(ctx, slots: list[Tensor | None], cotangents: tuple[Tensor | None, ...]) -> bool:
    """Whether one pass adds the terms of `_differentiate`: several of x, y and w exchanged, and nothing after."""
    (g, x, *_), (of_g, *tangents) = slots, cotangents
    several = of_g is None and sum(tangent is not None for tangent in tangents) > 1
    if not several or g is None or x is None or torch.is_grad_enabled():
        return False
    plan = ProductPlan.from_key(ctx.plan)
    fused = _FUSED.get(_chosen(ctx.backend, plan, x))
    return fused is not None and fused.computes(plan, x)


_partials.register_autograd(_differentiate, setup_context=_save)


@final
class EdgeProduct:
    """A plan bound to a backend: products on edges, summed at their receivers (made by `bind`)."""

    def __init__(self, plan: ProductPlan, backend: str) -> None:
        self.plan, self.backend = plan, backend
        self._key = plan.key
        self._widths = {"x": plan.irreps_in.dim, "edge": plan.irreps_edge.dim, "weights": plan.num_weights}

    def __call__(
        self,
        x: Float[Tensor, "nodes dim_in"],
        edge: Float[Tensor, "edges dim_edge"],
        weights: Float[Tensor, "rows num_weights"],
        sender: AtomIndex,
        receiver: AtomIndex,
        num_receivers: int,
        row: Int[Tensor, " edges"] | None = None,
    ) -> Float[Tensor, "num_receivers dim_out"]:
        """The product of each edge with the features of its sender, weighted and summed at its receiver.

        `edge` holds the edge's irreps (its harmonics); edges are sorted by receiver, which is checked
        on the CPU. `weights` has a row for each edge, or `row` tells which one an edge has. Differentiable
        by `x`, `edge` and `weights` to any order. Raises `ValueError` where shapes, dtypes or the order of
        the edges are wrong.
        """
        self._check(x, edge, weights, sender, receiver, row)
        graph = (sender, receiver, num_receivers)
        return _partials(self._key, self.backend, "g", None, x, edge, weights, row, *graph)[0]

    def _check(
        self, x: Tensor, edge: Tensor, weights: Tensor, sender: Tensor, receiver: Tensor, row: Tensor | None
    ) -> None:
        rows = {"x": x.shape[0], "edge": sender.shape[0], "weights": sender.shape[0]}
        if row is not None:
            rows["weights"] = weights.shape[0]
            if row.shape != sender.shape:
                raise ValueError(
                    f"row holds one number for each edge, got {tuple(row.shape)} for {tuple(sender.shape)}"
                )
        for name, tensor in {"x": x, "edge": edge, "weights": weights}.items():
            expected = (rows[name], self._widths[name])
            if tuple(tensor.shape) != expected:
                raise ValueError(
                    f"{name} has shape {tuple(tensor.shape)}, expected {expected} for {sender.shape[0]} edges and "
                    f"the plan {self._key}"
                )
            if tensor.dtype != x.dtype:
                raise ValueError(f"{name} is {tensor.dtype} and x is {x.dtype}; convert one, as in {name}.to(x.dtype)")
        if receiver.shape != sender.shape or sender.dim() != 1:
            raise ValueError(
                f"sender and receiver hold one number for each edge, got shapes {tuple(sender.shape)} and "
                f"{tuple(receiver.shape)}"
            )

    def __repr__(self) -> str:
        return f"EdgeProduct({self._key}, backend={self.backend!r})"


def _check_receivers(receiver: Tensor, num_receivers: int) -> None:
    # Asking a GPU would make the host wait for it; there the order is the caller's word.
    if receiver.device.type != "cpu" or not receiver.numel():
        return
    if receiver[0] < 0 or receiver[-1] >= num_receivers or bool((receiver[1:] < receiver[:-1]).any()):
        raise ValueError(
            f"edges are sorted by receiver, with receivers from 0 to {num_receivers - 1}; got others. Sort sender, "
            "receiver, edge and weights by receiver.argsort(stable=True)"
        )


def available() -> tuple[str, ...]:
    """Names of the backends that work here; the last one, `reference`, does everywhere."""
    works = {"cpu": library() is not None, "triton": _triton.available(), "reference": True}
    return tuple(name for name in _BACKENDS if works[name])


def bind(plan: ProductPlan, backend: str = "auto") -> EdgeProduct:
    """The edge product of a plan, computed by one backend; `auto` takes the fastest for the device of the tensors.

    Raises `ValueError` for an unknown backend.

    >>> from subduce.kernels import channelwise_plan
    >>> product = bind(channelwise_plan("2x1o", "1o", "0e"))
    >>> edge, index = torch.eye(3)[1:2], torch.tensor([0])
    >>> product(torch.tensor([[0.0, 0, 5, 6, 0, 0]]), edge, torch.ones(1, 2), index, index, 1)
    tensor([[2.8868, 3.4641]])
    """
    if backend not in ("auto", *available()):
        raise ValueError(f"no backend {backend!r}; available here: auto, {', '.join(available())}")
    return EdgeProduct(plan, backend)
