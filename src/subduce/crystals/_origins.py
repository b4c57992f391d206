"""Other origins from which a space group looks the same, and from which its irreps may have other labels."""

from itertools import product

import numpy as np
from jaxtyping import Float

from ._space_group import SpaceGroup

_PARTS = 12  # special positions lie on twelfths of the primitive cell


def equivalent_origins(group: SpaceGroup) -> Float[np.ndarray, "origins 3"]:
    """The shifts of the origin, fractional in the lattice and not zero, after which all operations look the same.

    Of polar groups, whose origin is free along an axis or more, there is no list: none.
    """
    moves = group.rotations - np.eye(3, dtype=np.int64)
    if np.linalg.matrix_rank(moves.reshape(-1, 3)) < 3:
        return np.zeros((0, 3))
    shifts = np.array(list(product(range(_PARTS), repeat=3)))[1:]
    same = ((moves @ shifts.T) % _PARTS == 0).all(axis=(0, 1))
    return shifts[same] / _PARTS
