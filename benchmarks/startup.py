"""How long until something happens? Fresh processes: import, `--help`, and building a potential.

    python benchmarks/startup.py

`import` and `build` are the seconds of that statement alone in a process that has just started (for
`build`, after importing the models); `help` is the whole life of the process.
"""

import argparse
import subprocess
import sys
import time

from records import write_results

from subduce.benchmark import Sample

IMPORT = "import time; t = time.perf_counter(); import subduce; print(time.perf_counter() - t)"
MODELS = "import time; t = time.perf_counter(); import subduce.models; print(time.perf_counter() - t)"
BUILD = """
import time
from subduce.models import Potential, PotentialConfig
config = PotentialConfig(l_max={l_max}, num_layers=4, type_names=("H", "C", "O"), avg_num_neighbors=20.0)
t = time.perf_counter()
Potential(config)
print(time.perf_counter() - t)
"""
LIMITS = {"import": 0.1, "help": 0.5, "verb help": 0.5, "build l_max=2": 1.0, "build l_max=3": 1.0}


def printed(code):
    """The number of seconds that a fresh process prints."""
    command = [sys.executable, "-c", code]
    return float(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


def lifetime(*arguments):
    """How long a fresh process lives."""
    began = time.perf_counter()
    subprocess.run([sys.executable, *arguments], capture_output=True, check=True)
    return time.perf_counter() - began


MEASURES = {
    "bare python": lambda: lifetime("-c", ""),
    "import": lambda: printed(IMPORT),
    "help": lambda: lifetime("-m", "subduce", "--help"),
    "verb help": lambda: lifetime("-m", "subduce", "train", "--help"),
    "import models": lambda: printed(MODELS),
    "build l_max=2": lambda: printed(BUILD.format(l_max=2)),
    "build l_max=3": lambda: printed(BUILD.format(l_max=3)),
}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=9)
    rounds, began, rows = parser.parse_args().rounds, time.time(), []
    for name, measure in MEASURES.items():
        measure()  # files into the cache, bytecode written
        sample = Sample(tuple(measure() for _ in range(rounds)))
        limit = LIMITS.get(name)
        rows.append({"case": name, "median_s": sample.median, "spread": sample.spread, "limit_s": limit})
        verdict = "" if limit is None else f"  limit {limit} s: {'kept' if sample.median < limit else 'MISSED'}"
        print(f"{name:14} {sample.median:7.3f} s ±{sample.spread:.0%}{verdict}")
    kept = all(row["limit_s"] is None or row["median_s"] < row["limit_s"] for row in rows)
    print(write_results("startup", rows, {"rounds": rounds, "kept": kept}, began))
    return 0 if kept else 1


if __name__ == "__main__":
    raise SystemExit(main())
