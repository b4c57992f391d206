"""What an equivariant model lacks to reach a target of lower symmetry: gradients by inputs that are zero, by irrep.

A model f(g x, g v) = g f(x, v) with an invariant loss has, at v = 0, a gradient by v that every operation keeps which
keeps both x and the target: its irreps name the order parameter (Smidt, Geiger, Miller 2021, arXiv:2007.02005).
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from scipy.sparse.csgraph import connected_components
from torch import Tensor
from torch.nn.functional import mse_loss

from ..data import Graph
from ..groups import SiteSymmetry, invariant_basis
from ..models import EuclideanNetwork, Modulation
from ..o3 import Irreps

Loss = Callable[[Tensor, Tensor], Tensor]


@dataclass(frozen=True, eq=False)
class Block:
    """Inputs that turn among themselves: an irrep of O(3) on sites or waves that the symmetry makes one.

    `where` are their places in the flat amplitudes; `symmetric` and `allowed` the projectors on what all operations of
    the input keep, and on what those keep which keep the target too; `basis` spans the second without the first: what
    may break the symmetry to just that of the target. `moves` and `turns` are the operations on places and components.
    """

    name: str
    degree: int
    where: np.ndarray
    symmetric: Float[np.ndarray, "n n"]
    allowed: Float[np.ndarray, "n n"]
    basis: Float[np.ndarray, "n free"]
    moves: Float[np.ndarray, "order p p"]
    turns: Float[np.ndarray, "order d d"]

    def parts(
        self, vector: Float[np.ndarray, " n"], weights: Mapping[str, Float[np.ndarray, " order"]]
    ) -> dict[str, float]:
        """The length of a vector's part in each irrep of the group."""
        images = self.moves @ vector.reshape(self.moves.shape[1], -1) @ self.turns.transpose(0, 2, 1)
        return {name: _length(np.tensordot(weight, images, 1)) / len(images) for name, weight in weights.items()}


@dataclass(frozen=True, eq=False)
class MissingInputs:
    """Inputs of a network that are zero, and what of them may differ from zero for a target; see `missing_inputs`."""

    irreps: str
    modulation: Modulation
    symmetry: SiteSymmetry
    kept: SiteSymmetry
    weights: Mapping[str, Float[np.ndarray, " order"]]
    blocks: tuple[Block, ...]

    @property
    def shape(self) -> tuple[int, int]:
        """Of the amplitudes: places, components."""
        return self.modulation.matrix.shape[1], Irreps(self.irreps).dim

    def field(self, amplitudes: Float[np.ndarray, "places dim"]) -> Float[np.ndarray, "sites dim"]:
        """The inputs at every site."""
        return self.modulation.matrix @ amplitudes

    def dimensions(self) -> dict[str, int]:
        """How many free amplitudes of each block may break the symmetry."""
        return {block.name: block.basis.shape[1] for block in self.blocks}


def missing_inputs(
    symmetry: SiteSymmetry,
    kept: SiteSymmetry,
    irreps: str,
    modulation: Modulation,
    *,
    weights: Mapping[str, Float[np.ndarray, " order"]] | None = None,
) -> MissingInputs:
    """Which inputs, irreps of O(3) spread by `modulation`, may break `symmetry` down to `kept`.

    `kept` are the operations of `symmetry` that keep the target (`SiteSymmetry.keeping`). `weights` name the irreps of
    `symmetry`'s group, each by its character on the operations times its dimension over that of its commutant; with
    them the gradient is told by those names too. Raises `ValueError` for sites or waves that do not map to themselves.
    """
    large, small = symmetry.induced(modulation.matrix), kept.induced(modulation.matrix)
    orbits = connected_components(np.abs(large).max(axis=0) > 1e-9)[1]
    places, dim = np.arange(large.shape[1] * Irreps(irreps).dim).reshape(large.shape[1], -1), Irreps(irreps)
    blocks = []
    for term, span in zip(dim, dim.slices(), strict=True):
        turns, fewer = symmetry.matrices(str(term)), kept.matrices(str(term))
        for orbit in range(orbits.max() + 1):
            here = np.flatnonzero(orbits == orbit)
            moves = large[:, here][:, :, here]
            symmetric, allowed = _mean(moves, turns), _mean(small[:, here][:, :, here], fewer)
            basis = invariant_basis((allowed - symmetric)[None])
            names = [modulation.names[place] for place in here]
            at = "" if orbits.max() == 0 else " at " + (", ".join(names) if len(names) < 4 else f"{names[0]} …")
            where = places[here, span].ravel()
            blocks.append(Block(f"{term.ir}{at}", term.ir.l, where, symmetric, allowed, basis, moves, turns))
    return MissingInputs(irreps, modulation, symmetry, kept, weights or {}, tuple(blocks))


def _mean(moves: Float[np.ndarray, "order p p"], turns: Float[np.ndarray, "order d d"]) -> Float[np.ndarray, "n n"]:
    """The mean of the operations on all components at all places: the projector on what they keep."""
    mean = np.tensordot(moves, turns, axes=(0, 0)) / len(moves)  # [p, q, i, j]
    return mean.transpose(0, 2, 1, 3).reshape(moves.shape[1] * turns.shape[1], -1)


@dataclass(frozen=True)
class BlockGradient:
    """The length of a block's gradient at zero: what breaks the symmetry, what keeps it, what theory forbids."""

    name: str
    dimension: int
    breaking: float
    symmetric: float
    forbidden: float
    parts: dict[str, float]  # by irreps of the group, where these are known


@dataclass(frozen=True)
class MissingGradient:
    """The gradient by the missing inputs, block by block; `forbidden_max` is a check, zero but for round-off."""

    blocks: tuple[BlockGradient, ...]
    forbidden_max: float  # the largest forbidden component over the largest of all
    gradient: Float[np.ndarray, "places dim"]

    @property
    def parts(self) -> dict[str, float]:
        """The length of the whole gradient in each irrep of the group."""
        names = self.blocks[0].parts if self.blocks else {}
        return {name: float(np.linalg.norm([block.parts[name] for block in self.blocks])) for name in names}


def missing_gradient(
    network: EuclideanNetwork,
    graph: Graph,
    target: Float[np.ndarray, "sites dim_out"],
    missing: MissingInputs,
    *,
    loss: Loss = mse_loss,
) -> MissingGradient:
    """The gradient of the loss by inputs that are zero: the order parameter that a network misses, for any weights.

    `loss` must not change under the operations. What `symmetric` says vanishes where the network is at its optimum.
    """
    amplitudes = torch.zeros(missing.shape, dtype=torch.float64, requires_grad=True)
    spread = torch.from_numpy(missing.modulation.matrix)
    value = loss(network(graph, spread @ amplitudes), torch.from_numpy(target))
    gradient = torch.autograd.grad(value, amplitudes)[0].numpy()
    flat, found, stray = gradient.ravel(), [], 0.0
    for block in missing.blocks:
        mine = flat[block.where]
        forbidden = mine - block.allowed @ mine
        stray = max(stray, float(np.abs(forbidden).max(initial=0.0)))
        breaking, symmetric = _length(block.basis.T @ mine), _length(block.symmetric @ mine)
        parts, free = block.parts(mine, missing.weights), block.basis.shape[1]
        found.append(BlockGradient(block.name, free, breaking, symmetric, _length(forbidden), parts))
    return MissingGradient(tuple(found), stray / max(float(np.abs(flat).max()), np.finfo(float).tiny), gradient)


def _length(vector: np.ndarray) -> float:
    return float(np.linalg.norm(vector))


def plateau(
    symmetry: SiteSymmetry, target: Float[np.ndarray, "sites dim_out"], irreps: str, *, loss: Loss = mse_loss
) -> float:
    """The least squared error that a model of this symmetry can have: that of the mean of the target's images."""
    return float(loss(torch.from_numpy(symmetry.average(target, irreps)), torch.from_numpy(target)))
