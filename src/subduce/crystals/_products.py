"""Products of a space group's operations, with the lattice translations that they leave over."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from ._space_group import SpaceGroup


@dataclass(frozen=True, eq=False)
class Products:
    """table[g, h], cells[g, h]: g·h is the operation of this place followed by this lattice translation.

    `orthogonal` holds the rotations in the standard Cartesian frame, a along x and b in the plane of x and y, however
    the structure lies in space: so names and bases that are read off them do not depend on that.
    """

    rotations: Int[np.ndarray, "order 3 3"]
    orthogonal: Float[np.ndarray, "order 3 3"]
    table: Int[np.ndarray, "order order"]
    cells: Int[np.ndarray, "order order 3"]

    @classmethod
    def of(cls, group: SpaceGroup) -> "Products":
        """The products of a group's operations; raises `ValueError` where they are not closed."""
        rotations, translations = group.rotations, group.translations
        order, largest = len(rotations), int(np.abs(rotations).max())
        weights = (2 * largest + 1) ** np.arange(9, dtype=np.int64)
        codes = rotations.reshape(order, 9) @ weights
        places = np.argsort(codes)
        wanted = (rotations[:, None] @ rotations).reshape(order, order, 9) @ weights
        table = places[np.minimum(np.searchsorted(codes[places], wanted), order - 1)]
        moved = np.einsum("gij,hj->ghi", rotations, translations) + translations[:, None] - translations[table]
        cells = np.rint(moved).astype(int)
        closed = (codes[table] == wanted).all() and np.abs(moved - cells).max() < 1e-3
        if not closed or (table[0] != np.arange(order)).any() or cells[0].any():
            raise ValueError("the operations are not closed up to lattice translations, with the identity first")
        return cls(rotations, _standard_frame(group), table, cells)

    @property
    def inverse(self) -> Int[np.ndarray, " order"]:
        """The operation that undoes each, up to a lattice translation."""
        return np.argmax(self.table == 0, axis=1)

    def carried(
        self, left: np.ndarray | int, middle: np.ndarray | int, right: np.ndarray | int
    ) -> tuple[np.ndarray, np.ndarray]:
        """left⁻¹ · middle · right, as operations followed by lattice translations."""
        back, end = self.inverse[left], self.table[middle, right]
        turned = np.einsum("...ij,...j->...i", self.rotations[back], self.cells[middle, right])
        return self.table[back, end], turned + self.cells[back, end] - self.cells[back, left]


def _standard_frame(group: SpaceGroup) -> np.ndarray:
    """The rotations as orthogonal matrices in the standard Cartesian frame."""
    to_primitive = np.linalg.inv(group.to_standard[0])
    rotations = np.rint(group.to_standard[0] @ group.rotations @ to_primitive)
    lattice = to_primitive.T @ group.lattice
    metric = np.mean(rotations.swapaxes(1, 2) @ (lattice @ lattice.T) @ rotations, axis=0)
    frame = np.linalg.cholesky(metric).T  # columns are the lattice vectors
    turned = frame @ rotations @ np.linalg.inv(frame)
    return np.where(np.abs(turned - np.rint(turned)) < 1e-9, np.rint(turned) + 0.0, turned)
