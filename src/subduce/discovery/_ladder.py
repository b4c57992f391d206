"""Classes of laws from small to large, what is gathered for them in one pass over the data, and which of them fits."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import numpy as np

from subduce.data import Pairs
from subduce.groups import FiniteGroup

from ._actions import Action, blocks
from ._describe import scales_of
from ._laws import Ensemble, Evidence, Laws
from ._local import LocalFunctions, Rung, classes_of
from ._moments import Moments, Stopped, gather
from ._network import Trained, fits_into, trained

FEWEST = 8  # units: fewer cannot reject at the usual levels, whatever they show
GUARD = 2  # times the level: the lack of fit of networks that are trusted; one that passes narrowly still misleads
_NETWORK = "network with relaxed weights"
_SYMMETRIC = 48  # polynomial laws that the group keeps, beside networks, at most
_PER_FUNCTION = 12  # samples of point clouds: with fewer the fit eats so much of the noise that tests reject too often
Estimator = Literal["auto", "stencil", "polynomial", "network"]


@dataclass
class Ladder:
    """One set of pairs, one group: the moments, the classes of laws, and the one that is used."""

    pairs: Pairs
    action: Action
    level: float = 0.05
    delta: float = 0.01
    estimator: Estimator = "auto"
    seed: int = 0
    progress: Callable[[int, int], None] = lambda done, total: None
    seeds: int = 1
    """Networks to train, each from a seed of its own; their evidence is combined."""
    interruption: str = ""
    """What an interruption left to be told; empty without one."""

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
            if stop.moments.units < FEWEST:
                raise
            self.interruption = f"interrupted after {stop.done} of {len(self.pairs)} pairs: these alone are tested"
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
            if p >= self.level or not self.climbs or not self.networks:
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
        """Whether a network is to be trained where no other class fits, and can be."""
        return self.estimator == "auto" and not self.interruption and not self.why_no_network

    @cached_property
    def why_no_network(self) -> str:
        """Why no network can be trained on these data; empty where one can."""
        return fits_into(self.pairs, self.group)

    @cached_property
    def networks(self) -> tuple[Trained, ...]:
        """What the networks from each seed say; of an interrupted training those that are done."""
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
                self.pairs, self.action, polynomials, increments=self.same_quantity, level=GUARD * self.level,
                seed=self.seed + k, progress=progress,
            )  # fmt: skip

        found: list[Trained] = []
        try:
            for k in range(self.seeds):
                found.append(one(k))
        except KeyboardInterrupt:
            if not found and self.estimator == "network":
                raise
            done = f"after {len(found)} of {self.seeds} sets of networks" if found else "while networks were trained"
            left = "these alone are tested" if found else "the classes of laws before them are told"
            self.interruption = f"interrupted {done}: {left}"
        return tuple(found)

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
