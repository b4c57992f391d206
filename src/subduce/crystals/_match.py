"""How a child structure lies on its parent: supercell, origin, and which atom sits on which site.

The child may come in any cell, frame (left-handed too), origin and order of atoms. Of all maps the one with the least
displacements and strain is taken; maps that differ by an operation of the parent are domains of one child.
"""

import itertools
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace

import ase
import numpy as np
from ase.data import chemical_symbols
from jaxtyping import Float, Int
from scipy.optimize import linear_sum_assignment

from ..config import InputError
from ._child import PrimitiveCell, primitive_cell
from ._space_group import TOLERANCE, Crystal, SpaceGroup, shortest

_WIDEST = 0.3  # strain up to which a lattice match is looked for, to say how close it came
_STARTS = 8  # atoms of the rarest species that the search for the origin starts from
_STEPS = 20  # of the origin, each to the mean displacement
_CLOSE = 0.05  # a second map is nearly as good if it costs no more than this share more,
_APART = 0.02  # or this in Å; maps that differ by less than twice that are the same


@dataclass(frozen=True, eq=False)
class Match:
    """A child on the sites of a supercell of its parent, in the parent's frame.

    The ideal position of a site is `parent.positions[sites] + cells`, fractional in the parent's primitive lattice.
    Displacements are fractional ones of the child times the strain-free lattice of the parent; their mean is removed.
    """

    parent: Crystal
    supercell: Int[np.ndarray, "3 3"]  # rows: the child's primitive lattice in the parent's; determinant positive
    sites: Int[np.ndarray, " atoms"]
    cells: Int[np.ndarray, "atoms 3"]
    numbers: Int[np.ndarray, " atoms"]  # the species the child has there
    displacements: Float[np.ndarray, "atoms 3"]  # Å
    strain: Float[np.ndarray, "3 3"]  # U − 1 where the deformation of the parent is R U, R a rotation
    rotation: Float[np.ndarray, "3 3"]  # R, in O(3): from the parent's frame to the child's
    order: Int[np.ndarray, " atoms"]  # the atom of the child's file on each site
    moments: Float[np.ndarray, "atoms 3"] | None = None  # μB, turned as axial vectors; None where there are none

    @property
    def rms(self) -> float:
        """Root mean square displacement of an atom in Å."""
        return float(np.sqrt((self.displacements**2).sum(axis=1).mean()))

    @property
    def largest(self) -> float:
        """Largest displacement of an atom in Å."""
        return float(np.linalg.norm(self.displacements, axis=1).max())


def match(
    parent: Crystal,
    child: ase.Atoms,
    *,
    tolerance: float | None = None,
    max_displacement: float = 1.5,
    max_strain: float = 0.1,
) -> Match:
    """The map of a child structure onto its parent with the least displacements and strain.

    Translations of the child's cell that hold within `tolerance` in Å (default 1e-3) reduce it to its primitive cell.
    Where species of the parent are partly replaced in the child (order on one site), they are assigned if only one way
    is possible. Collinear moments count as along z of the child's frame. Raises `InputError` where the compositions
    differ, no atom would stay within `max_displacement` in Å or the cell within `max_strain`, or two maps that are not
    related by symmetry fit equally well.

    >>> rock_salt = ase.Atoms("NaCl", cell=[[0, 2.8, 2.8], [2.8, 0, 2.8], [2.8, 2.8, 0]], pbc=True)
    >>> rock_salt.set_scaled_positions([[0, 0, 0], [0.52, 0.52, 0.52]])
    >>> found = match(crystal(rock_salt, tolerance=0.3), rock_salt)
    >>> round(found.largest, 3)
    0.097
    """
    cell = primitive_cell(child, TOLERANCE if tolerance is None else tolerance)
    size, site_kinds, atom_kinds = _kinds(parent, cell)
    fits = _fits(parent.group, cell.lattice, size, max_strain)
    if not fits:
        raise InputError(_no_lattice(parent, cell, size, max_strain))
    spacing = (abs(np.linalg.det(parent.group.lattice)) / len(parent.numbers)) ** (1 / 3)
    found: list[tuple[float, Match]] = []
    best = np.inf
    for strain, rows in fits:
        if spacing * strain > best * (1 + _CLOSE) + _APART:
            break
        for sites, cells, moves in _placements(parent, cell.positions @ rows, rows, site_kinds, atom_kinds):
            cost = float(np.hypot(spacing * strain, np.sqrt((moves**2).sum(axis=1).mean())))
            if cost < best * (1 + _CLOSE) + _APART:
                found.append((cost, _candidate(parent, cell, rows, sites, cells, moves)))
                best = min(best, cost)
    found.sort(key=lambda one: one[0])
    chosen = found[0][1]
    _check(found, cell, max_displacement)
    return _tidy(_same_frame(chosen))


def _check(found: list[tuple[float, Match]], cell: PrimitiveCell, max_displacement: float) -> None:
    """Raise `InputError` where the best map moves an atom too far, or where another is as good and is not the same."""
    best, chosen = found[0]
    if chosen.largest > max_displacement:
        atom = np.linalg.norm(chosen.displacements, axis=1).argmax()
        raise InputError(
            f"{cell.name}: the best map onto the parent moves {chemical_symbols[chosen.numbers[atom]]} (atom "
            f"{chosen.order[atom]}) by {chosen.largest:.2f} Å, more than {max_displacement:g} Å; if it is the same "
            f"crystal, allow max_displacement={np.ceil(chosen.largest * 10) / 10:.1f}"
        )
    for cost, other in found[1:]:
        if cost > best * (1 + _CLOSE) + _APART:
            break
        away = max(abs(a - b).max() for a, b in zip(_invariants(chosen), _invariants(other), strict=True))
        if away > 2 * _APART:
            raise InputError(
                f"{cell.name}: two maps onto the parent fit nearly as well, with displacements of {chosen.rms:.3f} and "
                f"{other.rms:.3f} Å (root mean square) that differ by up to {away:.2g} Å; give a child that is less "
                "distorted, or in a smaller cell"
            )


def _invariants(one: Match) -> tuple[np.ndarray, np.ndarray]:
    """What maps that are related by an operation of the parent share: lengths on each orbit, and principal strains."""
    lengths = np.linalg.norm(one.displacements, axis=1)
    order = np.lexsort((lengths, one.parent.equivalent[one.sites]))
    return lengths[order], np.linalg.eigvalsh(one.strain)


# --- which species go on which sites ---------------------------------------------------------------------------------


def _kinds(parent: Crystal, cell: PrimitiveCell) -> tuple[int, np.ndarray, np.ndarray]:
    """How many primitive cells of the parent the child has, and the species of the parent that each atom stands for."""
    formula, sites, atoms = parent.atoms.get_chemical_formula(), len(parent.numbers), len(cell.numbers)
    if atoms % sites:
        hint = "exchange the two, or lower the tolerance" if atoms < sites else "vacancies are not supported"
        raise InputError(
            f"{cell.name}: the child's primitive cell has {atoms} atoms, no multiple of the {sites} of the parent "
            f"{formula}; {hint}"
        )
    size = atoms // sites
    here = Counter(cell.numbers.tolist())
    missing = Counter({number: size * count for number, count in Counter(parent.numbers.tolist()).items()})
    surplus = here - missing
    missing -= here
    ways = []
    for choice in itertools.product(missing, repeat=len(surplus)):
        filled = Counter()
        for target, count in zip(choice, surplus.values(), strict=True):
            filled[target] += count
        mixed = all(number in here or choice.count(number) > 1 for number in missing)
        if filled == missing and mixed:
            ways.append(dict(zip(surplus, choice, strict=True)))
    if len(ways) != 1:
        wanted = ", ".join(f"{chemical_symbols[n]}{size * c}" for n, c in Counter(parent.numbers.tolist()).items())
        came = ", ".join(f"{chemical_symbols[n]}{c}" for n, c in here.items())
        reason = "in more than one way" if ways else "in no way"
        raise InputError(
            f"{cell.name}: the composition {came} fits the parent's {wanted} {reason}; name the parent's species as "
            "the child's, or one species for each site that orders"
        )
    return size, parent.numbers, np.array([ways[0].get(number, number) for number in cell.numbers.tolist()])


# --- lattices --------------------------------------------------------------------------------------------------------


def _fits(group: SpaceGroup, lattice: np.ndarray, size: int, limit: float) -> list[tuple[float, np.ndarray]]:
    """Supercells near a lattice, one of those that the group relates: norm of the strain, rows; the nearest first."""
    parent = group.lattice
    metric = parent @ parent.T
    norms = np.linalg.norm(lattice, axis=1)
    reach = np.ceil(norms.max() / (1 - limit) * np.linalg.norm(np.linalg.inv(parent), axis=0)).astype(int)
    vectors = np.stack(np.meshgrid(*[np.arange(-n, n + 1) for n in reach], indexing="ij"), axis=-1).reshape(-1, 3)
    sizes = np.linalg.norm(vectors @ parent, axis=1)
    near = [(sizes >= norm / (1 + limit) - 1e-6) & (sizes <= norm / (1 - limit) + 1e-6) for norm in norms]
    slack, wanted = (1 + limit) ** 2 - 1 + 1e-6, lattice @ lattice.T
    firsts = np.unique([_least(group, vector[None])[0] for vector in vectors[near[0]]], axis=0).reshape(-1, 3)
    found = []
    for first in firsts:
        length = np.sqrt(first @ metric @ first)
        angle = vectors @ metric @ first
        second, third = (vectors[near[i] & (np.abs(angle - wanted[0, i]) <= slack * length * sizes)] for i in (1, 2))
        volumes = np.cross(first, second) @ third.T
        dots = second @ metric @ third.T
        lengths = (np.sqrt(np.einsum("ai,ij,aj->a", some, metric, some)) for some in (second, third))
        bound = slack * np.outer(*lengths)
        a, b = np.nonzero((np.abs(volumes) == size) & (np.abs(dots - wanted[1, 2]) <= bound))
        found.append(np.stack([np.broadcast_to(first, (len(a), 3)), second[a], third[b]], axis=1))
    rows = np.concatenate(found) if found else np.zeros((0, 3, 3), dtype=np.int64)
    if not len(rows):
        return []
    stretches = np.linalg.svd(np.linalg.inv(rows @ parent) @ lattice, compute_uv=False) - 1
    kept = np.abs(stretches).max(axis=1) <= limit
    norms = np.linalg.norm(stretches[kept], axis=1)
    distinct = {_least(group, one).tobytes(): (float(norm), one) for norm, one in zip(norms, rows[kept], strict=True)}
    return sorted(distinct.values(), key=lambda fit: fit[0])


def _least(group: SpaceGroup, rows: np.ndarray) -> np.ndarray:
    """The first in lexicographic order of the images of some lattice vectors under the point group."""
    images = (rows @ group.rotations.swapaxes(1, 2)).reshape(len(group.rotations), -1)
    return images[np.lexsort(images.T[::-1])[0]].reshape(rows.shape)


def _no_lattice(parent: Crystal, cell: PrimitiveCell, size: int, limit: float) -> str:
    """The message where no supercell fits: how far the closest is off."""
    fits = _fits(parent.group, cell.lattice, size, _WIDEST) if limit < _WIDEST else []
    lengths = ", ".join(f"{length:.3f}" for length in np.linalg.norm(cell.lattice, axis=1))
    told = f"{cell.name}: the child's primitive cell ({lengths} Å) is no supercell of {size} cells of the parent"
    if not fits:
        return f"{told} at a strain below {max(limit, _WIDEST):g}; the two structures are not related"
    stretches = np.linalg.svd(np.linalg.inv(fits[0][1] @ parent.group.lattice) @ cell.lattice, compute_uv=False) - 1
    needed = np.abs(stretches).max()
    return f"{told} within a strain of {limit:g}: the closest needs {needed:.3f}; allow max_strain={needed + 5e-3:.2f}"


# --- origin and assignment -------------------------------------------------------------------------------------------


def _placements(
    parent: Crystal, places: np.ndarray, rows: np.ndarray, site_kinds: np.ndarray, atom_kinds: np.ndarray
) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Maps of atoms, fractional in the parent's lattice, onto sites, from several origins: sites, cells, moves in Å."""
    counts = Counter(atom_kinds.tolist())
    rarest = min(counts, key=lambda kind: (counts[kind], kind))
    atoms = np.flatnonzero(atom_kinds == rarest)[:_STARTS]
    starts = (parent.positions[site_kinds == rarest][:, None] - places[atoms]).reshape(-1, 3)
    lattice, seen, allowed = parent.group.lattice, [], site_kinds == atom_kinds[:, None]
    for start in starts:
        shift, before = start, None
        for _ in range(_STEPS):
            away = shortest((places[:, None] + shift - parent.positions) @ lattice, lattice)
            sites = np.where(allowed, np.linalg.norm(away, axis=2), np.inf).argmin(axis=1)
            moves = np.take_along_axis(away, sites[:, None, None], axis=1)[:, 0] @ np.linalg.inv(lattice)
            cells = np.rint(places + shift - parent.positions[sites] - moves).astype(np.int64)
            now = np.column_stack([sites, cells])
            shift = shift - moves.mean(axis=0)
            if before is not None and (now == before).all():
                break
            before = now
        if any(np.linalg.norm(shortest((shift - other) @ lattice, lattice)) < _APART for other in seen):
            continue
        seen.append(shift)
        places_taken = np.column_stack([sites, _folded(cells, rows)])
        if len(np.unique(places_taken, axis=0)) < len(sites):
            sites, cells = _assigned(parent, places + shift, rows, site_kinds, atom_kinds)
        moves = (places - parent.positions[sites] - cells) @ lattice
        yield sites, cells, moves - moves.mean(axis=0)


def _folded(cells: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Cells brought into the supercell by its lattice vectors."""
    return cells - np.floor(cells @ np.linalg.inv(rows) + 1e-9).astype(np.int64) @ rows


def _assigned(
    parent: Crystal, places: np.ndarray, rows: np.ndarray, site_kinds: np.ndarray, atom_kinds: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """The one-to-one map of atoms onto sites with the least sum of squared displacements."""
    corners = np.array(list(itertools.product((0, 1), repeat=3))) @ rows
    ranges = [np.arange(low, high + 1) for low, high in zip(corners.min(axis=0), corners.max(axis=0), strict=True)]
    box = np.stack(np.meshgrid(*ranges, indexing="ij"), axis=-1).reshape(-1, 3)
    cells = np.unique(_folded(box, rows), axis=0)
    supercell = rows @ parent.group.lattice
    chosen, where = np.zeros(len(places), dtype=np.int64), np.zeros((len(places), 3), dtype=np.int64)
    for kind in set(atom_kinds.tolist()):
        atoms, sites = np.flatnonzero(atom_kinds == kind), np.flatnonzero(site_kinds == kind)
        all_sites, all_cells = np.repeat(sites, len(cells)), np.tile(cells, (len(sites), 1))
        raw = (places[atoms][:, None] - parent.positions[all_sites] - all_cells) @ parent.group.lattice
        away = shortest(raw, supercell)
        take = linear_sum_assignment((away**2).sum(axis=2))[1]
        jump = (raw - away)[np.arange(len(atoms)), take] @ np.linalg.inv(parent.group.lattice)
        chosen[atoms], where[atoms] = all_sites[take], all_cells[take] + np.rint(jump).astype(np.int64)
    return chosen, where


# --- the answer ------------------------------------------------------------------------------------------------------


def _candidate(
    parent: Crystal, cell: PrimitiveCell, rows: np.ndarray, sites: np.ndarray, cells: np.ndarray, moves: np.ndarray
) -> Match:
    """A map as a `Match`, with strain and rotation of the polar decomposition."""
    deformation = (np.linalg.inv(rows @ parent.group.lattice) @ cell.lattice).T
    left, stretches, right = np.linalg.svd(deformation)
    rotation, strain = left @ right, right.T * (stretches - 1) @ right
    moments = None if cell.moments is None else np.linalg.det(rotation) * cell.moments @ rotation
    supercell = rows if np.linalg.det(rows) > 0 else -rows
    return Match(parent, supercell, sites, cells, cell.numbers, moves, strain, rotation, cell.first, moments)


def _same_frame(one: Match) -> Match:
    """The domain whose frame is turned least against that of the child."""
    group = one.parent.group
    turns = group.cartesian
    best = int((np.einsum("ij,gij->g", one.rotation, turns) - 1e-9 * np.arange(len(turns))).argmax())
    targets, offsets = one.parent.permutations
    turn, rotation = turns[best], group.rotations[best]
    supercell = one.supercell @ rotation.T
    return replace(
        one,
        supercell=supercell if np.linalg.det(supercell) > 0 else -supercell,
        sites=targets[best][one.sites],
        cells=one.cells @ rotation.T + offsets[best][one.sites],
        displacements=one.displacements @ turn.T,
        strain=turn @ one.strain @ turn.T,
        rotation=one.rotation @ turn.T,
        moments=None if one.moments is None else np.linalg.det(turn) * one.moments @ turn.T,
    )


def _tidy(one: Match) -> Match:
    """The sites within the supercell, sorted by site and cell."""
    cells = _folded(one.cells, one.supercell)
    order = np.lexsort((*cells.T[::-1], one.sites))
    return replace(
        one,
        sites=one.sites[order],
        cells=cells[order],
        numbers=one.numbers[order],
        displacements=one.displacements[order],
        order=one.order[order],
        moments=None if one.moments is None else one.moments[order],
    )
