"""Trains the network of `nequip` on given data with given hyperparameters, for the comparison in `run.py`.

Run it with a Python that has nequip 0.19.1 (`pip install torch==2.13.0 nequip==0.19.1` in an
environment of its own): `python peer_nequip.py SETTINGS.json RESULT.json THREADS`. nequip gives the network,
its initial weights, its neighbour list, its batches and its averaged weights; the loop around them
is plain torch (Adam, a rate that falls as a cosine), as nequip's own trainer would run it through
Lightning: averaged weights are validated after every epoch, and the best are tested.
"""

import json
import math
import statistics
import sys
import time
import warnings
from pathlib import Path

import ase.io
import torch
from nequip.data import AtomicDataDict, compute_neighborlist_
from nequip.data.ase import from_ase
from nequip.model import NequIPGNNModel
from nequip.train.ema import EMAWeights
from nequip.utils.global_state import set_global_state

warnings.simplefilter("ignore")


def read(path, type_names, r_max):
    """Structures of an extxyz file as nequip's dictionaries, with edges."""
    frames = []
    for atoms in ase.io.iread(path, ":"):
        energy, forces = atoms.get_potential_energy(), atoms.get_forces()
        atoms.calc, atoms.info = None, {}
        for name in set(atoms.arrays) - {"numbers", "positions"}:
            del atoms.arrays[name]
        frame = from_ase(atoms)
        if not atoms.pbc.any():
            del frame[AtomicDataDict.CELL_KEY]
        frame[AtomicDataDict.ATOM_TYPE_KEY] = torch.tensor([type_names.index(s) for s in atoms.symbols])
        frame[AtomicDataDict.TOTAL_ENERGY_KEY] = torch.tensor([[energy]], dtype=torch.float64)
        frame[AtomicDataDict.FORCE_KEY] = torch.tensor(forces, dtype=torch.float64)
        frames.append(compute_neighborlist_(frame, r_max))
    return frames


def errors(model, batch):
    """Errors of the energy per atom (eV) by structure and of force components (eV/Å)."""
    output = model(batch)
    atoms = batch[AtomicDataDict.NUM_NODES_KEY].view(-1, 1)
    energy = (output[AtomicDataDict.TOTAL_ENERGY_KEY] - batch[AtomicDataDict.TOTAL_ENERGY_KEY]) / atoms
    return energy, output[AtomicDataDict.FORCE_KEY] - batch[AtomicDataDict.FORCE_KEY]


def all_errors(model, frames, batch_size):
    """`errors` over a whole set, without a graph."""
    model.eval()
    parts = []
    for start in range(0, len(frames), batch_size):
        batch = AtomicDataDict.batched_from_list(frames[start : start + batch_size])
        parts.append([error.detach() for error in errors(model, batch)])
    model.train()
    return [torch.cat(part) for part in zip(*parts, strict=True)]


def loss(energy, forces, weights):
    return weights["per_atom_energy"] * energy.square().mean() + weights["forces"] * forces.square().mean()


def fit(model, data, settings, seed):
    """Train in place; returns the seconds of each step and the validation loss of each epoch."""
    train, weights = settings["train"], settings["loss"]
    optimizer = torch.optim.Adam(model.parameters(), lr=train["learning_rate"], amsgrad=train["amsgrad"])
    average = EMAWeights(model, train["ema_decay"])
    average.update_parameters(model)
    generator = torch.Generator().manual_seed(seed)
    number, size = len(data["train"]), train["batch_size"]
    steps_per_epoch = math.ceil(number / size)
    total = train["max_epochs"] * steps_per_epoch
    lowest = train["min_learning_rate"]
    seconds, history, best = [], [], (math.inf, None)
    for epoch in range(train["max_epochs"]):
        order = torch.randperm(number, generator=generator).tolist()
        for k in range(steps_per_epoch):
            start = time.perf_counter()
            fall = 0.5 * (1 + math.cos(math.pi * (epoch * steps_per_epoch + k) / total))
            for group in optimizer.param_groups:
                group["lr"] = lowest + (train["learning_rate"] - lowest) * fall
            batch = AtomicDataDict.batched_from_list([data["train"][i] for i in order[k * size : (k + 1) * size]])
            value = loss(*errors(model, batch), weights)
            optimizer.zero_grad()
            value.backward()
            optimizer.step()
            average.update_parameters(model)
            seconds.append(time.perf_counter() - start)
        average.swap_parameters(model)
        history.append(float(loss(*all_errors(model, data["val"], 25), weights)))
        if history[-1] < best[0]:
            best = (history[-1], [weight.detach().clone() for weight in model.parameters()])
        average.swap_parameters(model)
        print(f"epoch {epoch + 1}/{train['max_epochs']} val {history[-1]:.6g}", file=sys.stderr, flush=True)
    with torch.no_grad():
        for weight, kept in zip(model.parameters(), best[1], strict=True):
            weight.copy_(kept)
    return seconds, history


def run(settings):
    set_global_state()
    shape, seed = settings["model"], settings["seed"]
    names, files = shape["type_names"], settings["data"]
    data = {part: read(files[part], names, shape["r_max"]) for part in ("train", "val", "test")}
    model = NequIPGNNModel(seed=seed, **{"model_dtype": "float32", **shape})
    model.train()
    started = time.perf_counter()
    seconds, history = fit(model, data, settings, seed)
    elapsed = time.perf_counter() - started
    energy, forces = all_errors(model, data["test"], 25)
    return {
        "program": f"nequip {__import__('nequip').__version__}, torch {torch.__version__}",
        "parameters": sum(p.numel() for p in model.parameters() if p.requires_grad),
        "forces_mae": float(forces.abs().mean()),
        "forces_rmse": float(forces.square().mean().sqrt()),
        "per_atom_energy_mae": float(energy.abs().mean()),
        "per_atom_energy_rmse": float(energy.square().mean().sqrt()),
        "steps": len(seconds),
        "seconds_per_step": statistics.median(seconds),
        "seconds": elapsed,
        "best_epoch": history.index(min(history)) + 1,
    }


if __name__ == "__main__":
    given, written = map(Path, sys.argv[1:3])
    torch.set_num_threads(int(sys.argv[3]))
    written.write_text(json.dumps(run(json.loads(given.read_text())), indent=1) + "\n")
