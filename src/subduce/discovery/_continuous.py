"""Laws of vectors under all rotations and reflections: which irreps of O(3) are broken, along what."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import torch
from jaxtyping import Float

from subduce.config import InputError
from subduce.data import Pairs
from subduce.groups import Subgroup, point_group, subgroups
from subduce.o3 import Irrep, Irreps, axis_angle_to_matrix, irrep_matrix

from ._actions import action_on
from ._broken_symmetry import Investigation
from ._describe import described
from ._laws import Evidence
from ._local import LocalFunctions
from ._significance import Test, holm

_AXES = {"Lx": (1.0, 0.0, 0.0), "Ly": (0.0, 1.0, 0.0), "Lz": (0.0, 0.0, 1.0)}
_NEAR = 0.1  # radians: axes of the data nearer than this to x, y, z are taken to be those


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
    seed: int = 0

    @cached_property
    def _finite(self) -> Investigation:
        if self.pairs.shape:
            raise InputError(f"{self.group} does not act on a grid: on fields take Oh, O or D4h, which do exactly")
        if self.pairs.input_channels.coordinates != ("x", "y", "z"):
            raise InputError(f"{self.group} acts on vectors of space, and these lie in the plane; take Dn or Cn")
        action = action_on(self.pairs, point_group("Ih" if self.with_inversion else "I"))
        return Investigation(self.pairs, action, self.level, self.delta, seed=self.seed)

    @property
    def with_inversion(self) -> bool:
        """Whether the group is O(3)."""
        return self.group == "O(3)"

    @cached_property
    def evidence(self) -> Evidence:
        """What the data say about the laws of the class that fits."""
        return self._finite.evidence

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
        everything, (rung, _) = self._finite.everything, self._finite.fits
        used = [everything.functions[i] for i in rung.functions]
        degree = max(map(len, used))
        functions = replace(everything, degree=min(degree, everything.degree), powers=degree)
        place = {factors: i for i, factors in enumerate(functions.functions)}
        return functions, [place[factors] for factors in used]

    @cached_property
    def generators(self) -> Float[np.ndarray, "3 laws laws"]:
        """The infinitesimal rotations about x, y, z, as they act on the laws."""
        return _generators(self.matrix, self._top)

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
        part = self.parts[name]
        irrep = Irrep.parse(name)
        even = Irrep(irrep.l, 1)
        small = _generators(lambda turn: irrep_matrix(even, torch.from_numpy(turn)).numpy(), irrep.l)
        inside = np.einsum("ia,kij,jb->kab", part, self.generators, part)
        n, d = part.shape[1], irrep.dim
        both = zip(inside, small, strict=True)
        equations = np.concatenate([np.kron(a, np.eye(d)) - np.kron(np.eye(n), s.T) for a, s in both])
        values, right = np.linalg.svd(equations, full_matrices=False)[1:]
        null = right[np.sum(values > 1e-8) :]
        maps = [part @ row.reshape(n, d) * d**0.5 for row in null]
        return np.stack([found * _sign(found, irrep, self.evidence.laws.shape[1]) for found in maps])

    # -- tests

    def absent(self, name: str) -> Test:
        """Whether the law has no part in an irrep, whatever its parts in all others."""
        others = [part for other, part in self.parts.items() if other != name]
        return self.evidence.score(np.concatenate(others, axis=1), self.parts[name])

    def kept(self, fixed: Float[np.ndarray, "laws laws"]) -> Test:
        """Whether the law lies where a projector sends everything."""
        values, vectors = np.linalg.eigh((fixed + fixed.T) / 2)
        return self.evidence.score(vectors[:, values > 0.5], vectors[:, values <= 0.5])

    def fixed_by(self, finite: Subgroup, axis: int | None) -> Float[np.ndarray, "laws laws"]:
        """The projector on the laws kept by a finite group in the data's frame, and by all turns about an axis."""
        members = finite.parent.matrices[list(finite.members)]
        projector = np.mean([self.matrix(self.frame.T @ matrix @ self.frame) for matrix in members], axis=0)
        if axis is None:
            return projector
        about = np.einsum("a,aij->ij", self.frame[axis], self.generators)
        values, vectors = np.linalg.eigh(-about @ about)
        still = vectors[:, values < 1e-6]
        both = still @ still.T
        return _meet(projector, both)

    @cached_property
    def frame(self) -> Float[np.ndarray, "3 3"]:
        """Rows: the axes that the broken parts single out, x, y, z where they are near these."""
        wanted: list[np.ndarray] = []
        for name in self._by_size:
            irrep = Irrep.parse(name)
            if irrep.l == 1:
                wanted.append(self._main(name))
            elif irrep.l == 2:
                wanted.extend(np.linalg.eigh(_tensor(self._main(name)))[1].T[::-1])
        axes: list[np.ndarray] = []
        for vector in [*wanted, *np.eye(3)]:
            left = vector - sum((a * (a @ vector) for a in axes), np.zeros(3))
            if len(axes) < 3 and np.linalg.norm(left) > 0.3:
                axes.append(left / np.linalg.norm(left))
        snapped = [np.eye(3)[int(np.argmax(np.abs(a)))] for a in axes]
        near = all(np.arccos(min(1.0, abs(float(a @ s)))) < _NEAR for a, s in zip(axes, snapped, strict=True))
        return np.eye(3) if near and len({tuple(s) for s in snapped}) == 3 else np.stack(axes)

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
        return self.evidence.direction(self.basis(name))

    # -- results

    def results(self) -> dict[str, Any]:
        """Everything, as for a finite group; elements are the generators of turns, and inversion."""
        rung, lack = self._finite.fits
        return {
            "group": self.group,
            "order": None,
            "kind": "functional",
            "preserved": self._preserved(),
            "elements": self._elements(),
            "irreps": [self._irrep(name, p) for name, p in self._p_values.items()],
            "frame": self.frame.tolist(),
            "detectable_effect": self._finite._detectable(),
            "level": self.level,
            "delta": self.delta,
            "correction": "largest first among closed subgroups, Holm over irreps",
            "estimator": rung.name,
            "units": self._finite.moments.units,
            "explained": 1 - self.evidence.residual_share,
            "lack_of_fit": {"p_value": lack, "flag": not self._finite.trusted},
            "warnings": [] if self._finite.trusted else ["symmetric laws beyond this class are needed (lack of fit)"],
        }

    def _elements(self) -> list[dict[str, Any]]:
        whole = self.evidence.size.value
        actions: dict[str, np.ndarray] = dict(zip(_AXES, self.generators, strict=True))
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
            "direction_symbol": _symbol(name, self._main(name)) if broken else None,
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

    def _preserved(self) -> dict[str, Any]:
        """The largest closed subgroup, of those about the data's axes, that is not rejected."""
        if not self._by_size:
            name = "O3" if self.with_inversion else "SO3"
            return {"name": name, "order": None, "elements": [], "conjugacy": self.group}
        found: list[tuple[tuple, dict[str, Any]]] = []
        whole = point_group("Oh" if self.with_inversion else "O")
        for finite in subgroups(whole):
            for axis in (0, 1, 2):
                continued = _continued(finite, axis)
                if continued and self.kept(self.fixed_by(finite, axis)).p_value >= self.level:
                    rank = (1, finite.order)
                    along = self.frame[axis].round(4).tolist()
                    about = _symbol("1o", self.frame[axis]).removeprefix("along ").lstrip("+-").strip("()")
                    found.append((rank, {"name": continued, "order": None, "axis": along, "elements": [],
                                         "conjugacy": f"{continued}({about})"}))  # fmt: skip
            larger = not found or (not found[0][0][0] and finite.order >= found[0][0][1])
            if larger and self.kept(self.fixed_by(finite, None)).p_value >= self.level:
                found.append(((0, finite.order), described(finite)))
        return max(found, key=lambda pair: pair[0])[1]


def discover_continuous(
    pairs: Pairs, group: str, *, level: float = 0.05, delta: float = 0.01, seed: int = 0,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> dict[str, Any]:  # fmt: skip
    """Which irreps of O(3) or SO(3) the law from vectors to vectors breaks, and along which directions."""
    del progress
    if pairs.identity:
        raise InputError("target and input are the same array: the identity keeps every symmetry; see --distribution")
    return Continuous(pairs, group, level, delta, seed).results()


def _generators(matrix: Callable[[np.ndarray], np.ndarray], degree: int) -> Float[np.ndarray, "3 dim dim"]:
    """Infinitesimal rotations about x, y, z of a representation that holds no degree above the one given.

    Matrix elements are trigonometric polynomials of the angle, whose derivative a few angles give exactly.
    """
    n = 2 * degree + 3
    angles = 2 * np.pi * np.arange(n) / n
    weights = np.array([sum(k * np.sin(k * angle) for k in range(1, degree + 2)) * 2 / n for angle in angles])
    found = []
    for axis in _AXES.values():
        turns = axis_angle_to_matrix(torch.tensor(axis, dtype=torch.float64).expand(n, 3), torch.from_numpy(angles))
        found.append(np.einsum("k,kab->ab", weights, np.stack([matrix(turn.numpy()) for turn in turns])))
    return np.stack(found)


def _sign(found: np.ndarray, irrep: Irrep, targets: int) -> float:
    """The sign that makes a copy say what people mean: E of a = E, B of a = v × B; else the first entry is positive."""
    entries = found.reshape(-1, targets, irrep.dim)
    if irrep.l == 1 and targets == 3:
        polar = float(np.trace(entries[0]))
        if abs(polar) > 1e-9:
            return float(np.sign(polar))
        if len(entries) >= 4 and abs(entries[2, 0, 2]) > 1e-9:  # v_y, a_x, B_z
            return float(np.sign(entries[2, 0, 2]))
    flat = found.reshape(-1)
    return float(np.sign(flat[np.flatnonzero(np.abs(flat) > 1e-6)[0]]))


def _tensor(components: np.ndarray) -> Float[np.ndarray, "3 3"]:
    """The symmetric traceless tensor of 2e in e3nn's order: xz, xy, 2y² − x² − z², yz, z² − x²."""
    xz, xy, yy, yz, last = (float(c) for c in components)
    s = 3**-0.5
    return np.array([[-s * yy - last, xy, xz], [xy, 2 * s * yy, yz], [xz, yz, -s * yy + last]])


def _meet(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """The projector on what two projectors both keep."""
    values, vectors = np.linalg.eigh((first @ second @ first + (first @ second @ first).T) / 2)
    kept = vectors[:, values > 1 - 1e-8]
    return kept @ kept.T


_CONTINUED = {"D4h": "Dinfh", "C4v": "Cinfv", "C4h": "Cinfh", "D4": "Dinf", "C4": "Cinf"}


def _continued(finite: Subgroup, axis: int) -> str | None:
    """The group that a finite one becomes with all turns about one of its axes, for those that name it."""
    about = "xyz"[axis]
    return _CONTINUED.get(finite.name) if finite.setting == f"{finite.name}({about})" else None


def _symbol(name: str, direction: np.ndarray) -> str:
    """A direction in words: `along x` for vectors near an axis, else its components."""
    if Irrep.parse(name).l == 1:
        largest = int(np.argmax(np.abs(direction)))
        if abs(direction[largest]) > np.cos(_NEAR):
            return f"along {'+' if direction[largest] > 0 else '-'}{'xyz'[largest]}"
    return "(" + ",".join(f"{component:.2f}" for component in direction) + ")"
