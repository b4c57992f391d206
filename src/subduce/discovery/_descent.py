"""Descents from a point of high symmetry: unstable irreps, isotropy directions, minima and saddles below."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from jaxtyping import Bool, Float
from scipy.optimize import minimize

from ._objective import Objective, Space, SpaceIrrep, isotropy_spaces

_LARGE = 30  # components: above, the minimiser keeps no matrix
_NUDGE = 0.05  # of a child's length: how far it is pushed to see whether it is a saddle


@dataclass(frozen=True, eq=False)
class Multiplet:
    """One eigenvalue of the Hessian, and vectors that turn as its irrep's components."""

    of: SpaceIrrep
    eigenvalue: float
    vectors: Float[np.ndarray, "dim d"]
    cusp: bool


@dataclass(frozen=True, eq=False)
class Child:
    """A stationary point of lower symmetry: where it lies, its energy, what it keeps and how it was reached."""

    vector: Float[np.ndarray, " dim"]
    energy: float
    kept: Bool[np.ndarray, " order"]
    along: str
    stable: bool


class Unbounded(Exception):
    """The objective falls without end."""


@dataclass(frozen=True, eq=False)
class Search:
    """The descent from one point of high symmetry."""

    objective: Objective
    space: Space
    origin: Float[np.ndarray, " dim"]
    energy: float
    floating: bool
    threshold: float | None
    dimensions: int
    seed: int
    warnings: list[str]
    progress: Callable[[int, int], None]

    @property
    def same(self) -> float:
        """Two vectors are the same below this share of their length."""
        return min(1e-3, self.objective.slope**0.5)

    @cached_property
    def blocks(self) -> tuple[tuple[SpaceIrrep, np.ndarray, np.ndarray, bool], ...]:
        """Of every irrep: itself, its basis as columns, the Hessian in them, and whether slopes jump there."""
        found = []
        for one, basis in self.space.parts:
            first, jumps = self.objective.columns(self.origin, basis[:, :, 0].T)
            images = self.space.images(first)
            weights = one.irrep.matrices[:, :, 0] * (one.irrep.dim / len(images))
            columns = np.einsum("gnc,gj->ncj", images, weights).reshape(self.space.dim, -1)
            flat = basis.transpose(1, 0, 2).reshape(self.space.dim, -1)
            block = flat.T @ columns
            found.append((one, flat, (block + block.T) / 2, bool(jumps.any())))
        return tuple(found)

    @cached_property
    def soft(self) -> Float[np.ndarray, "dim dim"]:
        """The inverse of the Hessian's absolute value, with no mode much softer than the rest: a good first step."""
        found = np.zeros((self.space.dim, self.space.dim))
        scale = max(float(np.abs(block).max()) for _, _, block, _ in self.blocks) or 1.0
        for _, flat, block, _ in self.blocks:
            values, vectors = np.linalg.eigh(block)
            directions = flat @ vectors
            found += (directions / np.maximum(np.abs(values), 0.05 * scale)) @ directions.T
        return found

    @cached_property
    def multiplets(self) -> tuple[Multiplet, ...]:
        """All eigenvalues of the Hessian, lowest first, each with its irrep."""
        scale = max(float(np.abs(np.linalg.eigvalsh(block)).max()) for _, _, block, _ in self.blocks)
        found = [m for block in self.blocks for m in _multiplets(*block, 1e-7 * scale)]
        return tuple(sorted(found, key=lambda m: m.eigenvalue))

    @cached_property
    def unstable(self) -> tuple[Multiplet, ...]:
        """The multiplets whose eigenvalue is negative beyond what the Hessian's own errors could do."""
        scale = max(abs(m.eigenvalue) for m in self.multiplets)
        below = self.threshold if self.threshold is not None else 3 * self.objective.precision * scale
        return tuple(m for m in self.multiplets if m.eigenvalue < -below)

    def children(self) -> list[Child]:
        """The stationary points below the origin that descents lead to, lowest first, one of each set of domains."""
        found: list[Child] = []
        ways = [(m, *way) for m in self.unstable for way in isotropy_spaces(m.of, self.dimensions)]
        for done, (multiplet, basis, symbol) in enumerate(ways):
            self.progress(done, 2 * len(ways))
            kept = np.linalg.norm(multiplet.of.irrep.matrices @ basis - basis, axis=(1, 2)) < 1e-6
            name = f"{multiplet.of.irrep.name} {symbol}"
            for start in _starts(basis, multiplet.of.irrep.matrices):
                self._add(found, self._descended(multiplet.vectors @ start, kept, name))
        for done, child in enumerate(list(found)):
            self.progress(len(ways) + done, len(ways) + len(found))
            released = self._released(child)
            if released is not None:
                found[found.index(child)] = replace(child, stable=False)
                self._add(found, released)
        least = min((child.energy for child in found), default=0.0)
        ties = least + 10 * self._alike(
            least
        )  # of children as low as the lowest, that of the highest symmetry is first
        return sorted(found, key=lambda c: (c.energy > ties, -c.kept.sum() if c.energy <= ties else 0, c.energy))

    def _descended(self, direction: np.ndarray, kept: np.ndarray, along: str) -> Child | None:
        """The minimum among the vectors that a subgroup keeps, from the best point along a direction."""
        length, best = 10 * self.objective.step, self.energy
        energy = self._at(length * direction)
        while energy <= best and length < self.objective.largest:
            best, length = energy, 2 * length
            energy = self._at(length * direction)
        try:
            vector, energy = self.minimum(length / 2 * direction, np.concatenate(self.space.fixed(kept), axis=1))
            vector = self._domain(vector, direction)
        except Unbounded:
            self.warnings.append(f"along {along} the objective falls without end: no child was looked for there")
            return None
        return self._child(vector, energy, along)

    def _domain(self, vector: np.ndarray, like: np.ndarray) -> np.ndarray:
        """The image of a vector under the group that is most alike another."""
        images = self.space.images(vector[:, None])[:, :, 0]
        overlaps = images @ like
        return images[int(np.argmax(overlaps > overlaps.max() - 1e-6 * np.abs(overlaps).max()))]

    def _child(self, vector: np.ndarray, energy: float, along: str) -> Child | None:
        if self.floating:
            vector = (vector.reshape(-1, 3) - vector.reshape(-1, 3).mean(axis=0)).ravel()
        if energy >= self.energy or not np.linalg.norm(vector) > self.objective.step:
            return None
        kept = self.space.keeping(vector, self.same)
        return Child(self.space.averaged(vector, kept), energy, kept, along, stable=True)

    def _released(self, child: Child) -> Child | None:
        """The child that lies below, where a push along all unstable modes and any other leads away from this one."""
        random = np.random.default_rng(self.seed)
        push = 0.2 * random.normal(size=self.space.dim) / np.sqrt(self.space.dim)
        push += sum(m.vectors @ random.normal(size=m.vectors.shape[1]) for m in self.unstable)
        push *= _NUDGE * np.linalg.norm(child.vector) / np.linalg.norm(push)
        along = f"{child.along}, then all"
        try:
            vector, energy = self.minimum(child.vector + push, np.eye(self.space.dim))
            if energy > child.energy - self._alike(child.energy):
                return None
            for tolerance in (10 * self.same, self.same):  # what is nearly kept is kept, unless that costs energy
                kept = self.space.keeping(vector, tolerance)
                start, basis = self.space.averaged(vector, kept), np.concatenate(self.space.fixed(kept), axis=1)
                tidied, lowest = self.minimum(start, basis)
                if lowest <= energy + self._alike(energy):
                    break
            return self._child(self._domain(tidied, child.vector), lowest, along)
        except Unbounded:
            self.warnings.append(f"from the child along {child.along} the objective falls without end")
            return None

    def _alike(self, energy: float) -> float:
        """Energies as near as this are the same."""
        return max(1e-5, 0.1 * self.objective.precision) * abs(energy - self.energy)

    def _add(self, found: list[Child], child: Child | None) -> None:
        """Keep a child that is no domain of one that is there."""
        if child is None:
            return
        images = self.space.images(child.vector[:, None])[:, :, 0]
        for other in found:
            if abs(other.energy - child.energy) <= 10 * self._alike(child.energy):
                far = np.linalg.norm(images - other.vector, axis=1).min()
                if far <= 10 * self.same * np.linalg.norm(child.vector):
                    return
        found.append(child)

    def _at(self, vector: np.ndarray) -> float:
        energy = self.objective.value(self.origin + vector)[0]
        return energy if np.isfinite(energy) else np.inf

    def minimum(self, start: np.ndarray, basis: np.ndarray, soft: np.ndarray | None = None) -> tuple[np.ndarray, float]:
        """The nearest minimum within a subspace, as a vector from the origin, and its energy."""
        longest = self.objective.largest * np.sqrt(max(self.space.dim / 3, 1))
        factor = np.linalg.cholesky(basis.T @ (self.soft if soft is None else soft) @ basis)
        basis, inverse = basis @ factor, np.linalg.inv(factor) @ basis.T

        def energy_of(coordinates: np.ndarray) -> tuple[float, np.ndarray]:
            vector = basis @ coordinates
            if np.linalg.norm(vector) > longest:
                raise Unbounded
            energy, slope = self.objective.value(self.origin + vector)
            return energy, basis.T @ slope

        small = basis.shape[1] <= _LARGE
        slope = self.objective.slope * float(np.abs(np.diagonal(factor)).max())
        options = {"gtol": slope, "maxiter": 1000} | ({} if small else {"ftol": 0.0, "maxcor": _LARGE})
        found = minimize(energy_of, inverse @ start, jac=True, method="BFGS" if small else "L-BFGS-B", options=options)
        return basis @ found.x, float(found.fun)


def _multiplets(one: SpaceIrrep, flat: np.ndarray, block: np.ndarray, cusp: bool, close: float) -> list[Multiplet]:
    """The eigenvalues of one irrep's block, each with vectors that turn as the irrep.

    An eigenspace holds the images of the basis's copies, and these turn as the copies do: the largest is taken.
    """
    size = one.irrep.dim
    values, vectors = np.linalg.eigh(block)
    found, start = [], 0
    while start < len(values):
        end = start + size
        while end < len(values) and values[end] - values[end - 1] < close:
            end += size
        space = vectors[:, start:end] @ vectors[:, start:end].T
        for place in range(start, end, size):
            copies = space.reshape(len(values), -1, size)
            lead = copies[:, int(np.argmax(np.linalg.norm(copies[:, :, 0], axis=0)))]
            lead = lead / np.linalg.norm(lead[:, 0])
            found.append(Multiplet(one, float(values[place : place + size].mean()), flat @ lead, cusp))
            space = space - lead @ lead.T
        start = end
    return found


def _starts(basis: np.ndarray, matrices: np.ndarray) -> list[np.ndarray]:
    """Vectors of an isotropy direction to descend along: both signs where they are no domains of each other."""
    if basis.shape[1] == 1:
        line = basis[:, 0]
        same = (np.linalg.norm(matrices @ line + line, axis=1) < 1e-6).any()
        return [line] if same else [line, -line]
    angles = np.random.default_rng(0).normal(size=(2, basis.shape[1]))
    return [basis @ angle / np.linalg.norm(angle) for angle in angles]
