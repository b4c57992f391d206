"""Which symmetries of a group data break: elements, irreps, the subgroup that is kept, how large and how sure."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import numpy as np

from subduce.config import InputError
from subduce.data import Pairs
from subduce.groups import FiniteGroup, GroupIrrep, Subgroup, direction_symbol, invariant_basis, subgroup

from ._actions import Action, blocks
from ._describe import described, scales_of
from ._distribution import Distribution
from ._laws import Evidence, Laws
from ._local import LocalFunctions
from ._moments import Moments, Stopped, gather
from ._network import network_evidence
from ._significance import Closed, Size, closed_testing, detectable, holm

_FEWEST = 8  # units: fewer cannot reject at the usual levels, whatever they show
_NETWORK = "network with relaxed weights"
_MANY = 48  # elements: groups above list classes
Estimator = Literal["auto", "stencil", "polynomial", "network"]


@dataclass(frozen=True)
class Rung:
    """One class of laws: which of the gathered functions it has."""

    name: str
    functions: np.ndarray


@dataclass
class Investigation:
    """One set of pairs, one group: the moments, the class of laws that fits, and what it shows."""

    pairs: Pairs
    action: Action
    level: float = 0.05
    delta: float = 0.01
    estimator: Estimator = "auto"
    seed: int = 0
    progress: Callable[[int, int], None] = lambda done, total: None
    stopped_after: int | None = None
    """The number of pairs after which an interruption ended the pass; what is found is of these alone."""

    # -- what is gathered

    @cached_property
    def everything(self) -> LocalFunctions:
        """All functions that any class of laws here has, or is tested against."""
        channels, dimension = self.pairs.input_channels.count, len(self.pairs.shape)
        if dimension:
            radius = 2 if min(self.pairs.shape) > 4 else 1
            return LocalFunctions.stencil(channels, dimension, radius, degree=2, powers=3)
        degree = 1
        while degree < 9:
            larger = LocalFunctions(channels, ((),), degree + 1, degree + 1)
            if len(larger) > min(300, len(self.pairs) // 10):
                break
            degree += 1
        return LocalFunctions(channels, ((),), degree, degree)

    @cached_property
    def moments(self) -> Moments:
        """The moments of everything; targets have unit mean square, each set of components that the group mixes."""
        raw, size = self._raw, self.target_scale
        return Moments(raw.gram, raw.cross / size, raw.square / size**2, raw.points)

    @cached_property
    def _raw(self) -> Moments:
        ones = np.ones(self.action.target.shape[-1])
        try:
            return gather(self.pairs, self.everything, scale_input=self.input_scale, scale_target=ones,
                          increments=self.same_quantity, progress=self.progress)  # fmt: skip
        except Stopped as stop:
            if stop.moments.units < _FEWEST:
                raise
            self.stopped_after = stop.done
            return stop.moments

    @cached_property
    def input_scale(self) -> np.ndarray:
        """What each channel of the input is divided by: one number for all that the group mixes."""
        return scales_of(self.pairs.survey().input_variance, blocks(self.action.input))

    @cached_property
    def target_scale(self) -> np.ndarray:
        """What each channel of the target is divided by."""
        return scales_of(self._raw.square.sum(axis=0) / self._raw.points.sum(), blocks(self.action.target))

    @cached_property
    def same_quantity(self) -> bool:
        """Whether the target is the input a little later: same variables, and nearer to it than to zero."""
        left, right = self.pairs.input_channels, self.pairs.target_channels
        if right is None or left.count != right.count or left.terms != right.terms:
            return False
        if left.names != right.names and len(left.names) > 1:
            return False
        near = far = 0.0
        for i in range(min(4, len(self.pairs))):
            x, y = self.pairs[i]
            assert y is not None
            near, far = near + float(((y - x) ** 2).sum()), far + float(((y - y.mean()) ** 2).sum())
        return near < far and np.allclose(self.action.input, self.action.target)

    # -- which class of laws

    @cached_property
    def rungs(self) -> tuple[Rung, ...]:
        """Classes of laws from small to large: stencils of radius 1 and 2, products of values; or powers of vectors."""
        functions = self.everything
        degrees = np.array([len(f) for f in functions.functions])
        if not self.pairs.shape:
            found = [
                Rung(f"polynomial of degree {d}", np.flatnonzero(degrees <= d)) for d in range(1, functions.degree)
            ]
            return tuple(found) or (Rung("polynomial of degree 1", np.flatnonzero(degrees <= 1)),)
        c = functions.channels
        far = np.array([max((max(map(abs, functions.offsets[i // c]), default=0) for i in f), default=0)
                        for f in functions.functions])  # fmt: skip
        classes = {
            "stencil of radius 1": (degrees <= 1) & (far <= 1),
            "stencil of radius 2": degrees <= 1,
            "polynomial of degree 2, radius 1": (degrees <= 2) & (far <= 1),
            "polynomial of degree 2, radius 2": degrees <= 2,
        }
        wanted = {"stencil": list(classes)[:2], "polynomial": list(classes)[2:]}.get(self.estimator, list(classes))
        found = [Rung(name, np.flatnonzero(classes[name])) for name in wanted]
        return tuple(r for i, r in enumerate(found) if i == 0 or len(r.functions) > len(found[i - 1].functions))

    @cached_property
    def fits(self) -> tuple[Rung, float]:
        """The first class of laws whose lack of fit is not significant, or the last, with the p-value."""
        if self.estimator == "network":
            return Rung(_NETWORK, np.array([], dtype=int)), 1.0
        rung, p = self.rungs[0], 1.0
        for rung in self.rungs:
            p = self._lack_of_fit(rung)
            if p >= self.level:
                break
        return rung, p

    def _lack_of_fit(self, rung: Rung) -> float:
        """Whether symmetric laws beyond a class are needed beside all laws of the class."""
        evidence = Evidence(self.laws_of(np.arange(len(self.everything))), self.moments)
        m, q = evidence.laws.shape
        inside = np.zeros((m, q), dtype=bool)
        inside[rung.functions] = True
        known = np.eye(m * q)[:, inside.reshape(-1)]
        symmetric = evidence.laws.part(self.group.irreps[0])
        more = symmetric[:, np.abs(symmetric[inside.reshape(-1)]).max(axis=0, initial=0) < 1e-9]
        return evidence.beyond(known, more).p_value

    @cached_property
    def _turned(self) -> np.ndarray:
        return self.everything.matrices(self.action.grid, self.action.input)

    def laws_of(self, functions: np.ndarray) -> Laws:
        """All laws of some functions, as a representation."""
        return Laws(self.group, self._turned[:, functions][:, :, functions], self.action.target)

    @property
    def group(self) -> FiniteGroup:
        """The group in question."""
        return self.action.group

    @cached_property
    def evidence(self) -> Evidence:
        """What the data say about the laws of the class that fits."""
        rung, _ = self.fits
        if rung.name == _NETWORK:
            return network_evidence(
                self.pairs, self.action, increments=self.same_quantity, seed=self.seed, progress=self.progress
            )
        return Evidence(self.laws_of(rung.functions), self.moments.restricted(rung.functions), seed=self.seed)

    # -- what is found

    @cached_property
    def closed(self) -> Closed:
        """Closed testing over all subgroups."""
        return closed_testing(self.group, lambda kept: self.evidence.kept(kept).p_value, self.level, self.absent)

    @cached_property
    def absent(self) -> dict[str, float]:
        """For each irrep that laws of the class have parts in, the p-value of having none, adjusted for all (Holm)."""
        seen = [irrep for irrep in self.group.irreps[1:] if len(self.evidence.laws.bases[irrep.name])]
        adjusted = holm([self.evidence.absent(irrep).p_value for irrep in seen])
        return dict(zip([irrep.name for irrep in seen], adjusted, strict=True))

    @cached_property
    def sizes(self) -> tuple[Size, ...]:
        """For each element the root mean square of g·f − f over that of f."""
        whole = self.evidence.size.value
        return tuple(self.evidence.defect(g).over(whole) for g in range(self.group.order))

    @cached_property
    def trusted(self) -> bool:
        """Whether the class of laws fits well enough to call anything broken.

        Whether a network fits is not known; where the inputs keep the group, what it misses looks like no breaking.
        """
        if self.fits[0].name == _NETWORK:
            everyone = Subgroup(self.group, tuple(range(self.group.order)))
            return Distribution(self.pairs, self.action, self.level).kept(everyone).p_value >= self.level
        return self.fits[1] >= self.level

    def results(self) -> dict[str, Any]:
        """Everything, as `contract.md` names it."""
        kept = self.closed.kept
        rung, lack = self.fits
        return {
            "group": self.group.name,
            "order": self.group.order,
            "kind": "functional",
            "preserved": described(kept[0]),
            "proven": described(self.proven),
            "elements": self._elements(),
            "irreps": self._irreps(kept[0]),
            "detectable_effect": self._detectable(),
            "level": self.level,
            "delta": self.delta,
            "correction": "closed testing",
            "estimator": rung.name,
            "units": self.evidence.moments.units,
            "explained": 1 - self.evidence.residual_share,
            "lack_of_fit": {"p_value": None if rung.name == _NETWORK else lack, "flag": not self.trusted},
            "warnings": self._warnings(kept),
        }

    @cached_property
    def proven(self) -> Subgroup:
        """The largest subgroup of which every element moves the law by less than delta, with 95 % confidence."""
        small = [size.upper < self.delta for size in self.sizes]
        from_largest = sorted(self.closed.p_values, key=lambda k: -k.order)
        return next(k for k in from_largest if k.order == 1 or all(small[g] for g in k.members if g))

    def _elements(self) -> list[dict[str, Any]]:
        """A row for each element, or for each class of a large group."""
        chosen = range(self.group.order) if self.group.order <= _MANY else [c[0] for c in self.group.classes]
        rows = []
        for g in chosen:
            p = self.closed.p_values[subgroup(self.group, [g])] if g else 1.0
            size = self.sizes[g] if g else Size(0.0, 0.0, 0.0, 0.0)
            verdict = self._verdict(p, size.upper)
            rows.append({"name": self.group.elements[g], "verdict": verdict, "effect": size.value,
                         "interval": [size.low, size.high], "upper": size.upper, "p_value": p})  # fmt: skip
        return rows

    def _verdict(self, p_value: float, upper: float) -> str:
        if p_value < self.level:
            return "broken" if self.trusted else "undetermined"
        return "preserved" if upper < self.delta and self.trusted else "undetermined"

    def _irreps(self, kept: Subgroup) -> list[dict[str, Any]]:
        return [self._irrep(irrep, self.absent.get(irrep.name), kept) for irrep in self.group.irreps[1:]]

    def _irrep(self, irrep: GroupIrrep, p_value: float | None, kept: Subgroup) -> dict[str, Any]:
        row: dict[str, Any] = {"irrep": irrep.name, "dimension": irrep.dim}
        if p_value is None:
            unseen = dict.fromkeys(("direction", "direction_symbol", "p_value", "interval", "upper"))
            return row | {"verdict": "undetermined", "energy_fraction": 0.0} | unseen
        size = self.evidence.part_of(irrep).over(self.evidence.size.value)
        verdict = self._verdict(p_value, size.upper)
        fixed = invariant_basis(irrep.matrices[list(kept.members)])
        free = fixed if fixed.shape[1] else np.eye(irrep.dim)
        return row | {
            "verdict": verdict,
            "energy_fraction": size.value**2,
            "direction": self.evidence.direction(irrep).tolist() if verdict == "broken" else None,
            "direction_symbol": direction_symbol(free) if verdict == "broken" else None,
            "p_value": p_value,
            "interval": [size.low**2, size.high**2],
            "upper": size.upper,
        }

    def _detectable(self) -> float:
        """The largest over the irreps of the effect that would be found with power 0.8."""
        whole, found = self.evidence.size.value, []
        for irrep in self.group.irreps[1:]:
            k = self.evidence.laws.part(irrep).shape[1]
            if k and whole > 0 and self.evidence.moments.units > k + 1:
                found.append(
                    detectable(k, self.evidence.moments.units, self.level) ** 0.5
                    * self.evidence.noise_in(irrep)
                    / whole
                )
        return max(found, default=float("nan"))

    def _warnings(self, kept: Sequence[Subgroup]) -> list[str]:
        found = []
        if self.fits[0].name == _NETWORK:
            untrusted = "the inputs themselves break the group, so nothing is called broken"
            found.append("the network's lack of fit is not tested" + ("" if self.trusted else f"; {untrusted}"))
        elif not self.trusted:
            found.append("symmetric laws beyond this class are needed (lack of fit): nothing is called broken")
        if len(kept) > 1:
            also = ", ".join(k.setting for k in kept[1:4])
            found.append(f"the data do not tell {kept[0].setting} from {also}")
        unseen = [i.name for i in self.group.irreps[1:] if not len(self.evidence.laws.bases[i.name])]
        if unseen:
            found.append(f"no law of this class has parts in {', '.join(unseen)}; these cannot be seen")
        if self.pairs.shape and not all(self.pairs.periodic):
            found.append("points near the ends of axes that do not repeat are left out")
        return found


def discover(
    pairs: Pairs,
    action: Action,
    *,
    level: float = 0.05,
    delta: float = 0.01,
    estimator: Estimator = "auto",
    seed: int = 0,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> dict[str, Any]:
    """Which elements and irreps of a group the law from input to target breaks, and the subgroup that it keeps."""
    check_pairs(pairs)
    return Investigation(pairs, action, level, delta, estimator, seed, progress).results()


def check_pairs(pairs: Pairs) -> None:
    """Raise `InputError` where no law can be tested: too few units, or a target that is the input."""
    units = len(np.unique(pairs.units))
    if units < _FEWEST:
        raise InputError(
            f"{units} exchangeable units are too few for a verdict: at least {_FEWEST} are needed; add samples, or "
            "divide long ones with --units block:N"
        )
    if pairs.target_channels is not None and pairs.identity:
        raise InputError(
            "target and input are the same array: the identity keeps every symmetry, so no law can be tested; "
            "--distribution tests whether the data themselves are symmetric"
        )
