"""What is minimised, and on what: an objective's energies and slopes, and a space of vectors that a group moves."""

import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from ase import Atoms
from ase.calculators.calculator import BaseCalculator
from jaxtyping import Bool, Float, Int

from subduce.config import InputError
from subduce.crystals import Crystal, PeriodicCrystal, decompose, irrep_name
from subduce.groups import (
    FiniteGroup,
    GroupIrrep,
    adapted_basis,
    direction_symbol,
    invariant_basis,
    reduction,
    stabiliser,
)

_CLOSE = 1e-6
_MANY = 1000  # classes of isotropy subgroups of one irrep: a search that meets more ends; few amplitudes come first
_FORCES = 1e-4  # eV/Å: a relaxed structure's largest
_SLOPE = 1e-9  # a minimum's largest slope, of a function


@dataclass(frozen=True)
class SpaceIrrep:
    """An irrep of the group that moves a space; of crystals with its wave vector and the number of arms.

    Where it has no label, `characters` holds the small irrep's, real and imaginary parts.
    """

    irrep: GroupIrrep
    k: tuple[float, ...] | None = None
    arms: int = 1
    characters: tuple[tuple[float, float], ...] = ()

    @property
    def label(self) -> dict[str, Any]:
        """What names it in a record."""
        wave = {} if self.k is None else {"k": list(self.k)}
        characters = {"characters": [list(pair) for pair in self.characters]} if self.characters else {}
        return {"irrep": self.irrep.name, **wave, "dimension": self.irrep.dim, **characters}

    def symbol(self, basis: Float[np.ndarray, "dim fixed"]) -> str:
        """A direction with a letter for each free amplitude, arms apart: `(a;a;0)`."""
        entries = direction_symbol(basis)[1:-1].split(",")
        each = len(entries) // self.arms
        return "(" + ";".join(",".join(entries[i : i + each]) for i in range(0, len(entries), each)) + ")"


@dataclass(frozen=True, eq=False)
class Space:
    """Vectors that a finite group moves: element g takes block i to `permutation[g, i]` and turns it by `turns[g]`.

    Made by `group_space` or `site_space`. `reduced` gives the irreps that it holds, `called` says what a subgroup is,
    from its members; `sites` is the ideal structure whose sites the blocks are, if they are sites.
    """

    name: str
    permutation: Int[np.ndarray, "order blocks"]
    turns: Float[np.ndarray, "order size size"]
    reduced: Callable[[], Iterable[tuple[SpaceIrrep, Float[np.ndarray, "copies dim d"]]]]
    called: Callable[[Bool[np.ndarray, " order"]], dict[str, Any]]
    sites: Atoms | None = None
    displacements: bool = False
    """Whether blocks are displacements of all sites, so that a calculator's forces are slopes."""
    cells: int = 1
    """How many primitive cells there are."""

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape in which an objective sees a vector: components alone, or those of each site."""
        return (self.dim,) if self.sites is None else (self.permutation.shape[1], 3)

    @property
    def dim(self) -> int:
        """Number of components of a vector."""
        return self.permutation.shape[1] * self.turns.shape[1]

    def images(self, vectors: Float[np.ndarray, "dim m"]) -> Float[np.ndarray, "order dim m"]:
        """Where each element sends some vectors, the columns of an array."""
        order, blocks = self.permutation.shape
        moved = np.einsum("gij,sjm->gsim", self.turns, vectors.reshape(blocks, -1, vectors.shape[1]))
        found = np.empty_like(moved)
        found[np.arange(order)[:, None], self.permutation] = moved
        return found.reshape(order, self.dim, -1)

    def fixed(self, members: Bool[np.ndarray, " order"]) -> list[Float[np.ndarray, "dim fixed"]]:
        """Of each irrep in `parts` an orthonormal basis of the vectors that a subgroup leaves alone."""
        ways = [(basis, invariant_basis(one.irrep.matrices[members])) for one, basis in self.parts]
        return [np.concatenate(list(basis @ way), axis=1) for basis, way in ways]

    def averaged(self, vector: Float[np.ndarray, " dim"], members: Bool[np.ndarray, " order"]) -> np.ndarray:
        """The part of a vector that a subgroup leaves alone."""
        return self.images(vector[:, None])[members, :, 0].mean(axis=0)

    def keeping(self, vector: Float[np.ndarray, " dim"], tolerance: float) -> Bool[np.ndarray, " order"]:
        """Which elements move a vector by no more than `tolerance` times its length."""
        moved = np.linalg.norm(self.images(vector[:, None])[:, :, 0] - vector, axis=1)
        return moved <= tolerance * np.linalg.norm(vector)

    @cached_property
    def parts(self) -> tuple[tuple[SpaceIrrep, Float[np.ndarray, "copies dim d"]], ...]:
        """Every irrep that the space holds, with orthonormal vectors that turn as it, copy after copy."""
        return tuple(self.reduced())


def group_space(group: FiniteGroup, representation: str | Sequence[str] | np.ndarray) -> Space:
    """The vectors of a representation: an irrep by name, several of them, or a matrix for each element.

    Raises `ValueError` for matrices that are no orthogonal representation of the group.
    """
    if isinstance(representation, np.ndarray):
        turns, name = representation.astype(np.float64), f"{representation.shape[-1]} components"
    else:
        names = [representation] if isinstance(representation, str) else list(representation)
        irreps, name = [group.irrep(one) for one in names], " + ".join(names)
        turns = np.zeros((group.order, sum(i.dim for i in irreps), sum(i.dim for i in irreps)))
        start = 0
        for irrep in irreps:
            turns[:, start : start + irrep.dim, start : start + irrep.dim] = irrep.matrices
            start += irrep.dim
    if turns.ndim != 3 or len(turns) != group.order or turns.shape[1] != turns.shape[2]:
        raise ValueError(f"{group.name} needs a square matrix for each of {group.order} elements, got {turns.shape}")
    squares = turns @ turns.transpose(0, 2, 1)
    right = all(np.allclose(turns[group.table[g]], turns[g] @ turns, atol=_CLOSE) for g in group.generators)
    if not (right and np.allclose(squares, np.eye(turns.shape[1]), atol=_CLOSE)):
        raise ValueError(f"the matrices are no orthogonal representation of {group.name}: M(g) M(h) must be M(gh)")

    def called(members: np.ndarray) -> dict[str, Any]:
        kept = stabiliser(group, members)
        return {"name": kept.name, "setting": kept.setting, "order": kept.order, "index": kept.index}

    def reduced() -> Iterator[tuple[SpaceIrrep, np.ndarray]]:
        for name, copies in reduction(group, np.trace(turns, axis1=1, axis2=2)).items():
            irrep = group.irrep(name)
            yield SpaceIrrep(irrep), adapted_basis(irrep, lambda k: turns[:, :, k], turns.shape[1], copies)

    return Space(f"{name} of {group.name}", np.zeros((group.order, 1), dtype=np.int64), turns, reduced, called)


def site_space(parent: Crystal, supercell: int | Sequence, *, axial: bool = False) -> Space:
    """Vectors on the sites of a crystal that repeat with a supercell: displacements, or axial vectors.

    `supercell` is a number or a matrix, rows in the primitive basis; it is enlarged until every operation of the parent
    keeps it. Sites are those of the primitive cell, cell after cell; the space's `sites` are their ideal structure.

    >>> from ase import Atoms
    >>> from subduce.crystals import crystal
    >>> [one.irrep.name for one, _ in site_space(crystal(Atoms("Po", cell=[3.3] * 3, pbc=True)), 1).parts]
    ['GM4-']
    """
    matrix = np.asarray(supercell, dtype=np.int64)
    periodic = PeriodicCrystal.holding(parent, matrix * np.eye(3, dtype=np.int64) if matrix.ndim < 2 else matrix)
    which, _ = periodic.operations
    turns, group, cells = parent.group.cartesian, parent.group, len(periodic.cells)
    turns = turns * np.linalg.det(turns)[:, None, None] if axial else turns

    def called(members: np.ndarray) -> dict[str, Any]:
        kept = np.flatnonzero(members)
        number, symbol = periodic.type_of(kept)
        size = cells // periodic.translations_in(kept)
        return {"number": number, "symbol": symbol, "index": periodic.order // len(kept), "cell_size": size}

    def reduced() -> Iterator[tuple[SpaceIrrep, np.ndarray]]:
        for mode in decompose(periodic, np.zeros((periodic.sites, 3)), "magnetic" if axial else "displacement", cells):
            irrep, k = mode.irrep, tuple((np.round(mode.irrep.k_standard, 6) + 0.0).tolist())
            name = irrep_name(mode.irrep)  # nothing here is odd under time reversal
            shown = (
                ()
                if irrep.label
                else tuple((float(c.real), float(c.imag)) for c in np.round(irrep.small_characters, 6) + 0.0)
            )
            one = SpaceIrrep(GroupIrrep(name, mode.matrices, irrep.type), k, len(irrep.arms), shown)
            yield one, mode.basis.reshape(len(mode.basis), -1, irrep.dim)

    places = (periodic.cells[:, None] + parent.positions).reshape(-1, 3) @ group.lattice
    cell, numbers = periodic.superlattice @ group.lattice, np.tile(parent.numbers, cells)
    sites = Atoms(numbers=numbers, positions=places, cell=cell, pbc=True)
    name = f"{'axial vectors' if axial else 'displacements'} in {cells} cells of {group.symbol}"
    return Space(name, periodic.permutations, turns[which], reduced, called, sites, not axial, cells)


def isotropy_spaces(one: SpaceIrrep, largest: int) -> list[tuple[Float[np.ndarray, "dim fixed"], str]]:
    """The directions in which an irrep can break a group, with up to `largest` free amplitudes, one of each class.

    They are intersections of what single elements leave alone, so no list of subgroups is needed. The direction with
    the shortest symbol stands for its class.
    """
    matrices = one.irrep.matrices
    matrices = matrices[np.unique(np.rint(matrices / _CLOSE).reshape(len(matrices), -1), axis=0, return_index=True)[1]]
    size = one.irrep.dim
    weights = np.random.default_rng(0).normal(size=(size, size))
    weights = (matrices.transpose(0, 2, 1) @ weights @ matrices).reshape(len(matrices), -1)
    queue, seen, found = [np.eye(size)], set(), []
    while queue and len(seen) < _MANY:
        space = queue.pop(int(np.argmin([s.shape[1] for s in queue])))
        images = matrices @ space
        values, vectors = np.linalg.eigh(np.einsum("gif,gih->gfh", images - space, images - space))
        counts = (values < 1e-9).sum(axis=1)
        for free in range(1, space.shape[1]):
            smaller = _apart(space @ vectors[counts == free][:, :, :free])
            codes = weights @ (smaller @ smaller.transpose(0, 2, 1)).reshape(len(smaller), size**2).T  # of all images
            for one_space, low, high in zip(smaller, codes.min(axis=0), codes.max(axis=0), strict=True):
                key = (free, round(float(low), 5), round(float(high), 5))
                if key not in seen:
                    seen.add(key)
                    queue.append(one_space)
        if space.shape[1] <= largest:
            found.append(min(((image, one.symbol(image)) for image in _apart(images)), key=_plainness))
    return sorted(found, key=lambda way: (way[0].shape[1], *_plainness(way)))


def _apart(images: Float[np.ndarray, "m dim fixed"]) -> Float[np.ndarray, "spaces dim fixed"]:
    """The images that span different spaces, told apart by a random linear function of their projectors."""
    weights = np.random.default_rng(1).normal(size=2 * (images.shape[1],))
    codes = np.einsum("mia,ij,mja->m", images, weights, images, optimize=True)
    return images[np.unique(np.round(codes, 5), return_index=True)[1]]


def _plainness(way: tuple[np.ndarray, str]) -> tuple:
    return len(way[1]), way[1].count("-"), way[1]


@dataclass(frozen=True, eq=False)
class Objective:
    """Energies and slopes of a vector, columns of the Hessian, and how exact these are relative to the largest."""

    value: Callable[[Float[np.ndarray, " dim"]], tuple[float, Float[np.ndarray, " dim"]]]
    exact: Callable[[Float[np.ndarray, " dim"], Float[np.ndarray, "dim m"]], Float[np.ndarray, "dim m"]] | None
    step: float
    precision: float
    slope: float  # of a minimum, at most
    trial: float  # how long components are where it is checked that the group changes nothing
    largest: float  # how long they may become before the objective counts as unbounded

    @property
    def scales(self) -> tuple[tuple[float, ...], ...]:
        """Shares of the primary modes where exponents are read off; the later ones where others do not follow yet."""
        return tuple(
            tuple(start / 2**i for i in range(3)) for start in ((1 / 16, 1 / 128) if self.exact else (1 / 4, 1 / 16))
        )

    def columns(self, at: np.ndarray, directions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The Hessian times some directions, and for each whether the slope jumps there, as at the tip of a cone."""
        count = directions.shape[1]
        if self.exact is not None:
            found = self.exact(at, directions)
            if np.isfinite(found).all():
                return found, np.zeros(count, dtype=bool)
        found = self._differences(at, directions, self.step)
        if self.precision > 1e-4:  # forces are dear: one pair of them a direction
            return found, np.zeros(count, dtype=bool)
        finer = self._differences(at, directions, self.step / 2)
        change, size = np.linalg.norm(finer - found, axis=0), np.linalg.norm(found, axis=0)
        return (4 * finer - found) / 3, change > 0.5 * size + 1e-6

    def _differences(self, at: np.ndarray, directions: np.ndarray, step: float) -> np.ndarray:
        pairs = [(self.value(at + step * v)[1], self.value(at - step * v)[1]) for v in directions.T]
        return np.stack([(above - below) / (2 * step) for above, below in pairs], axis=1)


def of_function(function: Callable, shape: tuple[int, ...], step: float | None) -> Objective:
    """An objective that is a function of a torch tensor, or of an array: energy alone, or with its slope."""
    step = step or 1e-3

    def traced(x: np.ndarray) -> tuple[torch.Tensor, torch.Tensor]:
        point = torch.tensor(x.reshape(shape), dtype=torch.float64, requires_grad=True)
        return function(point), point

    def value(x: np.ndarray) -> tuple[float, np.ndarray]:
        energy, point = traced(x)
        return float(energy.detach()), torch.autograd.grad(energy, point)[0].numpy().ravel()

    def exact(x: np.ndarray, directions: np.ndarray) -> np.ndarray:
        energy, point = traced(x)
        (slope,) = torch.autograd.grad(energy, point, create_graph=True)
        if not slope.requires_grad:
            return np.zeros_like(directions)
        along = [(slope.ravel() @ torch.from_numpy(v.copy())) for v in directions.T]
        columns = [torch.autograd.grad(one, point, retain_graph=True)[0].numpy().ravel() for one in along]
        return np.stack(columns, axis=1)

    def plain(x: np.ndarray) -> tuple[float, np.ndarray]:
        found = function(x.reshape(shape))
        if isinstance(found, tuple):
            return float(found[0]), np.asarray(found[1], dtype=np.float64).ravel()
        slopes = []
        for axis in np.eye(len(x)) * step:
            near, far = (float(function((x + s * axis).reshape(shape)) - function((x - s * axis).reshape(shape)))
                         for s in (1, 2))  # fmt: skip
            slopes.append((8 * near - far) / (12 * step))
        return float(found), np.asarray(slopes)

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            energy, _ = traced(np.full(int(np.prod(shape)), 0.1))
        differentiable = isinstance(energy, torch.Tensor) and energy.requires_grad
    except (RuntimeError, TypeError):  # numpy functions refuse tensors that want slopes
        differentiable = False
    if not differentiable:
        return Objective(plain, None, 10 * step, 1e-5, 1e-7, 300 * step, 1e6 * step)
    if energy.numel() != 1:
        raise ValueError(f"an objective gives one number, this one has the shape {tuple(energy.shape)}")
    return Objective(value, exact, step, 1e-7, _SLOPE, 300 * step, 1e6 * step)


def of_calculator(calculator: BaseCalculator, ideal: Atoms, step: float | None) -> Objective:
    """An objective that is the energy of an ASE calculator (eV) as a function of displacements (Å)."""
    atoms = ideal.copy()
    atoms.calc = calculator

    def value(x: np.ndarray) -> tuple[float, np.ndarray]:
        atoms.set_positions(ideal.positions + x.reshape(-1, 3))
        energy = float(atoms.get_potential_energy())
        return energy, -np.asarray(atoms.get_forces(), dtype=np.float64).ravel()

    step = step or 0.01
    return Objective(value, None, step, 3e-4, _FORCES, 3 * step, 500 * step)


def check_invariant(objective: Objective, space: Space, at: np.ndarray, seed: int) -> bool:
    """Raise `InputError` where the space's group changes the objective; else say whether uniform shifts do nothing."""
    random = np.random.default_rng(seed)
    moved = at + objective.trial * random.normal(size=space.dim)
    energy, slope = objective.value(moved)
    if not (np.isfinite(energy) and np.isfinite(slope).all()):
        raise InputError(f"the objective is {energy} near the symmetric point, where it must be finite and smooth")
    images = space.images(np.stack([moved, slope], axis=1))
    for g in random.permutation(len(images))[:8]:
        other, turned = objective.value(images[g, :, 0])
        far = np.linalg.norm(turned - images[g, :, 1]) / max(np.linalg.norm(slope), 1e-12)
        if not far < 1e-2:
            raise InputError(
                f"the objective is not invariant under the group of {space.name}: an element changes its value from "
                f"{energy:.6g} to {other:.6g} and turns its slope wrongly by {100 * far:.2g} %; give the point of high "
                "symmetry itself, and matrices that act as the objective's variables turn"
            )
    drift = np.abs(slope.reshape(-1, 3).sum(axis=0)).max() if space.displacements else np.inf
    return bool(drift < 1e-3 * np.abs(slope).max())
