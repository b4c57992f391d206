"""What every energy model keeps: the interface, one graph under the compiler, and export."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from ase import Atoms

from subduce.data import graph_from_structure, structure_from_atoms
from subduce.models import ZBL, EnergyModel, Potential, PotentialConfig, Sum

NETWORK = Potential(
    PotentialConfig(
        type_names=("H", "O"), r_max=4.0, num_layers=2, num_features=4, l_max=1, avg_num_neighbors=2.0, zbl=True
    )
)
MODELS = {"potential": NETWORK, "zbl": ZBL(3.0), "sum": Sum(NETWORK, ZBL(3.0))}
every_model = pytest.mark.parametrize("name", MODELS)


@pytest.fixture
def graph():
    water = Atoms("OH2", [[0, 0, 0], [0.96, 0, 0], [-0.24, 0.93, 0]], cell=[5, 5, 5], pbc=True)
    return graph_from_structure(structure_from_atoms(water), 4.0).graph


@every_model
def test_a_model_gives_each_atom_an_energy_in_float64(name, graph):
    model = MODELS[name]
    assert isinstance(model, EnergyModel)
    energies = model(graph)
    assert energies.shape == (3,)
    assert energies.dtype == torch.float64


ONE_GRAPH = """
import torch
from subduce.data import graph_from_structure, open_structures
from subduce.models import Potential, PotentialConfig, forces_and_stress

model = Potential(PotentialConfig(
    type_names=("H", "C", "O"), r_max=4.0, num_layers=2, num_features=4, avg_num_neighbors=8.0, zbl=True
))
graph = graph_from_structure(open_structures("src/subduce/data/assets/ethanol_test.extxyz")[0], 4.0).graph
eager = forces_and_stress(model, graph, stress=False)
compiled = torch.compile(model, backend="aot_eager", fullgraph=True)
found = forces_and_stress(compiled, graph, stress=False)
torch.testing.assert_close(found.energies, eager.energies)
torch.testing.assert_close(found.forces, eager.forces)
exported = torch.export.export(model, (graph,)).module()
torch.testing.assert_close(exported(graph).detach(), eager.energies)
"""


def test_compiled_in_one_graph_and_exported_it_is_the_same():
    """In a process of its own: the shape checks of a test run are not for a compiler."""
    root = Path(__file__).parents[2]
    done = subprocess.run([sys.executable, "-c", ONE_GRAPH], cwd=root, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
