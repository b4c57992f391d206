"""The space of laws y = Bᵀφ(x) as a representation of a group, and what data say about each irrep of it."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from jaxtyping import Float

from subduce.groups import FiniteGroup, GroupIrrep, Subgroup, adapted_basis, invariant_basis

from ._actions import blocks
from ._moments import Moments
from ._significance import Size, Test, mean_is_zero, mean_size, size_of, whitening

_DRAWS = 400
_PLACEBOS = 399
_LOST = 1e-9  # directions of the functions with less than this share of the largest are not fitted
_ALIKE = 1e-6  # the same, where one unit is left out
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
        known: dict[bytes, list[np.ndarray]] = {}
        found: list[list[np.ndarray]] = [[] for _ in self.group.irreps]
        for rows in blocks(self.functions):
            turned = self.functions[:, rows][:, :, rows]
            key = turned.round(9).tobytes()
            if key not in known:
                known[key] = [self._within(turned, irrep) for irrep in self.group.irreps]
            places = (np.array(rows)[:, None] * q + np.arange(q)).reshape(-1)
            for bases, small in zip(found, known[key], strict=True):
                bases.append(np.zeros((len(small), m * q, small.shape[2])))
                bases[-1][:, places] = small
        return {irrep.name: np.concatenate(bases) for irrep, bases in zip(self.group.irreps, found, strict=True)}

    def _within(self, turned: np.ndarray, irrep: GroupIrrep) -> np.ndarray:
        """The basis for an irrep of the laws of some functions that the group mixes with no others."""
        q = self.shape[1]

        def column(k: int) -> np.ndarray:
            i, j = divmod(k, q)
            return np.einsum("ga,gb->gab", turned[:, :, i], self.targets[:, :, j]).reshape(len(turned), -1)

        character = np.trace(turned, axis1=1, axis2=2) * np.trace(self.targets, axis1=1, axis2=2)
        copies = round(float(character @ irrep.character) / self.group.order / irrep.commutant)
        return adapted_basis(irrep, column, turned.shape[1] * q, copies)

    def part(self, irrep: GroupIrrep, directions: Float[np.ndarray, "dim k"] | None = None) -> np.ndarray:
        """Laws [laws, columns] of an irrep, or of some directions in it."""
        basis = self.bases[irrep.name]
        turned = basis if directions is None else basis @ directions
        return turned.transpose(1, 0, 2).reshape(basis.shape[1], -1)

    def split(self, kept: Subgroup, free: Sequence[str] = ()) -> tuple[np.ndarray, np.ndarray]:
        """The laws that a subgroup keeps, with all of some free irreps, and those orthogonal to them, as columns."""
        inside, outside = [], []
        for irrep in self.group.irreps:
            fixed = np.eye(irrep.dim) if irrep.name in free else invariant_basis(irrep.matrices[list(kept.members)])
            rest = np.linalg.svd(fixed, full_matrices=True)[0][:, fixed.shape[1] :] if fixed.size else np.eye(irrep.dim)
            inside.append(self.part(irrep, fixed))
            outside.append(self.part(irrep, rest))
        return np.concatenate(inside, axis=1), np.concatenate(outside, axis=1)


class Evidence:
    """What the moments of some data say about the laws of a group: tests, estimates, sizes."""

    def __init__(
        self,
        laws: Laws,
        moments: Moments,
        *,
        seed: int = 0,
        placebo: Float[np.ndarray, "units functions targets"] | None = None,
        left_out: bool = False,
    ) -> None:
        """Where the laws do not fit, `placebo` are the cross moments that a law has that does and keeps the group.

        With `left_out` the nuisance of each unit's score is fitted to the other units: for many functions of few units,
        whose own fit would make scores too small.
        """
        self.laws, self.moments = laws, moments
        self.gram, self.cross = moments.gram.sum(axis=0), moments.cross.sum(axis=0)
        self.total, self.placebo, self.left_out = float(moments.square.sum()), placebo, left_out
        self.generator = np.random.default_rng(seed)
        self._signs = np.random.default_rng(seed).choice([-1.0, 1.0], size=(_PLACEBOS, moments.units))

    # -- tests

    def kept(self, subgroup: Subgroup, free: Sequence[str] = ()) -> Test:
        """Whether the law is one that a subgroup keeps, but for free irreps; what is free is fitted, projected out."""
        return self.score(*self.laws.split(subgroup, free))

    def absent(self, irrep: GroupIrrep) -> Test:
        """Whether the law has no part in an irrep, whatever its parts in all others."""
        others = [self.laws.part(other) for other in self.laws.group.irreps if other.name != irrep.name]
        return self.score(np.concatenate(others, axis=1), self.laws.part(irrep))

    def scores_of(self, irrep: GroupIrrep) -> Float[np.ndarray, "units columns"]:
        """Each unit's part in an irrep: its scores at a law without that part, as coefficients."""
        others = [self.laws.part(other) for other in self.laws.group.irreps if other.name != irrep.name]
        nuisance = np.concatenate(others, axis=1)
        return self._scores(nuisance, *self._projected(nuisance, self.laws.part(irrep)), self.moments.cross)

    @cached_property
    def symmetric(self) -> Float[np.ndarray, "functions targets"]:
        """The best law that the group keeps."""
        nuisance = self.laws.part(self.laws.group.irreps[0])
        _, inverse = self._projected(nuisance, nuisance)
        return (nuisance @ (inverse @ (nuisance.T @ self.cross.reshape(-1)))).reshape(self.laws.shape)

    def beyond(self, known: np.ndarray, more: np.ndarray) -> Test:
        """Whether some laws are needed beside known ones: the lack of fit of these."""
        return self.score(known, more)

    def score(self, nuisance: np.ndarray, tested: np.ndarray) -> Test:
        """The score test of some directions, with those of the nuisance directions projected out."""
        if not tested.shape[1]:
            return Test(1.0, 0.0, 0, "nothing to test")
        clean, inverse = self._projected(nuisance, tested)
        floor = _LOST * float(np.abs(np.linalg.eigvalsh(self.gram)).max())
        whitener = whitening(tested.T @ self._curved(clean), floor)

        def test(scores: np.ndarray) -> Test:
            return mean_is_zero(scores, whitener=whitener, nothing=_EXACT * self.total)

        if self.left_out:
            return test(self._left_out(nuisance, tested))
        found = test(self._scores(nuisance, clean, inverse, self.moments.cross))
        if self.placebo is None or found.p_value == 1.0:
            return found
        drawn = [test(scores).p_value for scores in self._placebos(nuisance, clean, inverse, self.placebo)]
        p = (1 + sum(other <= found.p_value for other in drawn)) / (1 + len(drawn))
        return Test(max(p, found.p_value), found.statistic, found.directions, f"{found.method}, placebo")

    def _projected(
        self, nuisance: np.ndarray, tested: np.ndarray, without: int | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """The tested directions without what the nuisance says of them, and the inverse normal matrix of the latter."""
        curved = self._curved(nuisance, without)
        values, vectors = np.linalg.eigh(nuisance.T @ curved)
        good = values > (_LOST if without is None else _ALIKE) * values.max(initial=0.0)
        inverse = (vectors[:, good] / values[good]) @ vectors[:, good].T
        return tested - nuisance @ (inverse @ (curved.T @ tested)), inverse

    def _scores(self, nuisance: np.ndarray, clean: np.ndarray, inverse: np.ndarray, cross: np.ndarray) -> np.ndarray:
        """Each unit's scores in some directions, at the nuisance coefficients fitted alone."""
        m, q = self.laws.shape
        law = (nuisance @ (inverse @ (nuisance.T @ cross.sum(axis=0).reshape(-1)))).reshape(m, q)
        return (cross - self.moments.gram @ law).reshape(self.moments.units, -1) @ clean

    def _placebos(
        self, nuisance: np.ndarray, clean: np.ndarray, inverse: np.ndarray, symmetric: np.ndarray
    ) -> Iterator[np.ndarray]:
        """Scores of targets that a symmetric law makes of the same inputs, with residuals of random signs by unit."""
        left = self.moments.cross - symmetric
        m, q = self.laws.shape
        units = self.moments.units
        fixed, own = self._scores(nuisance, clean, inverse, symmetric), left.reshape(units, -1) @ clean
        pulled = np.einsum("uab,bqn->uaqn", self.moments.gram, nuisance.reshape(m, q, -1)).reshape(units, m * q, -1)
        pulled = np.einsum("lk,uln->ukn", clean, pulled)
        fitted = left.reshape(units, -1) @ nuisance @ inverse
        for signs in self._signs:
            yield fixed + signs[:, None] * own - pulled @ (signs @ fitted)

    def _left_out(self, nuisance: np.ndarray, tested: np.ndarray) -> np.ndarray:
        """Each unit's scores, with nuisance coefficients and projection of all other units."""
        rows = []
        for unit, (gram, cross) in enumerate(zip(self.moments.gram, self.moments.cross, strict=True)):
            clean, inverse = self._projected(nuisance, tested, unit)
            law = nuisance @ (inverse @ (nuisance.T @ (self.cross - cross).reshape(-1)))
            rows.append((cross - gram @ law.reshape(self.laws.shape)).reshape(-1) @ clean)
        return np.array(rows)

    def _curved(self, columns: np.ndarray, without: int | None = None) -> np.ndarray:
        """The normal matrix of the least squares, perhaps without one unit, times some laws."""
        m, q = self.laws.shape
        gram = self.gram if without is None else self.gram - self.moments.gram[without]
        return (gram @ columns.reshape(m, -1)).reshape(m * q, -1)

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
        return max(left, 0.0) / self.total if self.total else 0.0

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

    def coefficients(self, basis: Float[np.ndarray, "copies laws dim"]) -> Float[np.ndarray, "copies dim"]:
        """The fitted law's coefficients on the basis of an irrep."""
        return np.einsum("l,cld->cd", self.law.reshape(-1), basis)

    def direction(self, basis: Float[np.ndarray, "copies laws dim"]) -> Float[np.ndarray, " dim"]:
        """The unit vector of an irrep along which most of the law's part lies, with the sign of the copy most like it.

        Copies count by what they say of the data: functions that are nearly the same have large opposite coefficients.
        """
        said = self._measured(basis.transpose(0, 2, 1)).reshape(len(basis), -1)
        overlaps, coefficients = said @ said.T, self.coefficients(basis)
        values, vectors = np.linalg.eigh(overlaps)
        weights = vectors * np.sqrt(np.maximum(values, 0))
        found = np.linalg.svd(weights.T @ coefficients, full_matrices=False)[2][0]
        alike = overlaps @ coefficients @ found / np.sqrt(np.maximum(np.diag(overlaps), _EXACT))
        return found * np.sign(alike[np.argmax(np.abs(alike))])

    def direction_in(self, irrep: GroupIrrep) -> Float[np.ndarray, " dim"]:
        """The same of an irrep of the group, on the laws of this evidence."""
        return self.direction(self.laws.bases[irrep.name])

    def along(self, reference: Float[np.ndarray, " laws"], copies: Float[np.ndarray, "copies laws"]) -> float:
        """The inner product of what a reference says and what the law's part in some orthonormal laws says.

        Less than a tenth of the greatest it could be counts as none.
        """
        said, part = self._measured(reference), self._measured(copies.T @ (copies @ self.law.reshape(-1)))
        found = float(said @ part)
        return found if abs(found) > 0.1 * float(np.linalg.norm(said) * np.linalg.norm(part)) else 0.0

    def noise_in(self, irrep: GroupIrrep) -> float:
        """The root mean square error of the law's part in an irrep, for one direction of it."""
        return self.noise_along(self.laws.part(irrep))

    def noise_along(self, basis: Float[np.ndarray, "laws k"]) -> float:
        """The root mean square error of the law's part in some laws, for one of them."""
        if not basis.shape[1]:
            return float("inf")
        drawn = self._measured((self._errors @ basis) @ basis.T)
        return float((drawn**2).sum(axis=1).mean() / basis.shape[1]) ** 0.5


class Ensemble:
    """The evidence of several networks as that of one: p-values as twice their median, sizes as means.

    Twice the median of p-values is one, however they depend on each other (Rüger 1978). Those of one network are
    doubled too: of symmetric laws they come out somewhat too small.
    """

    def __init__(self, members: Sequence[Evidence]) -> None:
        self.members = members
        self.laws, self.moments = members[0].laws, members[0].moments

    def kept(self, subgroup: Subgroup, free: Sequence[str] = ()) -> Test:
        """Whether the law is one that a subgroup keeps, but for free irreps."""
        return self._combined([member.kept(subgroup, free) for member in self.members])

    def absent(self, irrep: GroupIrrep) -> Test:
        """Whether the law has no part in an irrep, whatever its parts in all others."""
        return self._combined([member.absent(irrep) for member in self.members])

    def _combined(self, tests: Sequence[Test]) -> Test:
        p = min(1.0, 2 * float(np.median([test.p_value for test in tests])))
        return replace(tests[0], p_value=p, method=f"{tests[0].method}, twice the median of {len(tests)}")

    @property
    def residual_share(self) -> float:
        """The part of the targets' square that the fitted laws leave."""
        return float(np.mean([member.residual_share for member in self.members]))

    @property
    def size(self) -> Size:
        """The root mean square of the fitted law."""
        return mean_size([member.size for member in self.members])

    def part_of(self, irrep: GroupIrrep) -> Size:
        """The root mean square of the law's part in an irrep."""
        return mean_size([member.part_of(irrep) for member in self.members])

    def defect(self, element: int) -> Size:
        """The root mean square of g·f − f."""
        return mean_size([member.defect(element) for member in self.members])

    def direction_in(self, irrep: GroupIrrep) -> Float[np.ndarray, " dim"]:
        """The unit vector of the irrep along which most of the law's part lies, up to its sign."""
        found = np.array([member.direction_in(irrep) for member in self.members])
        return np.linalg.svd(found, full_matrices=False)[2][0]

    def noise_in(self, irrep: GroupIrrep) -> float:
        """The root mean square error of the law's part in an irrep, for one direction of it."""
        return float(np.mean([member.noise_in(irrep) for member in self.members]))
