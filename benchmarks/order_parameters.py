"""Does the answer depend on how a child is presented, and how long does it take?

    python benchmarks/order_parameters.py
    python benchmarks/order_parameters.py --presentations 10

Every tilt system and published structure is turned, mirrored, shifted, shuffled and put into another, skewed cell many
times, exactly and with 0.003 Å of noise. A failure is an error, another space group or index, or another set of
primary irreps; the deviation is that of the amplitudes (A_s) of modes above 0.02 Å. Then the command itself, as a
process, on 40 atoms.
"""

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import ase.io
import numpy as np
from records import write_results

from subduce.config import InputError
from subduce.discovery import order_parameters

sys.path.insert(0, str(Path(__file__).parent.parent))
from tests.distortions import distorted, perovskite, presented
from tests.golden import regenerate_structures
from tests.golden.test_order_parameters import GLAZER

SMALLEST = 0.02  # Å


def cases():
    """Every pair of parent and child by its name."""
    tilts = {name: (perovskite(), distorted(r=r, m=m)) for name, (r, m, _, _) in GLAZER.items()}
    return tilts | regenerate_structures.pairs()


def answer(parent, child):
    """What must not depend on the presentation, and the amplitudes."""
    results = order_parameters(parent, child, method="group").results
    primary = sorted(mode["irrep"] for mode in results["modes"] if mode["primary"])
    amplitudes = {mode["irrep"]: mode["amplitude"] for mode in results["modes"]}
    return (results["child"]["number"], results["index"], primary), amplitudes


def presentations(name, parent, child, count, noise, seed):
    """One row: failures, the largest deviation of an amplitude, and the time of a call."""
    wanted, amplitudes = answer(parent, child)
    generator, failures, worst, times = np.random.default_rng(seed), 0, 0.0, []
    for _ in range(count):
        other = presented(child, generator, noise)
        began = time.perf_counter()
        try:
            found, here = answer(parent, other)
        except InputError:
            failures += 1
            continue
        times.append(time.perf_counter() - began)
        failures += found != wanted
        if found == wanted:
            large = {irrep: value for irrep, value in amplitudes.items() if value > SMALLEST}
            worst = max([worst, *(abs(here.get(irrep, 0.0) - value) for irrep, value in large.items())])
    row = {"case": name, "noise": noise, "presentations": count, "failures": failures, "deviation": worst}
    print(f"{name:22s} noise {noise:5.3f} Å   {failures} of {count} failed   deviation {worst:.1e} Å", flush=True)
    return row | {"median_ms": 1000 * float(np.median(times))}


def processes(rounds):
    """Rows for the command as a whole, on a child of 40 atoms."""
    with tempfile.TemporaryDirectory() as folder:
        files = [f"{folder}/parent.cif", f"{folder}/child.cif"]
        for path, atoms in zip(files, (perovskite(), distorted(r=(0, 0.17, 0.17), m=(0.11, 0, 0))), strict=True):
            ase.io.write(path, atoms)
        for method in ("group", "both"):
            command = [sys.executable, "-m", "subduce", "order-parameters", *files, "--method", method]
            seconds = []
            for _ in range(rounds):
                began = time.perf_counter()
                subprocess.run(command, check=True, capture_output=True)
                seconds.append(time.perf_counter() - began)
            print(f"command, --method {method}: first {seconds[0]:.2f} s, then {np.median(seconds[1:]):.2f} s")
            yield {
                "case": f"command on 40 atoms, --method {method}",
                "first_s": seconds[0],
                "median_s": float(np.median(seconds[1:])),
                "spread_s": float(np.ptp(seconds[1:])),
            }


def main():
    """Measure, print and store."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--presentations", type=int, default=100, metavar="N")
    parser.add_argument("--rounds", type=int, default=6, metavar="N")
    options = parser.parse_args()
    began, rows = time.time(), []
    rows += processes(options.rounds)
    for place, (name, (parent, child)) in enumerate(cases().items()):
        for noise in (0.0, 0.003):
            rows.append(presentations(name, parent, child, options.presentations, noise, seed=place))
    print(write_results("order_parameters", rows, vars(options), began))


if __name__ == "__main__":
    main()
