"""Our side of each task; run as `python -m subduce.benchmark._ours`, like a peer."""

import os
import time
from collections.abc import Callable, Mapping
from typing import Any

import ase
import numpy as np
import torch
from ase.calculators.calculator import all_changes
from ase.md.velocitydistribution import MaxwellBoltzmannDistribution
from ase.units import fs
from torch import Tensor

from .. import __version__
from ..data import Batch, Graph, graph_from_structure, structure_from_atoms
from ..interfaces.ase import Calculator
from ..kernels import bind, channelwise_plan, harmonics
from ..models import Engine, Potential, Prediction, forces_and_stress
from ..o3 import Irreps
from ._serve import Prepared, serve
from ._weights import copy_nequip, nequip_config

Task = Mapping[str, Any]


def inference(potential: Potential) -> tuple[Callable[[Graph, bool], Prediction], Calculator]:
    """What answers a graph (with stress or without), and the ASE calculator: the fastest public way to either."""
    engine = Engine(potential)
    return lambda graph, stress: engine(graph, stress=stress), Calculator(potential)


def prepare(task: Task) -> Prepared:
    """The call of one task, by its kind."""
    kinds = {"product": _product, "harmonics": _harmonics, "model": _model, "size": _model, "training": _training}
    return (kinds | {"md": _md})[task["kind"]](task)


def _product(task: Task) -> Prepared:
    irreps = Irreps(task["irreps"])
    plan = channelwise_plan(irreps, Irreps.spherical_harmonics(task["l_edge"]), irreps)
    x, y, w = tensors = _inputs(task, ("x", "y", "w"))
    sender, receiver = _inputs(task, ("sender", "receiver"), gradient=False)
    product = bind(plan, task["backend"])

    def call() -> list[Tensor]:
        return derivatives(lambda: product(x, y, w, sender, receiver, task["atoms"]), tensors, task["derivatives"])

    def values() -> dict[str, list[float]]:
        found = call()
        if task["derivatives"]:
            return {"gradients": [part.norm().item() for part in found]}
        mul = [mul for mul, _ in plan.irreps_out]
        terms = found[0].split([mul * ir.dim for mul, ir in plan.irreps_out], dim=1)
        blocks = [term.unflatten(1, (-1, m)) for term, m in zip(terms, mul, strict=True)]
        return {"paths": [blocks[path.term_out][:, :, path.channels].norm().item() for path in plan.paths]}

    return call, values, {"atoms": task["atoms"], "edges": len(sender)}


def derivatives(product: Callable[[], Tensor], tensors: list[Tensor], order: int) -> list[Tensor]:
    """The result; its gradients; or the gradients of those, as training on forces takes them.

    Cotangents are the values themselves, so that nothing but the product is timed, whatever its layout.
    """
    if order == 0:
        with torch.no_grad():
            return [product()]
    result = product()
    cotangent = result.detach().requires_grad_(order == 2)
    first = torch.autograd.grad(result, tensors, cotangent, create_graph=order == 2)
    if order == 1:
        return list(first)
    return list(torch.autograd.grad(first, [*tensors, cotangent], [part.detach() for part in first]))


def _harmonics(task: Task) -> Prepared:
    (vectors,), irreps = _inputs(task, ("vectors",)), Irreps.spherical_harmonics(task["l_max"])
    weights = torch.ones(())

    def call() -> tuple[Tensor, Tensor]:
        found = harmonics(irreps, vectors)
        return found, torch.autograd.grad(found.sum() * weights, (vectors,))[0]

    def values() -> dict[str, list[float]]:
        found, gradient = call()
        return {"harmonics": found[:20].flatten().tolist(), "gradient": gradient[:20].flatten().tolist()}

    return call, values, {"atoms": 0, "edges": task["vectors"]}


def _model(task: Task) -> Prepared:
    (atoms,), potential = _structures(task), _potential(task).requires_grad_(False)
    answer, calculator = inference(potential)
    if task["through"] == "calculator":
        calculate, edges = through_calculator(calculator, atoms), calculator.graph(atoms).num_edges
        return calculate, lambda: _calculated(calculator, atoms), {"atoms": len(atoms), "edges": edges}
    graph, periodic = _graph([atoms], potential), bool(atoms.pbc.all())

    def values() -> dict[str, list[float]]:
        found = answer(graph, periodic)
        return {"energy": found.energy.tolist(), "forces": found.forces.flatten().tolist()}  # type: ignore[union-attr]

    return lambda: answer(graph, periodic), values, {"atoms": len(atoms), "edges": graph.num_edges}


def through_calculator(calculator: Any, atoms: ase.Atoms) -> Callable[[], None]:
    """Energy and forces of positions that are new each time, as in dynamics."""
    moved, generator = atoms.copy(), np.random.default_rng(0)

    def call() -> None:
        moved.positions = atoms.positions + generator.normal(scale=0.01, size=atoms.positions.shape)
        calculator.calculate(moved, ["energy", "forces"], all_changes)

    return call


def _calculated(calculator: Any, atoms: ase.Atoms) -> dict[str, list[float]]:
    calculator.calculate(atoms, ["energy", "forces"], all_changes)
    return {"energy": [float(calculator.results["energy"])], "forces": calculator.results["forces"].ravel().tolist()}


def _md(task: Task) -> Prepared:
    """Straight flight at the speeds of 300 K, 1 fs a step: what the neighbours and the conversion take of it."""
    (atoms,), potential = _structures(task), _potential(task).requires_grad_(False)
    _, calculator = inference(potential)
    MaxwellBoltzmannDistribution(atoms, temperature_K=300, rng=np.random.RandomState(0))
    velocities, spent = atoms.get_velocities(), {"graph": 0.0, "all": 0.0, "steps": 0}
    whole = calculator.pairs

    def pairs(found: ase.Atoms) -> Graph:
        began = time.perf_counter()
        answer = whole(found)
        spent["graph"] += time.perf_counter() - began
        return answer

    calculator.pairs = pairs  # type: ignore[method-assign]

    def call() -> None:
        spent["steps"] += 1
        atoms.positions += velocities * fs
        began = time.perf_counter()
        calculator.calculate(atoms, ["energy", "forces"], all_changes)
        spent["all"] += time.perf_counter() - began

    edges = calculator.graph(atoms).num_edges
    return call, lambda: {"share": [spent["graph"] / spent["all"]]}, {"atoms": len(atoms), "edges": edges}


def _training(task: Task) -> Prepared:
    potential = _potential(task).train()
    potential.knots = task.get("knots")
    optimizer = torch.optim.Adam(potential.parameters(), lr=0.0, amsgrad=True)  # so that all stay at the same weights
    data = _graph(_structures(task), potential)

    def call() -> Tensor:
        found = forces_and_stress(potential, data, stress=False, create_graph=True)
        loss = (found.energy / data.atoms_per_structure()).square().mean()
        loss = loss + found.forces.square().mean()  # type: ignore[union-attr]
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss.detach()

    return call, lambda: {"loss": [call().item()]}, {"atoms": data.num_atoms, "edges": data.num_edges}


def _potential(task: Task) -> Potential:
    potential = Potential(nequip_config(task["settings"]), backend=task["backend"])
    if task.get("weights"):
        with np.load(task["weights"]) as file:
            copy_nequip(potential, {name: torch.from_numpy(file[name]) for name in file.files})
    return potential


def _structures(task: Task) -> list[ase.Atoms]:
    return [ase.Atoms(**found) for found in task["structures"]]


def _graph(structures: list[ase.Atoms], potential: Potential) -> Graph:
    graphs = [graph_from_structure(structure_from_atoms(atoms), potential.cutoff) for atoms in structures]
    return Batch.collate(graphs).graph


def _inputs(task: Task, names: tuple[str, ...], *, gradient: bool = True) -> list[Tensor]:
    with np.load(task["inputs"]) as file:
        return [torch.from_numpy(file[name]).requires_grad_(gradient) for name in names]


if __name__ == "__main__":
    torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
    serve(prepare, f"subduce {__version__}")
