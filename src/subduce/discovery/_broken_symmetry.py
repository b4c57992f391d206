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
from ._laws import Ensemble, Evidence, Laws
from ._local import LocalFunctions, Rung, classes_of
from ._moments import Moments, Stopped, gather
from ._network import Trained, fits_into, told, trained
from ._significance import Closed, Size, closed_testing, detectable, holm

_FEWEST = 8  # units: fewer cannot reject at the usual levels, whatever they show
_NETWORK = "network with relaxed weights"
_GUARD = 2  # times the level: the lack of fit of networks that are trusted; one that passes narrowly still misleads
_CAUTION = (
    20  # times p-values of networks where the inputs break the group: what networks miss looks like breaking there
)
_SYMMETRIC = 48  # polynomial laws that the group keeps, beside networks, at most
_PER_FUNCTION = 12  # samples of point clouds: with fewer the fit eats so much of the noise that tests reject too often
_MANY = 48  # elements: groups above list classes
Estimator = Literal["auto", "stencil", "polynomial", "network"]


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
    seeds: int = 1
    """Networks to train, each from a seed of its own; their evidence is combined."""
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
        if self.pairs.nested:
            return LocalFunctions(channels, ((),), 2, 3, self.pairs.nested)
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
        """The classes of laws that the estimator has, from small to large."""
        wanted = {"stencil": "stencil", "polynomial": "polynomial"}.get(self.estimator, "")
        found = [rung for rung in self.classes if rung.name.startswith(wanted)] or list(self.classes[:1])
        if self.pairs.nested:
            found = [r for i, r in enumerate(found) if not i or len(r.functions) <= len(self.pairs) // _PER_FUNCTION]
        sizes = np.maximum.accumulate([0, *(len(rung.functions) for rung in found)])
        return tuple(rung for rung, before in zip(found, sizes, strict=False) if len(rung.functions) > before)

    @cached_property
    def classes(self) -> tuple[Rung, ...]:
        """The classes of laws without networks, from small to large."""
        return classes_of(self.everything)

    @cached_property
    def fits(self) -> tuple[Rung, float]:
        """The class of laws that is used, with the p-value of its lack of fit: a network where no other class fits."""
        if self.estimator != "network":
            rung, p = self.local
            if p >= self.level or not self.climbs:
                return rung, p
        return Rung(_NETWORK, np.array([], dtype=int)), float(np.median([network.lack for network in self.networks]))

    @cached_property
    def local(self) -> tuple[Rung, float]:
        """The first class of stencils or polynomials whose lack of fit is not significant, or the last."""
        rung, p = self.rungs[0], 1.0
        for rung in self.rungs:
            p = self._lack_of_fit(rung)
            if p >= self.level:
                break
        return rung, p

    @property
    def climbs(self) -> bool:
        """Whether a network can be trained where no other class fits."""
        return self.estimator == "auto" and not self.why_no_network

    @cached_property
    def why_no_network(self) -> str:
        """Why no network can be trained on these data; empty where one can."""
        return fits_into(self.pairs)

    @cached_property
    def networks(self) -> tuple[Trained, ...]:
        """What the networks from each seed say."""
        kept, laws = self.group.irreps[0], np.zeros((0, 0))
        for rung in (*reversed(self.classes), Rung("constant", np.array([0]))):
            laws = self.laws_of(rung.functions).part(kept)
            if laws.shape[1] <= _SYMMETRIC:
                break
        polynomials = self.everything, self._whole(rung.functions, laws)

        def one(k: int) -> Trained:
            def progress(done: int, total: int) -> None:
                self.progress(k * total + done, self.seeds * total)

            return trained(
                self.pairs, self.action, polynomials, increments=self.same_quantity, level=_GUARD * self.level,
                seed=self.seed + k, progress=progress,
            )  # fmt: skip

        return tuple(one(k) for k in range(self.seeds))

    def _whole(self, functions: np.ndarray, laws: np.ndarray) -> np.ndarray:
        """Laws of some functions as laws of all."""
        m, q = len(self.everything), self.action.target.shape[-1]
        whole = np.zeros((m, q, laws.shape[1]))
        whole[functions] = laws.reshape(len(functions), q, -1)
        return whole.reshape(m * q, -1)

    @cached_property
    def surrogate(self) -> Rung | None:
        """Where the class that is used does not fit: the first larger one that does, to draw placebos from."""
        inside = set(self.local[0].functions)
        larger = [rung for rung in self.classes if inside < set(rung.functions)]
        return next((rung for rung in larger if self._lack_of_fit(rung) >= self.level), None)

    def _placebo(self, rung: Rung) -> np.ndarray | None:
        """The cross moments of a class of laws with what the best symmetric law of a larger one says."""
        if self.local[1] >= self.level or self.surrogate is None:
            return None
        larger = self.surrogate.functions
        law = Evidence(self.laws_of(larger), self.moments.restricted(larger)).symmetric
        return self.moments.gram[:, rung.functions][:, :, larger] @ law

    def _lack_of_fit(self, rung: Rung) -> float:
        """Whether symmetric laws beyond a class are needed beside all laws of the class."""
        evidence = Evidence(self.laws_of(np.arange(len(self.everything))), self.moments)
        m, q = evidence.laws.shape
        inside = np.zeros((m, q), dtype=bool)
        inside[rung.functions] = True
        known = np.eye(m * q)[:, inside.reshape(-1)]
        symmetric = evidence.laws.part(self.group.irreps[0])
        more = symmetric[:, np.abs(symmetric[inside.reshape(-1)]).max(axis=0, initial=0) < 1e-9]
        if not self.pairs.nested:
            return evidence.beyond(known, more).p_value
        linear = np.repeat([len(f) <= 1 for f in self.everything.functions], q)
        finer = np.abs(more[~linear]).max(axis=0, initial=0) < 1e-9  # of single neighbours, and of products of sums
        return min(1.0, 2 * min(evidence.beyond(known, more[:, some]).p_value for some in (finer, ~finer)))

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
    def evidence(self) -> Any:
        """What the data say about the laws of the class that is used."""
        return Ensemble([n.evidence for n in self.networks]) if self.by_network else self.local_evidence

    @cached_property
    def local_evidence(self) -> Evidence:
        """What the data say about stencils or polynomials."""
        rung, _ = self.local
        moments = self.moments.restricted(rung.functions)
        return Evidence(self.laws_of(rung.functions), moments, seed=self.seed, placebo=self._placebo(rung))

    @property
    def by_network(self) -> bool:
        """Whether networks are the class of laws."""
        return self.fits[0].name == _NETWORK

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
        factor = _CAUTION if self.cautious else 1
        return {irrep.name: min(1.0, factor * p) for irrep, p in zip(seen, adjusted, strict=True)}

    @cached_property
    def cautious(self) -> bool:
        """Whether the laws are networks and the inputs themselves break the group."""
        everyone = Subgroup(self.group, tuple(range(self.group.order)))
        inputs = Distribution(self.pairs, self.action, self.level)
        return self.by_network and inputs.kept(everyone).p_value < self.level

    @cached_property
    def sizes(self) -> tuple[Size, ...]:
        """For each element the root mean square of g·f − f over that of f."""
        whole = self.evidence.size.value
        return tuple(self.evidence.defect(g).over(whole) for g in range(self.group.order))

    @cached_property
    def calibrated(self) -> bool:
        """Whether p-values are those of placebos, as the class of laws does not fit but a larger one does."""
        return self.fits[1] < self.level and not self.by_network and self.surrogate is not None

    @cached_property
    def trusted(self) -> bool:
        """Whether the class of laws fits well enough to call anything broken, or its p-values are calibrated."""
        return self.fits[1] >= self.level * (_GUARD if self.by_network else 1) or self.calibrated

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
            "lack_of_fit": {"p_value": lack, "flag": not self.trusted},
            "calibration": "placebo" if self.calibrated else None,
            **(told(self.networks, self.group, self.level) if self.by_network else {}),
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
            "direction": self.evidence.direction_in(irrep).tolist() if verdict == "broken" else None,
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

    def of_fit(self) -> list[str]:
        """What is to be said of a class of laws that does not fit, or of networks."""
        beyond = "symmetric laws beyond this class are needed (lack of fit)"
        if self.calibrated:
            assert self.surrogate is not None
            return [f"{beyond}: p-values are calibrated with placebos from the best symmetric {self.surrogate.name}"]
        if not self.trusted:
            why = f"; {self.why_no_network}" if self.estimator == "auto" and self.why_no_network else ""
            return [f"{beyond}: nothing is called broken{why}"]
        times = f"the inputs themselves break the group: p-values of networks are taken times {_CAUTION}"
        return [times] if self.cautious else []

    def _warnings(self, kept: Sequence[Subgroup]) -> list[str]:
        found = self.of_fit()
        if len(kept) > 1:
            also = ", ".join(k.setting for k in kept[1:4])
            found.append(f"the data do not tell {kept[0].setting} from {also}")
        unseen = [i.name for i in self.group.irreps[1:] if not len(self.evidence.laws.bases[i.name])]
        if unseen:
            found.append(unseen_in(unseen))
        if self.pairs.shape and not all(self.pairs.periodic):
            found.append("points near the ends of axes that do not repeat are left out")
        return found


def unseen_in(names: Sequence[str]) -> str:
    """The warning of irreps in which no law of a class has a part."""
    return f"no law of this class has parts in {', '.join(names)}; these cannot be seen"


def discover(
    pairs: Pairs,
    action: Action,
    *,
    level: float = 0.05,
    delta: float = 0.01,
    estimator: Estimator = "auto",
    seed: int = 0,
    progress: Callable[[int, int], None] = lambda done, total: None,
    seeds: int = 1,
) -> dict[str, Any]:
    """Which elements and irreps of a group the law from input to target breaks, and the subgroup that it keeps."""
    check_pairs(pairs)
    return Investigation(pairs, action, level, delta, estimator, seed, progress, seeds).results()


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
