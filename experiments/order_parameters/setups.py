"""What the network is given: points and crystals of high symmetry, displacements that lower it, and their groups."""

from dataclasses import dataclass

import numpy as np
import spglib
import torch
from ase import Atoms

from subduce.data import SkinList
from subduce.groups import SiteSymmetry, isotropy_of_points, point_group
from subduce.models import Modulation
from subduce.o3 import spherical_harmonics

SIGNAL = "0e+1o+2e+3o+4e+5o"
SQUARE = np.array([[0.5, 0.5, 0.0], [-0.5, 0.5, 0.0], [-0.5, -0.5, 0.0], [0.5, -0.5, 0.0]])
STRETCH = np.array([0.5, 1.5, 1.0])  # of the square to the rectangle
OCTAHEDRON = 0.5 * np.eye(3)  # from B at the origin to the three X of its cell, in units of the cubic cell
OLD = 4.05596  # Å, of the paper's cubic cell

# The paper's Pnma structure (ICSD 16688) with A in place: fractions of the cell √2 × √2 × 2; parent and child.
A = [[0, 0, 0.25], [0.5, 0.5, 0.25], [0.5, 0.5, 0.75], [0, 0, 0.75]]
B = [[0, 0.5, 0], [0.5, 0, 0], [0.5, 0, 0.5], [0, 0.5, 0.5]]
X = [
    [0.25, 0.75, 0], [0.75, 0.25, 0], [0.75, 0.25, 0.5], [0.25, 0.75, 0.5], [0.75, 0.75, 0], [0.25, 0.25, 0],
    [0.25, 0.25, 0.5], [0.75, 0.75, 0.5], [0, 0.5, 0.25], [0.5, 0, 0.25], [0.5, 0, 0.75], [0, 0.5, 0.75],
]  # fmt: skip
TILTED = [
    [0.268, 0.732, 0.026], [0.732, 0.268, 0.974], [0.732, 0.268, 0.526], [0.268, 0.732, 0.474],
    [0.768, 0.768, 0.974], [0.232, 0.232, 0.026], [0.232, 0.232, 0.474], [0.768, 0.768, 0.526],
    [0.963, 0.518, 0.25], [0.537, 0.018, 0.25], [0.463, 0.982, 0.75], [0.037, 0.482, 0.75],
]  # fmt: skip

# Howard and Stokes' 15 tilt systems: in-phase tilts about x, y, z (M), out-of-phase ones (R), space group.
TILTS = {
    "a0a0a0": ((0, 0, 0), (0, 0, 0), 221), "a0a0c+": ((0, 0, 3), (0, 0, 0), 127),
    "a0b+b+": ((0, 2, 2), (0, 0, 0), 139), "a+a+a+": ((1, 1, 1), (0, 0, 0), 204),
    "a+b+c+": ((1, 2, 3), (0, 0, 0), 71), "a0a0c-": ((0, 0, 0), (0, 0, 3), 140),
    "a0b-b-": ((0, 0, 0), (0, 2, 2), 74), "a-a-a-": ((0, 0, 0), (1, 1, 1), 167),
    "a0b-c-": ((0, 0, 0), (0, 2, 3), 12), "a-b-b-": ((0, 0, 0), (1, 2, 2), 15),
    "a-b-c-": ((0, 0, 0), (1, 2, 3), 2), "a0b+c-": ((0, 2, 0), (0, 0, 3), 63),
    "a+b-b-": ((1, 0, 0), (0, 2, 2), 62), "a+b-c-": ((1, 0, 0), (0, 2, 3), 11),
    "a+a+c-": ((1, 1, 0), (0, 0, 3), 137),
}  # fmt: skip
SIZES = {0: 0.0, 1: 0.11, 2: 0.17, 3: 0.23}  # Å that a tilt moves the anions
POLAR = {"P4mm": ((0, 0, 1), 99), "Amm2": ((0, 1, 1), 38), "R3m": ((1, 1, 1), 160)}
R, M = (0.5, 0.5, 0.5), {"Mx": (0, 0.5, 0.5), "My": (0.5, 0, 0.5), "Mz": (0.5, 0.5, 0)}


@dataclass(frozen=True)
class Setup:
    """Sites, the target at each, the group of the sites, and where inputs may stand."""

    atoms: Atoms
    target: np.ndarray
    symmetry: SiteSymmetry
    modulation: Modulation
    weights: dict | None = None  # characters, where the group's irreps have names

    def graph(self, r_max):
        """The sites with their edges."""
        return SkinList(r_max).graph(self.atoms.numbers, self.atoms.positions, self.atoms.cell.array, self.atoms.pbc)

    def space_group(self, displacements):
        """Its number after the sites have moved."""
        cell, moved = self.atoms.cell.array, self.atoms.positions + displacements
        return spglib.get_symmetry_dataset((cell, moved @ np.linalg.inv(cell), self.atoms.numbers), symprec=1e-3).number


def points(source, target):
    """From a square to a rectangle, or back: a peak towards the new place, of its distance's height, at every point."""
    start, end = (SQUARE * (STRETCH if name == "rectangle" else 1.0) for name in (source, target))
    apart = np.linalg.norm(end - start, axis=1, keepdims=True)
    peak = spherical_harmonics(range(6), torch.from_numpy(end - start)).numpy() * (4 * np.pi) ** 0.5 / 36
    group = isotropy_of_points(point_group("D4h"), start).group
    return Setup(
        Atoms("H4", start), apart * peak, SiteSymmetry.of_points(group, start), Modulation.shared(4), characters(group)
    )


def characters(group):
    """By irrep, what projects on it."""
    return {irrep.name: irrep.dim / irrep.commutant * irrep.character for irrep in group.irreps}


def tilted(inputs):
    """The paper's parent and child; inputs on B, or at the waves that fit the cell."""
    cell = OLD * np.array([[1.0, 1.0, 0.0], [-1.0, 1.0, 0.0], [0.0, 0.0, 2.0]])
    ideal = np.array(A + B + X)
    moved = np.array(A + B + TILTED) - ideal
    atoms = Atoms("Ca4Ti4O12", ideal @ cell, cell=cell, pbc=True)
    on_b = range(4, 8)
    waves = {"R": R, "M": M["Mz"]} if inputs == "waves" else {"R": R}
    from_b = (atoms.positions - atoms.positions[4]) / OLD
    where = Modulation.on(20, on_b) if inputs == "sites" else Modulation.waves(from_b, waves, on_b)
    return Setup(atoms, (moved - np.rint(moved)) @ cell, symmetry_of(atoms), where)


def symmetry_of(atoms):
    """All operations of the space group on the sites of a cell."""
    cell = atoms.cell.array, atoms.get_scaled_positions(), atoms.numbers
    found = spglib.get_symmetry_dataset(cell, symprec=1e-4)
    return SiteSymmetry.of_cell(cell[0], cell[1], found.rotations, found.translations)


def tilt_system(name, length=4.0):
    """One of Howard and Stokes' systems in the cell 2 × 2 × 2: every B turns, and X moves by the tilt × its bond."""
    in_phase, out, _ = TILTS[name]
    m, r = (np.array([SIZES[size] for size in sizes]) for sizes in (in_phase, out))
    cells = np.array(list(np.ndindex(2, 2, 2)))
    sign = (-1.0) ** cells
    turns = m * np.stack([sign[:, 1] * sign[:, 2], sign[:, 0] * sign[:, 2], sign[:, 0] * sign[:, 1]], axis=1)
    turns = turns + r * sign.prod(axis=1)[:, None]
    anions = (cells[:, None] + OCTAHEDRON).reshape(-1, 3)
    moved = np.cross(turns[:, None], np.eye(3)).reshape(-1, 3)
    places = np.concatenate([cells + 0.5, cells, anions])
    atoms = Atoms("Ca8Ti8O24", length * places, cell=[2 * length] * 3, pbc=True)
    waves = Modulation.waves(places, {"R": R, **M}, range(8, 16))
    return Setup(atoms, np.concatenate([np.zeros((16, 3)), moved]), symmetry_of(atoms), waves)


def polar(name, length=4.00768):
    """A phase of BaTiO3: Ti moves along a direction and O against it."""
    along = np.array(POLAR[name][0], dtype=np.float64)
    places = np.concatenate([[[0.5] * 3, [0.0] * 3], OCTAHEDRON])
    atoms = Atoms("BaTiO3", length * places, cell=[length] * 3, pbc=True)
    target, group = np.concatenate([[0 * along], [0.1 * along], [-0.05 * along] * 3]), point_group("Oh")
    whole = np.rint(group.matrices).astype(int)
    symmetry = SiteSymmetry.of_cell(atoms.cell.array, places, whole, np.zeros((48, 3)))
    return Setup(atoms, target, symmetry, Modulation.on(5, [1]), characters(group))
