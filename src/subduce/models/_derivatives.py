"""Every derivative of an energy, taken around the model in one backward pass."""

import torch
from jaxtyping import Float
from torch import Tensor

from ..data import Graph
from ._interface import EnergyModel, Prediction


def forces_and_stress(
    model: EnergyModel, graph: Graph, *, stress: bool = True, create_graph: bool = False
) -> Prediction:
    """Energies, forces −∂E/∂r (eV/Å) and stress (1/V) ∂E/∂ε (eV/Å³) from one backward pass.

    The strain ε is symmetric and acts on positions and lattice rows alike (Knuth et al. 2015,
    doi:10.1016/j.cpc.2015.01.003), so the stress is symmetric and positive in tension. With
    `create_graph` the result can be differentiated again, as a loss on forces needs.
    """
    positions = graph.positions.detach().requires_grad_(True)
    if not stress:
        energies, energy = _energies(model, graph, graph.replace(positions=positions))
        (slope,) = torch.autograd.grad(energy.sum(), (positions,), create_graph=create_graph)
        return _prediction(energy, energies, -slope, None, create_graph)
    strain = torch.zeros_like(graph.cell, requires_grad=True)
    deform = torch.eye(3, dtype=strain.dtype, device=strain.device) + (strain + strain.mT) / 2
    strained = graph.replace(
        positions=torch.einsum("ai,aij->aj", positions, deform[graph.structure]), cell=graph.cell @ deform
    )
    energies, energy = _energies(model, graph, strained)
    slope, virial = torch.autograd.grad(energy.sum(), (positions, strain), create_graph=create_graph)
    return _prediction(energy, energies, -slope, stress_of(virial, graph), create_graph)


def stress_of(virial: Float[Tensor, "structures 3 3"], graph: Graph) -> Float[Tensor, "structures 3 3"]:
    """The stress (eV/Å³) from the derivative ∂E/∂ε (eV) of each structure's energy by the strain."""
    # NaN where there is no volume, without a division by NaN: a loss that leaves it out must not feel it.
    periodic = graph.pbc.all(-1)[:, None, None]
    volume = torch.where(periodic, torch.linalg.det(graph.cell).abs()[:, None, None], 1.0)
    return torch.where(periodic, virial / volume, torch.nan)


def energies_only(model: EnergyModel, graph: Graph) -> Prediction:
    """Energies alone, without derivatives."""
    with torch.no_grad():
        energies = model(graph)
        return Prediction(graph.sum_atoms(energies), energies, None, None)


def hessian_vector_product(
    model: EnergyModel, graph: Graph, direction: Float[Tensor, "atoms 3"]
) -> Float[Tensor, "atoms 3"]:
    """The product of the Hessian ∂²E/∂r∂r (eV/Å²) with a displacement, without the Hessian.

    Costs about two force evaluations, whatever the number of atoms.
    """
    positions = graph.positions.detach().requires_grad_(True)
    _, energy = _energies(model, graph, graph.replace(positions=positions))
    (slope,) = torch.autograd.grad(energy.sum(), (positions,), create_graph=True)
    if not slope.requires_grad:
        return torch.zeros_like(direction)
    (product,) = torch.autograd.grad((slope * direction).sum(), (positions,))
    return product


def _energies(model: EnergyModel, graph: Graph, differentiable: Graph) -> tuple[Tensor, Tensor]:
    energies = model(differentiable)
    # Isolated atoms give energies without a gradient; zero times the positions keeps the graph whole.
    energy = graph.sum_atoms(energies) + 0.0 * graph.sum_atoms(differentiable.positions.sum(-1))
    return energies, energy


def _prediction(energy: Tensor, energies: Tensor, forces: Tensor, stress: Tensor | None, keep: bool) -> Prediction:
    if keep:
        return Prediction(energy, energies, forces, stress)
    return Prediction(
        energy.detach(), energies.detach(), forces.detach(), stress if stress is None else stress.detach()
    )
