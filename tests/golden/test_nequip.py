"""nequip's weights in our layers give nequip's energies, forces and stress: the config makes its very architecture."""

from pathlib import Path

import ase
import pytest
import torch
from safetensors.torch import load_file

from subduce.benchmark._weights import copy_nequip, nequip_config
from subduce.data import graph_from_structure, structure_from_atoms
from subduce.models import Potential, forces_and_stress

NEQUIP = load_file(Path(__file__).with_name("nequip.safetensors"))
SETTINGS = {
    "type_names": ("H", "C", "O"),
    "r_max": 4.0,
    "num_layers": 3,
    "l_max": 2,
    "parity": True,
    "num_features": 4,
    "radial_mlp_width": 8,
    "avg_num_neighbors": 7.5,
    "per_type_energy_shifts": {"H": -1.0, "C": -2.0, "O": -3.0},
    "per_type_energy_scales": dict.fromkeys(("H", "C", "O"), 1.5),
    "model_dtype": "float64",
}


@pytest.fixture(scope="module")
def potential() -> Potential:
    potential = Potential(nequip_config(SETTINGS))
    copy_nequip(potential, NEQUIP)
    return potential


def test_energies_forces_and_stress_are_those_of_nequip(potential):
    atoms = ase.Atoms(
        *(NEQUIP[name].numpy() for name in ("atomic_numbers", "positions")), cell=NEQUIP["cell"].numpy(), pbc=True
    )
    found = forces_and_stress(potential, graph_from_structure(structure_from_atoms(atoms), 4.0).graph)
    torch.testing.assert_close(found.energies, NEQUIP["energies"], rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(found.forces, NEQUIP["forces"], rtol=1e-11, atol=1e-12)
    torch.testing.assert_close(found.stress[0], NEQUIP["stress"], rtol=1e-11, atol=1e-12)
