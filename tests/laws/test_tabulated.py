"""A table in the place of the radial networks: the same energies and forces, and forces that are its own slopes."""

import pytest
import torch

from subduce.data import graph_from_structure, open_structures
from subduce.models import Potential, PotentialConfig, forces_and_stress, save, tabulated

CONFIG = {
    "type_names": ("H", "C", "O"),
    "r_max": 4.0,
    "num_layers": 2,
    "num_features": 8,
    "avg_num_neighbors": 8.0,
}
SETTINGS = {
    "float32": {},
    "float64": {"model_dtype": "float64"},
    "biased": {"radial_bias": True, "radial_mlp_depth": 2, "l_max": 1},
    "gaussian": {"radial_basis": "gaussian", "cutoff_function": "cosine", "l_max": 1},
}


@pytest.fixture
def graph():
    return graph_from_structure(open_structures("src/subduce/data/assets/ethanol_test.extxyz")[3], 4.0).graph


@pytest.mark.parametrize("name", SETTINGS)
def test_a_table_changes_no_number_that_matters(name, graph):
    """Energies to 1e-6 of the network's energies, forces to 1e-5 of the largest force."""
    potential = Potential(PotentialConfig(**CONFIG, **SETTINGS[name]))
    if name == "biased":
        with torch.no_grad():
            for layer in potential.layers:
                for bias in layer.convolution.radial.biases:
                    bias.fill_(0.3)
    exact, found = (forces_and_stress(one, graph, stress=False) for one in (potential, tabulated(potential)))
    assert (found.energies - exact.energies).abs().max() < 1e-6 * max(1.0, exact.energies.abs().max())
    assert (found.forces - exact.forces).abs().max() < 1e-5 * exact.forces.abs().max()
    assert not torch.equal(found.forces, exact.forces)


def test_forces_are_the_slopes_of_the_tabulated_energy(graph):
    model = tabulated(Potential(PotentialConfig(**CONFIG, model_dtype="float64")))
    direction = torch.randn(graph.positions.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    forces = forces_and_stress(model, graph, stress=False).forces
    energies = [model(graph.replace(positions=graph.positions + s * direction)).sum() for s in (-2e-5, 2e-5)]
    slope = (energies[1] - energies[0]) / 4e-5
    torch.testing.assert_close(slope, -(forces * direction).sum(), rtol=1e-7, atol=1e-8)


def test_a_tabulated_potential_is_not_saved_and_not_tabulated_twice(tmp_path):
    model = tabulated(Potential(PotentialConfig(**CONFIG)))
    assert tabulated(model) is model
    with pytest.raises(ValueError, match="save the one"):
        save(model, tmp_path / "model.safetensors")


def test_the_original_is_left_as_it_was(graph):
    potential = Potential(PotentialConfig(**CONFIG))
    before = potential(graph)
    tabulated(potential)
    assert torch.equal(potential(graph), before)
    assert all(weight.requires_grad for weight in potential.parameters() if weight is not potential.radial.basis.roots)
