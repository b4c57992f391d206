"""Neighbour lists: any cell, any mix of boundary conditions, with or without a skin."""

import numpy as np
import numpy.typing as npt
import torch
from vesin import NeighborList

from ._graph import Graph


def neighbor_list(
    positions: npt.ArrayLike, cell: npt.ArrayLike, pbc: npt.ArrayLike, cutoff: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """All directed edges shorter than `cutoff` (Å): `sender [edges]`, `receiver [edges]`, `shifts [edges, 3]`.

    The vector of an edge is positions[sender] + shifts @ cell − positions[receiver]. Edges are sorted
    by receiver. The cell may be skewed, left-handed or smaller than the cutoff, atoms may lie outside
    of it; lattice vectors along directions that do not repeat may be zero, and their shifts are zero.
    An atom is a neighbour of its own images, never of itself.

    Raises `ValueError` where the vectors that repeat span no volume or the positions are not finite.

    >>> sender, receiver, shifts = neighbor_list([[0.0, 0.0, 0.0]], np.diag([2.0, 0.0, 0.0]), [True, False, False], 2.5)
    >>> sender.tolist(), receiver.tolist(), shifts[:, 0].tolist()
    ([0, 0], [0, 0], [-1, 1])
    """
    positions = np.ascontiguousarray(positions, dtype=np.float64).reshape(-1, 3)
    if not np.isfinite(positions).all():
        raise ValueError("positions are not finite, so they have no neighbours; look for atoms that flew apart")
    if not (cutoff > 0 and np.isfinite(cutoff)):
        raise ValueError(f"the cutoff must be a positive length in Å, got {cutoff}")
    pbc = np.asarray(pbc, dtype=bool)
    if len(positions) == 0:
        return np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros((0, 3), np.int64)
    finder = NeighborList(cutoff=cutoff, full_list=True, sorted=True, n_threads=1)
    receiver, sender, shifts = finder.compute(
        positions, complete_cell(np.asarray(cell, dtype=np.float64), pbc), pbc, "ijS", copy=False
    )
    order = _within_receivers(sender, receiver, shifts)
    return sender[order].astype(np.int64), receiver[order].astype(np.int64), shifts[order].astype(np.int64)


def complete_cell(cell: np.ndarray, pbc: np.ndarray) -> np.ndarray:
    """The cell with its vectors along directions that do not repeat exchanged for unit vectors across the others.

    Edges do not depend on those vectors, but searching for edges needs a cell with a volume.
    Raises `ValueError` where the vectors that repeat are zero, parallel or in one plane.
    """
    if not pbc.any():
        return np.eye(3)
    if pbc.all():
        full = cell
    else:
        _, _, across = np.linalg.svd(cell[pbc])
        full = cell.copy()
        full[~pbc] = across[pbc.sum() :]
    lengths = np.linalg.norm(full, axis=1)
    if not lengths.min() > 0 or not abs(np.linalg.det(full)) > 1e-6 * lengths.prod():
        raise ValueError(
            f"the structure repeats along {pbc.sum()} lattice vectors, but the cell {cell.tolist()} has no volume there; "
            "give the lattice vectors, or set pbc to false"
        )
    return full


class SkinList:
    """Graphs of one moving structure; edges are searched anew only when an atom has moved half the skin.

    Edges between `cutoff` and `cutoff + skin` (Å) stay in the graph: a potential is zero there.
    """

    def __init__(self, cutoff: float, skin: float = 0.5) -> None:
        if skin < 0:
            raise ValueError(f"the skin must not be negative (Å), got {skin}")
        self.cutoff, self.skin = cutoff, skin
        self.searches = 0
        self._last: Graph | None = None

    def graph(
        self, atomic_numbers: npt.ArrayLike, positions: npt.ArrayLike, cell: npt.ArrayLike, pbc: npt.ArrayLike
    ) -> Graph:
        """The structure as a graph on the CPU, with the last edges where they still hold every neighbour."""
        numbers = torch.tensor(np.asarray(atomic_numbers), dtype=torch.int64)
        place = torch.tensor(np.asarray(positions), dtype=torch.float64)
        lattice = torch.tensor(np.asarray(cell), dtype=torch.float64)[None]
        periodic = torch.tensor(np.asarray(pbc), dtype=torch.bool)[None]
        if self._last is None or not self._holds(numbers, place, lattice, periodic):
            self.searches += 1
            edges = neighbor_list(positions, cell, pbc, self.cutoff + self.skin)
            self._last = _graph(numbers, place, lattice, periodic, edges)
        return self._last.replace(positions=place)

    def _holds(
        self, numbers: torch.Tensor, place: torch.Tensor, lattice: torch.Tensor, periodic: torch.Tensor
    ) -> bool:
        last = self._last
        if not (torch.equal(numbers, last.atomic_numbers) and torch.equal(periodic, last.pbc)):
            return False
        # Under a new cell every distance scales, so only the same cell keeps its edges.
        if not torch.equal(lattice, last.cell):
            return False
        moved = (place - last.positions).square().sum(-1)
        return bool((moved <= (self.skin / 2) ** 2).all())


def _graph(
    numbers: torch.Tensor,
    positions: torch.Tensor,
    cell: torch.Tensor,
    pbc: torch.Tensor,
    edges: tuple[np.ndarray, np.ndarray, np.ndarray],
) -> Graph:
    sender, receiver, shifts = edges
    return Graph(
        atomic_numbers=numbers,
        positions=positions,
        cell=cell,
        pbc=pbc,
        structure=torch.zeros(len(numbers), dtype=torch.int64),
        sender=torch.from_numpy(sender),
        receiver=torch.from_numpy(receiver),
        shifts=torch.from_numpy(shifts.astype(np.float64)),
    )


def _within_receivers(sender: np.ndarray, receiver: np.ndarray, shifts: np.ndarray) -> np.ndarray:
    """One fixed order of the edges, whatever order the search found them in."""
    return np.lexsort((shifts[:, 2], shifts[:, 1], shifts[:, 0], sender, receiver))
