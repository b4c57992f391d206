"""Space groups in their standard setting, straight from spglib's tables."""

import numpy as np
import spglib

from subduce.crystals import SpaceGroup

CENTRING = {
    "P": [],
    "A": [[0, 1 / 2, 1 / 2]],
    "C": [[1 / 2, 1 / 2, 0]],
    "I": [[1 / 2, 1 / 2, 1 / 2]],
    "F": [[0, 1 / 2, 1 / 2], [1 / 2, 0, 1 / 2]],
    "R": [[2 / 3, 1 / 3, 1 / 3], [1 / 3, 2 / 3, 2 / 3]],
}
BASES = {  # primitive vectors as columns
    "P": np.eye(3),
    "A": np.array([[1, 0, 0], [0, 1 / 2, -1 / 2], [0, 1 / 2, 1 / 2]]),
    "C": np.array([[1 / 2, 1 / 2, 0], [-1 / 2, 1 / 2, 0], [0, 0, 1]]),
    "I": np.array([[-1, 1, 1], [1, -1, 1], [1, 1, -1]]) / 2,
    "F": np.array([[0, 1, 1], [1, 0, 1], [1, 1, 0]]) / 2,
    "R": np.array([[2, -1, -1], [1, 1, -2], [1, 1, 1]]) / 3,
}


def standard_group(number: int) -> SpaceGroup:
    """A space group on a lattice without more symmetry than it needs."""
    kinds = {hall: spglib.get_spacegroup_type(hall) for hall in range(1, 531)}
    halls = [hall for hall, kind in kinds.items() if kind.number == number]
    hall = next((hall for hall in halls if kinds[hall].choice == "2"), halls[0])
    symbol = kinds[hall].international_short
    table = spglib.get_symmetry_from_database(hall)
    basis = BASES[symbol[0]]
    inverse = np.linalg.inv(basis)
    rotations = np.rint(inverse @ table["rotations"] @ basis).astype(int)
    kept = np.sort(np.unique(rotations.reshape(-1, 9), axis=0, return_index=True)[1])
    translations = (table["translations"][kept] @ inverse.T + 1e-9) % 1 - 1e-9
    metric = np.array([[5.1, 0.3, -0.4], [0.3, 6.2, 0.5], [-0.4, 0.5, 9.7]])
    metric = np.mean(rotations[kept].swapaxes(1, 2) @ metric @ rotations[kept], axis=0)
    metric = inverse.T @ metric @ inverse  # of the conventional cell
    conventional = np.linalg.cholesky(metric)  # rows, a along x
    return SpaceGroup(basis.T @ conventional, rotations[kept], translations, number, symbol, (basis, np.zeros(3)))
