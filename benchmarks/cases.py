"""The structures that models are timed on: the same numbers in every environment, from fixed seeds."""

from collections.abc import Callable

import numpy as np
from ase import Atoms
from ase.build import bulk, molecule

_ASPIRIN = Atoms(
    "CCOOCCCCCCCOOHHHHHHHH",
    [
        (-3.098, 1.430, -0.330),
        (-1.678, 0.943, -0.617),
        (-0.859, 1.421, -1.425),
        (-1.468, -0.092, 0.228),
        (-0.206, -0.651, 0.257),
        (-0.110, -2.020, 0.143),
        (1.048, -2.746, 0.155),
        (2.230, -2.029, 0.167),
        (2.202, -0.652, 0.203),
        (1.023, 0.075, 0.209),
        (1.053, 1.474, 0.451),
        (0.565, 1.972, 1.453),
        (1.652, 2.185, -0.536),
        (-3.099, 2.105, 0.561),
        (-3.707, 0.566, -0.055),
        (-3.560, 2.004, -1.181),
        (-0.972, -2.586, 0.116),
        (1.022, -3.804, 0.141),
        (3.193, -2.566, 0.153),
        (3.163, -0.170, 0.174),
        (1.607, 3.141, -0.268),
    ],
)


def ethanol() -> Atoms:
    """One molecule of 9 atoms."""
    return molecule("CH3CH2OH")


def aspirin() -> Atoms:
    """One molecule of 21 atoms, from molecular dynamics at 300 K."""
    return _ASPIRIN.copy()


def water(side: int = 4, *, seed: int = 0) -> Atoms:
    """A box of side³ water molecules at 0.997 g/cm³, each turned at random on a simple cubic lattice."""
    generator = np.random.default_rng(seed)
    spacing = (18.015 / (0.997 * 0.602214)) ** (1 / 3)
    box = Atoms(cell=[side * spacing] * 3, pbc=True)
    for place in np.ndindex(side, side, side):
        one = molecule("H2O")
        q, r = np.linalg.qr(generator.normal(size=(3, 3)))
        one.positions = (one.positions - one.positions[0]) @ (q * np.sign(np.diag(r))) + spacing * np.array(place)
        box += one
    return box


def silicon(side: int, *, seed: int = 0) -> Atoms:
    """A crystal of 8 · side³ silicon atoms, displaced at random by 0.05 Å."""
    atoms = bulk("Si", "diamond", a=5.431, cubic=True).repeat(side)
    atoms.positions += np.random.default_rng(seed).normal(scale=0.05, size=atoms.positions.shape)
    return atoms


CASES: dict[str, Callable[[], Atoms]] = {
    "ethanol": ethanol,
    "aspirin": aspirin,
    "water_192": water,
    "silicon_216": lambda: silicon(3),
    "silicon_512": lambda: silicon(4),
}
"""Energies, forces and (periodic cases) stress of one structure."""

STEPS: dict[str, Callable[[], list[Atoms]]] = {
    "ethanol_x5": lambda: [ethanol()] * 5,
    "aspirin_x8": lambda: [aspirin()] * 8,
    "water_24_x2": lambda: [water(2), water(2, seed=1)],
}
"""One training step on a batch, with energies and forces in the loss."""

TYPE_NAMES = ("H", "C", "O", "Si")

SETTINGS = {
    "type_names": TYPE_NAMES,
    "r_max": 5.0,
    "num_layers": 4,
    "l_max": 2,
    "parity": True,
    "num_features": 32,
    "num_bessels": 8,
    "radial_mlp_depth": 1,
    "radial_mlp_width": 128,
    "avg_num_neighbors": 20.0,
    "per_type_energy_shifts": dict.fromkeys(TYPE_NAMES, 0.0),
    "per_type_energy_scales": dict.fromkeys(TYPE_NAMES, 1.0),
    "model_dtype": "float32",
    "seed": 0,
}
"""One network for both programs: nequip's own defaults but for the degree."""
