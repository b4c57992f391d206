"""A plan as the tables that the C code reads: where numbers lie, which components couple, and how strongly.

For a path, the pairs (m, n) of components of the features and of the harmonics that couple at all are far fewer than
all pairs. The C code needs them twice, with the components k of the result that each reaches:

- forward, in *strands*: pairs that share one component, m or n, whose sums over edges stay in registers together;
- backward, as the n that meet each m.

Forward, a table of "which and how strongly" is a row of firsts, one for each target and the end, then the sources, with
the coefficients in the same order elsewhere; backward, it is a list of targets and sources.
"""

from collections.abc import Iterable
from functools import cache
from typing import NamedTuple

import torch
from torch import Tensor

from ..o3 import clebsch_gordan
from ._plan import Path, ProductPlan

LONGEST = 9
"""Pairs in a strand at most: as in `csrc/kernels.c`."""

Pair = tuple[int, int]


class Tables(NamedTuple):
    """What a plan is to the C code."""

    paths: Tensor  # int32 [paths, 17], the fields of `path` in C
    index: Tensor  # int32
    coefficients: Tensor
    most_pairs: int


@cache
@torch.inference_mode(False)
def tables(plan: ProductPlan, dtype: torch.dtype) -> Tables:
    """The tables of a plan, with coefficients of the dtype that the tensors will have."""
    rows: list[list[int]] = []
    index: list[int] = []
    coefficients: list[float] = []
    most_pairs = 0
    for path in plan.paths:
        coupling = clebsch_gordan(path.ir_in.l, path.ir_edge.l, path.ir_out.l) * path.ir_out.dim**0.5
        strengths = {(m, n, k): coupling[m, n, k].item() for m, n, k in coupling.nonzero().tolist()}
        pairs = sorted({(m, n) for m, n, _ in strengths})
        stranded, strands = _strands(pairs, turned=path.ir_edge.dim < path.ir_in.dim)
        out, out_by = _rows(path.ir_out.dim, ((k, stranded.index((m, n)), c) for (m, n, k), c in strengths.items()))
        into, into_by = _entries((m * path.ir_edge.dim + n, k, c) for (m, n, k), c in strengths.items())
        at = [len(index)]
        for part in ([number for strand in strands for number in strand], out, into):
            index += part
            at.append(len(index))
        rows.append(
            [
                *_places(plan, path),
                *(path.ir_in.dim, path.ir_edge.dim, path.ir_out.dim),
                *(len(strands), at[0]),
                *(at[1], len(coefficients)),
                *(at[2], len(coefficients) + len(out_by)),
                *(len(into_by), _pattern(path, pairs)),
            ]
        )
        coefficients += out_by + into_by
        most_pairs = max(most_pairs, path.ir_in.dim * path.ir_edge.dim)
    return Tables(
        torch.tensor(rows, dtype=torch.int32, device="cpu"),
        torch.tensor(index, dtype=torch.int32, device="cpu"),
        torch.tensor(coefficients, dtype=dtype, device="cpu"),
        most_pairs,
    )


def _places(plan: ProductPlan, path: Path) -> list[int]:
    """First number of the path in the rows of x, y, w and g; the steps between components of x and of g."""
    term_out = plan.irreps_out[path.term_out]
    return [
        plan.irreps_in.slices()[path.term_in].start,
        plan.irreps_edge.slices()[path.term_edge].start,
        path.weights.start,
        plan.irreps_out.slices()[path.term_out].start + path.channels.start,
        path.mul,
        term_out.mul,
    ]


def _strands(pairs: list[Pair], *, turned: bool) -> tuple[list[Pair], list[list[int]]]:
    """The pairs in the order of their strands; each strand as (turned, count, shared component, the others).

    Strands share m, or n where `turned`: whichever leaves fewer and longer ones.
    """
    shared = 1 if turned else 0
    order, strands = [], []
    for component in sorted({pair[shared] for pair in pairs}):
        members = [pair for pair in pairs if pair[shared] == component]
        for first in range(0, len(members), LONGEST):
            strand = members[first : first + LONGEST]
            order += strand
            strands.append([int(turned), len(strand), component, *(pair[1 - shared] for pair in strand)])
    return order, strands


def _entries(entries: Iterable[tuple[int, int, float]]) -> tuple[list[int], list[float]]:
    """Entries (target, source, strength) one after another, those of one target far apart: none waits for another."""
    seen: dict[int, int] = {}
    ranked = []
    for target, source, strength in sorted(entries):
        seen[target] = seen.get(target, -1) + 1
        ranked.append((seen[target], target, source, strength))
    ranked.sort()
    return [i for _, target, source, _ in ranked for i in (target, source)], [strength for *_, strength in ranked]


def _pattern(path: Path, pairs: list[Pair]) -> int:
    """Which pairs couple, where C knows the pattern: any, those of equal components, or those of different ones."""
    if path.ir_in.dim != path.ir_edge.dim or path.ir_in.l not in (1, 2):
        return 0
    equal = sum(m == n for m, n in pairs)
    return 1 if equal == len(pairs) else 2 if equal == 0 else 0


def _rows(num_targets: int, entries: Iterable[tuple[int, int, float]]) -> tuple[list[int], list[float]]:
    """Entries (target, source, strength) as a table of firsts and sources, and the strengths in its order."""
    ordered = sorted(entries)
    firsts = [sum(target < row for target, _, _ in ordered) for row in range(num_targets + 1)]
    return firsts + [source for _, source, _ in ordered], [strength for _, _, strength in ordered]
