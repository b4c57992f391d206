"""Cartesian tensors with index symmetry, as irreps and back."""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

import torch
from jaxtyping import Float
from torch import Tensor

from ._irreps import Irrep, Irreps
from ._wigner import clebsch_gordan


@dataclass(frozen=True)
class CartesianTensor:
    """A tensor whose every index is a polar vector, under the index symmetry of a formula.

    The formula lists permutations of the indices with signs: `ij=ji` is a symmetric matrix (stress,
    polarizability), `ij=-ji` an antisymmetric one, `ijkl=jikl=klij` the elasticity tensor. Raises
    `ValueError` where the formula cannot be read or leaves nothing but zero.

    >>> CartesianTensor("ij=ji").irreps, CartesianTensor("ijkl=jikl=klij").irreps
    (1x0e+1x2e, 2x0e+2x2e+1x4e)
    >>> CartesianTensor("ij=ji").to_irreps(torch.eye(3))
    tensor([1.7321, 0.0000, 0.0000, 0.0000, 0.0000, 0.0000])
    """

    formula: str

    def __post_init__(self) -> None:
        if not self.irreps:
            raise ValueError(f"the symmetry {self.formula!r} leaves no tensor but zero")

    @property
    def rank(self) -> int:
        """Number of indices."""
        return self.change_of_basis.ndim - 1

    @property
    def irreps(self) -> Irreps:
        """The irreps the tensor is made of, one term each, by ascending degree."""
        return _reduce(self.formula)[0]

    @property
    def change_of_basis(self) -> Float[Tensor, "dim ..."]:
        """Orthonormal tensors `[irreps.dim, 3, …, 3]` in float64, one for each component of the irreps."""
        return _reduce(self.formula)[1].clone()

    def to_irreps(self, tensor: Float[Tensor, "..."]) -> Float[Tensor, "*batch dim"]:
        """The components of tensors `[*batch, 3, …, 3]`; what does not have the symmetry is left out."""
        basis = self.change_of_basis.to(tensor)
        if tensor.shape[max(0, tensor.ndim - self.rank) :] != basis.shape[1:]:
            raise ValueError(
                f"{self.formula!r} has {self.rank} indices of 3, got a tensor of shape {tuple(tensor.shape)}"
            )
        return tensor.flatten(-self.rank) @ basis.flatten(1).mT

    def from_irreps(self, features: Float[Tensor, "*batch dim"]) -> Float[Tensor, "..."]:
        """The tensors `[*batch, 3, …, 3]` with these components."""
        basis = self.change_of_basis.to(features)
        if features.shape[-1:] != basis.shape[:1]:
            raise ValueError(
                f"{self.formula!r} is {self.irreps} with {self.irreps.dim} components, "
                f"got features of shape {tuple(features.shape)}"
            )
        return (features @ basis.flatten(1)).unflatten(-1, basis.shape[1:])


@cache
def _reduce(formula: str) -> tuple[Irreps, Tensor]:
    """Couple the indices one by one to a complete orthonormal basis, then keep what has the symmetry.

    The projector on the symmetry commutes with rotations, so within one degree it acts on the
    couplings alone and never on the 2l + 1 components.
    """
    rank, group = _permutations(formula)
    terms, blocks = [], []
    for l, paths in sorted(_couplings(rank).items()):
        basis = torch.stack(paths)  # [paths, 3, …, 3, 2l + 1]
        images = [sign * basis.permute(0, *(1 + i for i in order), rank + 1) for order, sign in group.items()]
        projected = torch.stack(images).mean(0)
        projector = torch.einsum("pim,qim->pq", basis.flatten(1, rank), projected.flatten(1, rank)) / (2 * l + 1)
        kept = _orthonormal_rows(projector)
        if len(kept):
            terms.append((len(kept), Irrep(l, (-1) ** rank)))
            blocks.append(torch.einsum("kp,p...m->mk...", kept, basis).flatten(0, 1))
    return Irreps(terms), torch.cat(blocks) if blocks else torch.zeros(0, *[3] * rank, dtype=torch.float64)


def _couplings(rank: int) -> dict[int, list[Tensor]]:
    """By degree, every way to couple the indices from left to right, `[3, …, 3, 2l + 1]` each."""
    found = {1: [torch.eye(3, dtype=torch.float64)]}
    for _ in range(rank - 1):
        longer = defaultdict(list)
        for l, paths in sorted(found.items()):
            for higher in range(abs(l - 1), l + 2):
                coupling = clebsch_gordan(l, 1, higher) * (2 * higher + 1) ** 0.5
                longer[higher] += [torch.einsum("...m,mik->...ik", path, coupling) for path in paths]
        found = dict(longer)
    return found


def _orthonormal_rows(projector: Tensor) -> Tensor:
    """A basis of a projector's range by Gram-Schmidt in the order of its rows, hence a reproducible one."""
    kept: list[Tensor] = []
    for row in projector:
        for previous in kept:
            row = row - (row @ previous) * previous
        if row.norm() > 1e-6:
            kept.append(row / row.norm())
    return torch.stack(kept) if kept else projector[:0]


def _permutations(formula: str) -> tuple[int, dict[tuple[int, ...], int]]:
    """Number of indices, and the group of signed permutations that a formula generates."""
    (indices, first), *terms = _signed_terms(formula)
    if len(set(indices)) != len(indices) or any(sorted(term) != sorted(indices) for term, _ in terms):
        raise ValueError(
            f"expected permutations of the same distinct indices, such as 'ij=ji' or 'ijk=-jik', got {formula!r}"
        )
    generators = [(tuple(indices.index(i) for i in term), sign * first) for term, sign in terms]
    group = {tuple(range(len(indices))): 1}
    queue = list(group)
    while queue:
        element = queue.pop()
        for order, sign in generators:
            product, product_sign = tuple(element[i] for i in order), group[element] * sign
            if product not in group:
                group[product] = product_sign
                queue.append(product)
            elif group[product] != product_sign:
                return len(indices), {product: 0}  # equal to its own opposite, so zero
    return len(indices), group


def _signed_terms(formula: str) -> Iterator[tuple[str, int]]:
    for term in formula.replace(" ", "").split("="):
        sign, indices = (-1, term[1:]) if term.startswith("-") else (1, term)
        if not indices.isalpha():
            raise ValueError(f"expected a formula of indices such as 'ij=ji', got {formula!r}")
        yield indices, sign
