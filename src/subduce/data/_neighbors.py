"""Neighbour lists: any cell, any mix of boundary conditions, with or without a skin."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from vesin import NeighborList

from ._graph import Graph

_FEW = 50  # atoms of a molecule for which looking at all pairs takes less time than setting up a search


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
        atom = int(np.flatnonzero(~np.isfinite(positions).all(1))[0])
        raise ValueError(
            f"positions are not finite, so they have no neighbours: atom {atom} is at {positions[atom].tolist()}; "
            "look for atoms that flew apart"
        )
    if not (cutoff > 0 and np.isfinite(cutoff)):
        raise ValueError(f"the cutoff must be a positive length in Å, got {cutoff}")
    pbc = np.asarray(pbc, dtype=bool)
    if len(positions) == 0:
        return np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros((0, 3), np.int64)
    if not pbc.any() and len(positions) <= _FEW:
        vectors = positions[:, None] - positions
        near = np.einsum("abx,abx->ab", vectors, vectors) < cutoff**2
        np.fill_diagonal(near, False)
        receiver, sender = np.nonzero(near)
        return sender, receiver, np.zeros((len(sender), 3), np.int64)
    full = complete_cell(np.asarray(cell, dtype=np.float64), pbc)
    finder = NeighborList(cutoff=cutoff, full_list=True, sorted=True, n_threads=1)
    receiver, sender, shifts = finder.compute(positions, full, pbc, "ijS", copy=False)
    # One fixed order, whatever order the search found them in.
    order = np.lexsort((shifts[:, 2], shifts[:, 1], shifts[:, 0], sender, receiver))
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
            f"the structure repeats along {pbc.sum()} lattice vectors, but the cell {cell.tolist()} "
            "has no volume there; give the lattice vectors, or set pbc to false"
        )
    return full


class SkinList:
    """Graphs of one moving structure; edges are searched anew only when they could have become incomplete.

    Edges are kept up to `cutoff + skin` (Å) until an atom has moved half the skin, where motion that
    follows a change of the cell does not count but the shrinking of the cell does. A graph holds the
    edges below the cutoff alone, in an order that does not depend on when the search was made.
    """

    def __init__(self, cutoff: float, skin: float = 0.5) -> None:
        if skin < 0:
            raise ValueError(f"the skin must not be negative (Å), got {skin}")
        self.cutoff, self.skin = cutoff, skin
        self.searches = 0  # how many times the edges were searched
        self._last: _Search | None = None

    def graph(
        self, atomic_numbers: npt.ArrayLike, positions: npt.ArrayLike, cell: npt.ArrayLike, pbc: npt.ArrayLike
    ) -> Graph:
        """The structure as a graph on the CPU; `ValueError` where `neighbor_list` has no answer."""
        graph = self.pairs(atomic_numbers, positions, cell, pbc)
        near = graph.edge_vectors().square().sum(-1) < self.cutoff**2
        return graph.replace(sender=graph.sender[near], receiver=graph.receiver[near], shifts=graph.shifts[near])

    def pairs(
        self, atomic_numbers: npt.ArrayLike, positions: npt.ArrayLike, cell: npt.ArrayLike, pbc: npt.ArrayLike
    ) -> Graph:
        """The same with all edges that are kept, up to `cutoff + skin`; the same tensors until the next search."""
        numbers, periodic = np.array(atomic_numbers, dtype=np.int64), np.array(pbc, dtype=bool)
        place, lattice = np.array(positions, dtype=np.float64), np.array(cell, dtype=np.float64)
        if self._last is None or not self._holds(self._last, numbers, place, lattice, periodic):
            self.searches += 1
            edges = neighbor_list(place, lattice, periodic, self.cutoff + self.skin)
            graph = graph_of(numbers, place, lattice, periodic, *edges)
            self._last = _Search(numbers, place, lattice, periodic, graph)
        return self._last.graph.replace(positions=torch.from_numpy(place), cell=torch.from_numpy(lattice)[None])

    def _holds(
        self, last: "_Search", numbers: np.ndarray, place: np.ndarray, lattice: np.ndarray, periodic: np.ndarray
    ) -> bool:
        if not (np.array_equal(numbers, last.numbers) and np.array_equal(periodic, last.pbc)):
            return False
        reach, followed = self.cutoff + self.skin, last.positions
        if periodic.any() and not np.array_equal(lattice, last.cell):
            deform = np.linalg.solve(complete_cell(last.cell, periodic), complete_cell(lattice, periodic))
            followed = followed @ deform
            # A pair that was out of reach comes no nearer than the strongest compression brings it.
            reach *= np.linalg.svd(deform, compute_uv=False).min()
        moved = np.square(place - followed).sum(axis=1).max(initial=0.0) ** 0.5
        return bool(reach - 2 * moved >= self.cutoff)


@dataclass(frozen=True)
class _Search:
    """A structure as it was when its edges were searched, and these."""

    numbers: np.ndarray
    positions: np.ndarray
    cell: np.ndarray
    pbc: np.ndarray
    graph: Graph


def graph_of(
    numbers: np.ndarray,
    positions: np.ndarray,
    cell: np.ndarray,
    pbc: np.ndarray,
    sender: np.ndarray,
    receiver: np.ndarray,
    shifts: np.ndarray,
    charge: float = 0.0,
) -> Graph:
    """One structure and its edges as tensors; arrays of the right type are shared, not copied."""
    return Graph(
        atomic_numbers=torch.from_numpy(numbers),
        positions=torch.from_numpy(positions),
        cell=torch.from_numpy(cell)[None],
        pbc=torch.from_numpy(pbc)[None],
        structure=torch.zeros(len(numbers), dtype=torch.int64),
        sender=torch.from_numpy(sender),
        receiver=torch.from_numpy(receiver),
        shifts=torch.from_numpy(shifts.astype(np.float64)),
        charge=torch.full((1,), charge, dtype=torch.float64),
    )
