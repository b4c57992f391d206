"""Laws that no stencil says: an equivariant network is trained, and its relaxed weights are tested where they start.

The derivatives of the network's output by its relaxed weights are functions of the input like any others. At the
symmetric start they turn as functions on the group do, so the tests for stencils and polynomials hold for them too.
"""

import dataclasses
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn
from torch.func import functional_call, jvp

from subduce.config import InputError
from subduce.data import Pairs
from subduce.nn import GroupConvolution, GroupProjection, LiftingConvolution

from ._actions import Action, blocks
from ._describe import scales_of
from ._laws import Evidence, Laws
from ._moments import Moments

_LAYERS, _WIDTH, _KERNEL = 3, 6, 3
_STEPS, _RATE, _BATCH = 400, 1e-2, 8
_POINTS = 4096  # of a sample that are looked at; larger grids are cut
_HALO = _LAYERS * (_KERNEL // 2)


def network_evidence(
    pairs: Pairs,
    action: Action,
    *,
    increments: bool,
    seed: int,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Evidence:
    """The evidence of a network's relaxed weights: trained on every other unit, tested on the rest.

    Raises `InputError` for vectors without space, for which polynomials are the estimator, and for fewer than 16 units.
    """
    if not pairs.shape:
        raise InputError("the network reads fields on a grid; for vectors take --estimator polynomial")
    labels = np.unique(pairs.units)
    if len(labels) < 16:
        raise InputError(f"{len(labels)} units are too few to train on one half and test on the other: at least 16")
    survey = pairs.survey()
    scale = scales_of(survey.input_variance, blocks(action.input))
    cut = _Cut(pairs, scale, increments)
    halves = [np.flatnonzero(np.isin(pairs.units, labels[start::2])) for start in (0, 1)]
    network = _Network(action, cut.padding, seed)
    size = _train(network, cut, halves[0], action, seed, progress)
    return _tangents(network, cut, halves[1], pairs.units, action, size, seed)


class _Network(nn.Module):
    """Lifting, group convolutions and a projection, relaxed weights on elements."""

    def __init__(self, action: Action, padding: str, seed: int) -> None:
        super().__init__()
        group = dataclasses.replace(action.group, matrices=action.grid.copy(), geometric=True)
        generator = torch.Generator().manual_seed(seed)
        common = {"kernel_size": _KERNEL, "relaxed": "elements", "padding": padding, "generator": generator}
        channels = action.input.shape[1]
        first = LiftingConvolution(group, channels, _WIDTH, action=action.input, dtype=torch.float64, **common)
        rest = [GroupConvolution(group, _WIDTH, _WIDTH, dtype=torch.float64, **common) for _ in range(_LAYERS - 1)]
        self.layers = nn.ModuleList([first, *rest])
        self.head = GroupProjection(group, _WIDTH, action.target, generator=generator, dtype=torch.float64)
        self.offset = nn.Parameter(torch.zeros(action.target.shape[1], 1, dtype=torch.float64))
        for name, parameter in self.named_parameters():
            parameter.requires_grad_("relaxed" not in name)
        invariant = np.allclose(action.target, np.eye(action.target.shape[1]))
        self.offset.requires_grad_(bool(invariant))

    def forward(self, field: Tensor) -> Tensor:
        for layer in self.layers[:-1]:
            field = torch.nn.functional.silu(layer(field))
        out = self.head(self.layers[-1](field))
        return out + self.offset.reshape(-1, *(1,) * (field.ndim - 2))


class _Cut:
    """Samples as tensors: whole where they repeat and are small, else a box with what the network sees around it."""

    def __init__(self, pairs: Pairs, scale: np.ndarray, increments: bool) -> None:
        self.pairs, self.scale, self.increments = pairs, scale, increments
        whole = all(pairs.periodic) and int(np.prod(pairs.shape)) <= _POINTS
        self.padding = "circular" if whole else "valid"
        side = int(_POINTS ** (1 / len(pairs.shape)))
        self.box = None if whole else tuple(min(n, side + 2 * _HALO) for n in pairs.shape)
        if self.box is not None and min(self.box) <= 2 * _HALO:
            raise InputError(f"the network needs more than {2 * _HALO} points along each axis, got {pairs.shape}")

    def take(self, rows: np.ndarray) -> tuple[Tensor, Tensor]:
        """Inputs and targets [sample, channel, *space]."""
        inputs, targets = [], []
        for row in rows:
            x, y = self.pairs[int(row)]
            assert y is not None
            y = y - x if self.increments else y
            if self.box is not None:
                x = x[(slice(None), *(slice(0, b) for b in self.box))]
                y = y[(slice(None), *(slice(_HALO, b - _HALO) for b in self.box))]
            inputs.append(x / self.scale.reshape(-1, *(1,) * (x.ndim - 1)))
            targets.append(y)
        return torch.from_numpy(np.stack(inputs)), torch.from_numpy(np.stack(targets))


def _train(
    network: _Network, cut: _Cut, rows: np.ndarray, action: Action, seed: int, progress: Callable[[int, int], None]
) -> Tensor:
    """Fit all but the relaxed weights; returns the scale of each target channel."""
    generator = np.random.default_rng(seed)
    _, some = cut.take(rows[: min(len(rows), 32)])
    variance = some.var(dim=(0, *range(2, some.ndim))).numpy()
    size = torch.from_numpy(scales_of(variance, blocks(action.target))).reshape(-1, *(1,) * (some.ndim - 2))
    optimizer = torch.optim.Adam([p for p in network.parameters() if p.requires_grad], lr=_RATE)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, _STEPS)
    for step in range(_STEPS):
        x, y = cut.take(generator.choice(rows, size=min(_BATCH, len(rows)), replace=False))
        optimizer.zero_grad()
        loss = ((network(x) - y / size) ** 2).mean()
        loss.backward()
        optimizer.step()
        schedule.step()
        progress(step + 1, _STEPS)
    return size


def _tangents(
    network: _Network, cut: _Cut, rows: np.ndarray, units: np.ndarray, action: Action, size: Tensor, seed: int
) -> Evidence:
    """Moments of the output's derivatives by relaxed weights, and by those of the head, with the residual."""
    held = {name: value.detach() for name, value in network.named_parameters()}
    relaxed = [name for name in held if "relaxed" in name]
    directions = [(name, place) for name in relaxed for place in range(held[name].numel())]
    directions += [("head.weight", place) for place in range(held["head.weight"].numel())]
    order, extra = action.group.order, held["head.weight"].numel()
    labels, number = np.unique(units[rows], return_inverse=True)
    m = len(directions)
    gram, cross = np.zeros((len(labels), m, m)), np.zeros((len(labels), m, 1))
    square, points = np.zeros((len(labels), 1)), np.zeros(len(labels))
    total = wanted = 0.0
    for row, unit in zip(rows, number, strict=True):
        x, y = cut.take(np.array([row]))
        out = network(x).detach()
        tangents = np.stack([_derivative(network, held, name, place, x) for name, place in directions])
        residual = (y / size - out).numpy().reshape(-1)
        gram[unit] += tangents @ tangents.T
        cross[unit, :, 0] += tangents @ residual
        square[unit] += residual @ residual
        points[unit] += residual.size / out.shape[1]
        total += float((out**2).sum())
        wanted += float(((y / size) ** 2).sum())
    functions = np.zeros((order, m, m))
    regular = np.einsum("lk,gij->glikj", np.eye(len(relaxed)), action.group.regular).reshape(
        order, m - extra, m - extra
    )
    functions[:, : m - extra, : m - extra] = regular
    functions[:, range(m - extra, m), range(m - extra, m)] = 1
    laws = Laws(action.group, functions, np.ones((order, 1, 1)))
    whole, known = (total / points.sum()) ** 0.5, 1 - float(square.sum()) / wanted
    return Evidence(laws, Moments(gram, cross, square, points), seed=seed, whole=whole, known=known)


def _derivative(network: _Network, held: dict[str, Tensor], name: str, place: int, x: Tensor) -> np.ndarray:
    """The derivative of the output by one number among the weights."""
    direction = torch.zeros_like(held[name]).reshape(-1)
    direction[place] = 1
    direction = direction.reshape(held[name].shape)

    def output(value: Tensor) -> Tensor:
        return functional_call(network, held | {name: value}, (x,))

    return jvp(output, (held[name],), (direction,))[1].numpy().reshape(-1)
