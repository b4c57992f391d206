"""From an objective to what breaks the symmetry: unstable irreps, the children they lead to, the ground state."""

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import combinations
from typing import Any

import numpy as np
from ase.calculators.calculator import BaseCalculator
from jaxtyping import Float

from subduce.config import InputError
from subduce.crystals import crystal
from subduce.groups import invariant_basis
from subduce.records import Record

from ._descent import Child, Search, Unbounded
from ._objective import Space, check_invariant, of_calculator, of_function

_SHARE = 1e-4  # a component of a child counts above this share of its length
_SETTLED = 0.2  # powers read off at two scales differ by less where the scales are small enough


def instabilities(
    objective: Callable | BaseCalculator,
    space: Space,
    *,
    at: Sequence[float] | Float[np.ndarray, " dim"] | None = None,
    step: float | None = None,
    threshold: float | None = None,
    dimensions: int | None = None,
    seed: int = 0,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Record:
    """The unstable irreps of an objective at a point of high symmetry, and the children that descents along them reach.

    `objective` is a function of a vector of the space (a torch tensor, derived exactly; or an array, for which it gives
    the energy, or the energy and its slope), or an ASE calculator on a space of displacements (eV, Å). `at` is the
    symmetric point, 0 by default; it is moved to its minimum among the vectors that the whole group keeps. One column
    of the Hessian is computed for each copy of an irrep, by differences over `step` (0.01 Å for calculators) where it
    is not exact; `step` also sets the scale of vectors, about 1/1000 of a usual length. Eigenvalues below minus
    `threshold` are unstable, by default three times what the differences may be wrong by. Descents start along every
    isotropy direction with up to `dimensions` free amplitudes (2; 1 for calculators), first among the vectors that its
    subgroup keeps, then, pushed off, among all. The cell stays as it is.

    Results: `verdict`, `parent`, `irreps` with their eigenvalues (None at the tip of a cone), `unstable`, `children`
    (`subgroup` of the parent that is kept, number of `domains`, `energy` from the symmetric point, whether it is
    `stable` or a saddle, its `components` by irrep: `primary`, or following with an `exponent`; displacements with the
    `structure` and its own `space_group`), `ground_state` (its place among the children, None without one),
    `warnings`, `methods`.

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
    dimensions = dimensions if dimensions is not None else 1 if isinstance(objective, BaseCalculator) else 2
    if dimensions < 1:
        raise ValueError(f"dimensions must be at least 1, got {dimensions}")
    search = _search(objective, space, at, step, threshold, dimensions, seed, progress)
    children = search.children()
    settings = {"space": space.name, "step": search.objective.step, "threshold": threshold, "dimensions": dimensions,
                "seed": seed}  # fmt: skip
    return Record("instabilities", {}, settings, _results(search, children), time.monotonic() - began)


def _search(
    objective: Callable | BaseCalculator,
    space: Space,
    at: Sequence[float] | np.ndarray | None,
    step: float | None,
    threshold: float | None,
    dimensions: int,
    seed: int,
    progress: Callable[[int, int], None],
) -> Search:
    """The search from the symmetric point's own minimum; what the group changes is refused."""
    origin = np.zeros(space.dim) if at is None else np.asarray(at, dtype=np.float64).ravel()
    if origin.shape != (space.dim,):
        raise ValueError(f"`at` has {origin.size} components, a vector of {space.name} has {space.dim}")
    if isinstance(objective, BaseCalculator):
        if space.sites is None or not space.displacements:
            raise ValueError("a calculator needs a space of displacements of all sites; see site_space")
        about = of_calculator(objective, space.sites, step)
    else:
        about = of_function(objective, space.shape, step)
    everything = np.ones(len(space.turns), dtype=bool)
    if not space.keeping(origin, 1e-6).all():
        raise InputError(f"`at` is no point of high symmetry: some elements of the group of {space.name} move it")
    floating = check_invariant(about, space, origin, seed)
    search = Search(about, space, origin, 0.0, floating, threshold, dimensions, seed, [], progress)
    if (free := np.concatenate(space.fixed(everything), axis=1)).shape[1]:
        try:
            origin = origin + search.minimum(np.zeros(space.dim), free, 0.01 * np.eye(space.dim))[0]
        except Unbounded:
            raise InputError("the objective falls without end among the vectors that the whole group keeps") from None
    energy = about.value(origin)[0]
    if not np.isfinite(energy):
        raise InputError(f"the objective is {energy} at the symmetric point")
    return replace(search, origin=origin, energy=energy)


def _components(search: Search, child: Child) -> list[dict[str, Any]]:
    """A child's irreps with amplitudes and directions; which are primary, and how the others scale with these."""
    space, length, rows = search.space, np.linalg.norm(child.vector), []
    size = space.called(child.kept).get("cell_size", 1)
    parts = {place: flat.T @ child.vector for place, (_, flat, _, _) in enumerate(search.blocks)}
    there = [
        i for i in sorted(parts, key=lambda i: -np.linalg.norm(parts[i])) if np.linalg.norm(parts[i]) > _SHARE * length
    ]
    primary = _primary(search, child, there)
    exponents = _exponents(search, child, primary)
    for place in [*primary, *(i for i in there if i not in primary)]:
        one = search.blocks[place][0]
        copies = parts[place].reshape(-1, one.irrep.dim)
        lead = np.linalg.svd(copies)[2][0]
        lead = lead * np.sign(lead @ copies[np.argmax(np.linalg.norm(copies, axis=1))])
        amplitude = float(np.linalg.norm(copies) / np.sqrt(space.cells))
        rows.append({
            **one.label,
            "amplitude": float(amplitude * np.sqrt(size)),
            **({"amplitude_parent": amplitude} if space.sites is not None else {}),
            "direction": (np.round(lead, 12) + 0.0).tolist(),
            "direction_symbol": one.symbol(invariant_basis(one.irrep.matrices[child.kept])),
            "primary": place in primary,
            "exponent": 1.0 if place in primary else exponents.get(place),
        })  # fmt: skip
    return rows


def _part(search: Search, child: Child, places: tuple[int, ...]) -> Float[np.ndarray, " dim"]:
    """The part of a child in some irreps."""
    flat = np.concatenate([search.blocks[place][1] for place in places], axis=1)
    return flat @ (flat.T @ child.vector)


def _primary(search: Search, child: Child, places: list[int]) -> tuple[int, ...]:
    """The fewest irreps whose parts together keep no more than the child; larger amplitudes first."""
    kept = {place: search.space.keeping(_part(search, child, (place,)), 10 * search.same) for place in places}
    for count in range(1, len(places) + 1):
        for some in combinations(places, count):
            if np.logical_and.reduce([kept[place] for place in some]).sum() == child.kept.sum():
                return some
    return tuple(places)


def _exponents(search: Search, child: Child, primary: tuple[int, ...]) -> dict[int, float | None]:
    """The power of the primary amplitude with which each other irrep follows it, as that goes to zero.

    The others are at the stationary point that starts at zero; below the noise of the slopes nothing is said.
    """
    fixed = search.space.fixed(child.kept)
    others = [i for i, basis in enumerate(fixed) if i not in primary and basis.shape[1]]
    if not others:
        return {}
    basis = np.concatenate([fixed[i] for i in others], axis=1)
    seen = [(basis.T @ flat, block) for _, flat, block, _ in (search.blocks[i] for i in others)]
    inverse = np.linalg.pinv(
        sum(turned @ block @ turned.T for turned, block in seen),
        rcond=1e-3 * search.objective.precision**0.5,
        hermitian=True,
    )
    lead, least = _part(search, child, primary), 1e-3 * search.objective.slope * float(np.abs(inverse).max())
    found: dict[int, float | None] = dict.fromkeys(others)
    for scales in search.objective.scales:
        followed = [_follow(search, scale * lead, basis, inverse) for scale in scales]
        for i in (i for i in others if found[i] is None):
            sizes = [0.0 if follow is None else float(np.linalg.norm(fixed[i].T @ follow)) for follow in followed]
            found[i] = _exponent(sizes) if min(sizes) > least else None
    return found


def _follow(search: Search, lead: np.ndarray, basis: np.ndarray, inverse: np.ndarray) -> np.ndarray | None:
    """Where the other modes are stationary at some value of the primary ones, near zero; None where steps diverge.

    Newton's method with the Hessian of the symmetric point.
    """
    follow, last = np.zeros(basis.shape[1]), np.inf
    for _ in range(30):
        change = inverse @ (basis.T @ search.objective.value(search.origin + lead + basis @ follow)[1])
        follow, size = follow - change, float(np.linalg.norm(change))
        if size <= 1e-6 * np.linalg.norm(follow):
            return basis @ follow
        if size > 10 * last:
            return None
        last = size
    return None


def _exponent(sizes: list[float]) -> float | None:
    """The power of halved scales with which sizes fall, without its own quadratic error; None where they do not yet."""
    coarse, fine = np.log2(sizes[0] / sizes[1]), np.log2(sizes[1] / sizes[2])
    return float((4 * fine - coarse) / 3) if abs(coarse - fine) < _SETTLED else None


def _results(search: Search, children: list[Child]) -> dict[str, Any]:
    """What a record holds."""
    rows = []
    for one, _, _, _ in search.blocks:
        values = [None if m.cusp else m.eigenvalue for m in search.multiplets if m.of is one]
        below = [m for m in search.unstable if m.of is one]
        rows.append({**one.label, "eigenvalues": values, "unstable": len(below)})
    unstable = [{**m.of.label, "eigenvalue": None if m.cusp else m.eigenvalue, "cusp": m.cusp} for m in search.unstable]
    return {
        "verdict": _verdict(search, children),
        "parent": search.space.called(np.ones(len(search.space.turns), dtype=bool)),
        **_structure(search, np.zeros(search.space.dim)),
        "energy": search.energy,
        "origin": search.origin.reshape(search.space.shape).tolist(),
        "irreps": rows,
        "unstable": unstable,
        "children": [_told(search, child) for child in children],
        "ground_state": 0 if children else None,
        "warnings": list(dict.fromkeys(search.warnings)),
        "methods": _methods(search),
    }


def _told(search: Search, child: Child) -> dict[str, Any]:
    """A child as a record holds it; energies are relative to the symmetric point."""
    kept = search.space.called(child.kept)
    found = {
        "along": child.along,
        "subgroup": kept,
        "domains": kept["index"],
        "energy": child.energy - search.energy,
        "stable": child.stable,
        "components": _components(search, child),
        "vector": child.vector.reshape(search.space.shape).tolist(),
    }
    return found | _structure(search, child.vector)


def _structure(search: Search, vector: Float[np.ndarray, " dim"]) -> dict[str, Any]:
    """The structure at a vector of displacements, and its own space group, which may hold more than the parent's.

    Nothing for other vectors; the group is None where atoms are too near each other.
    """
    if search.space.sites is None or not search.space.displacements:
        return {}
    atoms = search.space.sites.copy()
    atoms.positions += (search.origin + vector).reshape(-1, 3)
    cell, positions = atoms.cell.array.tolist(), atoms.positions.tolist()
    try:
        group = crystal(atoms).group
        own = {"number": group.number, "symbol": group.symbol}
    except InputError:
        own = None
    structure = {"cell": cell, "species": atoms.get_chemical_symbols(), "positions": positions}
    return {"structure": structure, "space_group": own}


def _verdict(search: Search, children: list[Child]) -> str:
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


def _methods(search: Search) -> str:
    """How it was found, in words that a paper can use."""
    how = "automatic differentiation" if search.objective.exact else "central differences of the slopes"
    step = "" if search.objective.exact else f" (step {search.objective.step:g})"
    return (
        f"The Hessian at the symmetric point was found by {how}{step}, one column for each copy of an irrep in "
        "symmetry-adapted coordinates, and diagonalised irrep by irrep. Along every unstable irrep and every isotropy "
        f"direction with up to {search.dimensions} free amplitudes the objective was minimised among the vectors that "
        "the isotropy subgroup keeps, then, from a point pushed off it, among all; children that the group maps onto "
        "each other are one. Primary are the fewest irreps whose parts keep no more than the child; of the others, the "
        "exponent is that of their amplitude against the primary one's, scaled down and extrapolated to zero."
    )
