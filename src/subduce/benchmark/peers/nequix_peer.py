"""nequix on JAX: an untrained network of the same size, compiled and padded as its ASE calculator does it."""

import os

THREADS = int(os.environ["OMP_NUM_THREADS"])
if hasattr(os, "sched_setaffinity"):  # XLA has as many threads as the process may use cores
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:THREADS])
os.environ["JAX_PLATFORMS"] = "cpu"

from importlib.metadata import version

import ase
import equinox
import jax
import jraph
from _serve import Refusal, serve
from ase.data import atomic_numbers
from nequix.data import atomic_numbers_to_indices, dict_to_graphstuple, preprocess_graph
from nequix.model import Nequix


def prepare(task):
    if task["kind"] != "model" or task["through"] != "graph":
        raise Refusal("is asked for energies and forces of a graph only")
    (structure,), settings = task["structures"], task["settings"]
    # Features of the other parities do not fit its first layer.
    hidden = " + ".join(f"{settings['num_features']}x{l}{'eo'[l % 2]}" for l in range(settings["l_max"] + 1))
    model = Nequix(
        jax.random.key(settings["seed"]),
        n_species=len(settings["type_names"]),
        lmax=settings["l_max"],
        cutoff=settings["r_max"],
        hidden_irreps=hidden,
        n_layers=settings["num_layers"],
        radial_basis_size=settings["num_bessels"],
        radial_mlp_size=settings["radial_mlp_width"],
        radial_mlp_layers=settings["radial_mlp_depth"],
        radial_polynomial_p=settings.get("polynomial_cutoff_p", 6.0),
        avg_n_neighbors=settings["avg_num_neighbors"],
    )
    indices = atomic_numbers_to_indices([atomic_numbers[name] for name in settings["type_names"]])
    graph = dict_to_graphstuple(preprocess_graph(ase.Atoms(**structure), indices, settings["r_max"], False))
    atoms, edges = int(graph.n_node[0]), int(graph.n_edge[0])
    graph = jraph.pad_with_graphs(graph, n_node=(atoms + 8) // 8 * 8, n_edge=(edges + 63) // 64 * 64, n_graph=2)
    run = equinox.filter_jit(model)
    return lambda: jax.block_until_ready(run(graph)), lambda: {}, {"edges": edges}


if __name__ == "__main__":
    serve(prepare, f"nequix {version('nequix')}, jax {jax.__version__}")
