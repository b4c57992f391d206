"""Laws that no stencil says: networks trained on half of the units, and tests of what breaks the group on the rest.

Equivariant networks and symmetric polynomials say what a law that keeps the group may be; on the other half they are
fitted and projected out. What is tested beside them are the derivatives by relaxed weights where these start, which
turn as functions on the group do, and all images under the group of a plain network that learned what was left. Inputs
that break the group make such functions look like symmetric ones; so one more equivariant network learns which.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.func import functional_call, jvp

from subduce.config import InputError
from subduce.data import Pairs
from subduce.groups import FiniteGroup
from subduce.nn import spectrum

from ._actions import Action, blocks
from ._describe import scales_of
from ._laws import Evidence, Laws
from ._local import LocalFunctions
from ._moments import Moments
from ._significance import closed_testing, holm
from ._training import CHANNELS, HALO, HELD, Network, School

FEWEST = 16  # units
_ROUNDS = 3  # networks that are added at most, each trained on what is left, until the fit is no longer lacking
_POINTS = {1: 4096, 2: 4096, 3: 512}  # of a sample that are looked at; larger grids are cut
_SAMPLES = 1024  # of each half that are looked at


@dataclass(frozen=True)
class Trained:
    """What the networks from one seed say: the evidence, their lack of fit, one-step estimates of relaxed weights."""

    evidence: Evidence
    lack: float
    relaxed: Float[np.ndarray, "layers order"]
    seed: int


def fits_into(pairs: Pairs, group: FiniteGroup) -> str:
    """Why no network of a group can be trained on these pairs and tested; empty where one can."""
    units = len(np.unique(pairs.units))
    if not pairs.shape:
        return "the network reads fields on a grid; for vectors take --estimator polynomial"
    if units < FEWEST:
        return f"{units} units are too few to train networks on one half and test on the other: at least {FEWEST}"
    if group.order > CHANNELS:
        return f"networks take groups of at most {CHANNELS} elements; {group.name} has {group.order}"
    small = any(n <= 2 * HALO and not repeats for n, repeats in zip(pairs.shape, pairs.periodic, strict=True))
    need = f"networks need more than {2 * HALO} points along each axis that does not repeat"
    return f"{need}, got {pairs.shape}" if small else ""


def trained(
    pairs: Pairs,
    action: Action,
    symmetric: tuple[LocalFunctions, Float[np.ndarray, "laws columns"]],
    *,
    increments: bool,
    level: float,
    seed: int,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Trained:
    """Networks trained on every other unit, tested on the rest; `symmetric` are polynomial laws that the group keeps.

    Raises `InputError` for vectors, too few units and grids that a network does not fit into.
    """
    if why := fits_into(pairs, action.group):
        raise InputError(why)
    scale = scales_of(pairs.survey().input_variance, blocks(action.input))
    cut = _Cut(pairs, scale, increments)
    labels = np.unique(pairs.units)
    halves = [_Half(cut, np.flatnonzero(np.isin(pairs.units, labels[start::2])), seed) for start in (0, 1)]
    school = School(action, cut.padding, seed, _ROUNDS + 3, progress)
    null = _Null(_Polynomials(*symmetric, cut), [], action)
    size = scales_of(halves[0].y.var(dim=(0, *range(2, halves[0].y.ndim))).numpy(), blocks(action.target))
    for half in halves:
        half.y /= torch.from_numpy(size).reshape(-1, *(1,) * len(pairs.shape))
    first = school.equivariant(halves[0].x, halves[0].y)
    null.networks.append(first)
    lack = 0.0
    for _ in range(_ROUNDS):
        more = school.equivariant(halves[0].x, null.residual(halves[0]))
        lack = _lack_of_fit(null, more, halves[1], action)
        null.networks.append(more)
        if lack >= level:
            break
    broken = _Broken(first, school.plain(halves[0].x, null.residual(halves[0])), action)
    null.networks.append(school.alike(halves[0].x, broken))
    return _evidence(null, broken, halves[1], action, lack, seed)


def told(networks: Sequence[Trained], group: FiniteGroup, level: float, masked: Sequence[str]) -> dict[str, Any]:
    """Relaxed weights with their spectrum, and what the networks from each seed say alone.

    Weights are those of the first seed: they are a gauge, and those of different networks have no common one.
    """
    weights, rows = networks[0].relaxed, []
    judged = [irrep for irrep in group.irreps[1:] if irrep.name not in masked]
    for network in networks:
        evidence = network.evidence
        found = holm([evidence.absent(irrep).p_value for irrep in judged])
        p_values = dict(zip([irrep.name for irrep in judged], found, strict=True))
        own = lambda kept, evidence=evidence: evidence.kept(kept, masked).p_value  # noqa: E731
        closed = closed_testing(group, own, level, p_values)
        effect = max((evidence.defect(g).over(evidence.size.value).value for g in range(1, group.order)), default=0.0)
        explained = 1 - evidence.residual_share
        rows.append({"seed": network.seed, "preserved": closed.kept[0].setting, "lack_of_fit": network.lack,
                     "explained": explained, "effect": effect, "p_values": p_values})  # fmt: skip
    return {
        "relaxed_weights": {
            "elements": list(group.elements),
            "layers": [f"layer {place + 1}" for place in range(len(weights))],
            "weights": weights.tolist(),
            "spectrum": dict(spectrum(torch.from_numpy(weights), group)),
        },
        "seeds": rows,
    }


class _Cut:
    """Samples as tensors: whole where they repeat and are small, else a box with what the network sees around it."""

    def __init__(self, pairs: Pairs, scale: np.ndarray, increments: bool) -> None:
        self.pairs, self.scale, self.increments = pairs, scale, increments
        self.whole = all(pairs.periodic) and int(np.prod(pairs.shape)) <= _POINTS[len(pairs.shape)]
        self.padding = "circular" if self.whole else "valid"
        side, around = round(_POINTS[len(pairs.shape)] ** (1 / len(pairs.shape))), 2 * HALO
        sizes = zip(pairs.shape, pairs.periodic, strict=True)
        box = [min(n, side) + around if repeats else min(n, side + around) for n, repeats in sizes]
        self.box = [np.arange(b) % n for b, n in zip(box, pairs.shape, strict=True)]

    def take(self, rows: np.ndarray) -> tuple[Tensor, Tensor]:
        """Inputs and targets [sample, channel, *space]."""
        inputs, targets = [], []
        for row in rows:
            x, y = self.pairs[int(row)]
            assert y is not None
            y = y - x if self.increments else y
            if not self.whole:
                x = x[(slice(None), *np.ix_(*self.box))]
                y = y[(slice(None), *np.ix_(*(places[HALO:-HALO] for places in self.box)))]
            inputs.append(x / self.scale.reshape(-1, *(1,) * (x.ndim - 1)))
            targets.append(y)
        return torch.from_numpy(np.stack(inputs)), torch.from_numpy(np.stack(targets))


class _Half:
    """The samples of half of the units, not more than can be held, and the unit of each."""

    def __init__(self, cut: _Cut, rows: np.ndarray, seed: int) -> None:
        if len(rows) > _SAMPLES:
            rows = np.sort(np.random.default_rng(seed).choice(rows, _SAMPLES, replace=False))
        self.x, self.y = cut.take(rows)
        self.units = np.unique(cut.pairs.units[rows], return_inverse=True)[1]

    def parts(self, functions: int) -> list[slice]:
        """Samples few at a time, for so many functions of each."""
        step = max(1, HELD // (functions * self.y[0].numel()))
        return [slice(start, start + step) for start in range(0, len(self.x), step)]


class _Polynomials:
    """Local laws that the group keeps, at the points that a network speaks of."""

    def __init__(self, functions: LocalFunctions, laws: np.ndarray, cut: _Cut) -> None:
        self.functions, self.cut = functions, cut
        self.laws = laws.reshape(len(functions), -1, laws.shape[1])

    def __call__(self, x: Tensor) -> Tensor:
        """[function, sample, target, *space]."""
        values = []
        for field in x.numpy():
            slabs = self.functions.evaluate(field, (self.cut.whole,) * (field.ndim - 1))
            found = np.concatenate([np.einsum("mqp,m...->pq...", self.laws, phi) for phi, _ in slabs], axis=2)
            less = 0 if self.cut.whole else HALO - self.functions.radius
            values.append(found[(..., *(slice(less, n - less) for n in found.shape[2:]))])
        return torch.from_numpy(np.stack(values, axis=1))


class _Null:
    """What a law that the group keeps may be: polynomials, and the last functions of equivariant networks."""

    def __init__(self, polynomials: _Polynomials, networks: list[Network], action: Action) -> None:
        self.polynomials, self.networks = polynomials, networks
        self.target = torch.from_numpy(np.ascontiguousarray(action.target))

    def __call__(self, x: Tensor) -> Tensor:
        """[function, sample, target, *space]."""
        return torch.cat([self.polynomials(x), *(network.symmetric(x, self.target) for network in self.networks)])

    def residual(self, half: _Half) -> Tensor:
        """What the best of these laws leaves of the targets."""
        moments = _moments(self, half)
        law = torch.from_numpy(_solved(moments.gram.sum(axis=0), moments.cross.sum(axis=0)[:, 0]))
        parts = half.parts(len(law))
        return torch.cat([half.y[part] - torch.einsum("f,fn...->n...", law, self(half.x[part])) for part in parts])


class _Broken:
    """Functions that break the group: derivatives by relaxed weights, and images of a network without symmetry.

    Layer by layer, and of the network last, element by element; each set turns as functions on the group do.
    """

    def __init__(self, network: Network, plain: nn.Module, action: Action) -> None:
        self.network, self.plain, self.action = network, plain, action
        self.held = dict(network.named_parameters())
        self.relaxed = [name for name in self.held if "relaxed" in name]
        self.number = (len(self.relaxed) + 1) * action.group.order

    def __call__(self, x: Tensor) -> Tensor:
        """[function, sample, target, *space]."""
        order = self.action.group.order
        slopes = [self._slope(name, g, x) for name in self.relaxed for g in range(order)]
        return torch.stack([*slopes, *(self._image(g, x) for g in range(order))])

    def _slope(self, name: str, element: int, x: Tensor) -> Tensor:
        """The derivative of the network by one relaxed weight."""
        direction = torch.zeros_like(self.held[name])
        direction[0, element] = 1

        def output(value: Tensor) -> Tensor:
            return functional_call(self.network, self.held | {name: value}, (x,))

        return jvp(output, (self.held[name],), (direction,))[1]

    def _image(self, element: int, x: Tensor) -> Tensor:
        """g·b: x → g·b(g⁻¹·x)."""
        back = int(self.action.group.inverse[element])
        field = self.plain(_moved(x, self.action.grid[back], self.action.input[back]))
        return _moved(field, self.action.grid[element], self.action.target[element])


def _moved(field: Tensor, grid: np.ndarray, channels: np.ndarray) -> Tensor:
    """A field [sample, channel, *space] turned about the middle of its grid: axes exchanged and reversed."""
    source = np.abs(grid).argmax(axis=1)
    signs = grid[np.arange(len(grid)), source]
    turned = field.permute(0, 1, *(2 + source).tolist()).flip(dims=(2 + np.flatnonzero(signs < 0)).tolist())
    return torch.einsum("ab,nb...->na...", torch.from_numpy(channels.copy()), turned)


def _moments(functions: Callable[[Tensor], Tensor], half: _Half) -> Moments:
    """Moments of some functions with the target, all components of it together, unit by unit."""
    m, units = len(functions(half.x[:1])), int(half.units.max()) + 1
    gram, cross = np.zeros((units, m, m)), np.zeros((units, m, 1))
    square, points = np.zeros((units, 1)), np.zeros(units)
    for part in half.parts(m):
        phi = functions(half.x[part]).flatten(2).transpose(0, 1)  # [sample, function, target·points]
        y, unit = half.y[part].flatten(1), half.units[part]
        np.add.at(gram, unit, (phi @ phi.transpose(1, 2)).numpy())
        np.add.at(cross, unit, (phi @ y[:, :, None]).numpy())
        np.add.at(square, unit, (y**2).sum(dim=1, keepdim=True).numpy())
        np.add.at(points, unit, half.y[0, 0].numel())
    return Moments(gram, cross, square, points)


def _solved(gram: np.ndarray, cross: np.ndarray) -> np.ndarray:
    """Least squares from moments, functions in units of their own size."""
    size = np.sqrt(np.maximum(np.diag(gram), 1e-300))
    return np.linalg.pinv(gram / np.outer(size, size), rcond=1e-9, hermitian=True) @ (cross / size) / size


def _lack_of_fit(null: _Null, more: Network, half: _Half, action: Action) -> float:
    """Whether one more network is needed: what it says, and all that its last functions can say, at one level."""
    known = len(null(half.x[:1]))
    moments = _moments(lambda x: torch.cat([null(x), more.symmetric(x, null.target), more(x)[None]]), half)
    m = moments.gram.shape[1]
    evidence = Evidence(
        Laws(action.group, np.zeros((1, m, m)), np.ones((1, 1, 1))), _scaled(moments, _sizes(moments)), left_out=True
    )
    columns = np.eye(m)
    tests = [evidence.beyond(columns[:, :known], columns[:, chosen]) for chosen in (slice(m - 1, m), slice(known, m))]
    return min(1.0, 2 * min(test.p_value for test in tests))


def _sizes(moments: Moments) -> np.ndarray:
    """The root mean square of each function."""
    return np.sqrt(np.maximum(np.diagonal(moments.gram.sum(axis=0)) / moments.points.sum(), 1e-300))


def _scaled(moments: Moments, size: np.ndarray) -> Moments:
    """The moments of functions that are divided by their sizes."""
    gram = moments.gram / size[:, None] / size
    return Moments(gram, moments.cross / size[:, None], moments.square, moments.points)


def _evidence(null: _Null, broken: _Broken, half: _Half, action: Action, lack: float, seed: int) -> Trained:
    """The tests on one half, and the relaxed weights that each layer alone would take in one step."""
    order, free = action.group.order, broken.number
    moments = _moments(lambda x: torch.cat([broken(x), null(x)]), half)
    size = _sizes(moments)
    sets = size[:free].reshape(-1, order)
    size[:free] = np.repeat(np.sqrt((sets**2).mean(axis=1)), order)  # what the group mixes has one size
    moments = _scaled(moments, size)
    m = len(size)
    functions = np.zeros((order, m, m))
    for start in range(0, free, order):
        functions[:, start : start + order, start : start + order] = action.group.regular
    functions[:, range(free, m), range(free, m)] = 1
    laws = Laws(action.group, functions, np.ones((order, 1, 1)))
    gram, cross = moments.gram.sum(axis=0), moments.cross.sum(axis=0)[:, 0]
    relaxed = []
    for start in range(0, free - order, order):
        chosen = np.r_[start : start + order, free:m]
        step = _solved(gram[np.ix_(chosen, chosen)], cross[chosen])[:order] / size[start : start + order]
        relaxed.append(1 + step - step.mean())
    return Trained(Evidence(laws, moments, seed=seed, left_out=True), lack, np.array(relaxed), seed)
