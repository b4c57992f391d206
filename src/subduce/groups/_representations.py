"""Representations of finite groups: from irreps of O(3), their reduction, projectors and symmetry-adapted bases."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cache

import numpy as np
import torch
from jaxtyping import Float

from subduce.o3 import Irreps, irrep_matrix

from ._actions import point_permutation
from ._finite import FiniteGroup, GroupIrrep
from ._schoenflies import embedded
from ._subgroups import Subgroup, stabiliser, subgroup_classes

_CLOSE = 1e-8


class Reduction(dict[str, int]):
    """How often each irrep of a group is in a representation; printed as `Eg + T2g`, `2A1 + E`."""

    def __str__(self) -> str:
        return " + ".join(f"{times if times > 1 else ''}{name}" for name, times in self.items()) or "0"


@cache
def o3_matrices(group: FiniteGroup, irreps: str) -> Float[np.ndarray, "order dim dim"]:
    """How features of some irreps of O(3) turn under each element of a group of the line, of the plane or of space.

    Components are in the order of `subduce.o3.Irreps`: 1o and 1e are (x, y, z); in the plane, z stays. Factors that are
    no operations of space, such as time reversal, leave them alone.
    """
    space = space_matrices(group)
    total = Irreps(irreps)
    found = np.zeros((group.order, total.dim, total.dim))
    for (mul, irrep), where in zip(total, total.slices(), strict=True):
        turned = irrep_matrix(irrep, torch.from_numpy(space)).numpy()
        found[:, where, where] = np.einsum("gij,ab->giajb", turned, np.eye(mul)).reshape(
            len(space), mul * irrep.dim, -1
        )
    found[np.abs(found) < 1e-12] = 0.0
    found.flags.writeable = False  # it is kept for the next call
    return found


def subduce(irreps, group: FiniteGroup | Subgroup) -> Reduction:
    """The irreps of a finite group that some irreps of O(3), or an irrep of its parent group, contain.

    >>> from subduce.groups import point_group
    >>> str(subduce("2e", point_group("Oh"))), str(subduce("1o", point_group("C4v")))
    ('Eg + T2g', 'A1 + E')
    """
    if isinstance(irreps, GroupIrrep):
        if not isinstance(group, Subgroup) or len(irreps.character) != group.parent.order:
            raise ValueError("an irrep of a finite group subduces to a Subgroup of that group")
        return reduction(group.group, irreps.character[list(group.members)])
    whole = group.group if isinstance(group, Subgroup) else group
    return reduction(whole, np.trace(o3_matrices(whole, str(Irreps(irreps))), axis1=1, axis2=2))


def reduction(group: FiniteGroup, character: Float[np.ndarray, " order"]) -> Reduction:
    """The irreps in a representation, from its character over the elements; raises `ValueError` where it is none."""
    if np.shape(character) != (group.order,):
        raise ValueError(
            f"expected a character for each of the {group.order} elements of {group.name}, got {np.shape(character)}"
        )
    found = Reduction()
    for irrep in group.irreps:
        times = float(irrep.character @ character) / group.order / irrep.commutant
        if abs(times - round(times)) > 1e-4 or round(times) < 0:
            raise ValueError(f"these are no characters of {group.name}: {irrep.name} would be there {times:.4g} times")
        if round(times):
            found[irrep.name] = round(times)
    return found


def symmetric_power(group: FiniteGroup, irrep: GroupIrrep | str, degree: int = 2) -> Reduction:
    """The irreps in the symmetric part of a product of an irrep with itself: of squares, cubes … of its components.

    The square without the trivial irrep holds what couples linearly to a degenerate state (Jahn and Teller 1937).

    >>> from subduce.groups import point_group
    >>> str(symmetric_power(point_group("Oh"), "T2g"))
    'A1g + Eg + T2g'
    """
    if degree < 0:
        raise ValueError(f"a power is at least 0, got {degree}")
    character = (group.irrep(irrep) if isinstance(irrep, str) else irrep).character
    power, sums, parts = np.arange(group.order), [], [np.ones(group.order)]
    for k in range(1, degree + 1):  # Newton's identity: k h_k = Σ_i p_i h_{k−i}, with p_i(g) = χ(gⁱ)
        sums.append(character[power])
        power = group.table[power, np.arange(group.order)]
        parts.append(np.sum([sums[i] * parts[k - 1 - i] for i in range(k)], axis=0) / k)
    return reduction(group, parts[degree])


def projector(irrep: GroupIrrep, matrices: Float[np.ndarray, "order n n"]) -> Float[np.ndarray, "n n"]:
    """The projector on all copies of an irrep in a representation."""
    return irrep.dim / irrep.commutant * np.einsum("g,gij->ij", irrep.character, matrices) / len(matrices)


def invariant_basis(matrices: Float[np.ndarray, "order n n"]) -> Float[np.ndarray, "n fixed"]:
    """An orthonormal basis, in echelon order, of the vectors that every matrix leaves alone."""
    return _echelon(matrices.mean(axis=0))


def adapted_basis(
    irrep: GroupIrrep, columns: Callable[[int], Float[np.ndarray, "order n"]], n: int, copies: int
) -> Float[np.ndarray, "copies n dim"]:
    """Orthonormal vectors that turn as the irrep, copy after copy: D(g) v_j = Σ_i v_i ρ(g)_ij.

    `columns(k)` is column k of the representation for every element: its matrices need never exist as a whole.
    """
    found: list[np.ndarray] = []
    for k in range(n):
        for j in range(irrep.dim):
            if len(found) == copies:
                break
            image = np.einsum("gn,gj->nj", columns(k), irrep.matrices[:, :, j]) * (irrep.dim / len(irrep.matrices))
            for _ in range(2):  # once more against round-off
                for other in found:
                    image = image - other @ (other.T @ image)
            size = np.linalg.norm(image[:, 0])
            if size > 1e-6:
                found.append(image / size)
    return np.stack(found) if found else np.zeros((0, n, irrep.dim))


@dataclass(frozen=True)
class Isotropy:
    """One way to break a group along an irrep: the subgroup that is kept and the vectors that it leaves alone."""

    subgroup: Subgroup
    basis: Float[np.ndarray, "dim fixed"]

    @property
    def dimension(self) -> int:
        """How many free amplitudes the direction has."""
        return self.basis.shape[1]

    @property
    def direction(self) -> str:
        """The order parameter's direction with a letter for each free amplitude, such as `(a,a,0)`."""
        return direction_symbol(self.basis)

    def __repr__(self) -> str:
        return f"{self.subgroup.setting}: {self.direction}"


def isotropy_subgroups(group: FiniteGroup, irrep: GroupIrrep | str) -> tuple[Isotropy, ...]:
    """The subgroups that the vectors of an irrep can keep, one of each class, smallest breaking first.

    Of each class the subgroup whose direction has the fewest different entries, such as (0,0,a), stands for it.

    >>> from subduce.groups import point_group
    >>> [repr(found) for found in isotropy_subgroups(point_group("O"), "T1")][1:3]
    ['C4(z): (0,0,a)', 'C3([111]): (a,a,a)']
    """
    irrep = group.irrep(irrep) if isinstance(irrep, str) else irrep
    found = []
    for conjugates in subgroup_classes(group):
        ways = [_isotropy(kept, irrep) for kept in conjugates]
        fitting = [way for way in ways if way is not None]
        if fitting:
            found.append(min(fitting, key=lambda way: _plainness(way.direction)))
    return tuple(found)


def _plainness(symbol: str) -> tuple:
    """Short symbols first, then those with few signs, then those that are zero first."""
    return len(symbol), symbol.count("-"), symbol


def _isotropy(kept: Subgroup, irrep: GroupIrrep) -> Isotropy | None:
    """The vectors that a subgroup keeps, if nothing more keeps them all."""
    basis = invariant_basis(irrep.matrices[list(kept.members)])
    leaves = [np.allclose(matrix @ basis, basis, atol=_CLOSE) for matrix in irrep.matrices]
    return Isotropy(kept, basis) if sum(leaves) == kept.order else None


def isotropy_of(group: FiniteGroup, irrep: GroupIrrep, vector: Float[np.ndarray, " dim"], tolerance: float) -> Subgroup:
    """The elements that move a vector of an irrep by no more than `tolerance` times its length."""
    size = np.linalg.norm(vector)
    moved = np.linalg.norm(irrep.matrices @ vector - vector, axis=1)
    return stabiliser(group, moved <= tolerance * size)


def isotropy_of_points(
    group: FiniteGroup, points: Float[np.ndarray, "points 3"], kinds: Sequence | None = None, tolerance: float = 1e-6
) -> Subgroup:
    """The elements that map a cloud about the origin to itself, found from its points; see `point_permutation`.

    Raises `ValueError` for points that are none, or that coincide.

    >>> from subduce.groups import point_group
    >>> rectangle = np.array([[2.0, 1, 0], [-2, 1, 0], [-2, -1, 0], [2, -1, 0]])
    >>> isotropy_of_points(point_group("D4h"), rectangle).setting
    'D2h(axes)'
    """
    point_permutation(np.eye(3)[None], points, kinds, tolerance)

    def keeps(matrix: np.ndarray) -> bool:
        try:
            point_permutation(matrix[None], points, kinds, tolerance)
        except ValueError:
            return False
        return True

    return stabiliser(group, [keeps(matrix) for matrix in space_matrices(group)])


def direction_symbol(basis: Float[np.ndarray, "dim fixed"]) -> str:
    """A general vector of a space, a letter for each free amplitude.

    >>> direction_symbol(np.array([[1.0], [1.0], [0.0]])), direction_symbol(np.array([[0.0], [1.0]]))
    ('(a,a,0)', '(0,a)')
    >>> direction_symbol(np.array([[-1.0], [3**0.5]])), direction_symbol(np.array([[1.0], [0.123]]))
    ('(a,-√3a)', '(a,0.123a)')
    """
    rows = _echelon_rows(basis.T)
    entries = []
    for component in rows.T:
        text = ""
        for letter, factor in zip("abcdefghijklmnopqrstuvwxyz", component, strict=False):
            if abs(factor) > 1e-6:
                text += ("-" if factor < 0 else "+" if text else "") + _times(abs(factor), letter)
        entries.append(text or "0")
    return "(" + ",".join(entries) + ")"


def _times(factor: float, letter: str) -> str:
    """`a` times a factor, as roots and fractions where it is made of them: `2a`, `√3a`, `a/√3`, `√3a/2`."""
    square = Fraction(factor**2).limit_denominator(16)
    if abs(float(square) - factor**2) > 1e-6 or square.numerator > 16:
        return f"{factor:.4g}{letter}"
    over, under = (_root(n) for n in (square.numerator, square.denominator))
    return over + letter + (f"/{under}" if under else "")


def _root(n: int) -> str:
    """The root of a whole number; nothing for 1."""
    whole = math.isqrt(n)
    return "" if n == 1 else str(whole) if whole * whole == n else f"√{n}"


def _echelon(projection: np.ndarray) -> np.ndarray:
    """An orthonormal basis of a projector's image, from its columns in order."""
    found: list[np.ndarray] = []
    for column in projection.T:
        for _ in range(2):
            column = column - sum((v * (v @ column) for v in found), np.zeros_like(column))
        size = np.linalg.norm(column)
        if size > 1e-6:
            found.append(np.where(np.abs(column) < 1e-12, 0.0, column) / size)
    return np.stack(found, axis=1) if found else np.zeros((len(projection), 0))


def _echelon_rows(rows: np.ndarray) -> np.ndarray:
    """Reduced row echelon form: the first entry of each row is 1, and the only one in its column."""
    rows, place = rows.copy(), 0
    for column in range(rows.shape[1]):
        if place == len(rows):
            break
        pivot = place + int(np.argmax(np.abs(rows[place:, column])))
        if abs(rows[pivot, column]) < 1e-6:
            continue
        rows[[place, pivot]] = rows[[pivot, place]]
        rows[place] /= rows[place, column]
        others = np.arange(len(rows)) != place
        rows[others] -= np.outer(rows[others, column], rows[place])
        place += 1
    return rows


def space_matrices(group: FiniteGroup) -> Float[np.ndarray, "order 3 3"]:
    """The orthogonal matrix of space that each element is; factors that are none leave space alone.

    Raises `ValueError` for a group without such a factor.
    """
    if group.geometric:
        return embedded(group.matrices)
    mirrors = [factor.name for factor in group.factors if not factor.geometric and factor.name.startswith("m_")]
    acting = [factor.name for factor in group.factors if factor.geometric]
    if acting and len(acting) + len(mirrors) > 1:
        raise ValueError(
            f"{group.name} acts on space by {' and '.join((*acting, *mirrors))}: "
            "give matrices of space to FiniteGroup.from_matrices instead"
        )
    for place, factor in enumerate(group.factors):
        if factor.geometric:
            sizes = [other.order for other in group.factors]
            return embedded(factor.matrices)[np.unravel_index(np.arange(group.order), sizes)[place]]
    raise ValueError(f"{group.name} does not act on space: give the matrices of its elements on the channels")
