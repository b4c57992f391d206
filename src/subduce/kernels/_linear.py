r"""Linear maps between irreps as one operator: all their matrices in one call, forward and in every derivative.

A map reads blocks of the rows x and writes blocks of the rows g, each through a matrix of its own, the same for every
component of an irrep. With $T(g, x, w) = \sum_i \langle g_i, x_i w_{s_i} \rangle$, where $s_i$ is the species of row i,
the map is $\partial T/\partial g$, and its derivatives are the other two with one slot exchanged, as for the product
on edges (see `_ops`). On CPUs C computes all three; elsewhere torch does, block by block.
"""

import ctypes
from collections.abc import Sequence
from functools import cache
from typing import NamedTuple, final

import torch
from jaxtyping import Float, Int
from torch import Tensor

from . import _library as c
from ._operator import operator
from ._ops import exchanged

_FEW = 2**20  # rows times weights below which another thread costs more than it saves


_HOSTS = ("cpu",)  # devices for which nothing waits


class Part(NamedTuple):
    """A matrix of a map: where its inputs and outputs begin in a row, how often it is applied, and where it stands."""

    start_in: int
    start_out: int
    components: int
    channels_in: int
    channels_out: int
    begin: int  # of the matrix among the weights
    width: int  # from one of its rows to the next


@final
class LinearMap:
    """A map from rows of `dim_in` numbers to rows of `dim_out`; parts that write to one place are added up."""

    def __init__(self, dim_in: int, dim_out: int, parts: Sequence[Part]) -> None:
        self.dim_in, self.dim_out, self.parts = dim_in, dim_out, tuple(parts)
        self.num_weights = max((p.begin + (p.channels_in - 1) * p.width + p.channels_out for p in parts), default=0)
        self._key = f"{dim_in} {dim_out} " + " ".join(",".join(map(str, part)) for part in parts)

    def __call__(
        self,
        x: Float[Tensor, "rows dim_in"],
        weights: Float[Tensor, "species num_weights"],
        species: Int[Tensor, " rows"] | None = None,
    ) -> Float[Tensor, "rows dim_out"]:
        """The mapped rows; with `species`, each by its own row of the weights, else all by the first.

        Differentiable by `x` and `weights` to any order. Raises `ValueError` for rows of other widths.
        """
        if x.shape[1] != self.dim_in or weights.shape[1] != self.num_weights:
            raise ValueError(
                f"rows of {x.shape[1]} numbers and {weights.shape[1]} weights for a map that takes {self.dim_in} and "
                f"{self.num_weights}"
            )
        return _partials(self._key, "g", None, x, weights, species)[0]


@cache
def _map(key: str) -> LinearMap:
    dim_in, dim_out, *parts = key.split()
    return LinearMap(int(dim_in), int(dim_out), [Part(*map(int, part.split(","))) for part in parts])


@operator("linear")
def _partials(
    key: str, wanted: str, g: Tensor | None, x: Tensor, w: Tensor, species: Tensor | None
) -> tuple[Tensor, Tensor, Tensor]:
    """∂T/∂s for the slots s in `wanted`, nothing (no rows) for others; `g` is None where only the map is wanted."""
    if species is not None and x.device.type == "cpu":
        c.check_rows("species", species, len(w))
    compute = _by_c if c.fits(x) else _by_torch
    found = compute(_map(key), wanted, g, x, w, species)
    return _in_slots(found, x)


@_partials.register_fake
def _shapes(key, wanted, g, x, w, species):
    found = {"g": x.new_empty(x.shape[0], _map(key).dim_out), "x": torch.empty_like(x), "w": torch.empty_like(w)}
    return _in_slots({slot: found[slot] for slot in wanted}, x)


def _in_slots(found: dict[str, Tensor], like: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    g, x, w = (found[slot] if slot in found else like.new_empty(0) for slot in "gxw")
    return g, x, w


def _save(ctx, inputs, output) -> None:
    ctx.set_materialize_grads(False)
    ctx.key, ctx.wanted, *slots, species = inputs
    ctx.save_for_backward(*slots, species)


def _differentiate(ctx, *cotangents: Tensor | None):
    *slots, species = ctx.saved_tensors
    needed = [slot for slot, need in zip("gxw", ctx.needs_input_grad[2:5], strict=True) if need]
    total = exchanged(
        "gxw",
        slots,
        ctx.wanted,
        cotangents,
        needed,
        lambda wanted, values: _partials(ctx.key, wanted, *values, species),
    )
    return None, None, *(total.get(slot) for slot in "gxw"), None


_partials.register_autograd(_differentiate, setup_context=_save)


def _by_torch(
    map_: LinearMap, wanted: str, g: Tensor | None, x: Tensor, w: Tensor, species: Tensor | None
) -> dict[str, Tensor]:
    found = {"g": x.new_zeros(x.shape[0], map_.dim_out)} if "g" in wanted else {}
    found |= {slot: torch.zeros_like(value) for slot, value in (("x", x), ("w", w)) if slot in wanted}
    if species is not None and x.device.type not in _HOSTS:
        return _without_waiting(map_, found, g, x, w, species)
    kinds = range(w.shape[0]) if species is not None else (0,)
    for kind in kinds:
        rows = slice(None) if species is None else (species == kind).nonzero().squeeze(1)
        for start_in, start_out, components, channels_in, channels_out, begin, width in map_.parts:
            matrix = _matrix(w[kind], channels_in, channels_out, begin, width)
            here = slice(start_in, start_in + components * channels_in)
            there = slice(start_out, start_out + components * channels_out)
            inputs = x[rows, here].unflatten(1, (components, channels_in))
            if "g" in wanted:
                found["g"][rows, there] += (inputs @ matrix).flatten(1)
            if g is not None and wanted != "g":
                outputs = g[rows, there].unflatten(1, (components, channels_out))
                if "x" in wanted:
                    found["x"][rows, here] += (outputs @ matrix.mT).flatten(1)
                if "w" in wanted:
                    into = _matrix(found["w"][kind], channels_in, channels_out, begin, width)
                    into.copy_(inputs.flatten(0, 1).mT @ outputs.flatten(0, 1))
    return found


def _by_c(
    map_: LinearMap, wanted: str, g: Tensor | None, x: Tensor, w: Tensor, species: Tensor | None
) -> dict[str, Tensor]:
    x, w = x.contiguous(), w.contiguous()
    species = species.long().contiguous() if species is not None else None
    found: dict[str, Tensor] = {}
    if "g" in wanted:
        found["g"] = x.new_zeros(len(x), map_.dim_out)
        _run(_blocks(map_), x, found["g"], w, species)
    if g is None or wanted == "g":
        return found
    g = g.contiguous()
    if "x" in wanted:
        found["x"] = torch.zeros_like(x)
        _run(_blocks(map_, turned=True), g, found["x"], w.index_select(1, _turn(map_)), species)
    if "w" in wanted:
        found["w"] = torch.zeros_like(w)
        _run(_blocks(map_), x, g, found["w"], species, outer=True)
    return found


def _run(
    blocks: ctypes.Array, x: Tensor, out: Tensor, w: Tensor, species: Tensor | None, *, outer: bool = False
) -> None:
    """Rows mapped, each thread a range of them; or, `outer`, sums over rows of x times `out` into w, block by block."""
    pointers = (species.data_ptr() if species is not None else None, w.data_ptr(), x.data_ptr(), out.data_ptr())
    task = c.Linear(ctypes.addressof(blocks), len(blocks), x.shape[1], out.shape[1], w.shape[1], *pointers)
    if outer:
        order = species.argsort(stable=True) if species is not None else torch.arange(len(x))
        counts = species.bincount(minlength=len(w)) if species is not None else torch.tensor([len(x)])
        first = torch.nn.functional.pad(counts.cumsum(0), (1, 0))
        task.order, task.first, task.num_species = order.data_ptr(), first.data_ptr(), len(w)
    units = len(blocks) if outer else len(x)
    threads = min(torch.get_num_threads(), max(units, 1)) if len(x) * w.shape[1] > _FEW else 1
    cuts = [units * part // threads for part in range(threads + 1)]
    c.share("subduce_linear", task, (x.dtype == torch.float64, outer), cuts)


def _without_waiting(
    map_: LinearMap, found: dict[str, Tensor], g: Tensor | None, x: Tensor, w: Tensor, species: Tensor
) -> dict[str, Tensor]:
    """The same with a matrix for each row, on devices where to ask which rows are of a species makes the host wait."""
    for start_in, start_out, components, channels_in, channels_out, begin, width in map_.parts:
        shape, strides = (len(w), channels_in, channels_out), (w.stride(0), width, 1)
        matrices = w.as_strided(shape, strides, w.storage_offset() + begin)[species]
        here = slice(start_in, start_in + components * channels_in)
        there = slice(start_out, start_out + components * channels_out)
        inputs = x[:, here].unflatten(1, (components, channels_in))
        if "g" in found:
            found["g"][:, there] += (inputs @ matrices).flatten(1)
        if g is None:
            continue
        outputs = g[:, there].unflatten(1, (components, channels_out))
        if "x" in found:
            found["x"][:, here] += (outputs @ matrices.mT).flatten(1)
        if "w" in found:
            into = found["w"].as_strided(shape, (found["w"].stride(0), width, 1), begin)
            into.index_add_(0, species, inputs.mT @ outputs)
    return found


def _matrix(weights: Tensor, channels_in: int, channels_out: int, begin: int, width: int) -> Tensor:
    return weights.as_strided((channels_in, channels_out), (width, 1), weights.storage_offset() + begin)


@cache
def _blocks(map_: LinearMap, *, turned: bool = False) -> ctypes.Array:
    table, begin = (c.Block * len(map_.parts))(), 0
    for row, part in zip(table, map_.parts, strict=True):
        row.components, row.add = part.components, True
        row.start_in, row.start_out = part.start_in, part.start_out
        row.channels_in, row.channels_out = part.channels_in, part.channels_out
        row.weights, row.width = part.begin, part.width
        if turned:
            row.start_in, row.start_out = part.start_out, part.start_in
            row.channels_in, row.channels_out = part.channels_out, part.channels_in
            row.weights, row.width = begin, part.channels_in
        begin += part.channels_in * part.channels_out
    return table


@cache
@torch.inference_mode(False)
def _turn(map_: LinearMap) -> Tensor:
    """Where each number of the transposed matrices, one after another, stands among the weights."""
    places = []
    for part in map_.parts:
        rows, columns = torch.arange(part.channels_in), torch.arange(part.channels_out)
        places.append((part.begin + part.width * rows + columns[:, None]).flatten())
    return torch.cat(places) if places else torch.zeros(0, dtype=torch.int64)
