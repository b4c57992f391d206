"""Which symmetries of a group data break: elements, irreps, the subgroup that is kept, how large and how sure."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from subduce.config import InputError
from subduce.data import Pairs
from subduce.groups import GroupIrrep, Subgroup, direction_symbol, invariant_basis, subgroup

from ._actions import Action
from ._describe import described
from ._distribution import Distribution
from ._ladder import FEWEST, GUARD, Estimator, Ladder
from ._network import told
from ._significance import Closed, Size, closed_testing, detectable, holm

_MANY = 48  # elements: groups above list classes


@dataclass
class Investigation(Ladder):
    """One set of pairs, one group: what the class of laws that fits shows."""

    @cached_property
    def closed(self) -> Closed:
        """Closed testing over all subgroups."""
        own = lambda kept: self.evidence.kept(kept, self.masked).p_value  # noqa: E731
        return closed_testing(self.group, own, self.level, self.absent)

    @cached_property
    def absent(self) -> dict[str, float]:
        """For each irrep that laws of the class have parts in, the p-value of having none, adjusted for all (Holm)."""
        bases = self.evidence.laws.bases
        seen = [i for i in self.group.irreps[1:] if len(bases[i.name]) and i.name not in self.masked]
        adjusted = holm([self.evidence.absent(irrep).p_value for irrep in seen])
        return {irrep.name: p for irrep, p in zip(seen, adjusted, strict=True)}

    @cached_property
    def masked(self) -> tuple[str, ...]:
        """Irreps that networks cannot judge, as the inputs themselves break the group in them.

        What networks miss of a symmetric law is a symmetric function; under inputs that a subgroup keeps, its mean
        product with functions of an irrep vanishes where the subgroup leaves no vector of the irrep alone.
        """
        if not self.by_network:
            return ()
        inputs = Distribution(self.pairs, self.action, self.level).closed.kept
        return tuple(i.name for i in self.group.irreps[1:] if any(k.fixed_dimension(i.character) for k in inputs))

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
        return self.fits[1] >= self.level * (GUARD if self.by_network else 1) or self.calibrated

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
            **(told(self.networks, self.group, self.level, self.masked) if self.by_network else {}),
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
        inputs = f"the inputs themselves break {', '.join(self.masked)}: whether the law does, networks cannot tell"
        return [inputs] if self.masked else []

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
    if units < FEWEST:
        raise InputError(
            f"{units} exchangeable units are too few for a verdict: at least {FEWEST} are needed; add samples, or "
            "divide long ones with --units block:N"
        )
    if pairs.target_channels is not None and pairs.identity:
        raise InputError(
            "target and input are the same array: the identity keeps every symmetry, so no law can be tested; "
            "--distribution tests whether the data themselves are symmetric"
        )
