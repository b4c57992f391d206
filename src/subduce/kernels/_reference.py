"""The reference backend, in plain torch: it defines what is right, on any device and in any precision.

Write G_p = a_p C_p g for a cotangent seen through the coupling of a path. The form of `_ops` then reads

    T = Σ_e Σ_p Σ_n  Y_n(e)  Σ_mc  z_p(e)[m,c] G_p(i)[n,m,c],        z_p(e)[m,c] = w_p(e)[c] x_j[m,c].

So the couplings act at the receivers, of which there are ten to fifty times fewer than edges. An edge
is left with a product of features and weights, z, and z is summed over the neighbours of a receiver
with the harmonics as coefficients: an `embedding_bag`, which torch has made fast everywhere. For the
other derivatives the same three steps run backwards.

Edges are taken in blocks, so that z stays in the processor's cache; a block ends between two
receivers. Every sum runs in the order of the edges, however many threads there are.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from itertools import pairwise

import torch
from torch import Tensor
from torch.nn.functional import embedding_bag

from ..o3 import clebsch_gordan
from ._plan import Path, ProductPlan

_BLOCK = 2**19  # numbers of z in a block; speed and memory depend on it, results do not


def partials(
    plan: ProductPlan,
    wanted: str,
    g: Tensor | None,
    x: Tensor,
    y: Tensor,
    w: Tensor,
    sender: Tensor,
    receiver: Tensor,
    num_receivers: int,
) -> dict[str, Tensor]:
    """The derivatives of T by the slots in `wanted` (see `_ops`)."""
    shapes = {"g": (num_receivers, plan.irreps_out.dim), "x": x.shape, "y": y.shape, "w": w.shape}
    totals = {slot: x.new_zeros(shapes[slot]) for slot in wanted}
    for nodes, edges in _blocks(plan, receiver, num_receivers):
        rows = {"g": nodes, "y": edges, "w": edges}
        given = {"x": x.index_select(0, sender[edges]), "y": y[edges], "w": w[edges]}
        if g is not None:
            given["g"] = g[nodes]
        results = {s: torch.zeros_like(given["x"]) if s == "x" else totals[s][rows[s]] for s in wanted}
        local = receiver[edges] - nodes.start
        block = _Block(
            local,
            torch.searchsorted(local, torch.arange(nodes.stop - nodes.start, device=local.device)),
            {slot: _split(plan, slot, values) for slot, values in given.items()},
            {slot: _split(plan, slot, values) for slot, values in results.items()},
        )
        for term in _edge_terms(plan, x.dtype, x.device):
            _add(term, wanted, block)
        if "x" in wanted:
            totals["x"].index_add_(0, sender[edges], results["x"])
    return totals


@dataclass(frozen=True)
class _Block:
    """Some receivers and all their edges; the tensors of each slot as `_split` gives them."""

    receiver: Tensor  # of each edge, counted from the first of the block
    first: Tensor  # edge of each receiver, likewise
    given: dict[str, list[Tensor]]
    results: dict[str, list[Tensor]]


@dataclass(frozen=True)
class _EdgeTerm:
    """One term of the edge's irreps, with the paths that it takes part in: the columns of its z."""

    place: int
    dim: int
    paths: tuple[tuple[int, Path, Tensor], ...]  # place among all, path, a_p C_p [2 l3 + 1, (2 l2 + 1) (2 l1 + 1)]
    columns: list[int]  # how many are a path's

    def split(self, z: Tensor) -> list[tuple[int, Path, Tensor, Tensor]]:
        """Each path, with its columns as `[…, 2 l1 + 1, channels]`."""
        parts = z.split_with_sizes(self.columns, -1)
        return [
            (p, path, coupling, part.view(*z.shape[:-1], path.ir_in.dim, path.mul))
            for (p, path, coupling), part in zip(self.paths, parts, strict=True)
        ]


def _add(term: _EdgeTerm, wanted: str, block: _Block) -> None:
    """Add what one term of the edge gives to the results of a block."""
    x, y, w = block.given["x"], block.given["y"][term.place], block.given["w"]
    num_nodes = len(block.first)
    if "g" in wanted or "y" in wanted:
        z = y.new_empty(y.shape[0], sum(term.columns))
        for p, path, _, part in term.split(z):
            torch.mul(x[path.term_in], w[p], out=part)
    if "g" in wanted:
        sums = _sum_neighbours(y, z, block.first)
        for _, path, coupling, part in term.split(sums):
            flat = part.transpose(0, 1).reshape(num_nodes, -1, path.mul)
            block.results["g"][path.term_out][..., path.channels] = coupling @ flat
    if wanted == "g":
        return

    seen = y.new_empty(num_nodes, term.dim, sum(term.columns))  # G
    for _, path, coupling, part in term.split(seen):
        g = block.given["g"][path.term_out][..., path.channels]
        part.copy_((coupling.mT @ g).view_as(part))
    seen = seen.flatten(0, 1)
    place = block.receiver[:, None] * term.dim + torch.arange(term.dim, device=y.device)
    if "y" in wanted:
        block.results["y"][term.place].copy_(_dots(z, seen, place))
    if "x" in wanted or "w" in wanted:
        dz = embedding_bag(place, seen, mode="sum", per_sample_weights=y)  # ∂T/∂z
        for p, path, _, part in term.split(dz):
            if "x" in wanted:
                block.results["x"][path.term_in].addcmul_(part, w[p])
            if "w" in wanted:
                into = block.results["w"][p]
                if path.ir_in.dim == 1:  # no sum to take: half the time
                    torch.mul(part, x[path.term_in], out=into)
                else:
                    torch.sum(part.mul_(x[path.term_in]), dim=1, keepdim=True, out=into)


def _sum_neighbours(y: Tensor, z: Tensor, first: Tensor) -> Tensor:
    """Σ_e y[e,n] z[e] over the edges of each receiver: `[components, nodes, columns]`."""
    num_edges, dim = y.shape
    edge = torch.arange(num_edges, device=y.device).expand(dim, -1)
    firsts = first + num_edges * torch.arange(dim, device=y.device)[:, None]
    sums = embedding_bag(edge.flatten(), z, firsts.flatten(), mode="sum", per_sample_weights=y.mT.flatten())
    return sums.view(dim, len(first), -1)


def _dots(z: Tensor, seen: Tensor, place: Tensor) -> Tensor:
    """The products z[e] · seen[place[e, n]]: torch's derivative of an `embedding_bag` by its coefficients."""
    num_edges, dim = place.shape
    edge = torch.arange(num_edges, device=z.device)
    bag = edge.repeat_interleave(dim)
    dots = torch.ops.aten._embedding_bag_per_sample_weights_backward(z, seen, place.flatten(), edge * dim, bag, 0)
    return dots.view(num_edges, dim)


def _split(plan: ProductPlan, slot: str, values: Tensor) -> list[Tensor]:
    """Views of a slot's tensor, one a term (or a path, for the weights)."""
    if slot == "y":
        return list(values.split_with_sizes([term.dim for term in plan.irreps_edge], 1))
    if slot == "w":
        return [part[:, None] for part in values.split_with_sizes([path.mul for path in plan.paths], 1)]
    irreps = plan.irreps_in if slot == "x" else plan.irreps_out
    parts = values.split_with_sizes([term.dim for term in irreps], 1)
    return [part.view(len(values), term.ir.dim, term.mul) for part, term in zip(parts, irreps, strict=True)]


def _blocks(plan: ProductPlan, receiver: Tensor, num_receivers: int) -> Iterator[tuple[slice, slice]]:
    """Ranges of receivers with the ranges of their edges; receivers without any edge may be left out."""
    width = sum(path.ir_in.dim * path.mul for path in plan.paths)
    length = max(1, _BLOCK // max(1, width))
    if 0 < len(receiver) <= length:
        yield slice(0, num_receivers), slice(0, len(receiver))
        return
    starts = [0, *receiver[length::length].unique_consecutive().tolist(), num_receivers]
    firsts = torch.searchsorted(receiver, torch.tensor(starts, device=receiver.device)).tolist()
    for nodes, edges in zip(pairwise(starts), pairwise(firsts), strict=True):
        if edges[0] < edges[1]:
            yield slice(*nodes), slice(*edges)


@cache
@torch.inference_mode(False)
def _edge_terms(plan: ProductPlan, dtype: torch.dtype, device: torch.device) -> tuple[_EdgeTerm, ...]:
    found = []
    for term, (_, ir) in enumerate(plan.irreps_edge):
        paths = [
            (place, path, _coupling(path).to(device, dtype))
            for place, path in enumerate(plan.paths)
            if path.term_edge == term
        ]
        if paths:
            columns = [path.ir_in.dim * path.mul for _, path, _ in paths]
            found.append(_EdgeTerm(term, ir.dim, tuple(paths), columns))
    return tuple(found)


def _coupling(path: Path) -> Tensor:
    l1, l2, l3 = path.ir_in.l, path.ir_edge.l, path.ir_out.l
    return math.sqrt(2 * l3 + 1) * clebsch_gordan(l1, l2, l3).permute(2, 1, 0).flatten(1)
