"""What a model gives on this machine, against the reference: every operator, the engine, and a step of training."""

import copy
from dataclasses import dataclass, fields

import torch
from torch import Tensor, nn

from ..data import Graph
from ..kernels import reference_only
from ..models import EnergyModel, Engine, Potential, Prediction, forces_and_stress

_BACKEND = {torch.float32: 1e-5, torch.float64: 1e-11}
_TABLE = {"energies": 1e-6, "forces": 1e-5, "stress": 1e-5}


@dataclass(frozen=True)
class BackendCheck:
    """Largest differences from the reference, relative to its largest value.

    Values of less than 1 (eV, eV/Å, for the stress times the volume eV) count as 1. None where the model has no such
    thing: no weights to train, no three lattice vectors, no program (see `subduce.models.Engine`).
    """

    energies: float
    forces: float
    stress: float | None
    gradient: float | None  # of a loss on forces, by all weights
    engine_energies: float | None
    engine_forces: float | None
    engine_stress: float | None

    @property
    def largest(self) -> float:
        """The largest of all."""
        found = (getattr(self, field.name) for field in fields(self))
        return max(value for value in found if value is not None)


def check_backend(model: EnergyModel, graph: Graph) -> BackendCheck:
    """A model must give on this machine what the reference gives: energies, forces, stress, and a training gradient.

    The model's own backend may differ by 1e-5 in float32 and 1e-11 in float64; where a program runs it for inference,
    whose splines stand for radial networks, that by 1e-6 more in energies and 1e-5 more in forces and stress. For a
    `Potential` the reference computes in float64 whatever the dtype of the network; other models keep theirs. Raises
    `AssertionError` where something differs by more.

    >>> from subduce.data import graph_from_structure, open_structures
    >>> from subduce.models import Potential, PotentialConfig
    >>> config = PotentialConfig(type_names=("H", "C", "O"), num_layers=2, num_features=4, avg_num_neighbors=8.0)
    >>> ethanol = open_structures("src/subduce/data/assets/ethanol_test.extxyz")[0]
    >>> check = check_backend(Potential(config), graph_from_structure(ethanol, 5.0).graph)
    >>> check.forces < 1e-5
    True
    """
    own, own_gradient = forces_and_stress(model, graph), _gradient(model, graph)
    exact = copy.deepcopy(model).double() if isinstance(model, Potential) else model
    with reference_only():
        true, true_gradient = forces_and_stress(exact, graph), _gradient(exact, graph)
    found = _differences(own, true, graph)
    if own_gradient is not None and true_gradient is not None:
        found["gradient"] = _difference(own_gradient, true_gradient)
    dtype = _dtype(model)
    for name, difference in found.items():
        _judge(difference, _BACKEND[dtype], f"{name} in {dtype}, by the model's own backend")
    engine, programmed = Engine(model), {}
    if graph.positions.device.type == "cpu" and engine.is_compiled:
        programmed = _differences(engine(graph), true, graph)
    for name, difference in programmed.items():
        _judge(difference, _BACKEND[dtype] + _TABLE[name], f"{name} in {dtype}, by the engine with splines")
    every = found | {f"engine_{name}": difference for name, difference in programmed.items()}
    return BackendCheck(**{field.name: every.get(field.name) for field in fields(BackendCheck)})  # type: ignore[arg-type]


def _differences(found: Prediction, true: Prediction, graph: Graph) -> dict[str, float]:
    differences = {"energies": _difference(found.energies, true.energies)}
    if found.forces is not None and true.forces is not None:
        differences["forces"] = _difference(found.forces, true.forces)
    periodic = graph.pbc.all(-1)
    if periodic.any() and found.stress is not None and true.stress is not None:
        volume = torch.linalg.det(graph.cell[periodic]).abs()[:, None, None]
        differences["stress"] = _difference(found.stress[periodic] * volume, true.stress[periodic] * volume)
    return differences


def _difference(found: Tensor, true: Tensor) -> float:
    if not true.numel():
        return 0.0
    return ((found - true).abs().max() / true.abs().max().clamp(min=1.0)).item()


def _judge(difference: float, allowed: float, what: str) -> None:
    if not difference <= allowed:  # so that no number at all is too much
        raise AssertionError(
            f"{what}, differ from the reference by {difference:.3g} of the largest, allowed {allowed:.3g}"
        )


def _dtype(model: EnergyModel) -> torch.dtype:
    """The dtype of the network; of a model without weights, that of geometry."""
    weights = [*model.parameters()] if isinstance(model, nn.Module) else []
    return torch.float32 if any(weight.dtype == torch.float32 for weight in weights) else torch.float64


def _gradient(model: EnergyModel, graph: Graph) -> Tensor | None:
    """The derivatives of a loss on forces by all weights, one after another."""
    weights = [weight for weight in model.parameters() if weight.requires_grad] if isinstance(model, nn.Module) else []
    if not weights:
        return None
    forces = forces_and_stress(model, graph, stress=False, create_graph=True).forces
    if forces is None or not forces.requires_grad:
        return None
    target = torch.linspace(-1, 1, forces.numel(), dtype=forces.dtype, device=forces.device).view_as(forces)
    loss = (forces - target).square().mean()
    slopes = torch.autograd.grad(loss, weights, allow_unused=True)
    return torch.cat([slope.flatten().double() for slope in slopes if slope is not None])
