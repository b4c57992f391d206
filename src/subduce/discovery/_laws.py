"""The space of laws y = Bᵀφ(x) as a representation of a group, and what data say about each irrep of it."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Float

from subduce.groups import FiniteGroup, GroupIrrep, Subgroup, adapted_basis, invariant_basis

from ._moments import Moments
from ._significance import Size, Test, mean_is_zero, size_of

_DRAWS = 400
_LOST = 1e-9  # directions of the functions with less than this share of the largest are not fitted
_EXACT = 1e-20  # residuals below this share of the targets are round-off


@dataclass(frozen=True)
class Laws:
    """All linear maps from functions to targets, sorted by the irreps of a group: B → D_target(g) applied around B.

    A law that the group keeps is a vector that no element moves; what breaks it lies in the other irreps.
    """

    group: FiniteGroup
    functions: Float[np.ndarray, "order m m"]
    targets: Float[np.ndarray, "order q q"]

    @property
    def shape(self) -> tuple[int, int]:
        """Number of functions and of targets."""
        return self.functions.shape[-1], self.targets.shape[-1]

    @cached_property
    def bases(self) -> dict[str, Float[np.ndarray, "copies laws dim"]]:
        """For each irrep orthonormal laws that turn as its components do, copy after copy."""
        m, q = self.shape
        character = np.trace(self.functions, axis1=1, axis2=2) * np.trace(self.targets, axis1=1, axis2=2)

        def column(k: int) -> np.ndarray:
            i, j = divmod(k, q)
            return np.einsum("ga,gb->gab", self.functions[:, :, i], self.targets[:, :, j]).reshape(len(character), -1)

        found = {}
        for irrep in self.group.irreps:
            copies = round(float(character @ irrep.character) / self.group.order / irrep.commutant)
            found[irrep.name] = adapted_basis(irrep, column, m * q, copies)
        return found

    def part(self, irrep: GroupIrrep, directions: Float[np.ndarray, "dim k"] | None = None) -> np.ndarray:
        """Laws [laws, columns] of an irrep, or of some directions in it."""
        basis = self.bases[irrep.name]
        turned = basis if directions is None else basis @ directions
        return turned.transpose(1, 0, 2).reshape(basis.shape[1], -1)

    def split(self, kept: Subgroup) -> tuple[np.ndarray, np.ndarray]:
        """The laws that a subgroup keeps, and those orthogonal to them, as columns."""
        inside, outside = [], []
        for irrep in self.group.irreps:
            fixed = invariant_basis(irrep.matrices[list(kept.members)])
            rest = np.linalg.svd(fixed, full_matrices=True)[0][:, fixed.shape[1] :] if fixed.size else np.eye(irrep.dim)
            inside.append(self.part(irrep, fixed))
            outside.append(self.part(irrep, rest))
        return np.concatenate(inside, axis=1), np.concatenate(outside, axis=1)


class Evidence:
    """What the moments of some data say about the laws of a group: tests, estimates, sizes."""

    def __init__(
        self, laws: Laws, moments: Moments, *, seed: int = 0, whole: float | None = None, known: float = 0.0
    ) -> None:
        """Where the laws are added to a known one, `whole` is its root mean square, `known` its share."""
        self.laws, self.moments = laws, moments
        self.gram, self.cross = moments.gram.sum(axis=0), moments.cross.sum(axis=0)
        self.total, self._whole, self._known = float(moments.square.sum()), whole, known
        self.generator = np.random.default_rng(seed)

    # -- tests

    def kept(self, subgroup: Subgroup) -> Test:
        """Whether the law is one that a subgroup keeps; its free coefficients are fitted and projected out."""
        return self.score(*self.laws.split(subgroup))

    def absent(self, irrep: GroupIrrep) -> Test:
        """Whether the law has no part in an irrep, whatever its parts in all others."""
        others = [self.laws.part(other) for other in self.laws.group.irreps if other.name != irrep.name]
        return self.score(np.concatenate(others, axis=1), self.laws.part(irrep))

    def scores_of(self, irrep: GroupIrrep) -> Float[np.ndarray, "units columns"]:
        """Each unit's part in an irrep: its scores at a law without that part, as coefficients."""
        others = [self.laws.part(other) for other in self.laws.group.irreps if other.name != irrep.name]
        return self._scores(np.concatenate(others, axis=1), self.laws.part(irrep))[0]

    def beyond(self, known: np.ndarray, more: np.ndarray) -> Test:
        """Whether some laws are needed beside known ones: the lack of fit of these."""
        return self.score(known, more)

    def score(self, nuisance: np.ndarray, tested: np.ndarray) -> Test:
        """The score test of some directions, with those of the nuisance directions projected out."""
        if not tested.shape[1]:
            return Test(1.0, 0.0, 0, "nothing to test")
        scores, weights = self._scores(nuisance, tested)
        information = tested.T @ self._curved(tested) - weights.T @ (nuisance.T @ self._curved(tested))
        floor = _LOST * float(np.abs(np.linalg.eigvalsh(self.gram)).max())
        return mean_is_zero(scores, information, floor=floor, nothing=_EXACT * self.total)

    def _scores(self, nuisance: np.ndarray, tested: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Each unit's scores in some directions, nuisance projected out, and the weights that do it."""
        m, q = self.laws.shape
        fitted, weights = self._projection(nuisance, tested)
        gradients = self.moments.gradients((nuisance @ fitted).reshape(m, q)).reshape(self.moments.units, -1)
        return gradients @ tested - (gradients @ nuisance) @ weights, weights

    def _projection(self, nuisance: np.ndarray, tested: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The nuisance coefficients fitted alone, and the nuisance scores that explain the tested ones."""
        curved = self._curved(nuisance)
        values, vectors = np.linalg.eigh(nuisance.T @ curved)
        good = values > _LOST * values.max(initial=0.0)
        inverse = (vectors[:, good] / values[good]) @ vectors[:, good].T
        return inverse @ (nuisance.T @ self.cross.reshape(-1)), inverse @ (curved.T @ tested)

    def _curved(self, columns: np.ndarray) -> np.ndarray:
        """The normal matrix of the least squares times some laws."""
        m, q = self.laws.shape
        return (self.gram @ columns.reshape(m, -1)).reshape(m * q, -1)

    # -- estimates

    @cached_property
    def _inverse(self) -> np.ndarray:
        values, vectors = np.linalg.eigh(self.gram)
        good = values > _LOST * values.max()
        return (vectors[:, good] / values[good]) @ vectors[:, good].T

    @cached_property
    def law(self) -> Float[np.ndarray, "functions targets"]:
        """The law fitted without any symmetry."""
        return self._inverse @ self.cross

    @cached_property
    def residual_share(self) -> float:
        """The part of the targets' square that the fitted law leaves."""
        left = self.total - float((self.law * self.cross).sum())
        return (1 - self._known) * max(left, 0.0) / self.total if self.total else 0.0

    @cached_property
    def _errors(self) -> Float[np.ndarray, "draws laws"]:
        """Bootstrap draws of the fitted law's error: units drawn with replacement, to first order in their weights."""
        units = self.moments.units
        influence = np.einsum("ab,ubq->uaq", self._inverse, self.moments.gradients(self.law)).reshape(units, -1)
        weights = self.generator.multinomial(units, np.full(units, 1 / units), size=_DRAWS) - 1.0
        return weights @ influence * (units / max(units - 1, 1)) ** 0.5

    @cached_property
    def _lengths(self) -> Float[np.ndarray, "functions functions"]:
        """The square root of the functions' mean square over the data and all their images under the group."""
        turned = np.einsum("gab,bc,gdc->ad", self.laws.functions, self.gram, self.laws.functions, optimize=True)
        turned /= self.laws.group.order * self.moments.points.sum()
        values, vectors = np.linalg.eigh(turned)
        return vectors * np.sqrt(np.maximum(values, 0)) @ vectors.T

    def _measured(self, laws: np.ndarray) -> np.ndarray:
        """Laws [..., functions·targets] as vectors whose length is the root mean square of what they say."""
        m, q = self.laws.shape
        return np.einsum("ab,...bq->...aq", self._lengths, laws.reshape(*laws.shape[:-1], m, q)).reshape(laws.shape)

    @cached_property
    def size(self) -> Size:
        """The root mean square of the fitted law."""
        if self._whole is not None:
            return Size(*(self._whole,) * 4)
        return size_of(self._measured(self.law.reshape(-1)), self._measured(self._errors))

    def part_of(self, irrep: GroupIrrep) -> Size:
        """The root mean square of the law's part in an irrep."""
        basis = self.laws.part(irrep)
        return self.size_of_image(lambda laws: (laws @ basis) @ basis.T)

    def defect(self, element: int) -> Size:
        """The root mean square of g·f − f."""
        left, right = self.laws.functions[element], self.laws.targets[element]
        m, q = self.laws.shape

        def moved(laws: np.ndarray) -> np.ndarray:
            whole = laws.reshape(-1, m, q)
            return (left @ whole @ right.T - whole).reshape(laws.shape)

        return self.size_of_image(moved)

    def size_of_image(self, image: Callable[[np.ndarray], np.ndarray]) -> Size:
        """The root mean square of what a linear map makes of the fitted law."""
        return size_of(self._measured(image(self.law.reshape(-1))), self._measured(image(self._errors)))

    def coefficients(self, irrep: GroupIrrep) -> Float[np.ndarray, "copies dim"]:
        """The fitted law's coefficients on an irrep's basis."""
        return np.einsum("l,cld->cd", self.law.reshape(-1), self.laws.bases[irrep.name])

    def direction(self, irrep: GroupIrrep) -> Float[np.ndarray, " dim"]:
        """The unit vector of the irrep along which most of the law's part lies, with the sign of its main copy."""
        left, _, right = np.linalg.svd(self.coefficients(irrep), full_matrices=False)
        return right[0] * np.sign(left[np.argmax(np.abs(left[:, 0])), 0])

    def noise_in(self, irrep: GroupIrrep) -> float:
        """The root mean square error of the law's part in an irrep, for one direction of it."""
        basis = self.laws.part(irrep)
        if not basis.shape[1]:
            return float("inf")
        drawn = self._measured((self._errors @ basis) @ basis.T)
        return float((drawn**2).sum(axis=1).mean() / basis.shape[1]) ** 0.5
