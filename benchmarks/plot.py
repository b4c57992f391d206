"""Draw docs/images/speed.png: time per atom against the number of atoms.

python benchmarks/plot.py [RECORD [PICTURE]]
"""

import sys
from pathlib import Path

import matplotlib.pyplot as plt
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from subduce.records import Record

HERE = Path(__file__).parent
SOURCE, TARGET = HERE / "results" / "speed.json", HERE.parent / "docs" / "images" / "speed.png"
STYLES = {1: ("#2b6296", "o"), 2: ("#b4553a", "s"), 3: ("#4f7d53", "^")}


def main(source=SOURCE, target=TARGET):
    record = Record.from_json(Path(source).read_text(), source=str(source))
    threads = record.settings["threads"]
    figure, axes = plt.subplots(figsize=(5.6, 3.6), constrained_layout=True)
    for l_max, (colour, marker) in STYLES.items():
        sizes = {row["atoms"]: row for row in record.results if row.get("l_max") == l_max and row["median_ms"]}
        atoms = sorted(sizes)
        times = [1e3 * sizes[count]["median_ms"] / count for count in atoms]
        spread = [sizes[count]["spread"] * time for count, time in zip(atoms, times, strict=True)]
        axes.errorbar(atoms, times, spread, color=colour, marker=marker, markersize=4, label=f"l_max {l_max}")
    axes.set(xscale="log", yscale="log", xlabel="atoms", ylabel="energy and forces, µs an atom")
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,g}"))
        axis.set_minor_formatter(NullFormatter())
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.grid(color="#e4e7eb", linewidth=0.7)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, loc="upper right")
    network = "Silicon, 4 layers, 32 channels, both parities, float32"
    axes.set_title(f"{network}, {threads} thread{'s' if threads > 1 else ''}", fontsize=9, loc="left")
    figure.savefig(target, dpi=160)
    print(target)


if __name__ == "__main__":
    main(*sys.argv[1:])
