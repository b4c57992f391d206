"""Write the golden numbers anew and print what moved: `python tests/golden/regenerate.py`."""

import json
from pathlib import Path

import numpy as np
import torch
from ase import Atoms

from subduce.data import graph_from_structure, structure_from_atoms
from subduce.models import Potential, PotentialConfig, forces_and_stress
from subduce.o3 import CartesianTensor, clebsch_gordan, spherical_harmonics

FILE = Path(__file__).with_name("numbers.json")
CONFIGS = {
    "nequip": {},
    "natural parity": {"parity": False, "num_features": (8, 4, 2)},
    "so3": {
        "irreps": ("8x0e + 4x1e + 2x2e", "8x0e"),
        "edge_irreps": "0e + 1e + 2e",
        "self_connection": "linear",
        "first_self_connection": True,
        "cutoff_function": "xplor",
        "readout_widths": (4,),
        "readout_activation": "identity",
    },
    "joint norm": {"norm": "joint", "norm_place": "gate", "radial_mlp_depth": 3, "zbl": True},
}


def structure() -> Atoms:
    """A strained cell of a made-up oxide with its atoms off their places."""
    rng = np.random.default_rng(7)
    atoms = Atoms("CaTiO3", cell=[3.9, 4.0, 4.1], pbc=True)
    atoms.set_scaled_positions([[0, 0, 0], [0.5, 0.5, 0.5], [0.5, 0.5, 0], [0.5, 0, 0.5], [0, 0.5, 0.5]])
    atoms.set_cell(atoms.cell @ (np.eye(3) + 0.02 * rng.normal(size=(3, 3))), scale_atoms=True)
    atoms.positions += 0.05 * rng.normal(size=(5, 3))
    return atoms


def numbers() -> dict[str, list[float]]:
    """Every golden number, by name."""
    found: dict[str, list[float]] = {}
    for name, settings in CONFIGS.items():
        config = PotentialConfig(
            **{
                "type_names": ("O", "Ca", "Ti"),
                "r_max": 4.5,
                "num_layers": 2,
                "num_features": 8,
                "radial_mlp_width": 16,
                "avg_num_neighbors": 30.0,
                "per_type_energy_shifts": {"O": -4.0, "Ca": -1.0, "Ti": -6.0},
                "model_dtype": "float64",
                "seed": 3,
                **settings,
            }
        )
        graph = graph_from_structure(structure_from_atoms(structure()), config.r_max).graph
        prediction = forces_and_stress(Potential(config), graph)
        found[f"{name}: energies"] = prediction.energies.tolist()
        found[f"{name}: forces"] = prediction.forces.flatten().tolist()
        found[f"{name}: stress"] = prediction.stress.flatten().tolist()
    vector = torch.tensor([0.3, -1.2, 0.7], dtype=torch.float64)
    found["harmonics to l = 4"] = spherical_harmonics([0, 1, 2, 3, 4], vector).tolist()
    found["couplings 2 2 3"] = clebsch_gordan(2, 2, 3).flatten().tolist()
    found["strain to irreps"] = CartesianTensor("ij=ji").to_irreps(torch.outer(vector, vector)).tolist()
    return found


def main() -> None:
    """Compare with what is stored, then store."""
    old = json.loads(FILE.read_text()) if FILE.exists() else {}
    new = numbers()
    for name, values in new.items():
        moved = np.abs(np.array(values) - np.array(old[name])).max() if name in old else float("nan")
        print(f"{name:30s} moved by {moved:.1e}")
    FILE.write_text(json.dumps(new, indent=0) + "\n")


if __name__ == "__main__":
    main()
