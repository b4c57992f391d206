"""The text of the GPU kernels: one for each shape of a group of paths, with degrees and couplings unrolled.

A *group* is some paths of one term of the features. What its kernel must know when it is compiled is its `Shape`;
where its numbers lie it reads from a table, so that parities, multiplicities, layers and models share kernels. Triton
compiles from text, so the text is made here, line by line as one would write it.

A program takes one row, forward a receiver, backward a sender, with all edges of it, and one block of channels. Edges
lie along the first axis of its tensors and channels along the second. For each path, with its couplings C,

    forward     z[m] = w x[m]              sum[k] += C[m,n,k] z[m] y[n]
    backward    pair[m,n] = C[m,n,k] g[k]  dz[m] = pair[m,n] y[n]
                dx[m] += w dz[m]           dw = x[m] dz[m]              dy[n] += pair[m,n] z[m], over all channels

Along tangents x2, y2 and w2 each product becomes its derivative (`_product`). No two
programs write one number, and each adds in an order of its own: nothing depends on which runs first.
"""

import linecache
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

from ..o3 import clebsch_gordan

_HEAD = """
import triton
import triton.language as tl

@triton.jit(do_not_specialize=["first_part", "num_others", "num_edges"])
def kernel(
    x, y, w, g, x2, y2, w2, into_x, into_y, into_w, into_g, first, order, others, table,
    first_part, num_others, num_edges, x_width, y_width, w_width, g_width, channels,
    EDGES: tl.constexpr, CHANNELS: tl.constexpr,
):
    row = tl.program_id(0).to(tl.int64)
    blocks = tl.cdiv(channels, CHANNELS)
    block = tl.program_id(1) % blocks
    part = (first_part + tl.program_id(1)).to(tl.int64)
    lane = tl.arange(0, CHANNELS)[None, :]
    c = block * CHANNELS + lane
    inside = c < channels
    begin = tl.load(first + row)
    end = tl.load(first + row + 1)
""".strip()


@dataclass(frozen=True)
class Shape:
    """What a kernel is compiled for: degrees, and which paths there are of them."""

    degree: int  # of the features: l1
    harmonics: tuple[int, ...]  # l2 of each term of the edge
    paths: tuple[tuple[int, int], ...]  # (place among the harmonics, l3)

    @property
    def places(self) -> list[str]:
        """What `table` holds for a group: firsts in a row of x, y, w and g, steps of g, and which part of ∂T/∂x."""
        harmonics = [f"at_y{h}" for h in range(len(self.harmonics))]
        paths = [f"{name}{p}" for p in range(len(self.paths)) for name in ("at_w", "at_g", "step_g")]
        return ["at_x", "part_x", *harmonics, *paths]


@cache
def couplings(l1: int, l2: int, l3: int) -> dict[tuple[int, int], list[tuple[int, float]]]:
    """For each pair (m, n) of components that couple, the components k that it reaches, and how strongly."""
    coupling = clebsch_gordan(l1, l2, l3) * (2 * l3 + 1) ** 0.5
    found: dict[tuple[int, int], list[tuple[int, float]]] = {}
    for m, n, k in coupling.nonzero().tolist():
        found.setdefault((m, n), []).append((k, coupling[m, n, k].item()))
    return found


@cache
def kernel(shape: Shape, wanted: str, tangents: str) -> Any:
    """The kernel of those of ∂T/∂x, ∂T/∂y and ∂T/∂w that are wanted, or of ∂T/∂g; along tangents if there are any."""
    text = source(shape, wanted, tangents)
    file = f"<edge product: {shape}, {wanted} along {tangents or 'nothing'}>"
    linecache.cache[file] = (len(text), None, text.splitlines(keepends=True), file)  # Triton reads it through `inspect`
    names: dict[str, Any] = {"__name__": __name__}
    exec(compile(text, file, "exec"), names)
    return names["kernel"]


def source(shape: Shape, wanted: str, tangents: str) -> str:
    """The text of `kernel`: a module that needs nothing but Triton."""
    at = [f"    {name} = tl.load({_ENTRY} * {len(shape.places)} + {i})" for i, name in enumerate(shape.places)]
    lines = _forward(shape, tangents) if wanted == "g" else _backward(shape, wanted, tangents)
    return "\n".join([_HEAD, *at, *lines, ""])


_ENTRY = "table + (tl.program_id(1) // blocks)"
_ZEROS = "tl.zeros((EDGES, CHANNELS), x.dtype.element_ty)"
_DEPENDS_ON = {"x": "x", "y": "y", "w": "w", "z": "xw", "dz": "y", "pair": ""}
"""The slots in each name: whether it has a tangent, which bears the same name with a 2."""


def _has_tangent(name: str, tangents: str) -> bool:
    return any(slot in tangents for slot in _DEPENDS_ON[name.partition("_")[0]])


def _product(a: str, b: str, tangents: str) -> str:
    """The product of two names, or its derivative along the tangents; nothing where that is zero."""
    if not tangents:
        return f"{a} * {b}"
    turned = {name: f"{name.partition('_')[0]}2_{name.partition('_')[2]}" for name in (a, b)}
    terms = [f"{turned[a]} * {b}"] if _has_tangent(a, tangents) else []
    return " + ".join(terms + ([f"{a} * {turned[b]}"] if _has_tangent(b, tangents) else []))


def _add(into: str, product: str, operator: str = "+=") -> Iterator[str]:
    if product:
        yield f"        {into} {operator} {product}"


def _forward(shape: Shape, tangents: str) -> Iterator[str]:
    sums = [f"{p}_{k}" for p, (_, l3) in enumerate(shape.paths) for k in range(2 * l3 + 1)]
    yield from (f"    sum_{one} = {_ZEROS}" for one in sums)
    yield from _edges("edge = place")
    for m in range(2 * shape.degree + 1):
        yield from _load("x", f"{m}", f"other * x_width + at_x + {m} * channels + c", "known & inside, lost", tangents)
    yield from _edge_values(shape, tangents)
    for p, (h, l3) in enumerate(shape.paths):
        yield from _features_by_weights(shape, p, tangents)
        for (m, n), reached in couplings(shape.degree, shape.harmonics[h], l3).items():
            yield from _add("pair", _product(f"z_{m}", f"y_{h}_{n}", tangents), "=")
            yield from (f"        sum_{p}_{k} += {strength!r} * pair" for k, strength in reached)
    for one in sums:
        p, k = one.split("_")
        into = f"into_g + row * g_width + at_g{p} + {k} * step_g{p} + c"
        yield f"    tl.store({into}, tl.sum(sum_{one}, 0)[None, :], inside)"


def _backward(shape: Shape, wanted: str, tangents: str) -> Iterator[str]:
    components = range(2 * shape.degree + 1)
    harmonics = [(h, n) for h, l2 in enumerate(shape.harmonics) for n in range(2 * l2 + 1)]
    for m in components:
        yield from _load("x", f"{m}", f"row * x_width + at_x + {m} * channels + c", "inside, 0.0", tangents, "    ")
    if "x" in wanted:
        yield from (f"    dx_{m} = {_ZEROS}" for m in components)
    yield from _edges("edge = tl.load(order + place, real, 0)")
    yield from _edge_values(shape, tangents)
    if "y" in wanted:
        yield from (f"        dy_{h}_{n} = {_ZEROS}" for h, n in harmonics)
    for p, (h, l3) in enumerate(shape.paths):
        for k in range(2 * l3 + 1):
            yield f"        g_{k} = tl.load(g + other * g_width + at_g{p} + {k} * step_g{p} + c, known & inside, lost)"
        yield from _features_by_weights(shape, p, tangents)
        yield from _slopes(shape, p, h, l3, wanted, tangents)
    if "y" in wanted:
        for h, n in harmonics:
            # From lanes that hold the sum already: a column of its own shape would go through memory, with barriers.
            total = f"tl.broadcast_to(tl.sum(dy_{h}_{n}, 1)[:, None], (EDGES, CHANNELS))"
            into = f"into_y + (part * num_edges + edge) * y_width + at_y{h} + {n}"
            yield f"        tl.store({into} + lane * 0, {total}, real & (lane == 0))"
    if "x" in wanted:
        for m in components:
            into = f"into_x + (part_x.to(tl.int64) * tl.num_programs(0) + row) * x_width + at_x + {m} * channels + c"
            yield f"    tl.store({into}, tl.sum(dx_{m}, 0)[None, :], inside)"


def _slopes(shape: Shape, p: int, h: int, l3: int, wanted: str, tangents: str) -> Iterator[str]:
    """What one path adds to the derivatives of an edge."""
    components, through = range(2 * shape.degree + 1), "x" in wanted or "w" in wanted
    if through:
        for name in ("dz", "dz2")[: 1 + ("y" in tangents)]:
            yield from (f"        {name}_{m} = {_ZEROS}" for m in components)
    for (m, n), reached in couplings(shape.degree, shape.harmonics[h], l3).items():
        yield "        pair = " + " + ".join(f"{strength!r} * g_{k}" for k, strength in reached)
        if through:
            yield f"        dz_{m} += pair * y_{h}_{n}"
            if "y" in tangents:
                yield f"        dz2_{m} += pair * y2_{h}_{n}"
        if "y" in wanted:
            yield from _add(f"dy_{h}_{n}", _product("pair", f"z_{m}", tangents))
    if "x" in wanted:
        for m in components:
            yield from _add(f"dx_{m}", _product(f"w_{p}", f"dz_{m}", tangents))
    if "w" in wanted:
        yield f"        dw = {_ZEROS}"
        for m in components:
            yield from _add("dw", _product(f"x_{m}", f"dz_{m}", tangents))
        yield f"        tl.store(into_w + edge * w_width + at_w{p} + c, dw, real & inside)"


def _edges(edge: str) -> Iterator[str]:
    """The loop over the edges of a row. An edge to a node that there is not gives not-a-number, and touches nothing."""
    yield "    for start in range(begin, end, EDGES):"
    for line in (
        "place = start + tl.arange(0, EDGES)[:, None]",
        "real = place < end",
        edge,
        "other = tl.load(others + edge, real, 0)",
        "known = real & (other >= 0) & (other < num_others)",
        "lost = tl.where(real & (known == 0), float('nan'), 0.0)",
    ):
        yield f"        {line}"


def _edge_values(shape: Shape, tangents: str) -> Iterator[str]:
    for h, l2 in enumerate(shape.harmonics):
        for n in range(2 * l2 + 1):
            yield from _load("y", f"{h}_{n}", f"edge * y_width + at_y{h} + {n}", "real, 0.0", tangents)


def _features_by_weights(shape: Shape, p: int, tangents: str) -> Iterator[str]:
    yield from _load("w", f"{p}", f"edge * w_width + at_w{p} + c", "real & inside, 0.0", tangents)
    for m in range(2 * shape.degree + 1):
        yield f"        z_{m} = w_{p} * x_{m}"
        if tangents:
            yield from _add(f"z2_{m}", _product(f"w_{p}", f"x_{m}", tangents), "=")


def _load(slot: str, index: str, place: str, masked: str, tangents: str, indent: str = "        ") -> Iterator[str]:
    for name in (slot, f"{slot}2")[: 1 + (slot in tangents)]:
        yield f"{indent}{name}_{index} = tl.load({name} + {place}, {masked})"
