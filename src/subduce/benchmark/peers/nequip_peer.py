"""nequip: eager, and the package that its `nequip-compile` made, on graphs and through its ASE calculator."""

import json
import os
import sys
import warnings
from pathlib import Path

import ase
import numpy as np
import torch
from _serve import Refusal, serve
from ase.calculators.calculator import all_changes
from nequip import __version__
from nequip.data import AtomicDataDict
from nequip.data.transforms import ChemicalSpeciesToAtomTypeMapper, NeighborListTransform
from nequip.integrations.ase import NequIPCalculator
from nequip.model import NequIPGNNModel
from nequip.model.saved_models.load_utils import load_saved_model
from nequip.utils.global_state import set_global_state

warnings.simplefilter("ignore")
MADE = Path(sys.prefix) / "made"


def prepare(task):
    if task["kind"] not in ("model", "training"):
        raise Refusal("has models only")
    set_global_state()
    eager = network(task)
    if task.get("weights_to"):
        state = {name.removeprefix("model.func."): value for name, value in eager.state_dict().items()}
        np.savez(task["weights_to"], **{name: value.numpy() for name, value in state.items() if value.numel()})
    structures = [ase.Atoms(**found) for found in task["structures"]]
    if task["kind"] == "training":
        return training(eager.train(), structures, task)
    calculator = calculator_of(eager, task)
    return (
        through_calculator(calculator, *structures)
        if task["through"] == "calculator"
        else model(calculator, *structures)
    )


def made(task):
    """Whether what was made beforehand is this very network."""
    about = MADE / "settings.json"
    return about.exists() and json.loads(about.read_text()) == task["settings"]


def network(task):
    if made(task):
        found = load_saved_model(str(MADE / "last.ckpt"))
    elif task["mode"] == "compiled":
        raise Refusal("no compiled package of this network; make bench-peers")
    else:
        found = NequIPGNNModel(**task["settings"])
    return found.eval()


def calculator_of(eager, task):
    if task["mode"] == "compiled":
        return NequIPCalculator.from_compiled_model(MADE / "net.nequip.pt2", device="cpu")
    names = task["settings"]["type_names"]
    transforms = [ChemicalSpeciesToAtomTypeMapper(names), NeighborListTransform(task["settings"]["r_max"])]
    return NequIPCalculator(eager, device="cpu", transforms=transforms)


def model(calculator, atoms):
    data = calculator.atoms_to_data(atoms)

    def values():
        found = calculator.call_model(data)
        return {
            "energy": found[AtomicDataDict.TOTAL_ENERGY_KEY].flatten().tolist(),
            "forces": found[AtomicDataDict.FORCE_KEY].flatten().tolist(),
        }

    return lambda: calculator.call_model(data), values, {"edges": data[AtomicDataDict.EDGE_INDEX_KEY].shape[1]}


def through_calculator(calculator, atoms):
    moved, generator = atoms.copy(), np.random.default_rng(0)

    def call():
        moved.positions = atoms.positions + generator.normal(scale=0.01, size=atoms.positions.shape)
        calculator.calculate(moved, ["energy", "forces"], all_changes)

    def values():
        calculator.calculate(atoms, ["energy", "forces"], all_changes)
        found = calculator.results
        return {"energy": [float(found["energy"])], "forces": found["forces"].ravel().tolist()}

    edges = calculator.atoms_to_data(atoms)[AtomicDataDict.EDGE_INDEX_KEY].shape[1]
    return call, values, {"edges": edges}


def training(network, structures, task):
    calculator = calculator_of(network.eval(), task)
    frames = [calculator.atoms_to_data(atoms) for atoms in structures]
    for frame in frames:
        frame.pop(AtomicDataDict.CELL_KEY, None)
        frame.pop(AtomicDataDict.EDGE_CELL_SHIFT_KEY, None)
    data = AtomicDataDict.batched_from_list(frames)
    network.train().requires_grad_(True)
    optimizer = torch.optim.Adam(network.parameters(), lr=0.0, amsgrad=True)

    def call():
        output = network(data)
        atoms = data[AtomicDataDict.NUM_NODES_KEY].view(-1, 1)
        loss = (output[AtomicDataDict.TOTAL_ENERGY_KEY] / atoms).square().mean()
        loss = loss + output[AtomicDataDict.FORCE_KEY].square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss.detach()

    return call, lambda: {"loss": [call().item()]}, {"edges": data[AtomicDataDict.EDGE_INDEX_KEY].shape[1]}


if __name__ == "__main__":
    torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
    serve(prepare, f"nequip {__version__}, torch {torch.__version__}")
