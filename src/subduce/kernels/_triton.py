"""The GPU backend: gather, product and sum over neighbours in one pass, in Triton, which comes with torch for GPUs.

`_triton_source` makes the kernels; here a plan becomes groups of paths, and a call becomes launches, one for each shape
of a group. Forward, a program owns a receiver; for the derivatives by x, y and w it owns a sender, whose edges a stable
sort finds on the device. Nothing is stored for an edge and channel; the host waits for nothing.

With `TRITON_INTERPRET=1` in the environment before the first call, Triton runs in plain Python on the CPU: right and
very slow, for tests.
"""

import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from types import MappingProxyType

import torch
from torch import Tensor

from . import _reference
from ._plan import Path, ProductPlan
from ._triton_source import Shape, couplings, kernel

L_MAX = 4
"""Degrees that are tested; the reference computes higher ones."""

_MOST_SUMS = 64
"""Sums that a thread keeps in registers forward; more paths of a term are done in several groups."""

_MOST_TERMS = 400
"""Couplings of a group: what makes the text of a kernel long, and long to compile."""

_WARP = 32
"""Numbers that one instruction of the device works on."""

_ENOUGH = 8192
"""Warps from which on the device is full; where there are fewer programs, each has several, with edges of their own."""


def available() -> bool:
    """Whether Triton is installed and has what it runs on: a GPU and the C compiler that its launcher needs, or Python.

    >>> available() or not torch.cuda.is_available() or not find_spec("triton")
    True
    """
    return find_spec("triton") is not None and (_interpreted() or (_has_compiler() and torch.cuda.is_available()))


def computes(plan: ProductPlan, x: Tensor) -> bool:
    """Whether Triton computes this; what it does not, the reference does."""
    if not x.is_cuda and not (_interpreted() and x.device.type == "cpu"):
        return False
    return x.dtype in (torch.float32, torch.float64) and plan.highest_degree <= L_MAX and available()


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
    tangents: Mapping[str, Tensor] = MappingProxyType({}),
) -> dict[str, Tensor]:
    """The derivatives of T by the slots in `wanted` (see `_ops`).

    With `tangents` of x, y and w, those of T's derivative along them: the sum of T with one of them exchanged.
    What Triton does not know, the reference computes: other devices and dtypes, degrees above 4.
    """
    if not computes(plan, x):
        return _reference.partials(plan, wanted, g, x, y, w, sender, receiver, num_receivers)
    call = _Call(
        plan,
        {s: tensor.contiguous() for s, tensor in zip("gxyw", (g, x, y, w), strict=True) if tensor is not None},
        {s: tensor.contiguous() for s, tensor in tangents.items()},
        sender.contiguous(),
        receiver.contiguous(),
        num_receivers,
    )
    slopes = "".join(slot for slot in "xyw" if slot in wanted)
    with torch.cuda.device_of(x):
        return (call.forward() if "g" in wanted else {}) | (call.backward(slopes) if slopes else {})


@dataclass(frozen=True)
class _Call:
    """One call of `partials`, its tensors made fit for the kernels."""

    plan: ProductPlan
    given: dict[str, Tensor]
    tangents: dict[str, Tensor]
    sender: Tensor
    receiver: Tensor
    num_receivers: int

    def forward(self) -> dict[str, Tensor]:
        """∂T/∂g: a program writes the columns of its group in the row of its receiver, so every number is written."""
        x, rows = self.given["x"], self.num_receivers
        if not len(self.sender):
            return {"g": x.new_zeros(rows, self.plan.irreps_out.dim)}
        into = {"g": x.new_empty(rows, self.plan.irreps_out.dim)}
        first = torch.searchsorted(self.receiver, torch.arange(rows + 1, device=x.device))
        self._launch(_launches(self.plan, x, rows), "g", into, first, None, self.sender, len(x))
        return into

    def backward(self, wanted: str) -> dict[str, Tensor]:
        """∂T/∂x, ∂T/∂y and ∂T/∂w. Several programs add to the first two, each in a part of its own."""
        x, y, w = (self.given[slot] for slot in "xyw")
        launches = _launches(self.plan, x, len(x))
        if not len(self.sender) or not launches:
            return {slot: torch.zeros_like(self.given[slot]) for slot in wanted}
        into = {"w": torch.empty_like(w)} if "w" in wanted else {}
        if "x" in wanted:
            into["x"] = x.new_zeros(max(one.group.parts for one in launches), *x.shape)
        if "y" in wanted:
            into["y"] = y.new_zeros(sum(one.blocks for one in launches), *y.shape)
        sender, order = self.sender.sort(stable=True)
        first = torch.searchsorted(sender, torch.arange(len(x) + 1, device=x.device))
        self._launch(launches, wanted, into, first, order, self.receiver, self.num_receivers)
        return {s: found if s == "w" else found[0] if len(found) == 1 else found.sum(0) for s, found in into.items()}

    def _launch(
        self,
        launches: list["_Launch"],
        wanted: str,
        into: dict[str, Tensor],
        first: Tensor,
        order: Tensor | None,
        others: Tensor,
        num_others: int,
    ) -> None:
        plan, part = self.plan, 0
        widths = (plan.irreps_in.dim, plan.irreps_edge.dim, plan.num_weights, plan.irreps_out.dim)
        for one in launches:
            kernel(one.group.shape, wanted, "".join(self.tangents))[len(first) - 1, one.blocks](
                *(self.given.get(slot) for slot in "xywg"),
                *(self.tangents.get(slot) for slot in "xyw"),
                *(into.get(slot) for slot in "xywg"),
                *(first, order, others, one.group.table),
                *(part, num_others, len(others), *widths, one.group.channels),
                EDGES=max(1, one.warps * _WARP // one.channels),
                CHANNELS=one.channels,
                num_warps=one.warps,
            )
            part += one.blocks


@dataclass(frozen=True)
class _Group:
    """Groups of paths of one shape and number of channels, which one launch computes."""

    shape: Shape
    channels: int
    table: Tensor  # int32 [groups, shape.places]
    parts: int  # of ∂T/∂x: the groups of one term add to the same numbers


@dataclass(frozen=True)
class _Launch:
    """How the work of a group is shared out."""

    group: _Group
    channels: int  # of a program
    warps: int  # of a program

    @property
    def blocks(self) -> int:
        """Programs of a row."""
        return len(self.group.table) * -(-self.group.channels // self.channels)


def _launches(plan: ProductPlan, x: Tensor, rows: int) -> list[_Launch]:
    """Two channels a thread where registers and work suffice, else one; where work is short, edges side by side."""
    found = []
    for group in _groups(plan, x.device) if rows else ():
        channels = min(_WARP, 2 ** (group.channels - 1).bit_length())
        one = _Launch(group, channels, 1)
        sums = sum(2 * l3 + 1 for _, l3 in group.shape.paths) * x.element_size() // 4
        if group.channels >= 2 * _WARP and 2 * sums <= _MOST_SUMS and rows * one.blocks >= 2 * _ENOUGH:
            found.append(_Launch(group, 2 * _WARP, 1))
        else:
            found.append(_Launch(group, channels, next((n for n in (1, 2) if rows * one.blocks * n >= _ENOUGH), 4)))
    return found


@cache
@torch.inference_mode(False)
def _groups(plan: ProductPlan, device: torch.device) -> tuple[_Group, ...]:
    rows: dict[tuple[Shape, int], list[list[int]]] = {}
    parts: dict[tuple[Shape, int], int] = {}
    for term in dict.fromkeys(path.term_in for path in plan.paths):
        for part, paths in enumerate(_cut([path for path in plan.paths if path.term_in == term])):
            terms_edge = list(dict.fromkeys(path.term_edge for path in paths))
            shape = Shape(
                paths[0].ir_in.l,
                tuple(plan.irreps_edge[edge].ir.l for edge in terms_edge),
                tuple((terms_edge.index(path.term_edge), path.ir_out.l) for path in paths),
            )
            kind = (shape, paths[0].mul)
            rows.setdefault(kind, []).append(_row(plan, paths, terms_edge, part))
            parts[kind] = max(parts.get(kind, 0), part + 1)
    return tuple(
        _Group(*kind, torch.tensor(table, dtype=torch.int32, device=device), parts[kind])
        for kind, table in rows.items()
    )


def _row(plan: ProductPlan, paths: Sequence[Path], terms_edge: Sequence[int], part: int) -> list[int]:
    """What the table of a shape holds for these paths: see `Shape.places`."""
    x, y, g = (irreps.slices() for irreps in (plan.irreps_in, plan.irreps_edge, plan.irreps_out))
    row = [x[paths[0].term_in].start, part, *(y[edge].start for edge in terms_edge)]
    for path in paths:
        step = plan.irreps_out[path.term_out].mul
        row += [path.weights.start, g[path.term_out].start + path.channels.start, step]
    return row


def _cut(paths: list[Path]) -> Iterator[list[Path]]:
    """The paths of a term in groups that a kernel can hold."""
    group: list[Path] = []
    sums = terms = 0
    for path in paths:
        more = sum(map(len, couplings(path.ir_in.l, path.ir_edge.l, path.ir_out.l).values()))
        if group and (sums + path.ir_out.dim > _MOST_SUMS or terms + more > _MOST_TERMS):
            yield group
            group, sums, terms = [], 0, 0
        group.append(path)
        sums, terms = sums + path.ir_out.dim, terms + more
    yield group


@cache
def _has_compiler() -> bool:
    return bool(os.environ.get("CC") or shutil.which("gcc") or shutil.which("clang"))


def _interpreted() -> bool:
    return os.environ.get("TRITON_INTERPRET", "").lower() in ("1", "true", "on", "yes", "y")
