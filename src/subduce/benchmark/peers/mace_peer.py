"""mace-torch in float32, on the graph that its ASE calculator makes.

Its mode names the hidden irreps, and whether `torch.compile` is used as its calculator does.
"""

import os

os.environ["TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD"] = "1"  # as mace itself has it, for the constants of its e3nn

import warnings
from importlib.metadata import version

import ase
import numpy as np
import torch
from _serve import Refusal, serve
from ase.data import atomic_numbers
from e3nn import o3
from mace import modules
from mace.calculators import MACECalculator

warnings.simplefilter("ignore")


def prepare(task):
    if task["kind"] != "model" or task["through"] != "graph":
        raise Refusal("is asked for energies and forces of a graph only")
    (structure,), settings = task["structures"], task["settings"]
    hidden, _, compiled = task["mode"].partition(", ")
    torch.manual_seed(settings["seed"])
    torch.set_default_dtype(torch.float32)
    elements = sorted(atomic_numbers[name] for name in settings["type_names"])
    network = modules.ScaleShiftMACE(
        atomic_inter_scale=1.0,
        atomic_inter_shift=0.0,
        r_max=settings["r_max"],
        num_bessel=8,
        num_polynomial_cutoff=5,
        max_ell=3,
        interaction_cls=modules.interaction_classes["RealAgnosticResidualInteractionBlock"],
        interaction_cls_first=modules.interaction_classes["RealAgnosticInteractionBlock"],
        num_interactions=2,
        num_elements=len(elements),
        hidden_irreps=o3.Irreps(hidden),
        MLP_irreps=o3.Irreps("16x0e"),
        atomic_energies=np.zeros(len(elements)),
        avg_num_neighbors=settings["avg_num_neighbors"],
        atomic_numbers=elements,
        correlation=3,
        gate=torch.nn.functional.silu,
        radial_MLP=[64, 64, 64],
    )
    options = {"compile_mode": "default", "fullgraph": False} if compiled else {}
    calculator = MACECalculator(models=network.float(), device="cpu", default_dtype="float32", **options)
    batch = calculator._atoms_to_batch(ase.Atoms(**structure))

    edges = None if compiled else batch["edge_index"].shape[1]  # padded where compiled

    def call():
        return calculator.models[0](
            calculator._clone_batch(batch).to_dict(), compute_stress=True, training=bool(compiled)
        )

    return call, lambda: {}, {"edges": edges}


if __name__ == "__main__":
    torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
    serve(prepare, f"mace-torch {version('mace-torch')}, torch {torch.__version__}")
