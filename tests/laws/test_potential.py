"""What physics asks of a potential, on random structures and random weights, in float64."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from subduce.data import Graph, neighbor_list
from subduce.models import ZBL, Potential, PotentialConfig, Sum, forces_and_stress, hessian_vector_product
from subduce.o3 import random_rotations

SMALL = {
    "type_names": ("H", "C", "O"),
    "r_max": 3.5,
    "num_layers": 2,
    "num_features": 4,
    "radial_mlp_width": 8,
    "avg_num_neighbors": 6.0,
    "per_type_energy_shifts": {"H": -1.0, "C": -2.0, "O": 3.0},
    "per_type_energy_scales": {"H": 0.5, "C": 2.0, "O": 1.5},
    "model_dtype": "float64",
}
MODELS = {
    "l0": Potential(PotentialConfig(**SMALL, l_max=0)),
    "l1": Potential(PotentialConfig(**SMALL, l_max=1)),
    "l2": Potential(PotentialConfig(**SMALL, l_max=2, zbl=True)),
    "natural parity": Potential(PotentialConfig(**SMALL, l_max=2, parity=False)),
    "so3": Potential(
        PotentialConfig(
            **SMALL, irreps=("4x0e + 3x1e + 2x2e", "4x0e"), edge_irreps="0e + 1e + 2e", type_embed_num_features=5
        )
    ),
    "biased": Potential(
        PotentialConfig(
            **{**SMALL, "num_features": (5, 3)},
            l_max=1,
            radial_bias=True,
            radial_mlp_depth=2,
            norm="rms",
            readout_activation="silu",
        )
    ),
    "linear": Potential(
        PotentialConfig(
            **SMALL,
            l_max=1,
            self_connection="linear",
            radial_basis="bernstein",
            readout_widths=(3,),
            norm="joint",
            norm_place="gate",
        )
    ),
}
with torch.no_grad():
    for bias in MODELS["biased"].layers:
        for parameter in bias.convolution.radial.biases:
            parameter.fill_(0.3)
PROPER_ONLY = {"so3"}
every_model = pytest.mark.parametrize("name", MODELS)
seeds = st.integers(0, 2**31 - 1)


def structure(seed: int, *, periodic: bool, num_atoms: int = 6):
    """Random atoms that do not overlap, in a random cell or in free space."""
    rng = np.random.default_rng(seed)
    cell = np.eye(3) * 4.5 + rng.normal(scale=0.4, size=(3, 3)) if periodic else np.zeros((3, 3))
    grid = np.array([[i, j, k] for i in range(2) for j in range(2) for k in range(2)])[:num_atoms] / 2.0
    positions = grid @ (cell if periodic else np.eye(3) * 4.2) + rng.normal(scale=0.25, size=(num_atoms, 3))
    numbers = rng.choice([1, 6, 8], size=num_atoms)
    return numbers, positions, cell, np.full(3, periodic)


def graph(numbers, positions, cell, pbc, cutoff=3.5) -> Graph:
    sender, receiver, shifts = neighbor_list(positions, cell, pbc, cutoff)
    return Graph(
        atomic_numbers=torch.as_tensor(numbers),
        positions=torch.as_tensor(positions),
        cell=torch.as_tensor(cell)[None],
        pbc=torch.as_tensor(pbc)[None],
        structure=torch.zeros(len(numbers), dtype=torch.long),
        sender=torch.as_tensor(sender),
        receiver=torch.as_tensor(receiver),
        shifts=torch.as_tensor(shifts, dtype=torch.float64),
        charge=torch.zeros(1, dtype=torch.float64),
    )


def close(found, wanted, tolerance=1e-9):
    scale = max(1.0, wanted.abs().max().item()) if wanted.numel() else 1.0
    torch.testing.assert_close(found, wanted, rtol=tolerance, atol=tolerance * scale)


@every_model
@given(seed=seeds, periodic=st.booleans())
def test_rotations_reflections_and_translations(name, seed, periodic):
    numbers, positions, cell, pbc = structure(seed, periodic=periodic)
    here = forces_and_stress(MODELS[name], graph(numbers, positions, cell, pbc))
    generator = torch.Generator().manual_seed(seed)
    (rotation,) = random_rotations(1, generator=generator)
    for g in (rotation,) if name in PROPER_ONLY else (rotation, -rotation):
        moved = positions @ g.numpy().T + 7.3
        there = forces_and_stress(MODELS[name], graph(numbers, moved, cell @ g.numpy().T, pbc))
        close(there.energies, here.energies)
        close(there.forces, here.forces @ g.mT)
        if periodic:
            close(there.stress, g @ here.stress @ g.mT)


@every_model
@given(seed=seeds)
def test_permutations(name, seed):
    numbers, positions, cell, pbc = structure(seed, periodic=True)
    order = np.random.default_rng(seed).permutation(len(numbers))
    here = forces_and_stress(MODELS[name], graph(numbers, positions, cell, pbc))
    there = forces_and_stress(MODELS[name], graph(numbers[order], positions[order], cell, pbc))
    close(there.energies, here.energies[order])
    close(there.forces, here.forces[order])


@every_model
@given(seed=seeds)
def test_the_choice_of_cell_does_not_matter(name, seed):
    numbers, positions, cell, pbc = structure(seed, periodic=True)
    here = forces_and_stress(MODELS[name], graph(numbers, positions, cell, pbc))
    rng = np.random.default_rng(seed)
    wrapped = positions + rng.integers(-2, 3, size=positions.shape) @ cell
    sheared = np.array([[1, 1, 0], [0, 1, 0], [0, -1, 1]]) @ cell
    there = forces_and_stress(MODELS[name], graph(numbers, wrapped, sheared, pbc))
    close(there.energies, here.energies)
    close(there.forces, here.forces)
    close(there.stress, here.stress)
    doubled = graph(
        np.tile(numbers, 2), np.concatenate([positions, positions + cell[0]]), np.diag([2, 1, 1]) @ cell, pbc
    )
    close(forces_and_stress(MODELS[name], doubled).energy, 2 * here.energy)


@every_model
@given(seed=seeds)
def test_forces_and_stress_are_the_slopes_of_the_energy(name, seed):
    """P4: against central differences, 1e-6 relative."""
    numbers, positions, cell, pbc = structure(seed, periodic=True)
    model, fixed = MODELS[name], graph(numbers, positions, cell, pbc)
    found = forces_and_stress(model, fixed)
    rng = np.random.default_rng(seed)

    def energy(moved, lattice):
        changed = graph(numbers, moved, lattice, pbc)
        return changed.sum_atoms(model(changed)).item()

    def slope(function, step=2e-4):
        # Two central differences, extrapolated: the error falls with the fourth power of the step.
        coarse = (function(2 * step) - function(-2 * step)) / (4 * step)
        fine = (function(step) - function(-step)) / (2 * step)
        return (4 * fine - coarse) / 3

    with torch.no_grad():
        direction = rng.normal(size=positions.shape)
        along = slope(lambda t: energy(positions + t * direction, cell))
        expected = -(found.forces.numpy() * direction).sum()
        assert abs(along - expected) < 1e-6 * max(1.0, np.abs(found.forces.numpy()).max() * 4)
        strain = rng.normal(size=(3, 3))
        strain = (strain + strain.T) / 2
        volume = abs(np.linalg.det(cell))
        along = slope(lambda t: energy(positions @ (np.eye(3) + t * strain), cell @ (np.eye(3) + t * strain)), 1e-4)
        expected = (found.stress[0].numpy() * strain).sum() * volume
        assert abs(along - expected) < 1e-6 * max(1.0, abs(expected), np.abs(found.stress.numpy()).max() * volume)


@every_model
@given(seed=seeds)
def test_free_molecules_feel_no_net_force_and_no_torque(name, seed):
    numbers, positions, cell, pbc = structure(seed, periodic=False)
    forces = forces_and_stress(MODELS[name], graph(numbers, positions, cell, pbc), stress=False).forces
    close(forces.sum(0), torch.zeros(3, dtype=torch.float64))
    torque = torch.linalg.cross(torch.as_tensor(positions), forces).sum(0)
    close(torque, torch.zeros(3, dtype=torch.float64), 1e-8)


@every_model
def test_an_isolated_atom_has_its_shift_and_no_force(name):
    model = MODELS[name]
    alone = graph(np.array([8]), np.array([[1.0, 2.0, 3.0]]), np.zeros((3, 3)), np.zeros(3, bool))
    assert alone.num_edges == 0
    found = forces_and_stress(model, alone)
    assert found.energy.item() == 3.0
    assert torch.equal(found.forces, torch.zeros(1, 3, dtype=torch.float64))
    assert found.stress.isnan().all()
    assert torch.equal(hessian_vector_product(model, alone, torch.ones(1, 3)), torch.zeros(1, 3))


@every_model
@given(seed=seeds)
def test_far_systems_add_and_batches_do_not_mix(name, seed):
    """P6: size extensivity, and no force between the structures of a batch."""
    model = MODELS[name]
    a, b = structure(seed, periodic=False), structure(seed + 1, periodic=False, num_atoms=4)
    parts = [forces_and_stress(model, graph(*one), stress=False) for one in (a, b)]
    far = graph(np.concatenate([a[0], b[0]]), np.concatenate([a[1], b[1] + 100.0]), a[2], a[3])
    together = forces_and_stress(model, far, stress=False)
    close(together.energy[0], parts[0].energy[0] + parts[1].energy[0])
    close(together.forces, torch.cat([part.forces for part in parts]))
    batch = forces_and_stress(model, Graph.batch([graph(*a), graph(*b)]))
    close(batch.energy, torch.cat([part.energy for part in parts]))
    close(batch.forces, torch.cat([part.forces for part in parts]))


@every_model
def test_an_edge_leaves_smoothly_at_the_cutoff(name):
    """P5: value, force and its derivative go to zero at the cutoff; beyond it nothing is left."""
    model, cutoff = MODELS[name], MODELS[name].cutoff

    def energy_and_slopes(distance):
        positions = np.array([[0.0, 0.0, 0.0], [0.0, 0.0, distance]])
        pair = graph(np.array([6, 8]), positions, np.zeros((3, 3)), np.zeros(3, bool), cutoff + 1)
        force = forces_and_stress(model, pair, stress=False)
        direction = torch.tensor([[0.0, 0, 0], [0, 0, 1]], dtype=torch.float64)
        curvature = hessian_vector_product(model, pair, direction)[1, 2]
        return force.energy.item(), force.forces[1, 2].item(), curvature.item()

    beyond = energy_and_slopes(cutoff + 0.5)
    assert beyond[1:] == (0.0, 0.0)
    # u = O((1 − x)³): the energy falls with the third power of the distance to the cutoff, and so on.
    near, nearer = energy_and_slopes(cutoff - 0.01), energy_and_slopes(cutoff - 0.005)
    for power, start, half, limit in zip((3, 2, 1), near, nearer, beyond, strict=True):
        assert abs(half - limit) < abs(start - limit) * 0.5 ** (power - 0.2) + 1e-12
    assert abs(energy_and_slopes(cutoff)[0] - beyond[0]) < 1e-10


@given(seed=seeds)
def test_a_hessian_vector_product_is_the_slope_of_the_forces(seed):
    numbers, positions, cell, pbc = structure(seed, periodic=True)
    direction = np.random.default_rng(seed).normal(size=positions.shape)
    model, step = MODELS["l1"], 1e-4
    ahead, behind = (
        forces_and_stress(model, graph(numbers, positions + s * step * direction, cell, pbc)).forces for s in (1, -1)
    )
    found = hessian_vector_product(model, graph(numbers, positions, cell, pbc), torch.as_tensor(direction))
    close(found, -(ahead - behind) / (2 * step), 1e-5)


def test_the_network_may_keep_an_energy_of_its_own_for_isolated_atoms():
    model = Potential(PotentialConfig(**SMALL, l_max=1, first_self_connection=True))
    alone = graph(np.array([8]), np.zeros((1, 3)), np.zeros((3, 3)), np.zeros(3, bool))
    assert model(alone).item() != 3.0


def test_terms_add_up():
    numbers, positions, cell, pbc = structure(5, periodic=True)
    here = graph(numbers, positions, cell, pbc)
    network, repulsion = MODELS["l1"], ZBL(3.0)
    total = Sum(network, repulsion)
    torch.testing.assert_close(total(here), network(here) + repulsion(here))
    assert total.cutoff == 3.5
    assert total.elements == network.elements


def test_nuclei_repel_as_their_charges_do():
    """At contact the screening is gone: E r → Z₁ Z₂ e²/4πε₀."""
    r = 1e-4
    pair = graph(np.array([6, 8]), np.array([[0.0, 0, 0], [0, 0, r]]), np.zeros((3, 3)), np.zeros(3, bool), cutoff=3.0)
    assert math.isclose(ZBL(3.0)(pair).sum().item() * r, 6 * 8 * 14.3996454784, rel_tol=2e-3)


@pytest.mark.parametrize("name", MODELS)
def test_lengths_shared_by_an_edge_and_its_reverse_change_nothing(name, monkeypatch):
    model, random = MODELS[name], np.random.default_rng(5)
    atoms = graph([1, 6, 8, 6, 1], random.uniform(0, 4, (5, 3)), 4.5 * np.eye(3), [True, True, False])
    assert atoms.num_edges > 20

    def first_and_second(atoms):
        found = forces_and_stress(model, atoms, create_graph=True)
        loss = found.forces.square().sum() + found.energy.square().sum()
        weights = [weight for weight in model.parameters() if weight.requires_grad]
        return found.energies, found.forces, *torch.autograd.grad(loss, weights, allow_unused=True)

    shared = first_and_second(atoms)
    monkeypatch.setattr(Graph, "reverse_edges", lambda self: None)
    for one, other in zip(shared, first_and_second(atoms), strict=True):
        assert (one is None) == (other is None)
        if one is not None:
            torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-10 * max(1.0, other.abs().max().item()))


@pytest.mark.parametrize("name", MODELS)
def test_training_through_knots_is_training_on_the_networks(name):
    """Energies, forces and the gradient of a loss on forces, to the accuracy of the splines."""
    model, random = MODELS[name], np.random.default_rng(5)
    atoms = graph([1, 6, 8, 6, 1], random.uniform(0, 4, (5, 3)), 4.5 * np.eye(3), [True, True, False])

    def gradient():
        found = forces_and_stress(model, atoms, create_graph=True)
        loss = found.forces.square().sum() + found.energy.square().sum()
        weights = [weight for weight in model.parameters() if weight.requires_grad]
        return found.energies, found.forces, *torch.autograd.grad(loss, weights, allow_unused=True)

    exact = gradient()
    try:
        model.knots = 2000
        splines = gradient()
        model.eval()
        assert all(torch.equal(one, other) for one, other in zip(exact[:2], gradient()[:2], strict=True))
    finally:
        model.knots = None
        model.train()
    assert not torch.equal(exact[1], splines[1])
    for one, other in zip(splines, exact, strict=True):
        assert (one is None) == (other is None)
        if one is not None:
            torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-6 * max(1.0, other.abs().max().item()))
