"""sevenn: an untrained network of the same size, on the graph that its ASE calculator makes."""

import os
import warnings
from importlib.metadata import version

import ase
import sevenn._const as const
import sevenn._keys as key
import torch
from _serve import Refusal, serve
from sevenn.atom_graph_data import AtomGraphData
from sevenn.model_build import build_E3_equivariant_model
from sevenn.train.dataload import unlabeled_atoms_to_graph
from sevenn.util import chemical_species_preprocess

warnings.simplefilter("ignore")


def prepare(task):
    if task["kind"] != "model" or task["through"] != "graph":
        raise Refusal("is asked for energies and forces of a graph only")
    (structure,), settings = task["structures"], task["settings"]
    config = {**const.DEFAULT_E3_EQUIVARIANT_MODEL_CONFIG, **chemical_species_preprocess(list(settings["type_names"]))}
    config |= {
        key.CUTOFF: settings["r_max"],
        key.NODE_FEATURE_MULTIPLICITY: settings["num_features"],
        key.LMAX: settings["l_max"],
        key.NUM_CONVOLUTION: settings["num_layers"],
        key.IS_PARITY: settings["parity"],
        key.SHIFT: 0.0,
        key.SCALE: 1.0,
        key.CONV_DENOMINATOR: settings["avg_num_neighbors"],
        key.SELF_CONNECTION_TYPE: "nequip",
    }
    model = build_E3_equivariant_model(config)
    model.set_is_batch_data(False)
    model.eval()
    atoms = ase.Atoms(**structure)

    def graph():
        return AtomGraphData.from_numpy_dict(unlabeled_atoms_to_graph(atoms, settings["r_max"], with_shift=False))

    data = graph()
    return lambda: model(data.clone()), lambda: {}, {"edges": data[key.EDGE_IDX].shape[1]}


if __name__ == "__main__":
    torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
    serve(prepare, f"sevenn {version('sevenn')}, torch {torch.__version__}")
