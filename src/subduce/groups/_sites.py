"""Groups that act on fields over sites: turns of space that send sites to sites, in a cloud or in a crystal."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Self

import numpy as np
import torch
from jaxtyping import Float, Int

from subduce.o3 import Irreps

from ._actions import point_permutation
from ._finite import FiniteGroup
from ._representations import space_matrices
from ._subgroups import Subgroup

_CLOSE = 1e-9


@dataclass(frozen=True, eq=False)
class SiteSymmetry:
    """Operations on fields over sites: each turns space by a matrix and sends site i to site `permutations[g, i]`.

    `rotations` are orthogonal, proper or not, in Cartesian axes; a translation of a crystal has the unit matrix. Fields
    are `[sites, dim]` with components in the order of `subduce.o3.Irreps`: (g f)(g i) = D(g) f(i).
    """

    rotations: Float[np.ndarray, "order 3 3"]
    permutations: Int[np.ndarray, "order sites"]

    @classmethod
    def of_points(
        cls,
        group: FiniteGroup | Subgroup,
        points: Float[np.ndarray, "sites 3"],
        kinds: Sequence | None = None,
        tolerance: float = 1e-6,
    ) -> Self:
        """A point group on a cloud that it maps to itself; see `isotropy_of_points` and `point_permutation`."""
        rotations = space_matrices(group.group if isinstance(group, Subgroup) else group)
        return cls(rotations, point_permutation(rotations, points, kinds, tolerance))

    @classmethod
    def of_cell(
        cls,
        cell: Float[np.ndarray, "3 3"],
        positions: Float[np.ndarray, "sites 3"],
        rotations: Int[np.ndarray, "order 3 3"],
        translations: Float[np.ndarray, "order 3"],
        tolerance: float = 1e-4,
    ) -> Self:
        """Operations x′ = R x + t on the sites of a periodic cell (rows, Å), all in fractions of the cell, as spglib's.

        Translations inside of the cell are operations of their own. Raises `ValueError` where an image misses every
        site by more than `tolerance` (Å).
        """
        cell, positions = np.asarray(cell, dtype=np.float64), np.asarray(positions, dtype=np.float64)
        found = np.empty((len(rotations), len(positions)), dtype=np.int64)
        for place, (rotation, translation) in enumerate(zip(rotations, translations, strict=True)):
            apart = (positions @ rotation.T + translation)[:, None] - positions
            distances = np.linalg.norm((apart - np.rint(apart)) @ cell, axis=-1)
            found[place] = distances.argmin(axis=1)
            if distances.min(axis=1).max() > tolerance or len(set(found[place].tolist())) < len(positions):
                raise ValueError(f"operation {place} does not map the sites to themselves within {tolerance:g} Å")
        turned = cell.T @ np.asarray(rotations, dtype=np.float64) @ np.linalg.inv(cell.T)
        return cls(turned, found)

    @property
    def order(self) -> int:
        """Number of operations."""
        return len(self.rotations)

    def images(self, field: Float[np.ndarray, "sites dim"], irreps: str) -> Float[np.ndarray, "order sites dim"]:
        """What each operation makes of a field."""
        turned = np.einsum("gij,sj->gsi", self.matrices(irreps), field)
        return np.take_along_axis(turned, self._sources[:, :, None], axis=1)

    def average(self, field: Float[np.ndarray, "sites dim"], irreps: str) -> Float[np.ndarray, "sites dim"]:
        """The mean over all images: the part of a field that the operations keep."""
        return self.images(field, irreps).mean(axis=0)

    def keeping(self, field: Float[np.ndarray, "sites dim"], irreps: str, tolerance: float = 1e-6) -> "SiteSymmetry":
        """The operations that change no component of a field by more than `tolerance`.

        Raises `ValueError` where these form no group, as the tolerance lies among the field's own differences.
        """
        changed = np.abs(self.images(field, irreps) - field).max(axis=(1, 2), initial=0.0)
        kept = type(self)(self.rotations[changed <= tolerance], self.permutations[changed <= tolerance])
        probe = np.random.default_rng(0).standard_normal((self.permutations.shape[1], 9))
        mean = kept.average(probe, "0e+1o+2e")
        if not np.allclose(kept.average(mean, "0e+1o+2e"), mean, atol=_CLOSE):  # true of groups alone
            raise ValueError(f"the operations that keep the field within {tolerance:g} form no group; change it")
        return kept

    def domains(
        self, field: Float[np.ndarray, "sites dim"], irreps: str, tolerance: float = 1e-6
    ) -> Float[np.ndarray, "domains sites dim"]:
        """The different images of a field, itself first: its domain states."""
        images = [field, *self.images(field, irreps)]
        different: list[np.ndarray] = []
        for image in images:
            if all(np.abs(image - other).max() > tolerance for other in different):
                different.append(image)
        return np.stack(different)

    def matrices(self, irreps: str) -> Float[np.ndarray, "order dim dim"]:
        """How the components at a site turn."""
        return Irreps(irreps).D(torch.from_numpy(self.rotations)).numpy()

    def induced(self, modulation: Float[np.ndarray, "sites places"]) -> Float[np.ndarray, "order places places"]:
        """How amplitudes of scalar functions over the sites, the columns of a matrix, turn into each other.

        Raises `ValueError` where some operation leads out of what the functions span.
        """
        moved = modulation[self._sources]
        found = np.linalg.pinv(modulation) @ moved
        if not np.allclose(modulation @ found, moved, atol=1e-6):
            raise ValueError(
                "some operations lead out of the sites or waves that were chosen; "
                "take all sites of an orbit, and all arms of a star"
            )
        return found

    @cached_property
    def _sources(self) -> np.ndarray:
        """The site that each operation brings to a site."""
        return np.argsort(self.permutations, axis=1)
