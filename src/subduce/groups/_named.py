"""Groups by name: rotations, the point groups, reflections, time reversal, permutations, translations."""

import re
from itertools import product

import numpy as np

from ._finite import FiniteGroup

_INTERNATIONAL = {
    "1": "C1", "-1": "Ci", "2": "C2", "m": "Cs", "2/m": "C2h", "222": "D2", "mm2": "C2v", "mmm": "D2h",
    "4": "C4", "-4": "S4", "4/m": "C4h", "422": "D4", "4mm": "C4v", "-42m": "D2d", "4/mmm": "D4h",
    "3": "C3", "-3": "S6", "32": "D3", "3m": "C3v", "-3m": "D3d", "6": "C6", "-6": "C3h", "6/m": "C6h",
    "622": "D6", "6mm": "C6v", "-6m2": "D3h", "6/mmm": "D6h", "23": "T", "m-3": "Th", "432": "O", "-43m": "Td",
    "m-3m": "Oh",
}  # fmt: skip
CRYSTALLOGRAPHIC = tuple(_INTERNATIONAL.values())
_AXIAL = re.compile(r"([CDS])(\d+)([vhd]?)")


def _turn(axis, n: int) -> np.ndarray:
    """The rotation by 1/n of a turn about an axis (Rodrigues)."""
    axis = np.asarray(axis, dtype=float) / np.linalg.norm(axis)
    angle = 2 * np.pi / n
    cross = np.array([[0, -axis[2], axis[1]], [axis[2], 0, -axis[0]], [-axis[1], axis[0], 0]])
    matrix = np.eye(3) + np.sin(angle) * cross + (1 - np.cos(angle)) * cross @ cross
    doubled = np.rint(2 * matrix)
    return np.where(np.abs(2 * matrix - doubled) < 1e-12, doubled / 2, matrix)


_Z, _X, _DIAGONAL = (0, 0, 1), (1, 0, 0), (1, 1, 1)
_INVERSION, _FLAT, _UPRIGHT = -np.eye(3), np.diag([1.0, 1, -1]), np.diag([1.0, -1, 1])


def point_group(name: str) -> FiniteGroup:
    """A point group of space by its Schoenflies name (`Oh`, `D3d`, `S6`) or international one (`m-3m`).

    The principal axis is z; two-fold axes of D are along x; the mirrors of Cnv hold x; the axes of cubic groups are
    x, y, z. Any order of axis; I and Ih too. Raises `ValueError` for a name that is none.

    >>> [irrep.name for irrep in point_group("Oh").irreps]
    ['A1g', 'A2g', 'Eg', 'T1g', 'T2g', 'A1u', 'A2u', 'Eu', 'T1u', 'T2u']
    """
    wanted = {"C3i": "S6", "C1h": "Cs", "S2": "Ci", "C1v": "Cs"}.get(name, _INTERNATIONAL.get(name, name))
    return FiniteGroup.from_matrices(_point_generators(wanted, name))


def _point_generators(wanted: str, name: str) -> list[np.ndarray]:
    cubic = {
        "T": [_turn(_Z, 2)], "Th": [_turn(_Z, 2), _INVERSION], "Td": [_FLAT @ _turn(_Z, 4)],
        "O": [_turn(_Z, 4)], "Oh": [_turn(_Z, 4), _INVERSION],
        "I": [_turn(_Z, 2), _turn((0, 1, (1 + 5**0.5) / 2), 5)],
        "Ih": [_turn(_Z, 2), _turn((0, 1, (1 + 5**0.5) / 2), 5), _INVERSION],
    }  # fmt: skip
    if wanted in cubic:
        return [_turn(_DIAGONAL, 3), *cubic[wanted]]
    if wanted in ("C1", "Ci", "Cs"):
        return [{"C1": np.eye(3), "Ci": _INVERSION, "Cs": _FLAT}[wanted]]
    match = _AXIAL.fullmatch(wanted)
    n = int(match[2]) if match else 0
    bad_s = match is not None and match[1] == "S" and (n % 2 or match[3])
    bad_c = match is not None and match[1] + match[3] in ("Cd", "Dv")
    if match is None or n < 1 or bad_s or bad_c:
        raise ValueError(
            f"{name!r} is no point group; expected Cn, Cnv, Cnh, Dn, Dnh, Dnd, S2n, Ci, Cs, T, Td, Th, O, Oh, I, Ih"
        )
    if match[1] == "S":
        return [_FLAT @ _turn(_Z, n)]
    main = [_FLAT @ _turn(_Z, 2 * n)] if match[3] == "d" else [_turn(_Z, n)]
    second = [_turn(_X, 2)] if match[1] == "D" else []
    third = {"": [], "h": [_FLAT], "v": [_UPRIGHT], "d": []}[match[3]]
    return [*main, *second, *third]


def cyclic(n: int) -> FiniteGroup:
    """Cₙ in the plane: the rotations by multiples of 1/n of a turn, from x towards y."""
    return FiniteGroup.from_matrices([_turn(_Z, _positive(n))[:2, :2]], name=f"C{n}")


def dihedral(n: int) -> FiniteGroup:
    """Dₙ in the plane: the rotations of Cₙ, and n mirrors, among them m_y, which sends y to −y."""
    return FiniteGroup.from_matrices(
        [_turn(_Z, _positive(n))[:2, :2], np.diag([1.0, -1.0])], name=f"D{n}" if n > 1 else "Cs"
    )


def _positive(n: int) -> int:
    if n < 1:
        raise ValueError(f"the order of an axis is at least 1, got {n}")
    return n


def reflection(name: str = "m_x") -> FiniteGroup:
    """The two elements 1 and −1 of one axis: a mirror of a line, or time reversal; its irreps are + and −."""
    table = np.array([[0, 1], [1, 0]])
    return FiniteGroup(name, ("e", name), table, np.array([[[1.0]], [[-1.0]]]), (1,))


def time_reversal() -> FiniteGroup:
    """1 and T, which sends t to −t; odd variables, such as velocities, change sign with it."""
    return reflection("T")


def permutations(n: int) -> FiniteGroup:
    """Sₙ as permutation matrices, elements named by their cycles, such as `(12)(34)`."""
    if not 1 <= n <= 6:
        raise ValueError(f"permutations of 1 to 6 things, got {n}")
    swaps = {f"{i}": np.eye(n)[_swapped(n, i)] for i in range(n - 1)} or {"e": np.eye(n)}
    raw = FiniteGroup.from_matrices(swaps, name=f"S{n}", elements="words")
    names = tuple(_cycles(np.argmax(matrix, axis=0)) for matrix in raw.matrices)
    return FiniteGroup(raw.name, names, raw.table, raw.matrices, raw.generators)


def _swapped(n: int, i: int) -> list[int]:
    order = list(range(n))
    order[i], order[i + 1] = order[i + 1], order[i]
    return order


def _cycles(images: np.ndarray) -> str:
    """A permutation i → images[i] as cycles, counted from 1."""
    seen: set[int] = set()
    text = ""
    for start in range(len(images)):
        cycle, at = [], start
        while at not in seen:
            seen.add(at)
            cycle.append(at + 1)
            at = int(images[at])
        if len(cycle) > 1:
            text += "(" + "".join(map(str, cycle)) + ")"
    return text or "e"


def translations(shape: tuple[int, ...]) -> FiniteGroup:
    """Translations of a periodic grid by whole steps: a product of cyclic groups, elements named by their steps."""
    if not shape or min(shape) < 1 or int(np.prod(shape)) > 1024:
        raise ValueError(f"a grid of 1 to 1024 points, got the shape {shape}")
    places = np.array(list(product(*(range(n) for n in shape))))
    table = np.array(np.ravel_multi_index(tuple(np.moveaxis((places[:, None] + places[None]) % shape, -1, 0)), shape))
    matrices = np.zeros((len(places), 2 * len(shape), 2 * len(shape)))
    for axis, n in enumerate(shape):
        angle = 2 * np.pi * places[:, axis] / n
        turn = np.stack([np.cos(angle), -np.sin(angle), np.sin(angle), np.cos(angle)], axis=-1)
        matrices[:, 2 * axis : 2 * axis + 2, 2 * axis : 2 * axis + 2] = turn.reshape(-1, 2, 2)
    names = tuple("t(" + ",".join(map(str, place)) + ")" if any(place) else "e" for place in places.tolist())
    strides = [int(np.prod(shape[axis + 1 :])) for axis in range(len(shape))]
    generators = tuple(stride for stride, n in zip(strides, shape, strict=True) if n > 1) or (0,)
    return FiniteGroup("Z" + "x".join(map(str, shape)), names, table, matrices, generators)


def named_group(name: str, dimension: int) -> FiniteGroup:
    """The group of this name that acts on a line, a plane or space; factors of a product are joined by `x`.

    In the plane C4 and D4 are rotations and mirrors of the plane; on a line there is the mirror m_x. T is time reversal
    on a line, without any space (`dimension` 0), and as a later factor. Raises `ValueError` with what there is.

    >>> named_group("D4", 2).elements[:3], named_group("OhxT", 3).order
    (('e', 'C4', 'm_y'), 96)
    """
    parts = re.split(r"(?<!_)x(?=[A-Z]|$)", name.strip())
    if not all(parts):
        raise ValueError(f"{name!r}: expected a group such as D4, or factors joined by x such as D4xT")
    found = [time_reversal() if i and part == "T" else _factor(part, dimension) for i, part in enumerate(parts)]
    whole = found[0]
    for other in found[1:]:
        whole = whole * other
    return whole


def _factor(name: str, dimension: int) -> FiniteGroup:
    try:
        return {0: _of_time, 1: _of_a_line, 2: _of_a_plane, 3: point_group}[dimension](name)
    except ValueError as error:
        meant = re.sub(r"[\W_]", "", name).capitalize()
        if meant in ("", name) or str(error).startswith("the generators"):
            raise
        try:
            _factor(meant, dimension)
        except ValueError:
            raise error from None
        raise ValueError(f"{error}; did you mean {meant}?") from None


def _of_time(name: str) -> FiniteGroup:
    if name != "T":
        raise ValueError(f"{name!r} does not act on an axis of time alone; what does: T, which reverses it")
    return time_reversal()


def _of_a_line(name: str) -> FiniteGroup:
    if name == "T":
        return time_reversal()
    if name not in ("m_x", "Cs", "Ci", "D1"):
        raise ValueError(f"{name!r} does not act on a line; what does: m_x, and T on an axis of time")
    return FiniteGroup.from_matrices({"m_x": [[-1.0]]}, name="m_x")


def _of_a_plane(name: str) -> FiniteGroup:
    match = re.fullmatch(r"([CD])(\d+)", name)
    if name == "Cs" or (match and int(match[2]) > 0):
        return dihedral(1) if not match else (cyclic if match[1] == "C" else dihedral)(int(match[2]))
    raise ValueError(
        f"{name!r} does not act on a plane; what does: Cn, Dn (with mirrors), Cs; on a square grid C2, C4, Cs, D2, D4"
    )
