"""Recorded launches give the same numbers; without a GPU, only that nothing is recorded can be tested."""

import pytest
import torch

from subduce.data import atoms_from_structure, graph_from_structure, open_structures
from subduce.interfaces.ase import Calculator
from subduce.models import Engine, Potential, PotentialConfig, forces_and_stress

CONFIG = {
    "type_names": ("H", "C", "O"),
    "r_max": 4.0,
    "num_layers": 2,
    "num_features": 8,
    "avg_num_neighbors": 8.0,
    "model_dtype": "float64",
}


@pytest.fixture
def graph():
    return graph_from_structure(open_structures("src/subduce/data/assets/ethanol_test.extxyz")[3], 4.0).graph


def test_on_a_cpu_nothing_is_recorded(graph):
    potential = Potential(PotentialConfig(**CONFIG))
    engine, expected = Engine(potential, radial="exact"), forces_and_stress(potential, graph)
    for _ in range(3):
        assert torch.equal(engine(graph).forces, expected.forces)


@pytest.mark.gpu
def test_a_recording_follows_positions_and_edges(graph):
    if not torch.cuda.is_available():
        pytest.fail("no CUDA device")
    potential = Potential(PotentialConfig(**CONFIG))
    there = Potential(PotentialConfig(**CONFIG)).cuda()
    engine, moving = Engine(there), graph.to("cuda")
    for step in range(6):
        if step == 4:  # other edges
            graph = graph.replace(sender=graph.sender[2:], receiver=graph.receiver[2:], shifts=graph.shifts[2:])
            moving = graph.to("cuda")
        noise = 0.02 * torch.randn(
            graph.positions.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(step)
        )
        found = engine(moving.replace(positions=(graph.positions + noise).cuda()))
        expected = forces_and_stress(potential, graph.replace(positions=graph.positions + noise))
        torch.testing.assert_close(found.energy.cpu(), expected.energy, rtol=1e-10, atol=1e-10)
        torch.testing.assert_close(found.forces.cpu(), expected.forces, rtol=1e-9, atol=1e-9)


@pytest.mark.gpu
def test_the_calculator_replays_dynamics():
    if not torch.cuda.is_available():
        pytest.fail("no CUDA device")
    atoms = open_structures("src/subduce/data/assets/ethanol_test.extxyz")[3]
    atoms = atoms_from_structure(atoms)
    potential = Potential(PotentialConfig(**CONFIG))
    here, there = Calculator(potential, radial="exact"), Calculator(Potential(PotentialConfig(**CONFIG)).cuda())
    for step in range(5):
        atoms.rattle(0.01, seed=step)
        forces = [calculator.get_forces(atoms) for calculator in (here, there)]
        assert abs(forces[0] - forces[1]).max() < 1e-8
