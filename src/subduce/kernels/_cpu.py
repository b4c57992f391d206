"""The CPU backend: gather, product and sum over neighbours in one pass, in C that was compiled with the package.

The C code is in `csrc/`, which says what it computes; `_tables` makes of a plan what it reads. Here tensors are made
fit for it, and the work is shared between threads: each call takes a range of receivers, or for the derivatives by x,
y and w a range of senders, and writes numbers that no other call writes, each summed in the order of the edges. So
the results are the same for any number of threads, which is `torch.get_num_threads()`.
"""

import torch
from torch import Tensor

from . import _reference
from ._library import Problem, Spline, check_rows, fits, library, share
from ._plan import ProductPlan
from ._tables import tables

L_MAX = 4
"""Degrees that C is tested for; the reference computes higher ones."""

_MOST_BACKWARD = 8  # threads, each of which sees every receiver's cotangent through the couplings anew

_FEW = 2**17  # numbers of w below which another thread costs more than it saves


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
    tangents: dict[str, Tensor] | None = None,
    row: Tensor | None = None,
) -> dict[str, Tensor]:
    """The derivatives of T by the slots in `wanted` (see `_ops`).

    With `tangents` of x, y and w, one at least, those of T's derivative along them: the sum of T with one of
    them exchanged, in one pass. `row` tells which row of w an edge has, where it has not its own.
    What C does not know, the reference computes: tensors elsewhere, other dtypes, degrees above 4.
    """
    if not computes(plan, x):
        return _reference.partials(plan, wanted, g, x, y, w, sender, receiver, num_receivers)
    check_rows("sender", sender, len(x))
    if row is not None:
        check_rows("row", row, len(w))
        row = row.contiguous()
    sender, first = sender.contiguous(), torch.searchsorted(receiver.contiguous(), torch.arange(num_receivers + 1))
    given = {s: tensor.contiguous() for s, tensor in zip("gxyw", (g, x, y, w), strict=True) if tensor is not None}
    found = {slot: torch.empty_like(given[slot]) for slot in wanted if slot != "g"}
    if "w" in wanted and row is not None:
        found["w"] = w.new_empty(len(sender), w.shape[1])
    if "x" in wanted:
        found["x"].zero_()  # C adds to ∂T/∂x and ∂T/∂g, and sets the others
    if "g" in wanted:
        found["g"] = x.new_zeros(num_receivers, plan.irreps_out.dim)
    table = tables(plan, x.dtype)
    if tangents:
        tangents = {s: tangents[s].contiguous() if s in tangents else torch.zeros_like(given[s]) for s in "xyw"}
    problem = Problem(
        *(tensor.data_ptr() for tensor in table[:3]),
        *(len(plan.paths), table.most_pairs, num_receivers),
        *(plan.irreps_in.dim, plan.irreps_edge.dim, plan.num_weights, plan.irreps_out.dim),
        *(first.data_ptr(), first.data_ptr() + first.element_size(), sender.data_ptr()),
        *(given[slot].data_ptr() if slot in given else None for slot in "gxyw"),
        *(tangents[slot].data_ptr() if tangents else None for slot in "xyw"),
        *(found[slot].data_ptr() if slot in found else None for slot in "gxyw"),
        row.data_ptr() if row is not None else None,
        row is None,
    )
    threads = torch.get_num_threads() if len(sender) * w.shape[1] > _FEW else 1
    double = x.dtype == torch.float64
    if "g" in wanted:
        share("subduce_edge_product", problem, (double, True), _cuts(first, num_receivers, threads))
    if wanted != "g":
        share(
            "subduce_edge_product",
            problem,
            (double, False),
            _cuts(_edges_before(sender, len(x), threads), len(x), threads),
        )
    if "w" in wanted and row is not None:
        found["w"] = torch.zeros_like(w).index_add_(0, row, found["w"])
    return found


def computes(plan: ProductPlan, x: Tensor) -> bool:
    """Whether C computes this; what it does not, the reference does."""
    return fits(x) and plan.highest_degree <= L_MAX


def spline_sums(a: Tensor, r: Tensor, spacing: float, order: int, rows: int) -> Tensor | None:
    """Sums of what coefficients are multiplied with (see `_table`); None where C does not compute this."""
    if library() is None or not fits(r) or order > 3:
        return None
    a, r, sums = a.contiguous(), r.contiguous(), a.new_zeros(rows, a.shape[1])
    problem = Spline(r.data_ptr(), sums.data_ptr(), a.data_ptr(), spacing, rows - 3, a.shape[1], order)
    problem.sums, problem.lengths = sums.data_ptr(), len(r)
    threads = torch.get_num_threads() if a.numel() > _FEW else 1
    cuts = [a.shape[1] * part // threads for part in range(threads + 1)]
    share("subduce_spline", problem, (r.dtype == torch.float64,), cuts)
    return sums


def spline(r: Tensor, coefficients: Tensor, spacing: float, order: int, a: Tensor | None = None) -> Tensor | None:
    """Values of splines, or their products with `a` (see `_table`); None where C does not compute this."""
    if library() is None or not fits(r) or order > 3:
        return None
    r, coefficients, a = r.contiguous(), coefficients.contiguous(), None if a is None else a.contiguous()
    intervals, functions = coefficients.shape[0] - 3, coefficients.shape[1]
    result = torch.empty_like(r) if a is not None else r.new_empty(len(r), functions)
    pointers = (tensor.data_ptr() if tensor is not None else None for tensor in (r, coefficients, a))
    into = (result.data_ptr(), None) if a is None else (None, result.data_ptr())
    problem = Spline(*pointers, spacing, intervals, functions, order, *into)
    threads = torch.get_num_threads() if len(r) * functions > _FEW else 1
    cuts = [len(r) * part // threads for part in range(threads + 1)]
    share("subduce_spline", problem, (r.dtype == torch.float64,), cuts)
    return result


def _cuts(edges_before: Tensor | None, num_rows: int, parts: int) -> list[int]:
    """Rows between which the work is cut into parts of about equally many edges."""
    if edges_before is None or parts == 1 or not num_rows:
        return [0, num_rows]
    targets = edges_before[-1] * torch.arange(1, parts) // parts
    return [0, *torch.searchsorted(edges_before[:num_rows], targets).tolist(), num_rows]


def _edges_before(sender: Tensor, num_nodes: int, threads: int) -> Tensor | None:
    """How many edges leave the nodes before each, and then all."""
    if threads == 1:
        return None
    return torch.nn.functional.pad(sender.bincount(minlength=num_nodes).cumsum(0), (1, 0))
