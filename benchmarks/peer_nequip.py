"""Times `nequip` (eager) for `model.py`: run by the Python of an environment that has it.

Reads lines of JSON, `{"case": NAME, "kind": "forces" | "step", "threads": N}`, and answers each with
the milliseconds of one call on a graph that is kept between calls.
"""

import functools
import warnings

import torch
from cases import CASES, SETTINGS, STEPS
from compare import milliseconds, peak_mb, serve
from nequip import __version__
from nequip.data import AtomicDataDict, compute_neighborlist_
from nequip.data.ase import from_ase
from nequip.model import NequIPGNNModel
from nequip.utils.global_state import set_global_state

warnings.simplefilter("ignore")


@functools.cache
def network(kind):
    set_global_state()
    model = NequIPGNNModel(**{**SETTINGS, "type_names": list(SETTINGS["type_names"])})
    model.train(kind == "step").requires_grad_(kind == "step")
    return model, torch.optim.Adam(model.parameters(), lr=1e-4, amsgrad=True)


def frame(atoms):
    data = from_ase(atoms)
    if not atoms.pbc.any():
        del data[AtomicDataDict.CELL_KEY]
    data[AtomicDataDict.ATOM_TYPE_KEY] = torch.tensor([SETTINGS["type_names"].index(s) for s in atoms.symbols])
    return compute_neighborlist_(data, SETTINGS["r_max"])


@functools.cache
def graph(case, kind):
    if kind == "forces":
        return frame(CASES[case]())
    return AtomicDataDict.batched_from_list([frame(atoms) for atoms in STEPS[case]()])


def step(model, optimizer, data):
    output = model(data)
    atoms = data[AtomicDataDict.NUM_NODES_KEY].view(-1, 1)
    loss = (output[AtomicDataDict.TOTAL_ENERGY_KEY] / atoms).square().mean()
    loss = loss + output[AtomicDataDict.FORCE_KEY].square().mean()
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    return output


def answer(case, kind, threads):
    if case == "version":
        return {"version": f"nequip {__version__}, torch {torch.__version__}"}
    torch.set_num_threads(threads)
    (model, optimizer), data = network(kind), graph(case, kind)
    call = (lambda: model(data)) if kind == "forces" else (lambda: step(model, optimizer, data))
    return {
        "ms": milliseconds(call),
        "atoms": data[AtomicDataDict.POSITIONS_KEY].shape[0],
        "edges": data[AtomicDataDict.EDGE_INDEX_KEY].shape[1],
        "peak_mb": peak_mb(),
    }


if __name__ == "__main__":
    serve(answer)
