"""Draw the experiment's pictures, of the README and the docs, from the stored numbers.

    python experiments/relaxed/pictures.py [FOLDER]

With the output folder of a run its own numbers are drawn, and the pictures stay there.
"""

import json
import sys
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

HERE = Path(__file__).parent
TARGETS = {"square": "square → square", "rectangle": "square → rectangle", "asymmetric": "square → no symmetry"}
BLUE, RED = "#2b6296", "#b5513a"
FLOOR = 1e-18  # what is zero is drawn here


def square(runs, group="C4"):
    """The relaxed weights of the first seed, layer by layer, and the parts by irrep of all seeds."""
    figure, panels = plt.subplots(2, 3, figsize=(9.0, 4.6), layout="constrained", sharey="row")
    largest = max(abs(np.array(runs[f"{group}_{target}_seed0"]["weights"]) - 1).max() for target in TARGETS)
    for column, (target, title) in enumerate(TARGETS.items()):
        first = runs[f"{group}_{target}_seed0"]
        weights, axes = np.array(first["weights"]), panels[0, column]
        picture = axes.imshow(weights, cmap="RdBu_r", vmin=1 - largest, vmax=1 + largest, aspect="auto")
        for (layer, element), value in np.ndenumerate(weights):
            axes.text(element, layer, f"{value:.2f}", ha="center", va="center", fontsize=8,
                      color="white" if abs(value - 1) > 0.7 * largest else "black")  # fmt: skip
        axes.set_xticks(range(len(first["elements"])), first["elements"])
        axes.set_yticks(range(len(weights)), [f"layer {i + 1}" for i in range(len(weights))])
        axes.set_title(title, fontsize=10)
        _parts(panels[1, column], [run for name, run in runs.items() if name.startswith(f"{group}_{target}_")])
    figure.colorbar(picture, ax=panels[0], shrink=0.9, label="relaxed weight")
    panels[1, 0].set_ylabel("part over the trivial one")
    return figure


def _parts(axes, runs):
    for place, irrep in enumerate(runs[0]["spectrum"]):
        values = np.maximum([run["spectrum"][irrep] for run in runs], FLOOR)
        allowed = irrep in runs[0]["allowed"]
        axes.plot([place] * len(values), values, "o", color=BLUE if allowed else RED, alpha=0.6)
    axes.set_yscale("log")
    axes.set_ylim(FLOOR / 10, 10)
    axes.set_yticks([FLOOR, 1e-12, 1e-6, 1], ["0", "10⁻¹²", "10⁻⁶", "1"])
    axes.set_xlim(-0.5, len(runs[0]["spectrum"]) - 0.5)
    axes.set_xticks(range(len(runs[0]["spectrum"])), list(runs[0]["spectrum"]))
    axes.grid(axis="y", color="#dddddd", linewidth=0.8)
    axes.set_axisbelow(True)


def flow(runs):
    """By distance from the walls and by scale, as the paper reads weights and as the statistics say, with controls."""
    figure, panels = plt.subplots(2, 2, figsize=(9.0, 6.4), layout="constrained")
    _by_position(panels[0], runs)
    _by_scale(panels[1], runs)
    for axes in panels.flat:
        axes.grid(axis="y", color="#dddddd", linewidth=0.8)
        axes.set_axisbelow(True)
        axes.title.set_fontsize(10)
        axes.legend(frameon=False, fontsize=8, loc="center right" if axes is panels[1, 0] else "best")
    return figure


def _by_position(panels, runs):
    left, right = panels
    size = len(runs["walls_law"]["spreading"][0])
    y = 2 * (np.arange(size) + 0.5) / size
    for name, colour, label in (
        ("walls", RED, "eddies smaller by the walls"),
        ("even", BLUE, "alike everywhere (control)"),
    ):
        ones = [run["by_y"] for key, run in runs.items() if key.startswith(f"{name}_weights")]
        left.plot(y, np.transpose(ones), color=colour, alpha=0.3, linewidth=0.9)
        left.plot(y, np.median(ones, axis=0), color=colour, label=label)
        law = runs[f"{name}_law"]
        right.plot(y, law["true_spreading"][0], color=colour, linewidth=0.9)
        right.plot(y, law["spreading"][0], "o", color=colour, markersize=3.5, label=label)
    left.plot(y, runs["walls_shifted_weights_seed0"]["by_y"], color="black", linewidth=0.9, linestyle=":",
              label="one field, shifted to everywhere")  # fmt: skip
    left.set(title="Relaxed weights of the identity", ylabel="|w(y) − w(middle)|")
    right.set(title="The law: how a tracer spreads (lines: known)", ylabel="diffusivity along x")
    for axes in panels:
        axes.set(xlabel="y, walls at 0 and 2", xlim=(0, 2), ylim=(0, axes.get_ylim()[1] * 1.2))


def _by_scale(panels, runs):
    left, right = panels
    edges = [1, 4, 8, 16]
    names = [f"{low}–{high}" for low, high in zip(edges, [*edges[1:], ""], strict=True)]
    labels = {"gaussian": (RED, "anisotropic below 8"), "isotropic": (BLUE, "isotropic (control)")}
    for name, (colour, label) in labels.items():
        ones = [run["parts"] for key, run in runs.items() if key.startswith(f"{name}_weights")]
        left.plot(names, np.transpose(ones), "o", color=colour, markersize=4, alpha=0.5)
        left.plot(names, np.median(ones, axis=0), color=colour, label=label)
    turned = [run["parts"] for key, run in runs.items() if "turned" in key]
    left.plot(names, np.maximum(np.max(turned, axis=0), FLOOR), ":", marker="o", color="black", markersize=4,
              label="the former, with its quarter turns")  # fmt: skip
    left.set_yscale("log")
    left.set(
        title="Relaxed weights of the identity, random fields", ylabel="part that is not trivial", ylim=(1e-19, 10)
    )
    for name, colour, label in (("planet", RED, "flow with β"), ("still", BLUE, "flow without (control)")):
        value, low, high = np.transpose([band["law"]["E"] for band in runs[f"{name}_scales"]["bands"]])
        right.errorbar(names, value, [np.maximum(value - low, 0), np.maximum(high - value, 0)], color=colour,
                       fmt="o-", markersize=4, capsize=3, label=label)  # fmt: skip
    right.set(title="The law of a flow: vorticity a moment later", ylabel="share of the law in E", ylim=(-0.05, 1.3))
    for axes in panels:
        axes.set_xlabel("|k|")


def predicted(runs, smoke):
    """Errors of the three classes of networks: each seed, and their mean."""
    figure, panels = plt.subplots(1, 4, figsize=(9.6, 3.2), layout="constrained")
    kinds = ("plain", "equivariant", "relaxed")
    for axes, title, chosen, where, measure in (
        (panels[0], "finer field, isotropic", "isotropic_", "test", "mae"),
        (panels[1], "finer field, magnetic", "magnetic_", "test", "mae"),
        (panels[2], "next frame, other plumes", "", "test", "rmse"),
        (panels[3], "next frame, later times", "", "future", "rmse"),
    ):
        source = runs if chosen else smoke
        for place, kind in enumerate(kinds):
            ones = [run for name, run in source.items() if name.startswith(f"{chosen}{kind}_")]
            values = [run["errors"][where][measure] / run.get("interpolation", 1.0) for run in ones]
            axes.bar(place, np.mean(values), color=("#999999", BLUE, RED)[place], width=0.6, alpha=0.35)
            axes.plot([place] * len(values), values, "o", color=("#555555", BLUE, RED)[place], markersize=4)
        axes.set_xticks(range(3), kinds, fontsize=8)
        axes.set_title(title, fontsize=9)
    panels[0].set_ylabel("mean |error|, interpolation = 1")
    panels[2].set_ylabel("r.m.s. error, a mean step = 1")
    return figure


def main():
    given = [Path(argument) for argument in sys.argv[1:]]
    source = given[0] / "result.json" if given else HERE / "expected.json"
    folder = given[0] if given else HERE.parents[1] / "docs" / "images"
    runs = json.loads(source.read_text())["runs"]
    square(runs["square"]).savefig(folder / "relaxed_square.png", dpi=160)
    flow(runs["flow"]).savefig(folder / "relaxed_flow.png", dpi=160)
    predicted(runs["superresolution"], runs["smoke"]).savefig(folder / "relaxed_superresolution.png", dpi=160)


if __name__ == "__main__":
    main()
