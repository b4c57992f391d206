"""Does a set larger than memory stay out of it? Structures indexed, packed and streamed, and the peak of memory.

    python benchmarks/streaming.py

Writes extended XYZ files of ethanol molecules with energies and forces, then lets a fresh process for each size open,
pack (cache on disk) and iterate the set through a loader, twice: the second epoch in another order.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from ase.build import molecule
from records import write_results

from subduce.benchmark import peak_mb

LIMIT_MB = 1024


def write(path, count, *, seed=0):
    """A file of `count` displaced molecules."""
    atoms, generator = molecule("CH3CH2OH"), np.random.default_rng(seed)
    row = "\n".join(f"{symbol} %.8f %.8f %.8f %.8f %.8f %.8f" for symbol in atoms.symbols)
    with path.open("w") as stream:
        for index in range(count):
            shift = generator.normal(scale=0.05, size=(len(atoms), 3))
            values = np.hstack([atoms.positions + shift, -3.0 * shift])
            comment = (
                f"Properties=species:S:1:pos:R:3:forces:R:3 energy={-4210 + 1.5 * (shift**2).sum():.10f} traj={index}"
            )
            stream.write(f"{len(atoms)}\n{comment}\n{row % tuple(values.flat)}\n")


def stream(path, cache, workers):
    """Index, pack and iterate; prints seconds and the peak of memory after each as JSON."""
    import torch
    from torch.utils.data import DataLoader

    from subduce.data import Batch, EdgeBudgetSampler, GraphDataset, open_structures, statistics

    torch.set_num_threads(1)
    found, began = {"baseline_mb": peak_mb()}, time.perf_counter()

    def lap(name):
        nonlocal began
        found[f"{name}_s"], found[f"{name}_mb"] = round(time.perf_counter() - began, 2), round(peak_mb(), 1)
        began = time.perf_counter()

    structures = open_structures(path)
    lap("index")
    dataset = GraphDataset(structures, 5.0, cache=cache, workers=workers)
    lap("pack")
    GraphDataset(structures, 5.0, cache=cache)
    lap("reopen")
    statistics(dataset)
    lap("statistics")
    sampler = EdgeBudgetSampler(dataset.num_edges, batch_size=64, max_edges=10_000, shuffle=True)
    for epoch in range(2):
        sampler.set_epoch(epoch)
        seen = sum(b.graph.num_structures for b in DataLoader(dataset, batch_sampler=sampler, collate_fn=Batch.collate))
        lap(f"epoch_{epoch}")
    found |= {"structures": seen, "edges": int(dataset.num_edges.sum())}
    found["cache_mb"] = round(sum(file.stat().st_size for file in Path(cache).rglob("*") if file.is_file()) / 2**20, 1)
    print(json.dumps(found))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="+", default=[20_000, 200_000])
    parser.add_argument("--workers", type=int, default=0, help="processes that pack")
    parser.add_argument("--stream", type=Path, nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.stream:
        stream(*options.stream, options.workers)
        return 0
    began, rows = time.time(), []
    for size in options.sizes:
        with tempfile.TemporaryDirectory() as folder:
            path, cache = Path(folder) / "many.extxyz", Path(folder) / "cache"
            write(path, size)
            command = [sys.executable, __file__, "--workers", str(options.workers), "--stream", path, cache]
            answer = subprocess.run(command, capture_output=True, text=True, check=True).stdout
            rows.append(
                {"case": f"ethanol x {size}", "file_mb": round(path.stat().st_size / 2**20, 1)} | json.loads(answer)
            )
        print(", ".join(f"{name} {value}" for name, value in rows[-1].items()))
    kept = all(row["epoch_1_mb"] < LIMIT_MB for row in rows)
    settings = {"workers": options.workers, "limit_mb": LIMIT_MB, "kept": kept}
    print(write_results("streaming", rows, settings, began))
    return 0 if kept else 1


if __name__ == "__main__":
    raise SystemExit(main())
