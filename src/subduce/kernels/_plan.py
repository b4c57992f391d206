"""The plan of an edge product: which couplings there are, in which order, and where their numbers lie.

A plan is plain data. Every backend reads it, so that none can differ from another in layout.
"""

from dataclasses import dataclass
from functools import cache, cached_property

from ..o3 import Irrep, Irreps


@dataclass(frozen=True)
class Path:
    """One coupling: a term of the features times a term of the edge gives channels of an output term.

    `weights` is where its weights lie among those of an edge, one a channel, and `channels` where
    its results lie among the channels of its output term.
    """

    term_in: int
    term_edge: int
    term_out: int
    ir_in: Irrep
    ir_edge: Irrep
    ir_out: Irrep
    weights: slice
    channels: slice

    @property
    def mul(self) -> int:
        """Number of channels."""
        return self.weights.stop - self.weights.start


@dataclass(frozen=True)
class ProductPlan:
    """What an edge product computes: see `channelwise_plan`, which makes plans.

    Equal plans are one value: they hash, compare, and are rebuilt by `ProductPlan.from_key(plan.key)`.
    """

    irreps_in: Irreps
    irreps_edge: Irreps
    irreps_keep: Irreps

    @cached_property
    def irreps_out(self) -> Irreps:
        """Irreps of the result: one term an irrep, sorted, its paths side by side along the channels."""
        return Irreps([(mul, ir) for mul, _, _, ir in self._couplings]).regroup()

    @cached_property
    def paths(self) -> tuple[Path, ...]:
        """The couplings, in the order of their weights."""
        terms_out = {ir: term for term, (_, ir) in enumerate(self.irreps_out)}
        channels_used = [0] * len(terms_out)
        found, weights_used = [], 0
        for mul, i, j, ir in self._couplings:
            k = terms_out[ir]
            weights = slice(weights_used, weights_used + mul)
            channels = slice(channels_used[k], channels_used[k] + mul)
            weights_used, channels_used[k] = weights.stop, channels.stop
            found.append(Path(i, j, k, self.irreps_in[i].ir, self.irreps_edge[j].ir, ir, weights, channels))
        return tuple(found)

    @cached_property
    def num_weights(self) -> int:
        """Number of weights of an edge: one a path and channel."""
        return sum(mul for mul, *_ in self._couplings)

    @cached_property
    def highest_degree(self) -> int:
        """The highest degree in any path."""
        return max((ir.l for path in self.paths for ir in (path.ir_in, path.ir_edge, path.ir_out)), default=0)

    @cached_property
    def key(self) -> str:
        """The plan as a string, from which `from_key` rebuilds it."""
        return f"{self.irreps_in} * {self.irreps_edge} -> {self.irreps_keep}"

    @staticmethod
    @cache
    def from_key(key: str) -> "ProductPlan":
        """The plan that has this key; raises `ValueError` where the text is no key."""
        factors, arrow, irreps_keep = key.partition(" -> ")
        irreps_in, times, irreps_edge = factors.partition(" * ")
        if not (arrow and times):
            raise ValueError(f"a plan's key reads '8x0e+8x1o * 1x0e+1x1o -> 1x0e+1x1o', got {key!r}")
        return channelwise_plan(irreps_in, irreps_edge, irreps_keep)

    def __hash__(self) -> int:
        return hash(self.key)

    @cached_property
    def _couplings(self) -> list[tuple[int, int, int, Irrep]]:
        """(channels, term of the features, term of the edge, irrep of the result) for each path."""
        return [
            (mul, i, j, ir)
            for i, (mul, ir_in) in enumerate(self.irreps_in)
            for j, (_, ir_edge) in enumerate(self.irreps_edge)
            for ir in ir_in * ir_edge
            if mul and ir in self.irreps_keep
        ]


def channelwise_plan(irreps_in: str | Irreps, irreps_edge: str | Irreps, irreps_keep: str | Irreps) -> ProductPlan:
    """The plan of all products `irreps_in ⊗ irreps_edge` whose irrep is among `irreps_keep`.

    Each channel of a feature meets the one channel of the edge, so channels never mix (e3nn: `uvu`).
    Paths, and their weights, come in the order (term of `irreps_in`, term of `irreps_edge`, degree
    of the result). Multiplicities in `irreps_keep` mean nothing. Raises `ValueError` where a term of
    the edge has more than one channel.

    >>> plan = channelwise_plan("8x0e + 4x1o", "0e + 1o", "0e + 1o")
    >>> plan.irreps_out, plan.num_weights
    (12x0e+12x1o, 24)
    >>> [f"{path.ir_in} {path.ir_edge} {path.ir_out}" for path in plan.paths]
    ['0e 0e 0e', '0e 1o 1o', '1o 0e 1o', '1o 1o 0e']
    """
    return _plan(Irreps(irreps_in), Irreps(irreps_edge), Irreps(irreps_keep))


@cache
def _plan(irreps_in: Irreps, irreps_edge: Irreps, irreps_keep: Irreps) -> ProductPlan:
    for mul, ir in irreps_edge:
        if mul != 1:
            raise ValueError(
                f"the edge carries one channel of each irrep, got {mul}x{ir} in {irreps_edge}; repeat the term instead"
            )
    kept = Irreps([(1, ir) for ir in sorted({ir for mul, ir in irreps_keep if mul})])
    return ProductPlan(irreps_in, irreps_edge, kept)
