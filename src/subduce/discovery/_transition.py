"""What a distortion breaks: the operations that are left, modes by irrep, which of them drive the others."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import combinations

import numpy as np
import torch
from jaxtyping import Float, Int
from scipy import stats

from subduce.crystals import (
    Coupling,
    Kind,
    Match,
    Mode,
    PeriodicCrystal,
    coupling,
    decompose,
    field_images,
    intertwiners,
    strain_modes,
)
from subduce.groups import direction_symbol, invariant_basis
from subduce.o3 import irrep_matrix

_EXACT = 1e-3  # Å: what files round away
_GAP = 3.0  # what is kept and what is broken must differ by this factor
_NOISE = 0.1  # Å: no more is taken for noise without being told
_SIGMAS = 3.0
_ALIKE = 1e-7  # p-value; the smallest residuals come first, so that it is no plain one
_LEAST = 1e-6  # Å


@dataclass(frozen=True)
class Evidence:
    """What many frames say of a mode: p-value, corrected for the number of modes, and a 95 % interval in Å."""

    p_value: float
    interval: tuple[float, float]
    level: float


@dataclass(frozen=True, eq=False)
class Transition:
    """A parent, a child as fields on its sites, and the operations that the child keeps.

    `fields` are displacements in Å, moments where the child has some, and occupations where its species differ, without
    what `kept` forbids; `noise` is how much of the displacements was removed for it, an atom and direction.
    `residuals` says by how much each operation moves some atom of the child away from where one is.
    """

    crystal: PeriodicCrystal
    supercell: Int[np.ndarray, "3 3"]
    fields: Mapping[Kind, Float[np.ndarray, "sites axes"]]
    strain: Float[np.ndarray, "3 3"]
    kept: Int[np.ndarray, " kept"]
    residuals: Float[np.ndarray, " order"]
    tolerance: float
    noise: float
    modes: tuple[Mode, ...]
    strains: tuple[Mode, ...]
    operation: int = 0  # of the parent, from the match to this domain
    evidence: tuple[Evidence | None, ...] = ()  # for each of `modes`, where many frames gave some

    @property
    def index(self) -> int:
        """How many domain states there are."""
        return self.crystal.order // len(self.kept)

    @property
    def cell_size(self) -> int:
        """Primitive cells of the parent in the primitive cell of the child."""
        return len(self.crystal.cells) // self.crystal.translations_in(self.kept)

    @cached_property
    def present(self) -> tuple[Mode, ...]:
        """Modes above noise, largest first, and further ones while those leave more than the child has."""
        found: list[Mode] = []
        for mode in sorted(self.modes, key=lambda mode: -mode.amplitude):
            free = _free(mode, self.kept)
            if free == 0:
                continue
            left = set(joint(self.crystal, found))
            breaks = len(left) > len(self.kept) and not left <= set(mode.isotropy.tolist())
            proof = self.evidence_for(mode)
            clear = mode.amplitude > _EXACT + _SIGMAS * self.noise * np.sqrt(free)
            if (proof.p_value < proof.level if proof else clear) or (breaks and mode.amplitude > _LEAST):
                found.append(mode)
        return tuple(found)

    def evidence_for(self, mode: Mode) -> Evidence | None:
        """What frames say of one of the modes."""
        return next((proof for one, proof in zip(self.modes, self.evidence, strict=False) if one is mode), None)

    @cached_property
    def primary(self) -> tuple[Mode, ...]:
        """The smallest set of modes that leaves exactly the child's group; of several the one with the larger modes.

        Strain is among them only where nothing else breaks the symmetry.
        """
        wanted = len(self.kept)
        breaking = [mode for mode in self.present if len(mode.isotropy) < self.crystal.order]
        strains = [mode for mode in self.strains if mode.amplitude > 0 and len(mode.isotropy) < self.crystal.order]
        for candidates in (breaking, [*breaking, *strains]):
            for size in range(len(candidates) + 1):
                sets = [c for c in combinations(candidates, size) if len(joint(self.crystal, c)) == wanted]
                if sets:
                    return max(sets, key=lambda chosen: sum(mode.amplitude**2 for mode in chosen))
        return tuple(breaking)

    @cached_property
    def secondary(self) -> tuple[tuple[Mode, Coupling | None], ...]:
        """What else the child allows, also where it is zero, and what drives it."""
        primary = [(mode.matrices, mode.components) for mode in self.primary]
        chosen = {id(mode) for mode in self.primary}
        found = []
        for mode in (*self.modes, *self.strains):
            if _free(mode, self.kept) and not np.allclose(mode.matrices, 1.0) and id(mode) not in chosen:
                found.append((mode, coupling(mode.matrices, primary)))
        return tuple(sorted(found, key=lambda pair: -pair[0].amplitude))

    def turned(self, operation: int) -> "Transition":
        """The same child in another domain: after an operation of the parent."""
        crystal = self.crystal
        rotation = crystal.operations[0][operation]
        matrix = crystal.crystal.group.cartesian[rotation]
        supercell = self.supercell @ crystal.crystal.group.rotations[rotation].T
        if np.linalg.det(supercell) < 0:
            supercell = -supercell
        inverse = np.argsort(crystal.table[operation])  # [x]: place of g⁻¹x
        kept = np.sort(crystal.table[crystal.table[operation, self.kept], inverse[0]])

        def turn(mode: Mode) -> Mode:
            return replace(mode, components=mode.components @ mode.matrices[operation].T)

        return replace(
            self,
            supercell=supercell,
            fields={
                kind: crystal.apply([operation], field, field_images(crystal, kind, field.shape[1]))[0]
                for kind, field in self.fields.items()
            },
            strain=matrix @ self.strain @ matrix.T,
            kept=kept,
            residuals=self.residuals[crystal.table[crystal.table[inverse[0]], operation]],
            modes=tuple(map(turn, self.modes)),
            strains=tuple(map(turn, self.strains)),
            operation=int(crystal.table[operation, self.operation]),
        )

    def domains(self) -> list[int]:
        """One operation for each domain state, the identity first."""
        left = np.ones(self.crystal.order, dtype=bool)
        found = []
        for operation in range(self.crystal.order):
            if left[operation]:
                found.append(operation)
                left[self.crystal.table[operation, self.kept]] = False
        return found

    def plainest(self) -> "Transition":
        """The domain whose primary directions are written with the fewest signs and different entries, zeros first."""
        modes = sorted(self.primary, key=lambda mode: (len(mode.irrep.arms), mode.irrep.label))
        bases = [invariant_basis(mode.matrices[mode.isotropy]) for mode in modes]

        def plainness(operation: int) -> tuple:
            keys, signs = [], 0
            for mode, basis in zip(modes, bases, strict=True):
                turn = mode.matrices[operation]
                symbol = direction_symbol(turn @ basis)
                keys.append((len(symbol), symbol.count("-"), symbol))
                signs += int((turn @ mode.direction < -1e-6).sum())
            return sum(key[0] for key in keys), sum(key[1] for key in keys), signs, [key[2] for key in keys], operation

        return self.turned(min(self.domains(), key=plainness)) if self.primary else self


def joint(crystal: PeriodicCrystal, modes: Sequence[Mode]) -> list[int]:
    """The operations that leave all of some modes alone."""
    left = set(range(crystal.order))
    for mode in modes:
        left &= set(mode.isotropy.tolist())
    return sorted(left)


def transition(match: Match, tolerance: float | None = None) -> Transition:
    """What a child, matched with its parent, keeps and breaks.

    An operation is kept when it moves no atom of the child by more than `tolerance` (Å) from where one is. Without a
    tolerance it is the first wide gap above 10⁻³ Å, or where nothing is exact to that, noise is told by its size.
    Moments count as displacements do, the largest as 0.3 Å.
    """
    crystal = PeriodicCrystal.holding(match.parent, match.supercell, grey=match.moments is not None)
    raw: dict[Kind, np.ndarray] = dict(_fields(crystal, match))
    length = abs(np.linalg.det(match.supercell @ match.parent.group.lattice)) ** (1 / 3)
    residuals = _strained(crystal, match.strain) * length
    for kind, field in raw.items():
        residuals = np.maximum(residuals, _moved(crystal, field, kind) * _unit(kind, field))
    trivial = len(crystal.cells) // round(abs(np.linalg.det(match.supercell)))  # translations of the child's own cell
    if tolerance is None:
        tolerance = _tolerance(crystal, raw["displacement"], residuals, trivial)
    kept = _closed(crystal, np.flatnonzero(residuals <= tolerance))
    fields: dict[Kind, np.ndarray] = {
        kind: averaged(crystal, field, field_images(crystal, kind, field.shape[1]), kept) for kind, field in raw.items()
    }
    point = crystal.crystal.group.cartesian[np.unique(crystal.operations[0][kept])]
    strain = np.einsum("gij,jk,glk->il", point, match.strain, point) / len(point)
    cells = len(crystal.cells) // crystal.translations_in(kept)
    modes = tuple(mode for kind, field in fields.items() for mode in decompose(crystal, field, kind, cells))
    free = sum(_free(mode, kept) for mode in modes if mode.kind == "displacement")
    removed = np.linalg.norm(raw["displacement"] - fields["displacement"]) * np.sqrt(cells / len(crystal.cells))
    noise = removed / np.sqrt(max(3 * cells * len(match.parent.numbers) - free, 1))
    strains = strain_modes(crystal, strain)
    return Transition(
        crystal, match.supercell, fields, strain, kept, residuals, tolerance, float(noise), modes, strains
    ).plainest()  # fmt: skip


def _free(mode: Mode, kept: np.ndarray) -> int:
    """How many amplitudes some operations leave to a mode."""
    return invariant_basis(mode.matrices[kept]).shape[1] * len(mode.components)


def _unit(kind: Kind, field: np.ndarray) -> float:
    """What a unit of a field counts for, Å."""
    return {"displacement": 1.0, "magnetic": 0.3 / max(np.abs(field).max(), 1e-9), "occupation": 1.0}[kind]


def _parts(operations: np.ndarray) -> list[np.ndarray]:
    return np.array_split(operations, max(len(operations) // 64, 1))


def _fields(crystal: PeriodicCrystal, match: Match) -> Iterator[tuple[Kind, np.ndarray]]:
    """What is different in the child, on all sites of the periodic crystal."""
    yield "displacement", on_sites(crystal, match, match.displacements)
    if match.moments is not None:
        yield "magnetic", on_sites(crystal, match, match.moments)
    wanted = match.parent.numbers[match.sites]
    if (match.numbers != wanted).any():
        species = np.unique(match.numbers)
        shares = (match.numbers[:, None] == species).astype(float)
        same = match.parent.equivalent[match.sites]
        for orbit in np.unique(same):
            shares[same == orbit] -= shares[same == orbit].mean(axis=0)
        yield "occupation", on_sites(crystal, match, shares)


def averaged(
    crystal: PeriodicCrystal, field: np.ndarray, images: np.ndarray, kept: np.ndarray
) -> Float[np.ndarray, "sites axes"]:
    """The part of a field that some operations, which form a group, leave alone."""
    return np.sum([crystal.apply(part, field, images).sum(axis=0) for part in _parts(kept)], axis=0) / len(kept)


def on_sites(crystal: PeriodicCrystal, match: Match, values: np.ndarray) -> np.ndarray:
    """What a match says of its sites, repeated over the whole periodic crystal."""
    child = replace(crystal, superlattice=match.supercell)
    known = np.empty((len(child.cells), len(match.parent.numbers), values.shape[1]))
    known[child.cell_index(match.cells), match.sites] = values
    return known[child.cell_index(crystal.cells)].reshape(-1, values.shape[1])


def _moved(crystal: PeriodicCrystal, field: np.ndarray, kind: Kind) -> np.ndarray:
    """The largest difference between a field and its image, for every operation."""
    images, found = field_images(crystal, kind, field.shape[1]), []
    for part in _parts(np.arange(crystal.order)):
        found.append(np.linalg.norm(crystal.apply(part, field, images) - field, axis=2).max(axis=1))
    return np.concatenate(found)


def _strained(crystal: PeriodicCrystal, strain: np.ndarray) -> np.ndarray:
    """How far each operation turns a strain from itself."""
    turns = crystal.crystal.group.cartesian[crystal.operations[0]]
    return np.abs(turns @ strain @ turns.transpose(0, 2, 1) - strain).max(axis=(1, 2))


def _tolerance(crystal: PeriodicCrystal, field: np.ndarray, residuals: np.ndarray, trivial: int) -> float:
    """Up to what distance the operations of a child hold.

    Where more than so many trivial operations hold as exactly as files are written, the first wide gap above them.
    Else what they miss is noise: of ever larger groups each is taken as long as what it adds to the noise, for each
    direction that it forbids, is no more than the noise of the one before (an F test).
    """
    levels = np.sort(residuals)
    exact = int((levels <= _EXACT).sum())
    if exact == len(levels):
        return _EXACT
    if exact > trivial:
        for below, above in zip(levels[exact - 1 :], levels[exact:], strict=False):
            if below < _NOISE and above > _GAP * max(below, _EXACT):
                return _between(levels, max(below, _EXACT))
        return _between(levels, _EXACT)
    members, before = np.flatnonzero(residuals <= _EXACT), None
    for operation in np.argsort(residuals):
        if operation not in members:
            larger = _generated(crystal, np.append(members, operation))
            noise = _removed(crystal, field, larger, trivial)
            if residuals[larger].max() > _NOISE or not (before is None or _alike(before, noise)):
                break
            members, before = larger, noise
    return _between(levels, float(residuals[members].max())) if len(members) > trivial else 10 * _EXACT


def _generated(crystal: PeriodicCrystal, members: np.ndarray) -> np.ndarray:
    """The group that some operations generate."""
    while True:
        grown = np.unique(crystal.table[np.ix_(members, members)])
        if len(grown) == len(members):
            return grown
        members = grown


def _between(levels: np.ndarray, highest: float) -> float:
    """A tolerance that keeps all up to a level and nothing more."""
    above = levels[levels > highest].min(initial=100 * highest)
    return float(np.sqrt(highest * min(above, 10 * highest)))


def _removed(crystal: PeriodicCrystal, field: np.ndarray, kept: np.ndarray, repeats: int) -> tuple[float, int]:
    """What some operations forbid of a child's displacements: its squared length, and how many directions it has."""
    images = field_images(crystal, "displacement")
    fixed = crystal.permutations[kept] == np.arange(crystal.sites)
    free = float(np.trace(images[kept], axis1=1, axis2=2) @ fixed.sum(axis=1)) / len(kept)
    lost = float(((field - averaged(crystal, field, images, kept)) ** 2).sum()) / repeats
    return lost, 3 * crystal.sites // repeats - round(free)


def _alike(before: tuple[float, int], after: tuple[float, int]) -> bool:
    """Whether what is added to noise is as large, for each direction, as the noise."""
    added, directions = after[0] - before[0], after[1] - before[1]
    if directions <= 0:
        return True
    return float(stats.f.sf(added / directions / (before[0] / before[1]), directions, before[1])) > _ALIKE


def _closed(crystal: PeriodicCrystal, operations: np.ndarray) -> np.ndarray:
    """The operations whose products with all others are among them: a group, if some lie close to the tolerance."""
    inside = np.zeros(crystal.order, dtype=bool)
    inside[operations] = True
    while True:
        members = np.flatnonzero(inside)
        whole = inside[crystal.table[np.ix_(members, members)]].all(axis=1)
        if whole.all():
            return members
        inside[members[~whole]] = False


def child_sites(found: Transition) -> Int[np.ndarray, " sites"]:
    """The sites of one of the child's primitive cells, among those of the periodic crystal."""
    count = len(found.crystal.crystal.numbers)
    return (found.crystal.cell_index(child_cells(found))[:, None] * count + np.arange(count)).ravel()


def child_cells(found: Transition) -> Int[np.ndarray, "cells 3"]:
    """The parent's cells in one of the child's primitive cells."""
    return replace(found.crystal, superlattice=found.supercell).cells


def site_irreps(transition: Transition) -> list[list[str]]:
    """For each orbit of sites the irreps of O(3), up to l = 2, that can hold every primary order parameter there."""
    crystal, found = transition.crystal, []
    primary = [mode for mode in transition.primary if mode.kind not in ("strain", "magnetic")]
    turns = torch.from_numpy(crystal.crystal.group.cartesian)
    for orbit in crystal.orbits:
        fitting = []
        for name in ("0e", "0o", "1o", "1e", "2e", "2o"):
            images = irrep_matrix(name, turns).numpy()[crystal.operations[0]]
            if primary and all(len(intertwiners(crystal, m.matrices, images, [orbit])) for m in primary):
                fitting.append(name)
        found.append(fitting)
    return found
