"""Networks for laws: equivariant ones with relaxed weights that start equal, a plain one, and how they are trained."""

import dataclasses
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from subduce.nn import GroupConvolution, GroupProjection, LiftingConvolution

from ._actions import Action

_LAYERS, _WIDTH, _WIDE, _PLAIN, _KERNEL = 3, 6, 8, 24, 3
CHANNELS = 48  # of a layer at most, of all elements together
_STEPS, _RATE, _DECAY, _BATCH = 400, 1e-2, 0.3, 8
_CONVOLUTIONS = {1: nn.Conv1d, 2: nn.Conv2d, 3: nn.Conv3d}
HALO = _LAYERS * (_KERNEL // 2)
HELD = 1 << 24  # numbers of functions held at a time


class Network(nn.Module):
    """Lifting, group convolutions and a projection, relaxed weights on elements."""

    def __init__(self, action: Action, padding: str, width: int, generator: torch.Generator) -> None:
        super().__init__()
        group = dataclasses.replace(action.group, matrices=action.grid.copy(), geometric=True)
        common: dict[str, Any] = {"kernel_size": _KERNEL, "relaxed": "elements", "padding": padding}
        common["generator"] = generator
        width = max(1, min(width, CHANNELS // group.order))
        first = LiftingConvolution(group, action.input.shape[1], width, action=action.input, **common)
        rest = [GroupConvolution(group, width, width, **common) for _ in range(1, _LAYERS)]
        self.layers = nn.ModuleList([first, *rest])
        self.head = GroupProjection(group, width, action.target, generator=generator)
        self.offset = nn.Parameter(torch.zeros(action.target.shape[1], 1))
        for name, parameter in self.named_parameters():
            parameter.requires_grad_("relaxed" not in name)
        self.offset.requires_grad_(bool(np.allclose(action.target, np.eye(action.target.shape[1]))))

    def features(self, field: Tensor) -> Tensor:
        """The last functions on the group, [sample, width·order, *space]."""
        for layer in self.layers[:-1]:
            field = torch.nn.functional.silu(layer(field))
        return self.layers[-1](field)

    def forward(self, field: Tensor) -> Tensor:
        out = self.head(self.features(field))
        return out + self.offset.reshape(-1, *(1,) * (field.ndim - 2))

    def symmetric(self, field: Tensor, target: Tensor) -> Tensor:
        """All that a head can make of the last functions, [function, sample, target, *space]."""
        order = len(target)
        apart = self.features(field).unflatten(1, (-1, order)) / order
        return torch.einsum("gab,ncg...->bcna...", target, apart).flatten(0, 1)


class School:
    """Trains a number of networks at most, one after another, and tells how far it is."""

    def __init__(
        self, action: Action, padding: str, seed: int, networks: int, progress: Callable[[int, int], None]
    ) -> None:
        self.action, self.padding, self.progress = action, padding, progress
        self.generator = torch.Generator().manual_seed(seed)
        self.done, self.total = 0, networks * _STEPS

    def equivariant(self, x: Tensor, y: Tensor) -> Network:
        """An equivariant network that says y, as far as it can."""
        return self._fitted(Network(self.action, self.padding, _WIDTH, self.generator), x, y)

    def alike(self, x: Tensor, functions: Callable[[Tensor], Tensor]) -> Network:
        """An equivariant network for what functions that break the group have in common with such that keep it."""
        one = functions(x[:1])
        few = x[: max(1, HELD // (2 * one.numel()))]
        wanted = functions(few).transpose(0, 1)
        order = self.action.group.order
        wanted = wanted.unflatten(1, (-1, order))
        wanted = (wanted - wanted.mean(dim=2, keepdim=True)).flatten(1, 3)
        size = (wanted**2).mean(dim=(0, *range(2, wanted.ndim)), keepdim=True) ** 0.5
        many = np.stack([np.kron(np.eye(len(one)), target) for target in self.action.target])
        network = Network(dataclasses.replace(self.action, target=many), self.padding, _WIDE, self.generator)
        return self._fitted(network, few, wanted / size.clamp_min(1e-12))

    def plain(self, x: Tensor, y: Tensor) -> nn.Module:
        """A network without symmetry that says y."""
        make = _CONVOLUTIONS[x.ndim - 2]
        widths = [x.shape[1], *[_PLAIN] * (_LAYERS - 1), y.shape[1]]
        wrapped: dict[str, Any] = {"padding": "same", "padding_mode": "circular"} if self.padding == "circular" else {}
        layers: list[nn.Module] = []
        for start, end in pairwise(widths):
            layer = make(start, end, _KERNEL, **wrapped)
            drawn = torch.randn(layer.weight.shape, generator=self.generator)
            nn.init.zeros_(layer.bias)  # type: ignore[arg-type]
            with torch.no_grad():
                layer.weight.copy_(drawn * (2 / layer.weight[0].numel()) ** 0.5)
            layers += [layer, nn.SiLU()]
        return self._fitted(nn.Sequential(*layers[:-1]), x, y)

    def _fitted(self, network: Any, x: Tensor, y: Tensor) -> Any:
        """All but the relaxed weights by least squares, in single precision; the network comes back in double."""
        x, y, size = x.float(), y.float(), y.std().clamp_min(1e-12).float()
        optimizer = torch.optim.AdamW(
            [p for p in network.parameters() if p.requires_grad], lr=_RATE, weight_decay=_DECAY
        )
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, _STEPS)
        for _ in range(_STEPS):
            rows = torch.randperm(len(x), generator=self.generator)[:_BATCH]
            optimizer.zero_grad()
            ((network(x[rows]) - y[rows] / size) ** 2).mean().backward()
            optimizer.step()
            schedule.step()
            self.done += 1
            self.progress(self.done, self.total)
        return network.double().requires_grad_(False)
