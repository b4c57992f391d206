"""How long does the edge product take, beside e3nn's TensorProduct with gather and index_add?

    python benchmarks/kernels.py

Both run in turn in one process, with and without derivatives. A ratio below 1 means that we are faster.
"""

import argparse
import functools
import time
from collections.abc import Callable
from dataclasses import dataclass

import e3nn
import e3nn.o3
import torch
from compare import alternately, milliseconds, peak_mb, write_results
from torch import Tensor

from subduce.kernels import available, bind, channelwise_plan
from subduce.o3 import Irrep, Irreps


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


def measure(case: Case, backend: str, rounds: int) -> list[dict]:
    """Rows of one case: one for each number of derivatives."""
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
        measures = {
            who: functools.partial(milliseconds, run) for who, run in (("ours", ours[step]), ("peer", theirs[step]))
        }
        samples = alternately(measures, rounds, warmup=3)
        us, them = samples["ours"], samples["peer"]
        found.append(
            {
                "case": f"{case.name}, {step}",
                "backend": backend,
                "atoms": case.atoms,
                "edges": edges,
                "paths": len(plan.paths),
                "median_ms": us.median,
                "spread": us.spread,
                "peak_mb": peak_mb(),
                "peer_median_ms": them.median,
                "peer_spread": them.spread,
                "ratio": us.median / them.median,
            }
        )
        print(
            f"{case.name}, {step:26} {edges:6} edges {us.median:9.3f} ms ±{us.spread:.0%}   "
            f"e3nn {them.median:9.3f} ms ±{them.spread:.0%}   ratio {us.median / them.median:.2f}"
        )
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--cases", nargs="+", choices=CASES, default=list(CASES))
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    began = time.time()
    rows = [
        row
        for group in options.cases
        for case in CASES[group]
        for backend in available()
        for row in measure(case, backend, options.rounds)
    ]
    settings = {"threads": options.threads, "rounds": options.rounds, "dtype": "float32"}
    versions = {"peer": f"e3nn {e3nn.__version__}", "torch": torch.__version__}
    print(write_results("kernels", rows, settings | versions, began))


if __name__ == "__main__":
    main()
