"""From an objective to what breaks the symmetry: unstable irreps, the children they lead to, the ground state."""

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import combinations
from typing import Any

import numpy as np
from ase.calculators.calculator import Calculator
from jaxtyping import Bool, Float
from scipy.optimize import minimize

from subduce.config import InputError
from subduce.groups import invariant_basis
from subduce.records import Record

from ._objective import Objective, Space, SpaceIrrep, check_invariant, isotropy_spaces, of_calculator, of_function

_SHARE = 1e-4  # a component of a child counts above this share of its length
_LARGE = 300  # components: above, the minimiser keeps no matrix
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


class _Unbounded(Exception):
    """The objective falls without end."""


@dataclass(frozen=True, eq=False)
class _Search:
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
        for done, (one, basis) in enumerate(self.space.parts):
            self.progress(done, len(self.space.parts))
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
            self.progress(done, len(ways))
            kept = np.linalg.norm(multiplet.of.irrep.matrices @ basis - basis, axis=(1, 2)) < 1e-6
            name = f"{multiplet.of.irrep.name} {symbol}"
            for start in _starts(basis, multiplet.of.irrep.matrices):
                self._add(found, self._descended(multiplet.vectors @ start, kept, name))
        for child in list(found):
            released = self._released(child)
            if released is not None:
                found[found.index(child)] = replace(child, stable=False)
                self._add(found, released)
        return sorted(found, key=lambda child: child.energy)

    def _descended(self, direction: np.ndarray, kept: np.ndarray, along: str) -> Child | None:
        """The minimum among the vectors that a subgroup keeps, from the best point along a direction."""
        length, best = 10 * self.objective.step, self.energy
        energy = self._at(length * direction)
        while energy <= best and length < self.objective.largest:
            best, length = energy, 2 * length
            energy = self._at(length * direction)
        try:
            vector, energy = self._minimum(length / 2 * direction, self.space.fixed(kept))
            vector = self._domain(vector, direction)
        except _Unbounded:
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
        return Child(self.space.images(vector[:, None])[kept, :, 0].mean(axis=0), energy, kept, along, stable=True)

    def _released(self, child: Child) -> Child | None:
        """The child that lies below, where a push along all unstable modes and any other leads away from this one."""
        random = np.random.default_rng(self.seed)
        push = 0.2 * random.normal(size=self.space.dim) / np.sqrt(self.space.dim)
        push += sum(m.vectors @ random.normal(size=m.vectors.shape[1]) for m in self.unstable)
        push *= _NUDGE * np.linalg.norm(child.vector) / np.linalg.norm(push)
        along = f"{child.along}, then all"
        try:
            vector, energy = self._minimum(child.vector + push, np.eye(self.space.dim))
            if energy > child.energy - self._alike(child.energy):
                return None
            for tolerance in (10 * self.same, self.same):  # what is nearly kept is kept, unless that costs energy
                kept = self.space.keeping(vector, tolerance)
                start = self.space.images(vector[:, None])[kept, :, 0].mean(axis=0)
                tidied, lowest = self._minimum(start, self.space.fixed(kept))
                if lowest <= energy + self._alike(energy):
                    break
            return self._child(self._domain(tidied, child.vector), lowest, along)
        except _Unbounded:
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

    def _minimum(
        self, start: np.ndarray, basis: np.ndarray, soft: np.ndarray | None = None
    ) -> tuple[np.ndarray, float]:
        """The nearest minimum within a subspace, as a vector from the origin, and its energy."""
        longest = self.objective.largest * np.sqrt(max(self.space.dim / 3, 1))
        factor = np.linalg.cholesky(basis.T @ (self.soft if soft is None else soft) @ basis)
        basis, inverse = basis @ factor, np.linalg.inv(factor) @ basis.T

        def energy_of(coordinates: np.ndarray) -> tuple[float, np.ndarray]:
            vector = basis @ coordinates
            if np.linalg.norm(vector) > longest:
                raise _Unbounded
            energy, slope = self.objective.value(self.origin + vector)
            return energy, basis.T @ slope

        small = basis.shape[1] <= _LARGE
        slope = self.objective.slope * float(np.abs(np.diagonal(factor)).min())
        options = {"gtol": slope, "maxiter": 1000} | ({} if small else {"ftol": 0.0})
        found = minimize(energy_of, inverse @ start, jac=True, method="BFGS" if small else "L-BFGS-B", options=options)
        return basis @ found.x, float(found.fun)

    # -- what a child is made of

    def components(self, child: Child) -> list[dict[str, Any]]:
        """Its irreps with amplitudes and directions; which are primary, and how the others scale with these."""
        length, rows = np.linalg.norm(child.vector), []
        cells = self.space.cells
        kept = self.space.called(child.kept)
        for place, (one, flat, _, _) in enumerate(self.blocks):
            copies = (flat.T @ child.vector).reshape(-1, one.irrep.dim)
            size = float(np.linalg.norm(copies))
            if size < _SHARE * length:
                continue
            lead = np.linalg.svd(copies)[2][0]
            lead = lead * np.sign(lead @ copies[np.argmax(np.linalg.norm(copies, axis=1))])
            allowed = invariant_basis(one.irrep.matrices[child.kept])
            amplitude = {"amplitude": float(size * np.sqrt(kept.get("cell_size", 1) / cells))}
            amplitude |= {"amplitude_parent": float(size / np.sqrt(cells))} if cells > 1 else {}
            about = {"direction": (np.round(lead, 12) + 0.0).tolist(), "direction_symbol": one.symbol(allowed)}
            rows.append({**one.label, **amplitude, **about, "place": place, "size": size})
        rows.sort(key=lambda row: -row["size"])
        primary = self._primary(child, [row["place"] for row in rows])
        exponents = self._exponents(child, primary)
        for row in rows:
            place = row.pop("place")
            row.pop("size")
            row["primary"] = place in primary
            row["exponent"] = 1.0 if place in primary else exponents.get(place)
        return sorted(rows, key=lambda row: not row["primary"])

    def _part(self, child: Child, places: tuple[int, ...]) -> np.ndarray:
        """The part of a child in some irreps."""
        flat = np.concatenate([self.blocks[place][1] for place in places], axis=1)
        return flat @ (flat.T @ child.vector)

    def _primary(self, child: Child, places: list[int]) -> tuple[int, ...]:
        """The fewest irreps whose parts together keep no more than the child; larger amplitudes first."""
        kept = {place: self.space.keeping(self._part(child, (place,)), 10 * self.same) for place in places}
        for count in range(1, len(places) + 1):
            for some in combinations(places, count):
                if np.logical_and.reduce([kept[place] for place in some]).sum() == child.kept.sum():
                    return some
        return tuple(places)

    def _exponents(self, child: Child, primary: tuple[int, ...]) -> dict[int, float | None]:
        """The power of the primary amplitude with which each other irrep follows it, as that goes to zero.

        The others are at the stationary point that starts at zero, found by steps of Newton's method with the Hessian
        of the origin; below the noise of the slopes nothing is said.
        """
        within = self.space.fixed(child.kept)
        others = [i for i in range(len(self.blocks)) if i not in primary]
        parts = {i: _span(within.T @ self.blocks[i][1]) for i in others}
        if not others or not any(part.shape[1] for part in parts.values()):
            return {}
        basis = within @ np.concatenate(list(parts.values()), axis=1)
        hessian = sum((basis.T @ self.blocks[i][1]) @ self.blocks[i][2] @ (self.blocks[i][1].T @ basis) for i in others)
        inverse = np.linalg.pinv(hessian, rcond=1e-3 * self.objective.precision**0.5, hermitian=True)
        sizes = {i: [] for i in others}
        lead = self._part(child, primary)
        for scale in self.objective.scales:
            follow = np.zeros(basis.shape[1])
            for _ in range(20):
                slope = basis.T @ self.objective.value(self.origin + scale * lead + basis @ follow)[1]
                change = inverse @ slope
                follow = follow - change
                if np.linalg.norm(change) <= 1e-9 * np.linalg.norm(follow):
                    break
            for i in others:
                sizes[i].append(float(np.linalg.norm(self.blocks[i][1].T @ (basis @ follow))))
        least = 1e-3 * self.objective.slope * float(np.abs(inverse).max())
        return {i: _exponent(found) if min(found) > least else None for i, found in sizes.items()}


def _exponent(sizes: list[float]) -> float:
    """The power of halved scales with which sizes fall, without its own quadratic error."""
    coarse, fine = np.log2(sizes[0] / sizes[1]), np.log2(sizes[1] / sizes[2])
    return float((4 * fine - coarse) / 3)


def _span(columns: np.ndarray) -> np.ndarray:
    """An orthonormal basis of what some columns span."""
    left, sizes, _ = np.linalg.svd(columns, full_matrices=False)
    return left[:, sizes > 0.5]


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


def instabilities(
    objective: Callable | Calculator,
    space: Space,
    *,
    at: Float[np.ndarray, " dim"] | None = None,
    step: float | None = None,
    threshold: float | None = None,
    dimensions: int = 2,
    seed: int = 0,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Record:
    """The unstable irreps of an objective at a point of high symmetry, and the children that descents along them reach.

    `objective` is a function of a vector of the space (a torch tensor: derivatives are exact; or an array, giving the
    energy or the energy and its slope), or an ASE calculator on a space of sites (eV, Å). `at` is the symmetric point,
    0 by default; it is moved to its minimum among the vectors that the whole group keeps. One column of the Hessian is
    computed for each copy of an irrep; `step` is that of differences where they are needed (0.01 Å for calculators).
    Eigenvalues below minus `threshold` are unstable, by default three times the errors of the differences. Descents
    start along every isotropy direction with up to `dimensions` free amplitudes, first among the vectors that its
    subgroup keeps, then among all.

    Results: `irreps` (eigenvalues by irrep), `unstable`, `children` (subgroup, energy below the symmetric point, number
    of domains, whether it is `stable` or a saddle, `components` by irrep: `primary`, or following with an `exponent`),
    `ground_state` (its place among the children, None without one), `warnings`, `methods`.

    Raises `InputError` for an objective that the group changes.

    >>> import torch
    >>> from subduce.groups import point_group
    >>> from subduce.discovery import group_space
    >>> landau = lambda p: -0.5 * (p @ p) + 0.25 * (p**4).sum() + (p @ p) ** 2
    >>> found = instabilities(landau, group_space(point_group("Oh"), "T1u")).results
    >>> found["unstable"][0]["irrep"], found["children"][found["ground_state"]]["subgroup"]["setting"]
    ('T1u', 'C3v([111])')
    """
    began = time.monotonic()
    if dimensions < 1:
        raise ValueError(f"dimensions must be at least 1, got {dimensions}")
    search = _search(objective, space, at, step, threshold, dimensions, seed, progress)
    children = search.children()
    settings = {"space": space.name, "step": search.objective.step, "threshold": threshold, "dimensions": dimensions,
                "seed": seed}  # fmt: skip
    return Record("instabilities", {}, settings, _results(search, children), time.monotonic() - began)


def _search(
    objective: Callable | Calculator,
    space: Space,
    at: np.ndarray | None,
    step: float | None,
    threshold: float | None,
    dimensions: int,
    seed: int,
    progress: Callable[[int, int], None],
) -> _Search:
    """The search from the symmetric point's own minimum; what the group changes is refused."""
    origin = np.zeros(space.dim) if at is None else np.asarray(at, dtype=np.float64).ravel()
    if origin.shape != (space.dim,):
        raise ValueError(f"`at` has {origin.size} components, a vector of {space.name} has {space.dim}")
    if isinstance(objective, Calculator):
        if not space.displacements:
            raise ValueError("a calculator needs a space of displacements of all sites; see site_space")
        about = of_calculator(objective, space.sites, step)
    else:
        about = of_function(objective, space.shape, step)
    everything = np.ones(len(space.turns), dtype=bool)
    if not space.keeping(origin, 1e-6).all():
        raise InputError(f"`at` is no point of high symmetry: some elements of the group of {space.name} move it")
    floating = check_invariant(about, space, origin, seed)
    search = _Search(about, space, origin, 0.0, floating, threshold, dimensions, seed, [], progress)
    if (free := space.fixed(everything)).shape[1]:
        try:
            origin = origin + search._minimum(np.zeros(space.dim), free, 0.01 * np.eye(space.dim))[0]
        except _Unbounded:
            raise InputError("the objective falls without end among the vectors that the whole group keeps") from None
    energy = about.value(origin)[0]
    if not np.isfinite(energy):
        raise InputError(f"the objective is {energy} at the symmetric point")
    return replace(search, origin=origin, energy=energy)


def _results(search: _Search, children: list[Child]) -> dict[str, Any]:
    """What a record holds."""
    rows = []
    for one, _, _, _ in search.blocks:
        values = [m.eigenvalue for m in search.multiplets if m.of is one]
        below = [m for m in search.unstable if m.of is one]
        rows.append({**one.label, "eigenvalues": values, "unstable": len(below)})
    unstable = [{**m.of.label, "eigenvalue": None if m.cusp else m.eigenvalue, "cusp": m.cusp} for m in search.unstable]
    return {
        "verdict": _verdict(search, children),
        "energy": search.energy,
        "origin": search.origin.reshape(search.space.shape).tolist(),
        "irreps": rows,
        "unstable": unstable,
        "children": [_told(search, child) for child in children],
        "ground_state": 0 if children else None,
        "warnings": list(dict.fromkeys(search.warnings)),
        "methods": _methods(search),
    }


def _told(search: _Search, child: Child) -> dict[str, Any]:
    """A child as a record holds it; energies are relative to the symmetric point."""
    kept = search.space.called(child.kept)
    found = {
        "along": child.along,
        "subgroup": kept,
        "domains": kept["index"],
        "energy": child.energy - search.energy,
        "stable": child.stable,
        "components": search.components(child),
        "vector": child.vector.reshape(search.space.shape).tolist(),
    }
    if search.space.displacements and (atoms := search.space.sites) is not None:
        positions = atoms.positions + (search.origin + child.vector).reshape(-1, 3)
        species = atoms.get_chemical_symbols()
        found["structure"] = {"cell": atoms.cell.array.tolist(), "species": species, "positions": positions.tolist()}
    return found


def _verdict(search: _Search, children: list[Child]) -> str:
    """The findings in a sentence."""
    if not search.unstable:
        return f"Stable: no irrep of {search.space.name} has a negative eigenvalue."
    names = ", ".join(dict.fromkeys(m.of.irrep.name for m in search.unstable))
    if not children:
        return f"Unstable along {names}, but no child was reached."
    kept = search.space.called(children[0].kept)
    group = f"{kept['symbol']} ({kept['number']})" if "symbol" in kept else kept["setting"]
    depth = search.energy - children[0].energy
    return f"Unstable along {names}; the lowest child keeps {group}, {depth:.6g} below, in {kept['index']} domains."


def _parts(scales: tuple[float, ...]) -> str:
    return ", ".join(f"1/{round(1 / scale)}" for scale in scales)


def _methods(search: _Search) -> str:
    """How it was found, in words that a paper can use."""
    how = "automatic differentiation" if search.objective.exact else "central differences of the slopes"
    step = "" if search.objective.exact else f" (step {search.objective.step:g})"
    return (
        f"The Hessian at the symmetric point was found by {how}{step}, one column for each copy of an irrep in "
        "symmetry-adapted coordinates, and diagonalised irrep by irrep. Along every unstable irrep and every isotropy "
        f"direction with up to {search.dimensions} free amplitudes the objective was minimised among the vectors that "
        "the isotropy subgroup keeps, then, from a point pushed off it, among all; children that the group maps onto "
        "each other are one. Primary are the fewest irreps whose parts keep no more than the child; of the others, the "
        f"exponent is that of their amplitude against the primary one's, scaled to {_parts(search.objective.scales)} "
        "of the child's and extrapolated to zero."
    )
