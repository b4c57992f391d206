"""Whether the data themselves are symmetric, whatever law made them: their first and second moments by irrep."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from subduce.config import InputError
from subduce.data import Pairs
from subduce.groups import GroupIrrep, Subgroup

from ._actions import Action, blocks
from ._describe import described, scales_of
from ._laws import Laws
from ._local import LocalFunctions
from ._moments import gather
from ._significance import Closed, Test, closed_testing, holm, mean_is_zero, size_of

_DRAWS = 400


@dataclass
class Distribution:
    """The mean of the input and its second moments with its neighbours, unit by unit, sorted by irreps.

    A distribution that a group keeps has no mean in any irrep but the trivial one, nor in any of its moments'. What
    cancels in the mean, such as domains of both signs, stands in the second moment.
    """

    pairs: Pairs
    action: Action
    level: float = 0.05
    seed: int = 0
    progress: Callable[[int, int], None] = lambda done, total: None

    @cached_property
    def _moments(self) -> tuple[tuple[Laws, np.ndarray], ...]:
        """For the first and the second moment, how it turns, and its value in each unit [unit, components]."""
        channels, dimension = self.pairs.input_channels.count, len(self.pairs.shape)
        functions = LocalFunctions.stencil(channels, dimension, 1) if dimension else LocalFunctions(channels, ((),))
        scale = scales_of(self.pairs.survey().input_variance, blocks(self.action.input))
        alone = self.pairs.without_target()
        found = gather(alone, functions, scale_input=scale, scale_target=scale, increments=False,
                       progress=self.progress)  # fmt: skip
        turned = functions.matrices(self.action.grid, self.action.input)
        values = found.cross / found.points[:, None, None]
        return (
            (Laws(self.action.group, turned[:, :1, :1], self.action.input), values[:, 0]),
            (Laws(self.action.group, turned[:, 1:, 1:], self.action.input), values[:, 1:].reshape(len(values), -1)),
        )

    def absent(self, irrep: GroupIrrep, moment: int) -> Test:
        """Whether a moment, 1 or 2, has no part in an irrep."""
        laws, values = self._moments[moment - 1]
        return mean_is_zero(values @ laws.part(irrep))

    def kept(self, subgroup: Subgroup) -> Test:
        """Whether both moments are ones that a subgroup keeps."""
        tests = [mean_is_zero(values @ laws.split(subgroup)[1]) for laws, values in self._moments]
        first = min(tests, key=lambda test: test.p_value)
        return Test(min(1.0, len(tests) * first.p_value), first.statistic, first.directions, first.method)

    @cached_property
    def closed(self) -> Closed:
        """Closed testing over all subgroups."""
        absent: dict[str, float] = {}
        for row in self._irreps:
            absent[row["irrep"]] = min(row["p_value"], absent.get(row["irrep"], 1.0))
        return closed_testing(self.action.group, lambda kept: self.kept(kept).p_value, self.level, absent)

    def results(self) -> dict[str, Any]:
        """The subgroup that the distribution keeps, and what breaks it, by irrep and moment."""
        whole = self.kept(Subgroup(self.action.group, tuple(range(self.action.group.order))))
        return {
            "preserved": described(self.closed.kept[0]),
            "p_value": whole.p_value,
            "irreps": self._irreps,
        }

    @cached_property
    def _irreps(self) -> list[dict[str, Any]]:
        rows = []
        for moment, (laws, values) in enumerate(self._moments, start=1):
            for irrep in self.action.group.irreps[1:]:
                if len(laws.bases[irrep.name]):
                    rows.append({"irrep": irrep.name, "moment": moment} | self._size(laws, values, irrep))
        adjusted = holm([row["p_value"] for row in rows])
        for row, p in zip(rows, adjusted, strict=True):
            row["p_value"], row["verdict"] = p, "broken" if p < self.level else "undetermined"
        return rows

    def _size(self, laws: Laws, values: np.ndarray, irrep: GroupIrrep) -> dict[str, Any]:
        """The part's length over that of the whole moment, with its interval."""
        parts = values @ laws.part(irrep)
        units = len(parts)
        weights = np.random.default_rng(self.seed).multinomial(units, np.full(units, 1 / units), size=_DRAWS) - 1.0
        whole = float(np.linalg.norm(values.mean(axis=0))) if laws.shape[0] > 1 else 1.0
        size = size_of(parts.mean(axis=0), weights @ parts / units).over(whole)
        return {"effect": size.value, "interval": [size.low, size.high], "p_value": mean_is_zero(parts).p_value}


def distribution(
    pairs: Pairs,
    action: Action,
    *,
    level: float = 0.05,
    seed: int = 0,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> dict[str, Any]:
    """Which irreps of a group the distribution of the input breaks, and the subgroup that it keeps."""
    units = len(np.unique(pairs.units))
    if units < 8:
        raise InputError(f"{units} exchangeable units are too few for a verdict: at least 8 are needed")
    return Distribution(pairs, action, level, seed, progress).results()


def isotypic_fractions(field: np.ndarray, action: Action) -> dict[str, float]:
    """The share of one field's square in each irrep of a group, about the grid's origin, exactly.

    `field` is `[channel, *space]` on a periodic grid; the trivial irrep is among them and the shares add up to 1.
    """
    images = np.stack([_moved(field, grid, channels) for grid, channels in zip(action.grid, action.input, strict=True)])
    total = float((field**2).sum())
    found = {}
    for irrep in action.group.irreps:
        part = irrep.dim / irrep.commutant / action.group.order * np.einsum("g,g...->...", irrep.character, images)
        found[irrep.name] = float((part**2).sum()) / total
    return found


def _moved(field: np.ndarray, grid: np.ndarray, channels: np.ndarray) -> np.ndarray:
    """g·f: (g·f)(p) = D(g) f(g⁻¹p), on the torus."""
    places = np.stack(np.meshgrid(*(np.arange(n) for n in field.shape[1:]), indexing="ij")).reshape(grid.shape[0], -1)
    sources = (np.rint(grid.T).astype(int) @ places) % np.array(field.shape[1:])[:, None]
    taken = field[(slice(None), *sources)].reshape(field.shape)
    return np.einsum("ab,b...->a...", channels, taken)
