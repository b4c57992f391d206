"""A group-equivariant network on regular grids whose relaxed weights can leave the symmetry that it starts with."""

import warnings
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from pydantic import Field
from torch import Tensor, nn

from ..config import Config
from ..groups import FiniteGroup, grid_action, named_group, o3_matrices
from ..nn import GroupConvolution, GroupPooling, GroupProjection, LiftingConvolution
from ..o3 import Irreps

_ACTIVATIONS: Mapping[str, type[nn.Module]] = {"relu": nn.ReLU, "silu": nn.SiLU, "tanh": nn.Tanh, "gelu": nn.GELU}
_SAME = 1e-9  # fields differ by less than this share of their squares: they are the same


class RelaxedCNNConfig(Config):
    """Everything that rebuilds a relaxed group network, apart from its weights."""

    group: str = Field(description="the group that it starts equivariant to: C4, D4 in the plane; O, Oh, D4h in space")
    dimension: Literal[1, 2, 3] = Field(2, description="axes of the grid")
    input: str = Field("0e", description="irreps of the input's channels; 1o has a component for each axis of the grid")
    output: str = Field("0e", description="irreps of the output's channels")
    time_odd: tuple[int, ...] = Field((), description="input channels, from 0, that change sign with time reversal T")
    output_time_odd: tuple[int, ...] = Field((), description="output channels that do; velocities, momenta, currents")
    num_layers: int = Field(3, ge=2, description="convolutions, the lifting one among them")
    num_features: int = Field(8, ge=1, description="channels of a hidden layer, each a function on the group")
    kernel_size: int = Field(3, ge=1, description="points of a kernel along an axis; odd")
    banks: int = Field(1, ge=1, description="kernels with relaxed weights of their own")
    relaxed: Literal["none", "elements", "positions"] = Field("elements", description="what relaxed weights depend on")
    weights_on: Literal["output", "input"] = Field("output", description="the element that has the weight")
    shape: tuple[int, ...] | None = Field(None, description="of the grid, for weights on positions")
    separable: bool = Field(False, description="kernels that are products of a mixing of the group and one in space")
    padding: Literal["circular", "zero", "valid"] = "circular"
    head: Literal["project", "pool", "group"] = Field(
        "project", description="channels that turn; their mean over the group; or every element's channel by itself"
    )
    activation: Literal["relu", "silu", "tanh", "gelu"] = "relu"
    model_dtype: Literal["float32", "float64"] = "float32"
    seed: int = Field(0, description="of the initial weights")


class RelaxedCNN(nn.Module):
    """From fields [batch, channels, *space] to fields, equivariant to a finite group until its relaxed weights differ.

    Wang et al. 2023, arXiv 2310.02299. Trained by whole batches on pairs that a subgroup keeps, with symmetric loss,
    the relaxed weights stay equal on that subgroup's orbits, exactly; what they break, the pairs break. With zero
    padding the pairs must be symmetric about the grid's centre, or far from its edges: see `warn_of_edges`.

    >>> network = RelaxedCNN(RelaxedCNNConfig(group="C4", num_features=2))
    >>> network(torch.zeros(1, 1, 9, 9)).shape, network.relaxed_weights()["layer 1"].shape
    (torch.Size([1, 1, 9, 9]), torch.Size([1, 4]))
    """

    def __init__(self, config: RelaxedCNNConfig) -> None:
        super().__init__()
        self.config = config
        self.group: FiniteGroup = named_group(config.group, config.dimension)
        dtype = {"float32": torch.float32, "float64": torch.float64}[config.model_dtype]
        generator = torch.Generator().manual_seed(config.seed)
        incoming = channel_action(self.group, config.input, config.dimension, config.time_odd)
        outgoing = channel_action(self.group, config.output, config.dimension, config.output_time_odd)
        scalars = bool(np.allclose(outgoing, np.eye(outgoing.shape[1])))
        if config.head != "project" and not scalars:
            turning = f"{config.output} turns" if not config.output_time_odd else "the output is odd in time"
            raise ValueError(f"the head {config.head!r} gives scalars, and {turning}; take 'project'")
        common = {
            "kernel_size": config.kernel_size, "banks": config.banks, "relaxed": config.relaxed, "shape": config.shape,
            "padding": config.padding, "generator": generator, "dtype": dtype,
        }  # fmt: skip
        last = config.num_features if config.head == "project" else outgoing.shape[1]
        widths = [config.num_features] * (config.num_layers - 1) + [last]
        layers: list[nn.Module] = [
            LiftingConvolution(self.group, incoming.shape[1], widths[0], action=incoming, **common)
        ]
        for before, after in pairwise(widths):
            layers.append(
                GroupConvolution(
                    self.group, before, after, weights_on=config.weights_on, separable=config.separable, **common
                )
            )
        self.layers = nn.ModuleList(layers)
        self.activation = _ACTIVATIONS[config.activation]()
        heads = {
            "project": lambda: GroupProjection(self.group, last, outgoing, generator=generator, dtype=dtype),
            "pool": lambda: GroupPooling(self.group),
            "group": nn.Identity,
        }
        self.head = heads[config.head]()

    def forward(self, field: Float[Tensor, "batch channels *space"]) -> Float[Tensor, "batch out *space"]:
        """The output field; with the head `group`, [batch, out·order, *space], to be fitted element by element."""
        for layer in self.layers[:-1]:
            field = self.activation(layer(field))
        return self.head(self.layers[-1](field))

    def warn_of_edges(
        self, fields: Float[Tensor, "batch channels *space"], targets: Float[Tensor, "batch out *space"]
    ) -> tuple[str, ...]:
        """The elements that pairs keep about another centre than the grid's, and zero padding breaks; warns of any.

        An object in the middle of a point of an even grid is symmetric, and so is one anywhere; but the edges, which
        zero padding lets the network see, lie about the grid's centre. Unless no output sees both, which takes twice
        the network's reach between an object and the edges, relaxed weights then show a breaking that no law has.
        Raises `ValueError` for a grid on which the group does not act.
        """
        if self.config.padding != "zero":
            return ()
        config = self.config
        gap = 2 * config.num_layers * (config.kernel_size // 2)
        both = torch.cat([fields, targets], dim=1).detach().double().cpu().numpy()
        near = both[[_gap(pair) < gap for pair in both]]
        odd = (config.time_odd, config.output_time_odd)
        actions = [
            channel_action(self.group, irreps, config.dimension, channels)
            for irreps, channels in zip((config.input, config.output), odd, strict=True)
        ]
        count, moves = fields.shape[1], grid_action(self.group.matrices, fields.shape[2:])
        off = _off_centre((near[:, :count], near[:, count:]), actions, moves) if len(near) else ()
        names = tuple(name for name, shown in zip(self.group.elements, off, strict=False) if shown)
        if names:
            warnings.warn(
                f"the data keep {', '.join(names)} about another centre than the grid's, and zero padding breaks that: "
                "relaxed weights will differ though the data are symmetric; take padding 'circular', a grid with the "
                f"symmetric object in its middle, or {gap} points without anything around it",
                stacklevel=2,
            )
        return names

    def relaxed_weights(self) -> dict[str, Tensor]:
        """The relaxed weights of each layer, [banks, order] or [banks, *shape], by the layer's name."""
        named = dict(self.layers.named_parameters())
        return {f"layer {i + 1}": named[f"{i}.relaxed_weight"].detach() for i in range(len(self.layers))}


def _gap(pair: Float[np.ndarray, "channels *space"]) -> int:
    """The fewest points between the grid's ends and what differs from its corner."""
    corner = pair.reshape(len(pair), -1)[:, :1].reshape(-1, *(1,) * (pair.ndim - 1))
    inside = np.stack(np.nonzero((pair != corner).any(axis=0)))
    if not inside.size:
        return max(pair.shape[1:])
    last = np.array(pair.shape[1:]) - 1
    return int(min(inside.min(), (last - inside.max(axis=1)).min()))


def _off_centre(
    sides: Sequence[Float[np.ndarray, "batch _ *space"]],
    actions: Sequence[Float[np.ndarray, "order _ _"]],
    moves: Int[np.ndarray, "order points"],
) -> Bool[np.ndarray, " order"]:
    """Whether an element keeps some pair about one centre or another, and not about the grid's."""
    off = np.zeros(len(moves), dtype=bool)
    for g, move in enumerate(moves):
        apart: Any = 0.0  # of each pair from its image, shifted by every step
        for values, action in zip(sides, actions, strict=True):
            flat = np.empty((*values.shape[:2], len(move)))
            flat[:, :, move] = values.reshape(flat.shape)
            turned = np.einsum("ab,nb...->na...", action[g], flat.reshape(values.shape))
            space = tuple(range(2, values.ndim))
            products = np.fft.fftn(values, axes=space) * np.conj(np.fft.fftn(turned, axes=space))
            agreement = np.fft.ifftn(products, axes=space).real.sum(axis=1).reshape(len(values), -1)
            size = (values**2).reshape(len(values), -1).sum(axis=1, keepdims=True)
            apart = apart + np.where(size > 0, 1 - agreement / np.where(size > 0, size, 1), 0)
        off[g] = ((apart.min(axis=1) < _SAME) & (apart[:, 0] > _SAME)).any()
    return off


def channel_action(
    group: FiniteGroup, irreps: str, dimension: int, time_odd: Sequence[int] = ()
) -> Float[np.ndarray, "order channels channels"]:
    """How a group turns channels on a grid of some axes: `1o` has one an axis, other irreps are those of space.

    Channels of `time_odd` change sign with the elements that turn time around, those of a factor T of the group.
    """
    signs = _time_signs(group, Irreps(irreps), dimension, time_odd)
    if not group.geometric and not any(factor.geometric for factor in group.factors):
        return signs[:, :, None] * np.eye(signs.shape[1])
    parts = []
    for mul, irrep in Irreps(irreps):
        matrices = o3_matrices(group, f"1x{irrep}")
        matrices = matrices[:, :dimension, :dimension] if str(irrep) == "1o" else matrices
        parts += [matrices] * mul
    sizes = [part.shape[1] for part in parts]
    ends = np.cumsum([0, *sizes])
    found = np.zeros((group.order, ends[-1], ends[-1]))
    for part, (start, end) in zip(parts, pairwise(ends), strict=True):
        found[:, start:end, start:end] = part
    return signs[:, :, None] * found


def _time_signs(
    group: FiniteGroup, irreps: Irreps, dimension: int, time_odd: Sequence[int]
) -> Float[np.ndarray, "order channels"]:
    """−1 for the channels that are odd in time and the elements that turn time around, else +1."""
    spatial = group.geometric or any(factor.geometric for factor in group.factors)
    count = sum(mul * (dimension if spatial and str(irrep) == "1o" else irrep.dim) for mul, irrep in irreps)
    factors = group.factors or (group,)
    backwards = np.zeros(group.order, dtype=bool)
    places = np.unravel_index(np.arange(group.order), [factor.order for factor in factors])
    for factor, place in zip(factors, places, strict=True):
        if factor.name == "T" and factor.order == 2 and not factor.geometric:
            backwards ^= place == 1
    if len(time_odd) and not backwards.any():
        raise ValueError(f"channels odd in time need a group with time reversal T, got {group.name}")
    if any(not 0 <= channel < count for channel in time_odd):
        raise ValueError(f"expected channels from 0 to {count - 1} as odd in time, got {tuple(time_odd)}")
    signs = np.ones((group.order, count))
    for channel in time_odd:
        signs[backwards, channel] = -1
    return signs
