"""Draw the experiment's picture, of the README and the docs, from the stored numbers.

    python experiments/relaxed/pictures.py [FOLDER]

With the output folder of a run its own numbers are drawn, and the picture stays there.
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


def main():
    given = [Path(argument) for argument in sys.argv[1:]]
    source = given[0] / "result.json" if given else HERE / "expected.json"
    folder = given[0] if given else HERE.parents[1] / "docs" / "images"
    square(json.loads(source.read_text())["runs"]["square"]).savefig(folder / "relaxed_square.png", dpi=160)


if __name__ == "__main__":
    main()
