"""Irreps of O(3) and direct sums of them, in e3nn's grammar: `32x0e + 16x1o`."""

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple, Union, final, overload

import torch
from jaxtyping import Float
from torch import Tensor

from ._rotation import check_rotation
from ._wigner import wigner_d

_TERM = re.compile(r"(?:(\d+)\s*x\s*)?(\d+)([eo])")


@dataclass(frozen=True, order=True)
class Irrep:
    """One irreducible representation of O(3): degree `l` and parity `p` (+1 even, −1 odd).

    Irreps sort by degree, odd before even, as in e3nn: 0o, 0e, 1o, 1e, …

    >>> Irrep.parse("1o").dim
    3
    >>> [str(ir) for ir in Irrep(1, -1) * Irrep(1, -1)]
    ['0e', '1e', '2e']
    """

    l: int
    p: int

    def __post_init__(self) -> None:
        if self.l < 0 or self.p not in (-1, 1):
            raise ValueError(f"an irrep has a degree l ≥ 0 and a parity ±1, got l = {self.l}, p = {self.p}")

    @classmethod
    def parse(cls, irrep: Union[str, "Irrep"]) -> "Irrep":
        """An irrep from its name, such as `1o`; an irrep is returned as it is."""
        if isinstance(irrep, Irrep):
            return irrep
        match = _TERM.fullmatch(irrep.strip())
        if not match or match[1]:
            raise ValueError(f"expected an irrep such as '0e' or '1o', got {irrep!r}")
        return cls(int(match[2]), 1 if match[3] == "e" else -1)

    @property
    def dim(self) -> int:
        """Number of components, 2l + 1."""
        return 2 * self.l + 1

    def is_scalar(self) -> bool:
        """Whether this is 0e, the irrep that nothing changes."""
        return self.l == 0 and self.p == 1

    def __mul__(self, other: "Irrep") -> tuple["Irrep", ...]:
        """The irreps in the product of two, |l₁ − l₂| ≤ l ≤ l₁ + l₂, by ascending degree."""
        return tuple(Irrep(l, self.p * other.p) for l in range(abs(self.l - other.l), self.l + other.l + 1))

    def __str__(self) -> str:
        return f"{self.l}{'e' if self.p == 1 else 'o'}"

    __repr__ = __str__


class MulIrrep(NamedTuple):
    """Some copies (`mul` channels) of one irrep."""

    mul: int
    ir: Irrep

    @property
    def dim(self) -> int:
        """Number of components, over all copies."""
        return self.mul * self.ir.dim

    def __str__(self) -> str:
        return f"{self.mul}x{self.ir}"

    __repr__ = __str__


class Sorted(NamedTuple):
    """Irreps in sorted order, and the places: term i of the input is term `places[i]` of `irreps`."""

    irreps: "Irreps"
    places: tuple[int, ...]


@final
class Irreps(tuple[MulIrrep, ...]):
    """A direct sum of irreps with multiplicities: how a feature vector turns.

    A feature vector holds one block a term, one after the other. Inside a block the components
    come first and the channels last, `[2l + 1, mul]`, so that channels lie together in memory.
    (e3nn's flat order is `[mul, 2l + 1]`; `to_e3nn` and `from_e3nn` convert.)

    >>> irreps = Irreps("2x0e + 1x1o")
    >>> irreps.dim, irreps.lmax, irreps.slices()
    (5, 1, (slice(0, 2, None), slice(2, 5, None)))
    >>> Irreps("1o + 2x0e + 3x1o").regroup()
    2x0e+4x1o
    """

    def __new__(cls, irreps: Union[str, Irrep, "Irreps", Iterable] = ()) -> "Irreps":
        if isinstance(irreps, Irreps):
            return super().__new__(cls, tuple(irreps))
        return super().__new__(cls, tuple(_terms(irreps)))

    @classmethod
    def spherical_harmonics(cls, l_max: int, *, parity: int = -1) -> "Irreps":
        """The irreps of the spherical harmonics up to `l_max`; of all even ones with `parity` = +1.

        >>> Irreps.spherical_harmonics(2)
        1x0e+1x1o+1x2e
        """
        return cls([(1, Irrep(l, parity**l)) for l in range(l_max + 1)])

    @cached_property
    def dim(self) -> int:
        """Number of components of a feature vector."""
        return sum(term.dim for term in self)

    @property
    def num_irreps(self) -> int:
        """Number of irreps, counting every copy."""
        return sum(term.mul for term in self)

    @property
    def lmax(self) -> int:
        """The largest degree; raises `ValueError` where there is no term."""
        if not self:
            raise ValueError("no irreps, so there is no largest degree")
        return max(term.ir.l for term in self)

    def slices(self) -> tuple[slice, ...]:
        """Where each term's block lies in a feature vector."""
        found, start = [], 0
        for term in self:
            found.append(slice(start, start + term.dim))
            start += term.dim
        return tuple(found)

    def count(self, irrep: str | Irrep) -> int:  # type: ignore[override]
        """How many copies of an irrep there are, over all terms."""
        ir = Irrep.parse(irrep)
        return sum(term.mul for term in self if term.ir == ir)

    def __contains__(self, irrep: object) -> bool:
        if isinstance(irrep, MulIrrep):
            return tuple.__contains__(self, irrep)
        return isinstance(irrep, (str, Irrep)) and self.count(irrep) > 0

    def keep(self, wanted: Callable[[Irrep], bool]) -> "Irreps":
        """The terms whose irrep is wanted, in the same order."""
        return type(self)([term for term in self if wanted(term.ir)])

    def sort(self) -> Sorted:
        """Terms by degree, odd before even; equal ones keep their order."""
        order = sorted(range(len(self)), key=lambda i: (self[i].ir, i))
        places = [0] * len(self)
        for place, i in enumerate(order):
            places[i] = place
        return Sorted(type(self)([self[i] for i in order]), tuple(places))

    def simplify(self) -> "Irreps":
        """Neighbouring terms of one irrep joined, empty ones dropped; nothing is reordered."""
        joined: list[MulIrrep] = []
        for mul, ir in self:
            if joined and joined[-1].ir == ir:
                joined[-1] = MulIrrep(joined[-1].mul + mul, ir)
            elif mul:
                joined.append(MulIrrep(mul, ir))
        return type(self)(joined)

    def regroup(self) -> "Irreps":
        """Sorted and simplified: one term an irrep."""
        return self.sort().irreps.simplify()

    def D(
        self, rotation: Float[Tensor, "*batch 3 3"], *, layout: str = "component"
    ) -> Float[Tensor, "*batch {self.dim} {self.dim}"]:
        """The orthogonal matrix by which a rotation (proper or not) acts on a feature vector.

        `layout` is `component` (this library's, channels last) or `e3nn` (components last).
        Computed in float64 whatever the dtype of `rotation`. Raises `ValueError` where `rotation`
        is not orthogonal.
        """
        if layout not in ("component", "e3nn"):
            raise ValueError(f"layout is 'component' or 'e3nn', got {layout!r}")
        blocks = []
        for mul, ir in self:
            single = irrep_matrix(ir, rotation)
            channels = torch.eye(mul, dtype=torch.float64, device=rotation.device)
            pair = (single, channels) if layout == "component" else (channels, single)
            blocks.append(torch.einsum("...ab,...cd->...acbd", *pair).flatten(-2).flatten(-3, -2))
        matrix = rotation.new_zeros(*rotation.shape[:-2], self.dim, self.dim, dtype=torch.float64)
        for place, block in zip(self.slices(), blocks, strict=True):
            matrix[..., place, place] = block
        return matrix

    def to_e3nn(self, features: Float[Tensor, "*batch {self.dim}"]) -> Float[Tensor, "*batch {self.dim}"]:
        """Features in e3nn's order, components last within each block."""
        return self._transpose(features, components_first=True)

    def from_e3nn(self, features: Float[Tensor, "*batch {self.dim}"]) -> Float[Tensor, "*batch {self.dim}"]:
        """Features in this library's order, from e3nn's."""
        return self._transpose(features, components_first=False)

    def _transpose(self, features: Tensor, *, components_first: bool) -> Tensor:
        blocks = []
        for (mul, ir), place in zip(self, self.slices(), strict=True):
            shape = (ir.dim, mul) if components_first else (mul, ir.dim)
            blocks.append(features[..., place].unflatten(-1, shape).mT.flatten(-2))
        return torch.cat(blocks, dim=-1) if blocks else features

    @overload
    def __getitem__(self, index: int) -> MulIrrep: ...  # type: ignore[overload-overlap]
    @overload
    def __getitem__(self, index: slice) -> "Irreps": ...
    def __getitem__(self, index):  # type: ignore[override]
        found = tuple.__getitem__(self, index)
        return type(self)(found) if isinstance(index, slice) else found

    def __add__(self, other: Union[str, "Irreps"]) -> "Irreps":  # type: ignore[override]
        return type(self)([*self, *Irreps(other)])

    def __mul__(self, copies: int) -> "Irreps":  # type: ignore[override]
        return type(self)([*self] * copies)

    __rmul__ = __mul__  # type: ignore[assignment]

    def __str__(self) -> str:
        return "+".join(str(term) for term in self)

    __repr__ = __str__


def irrep_matrix(irrep: str | Irrep, rotation: Float[Tensor, "*batch 3 3"]) -> Float[Tensor, "*batch dim dim"]:
    """The orthogonal matrix, float64, by which a rotation (proper or not) acts on one irrep.

    Raises `ValueError` where `rotation` is not orthogonal.
    """
    check_rotation(rotation, proper=False)
    ir, rotation = Irrep.parse(irrep), rotation.to(torch.float64)
    sign = torch.linalg.det(rotation.detach()).sign()[..., None, None]
    matrix = wigner_d(ir.l, rotation * sign)
    return matrix if ir.p == 1 else matrix * sign


def _terms(irreps: str | Irrep | Iterable) -> Iterator[MulIrrep]:
    if isinstance(irreps, Irrep):
        yield MulIrrep(1, irreps)
    elif isinstance(irreps, str):
        for text in irreps.split("+") if irreps.strip() else ():
            match = _TERM.fullmatch(text.strip())
            if not match:
                raise ValueError(f"expected irreps such as '32x0e + 16x1o', got {text.strip()!r} in {irreps!r}")
            yield MulIrrep(int(match[1] or 1), Irrep(int(match[2]), 1 if match[3] == "e" else -1))
    else:
        for term in irreps:
            if isinstance(term, (str, Irrep)):
                yield MulIrrep(1, Irrep.parse(term))
            else:
                mul, ir = term
                if mul < 0:
                    raise ValueError(f"a multiplicity is 0 or more, got {mul} copies of {ir}")
                yield MulIrrep(mul, Irrep.parse(ir))
