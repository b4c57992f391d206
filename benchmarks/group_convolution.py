"""What does group convolution cost? Beside the ordinary convolution of the same filter, and beside escnn.

    python benchmarks/group_convolution.py
    python benchmarks/group_convolution.py --peers .peers      # where .peers/escnn is an environment with escnn

Forward and backward pass in training mode, float32: derivatives of the input, the weights and the bias. `ordinary` is
torch's convolution with the expanded filter as its own weight: what is above it is the price of the group. Each program
is a process of its own and has its turn; a ratio is the median over rounds of one program's time over the other's in
the same round. With one thread it is the processor's time that counts, which others on the machine do not stretch.
"""

import argparse
import os
import sys
import time
from pathlib import Path

from records import write_results

import subduce.benchmark
from subduce.benchmark import Program, Sample, alternately

HERE = Path(__file__).parent
PLANE = {"points": 32, "channels": 16, "batch": 8, "kernel_size": 3}
SPACE = {"points": 12, "channels": 4, "batch": 2, "kernel_size": 3}
SIZES = {"C4": PLANE, "D4": PLANE, "O": SPACE, "Oh": SPACE}
LIMIT = 1.2
MEMORY = {
    "MALLOC_MMAP_THRESHOLD_": str(2**30),
    "MALLOC_TRIM_THRESHOLD_": str(2**32),
    "MALLOC_TOP_PAD_": str(2**26),
}
"""For all alike: else what was freed before decides whether glibc gives large blocks back, which can double a time."""


def cases():
    """Every case by its name."""
    for group, sizes in SIZES.items():
        for layer in ("lifting", "group"):
            for padding in ("zero", "circular"):
                if padding == "zero" or (layer == "group" and group in ("D4", "O")):
                    task = {"group": group, "layer": layer, "padding": padding, **sizes}
                    yield f"{group} {layer}, {padding}", task


def start(program, package, python, threads):
    """A program that waits for its task."""
    ours = str(Path(subduce.benchmark.__file__).parent)  # _serve needs nothing but Python
    path = ours if program == "escnn" else os.pathsep.join([ours, str(Path(subduce.__file__).parent.parent)])
    os.environ |= MEMORY
    return Program([str(python), str(HERE / "convolution_program.py"), program, package], threads=threads, path=path)


def measure(name, task, peers, options):
    """One case: a row for each program."""
    tasks = {"ordinary": ("plain", "torch"), "subduce": ("ours", "subduce"), "subduce, relaxed": ("ours", "subduce")}
    pythons = dict.fromkeys(tasks, sys.executable)
    if peers:
        tasks["escnn"], pythons["escnn"] = ("escnn", "escnn"), peers
    programs = {}
    try:
        for program, (kind, package) in tasks.items():
            programs[program] = start(kind, package, pythons[program], options.threads)
        facts = {
            program: running.ask("prepare", task={**task, "relaxed": program.endswith("relaxed")})
            for program, running in programs.items()
        }
        shapes = {str(fact.get("out")) for fact in facts.values() if "refused" not in fact}
        if len(shapes) != 1:
            raise SystemExit(f"{name}: programs give different shapes, {shapes}")
        found, failed = alternately(programs, options.seconds, rounds=(7, options.rounds), memory=False)
    finally:
        for running in programs.values():
            running.__exit__()
    return list(rows_of(name, task, facts, found, failed))


def rows_of(name, task, facts, found, failed):
    """What was measured, with ratios to the ordinary convolution and to ours in the same rounds."""
    for program, fact in facts.items():
        row = {"case": name, "program": program, **task}
        if program in failed or "refused" in fact:
            yield {**row, "refused": fact.get("refused") or failed[program]}
            continue
        sample = found[program].sample
        row |= {"version": fact["version"], "torch": fact["torch"], "weights": fact["weights"], "ms": sample.median}
        row |= {"spread": sample.spread, "rounds": len(sample.values), "peak_mb": found[program].peak_mb}
        for other, label in (("ordinary", "over_ordinary"), ("subduce", "over_subduce")):
            if other in found and other != program:
                ratio = Sample(tuple(a / b for a, b in zip(sample.values, found[other].sample.values, strict=True)))
                row |= {label: ratio.median, f"{label}_spread": ratio.spread}
        yield row


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=10.0, help="for each case")
    parser.add_argument("--rounds", type=int, default=15, help="at most")
    parser.add_argument("--peers", type=Path, default=HERE.parent / ".peers", help="the folder of make_peers.py")
    parser.add_argument("--case", default="", help="only cases with this in their name")
    options = parser.parse_args()
    python = (options.peers / "escnn" / "bin" / "python").absolute()
    peers, began, rows = python if python.exists() else None, time.time(), []
    for name, task in cases():
        if options.case not in name:
            continue
        for row in measure(name, task, peers, options):
            rows.append(row)
            if "refused" in row:
                print(f"{name:22} {row['program']:16} refused: {row['refused']}")
            else:
                ratio = f"{row['over_ordinary']:6.2f} × ordinary" if "over_ordinary" in row else ""
                print(f"{name:22} {row['program']:16} {row['ms']:8.2f} ms ±{row['spread']:.0%} {ratio}", flush=True)
    ours = [row for row in rows if row["program"].startswith("subduce")]
    kept = all(row.get("over_ordinary", float("inf")) <= LIMIT for row in ours)
    clock = "processor" if options.threads == 1 else "wall"
    settings = {"threads": options.threads, "clock": clock, "dtype": "float32", "limit_over_ordinary": LIMIT}
    settings |= {"kept": kept, **MEMORY}
    if not options.case:
        print(write_results("group_convolution", rows, settings, began))
    return 0 if kept else 1


if __name__ == "__main__":
    raise SystemExit(main())
