"""Write `nequip.safetensors`: a small network of nequip 0.19.1, what it says of a box of water, and its weights.

PYTHON-WITH-NEQUIP tests/golden/from_nequip.py
"""

from pathlib import Path

import numpy as np
import torch
from ase import Atoms
from nequip.data import compute_neighborlist_
from nequip.data.ase import from_ase
from nequip.model import NequIPGNNModel
from nequip.utils.global_state import set_global_state
from safetensors.torch import save_file

TYPES = ["H", "C", "O"]


def water() -> Atoms:
    """Four molecules, displaced, in a box smaller than twice the cutoff."""
    rng = np.random.default_rng(0)
    molecule = np.array([[0, 0, 0], [0.96, 0, 0], [-0.24, 0.93, 0]])
    places = 3.1 * np.array([[0, 0, 0], [1, 1, 0], [1, 0, 1], [0, 1, 1]])
    positions = (places[:, None] + molecule).reshape(-1, 3) + 0.1 * rng.normal(size=(12, 3))
    return Atoms("OHH" * 4, positions, cell=np.eye(3) * 6.2, pbc=True)


set_global_state()
model = NequIPGNNModel(
    seed=3,
    model_dtype="float64",
    r_max=4.0,
    type_names=TYPES,
    num_layers=3,
    l_max=2,
    parity=True,
    num_features=4,
    radial_mlp_width=8,
    avg_num_neighbors=7.5,
    per_type_energy_shifts={"H": -1.0, "C": -2.0, "O": -3.0},
    per_type_energy_scales=1.5,
)
model.eval()
atoms = water()
data = from_ase(atoms)
data["atom_types"] = torch.tensor([TYPES.index(symbol) for symbol in atoms.symbols])
found = model(compute_neighborlist_(data, 4.0))
weights = {
    name.removeprefix("model.func."): value.detach().contiguous()
    for name, value in model.state_dict().items()
    if name.endswith("weight") and value.numel()
}
results = {
    "positions": torch.tensor(atoms.positions),
    "cell": torch.tensor(atoms.cell.array),
    "atomic_numbers": torch.tensor(atoms.numbers),
    "energies": found["atomic_energy"].detach().flatten(),
    "forces": found["forces"].detach().contiguous(),
    "stress": found["stress"].detach()[0].contiguous(),
}
save_file(weights | results, Path(__file__).with_name("nequip.safetensors"))
