"""Drawings of a phase transition: the path of subgroups, and order parameters as surfaces on their sites."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib import rc_context
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from scipy.special import lpmv

from ._plots import COLOURS, SOFT, STYLE, Plot, svg

_MOST = 12  # surfaces


def tree(steps: Sequence[Mapping[str, Any]]) -> Plot:
    """The path of subgroups: the parent above, then what each mode, each pair, ... leaves, and the child below.

    `steps` have `symbol`, `index` (in the parent) and `modes` (a tuple); the first is the parent, the last the child.
    """
    levels = sorted({len(step["modes"]) for step in steps})
    at = []
    for step in steps:
        row = [other for other in steps if len(other["modes"]) == len(step["modes"])]
        place = [other is step for other in row].index(True)
        at.append(((2 * place + 1) / len(row) - 1, float(-levels.index(len(step["modes"])))))
    with rc_context(STYLE):
        figure = Figure(figsize=(4.4, 1.1 * len(levels)), layout="constrained")
        FigureCanvasSVG(figure)
        axes = figure.subplots()
        axes.set_axis_off()
        axes.set(xlim=(-1.1, 1.1), ylim=(0.65 - len(levels), 0.35))
        for upper, start in zip(steps, at, strict=True):
            for lower, end in zip(steps, at, strict=True):
                if start[1] - end[1] == 1 and set(upper["modes"]) <= set(lower["modes"]):
                    _edge(axes, start, end, set(lower["modes"]) - set(upper["modes"]), lower["index"] // upper["index"])
        for step, place in zip(steps, at, strict=True):
            ends = step is steps[0] or step is steps[-1]
            box = {"boxstyle": "round,pad=0.5,rounding_size=0.35", "facecolor": "#eef3f8" if ends else "white",
                   "edgecolor": COLOURS["energy"], "linewidth": 1.1 if ends else 0.8}  # fmt: skip
            axes.text(place[0], place[1], step["symbol"], ha="center", va="center", fontsize=10.5, bbox=box, zorder=3)
        return Plot(svg(figure), "From parent to child: isotropy subgroups, and the index of each step")


def _edge(axes: Any, start: tuple[float, float], end: tuple[float, float], modes: set[str], index: int) -> None:
    axes.plot(*zip(start, end, strict=True), color=SOFT, linewidth=1, zorder=1)
    middle = (0.5 * (start[0] + end[0]), 0.5 * (start[1] + end[1]))
    left = middle[0] < -0.01
    axes.annotate(f"{' '.join(sorted(modes))}  [{index}]", middle, xytext=(-7 if left else 7, 0),
                  textcoords="offset points", va="center", ha="right" if left else "left")  # fmt: skip


def surfaces(sites: Sequence[tuple[str, Mapping[str, Sequence[float]]]]) -> Plot:
    """Order parameters on sites as surfaces: the radius is the sum of coefficients times real spherical harmonics.

    Coefficients by irrep in e3nn's order (`"1e": [x, y, z]`); red is positive, blue negative; one scale for all.
    """
    shown = [(name, parts) for name, parts in sites if any(np.any(values) for values in parts.values())][:_MOST]
    polar, round_ = np.meshgrid(np.linspace(0, np.pi, 33), np.linspace(0, 2 * np.pi, 49))
    way = np.stack([np.sin(polar) * np.cos(round_), np.sin(polar) * np.sin(round_), np.cos(polar)])
    drawn = [
        np.sum([np.tensordot(v, harmonics(int(key[:-1]), way), 1) for key, v in parts.items()], axis=0)
        for _, parts in shown
    ]
    reach = max((float(abs(values).max()) for values in drawn), default=1.0)
    columns = min(len(shown), 4)
    lines = math.ceil(len(shown) / max(columns, 1))
    with rc_context(STYLE):
        figure = Figure(figsize=(4.4, 0.25 + 4.4 * lines / max(columns, 2)))
        FigureCanvasSVG(figure)
        for place, ((name, parts), values) in enumerate(zip(shown, drawn, strict=True)):
            axes: Any = figure.add_subplot(lines, columns, place + 1, projection="3d")
            radius = abs(values) / reach
            colours = np.where(values[..., None] > 0, [0.77, 0.32, 0.23, 1], [0.18, 0.37, 0.56, 1])
            axes.plot_surface(*(radius * way), facecolors=colours, rstride=1, cstride=1, linewidth=0, antialiased=False,
                              rasterized=True)  # fmt: skip
            for axis, letter in enumerate("xyz"):
                end = 1.15 * np.eye(3)[axis]
                axes.plot(*np.stack([0 * end, end], 1), color=SOFT, linewidth=0.7)
                axes.text(*(1.12 * end), letter, color=SOFT, fontsize=8, ha="center", va="center")
            axes.set(xlim=(-0.8, 0.8), ylim=(-0.8, 0.8), zlim=(-0.8, 0.8), box_aspect=(1, 1, 1))
            axes.set_axis_off()
            axes.view_init(elev=18, azim=-62)
            axes.set_title(f"{name}: {', '.join(parts)}", fontsize=9, y=1.06)
        figure.subplots_adjust(0, 0, 1, 0.88, 0, 0.1)
        return Plot(svg(figure), "What the network misses: the gradient by its inputs on sites, at zero")


def harmonics(degree: int, way: np.ndarray) -> np.ndarray:
    """Real spherical harmonics of unit vectors `[3, ...]`, `[2 degree + 1, ...]`: e3nn's order, y the polar axis.

    >>> (harmonics(1, np.eye(3)) + 0.0).round(4) + 0.0  # x, y, z times the root of 3
    array([[1.7321, 0.    , 0.    ],
           [0.    , 1.7321, 0.    ],
           [0.    , 0.    , 1.7321]])
    """
    x, y, z = way
    turn = np.arctan2(x, z)
    rows = []
    for m in range(-degree, degree + 1):
        size = abs(m)
        norm = (2 * degree + 1) * (2 if m else 1) * math.factorial(degree - size) / math.factorial(degree + size)
        around = np.sin(size * turn) if m < 0 else np.cos(m * turn)
        rows.append((-1) ** size * math.sqrt(norm) * lpmv(size, degree, np.clip(y, -1, 1)) * around)
    return np.stack(rows)
