"""Draw the experiment's pictures, of the README and the docs, from the stored numbers.

    python experiments/nequip/figure.py [FOLDER]

With the output folder of a run its own numbers are drawn, and the pictures stay there.
"""

import json
import sys
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from claims import errors, slopes

HERE = Path(__file__).parent
BLUE, RED, GREEN = "#2b6296", "#b5513a", "#5a8f3c"
PARTS = {
    "ladder": ("ethanol, GFN2-xTB, 510 frames", BLUE, "o"),
    "batio3": ("BaTiO₃, LDA, 25 frames", RED, "s"),
}
NETWORKS = {
    "l0": ("l = 0", "#9a9a9a", "o", ":"),
    "l0_weights": ("l = 0, as many weights", "#9a9a9a", "s", "--"),
    "l0_features": ("l = 0, as many numbers", "#9a9a9a", "^", "-."),
    "angles": ("l = 0 with angles", GREEN, "D", "-"),
    "l1": ("l = 1", RED, "o", "-"),
    "l2": ("l = 2", BLUE, "o", "-"),
}


def ladder(found):
    figure, axes = plt.subplots(figsize=(6.4, 3.6), layout="constrained")
    for part, (label, colour, marker) in PARTS.items():
        runs = sorted(found[part].items())
        degrees = [int(name[1:]) for name, _ in runs]
        values = [1000 * run["forces_mae"] for _, run in runs]
        axes.plot(degrees, values, marker=marker, color=colour, label=label, linewidth=2, markersize=7)
        for degree, value in zip(degrees, values, strict=True):
            axes.annotate(f"{value:.3g}", (degree, value), (8, 4), textcoords="offset points", color=colour)
    axes.set_yscale("log")
    axes.set_yticks([5, 10, 20, 40], labels=["5", "10", "20", "40"])
    axes.minorticks_off()
    axes.set_ylim(4, 50)
    axes.set_xlim(-0.15, 2.35)
    axes.set_xticks([0, 1, 2], labels=["l = 0\ndistances only", "l = 1\nvectors", "l = 2\ntensors"])
    axes.set_ylabel("force error on unseen structures (meV/Å)")
    axes.grid(axis="y", color="#dddddd", linewidth=0.8)
    axes.legend(frameon=False)
    return figure


def curves(found):
    """Force errors over frames, both logarithmic: every seed a point, lines through the means, and their slopes."""
    table, fitted = errors(found["curves"]), slopes(found["curves"])
    figure, panels = plt.subplots(1, len(table), figsize=(4.6 * len(table), 4.0), layout="constrained", squeeze=False)
    for axes, (molecule, networks) in zip(panels[0], table.items(), strict=True):
        for network, (label, colour, marker, style) in NETWORKS.items():
            sizes = networks.get(network, {})
            if not sizes:
                continue
            numbers = sorted(sizes)
            means = [1000 * np.exp(np.mean(np.log(sizes[number]))) for number in numbers]
            if network in fitted.get(molecule, {}):
                label = f"{label}: slope {fitted[molecule][network][0]:.2f}".replace("-", "−")
            axes.plot(numbers, means, color=colour, linestyle=style, marker=marker, markersize=5, label=label)
            for number in numbers:
                points = 1000 * np.array(sizes[number])
                axes.plot([number] * len(points), points, marker, color=colour, markersize=2.5, alpha=0.6)
        axes.set_xscale("log")
        axes.set_yscale("log")
        axes.set_xticks(numbers, labels=[str(number) for number in numbers])
        low, high = axes.get_ylim()
        axes.set_ylim(low := low / 2.2, high)  # room for the legend below the lines
        ticks = [value for value in (5, 10, 20, 30, 50, 70, 100, 150, 200, 300) if low < value < high]
        axes.set_yticks(ticks, labels=[str(value) for value in ticks])
        axes.minorticks_off()
        axes.set_xlabel(f"frames of {molecule}")
        axes.grid(color="#eeeeee", linewidth=0.8)
        axes.legend(frameon=False, fontsize=8, loc="lower left")
    panels[0][0].set_ylabel("force error on unseen structures (meV/Å)")
    return figure


def dynamics(distributions):
    """Distributions of bond lengths and angles, and the spectrum, of the potential and of the method it learnt."""
    figure, panels = plt.subplots(3, 1, figsize=(7.2, 7.6), layout="constrained")
    ours, theirs = distributions["ours"], distributions["reference"]
    for axes, dashes, start, width, unit in (
        (panels[0], 1, 0.7, 0.01, "bond length (Å)"),
        (panels[1], 2, 60.0, 1.0, "angle (°)"),
    ):
        kinds = [kind for kind in theirs["histograms"] if kind.count("–") == dashes]
        for place, kind in enumerate(kinds):
            p, q = np.array(theirs["histograms"][kind]) / width, np.array(ours["histograms"][kind]) / width
            middle = start + width * (np.arange(len(p)) + 0.5)
            colour = f"C{place}"
            axes.fill_between(middle, p, color=colour, alpha=0.25, linewidth=0)
            axes.plot(middle, q, color=colour, linewidth=1.4, label=kind)
        seen = np.flatnonzero(sum(np.array(theirs["histograms"][kind]) for kind in kinds) > 1e-4)
        axes.set_xlim(start + width * (seen[0] - 3), start + width * (seen[-1] + 4))
        axes.set_ylim(0)
        axes.set_yticks([])
        axes.set_xlabel(unit)
        axes.legend(frameon=False, fontsize=8, ncols=2 if dashes == 2 else 1)
    panels[0].set_title("areas: GFN2-xTB; lines: the potential", fontsize=10, loc="left")
    for data, colour, label in ((theirs, "#999999", "GFN2-xTB"), (ours, BLUE, "potential")):
        panels[2].plot(data["wavenumbers"], data["spectrum"], color=colour, linewidth=1.1, label=label)
    panels[2].set_xlim(0, 4000)
    panels[2].set_ylim(0)
    panels[2].set_yticks([])
    panels[2].set_xlabel("wavenumber (1/cm)")
    panels[2].set_ylabel("density of vibrations")
    panels[2].legend(frameon=False, fontsize=8)
    return figure


def main():
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else None
    images = folder or HERE.parents[1] / "docs" / "images"
    found = json.loads((HERE / "expected.json").read_text())["ours"]
    if folder and (folder / "result.json").exists():
        found |= json.loads((folder / "result.json").read_text())["runs"]
    pictures = {"ladder": ladder(found)} | ({"curves": curves(found)} if "curves" in found else {})
    distributions = (folder or HERE) / "distributions.json"
    if distributions.exists():
        pictures["dynamics"] = dynamics(json.loads(distributions.read_text()))
    for name, figure in pictures.items():
        for axes in figure.axes:
            axes.spines[["top", "right"]].set_visible(False)
        figure.savefig(images / f"{name}.png", dpi=160)


if __name__ == "__main__":
    main()
