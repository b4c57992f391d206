"""What orthogonal matrices of the plane and of space are called: elements, point groups, and Mulliken's labels."""

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property

import numpy as np
from jaxtyping import Float

_CLOSE = 1e-5


@dataclass(frozen=True)
class Operation:
    """One orthogonal matrix of space: proper or not, the turn of its proper part in whole turns, and its axis."""

    proper: bool
    turn: Fraction  # of the rotation R, or of the rotation R in −R
    axis: tuple[float, float, float]  # of unit length, its first component of z, y, x that is not zero positive

    @property
    def order(self) -> int:
        """n of Cₙ; of an improper operation, n of Sₙ (mirror 1, inversion 2)."""
        return self.turn.denominator if self.proper else self.reflected.denominator

    @property
    def reflected(self) -> Fraction:
        """The turn of a rotoreflection: −R(φ) = σ R(φ + ½)."""
        return (self.turn + Fraction(1, 2)) % 1

    def is_mirror(self) -> bool:
        """Whether this is a reflection in a plane."""
        return not self.proper and self.reflected == 0

    def is_inversion(self) -> bool:
        """Whether this sends every vector to its opposite."""
        return not self.proper and self.turn == 0


def operation(matrix: Float[np.ndarray, "3 3"]) -> Operation:
    """What an orthogonal matrix does to space."""
    proper = np.linalg.det(matrix) > 0
    rotation = matrix if proper else -matrix
    angle = np.arccos(np.clip((np.trace(rotation) - 1) / 2, -1, 1))
    if angle < _CLOSE:
        return Operation(bool(proper), Fraction(0), (0.0, 0.0, 1.0))
    values, vectors = np.linalg.eigh((rotation + rotation.T) / 2)
    axis = vectors[:, int(np.argmax(values))]
    axis = np.where(np.abs(axis) < _CLOSE, 0.0, axis)
    first = next(component for component in axis[::-1] if component)
    axis = axis * np.sign(first) + 0.0
    skew = np.array([rotation[2, 1] - rotation[1, 2], rotation[0, 2] - rotation[2, 0], rotation[1, 0] - rotation[0, 1]])
    turn = Fraction(angle / (2 * np.pi)).limit_denominator(720)
    if skew @ axis < -_CLOSE:
        turn = 1 - turn
    x, y, z = (float(round(a, 9)) for a in axis)
    return Operation(bool(proper), turn, (x, y, z))


def embedded(matrix: np.ndarray) -> np.ndarray:
    """A matrix of the line or of the plane as one of space that leaves the rest alone."""
    size = matrix.shape[-1]
    whole = np.zeros((*matrix.shape[:-2], 3, 3))
    whole[..., range(size, 3), range(size, 3)] = 1
    whole[..., :size, :size] = matrix
    return whole


def axis_name(axis: Sequence[float]) -> str:
    """`x`, `y`, `z`, a direction such as `[110]`, or the angle from x of one in the plane, such as `@30`.

    >>> axis_name((0, 0, 1)), axis_name((0.70710678, -0.70710678, 0)), axis_name((0.8660254, 0.5, 0))
    ('z', '[1-10]', '@30')
    """
    vector = np.asarray(axis, dtype=float)
    if np.isclose(np.abs(vector).max(), 1, atol=_CLOSE):
        return "xyz"[int(np.argmax(np.abs(vector)))]
    scaled = vector / np.abs(vector)[np.abs(vector) > _CLOSE].min()
    if np.allclose(scaled, np.rint(scaled), atol=1e-4) and np.abs(scaled).max() < 4:
        whole = np.rint(scaled).astype(int)
        if whole[np.flatnonzero(whole)[0]] < 0:
            whole = -whole
        return "[" + "".join(str(w) for w in whole) + "]"
    if abs(vector[2]) < _CLOSE:
        degrees = np.degrees(np.arctan2(vector[1], vector[0])) % 180
        return f"@{degrees:.4g}"
    return "(" + ",".join(f"{v:.3f}" for v in vector) + ")"


def element_name(matrix: np.ndarray) -> str:
    """The name of what a matrix does: `e`, `i`, `C4z`, `C3[111]^2`, `S4z`, `m_x`; in the plane `C4`, `m_diag`.

    A mirror is named by its normal: `m_x` sends x to −x. In the plane, `m_diag` exchanges x and y.
    """
    size = matrix.shape[-1]
    if size > 3:
        raise ValueError(f"elements have names in at most three dimensions, got matrices of {size}")
    did = operation(embedded(matrix))
    if did.is_inversion():
        return "i"
    if did.is_mirror():
        name = axis_name(did.axis)
        if size == 2:
            name = {"[1-10]": "diag", "[110]": "antidiag"}.get(name, name)
        return f"m_{name}"
    if did.proper and did.turn == 0:
        return "e"
    turn = did.turn if did.proper else did.reflected
    axis = "" if size == 2 else axis_name(did.axis)
    power = "" if turn.numerator == 1 else f"^{turn.numerator}"
    return f"{'C' if did.proper else 'S'}{turn.denominator}{axis}{power}"


def labels(matrices: Float[np.ndarray, "order dim dim"]) -> "PointGroupLabels":
    """Schoenflies' name and Mulliken's labels of a group of matrices."""
    return PointGroupLabels(matrices)


class PointGroupLabels:
    """The Schoenflies name of a group of matrices of the plane or of space, and the labels of its irreps.

    Any orientation: the principal axis is the one of highest order (of equals, the one nearest z); the axis or mirror
    that tells 1 from 2 is the one along, or through, the direction nearest x.
    """

    def __init__(self, matrices: Float[np.ndarray, "order dim dim"]) -> None:
        self.planar = matrices.shape[-1] == 2
        self.known = matrices.shape[-1] in (2, 3)
        self.order = len(matrices)
        self.operations = [operation(embedded(matrix)) for matrix in matrices] if self.known else []

    def _axes(self, order: int) -> list[tuple[float, float, float]]:
        """Distinct axes of the rotations of one order."""
        return sorted({did.axis for did in self.operations if did.proper and did.order == order})

    @cached_property
    def family(self) -> str:
        """`icosahedral`, `cubic` or `axial`."""
        if len(self._axes(5)) > 1:
            return "icosahedral"
        return "cubic" if len(self._axes(3)) > 1 else "axial"

    @cached_property
    def has_inversion(self) -> bool:
        """Whether the inversion is among the operations."""
        return any(did.is_inversion() for did in self.operations)

    @cached_property
    def principal(self) -> tuple[float, float, float]:
        """The principal axis."""
        turning = [did for did in self.operations if did.order > 1 and not did.is_inversion()] or [
            did for did in self.operations if did.is_mirror()
        ]
        if not turning:
            return (0.0, 0.0, 1.0)
        # of axes of the same order, the one with most operations on it comes first: the C2 of C2v before its mirrors
        return max((did for did in turning), key=lambda did: (did.order, did.proper, *np.abs(did.axis[::-1]))).axis

    def _along(self, axis: Sequence[float]) -> bool:
        return bool(abs(np.dot(axis, self.principal)) > 1 - _CLOSE)

    def _across(self, axis: Sequence[float]) -> bool:
        return bool(abs(np.dot(axis, self.principal)) < _CLOSE)

    @cached_property
    def n(self) -> int:
        """The order of the rotations about the principal axis."""
        return max([did.order for did in self.operations if did.proper and self._along(did.axis)], default=1)

    @cached_property
    def name(self) -> str:
        """Schoenflies' name, in ASCII; in the plane, Cn, Dn, or Cs for a single mirror."""
        if not self.known:
            return f"G{self.order}"
        return self._planar_name() if self.planar else self._space_name()

    def _planar_name(self) -> str:
        mirrors = sum(did.is_mirror() for did in self.operations)
        if mirrors == 1:
            return "Cs"
        return f"D{mirrors}" if mirrors else f"C{self.order}"

    def _space_name(self) -> str:
        proper = sum(did.proper for did in self.operations)
        four = bool(self._axes(4))
        if self.family == "icosahedral":
            return "Ih" if self.has_inversion else "I"
        if self.family == "cubic":
            if four:
                return "Oh" if self.has_inversion else "O"
            return "Th" if self.has_inversion else ("Td" if proper < self.order else "T")
        if self.order == 2 and proper == 1:
            return "Ci" if self.has_inversion else "Cs"
        dihedral = proper == 2 * self.n
        flat = any(did.is_mirror() and self._along(did.axis) for did in self.operations)
        if proper == self.order:
            return f"D{self.n}" if dihedral else f"C{self.n}"
        if dihedral:
            return f"D{self.n}h" if flat else f"D{self.n}d"
        if flat:
            return f"C{self.n}h"
        return f"C{self.n}v" if any(did.is_mirror() for did in self.operations) else f"S{2 * self.n}"

    # -- irreps

    def _first(self, wanted) -> int | None:
        """The first operation that does as wanted."""
        return next((g for g, did in enumerate(self.operations) if wanted(did)), None)

    @cached_property
    def _turning(self) -> int:
        """The operation whose character tells A from B: Cₙ, or S₂ₙ where there is one and no inversion."""
        improper = max(
            [
                did.order
                for did in self.operations
                if not did.proper and self._along(did.axis) and not did.is_inversion()
            ],
            default=0,
        )
        if improper == 2 * self.n and not self.has_inversion:
            return self._first(lambda did: not did.proper and did.reflected == Fraction(1, improper)) or 0
        return self._first(lambda did: did.proper and did.turn == Fraction(1, self.n) and self._along(did.axis)) or 0

    @cached_property
    def _secondary(self) -> int | None:
        """The operation whose character tells 1 from 2: C₂′ nearest x, else the mirror that holds what is nearest x."""
        turns = [g for g, did in enumerate(self.operations) if did.proper and did.order == 2 and self._across(did.axis)]
        if turns:
            return max(turns, key=lambda g: self._nearness(self.operations[g].axis))
        mirrors = [g for g, did in enumerate(self.operations) if did.is_mirror() and self._across(did.axis)]
        if mirrors:
            return max(mirrors, key=lambda g: self._nearness(np.cross(self.principal, self.operations[g].axis)))
        return None

    @staticmethod
    def _nearness(axis: Sequence[float] | np.ndarray) -> tuple[float, ...]:
        return tuple(round(abs(float(a)), 6) for a in axis)

    def irreps(self, characters: Sequence[np.ndarray]) -> list[str] | None:
        """Mulliken's labels for characters over the elements; None where these do not tell all irreps apart."""
        if not self.known:
            return None
        names = [self._letter(character) + self._parity(character) for character in characters]
        return names if len(set(names)) == len(names) else None

    def _parity(self, character: np.ndarray) -> str:
        if self.planar:
            return ("'" if character.min() > 0 else "''") if self.name == "Cs" else ""
        if self.has_inversion:
            place = self._first(lambda did: did.is_inversion())
            return "g" if character[place] > 0 else "u"
        flat = self._first(lambda did: did.is_mirror() and self._along(did.axis))
        if flat is not None and self.family == "axial" and (self.n % 2 == 1):
            return "'" if character[flat] > 0 else "''"
        return ""

    def _letter(self, character: np.ndarray) -> str:
        dim = round(float(character[0]))
        if self.family == "icosahedral":
            fifth = self._first(lambda did: did.proper and did.turn == Fraction(1, 5))
            return {1: "A", 3: "T1" if character[fifth] > 0 else "T2", 4: "G", 5: "H"}[dim]
        if self.family == "cubic":
            return self._cubic(character, dim)
        if dim == 1:
            return self._one(character)
        angle = np.arccos(np.clip(character[self._turning] / dim, -1, 1)) / (2 * np.pi)
        order = self.operations[self._turning].order
        k = round(float(angle) * order)
        return "E" if self._single_e(order) else f"E{k}"

    def _single_e(self, order: int) -> bool:
        """Whether there is one E only (of each parity): turns up to order 4, or a principal S4."""
        return order <= 4

    def _cubic(self, character: np.ndarray, dim: int) -> str:
        letter = {1: "A", 2: "E", 3: "T"}[dim]
        quarter = self._first(lambda did: did.proper and did.order == 4)
        quarter = self._first(lambda did: did.order == 4) if quarter is None else quarter
        if quarter is None or dim == 2:
            return letter
        return letter + ("1" if character[quarter] > 0 else "2")

    def _one(self, character: np.ndarray) -> str:
        if self.n == 2 and not self.planar and self.name in ("D2", "D2h"):
            return self._of_three_axes(character)
        letter = "A" if self.operations[self._turning].order == 1 or character[self._turning] > 0 else "B"
        if self._secondary is None:
            return letter
        return letter + ("1" if character[self._secondary] > 0 else "2")

    def _of_three_axes(self, character: np.ndarray) -> str:
        """D2: A, and B1, B2, B3 symmetric about the axes nearest z, y, x."""
        turns = [g for g, did in enumerate(self.operations) if did.proper and did.order == 2]
        first = next(g for g in turns if self._along(self.operations[g].axis))
        third = max((g for g in turns if g != first), key=lambda g: self._nearness(self.operations[g].axis))
        second = next(g for g in turns if g not in (first, third))
        signs = [character[g] > 0 for g in (first, second, third)]
        return "A" if all(signs) else f"B{signs.index(True) + 1}"
