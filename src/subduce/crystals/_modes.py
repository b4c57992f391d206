"""A field on the sites of a crystal in parts that each turn as one irrep of its space group."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations_with_replacement
from typing import Literal

import numpy as np
from jaxtyping import Float, Int

from subduce.groups import GroupIrrep, adapted_basis, direction_symbol, invariant_basis

from ._irreps import CrystalIrrep, irreps_at, stars
from ._periodic import PeriodicCrystal

Kind = Literal["displacement", "occupation", "magnetic", "strain"]
_CLOSE = 1e-6

_TENSORS = np.zeros((6, 3, 3))  # symmetric, orthonormal: xx, yy, zz, yz, xz, xy
for _place, (_i, _j) in enumerate(((0, 0), (1, 1), (2, 2), (1, 2), (0, 2), (0, 1))):
    _TENSORS[_place, _i, _j] = _TENSORS[_place, _j, _i] = 1.0 if _i == _j else np.sqrt(0.5)


@dataclass(frozen=True, eq=False)
class Mode:
    """The part of a field that turns as one irrep: its order parameter, once for each copy of the irrep.

    `basis[c, :, :, j]` is the field of component j of copy c, of unit norm over the child's primitive cell; copies are
    orthogonal. `components[c, j]` are the amplitudes, in the field's unit. `matrices` holds how the irrep turns under
    every operation of `crystal`.
    """

    crystal: PeriodicCrystal
    kind: Kind
    irrep: CrystalIrrep
    matrices: Float[np.ndarray, "order dim dim"]
    basis: Float[np.ndarray, "copies sites axes dim"]
    components: Float[np.ndarray, "copies dim"]

    @property
    def name(self) -> str:
        """The irrep's name, with an m where it is odd under time reversal."""
        return ("m" if self.kind == "magnetic" else "") + irrep_name(self.irrep)

    @property
    def amplitude(self) -> float:
        """Norm of the mode's field over the child's primitive cell (A_s)."""
        return float(np.linalg.norm(self.components))

    @cached_property
    def field(self) -> Float[np.ndarray, "sites axes"]:
        """The mode's part of the field."""
        return np.einsum("csaj,cj->sa", self.basis, self.components)

    @cached_property
    def direction(self) -> Float[np.ndarray, " dim"]:
        """The order parameter's direction, of unit length: that of the largest part, where copies differ."""
        _, _, rows = np.linalg.svd(self.components)
        largest = self.components[np.argmax(np.linalg.norm(self.components, axis=1))]
        return rows[0] * (np.sign(rows[0] @ largest) or 1.0) + 0.0

    @cached_property
    def isotropy(self) -> Int[np.ndarray, " kept"]:
        """The operations that leave the mode alone."""
        return kept_operations(self.matrices, self.components)

    @cached_property
    def direction_symbol(self) -> str:
        """A letter for each free amplitude that the isotropy subgroup leaves, arms of the star apart: `(a;0;0)`."""
        symbol = direction_symbol(invariant_basis(self.matrices[self.isotropy]))
        entries = symbol.strip("()").split(",")
        size = max(len(entries) // len(self.irrep.arms), 1)
        return "(" + ";".join(",".join(entries[i : i + size]) for i in range(0, len(entries), size)) + ")"


def irrep_name(irrep: CrystalIrrep) -> str:
    """The irrep's label; its wave vector and place among the irreps there where no label is certain."""
    if irrep.label:
        return irrep.label
    wave_vector = ",".join(f"{x:.4g}" for x in np.round(irrep.k_standard, 6) + 0.0)
    return f"k=({wave_vector}) no. {irrep.place}"


def kept_operations(
    matrices: Float[np.ndarray, "order dim dim"], components: Float[np.ndarray, "copies dim"], tolerance: float = 1e-5
) -> Int[np.ndarray, " kept"]:
    """The elements that move an order parameter by less than `tolerance` times its length."""
    moved = np.einsum("gij,cj->gci", matrices, components) - components
    return np.flatnonzero(np.linalg.norm(moved, axis=(1, 2)) <= tolerance * np.linalg.norm(components))


def field_images(crystal: PeriodicCrystal, kind: Kind, axes: int = 3) -> Float[np.ndarray, "order axes axes"]:
    """How the value of a field on a site turns under every operation: a polar vector, a moment, or so many scalars."""
    if kind == "occupation":
        return np.tile(np.eye(axes), (crystal.order, 1, 1))
    turns = crystal.crystal.group.cartesian[crystal.operations[0]]
    if kind == "displacement":
        return turns
    return turns * (np.linalg.det(turns) * crystal.reversals)[:, None, None]


def decompose(
    crystal: PeriodicCrystal, field: Float[np.ndarray, "sites axes"], kind: Kind, cells: int
) -> tuple[Mode, ...]:
    """All irreps of wave vectors that a field with the child's period can hold, also those of which it holds nothing.

    `cells` is how many primitive cells of the parent the child's primitive cell has: amplitudes are norms over it.
    """
    images = field_images(crystal, kind, field.shape[1])
    scale = np.sqrt(len(crystal.cells) / cells)
    found = []
    for irrep in candidates(crystal):
        matrices = irrep.matrices(*crystal.operations)
        if kind == "magnetic":
            matrices = matrices * crystal.reversals[:, None, None]
        copies = intertwiners(crystal, matrices, images)
        if len(copies):
            basis = copies * scale
            components = np.einsum("csaj,sa->cj", copies, field) / scale
            found.append(Mode(crystal, kind, irrep, matrices, basis, components))
    return tuple(found)


def candidates(crystal: PeriodicCrystal) -> Iterator[CrystalIrrep]:
    """Every physically irreducible representation of wave vectors that belong to the superlattice."""
    for wave_vector in stars(crystal.crystal.group, crystal.superlattice):
        yield from irreps_at(crystal.crystal.group, wave_vector)


def intertwiners(
    crystal: PeriodicCrystal,
    matrices: Float[np.ndarray, "order dim dim"],
    images: Float[np.ndarray, "order axes axes"],
    orbits: Sequence[Sequence[int]] | None = None,
) -> Float[np.ndarray, "copies sites axes dim"]:
    """Orthonormal fields that turn as some matrices do, copy after copy, each on one orbit of sites (all, or some)."""
    axes, dim = images.shape[-1], matrices.shape[-1]
    character = np.trace(matrices, axis1=1, axis2=2)
    commutant = round(float(character @ character) / crystal.order)
    found: list[np.ndarray] = []
    trace = np.trace(images, axis1=1, axis2=2)
    for orbit in map(list, crystal.orbits if orbits is None else orbits):
        fixed = crystal.permutations[:, orbit] == np.array(orbit)
        total = float((character * trace) @ fixed.sum(axis=1)) * len(crystal.cells) / crystal.order
        expected = round(total / commutant)
        here = len(found)
        for axis, component in ((a, j) for a in range(axes) for j in range(dim)):
            if len(found) - here == expected:
                break
            weights = np.einsum("gx,gj->gxj", images[:, :, axis], matrices[:, :, component])
            image = np.zeros((crystal.sites, axes, dim))
            np.add.at(image, crystal.permutations[:, orbit[0]], weights)
            for _ in range(2):  # once more against round-off
                for other in found[here:]:
                    overlap = np.einsum("saj,sak->jk", other, image)
                    image = image - np.einsum("saj,jk->sak", other, overlap)
            size = np.linalg.norm(image[:, :, 0])
            if size > 1e-8 * crystal.order:
                found.append(np.where(np.abs(image) < 1e-13 * size, 0.0, image) / size)
    return np.stack(found) if found else np.zeros((0, crystal.sites, axes, dim))


def strain_modes(crystal: PeriodicCrystal, strain: Float[np.ndarray, "3 3"]) -> tuple[Mode, ...]:
    """A strain by irreps of the parent's point group; the field of each is the tensor as a vector of six.

    Its entries are xx, yy, zz, √2 yz, √2 xz, √2 xy, so that amplitudes are norms of tensors.
    """
    turns = crystal.crystal.group.cartesian
    images = np.einsum("aij,gik,bkl,gjl->gab", _TENSORS, turns, _TENSORS, turns)
    vector = np.einsum("aij,ij->a", _TENSORS, strain)
    found = []
    for irrep in irreps_at(crystal.crystal.group, np.zeros(3)):
        matrices = irrep.matrices(*crystal.operations)
        at_rest = irrep.matrices(np.arange(len(turns)), np.zeros((len(turns), 3), dtype=np.int64))
        character = np.trace(at_rest, axis1=1, axis2=2)
        commutant = round(float(character @ character) / len(turns))
        copies = round(float(character @ np.trace(images, axis1=1, axis2=2)) / len(turns) / commutant)
        if copies:
            turning = GroupIrrep(irrep.label, at_rest, irrep.type)
            basis = adapted_basis(turning, lambda column: images[:, :, column], 6, copies)[:, None]
            found.append(Mode(crystal, "strain", irrep, matrices, basis, np.einsum("csaj,a->cj", basis, vector)))
    return tuple(found)


@dataclass(frozen=True)
class Coupling:
    """The lowest invariant that is linear in a secondary order parameter: powers of the primary ones that drive it."""

    powers: tuple[int, ...]

    def text(self, primary: Sequence[str], secondary: str) -> str:
        """`R4+ M3+ X5+`, `K3^3 GM2-`."""
        parts = [
            f"{name}^{power}" if power > 1 else name for name, power in zip(primary, self.powers, strict=True) if power
        ]
        return " ".join([*parts, secondary])


def coupling(
    matrices: Float[np.ndarray, "order dim dim"],
    primary: Sequence[tuple[Float[np.ndarray, "order m m"], Float[np.ndarray, "copies m"]]],
    *,
    degree: int = 6,
) -> Coupling | None:
    """The lowest powers of primary order parameters, at the values they have, that act on a secondary one as a force.

    A random polynomial map of these degrees is averaged over the group; where the average does not vanish at the
    primaries' values there is an invariant that is linear in the secondary one and drives it. None up to `degree`
    means that the secondary one is not driven by these.
    """
    generator = np.random.default_rng(0)
    order = len(matrices)
    turned = [np.einsum("gji,cj->gci", m, value / np.linalg.norm(value)) for m, value in primary]  # g⁻¹η
    for total in range(1, degree + 1):
        for chosen in combinations_with_replacement(range(len(primary)), total):
            powers = tuple(chosen.count(i) for i in range(len(primary)))
            for _ in range(3):  # a random polynomial may be nearly zero there
                factor = np.ones(order)
                for i in chosen:
                    factor = factor * (turned[i].reshape(order, -1) @ generator.standard_normal(turned[i][0].size))
                vector = generator.standard_normal(matrices.shape[1])
                force = np.einsum("gij,j,g->i", matrices, vector, factor) / order
                if np.linalg.norm(force) > _CLOSE:
                    return Coupling(powers)
    return None
