"""How a child structure lies on its parent: supercell, origin, and which atom sits on which site.

The child may come in any cell, frame (left-handed too), origin and order of atoms. Of all maps the one with the least
displacements and strain is taken; maps that differ by an operation of the parent are domains of one child.
"""

import heapq
import itertools
from collections import Counter
from dataclasses import dataclass, replace

import ase
import numpy as np
from ase.data import chemical_symbols
from jaxtyping import Float, Int

from ..config import InputError
from ._assignment import Sites, assigned, folded, moves_of, origins, rms_of
from ._child import PrimitiveCell, primitive_cell
from ._space_group import TOLERANCE, Crystal, SpaceGroup

_WIDER = (0.3, 0.5)  # strains at which a lattice match is looked for, to say how close it came
_CLOSE = 0.05  # maps are looked at that cost no more than this share more than the best,
_APART = 0.02  # and this in Å
_TIE = 2.0  # tolerances, by which displacements or strains of two maps differ that fit equally well
_SAME_MOVE = 0.04  # Å, between displacements that an operation relates; large against noise, small against an order
_SAME_STRAIN = 5e-3
_ROUNDING = 1e-6


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
        return rms_of(self.displacements)

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
    A species of the parent may be several in the child (order on one site). Collinear moments count as along z of the
    child's frame. Raises `InputError` where the compositions
    differ, no atom would stay within `max_displacement` in Å or the cell within `max_strain`, or two maps that are not
    related by symmetry fit equally well.

    >>> from subduce.crystals import crystal
    >>> rock_salt = ase.Atoms("NaCl", cell=[[0, 2.8, 2.8], [2.8, 0, 2.8], [2.8, 2.8, 0]], pbc=True)
    >>> rock_salt.set_scaled_positions([[0, 0, 0], [0.5, 0.5, 0.5]])
    >>> child = rock_salt.repeat(2)
    >>> child.positions[0] += [0, 0, 0.2]
    >>> found = match(crystal(rock_salt), child)
    >>> len(found.sites), round(found.largest, 4)
    (16, 0.1875)
    """
    tolerance = TOLERANCE if tolerance is None else tolerance
    cell = primitive_cell(child, tolerance)
    size, ways = _kinds(parent, cell)
    fits = _fits(parent.group, cell.lattice, size, max_strain)
    if not fits:
        raise InputError(_no_lattice(parent, cell, size, max_strain))
    found = sorted((one for kinds in ways for one in _maps(parent, cell, fits, kinds)), key=lambda one: one[0])
    _check(found, cell, max_displacement, tolerance)
    return _tidy(_same_frame(found[0][1]))


def _maps(
    parent: Crystal,
    cell: PrimitiveCell,
    fits: list[tuple[float, np.ndarray]],
    kinds: np.ndarray,
) -> list[tuple[float, Match]]:
    """Maps of a child onto the parent with what they cost in Å: the best, and those that are nearly as good."""
    spacing = _spacing(parent)
    found: list[tuple[float, Match]] = []
    open_maps: list[tuple] = []  # by what each costs at the least: those where several atoms come to one site
    limit, targets = np.inf, Sites(parent)

    def take(strain: float, rows: np.ndarray, sites: np.ndarray, cells: np.ndarray) -> float:
        moves = moves_of(parent, cell.positions @ rows, sites, cells)
        cost = float(np.hypot(strain, rms_of(moves)))
        if cost <= limit:
            found.append((cost, _candidate(parent, cell, rows, sites, cells, moves)))
        return min(limit, cost * (1 + _CLOSE) + _APART)

    def settle() -> float:
        _, _, strain, rows, shift = heapq.heappop(open_maps)
        return take(strain, rows, *assigned(parent, cell.positions @ rows + shift, rows, kinds))

    for norm, rows in fits:
        strain, places = spacing * norm, cell.positions @ rows
        if strain > limit:
            break
        for shift, sites, cells in origins(targets, places, kinds, limit):
            if len(np.unique(np.column_stack([sites, folded(cells, rows)]), axis=0)) == len(sites):
                limit = take(strain, rows, sites, cells)
            else:
                least = float(np.hypot(strain, rms_of(moves_of(parent, places, sites, cells))))
                heapq.heappush(open_maps, (least, len(open_maps), strain, rows, shift))
        if limit == np.inf and open_maps:
            limit = settle()
    while open_maps and open_maps[0][0] <= limit:
        limit = settle()
    return found


def _check(found: list[tuple[float, Match]], cell: PrimitiveCell, max_displacement: float, tolerance: float) -> None:
    """Raise `InputError` where the best map moves an atom too far, or where another is as good and is not the same."""
    chosen = found[0][1]
    if chosen.largest > max_displacement:
        atom = np.linalg.norm(chosen.displacements, axis=1).argmax()
        raise InputError(
            f"{cell.name}: the best map onto the parent moves {chemical_symbols[chosen.numbers[atom]]} (atom "
            f"{chosen.order[atom]}) by {chosen.largest:.2f} Å, more than {max_displacement:g} Å; if it is the same "
            f"crystal, allow max_displacement={np.ceil(chosen.largest * 10) / 10:.1f}"
        )
    spacing = _spacing(chosen.parent)
    for _, other in found[1:]:
        strains = [float(np.linalg.norm(one.strain)) for one in (chosen, other)]
        between = max(abs(other.rms - chosen.rms), spacing * abs(strains[1] - strains[0]))
        if between <= _TIE * tolerance and not _related(chosen, other):
            exact = between < 10 * _ROUNDING
            told = "nothing tells" if exact else f"a tolerance below {between / _TIE:.1e} Å would tell"
            raise InputError(
                f"{cell.name}: two maps onto the parent that its symmetry does not relate fit equally well within "
                f"{tolerance:g} Å (both with displacements of {chosen.rms:.3f} Å, root mean square); {told} them apart"
            )


def _spacing(parent: Crystal) -> float:
    """The edge of the cube that one atom of a crystal takes in Å: what a strain of one costs."""
    return float(abs(np.linalg.det(parent.group.lattice)) / len(parent.numbers)) ** (1 / 3)


def _related(one: Match, other: Match) -> bool:
    """Whether an operation of the parent takes one map of a child to another: species, displacements and strain."""
    group, (targets, offsets) = one.parent.group, one.parent.permutations
    inverse, marked = np.linalg.inv(other.supercell), int(np.linalg.norm(one.displacements, axis=1).argmax())
    places = {
        tuple(key): at for at, key in enumerate(np.column_stack([other.sites, folded(other.cells, other.supercell)]))
    }
    for turn, rotation, target, offset in zip(group.cartesian, group.rotations, targets, offsets, strict=True):
        edges = one.supercell @ rotation.T @ inverse
        strained = np.abs(turn @ one.strain @ turn.T - other.strain).max()
        if np.abs(edges - np.rint(edges)).max() > _ROUNDING or strained > _SAME_STRAIN:
            continue
        sites, moves = target[one.sites], one.displacements @ turn.T
        cells = one.cells @ rotation.T + offset[one.sites]
        alike = np.linalg.norm(other.displacements - moves[marked], axis=1) < _SAME_MOVE
        for at in np.flatnonzero(alike & (other.sites == sites[marked]) & (other.numbers == one.numbers[marked])):
            here = folded(cells + other.cells[at] - cells[marked], other.supercell)
            order = [places[tuple(key)] for key in np.column_stack([sites, here])]
            away = np.linalg.norm(other.displacements[order] - moves, axis=1)
            if away.max() < _SAME_MOVE and (other.numbers[order] == one.numbers).all():
                return True
    return False


# --- which species go on which sites ---------------------------------------------------------------------------------


def _kinds(parent: Crystal, cell: PrimitiveCell) -> tuple[int, list[np.ndarray]]:
    """How many primitive cells of the parent the child has; the species of the parent that each atom may stand for.

    More than one way is left to the positions to decide.
    """
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
    if not ways:
        raise InputError(
            f"{cell.name}: the composition is not that of the parent, {formula}, nor an order of several species on "
            "one of its sites; give a parent with the child's species, one for each site that orders"
        )
    return size, [np.array([way.get(number, number) for number in cell.numbers.tolist()]) for way in ways]


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
    lengths = ", ".join(f"{length:.3f}" for length in np.linalg.norm(cell.lattice, axis=1))
    what = "primitive cell" if size == 1 else f"supercell of {size} primitive cells"
    told = f"{cell.name}: the child's primitive cell ({lengths} Å) is no {what} of the parent"
    for wider in (one for one in _WIDER if one > limit):
        if fits := _fits(parent.group, cell.lattice, size, wider):
            rows = fits[0][1]
            needed = np.abs(np.linalg.svd(np.linalg.inv(rows @ parent.group.lattice) @ cell.lattice)[1] - 1).max()
            way_out = f"if it is the same crystal, allow max_strain={np.ceil(needed * 100 + 0.1) / 100:.2f}"
            return f"{told} within a strain of {limit:g}: the closest needs {needed:.3f}; {way_out}"
    return f"{told} at a strain below {max(limit, *_WIDER):g}: the two are not related"


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
    cells = folded(one.cells, one.supercell)
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
