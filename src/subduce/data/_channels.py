"""What the channels of an array are: names, and how each turns."""

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import torch

from ..config import InputError
from ..o3 import Irrep, Irreps, irrep_matrix

_VECTOR = Irrep(1, -1)
_HINT = 'say what they are with --channels, such as "velocity=1o,pressure=0e"'


@dataclass(frozen=True)
class Channels:
    """The channels of one side of a set of pairs: variables one after the other, each with its irreps.

    Components of a vector (`1o`, `1e`) are x, y, z whatever the order of the array's axes; those of
    higher degrees come in the order of `subduce.o3`. Copies (`3x1o`) come one whole copy after the
    other, as in e3nn. On a grid in a plane or on a line a `1o` may have as many components as the grid
    has axes: `coordinates` says which.

    >>> channels = Channels.parse("velocity=1o,pressure=0e", count=4)
    >>> channels.irreps, channels.slices
    (1x1o+1x0e, {'velocity': slice(0, 3, None), 'pressure': slice(3, 4, None)})
    """

    names: tuple[str, ...]
    terms: tuple[Irreps, ...] | None  # one a name; None where nobody said how the channels turn
    count: int
    coordinates: tuple[str, ...] = ("x", "y", "z")
    source: str = "channels"

    @classmethod
    def parse(
        cls,
        text: str | None,
        *,
        count: int,
        axes: tuple[str, ...] = (),
        name: str = "channels",
        source: str = "channels",
    ) -> "Channels":
        """The channels that a text such as `velocity=1o,pressure=0e` names, `count` in all.

        `name` is what channels without a name of their own are called, `source` where they are, for
        messages. No text is needed for one scalar; several channels without one keep `terms` None, for
        groups that come with their own action, and asking for their irreps is refused.

        Raises `InputError` for a text that cannot be read, and where it adds up to another number of channels.
        """
        if text is None:
            return cls((name,), (Irreps("0e"),) if count == 1 else None, count, source=source)
        names, terms = _parse(text, name, source)
        full = cls(names, terms, count, source=source)
        along = tuple(c for c in "xyz" if c in axes)
        flat = replace(full, coordinates=along or ("x", "y"))  # vectors without a grid may lie in the plane
        for found in (full, flat):
            if found._width() == count:
                return found
        planar = (
            ""
            if flat._width() == full._width()
            else f" (or {flat._width()} with vectors along {' '.join(flat.coordinates)})"
        )
        raise InputError(
            f"{source}: {count} channel{'s' * (count != 1)}, but {text!r} makes {full._width()}{planar}; "
            "name each variable in its order (--input-channels, --target-channels where sides differ); "
            "no channel axis: --no-channels"
        )

    @property
    def irreps(self) -> Irreps:
        """All irreps in their order; raises `InputError` where nothing says how the channels turn."""
        return Irreps([term for terms in self._known() for term in terms])

    @cached_property
    def slices(self) -> dict[str, slice]:
        """Where each variable lies among the channels."""
        if self.terms is None:
            return {self.names[0]: slice(0, self.count)}
        ends = np.cumsum([0, *(sum(m * self._components(ir) for m, ir in term) for term in self.terms)]).tolist()
        return {name: slice(ends[i], ends[i + 1]) for i, name in enumerate(self.names)}

    def matrices(self, rotations: np.ndarray) -> np.ndarray:
        """How orthogonal matrices `[order, 3, 3]` (rows x, y, z) act on the channels: `[order, count, count]`, float64.

        Raises `InputError` where nothing says how the channels turn, and `ValueError` for matrices that
        do not keep the line or plane in which the vectors lie.
        """
        turned = torch.as_tensor(np.asarray(rotations, dtype=np.float64))
        result, start = np.zeros((len(turned), self.count, self.count)), 0
        for mul, ir in self.irreps:
            block = irrep_matrix(ir, turned).numpy()
            if self._components(ir) != ir.dim:
                kept = ["xyz".index(c) for c in self.coordinates]
                block = block[:, kept][:, :, kept]
                if not np.allclose(block @ block.transpose(0, 2, 1), np.eye(len(kept)), atol=1e-9):
                    raise ValueError(f"{self.source}: vectors along {' '.join(self.coordinates)} leave their space")
            for _ in range(mul):
                place = slice(start, start + block.shape[1])
                result[:, place, place] = block
                start = place.stop
        return result

    def _known(self) -> tuple[Irreps, ...]:
        if self.terms is None:
            raise InputError(
                f"{self.source}: {self.count} channels, and nothing says how they turn; {_HINT}; "
                "an array without a channel axis, [sample, y, x], needs --no-channels"
            )
        return self.terms

    def _components(self, irrep: Irrep) -> int:
        return len(self.coordinates) if irrep == _VECTOR else irrep.dim

    def _width(self) -> int:
        return sum(mul * self._components(ir) for term in self._known() for mul, ir in term)


def _parse(text: str, name: str, source: str) -> tuple[tuple[str, ...], tuple[Irreps, ...]]:
    names, terms = [], []
    entries = [entry.strip() for entry in text.split(",")]
    for number, entry in enumerate(entries):
        label, equals, irreps = entry.rpartition("=")
        try:
            term = Irreps(irreps)
        except ValueError:
            term = Irreps()
        if not term.dim or (equals and not label.strip()):
            raise InputError(f"{source}: cannot read {entry!r} in {text!r}; {_HINT}")
        names.append(label.strip() or (name if len(entries) == 1 else f"{name}{number}"))
        terms.append(term)
    if len(set(names)) < len(names):
        raise InputError(f"{source}: a name comes twice in {text!r}; each variable needs a name of its own")
    return tuple(names), tuple(terms)
