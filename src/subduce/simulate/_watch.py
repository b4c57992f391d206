"""When a simulation has left the world that its potential knows: what to look at, and how to say it."""

import numpy as np
from ase import Atoms
from ase.data import covalent_radii
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from ..data import graph_from_structure, neighbor_list, structure_from_atoms

_BONDED, _BROKEN = 1.5, 2.0  # in sums of covalent radii; a C–H bond of 1.09 Å stands at 1.02
_TOO_HOT = 10.0, 1000.0  # times the first temperature, plus kelvins
_OVERLAP = 0.5  # Å; neighbours beyond are not searched for overlaps


class Watch:
    """Looks after one simulation; each look returns what is wrong, or nothing.

    Atoms fly apart when what was bonded at the start falls into more pieces. Bonds may form, break
    and move from one atom to another: only the number of pieces counts, with bonds broken at twice
    the sum of covalent radii, so that a proton in flight is not an alarm.
    """

    def __init__(self, atoms: Atoms, temperature: float) -> None:
        self._pieces = _count_pieces(atoms, _BONDED)
        factor, offset = _TOO_HOT
        self._hottest = factor * temperature + offset

    def motion(self, energy: float, forces: np.ndarray, temperature: float) -> str | None:
        """A look at numbers that every step has: cheap."""
        if not (np.isfinite(energy) and np.isfinite(forces).all()):
            return "the energy or a force is no longer finite"
        if temperature > self._hottest:
            return f"the temperature reached {temperature:.0f} K, past the limit of {self._hottest:.0f} K"
        return None

    def bonds(self, atoms: Atoms) -> str | None:
        """A look at the bond network: as dear as a neighbour list."""
        pieces = _count_pieces(atoms, _BROKEN)
        if pieces > self._pieces:
            return f"atoms flew apart: {self._pieces} bonded {_piece(self._pieces)} became {pieces}"
        return None


def refuse_bad_geometry(atoms: Atoms) -> None:
    """Raise `InputError` for no atoms, two on top of each other, or a periodic cell without volume."""
    bare = Atoms(numbers=atoms.numbers, positions=atoms.positions, cell=atoms.cell, pbc=atoms.pbc)
    graph_from_structure(structure_from_atoms(bare), _OVERLAP)


def _count_pieces(atoms: Atoms, stretch: float) -> int:
    """How many pieces remain when atoms are joined up to `stretch` sums of covalent radii."""
    radii = covalent_radii[atoms.numbers]
    sender, receiver, shifts = neighbor_list(
        atoms.positions, atoms.cell.array, atoms.pbc, 2 * stretch * float(radii.max(initial=0.1))
    )
    vectors = atoms.positions[sender] - atoms.positions[receiver] + shifts @ atoms.cell.array
    joined = np.linalg.norm(vectors, axis=1) < stretch * (radii[sender] + radii[receiver])
    pairs = sender[joined], receiver[joined]
    network = coo_array((np.ones(joined.sum(), dtype=np.int8), pairs), shape=(len(atoms), len(atoms)))
    return int(connected_components(network, directed=False)[0])


def _piece(count: int) -> str:
    return "piece" if count == 1 else "pieces"
