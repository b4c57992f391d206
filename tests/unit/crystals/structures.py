"""Parents and children with known answers, and the many ways in which a file may present one crystal."""

import ase
import numpy as np
from ase.build import make_supercell

LETTERS = {"a": 0.11, "b": 0.17, "c": 0.23}  # Å, the movement of an anion by each tilt
GLAZER = {  # space group and formula units in the primitive cell
    "a+b+c+": (71, 4), "a+b+b+": (71, 4), "a+a+a+": (204, 4), "a+b+c-": (59, 8), "a+a+c-": (137, 8),
    "a+b+b-": (59, 8), "a+a+a-": (137, 8), "a+b-c-": (11, 4), "a+a-c-": (11, 4), "a+b-b-": (62, 4),
    "a+a-a-": (62, 4), "a-b-c-": (2, 2), "a-b-b-": (15, 2), "a-a-a-": (167, 2), "a0b+c+": (71, 4),
    "a0b+b+": (139, 4), "a0b+c-": (63, 4), "a0b+b-": (63, 4), "a0b-c-": (12, 2), "a0b-b-": (74, 2),
    "a0a0c+": (127, 2), "a0a0c-": (140, 2), "a0a0a0": (221, 1),
}  # fmt: skip


def perovskite(a=4.0, shift=(0, 0, 0)):
    """Ti at the origin, O between, Ba in the middle."""
    places = np.array([[0.5, 0.5, 0.5], [0, 0, 0], [0.5, 0, 0], [0, 0.5, 0], [0, 0, 0.5]]) + shift
    return ase.Atoms("BaTiO3", scaled_positions=places, cell=np.eye(3) * a, pbc=True)


def tilts(system):
    """Amplitudes of a Glazer system in Å along x, y, z: out of phase, in phase."""
    tilt = [(system[2 * axis], system[2 * axis + 1]) for axis in range(3)]
    return tuple(np.array([LETTERS[letter] if sign == kind else 0.0 for letter, sign in tilt]) for kind in "-+")


def glazer(system, a=4.0):
    """A perovskite of 2 × 2 × 2 cells whose octahedra are tilted, linear in the angles."""
    out_of_phase, in_phase = tilts(system)
    atoms = perovskite(a).repeat(2)
    for n in np.ndindex(2, 2, 2):
        turn = in_phase * (-1.0) ** (sum(n) - np.array(n)) + out_of_phase * (-1.0) ** sum(n)
        for axis in np.eye(3):
            anion = np.flatnonzero(np.abs(atoms.positions - (n + axis / 2) * a).max(axis=1) < 0.3)
            atoms.positions[anion] += np.cross(turn, axis)
    return atoms


def presented(atoms, generator, *, noise=0.0, cells=2):
    """The same crystal in another frame, cell (up to so many times as large), order and origin; left-handed cells too.

    Moments turn as axial vectors do.
    """
    while True:
        cell = generator.integers(-2, 3, (3, 3))
        if 1 <= round(np.linalg.det(cell)) <= cells:
            break
    atoms = make_supercell(atoms, cell)
    atoms.positions += noise * generator.standard_normal(atoms.positions.shape) + generator.uniform(-9, 9, 3)
    turn = np.linalg.qr(generator.standard_normal((3, 3)))[0] * generator.choice([-1, 1])
    atoms = atoms[generator.permutation(len(atoms))]
    atoms.set_cell(atoms.cell.array @ turn.T)
    atoms.positions = atoms.positions @ turn.T
    moments = atoms.get_initial_magnetic_moments()
    if moments.ndim == 2:
        atoms.set_initial_magnetic_moments(np.linalg.det(turn) * moments @ turn.T)
    if generator.random() < 0.5:
        atoms.wrap()
    return atoms


def norms(found):
    """What no presentation changes of a match: the lengths of the displacements on each orbit of the parent, sorted."""
    lengths = np.linalg.norm(found.displacements, axis=1)
    return lengths[np.lexsort((lengths, found.numbers))]
