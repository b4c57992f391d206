"""Laws of vectors under all rotations and reflections: which irreps of O(3) are broken, along what."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import permutations
from typing import Any

import numpy as np
import torch
from jaxtyping import Float

from subduce.config import InputError
from subduce.data import Pairs
from subduce.groups import FiniteGroup, Subgroup, point_group, subgroups
from subduce.o3 import Irrep, Irreps, irrep_matrix

from ._actions import action_on
from ._broken_symmetry import Estimator, Investigation, check_pairs, unseen_in
from ._describe import described
from ._laws import Evidence
from ._local import LocalFunctions
from ._significance import Test, detectable, holm
from ._turns import AXES, NEAR, continued, meet, principal, symbol, tensor
from ._turns import generators as generators_of


@dataclass
class Continuous:
    """One set of pairs of vectors under O(3), or SO(3): the laws by degree and parity.

    The class of laws is chosen as for a finite group, here the icosahedral one: what it keeps below degree 6, all
    rotations keep.
    """

    pairs: Pairs
    group: str
    level: float = 0.05
    delta: float = 0.01
    estimator: Estimator = "auto"
    seed: int = 0
    progress: Callable[[int, int], None] = lambda done, total: None

    @cached_property
    def _finite(self) -> Investigation:
        if self.pairs.shape:
            raise InputError(f"{self.group} does not act on a grid: on fields take Oh, O or D4h, which do exactly")
        if self.estimator not in ("auto", "polynomial"):
            raise InputError(f"--estimator {self.estimator}: vectors under {self.group} take auto or polynomial")
        if self.pairs.input_channels.coordinates != ("x", "y", "z"):
            raise InputError(f"{self.group} acts on vectors of space, and these lie in the plane; take Dn or Cn")
        action = action_on(self.pairs, point_group("Ih" if self.with_inversion else "I"))
        return Investigation(self.pairs, action, self.level, self.delta, self.estimator, self.seed, self.progress)

    @property
    def interruption(self) -> str:
        """What an interruption of the pass over the data left to be told; empty without one."""
        return self._finite.interruption

    @property
    def with_inversion(self) -> bool:
        """Whether the group is O(3)."""
        return self.group == "O(3)"

    @cached_property
    def evidence(self) -> Evidence:
        """What the data say about the laws of the class that fits."""
        return self._finite.local_evidence

    def matrix(self, rotation: Float[np.ndarray, "3 3"]) -> Float[np.ndarray, "laws laws"]:
        """How an orthogonal matrix turns the laws."""
        channels = self.pairs.input_channels.matrices(rotation[None])
        target = (self.pairs.target_channels or self.pairs.input_channels).matrices(rotation[None])
        functions, chosen = self._functions
        turned = functions.matrices(np.zeros((1, 0, 0)), channels)[0]
        return np.kron(turned[np.ix_(chosen, chosen)], target[0])

    @cached_property
    def _functions(self) -> tuple[LocalFunctions, list[int]]:
        """All functions of no higher degree than the class that fits has, and which of them it has."""
        everything, (rung, _) = self._finite.everything, self._finite.local
        used = [everything.functions[i] for i in rung.functions]
        degree = max(map(len, used))
        functions = replace(everything, degree=min(degree, everything.degree), powers=degree)
        place = {factors: i for i, factors in enumerate(functions.functions)}
        return functions, [place[factors] for factors in used]

    @cached_property
    def generators(self) -> Float[np.ndarray, "3 laws laws"]:
        """The infinitesimal rotations about x, y, z, as they act on the laws."""
        return generators_of(self.matrix, self._top)

    @property
    def _top(self) -> int:
        """No law turns faster than this degree."""
        return self._functions[0].powers * self.pairs.input_channels.irreps.lmax + self._target_irreps.lmax

    @cached_property
    def parts(self) -> dict[str, Float[np.ndarray, "laws columns"]]:
        """The laws of each degree and parity, as columns."""
        casimir = -np.einsum("aij,ajk->ik", self.generators, self.generators)
        inversion = self.matrix(-np.eye(3)) if self.with_inversion else np.eye(len(casimir))
        values, vectors = np.linalg.eigh(casimir + (self._top + 2) ** 2 * 2 * (np.eye(len(casimir)) - inversion) / 2)
        shift = (self._top + 2) ** 2 * 2
        found: dict[str, list[np.ndarray]] = {}
        for value, vector in zip(values, vectors.T, strict=True):
            odd = value > shift - 0.5
            l = round((-1 + (1 + 4 * max(value - shift * odd, 0.0)) ** 0.5) / 2)
            name = f"{l}{'o' if odd else 'e'}" if self.with_inversion else f"{l}e"
            found.setdefault(name, []).append(vector)
        return {name: np.stack(columns, axis=1) for name, columns in sorted(found.items())}

    def basis(self, name: str) -> Float[np.ndarray, "copies laws dim"]:
        """Laws that turn as the components of an irrep, copy after copy."""
        part, irrep = self.parts[name], Irrep.parse(name)
        even = Irrep(irrep.l, 1)
        small = generators_of(lambda turn: irrep_matrix(even, torch.from_numpy(turn)).numpy(), irrep.l)
        inside = np.einsum("ia,kij,jb->kab", part, self.generators, part, optimize=True)
        values, vectors = np.linalg.eigh(-inside[1] @ inside[1])
        words = [(np.eye(irrep.dim)[irrep.l], vectors[:, values < 0.5])]  # turns about y leave one law of each copy
        fresh = words
        for _ in range(irrep.l):  # turns about x and z make all others from it
            fresh = [(small[axis] @ one, inside[axis] @ laws) for one, laws in fresh for axis in (0, 2)]
            words = [*words, *fresh]
        back = np.linalg.pinv(np.stack([one for one, _ in words], axis=1))
        maps = np.einsum("wnc,wd->cnd", np.stack([laws for _, laws in words]), back, optimize=True)
        return part @ maps

    # -- tests

    def absent(self, name: str) -> Test:
        """Whether the law has no part in an irrep, whatever its parts in all others."""
        others = [part for other, part in self.parts.items() if other != name]
        return self.evidence.score(np.concatenate(others, axis=1), self.parts[name])

    def kept(self, fixed: Float[np.ndarray, "laws laws"]) -> Test:
        """Whether the law's parts in the broken irreps lie where a projector sends everything, whatever the others."""
        broken = np.concatenate([self.parts[name] for name in self._by_size], axis=1)
        values, vectors = np.linalg.eigh(broken.T @ fixed @ broken)
        others = [part for name, part in self.parts.items() if name not in self._by_size]
        return self.evidence.score(
            np.concatenate([broken @ vectors[:, values > 0.5], *others], axis=1), broken @ vectors[:, values <= 0.5]
        )

    @cached_property
    def _cube(self) -> FiniteGroup:
        return point_group("Oh" if self.with_inversion else "O")

    @cached_property
    def _turned(self) -> tuple[np.ndarray, np.ndarray]:
        """How the elements of the cube's group, in the data's frame, turn the functions and the targets."""
        turns = np.einsum("ai,gab,bj->gij", self.frame, self._cube.matrices, self.frame)
        sides = self.pairs.input_channels, self.pairs.target_channels or self.pairs.input_channels
        left, right = (side.matrices(turns) for side in sides)
        functions, chosen = self._functions
        return functions.matrices(np.zeros((len(turns), 0, 0)), left)[:, chosen][:, :, chosen], right

    def fixed_by(self, finite: Subgroup, axis: int | None) -> Float[np.ndarray, "laws laws"]:
        """The projector on the laws kept by a finite group in the data's frame, and by all turns about an axis."""
        left, right = (turned[list(finite.members)] for turned in self._turned)
        projector = np.einsum("gab,gcd->acbd", left, right, optimize=True) / finite.order
        projector = projector.reshape(self.generators.shape[1:])
        if axis is None:
            return projector
        about = np.einsum("a,aij->ij", self.frame[axis], self.generators)
        values, vectors = np.linalg.eigh(-about @ about)
        still = vectors[:, values < 1e-6]
        return meet(projector, still @ still.T)

    @cached_property
    def frame(self) -> Float[np.ndarray, "3 3"]:
        """Rows: the axes that the broken parts single out, x, y, z where they are near these, in the order nearest."""
        wanted: list[np.ndarray] = []
        for name in self._by_size:
            degree = Irrep.parse(name).l
            main = self._main(name) if degree in (1, 2) else np.zeros(0)
            wanted += [main] if degree == 1 else list(principal(tensor(main))) if degree == 2 else []
        axes: list[np.ndarray] = []
        for vector in [*wanted, *np.eye(3)]:
            nearest = int(np.argmax(np.abs(vector)))
            near = abs(vector[nearest]) > np.cos(NEAR) * np.linalg.norm(vector)
            left = np.eye(3)[nearest] if near else vector
            left = left - sum((a * (a @ left) for a in axes), np.zeros(3))
            if len(axes) < 3 and np.linalg.norm(left) > 0.3:
                axes.append(left / np.linalg.norm(left))
        order = max(permutations(range(3)), key=lambda order: sum(abs(axes[i][k]) for k, i in enumerate(order)))
        return np.stack([axes[i] * np.sign(axes[i][np.argmax(np.abs(axes[i]))]) for i in order])

    @cached_property
    def _p_values(self) -> dict[str, float]:
        names = [name for name in self.parts if name != "0e"]
        return dict(zip(names, holm([self.absent(name).p_value for name in names]), strict=True))

    @cached_property
    def _by_size(self) -> list[str]:
        """Broken irreps, the largest part first."""
        broken = [name for name, p in self._p_values.items() if p < self.level]
        return sorted(broken, key=lambda name: -self._size(name).value)

    def _size(self, name: str):
        part = self.parts[name]
        return self.evidence.size_of_image(lambda laws: (laws @ part) @ part.T)

    def _main(self, name: str) -> np.ndarray:
        """The direction of the irrep along which most of the law's part lies, of unit length."""
        found = self.evidence.direction(self.basis(name))
        usual = self._usual(name)
        return (
            found
            if usual is None
            else found * (np.sign(self.evidence.along(usual @ found, self.basis(name) @ found)) or 1)
        )

    def _usual(self, name: str) -> Float[np.ndarray, "laws dim"] | None:
        """The law that people mean by an irrep: E of a = E, B of a = v × B, S of a = S v; for vectors alone."""
        m, q = self.evidence.laws.shape
        found = np.zeros((m, q, Irrep.parse(name).dim))
        if str(self._target_irreps) != "1x1o" or name not in ("1o", "1e", "2e"):
            return None
        if name == "1o":
            found[0] = np.eye(3)
        elif self.pairs.input_channels.irreps[0].ir != Irrep(1, -1) or m < 4:
            return None
        elif name == "1e":
            found[1:4] = np.cross(np.eye(3)[:, None], np.eye(3)[None]).transpose(0, 2, 1)  # (e_a × B_c)_b
        else:
            found[1:4] = np.stack([tensor(row) for row in np.eye(5)], axis=-1)
        return found.reshape(m * q, -1)

    # -- results

    def results(self) -> dict[str, Any]:
        """Everything, as for a finite group; elements are the generators of turns, and inversion."""
        rung, lack = self._finite.local
        return {
            "group": self.group,
            "order": None,
            "kind": "functional",
            "preserved": self._preserved(),
            "proven": self._proven(),
            "elements": self._elements(),
            "irreps": [self._irrep(name, p) for name, p in self._p_values.items()],
            "frame": self.frame.tolist(),
            "detectable_effect": self._detectable(),
            "level": self.level,
            "delta": self.delta,
            "correction": "largest first among closed subgroups, Holm over irreps",
            "estimator": rung.name,
            "units": self._finite.moments.units,
            "explained": 1 - self.evidence.residual_share,
            "lack_of_fit": {"p_value": lack, "flag": not self._finite.trusted},
            "calibration": "placebo" if self._finite.calibrated else None,
            "warnings": self._warnings(),
        }

    def _elements(self) -> list[dict[str, Any]]:
        whole = self.evidence.size.value
        actions: dict[str, np.ndarray] = dict(zip(AXES, self.generators, strict=True))
        if self.with_inversion:
            actions["inversion"] = self.matrix(-np.eye(3)) - np.eye(len(self.generators[0]))
        rows, tests = [], []
        for moves in actions.values():
            values, vectors = np.linalg.eigh(moves.T @ moves)
            tests.append(self.evidence.score(vectors[:, values < 1e-9], vectors[:, values >= 1e-9]).p_value)
        for (name, moves), p in zip(actions.items(), holm(tests), strict=True):
            size = self.evidence.size_of_image(lambda laws, moves=moves: laws @ moves.T).over(whole)
            rows.append({"name": name, "verdict": self._finite._verdict(p, size.upper), "effect": size.value,
                         "interval": [size.low, size.high], "upper": size.upper, "p_value": p})  # fmt: skip
        return rows

    def _irrep(self, name: str, p_value: float) -> dict[str, Any]:
        size = self._size(name).over(self.evidence.size.value)
        verdict = self._finite._verdict(p_value, size.upper)
        broken = verdict == "broken"
        return {
            "irrep": name,
            "dimension": Irrep.parse(name).dim,
            "verdict": verdict,
            "energy_fraction": size.value**2,
            "direction": self._main(name).tolist() if broken else None,
            "direction_symbol": symbol(name, self._main(name)) if broken else None,
            "p_value": p_value,
            "interval": [size.low**2, size.high**2],
            "upper": size.upper,
        } | ({"value": self._natural(name)} if broken else {})

    def _natural(self, name: str) -> list[float] | None:
        """The part in the data's own units, where it is one: E of a = E + …, and B of a = v × B."""
        if name not in ("1o", "1e") or str(self._target_irreps) != "1x1o" or self.pairs.nested:
            return None
        law = self.evidence.law * self._finite.target_scale
        if name == "1o":
            return law[0].tolist()
        if str(self.pairs.input_channels.irreps) != "1x1o":
            return None
        m = law[1:4].T / self._finite.input_scale[0]  # a = M v
        return [float(m[i, j] - m[j, i]) / 2 for i, j in ((1, 2), (2, 0), (0, 1))]

    @property
    def _target_irreps(self) -> Irreps:
        return (self.pairs.target_channels or self.pairs.input_channels).irreps

    def _detectable(self) -> float:
        """The largest over the irreps of the effect that would be found with power 0.8."""
        whole, units = self.evidence.size.value, self.evidence.moments.units
        parts = [part for name, part in self.parts.items() if name != "0e" and units > part.shape[1] + 1]
        sizes = [
            detectable(part.shape[1], units, self.level) ** 0.5 * self.evidence.noise_along(part) for part in parts
        ]
        return max(sizes, default=float("nan")) / whole if whole > 0 else float("nan")

    def _warnings(self) -> list[str]:
        names = [f"{l}{parity}" for l in range(4) for parity in ("eo" if self.with_inversion else "e")]
        unseen = [name for name in names if name not in self.parts]
        return [*self._finite.of_fit(), *([unseen_in(unseen)] if unseen else [])]

    def _closed(self) -> Iterator[tuple[dict[str, Any], Float[np.ndarray, "laws laws"]]]:
        """Closed subgroups about the data's axes with the projectors on the laws that they keep, largest first."""
        scalars = [self.parts.get(scalar, np.zeros((len(self.generators[0]), 0))) for scalar in ("0e", "0o")]
        yield _whole("O3" if self.with_inversion else "SO3", self.group), scalars[0] @ scalars[0].T
        if self.with_inversion:
            yield _whole("SO3", "SO(3)"), scalars[0] @ scalars[0].T + scalars[1] @ scalars[1].T
        everything = subgroups(self._cube)
        for finite in everything:
            for axis, along in enumerate(self.frame):
                if endless := continued(finite, axis):
                    about = symbol("1o", along).removeprefix("along ").lstrip("+-").strip("()")
                    named = _whole(endless, f"{endless}({about})") | {"axis": (along.round(4) + 0.0).tolist()}
                    yield named, self.fixed_by(finite, axis)
        for finite in everything:
            yield described(finite), self.fixed_by(finite, None)

    def _preserved(self) -> dict[str, Any]:
        """The largest closed subgroup, of those about the data's axes, that is not rejected."""
        closed = self._closed()
        whole, _ = next(closed)
        if not self._by_size:
            return whole
        return next(found for found, fixed in closed if self.kept(fixed).p_value >= self.level)

    def _proven(self) -> dict[str, Any]:
        """The largest closed subgroup of which every element moves the law by less than delta, with 95 % confidence.

        No element moves a law by more than twice its distance from the laws that the subgroup keeps.
        """
        whole, found = self.evidence.size.value, {}
        for found, fixed in self._closed():
            if found["order"] == 1:
                break
            away = self.evidence.size_of_image(lambda laws, fixed=fixed: laws - laws @ fixed).over(whole)
            if 2 * away.upper < self.delta and self._finite.trusted:
                break
        return found


def discover_continuous(
    pairs: Pairs, group: str, *, level: float = 0.05, delta: float = 0.01, estimator: Estimator = "auto",
    seed: int = 0, progress: Callable[[int, int], None] = lambda done, total: None,
) -> dict[str, Any]:  # fmt: skip
    """Which irreps of O(3) or SO(3) the law from vectors to vectors breaks, and along which directions."""
    check_pairs(pairs)
    return Continuous(pairs, group, level, delta, estimator, seed, progress).results()


def _whole(name: str, setting: str) -> dict[str, Any]:
    return {"name": name, "order": None, "elements": [], "conjugacy": setting}
