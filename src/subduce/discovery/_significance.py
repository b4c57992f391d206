"""Tests that need exchangeable units and nothing else: scores, many hypotheses at once, sizes and their intervals."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
from jaxtyping import Float
from scipy import optimize, stats

from subduce.groups import FiniteGroup, Subgroup, subgroups

_EXACT_UNITS = 14  # up to so many units all sign flips are tried
_SMALL = 1e-9  # directions with less information than this share of the largest are no directions


@dataclass(frozen=True)
class Test:
    """A p-value with the statistic, the number of directions tested and the way in which it was found."""

    p_value: float
    statistic: float
    directions: int
    method: str


def mean_is_zero(
    scores: Float[np.ndarray, "units k"],
    *,
    whitener: Float[np.ndarray, "k white"] | None = None,
    nothing: float = 0.0,
) -> Test:
    """Whether the scores of exchangeable units have the mean zero.

    With many units for each direction, Hotelling's test in the form of the score test, (n − k) T / (k (n − T)) ~
    F(k, n − k) with T = (Σs)ᵀ (Σ s sᵀ)⁻¹ (Σs). With few, the quadratic form (Σs)ᵀ I⁻¹ (Σs) under random signs of the
    units: all signs up to 14 units, else a gamma law with the first three moments of that distribution. `whitener` is
    that of I, by default the sum of squares.
    """
    units = len(scores)
    white = scores @ (whitening(scores.T @ scores) if whitener is None else whitener)
    k = white.shape[1]
    if k == 0 or float((white**2).sum()) <= nothing:
        return Test(1.0, 0.0, k, "nothing to test")
    if units >= 3 * k + 10:
        total, spread = white.sum(axis=0), white.T @ white
        t = float(total @ np.linalg.lstsq(spread, total, rcond=None)[0])
        t = min(t, units * (1 - 1e-15))
        f = (units - k) * t / (k * (units - t))
        return Test(float(stats.f.sf(f, k, units - k)), f, k, "F")
    kernel = white @ white.T
    if units <= _EXACT_UNITS:
        signs = np.array(list(product((1.0, -1.0), repeat=units - 1)))
        signs = np.concatenate([np.ones((len(signs), 1)), signs], axis=1)
        flipped = np.einsum("su,uv,sv->s", signs, kernel, signs)
        p = float((flipped >= flipped[0] * (1 - 1e-12)).mean())
        return Test(p, float(flipped[0]), k, "all signs")
    return Test(_gamma_tail(kernel), float(kernel.sum()), k, "signs")


def _gamma_tail(kernel: np.ndarray) -> float:
    """P(εᵀ K ε ≥ 1ᵀ K 1) for random signs, by a gamma law with the same mean, variance and skewness."""
    apart = kernel - np.diag(np.diag(kernel))
    excess, variance = float(apart.sum()), 2 * float((apart**2).sum())
    third = 8 * float(((apart @ apart) * apart).sum())
    if variance <= 0:
        return 1.0
    z, skew = excess / variance**0.5, third / variance**1.5
    if abs(skew) < 1e-6:
        return float(stats.norm.sf(z))
    return float(stats.pearson3.sf(z, skew))


def whitening(information: Float[np.ndarray, "k k"], floor: float = 0.0) -> Float[np.ndarray, "k white"]:
    """A matrix that makes an information matrix the identity, without directions of less than `floor` of it."""
    values, vectors = np.linalg.eigh((information + information.T) / 2)
    kept = values > max(floor, _SMALL * float(values.max(initial=0.0)), 1e-300)
    return vectors[:, kept] / np.sqrt(values[kept])


def holm(p_values: Sequence[float]) -> list[float]:
    """p-values adjusted for the number of tests (Holm 1979): any false rejection is rarer than the level."""
    order = np.argsort(p_values)
    adjusted, largest = np.zeros(len(p_values)), 0.0
    for rank, place in enumerate(order):
        largest = max(largest, min(1.0, (len(p_values) - rank) * p_values[place]))
        adjusted[place] = largest
    return adjusted.tolist()


def benjamini_yekutieli(p_values: Sequence[float]) -> list[float]:
    """p-values adjusted for maps: the expected share of false rejections stays below the level, however they depend."""
    p = np.asarray(p_values, dtype=float)
    n = len(p)
    order = np.argsort(p)[::-1]
    factor = n * np.sum(1 / np.arange(1, n + 1))
    adjusted = np.empty(n)
    adjusted[order] = np.minimum(1, np.minimum.accumulate(factor * p[order] / np.arange(n, 0, -1)))
    return adjusted.tolist()


@dataclass(frozen=True)
class Closed:
    """What closed testing over a group's subgroups found: adjusted p-values, and what is not rejected."""

    p_values: dict[Subgroup, float]
    level: float

    @property
    def kept(self) -> tuple[Subgroup, ...]:
        """The largest subgroups that are not rejected, none inside another, of highest order and p-value first."""
        standing = [k for k, p in self.p_values.items() if p >= self.level]
        largest = [k for k in standing if not any(k <= other and k != other for other in standing)]
        return tuple(sorted(largest, key=lambda k: (-k.order, -self.p_values[k])))


def closed_testing(
    group: FiniteGroup, test: Callable[[Subgroup], float], level: float, absent: Mapping[str, float] | None = None
) -> Closed:
    """Test for every subgroup whether it is kept, at one chance `level` of any false rejection (Marcus et al. 1976).

    Keeping two subgroups is keeping all that they generate, so the hypotheses are closed; one is rejected where it and
    all larger ones are. `test(K)` is the p-value of "K is kept". `absent` holds the adjusted p-values of "the law has
    no part in this irrep", where these are judged too and must not contradict it: then K is rejected with an irrep that
    has no vector which K leaves alone; else by its own test, where an irrep that K does not leave alone is rejected
    too. So every false rejection of a subgroup comes with one of an irrep, and both together stay below the level.
    """

    def alone(kept: Subgroup) -> float:
        if absent is None:
            return test(kept)
        left = {i.name: kept.fixed_dimension(i.character) / i.dim for i in group.irreps}
        some = min((p for name, p in absent.items() if left[name] < 1), default=1.0)
        wholly = min((p for name, p in absent.items() if left[name] == 0), default=1.0)
        return some if some >= level else wholly if wholly < level else max(some, min(wholly, test(kept)))

    adjusted: dict[Subgroup, float] = {}
    for kept in subgroups(group):  # largest first
        above = max((p for larger, p in adjusted.items() if kept <= larger), default=0.0)
        adjusted[kept] = above if above >= level or kept.order == 1 else max(above, alone(kept))
        if kept.order == 1:
            adjusted[kept] = 1.0
    return Closed(adjusted, level)


@dataclass(frozen=True)
class Size:
    """The length of something that was estimated, without the part that noise adds, and its 95 % interval."""

    value: float
    low: float
    high: float
    upper: float  # one-sided 95 % bound

    def over(self, whole: float) -> "Size":
        """The same as a share of a whole."""
        return Size(*(float(x / whole) if whole > 0 else 0.0 for x in (self.value, self.low, self.high, self.upper)))


def mean_size(sizes: Sequence[Size]) -> Size:
    """The mean of several estimates of one size, and of their bounds."""
    return Size(*(float(np.mean([getattr(size, key) for size in sizes])) for key in ("value", "low", "high", "upper")))


def size_of(estimate: Float[np.ndarray, " k"], errors: Float[np.ndarray, "draws k"]) -> Size:
    """The length of an estimate, from bootstrap draws of its error.

    |b + error|² is taken as c χ²_ν(λ) with the draws' mean and variance of |error|² fixing c and ν; the interval holds
    the λ at which the observed length is no surprise. Upper ends are never below those of a length that is noise alone:
    an estimate that happens to be shorter proves no more.
    """
    lengths = (errors**2).sum(axis=1)
    mean, variance = float(lengths.mean()), float(lengths.var())
    observed = float(estimate @ estimate)
    if mean <= 0 or variance <= 0:
        return Size(*(observed**0.5,) * 4)
    scale, freedom = variance / (2 * mean), 2 * mean**2 / variance

    def noncentrality(tail: float) -> float:
        """The λ at which a value as large as x, or larger, has this probability."""
        x = observed / scale if tail < 0.5 else max(observed / scale, freedom)
        if x > 1e4 * freedom and x > 1e4:  # far out: a normal law
            return max(0.0, (x**0.5 - stats.norm.isf(tail)) ** 2)
        if stats.chi2.sf(x, freedom) >= tail:
            return 0.0
        high = (x**0.5 + 10 + freedom**0.5) ** 2
        return _root(lambda nc: float(stats.ncx2.sf(x, freedom, nc)) - tail, high)

    low, high, upper = (noncentrality(tail) * scale for tail in (0.025, 0.975, 0.95))
    return Size(max(0.0, observed - mean) ** 0.5, low**0.5, high**0.5, upper**0.5)


def detectable(directions: int, units: int, level: float, power: float = 0.8) -> float:
    """The noncentrality at which a test of so many directions has this power."""
    freedom = max(units - directions, 1)
    threshold = stats.f.isf(level, directions, freedom)

    def short(nc: float) -> float:
        return float(stats.ncf.sf(threshold, directions, freedom, nc)) - power

    high = 10.0
    while short(high) < 0 and high < 1e8:
        high *= 2
    return _root(short, high)


def _root(function: Callable[[float], float], high: float) -> float:
    """Where a function changes its sign between nearly 0 and `high`."""
    found: Any = optimize.brentq(function, 1e-12, high, xtol=1e-6)
    return float(found)
