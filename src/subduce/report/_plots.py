"""Plots as inline SVG in one calm style; text stays text, clouds of points become pictures inside."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from io import StringIO
from typing import Any

import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullLocator

from ._units import number, quantity, scale

INK, SOFT, GRID = "#22272e", "#6b7480", "#e4e7eb"
COLOURS = {
    "energy": "#2f5f8f",
    "forces": "#b4553a",
    "stress": "#4f7d53",
    "temperature": "#b07d1c",
    "other": "#6d5a8c",
    "background": "#8b95a1",
}
STYLE: Any = {
    "svg.fonttype": "none",
    "svg.hashsalt": "subduce",
    "font.family": "sans-serif",
    "font.size": 9.5,
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": SOFT,
    "axes.linewidth": 0.7,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.unicode_minus": True,
    "axes.formatter.use_mathtext": False,
    "axes.formatter.useoffset": False,
    "axes.prop_cycle": "cycler('color', ['#2f5f8f', '#b4553a', '#4f7d53', '#b07d1c', '#6d5a8c'])",
    "grid.color": GRID,
    "grid.linewidth": 0.7,
    "xtick.color": SOFT,
    "ytick.color": SOFT,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "legend.frameon": False,
    "lines.linewidth": 1.5,
    "figure.dpi": 72,
    "savefig.dpi": 200,
    "savefig.transparent": True,
}
_WIDE, _SQUARE = (4.4, 2.9), (4.0, 3.8)


@dataclass(frozen=True)
class Plot:
    """One figure: its SVG and what it shows."""

    svg: str
    caption: str


def parity(target: str, unit: str, reference: Sequence[float], predicted: Sequence[float]) -> Plot:
    """Predicted against reference values, with the line where they agree."""
    x, y = _finite(reference, predicted)
    if target.startswith("per_atom"):  # the mean of energies says nothing; their spread does
        x, y = x - x.mean(), y - x.mean()
    factor, shown = scale(float(np.abs(x).max(initial=0)), unit)
    kind = next((key for key in COLOURS if key in target), "other")
    name = target.replace("_", " ").removeprefix("per atom ").strip()
    with rc_context(STYLE):
        figure, axes = _figure(_SQUARE)
        low, high = factor * min(x.min(), y.min()), factor * max(x.max(), y.max())
        room = 0.05 * (high - low) or 1.0
        ends = (low - room, high + room)
        axes.plot(ends, ends, color=SOFT, linewidth=0.8, zorder=1)
        size = np.clip(6000 / max(len(x), 1), 2, 14)
        axes.scatter(
            factor * x, factor * y, s=size, color=COLOURS[kind], alpha=0.55, linewidths=0, rasterized=len(x) > 400
        )
        among = f" ({shown})" if shown else ""
        axes.set(xlim=ends, ylim=ends, xlabel=f"reference{among}", ylabel=f"predicted{among}", aspect="equal")
        error = quantity(float(np.abs(x - y).mean()), unit) if len(x) else "–"
        per = " per atom about its mean" if target.startswith("per_atom") else ""
        return Plot(svg(figure), f"{name.capitalize()}{per}: MAE {error}")


def lines(
    curves: Mapping[str, tuple[Sequence[float], Sequence[float]]],
    *,
    x: str,
    y: str,
    caption: str,
    log: bool = False,
    log_x: bool = False,
    markers: bool = False,
    colours: Sequence[str] = (),
) -> Plot:
    """Curves by name over a common axis."""
    with rc_context(STYLE):
        figure, axes = _figure(_WIDE)
        for index, (name, (along, values)) in enumerate(curves.items()):
            colour = colours[index] if index < len(colours) else None
            marker = "o" if markers or len(along) < 3 else None
            axes.plot(along, values, label=name, color=colour, marker=marker, markersize=3)
        if log and all(value > 0 for _, values in curves.values() for value in values):
            _log_axis(axes)
        axes.set(xlabel=x, ylabel=y)
        if log_x:
            axes.set_xscale("log")
        axes.margins(x=0.03 if markers else 0.01)
        if x in ("epoch", "step"):
            axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=7))
        if len(curves) > 1:
            axes.legend(loc="best", handlelength=1.4)
        return Plot(svg(figure), caption)


def bars(names: Sequence[str], values: Sequence[float], *, unit: str, caption: str, colour: str) -> Plot:
    """One horizontal bar a name, with its value at the end."""
    factor, shown = scale(max(values, default=0.0), unit)
    with rc_context(STYLE):
        figure, axes = _figure((_WIDE[0], 0.75 + 0.3 * len(names)))
        drawn = axes.barh(range(len(names)), [factor * value for value in values], height=0.62, color=colour)
        axes.bar_label(drawn, [number(factor * value) for value in values], padding=4, color=INK)
        axes.set(yticks=range(len(names)), yticklabels=names, xlabel=shown)
        axes.invert_yaxis()
        axes.grid(axis="y", visible=False)
        axes.tick_params(axis="y", length=0)
        axes.margins(x=0.12)
        return Plot(svg(figure), caption)


def ranges(
    names: Sequence[str],
    values: Sequence[float | None],
    intervals: Sequence[Sequence[float | None] | None],
    *,
    colours: Sequence[str],
    x: str,
    caption: str,
    line: float | None = None,
    line_name: str = "",
    legend: Mapping[str, str] | None = None,
) -> Plot:
    """One point a name with its interval, logarithmic where values differ much; `line` marks a bound.

    On a logarithmic axis what reaches zero ends at the left edge. A name without an interval stays empty.
    """
    drawn = [(i, v, s) for i, (v, s) in enumerate(zip(values, intervals, strict=True)) if v is not None and s]
    positive = [p for _, v, s in drawn for p in (v, *s) if p] + ([line] if line else [])
    log = bool(positive) and max(positive) > 30 * min(positive)
    floor = 10 ** np.floor(np.log10(0.6 * max(min(positive), 1e-4 * max(positive)))) if log else 0.0
    with rc_context(STYLE):
        figure, axes = _figure(
            (_WIDE[0], 0.85 + (0.27 if len(names) < 20 else 0.18) * len(names) + (0.25 if legend else 0))
        )
        if line is not None:
            axes.axvline(line, color=SOFT, linewidth=0.9, linestyle=(0, (4, 3)), zorder=1)
            axes.annotate(line_name, (line, 1), xycoords=("data", "axes fraction"), xytext=(3, 2),
                          textcoords="offset points", color=SOFT, fontsize=8.5)  # fmt: skip
        for i, value, (low, high) in drawn:
            low, high = max(low or 0.0, floor), max(high or 0.0, floor)
            axes.plot([low, high], [i, i], color=colours[i], linewidth=2.2, solid_capstyle="butt", zorder=2)
            if value > floor or not log:
                axes.plot([value], [i], color=colours[i], marker="o", markersize=5.5, zorder=3)
        if log:
            axes.set_xscale("log")
            axes.set_xlim(left=floor)
            axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
            axes.xaxis.set_minor_locator(NullLocator())
        elif positive:
            axes.set_xlim(left=-0.02 * max(positive))
            axes.xaxis.set_major_locator(MaxNLocator(nbins=5))
        axes.set(yticks=range(len(names)), yticklabels=names, xlabel=x, ylim=(len(names) - 0.4, -0.6))
        axes.grid(axis="y", visible=False)
        axes.tick_params(axis="y", length=0)
        for name, colour in (legend or {}).items():
            axes.plot([], [], color=colour, marker="o", markersize=5.5, linestyle="", label=name)
        if legend:
            figure.legend(loc="outside lower center", ncols=len(legend), handletextpad=0.1, columnspacing=1.2)
        return Plot(svg(figure), caption)


def heat(values: Sequence[Any], *, x: str, y: str, caption: str, marks: Sequence[Any] = ()) -> Plot:
    """A map of values over two axes, the first downwards, means over further ones; dots where a mark is true."""
    shown = np.asarray([[np.nan if v is None else np.mean(v) for v in row] for row in values], dtype=float)
    with rc_context(STYLE):
        figure, axes = _figure((_WIDE[0], 3.4))
        axes.grid(visible=False)
        largest = float(np.nanmax(shown, initial=0.0)) or 1.0
        mesh = axes.pcolormesh(shown, cmap="YlOrBr", vmin=0, vmax=largest, edgecolors="white", linewidth=0.4)
        marked = np.argwhere([[np.any(mark) for mark in row] for row in marks]).reshape(-1, 2) + 0.5
        axes.plot(marked[:, 1], marked[:, 0], "o", color="white", markeredgecolor=INK, markersize=4)
        axes.set(xlabel=f"{x} (boxes)", ylabel=f"{y} (boxes)", aspect="equal")
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_major_locator(MaxNLocator(integer=True, nbins=5))
        axes.invert_yaxis()
        bar = figure.colorbar(mesh, ax=axes, shrink=0.8)
        bar.outline.set_visible(False)
        return Plot(svg(figure), caption)


def matrix(
    values: Sequence[Sequence[float]], *, rows: Sequence[str], columns: Sequence[str], centre: float, caption: str
) -> Plot:
    """Numbers by row and column as colours about a centre, written into their cells where there is room."""
    shown = np.asarray(values, dtype=float)
    reach = float(np.abs(shown - centre).max(initial=0.0)) or 1.0
    with rc_context(STYLE):
        figure, axes = _figure((_WIDE[0], 1.3 + 0.42 * len(rows)))
        axes.grid(visible=False)
        mesh = axes.pcolormesh(shown, cmap="RdBu_r", vmin=centre - reach, vmax=centre + reach,
                               edgecolors="white", linewidth=0.8)  # fmt: skip
        for (i, j), value in np.ndenumerate(shown) if len(columns) <= 10 else ():
            light = abs(value - centre) > 0.6 * reach
            axes.text(j + 0.5, i + 0.5, f"{value:.2f}".replace("-", "−"), ha="center", va="center",
                      color="white" if light else INK, fontsize=7.5)  # fmt: skip
        axes.set(yticks=np.arange(len(rows)) + 0.5, yticklabels=rows)
        turned: Any = {"rotation": 40, "ha": "right", "rotation_mode": "anchor"}
        turned = turned if len(columns) <= 10 else {"rotation": 90, "fontsize": 9.5 if len(columns) <= 24 else 5}
        axes.set_xticks(np.arange(len(columns)) + 0.5, labels=columns, **turned)
        axes.tick_params(length=0)
        axes.spines[:].set_visible(False)
        axes.invert_yaxis()
        figure.colorbar(mesh, ax=axes, shrink=0.9, pad=0.02).outline.set_visible(False)  # type: ignore[operator]
        return Plot(svg(figure), caption)


def _figure(size: tuple[float, float]) -> tuple[Figure, Axes]:
    figure = Figure(figsize=size, layout="constrained")
    FigureCanvasSVG(figure)
    return figure, figure.subplots()


def _log_axis(axes: Axes) -> None:
    """A logarithmic axis with plain numbers, as many as its range needs."""
    axes.set_yscale("log")
    low, high = axes.get_ylim()
    span = high / low
    steps = (1, 1.5, 2, 3, 5, 7) if span < 8 else (1, 2, 5) if span < 200 else (1,)
    axes.yaxis.set_major_locator(LogLocator(subs=steps))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.yaxis.set_minor_locator(NullLocator())


def svg(figure: Figure) -> str:
    """The drawing without a fixed size, so that it takes the width of its place."""
    buffer = StringIO()
    figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    text = buffer.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(
        r'(<svg[^>]*?) width="[^"]*"', r"\1", re.sub(r'(<svg[^>]*?) height="[^"]*"', r"\1", text, count=1), count=1
    )
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    return text.replace("<svg ", '<svg role="img" ', 1)


def _finite(*columns: Sequence[float]) -> list[np.ndarray]:
    arrays = [np.asarray([np.nan if v is None else v for v in np.ravel(column)], dtype=float) for column in columns]
    keep = np.logical_and.reduce([np.isfinite(array) for array in arrays])
    return [array[keep] for array in arrays]
