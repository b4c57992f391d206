"""Draw force errors over the degree of the features, from `expected.json`: the picture of the README and the docs."""

import json
from pathlib import Path

import matplotlib.pyplot as plt

HERE = Path(__file__).parent
PARTS = {
    "ladder": ("ethanol, GFN2-xTB, 510 frames", "#2b6296", "o"),
    "batio3": ("BaTiO₃, LDA, 25 frames", "#b5513a", "s"),
}


def main():
    found = json.loads((HERE / "expected.json").read_text())["ours"]
    figure, axes = plt.subplots(figsize=(6.4, 3.6), layout="constrained")
    for part, (label, colour, marker) in PARTS.items():
        runs = sorted(found[part].items())
        degrees = [int(name[1:]) for name, _ in runs]
        errors = [1000 * run["forces_mae"] for _, run in runs]
        axes.plot(degrees, errors, marker=marker, color=colour, label=label, linewidth=2, markersize=7)
        for degree, error in zip(degrees, errors, strict=True):
            axes.annotate(f"{error:.3g}", (degree, error), (8, 4), textcoords="offset points", color=colour)
    axes.set_yscale("log")
    axes.set_yticks([5, 10, 20, 40], labels=["5", "10", "20", "40"])
    axes.minorticks_off()
    axes.set_ylim(4, 50)
    axes.set_xlim(-0.15, 2.35)
    axes.set_xticks([0, 1, 2], labels=["l = 0\ndistances only", "l = 1\nvectors", "l = 2\ntensors"])
    axes.set_ylabel("force error on unseen structures (meV/Å)")
    axes.grid(axis="y", color="#dddddd", linewidth=0.8)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False)
    figure.savefig(HERE.parents[1] / "docs" / "images" / "ladder.png", dpi=160)


if __name__ == "__main__":
    main()
