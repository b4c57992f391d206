"""How long does the edge product take on a GPU, fused in Triton, beside the reference in plain torch?

    python benchmarks/gpu.py

Both run in turn in one process on the current CUDA device, with and without derivatives; results name the device.
Times are the device's, between events, over enough calls that launching them is part of what is measured only where
it is what takes the time. A ratio below 1 means that Triton is faster. The two must agree, and by how much is recorded.
"""

import argparse
import sys
import time
from collections.abc import Callable

import torch
from compare import alternately, write_results
from kernels import CASES, Case, steps

from subduce.kernels import available, bind, channelwise_plan
from subduce.o3 import Irreps

GPU_CASES = {
    **CASES,
    "huge": [
        Case(1, 64, False, 10_000, 30),
        Case(2, 64, False, 10_000, 30),
        Case(2, 32, True, 10_000, 30),
        Case(3, 32, False, 5_000, 30),
    ],
}


def milliseconds(call: Callable[[], object], calls: int = 10) -> float:
    """How long one of a few calls takes on the device."""
    begin, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
    torch.cuda.synchronize()
    begin.record()
    for _ in range(calls):
        call()
    end.record()
    end.synchronize()
    return begin.elapsed_time(end) / calls


def peak_mb(call: Callable[[], object]) -> float:
    """The most memory of the device that a call holds beyond what was held before, MB."""
    torch.cuda.synchronize()
    before = torch.cuda.memory_allocated()
    torch.cuda.reset_peak_memory_stats()
    call()
    torch.cuda.synchronize()
    return (torch.cuda.max_memory_allocated() - before) / 2**20


def difference(ours: object, theirs: object) -> float:
    """The largest difference of the results, each relative to its largest value."""
    pairs = zip(*((one,) if isinstance(one, torch.Tensor) else one for one in (ours, theirs)), strict=True)
    return max(((a - b).abs().max() / b.abs().max().clamp_min(1e-30)).item() for a, b in pairs)


def measure(case: Case, rounds: int) -> list[dict]:
    """Rows of one case: one for each number of derivatives."""
    plan = channelwise_plan(case.irreps, Irreps.spherical_harmonics(case.l_max), case.irreps)
    generator = torch.Generator().manual_seed(0)
    edges = case.atoms * case.neighbours
    receiver = torch.randint(case.atoms, (edges,), generator=generator).sort().values.cuda()
    sender = torch.randint(case.atoms, (edges,), generator=generator).cuda()
    shapes = [(case.atoms, plan.irreps_in.dim), (edges, plan.irreps_edge.dim), (edges, plan.num_weights)]
    tensors = tuple(torch.randn(shape, generator=generator).cuda().requires_grad_() for shape in shapes)
    graph = (sender, receiver, case.atoms)
    runs = {name: steps(bind(plan, name), tensors, graph) for name in ("triton", "reference")}
    found = []
    for step in runs["triton"]:
        calls = {name: of[step] for name, of in runs.items()}
        began = time.perf_counter()
        ours = calls["triton"]()
        torch.cuda.synchronize()
        first_seconds = time.perf_counter() - began
        apart = difference(ours, calls["reference"]())
        samples = alternately({name: lambda call=call: milliseconds(call) for name, call in calls.items()}, rounds)
        us, them = samples["triton"], samples["reference"]
        found.append(
            {
                "case": f"{case.name}, {step}",
                "backend": "triton",
                "peer": "reference",
                "atoms": case.atoms,
                "edges": edges,
                "median_ms": us.median,
                "spread": us.spread,
                "peer_median_ms": them.median,
                "peer_spread": them.spread,
                "ratio": us.median / them.median,
                "peak_mb": peak_mb(calls["triton"]),
                "peer_peak_mb": peak_mb(calls["reference"]),
                "first_call_seconds": first_seconds,
                "largest_difference": apart,
            }
        )
        print(
            f"{case.name}, {step:26} {edges:6} edges {us.median:9.3f} ms ±{us.spread:.0%}   "
            f"reference {them.median:9.3f} ms ±{them.spread:.0%}   ratio {us.median / them.median:.3f}"
        )
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--cases", nargs="+", choices=GPU_CASES, default=list(GPU_CASES))
    options = parser.parse_args()
    if not torch.cuda.is_available() or "triton" not in available():
        sys.exit(
            "this measures a GPU: it wants a CUDA device, torch built for it, Triton and a C compiler; not all here"
        )
    began = time.time()
    rows = [row for group in options.cases for case in GPU_CASES[group] for row in measure(case, options.rounds)]
    settings = {
        "device": torch.cuda.get_device_name(),
        "cuda": torch.version.cuda,
        "torch": torch.__version__,
        "rounds": options.rounds,
        "dtype": "float32",
    }
    print(write_results("gpu", rows, settings, began))


if __name__ == "__main__":
    main()
