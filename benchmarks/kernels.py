"""How long does the edge product take, beside e3nn's TensorProduct with gather and index_add?

Both run alternately in one process; the record holds medians, the spread (quartiles over the median)
and the ratio of the medians, peer over us, so that more than 1 means that we are faster.

    python benchmarks/kernels.py [--threads 1] [--seconds 2] [--cases small] [--output benchmarks/results/kernels.json]
"""

import argparse
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import e3nn
import e3nn.o3
import torch
from torch import Tensor

from subduce.kernels import available, bind, channelwise_plan
from subduce.o3 import Irrep, Irreps
from subduce.records import Record, write_whole


@dataclass(frozen=True)
class Case:
    """One size of problem: random features on a random graph with about the same number of neighbours everywhere."""

    l_max: int
    channels: int
    parity: bool
    atoms: int
    neighbours: int

    @property
    def name(self) -> str:
        """What the record calls it."""
        parities = "both parities" if self.parity else "one parity"
        return f"l_max {self.l_max}, {self.channels} channels, {parities}"

    @property
    def irreps(self) -> Irreps:
        """Of the features, in and out."""
        parities = [-1, 1] if self.parity else [0]
        return Irreps([(self.channels, Irrep(l, p or (-1) ** l)) for l in range(self.l_max + 1) for p in parities])


CASES = {
    "small": [Case(1, 32, False, 21, 10), Case(2, 32, False, 21, 10), Case(2, 32, True, 21, 10)],
    "middle": [
        Case(1, 32, False, 192, 18),
        Case(2, 16, False, 192, 18),
        Case(2, 32, False, 192, 18),
        Case(2, 64, False, 192, 18),
        Case(2, 32, True, 192, 18),
        Case(3, 32, False, 80, 18),
        Case(3, 32, True, 80, 18),
    ],
    "large": [Case(1, 32, False, 1000, 20), Case(2, 32, False, 1000, 20)],
}


def peer(case: Case) -> Callable[..., Tensor]:
    """The same product by e3nn, summed at the receivers; its results differ in layout only."""
    irreps = [(mul, (ir.l, ir.p)) for mul, ir in case.irreps]
    edge = e3nn.o3.Irreps.spherical_harmonics(case.l_max)
    outputs, instructions = [], []
    for i, (mul, ir_in) in enumerate(e3nn.o3.Irreps(irreps)):
        for j, (_, ir_edge) in enumerate(edge):
            for ir in ir_in * ir_edge:
                if (ir.l, ir.p) in [found for _, found in irreps]:
                    instructions.append((i, j, len(outputs), "uvu", True))
                    outputs.append((mul, ir))
    product = e3nn.o3.TensorProduct(
        irreps,
        edge,
        outputs,
        instructions,
        shared_weights=False,
        internal_weights=False,
        irrep_normalization="component",
    )

    def run(x, y, w, sender, receiver, num_receivers):
        messages = product(x[sender], y, w)
        return messages.new_zeros(num_receivers, messages.shape[1]).index_add(0, receiver, messages)

    return run


def steps(product: Callable[..., Tensor], tensors: tuple[Tensor, ...], graph: tuple) -> dict[str, Callable[[], object]]:
    """What is timed: energies; forces; training on forces."""

    def forward():
        with torch.no_grad():
            return product(*tensors, *graph)

    def gradients(create_graph=False):
        return torch.autograd.grad(product(*tensors, *graph).sum(), tensors, create_graph=create_graph)

    def second():
        return torch.autograd.grad(sum(g.square().sum() for g in gradients(create_graph=True)), tensors)

    return {"forward": forward, "forward + backward": gradients, "forward + double backward": second}


def compare(ours: Callable, theirs: Callable, seconds: float) -> tuple[list[float], list[float]]:
    """Times of both, in ms, taken in turns."""
    times: tuple[list[float], list[float]] = ([], [])
    for run in (ours, theirs, ours, theirs):
        run()
    end = time.perf_counter() + seconds
    while len(times[0]) < 7 or time.perf_counter() < end:
        for run, into in zip((ours, theirs), times, strict=True):
            start = time.perf_counter()
            run()
            into.append(1e3 * (time.perf_counter() - start))
    return times


def spread(times: list[float]) -> float:
    low, middle, high = statistics.quantiles(times, n=4)
    return round((high - low) / middle, 3)


def measure(case: Case, backend: str, seconds: float) -> list[dict]:
    plan = channelwise_plan(case.irreps, Irreps.spherical_harmonics(case.l_max), case.irreps)
    generator = torch.Generator().manual_seed(0)
    edges = case.atoms * case.neighbours
    receiver = torch.randint(case.atoms, (edges,), generator=generator).sort().values
    sender = torch.randint(case.atoms, (edges,), generator=generator)
    shapes = [(case.atoms, plan.irreps_in.dim), (edges, plan.irreps_edge.dim), (edges, plan.num_weights)]
    tensors = tuple(torch.randn(shape, generator=generator).requires_grad_() for shape in shapes)
    graph = (sender, receiver, case.atoms)
    ours, theirs = steps(bind(plan, backend), tensors, graph), steps(peer(case), tensors, graph)
    found = []
    for step in ours:
        us, them = compare(ours[step], theirs[step], seconds)
        median, median_peer = statistics.median(us), statistics.median(them)
        found.append(
            {
                "case": f"{case.name}, {step}",
                "backend": backend,
                "peer": f"e3nn {e3nn.__version__}",
                "median_ms": round(median, 4),
                "spread": spread(us),
                "peer_median_ms": round(median_peer, 4),
                "peer_spread": spread(them),
                "ratio": round(median_peer / median, 2),
                "atoms": case.atoms,
                "edges": edges,
                "paths": len(plan.paths),
            }
        )
        row = found[-1]
        sys.stderr.write(
            f"{row['case']:70} {edges:6} edges {median:9.3f} ms ± {row['spread']:.0%}   e3nn {median_peer:9.3f} ms "
            f"± {row['peer_spread']:.0%}   ratio {row['ratio']:.2f}\n"
        )
    return found


def machine() -> dict[str, str]:
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    name = next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), "unknown")
    commit = subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True, check=False).stdout.strip()
    capability = torch.backends.cpu.get_cpu_capability()
    return {
        "cpu": f"{name} ({capability})",
        "commit": commit or "none",
        "torch": torch.__version__,
        "python": sys.version.split()[0],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=2.0, help="for each case and step")
    parser.add_argument("--cases", nargs="+", choices=CASES, default=list(CASES))
    parser.add_argument("--output", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    start = time.perf_counter()
    settings = {**machine(), "threads": options.threads, "dtype": "float32", "seconds": options.seconds}
    results = [
        row
        for group in options.cases
        for case in CASES[group]
        for backend in available()
        for row in measure(case, backend, options.seconds)
    ]
    record = Record("benchmark", {}, settings, {"rows": results}, round(time.perf_counter() - start, 1))
    if options.output:
        write_whole(options.output, record.to_json() + "\n")


if __name__ == "__main__":
    main()
