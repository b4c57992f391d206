"""How fast is a potential? Energies, forces and stress, and one training step, beside `nequip` (eager).

    python benchmarks/model.py --peer /path/to/python-with-nequip

Both programs build the same network (`cases.SETTINGS`) and are called in turn on graphs that are
ready: neighbour lists are not timed here. Without `--peer` only our own times are taken.
"""

import argparse
import contextlib
import functools
import time
from pathlib import Path

import torch
from cases import CASES, SETTINGS, STEPS
from compare import Peer, alternately, milliseconds, peak_mb, write_results

from subduce.data import Batch, graph_from_structure, structure_from_atoms
from subduce.kernels import available
from subduce.models import Potential, PotentialConfig, forces_and_stress


@functools.cache
def network(kind, backend):
    potential = Potential(PotentialConfig(**SETTINGS), backend=backend).requires_grad_(kind == "step")
    return potential, torch.optim.Adam(potential.parameters(), lr=1e-4, amsgrad=True)


@functools.cache
def graph(case, kind):
    structures = [CASES[case]()] if kind == "forces" else STEPS[case]()
    return Batch.collate(
        [graph_from_structure(structure_from_atoms(atoms), SETTINGS["r_max"]) for atoms in structures]
    ).graph


def step(potential, optimizer, data):
    found = forces_and_stress(potential, data, stress=False, create_graph=True)
    loss = (found.energy / data.atoms_per_structure()).square().mean() + found.forces.square().mean()
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()


def ours(case, kind, backend):
    """Milliseconds of one call."""
    (potential, optimizer), data = network(kind, backend), graph(case, kind)
    if kind == "step":
        return milliseconds(lambda: step(potential, optimizer, data))
    periodic = bool(data.pbc.all())
    return milliseconds(lambda: forces_and_stress(potential, data, stress=periodic))


def measure(case, kind, options, peer):
    """Rows of one case: one for each of our backends, and the peer's."""
    about = {"peak_mb": 0.0}

    def theirs():
        about.update(peer.ask(case=case, kind=kind, threads=options.threads))
        return about["ms"]

    measures = {backend: functools.partial(ours, case, kind, backend) for backend in options.backends}
    samples = alternately(measures | ({"peer": theirs} if peer else {}), options.rounds)
    data = graph(case, kind)
    rows = []
    for backend in options.backends:
        row = {
            "case": case,
            "kind": kind,
            "backend": backend,
            "atoms": data.num_atoms,
            "edges": data.num_edges,
            "median_ms": samples[backend].median,
            "spread": samples[backend].spread,
            "peak_mb": peak_mb(),
        }
        if peer:
            if about["edges"] != data.num_edges:
                raise RuntimeError(f"{case}: we have {data.num_edges} edges, the peer {about['edges']}")
            row |= {
                "peer_median_ms": samples["peer"].median,
                "peer_spread": samples["peer"].spread,
                "peer_peak_mb": about["peak_mb"],
                "ratio": samples[backend].median / samples["peer"].median,
            }
        rows.append(row)
        beside = f"  peer {row['peer_median_ms']:9.1f} ms  ratio {row['ratio']:.2f}" if peer else ""
        print(f"{kind:7} {case:12} {backend:10} {row['median_ms']:9.1f} ms ±{row['spread']:.0%}{beside}")
    return rows


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peer", help="a Python that has nequip")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--backends", nargs="+", default=list(available()))
    parser.add_argument("--cases", nargs="+", default=[*CASES, *STEPS])
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    began, rows, version = time.time(), [], None
    script = Path(__file__).with_name("peer_nequip.py")
    with contextlib.ExitStack() as stack:
        peer = stack.enter_context(Peer([options.peer, script], threads=options.threads)) if options.peer else None
        if peer:
            version = peer.ask(case="version", kind="", threads=options.threads)["version"]
        for case in options.cases:
            rows += measure(case, "forces" if case in CASES else "step", options, peer)
    settings = {"threads": options.threads, "rounds": options.rounds, "network": SETTINGS, "peer": version}
    print(write_results("model", rows, settings | {"torch": torch.__version__}, began))


if __name__ == "__main__":
    main()
