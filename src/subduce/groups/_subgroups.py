"""Subgroups of a finite group: all of them, up to conjugacy, their cosets, and what each is called."""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache, cached_property

import numpy as np
from jaxtyping import Float

from ._finite import FiniteGroup, GroupIrrep
from ._schoenflies import axis_name, embedded, labels, operation

MAX_SUBGROUPS = 20_000


@dataclass(frozen=True)
class Subgroup:
    """A subgroup, as the elements of its parent that are in it, in ascending order.

    >>> from subduce.groups import point_group, subgroup
    >>> polar = subgroup(point_group("Oh"), ["C4z", "m_x"])
    >>> polar.name, polar.setting, polar.index
    ('C4v', 'C4v(z)', 6)
    """

    parent: FiniteGroup
    members: tuple[int, ...]

    @property
    def order(self) -> int:
        """Number of elements."""
        return len(self.members)

    @property
    def index(self) -> int:
        """How many cosets there are: the order of the parent over its own."""
        return self.parent.order // self.order

    @property
    def elements(self) -> tuple[str, ...]:
        """Names of its elements, as the parent calls them."""
        return tuple(self.parent.elements[g] for g in self.members)

    def __contains__(self, element: int) -> bool:
        return element in self.members

    def __le__(self, other: "Subgroup") -> bool:
        return set(self.members) <= set(other.members)

    @cached_property
    def group(self) -> FiniteGroup:
        """The subgroup as a group of its own, elements in the same order and by the same names."""
        members = list(self.members)
        place = np.full(self.parent.order, -1)
        place[members] = np.arange(self.order)
        table = place[self.parent.table[np.ix_(members, members)]]
        generators = tuple(int(place[g]) for g in self.generators)
        parent = self.parent
        name = labels(parent.matrices[members]).name if parent.geometric else self.name
        return FiniteGroup(name, self.elements, table, parent.matrices[members], generators, parent.geometric)

    @cached_property
    def generators(self) -> tuple[int, ...]:
        """Few elements of the parent that generate it, those of high order first."""
        orders, names, reached, chosen = self.parent.element_orders, self.parent.elements, {0}, []
        for g in sorted(self.members, key=lambda g: (-orders[g], "^" in names[g], len(names[g]), names[g][::-1])):
            if g not in reached:
                chosen.append(g)
                reached = set(generated(self.parent, chosen))
        return tuple(chosen) or (0,)

    @cached_property
    def name(self) -> str:
        """Schoenflies' name; of a product its factors' names where it is one; else the generators in brackets."""
        if self.order == self.parent.order:
            return self.parent.name
        if self.parent.geometric:
            return labels(self.parent.matrices[list(self.members)]).name
        if self.parent.factors:
            return _name_in_product(self)
        return "{e}" if self.order == 1 else "<" + ",".join(self.parent.elements[g] for g in self.generators) + ">"

    @cached_property
    def setting(self) -> str:
        """The name and how it lies in the parent: `C4v(z)`, `D2(axes)`, `Cs(m_y)`."""
        if self.order in (1, self.parent.order):
            return self.name
        if not self.parent.geometric:
            return _name_in_product(self, settings=True) if self.parent.factors else self.name
        lying = _lying(self.parent.matrices[list(self.members)])
        return f"{self.name}({lying})" if lying else self.name

    def is_normal(self) -> bool:
        """Whether conjugation by every element of the parent keeps it."""
        return all(conjugate == self for conjugate in self.conjugates())

    def conjugates(self) -> tuple["Subgroup", ...]:
        """The subgroups g H g⁻¹, each once, itself first."""
        table, inverse = self.parent.table, self.parent.inverse
        moved = table[table[:, self.members], inverse[:, None]]
        return tuple(dict.fromkeys(Subgroup(self.parent, tuple(sorted(row))) for row in moved.tolist()))

    def cosets(self) -> tuple[tuple[int, ...], ...]:
        """The left cosets g H, that of the identity first."""
        rows = np.sort(self.parent.table[:, self.members], axis=1).tolist()
        return tuple(dict.fromkeys(tuple(row) for row in rows))

    def fixed_dimension(self, character: Float[np.ndarray, " order"]) -> int:
        """Dimension of the vectors that it leaves alone, in a representation of the parent with this character."""
        return round(float(character[list(self.members)].mean()))

    @cached_property
    def coset_irreps(self) -> dict[str, int]:
        """How often each irrep of the parent is in the representation on the cosets: what a child may break.

        An irrep is there as often as it holds vectors that the subgroup leaves alone (Frobenius), in copies over what
        commutes with it.
        """
        found = {i.name: self.fixed_dimension(i.character) // i.commutant for i in self.parent.irreps}
        return {name: times for name, times in found.items() if times}

    def __hash__(self) -> int:
        return hash(self.members)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Subgroup) and self.members == other.members and self.parent is other.parent

    def __repr__(self) -> str:
        return f"Subgroup({self.setting!r} of {self.parent.name}, order={self.order})"


def generated(group: FiniteGroup, elements: Iterable[int]) -> tuple[int, ...]:
    """All products of some elements, in ascending order."""
    chosen = np.unique([0, *elements])
    inside = np.zeros(group.order, dtype=bool)
    inside[chosen] = True
    fresh = chosen
    while len(fresh):  # in a finite group, products of the chosen reach the inverses too
        reached = np.zeros(group.order, dtype=bool)
        reached[group.table[np.ix_(fresh, chosen)].ravel()] = True
        fresh = np.flatnonzero(reached & ~inside)
        inside[fresh] = True
    return tuple(np.flatnonzero(inside).tolist())


def subgroup(group: FiniteGroup, elements: Iterable[str | int]) -> Subgroup:
    """The subgroup that some elements generate, by name or place."""
    return Subgroup(group, generated(group, [group.index(g) for g in elements]))


def stabiliser(group: FiniteGroup, keeps: Iterable[bool]) -> Subgroup:
    """The subgroup of the elements that keep something; raises `ValueError` where these do not form one."""
    members = tuple(g for g, kept in enumerate(keeps) if kept)
    if generated(group, members) != members:
        raise ValueError("the elements that keep it form no subgroup: is the tolerance too wide or too narrow?")
    return Subgroup(group, members)


@cache
def subgroups(group: FiniteGroup) -> tuple[Subgroup, ...]:
    """All subgroups, largest first: joins of cyclic ones of prime-power order, one of each class at a time.

    Raises `ValueError` for groups of more than 20,000 subgroups.
    """
    orders = group.element_orders
    small = {generated(group, [g]) for g in range(1, group.order) if _is_prime_power(orders[g])}
    cyclic = [(_mask(members), members) for members in small]
    found, fresh = {1: (0,)}, [(1, (0,))]
    while fresh:
        coming = []
        for mask, members in fresh:
            for other, more in cyclic:
                if other & ~mask:
                    joined = generated(group, (*members, *more))
                    key = _mask(joined)
                    if key not in found:
                        coming.append((key, joined))
                        conjugates = Subgroup(group, joined).conjugates()
                        found |= {_mask(conjugate.members): conjugate.members for conjugate in conjugates}
            if len(found) > MAX_SUBGROUPS:
                raise ValueError(f"{group.name} has more than {MAX_SUBGROUPS} subgroups; take a smaller group")
        fresh = coming
    ordered = sorted(found.values(), key=lambda members: (-len(members), members))
    return tuple(Subgroup(group, members) for members in ordered)


def _is_prime_power(n: int) -> bool:
    prime = next(p for p in range(2, n + 1) if n % p == 0)
    while n % prime == 0:
        n //= prime
    return n == 1


def _mask(members: Iterable[int]) -> int:
    mask = 0
    for member in members:
        mask |= 1 << member
    return mask


@cache
def subgroup_classes(group: FiniteGroup) -> tuple[tuple[Subgroup, ...], ...]:
    """The subgroups in classes of conjugates, largest first."""
    classes, seen = [], set()
    for found in subgroups(group):
        if found not in seen:
            conjugates = found.conjugates()
            seen.update(conjugates)
            classes.append(conjugates)
    return tuple(classes)


def normal_subgroups(group: FiniteGroup) -> tuple[Subgroup, ...]:
    """The subgroups that every conjugation keeps."""
    return tuple(conjugates[0] for conjugates in subgroup_classes(group) if len(conjugates) == 1)


def _lying(matrices: np.ndarray) -> str:
    """How a point group lies: its principal axis, and whether secondary axes or mirrors are along x, y, z."""
    about = labels(matrices)
    operations = [operation(embedded(matrix)) for matrix in matrices]
    planar = matrices.shape[-1] == 2
    if len(matrices) == 1 or about.family != "axial" or about.name == "Ci":
        return ""
    across = [
        did for did in operations if did.order <= 2 and did.turn and abs(np.dot(did.axis, about.principal)) < 1e-5
    ]
    turns = [did for did in across if did.proper]
    across = turns or [did for did in across if did.is_mirror()]
    names = sorted(axis_name(did.axis) for did in across)
    principal = axis_name(about.principal)
    if about.name == "Cs":
        planar_names = {"[1-10]": "diag", "[110]": "antidiag"} if planar else {}
        return f"m_{planar_names.get(principal, principal)}"
    if about.name in ("D2", "D2h") and not planar:
        return _lying_of_three(sorted((*names, principal)))
    if not names:
        return "" if planar else principal
    plain = [name for name in names if name in "xyz"]
    if about.n % 2:
        one = (plain or names)[0] if turns else f"m_{(plain or names)[0]}"
        return one if planar else f"{principal}; {one}" if principal in "xyz" else principal
    how = "axes" if plain else "diagonals" if any(name[0] == "[" for name in names) else names[0]
    if planar:
        return how
    return f"{principal}; {how}" if about.n == 2 or not plain else principal


def _lying_of_three(names: list[str]) -> str:
    """How three axes at right angles lie: along the coordinates, about one of them, or anyhow."""
    plain = [name for name in names if name in "xyz"]
    if len(plain) == 3:
        return "axes"
    others = [name for name in names if name not in plain]
    how = "diagonals" if all(name[0] == "[" for name in others) else others[0]
    return f"{plain[0]}; {how}" if plain else ", ".join(names)


def _name_in_product(found: Subgroup, settings: bool = False) -> str:
    """A product of subgroups of the factors by their names; else the parent's elements that generate it."""
    parent = found.parent
    sizes = [factor.order for factor in parent.factors]
    places = np.unravel_index(np.asarray(found.members), sizes)
    parts = [tuple(sorted(set(place.tolist()))) for place in places]
    if int(np.prod([len(part) for part in parts])) == found.order:
        kinds = [Subgroup(f, part) for f, part in zip(parent.factors, parts, strict=True)]
        names = [kind.setting if settings else kind.name for kind in kinds]
        kept = [name for name, part in zip(names, parts, strict=True) if len(part) > 1]
        return "x".join(kept) or names[0]
    return "<" + ",".join(parent.elements[g] for g in found.generators) + ">"


def admissible_irreps(group: FiniteGroup, kept: Subgroup) -> tuple[GroupIrrep, ...]:
    """The irreps that may break `group` to `kept`: those of the coset representation, without the trivial one."""
    return tuple(irrep for irrep in group.irreps[1:] if irrep.name in kept.coset_irreps)
