"""Lifting and group convolution on regular grids, for every finite group that sends grid points to grid points."""

from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional

from ..config import one_of
from ..groups import FiniteGroup

Padding = Literal["circular", "zero", "valid"]
Relaxation = Literal["none", "elements", "positions"]
Side = Literal["output", "input"]
Pooling = Literal["mean", "max"]
_CONVOLUTIONS = {1: functional.conv1d, 2: functional.conv2d, 3: functional.conv3d}


class _Filters(nn.Module):
    """What both layers share: how the group moves a kernel, relaxed weights, padding, and the ordinary convolution.

    `moved[g]` says for each entry of g·ψ which entry of ψ it is; it is a permutation, so that the derivative of the
    expansion is a gather too.
    """

    moved: Tensor
    back: Tensor

    def __init__(
        self,
        group: FiniteGroup,
        moved: Int[np.ndarray, "order entries"],
        *,
        dimension: int,
        kernel_size: int,
        banks: int,
        relaxed: Relaxation,
        shape: tuple[int, ...] | None,
        padding: Padding,
        bias: int | None,
        dtype: torch.dtype,
        device: torch.device | str | None,
    ) -> None:
        super().__init__()
        one_of("padding", padding, Padding)
        one_of("relaxed", relaxed, Relaxation)
        if relaxed == "positions" and (shape is None or len(shape) != dimension):
            raise ValueError(f"weights on positions need the shape of the output, {dimension} numbers; got {shape}")
        self.group, self.dimension, self.kernel_size = group, dimension, kernel_size
        self.padding, self.relaxed = padding, relaxed
        inverse = np.argsort(moved, axis=1) + moved.shape[1] * np.arange(group.order)[:, None]
        self.register_buffer("moved", torch.from_numpy(moved.reshape(-1).copy()).to(device), persistent=False)
        self.register_buffer("back", torch.from_numpy(inverse.reshape(-1).copy()).to(device), persistent=False)
        over = {"none": (), "elements": (group.order,), "positions": shape}[relaxed]
        weights = torch.ones(banks, *(over or ()), dtype=dtype, device=device)
        self.relaxed_weight = nn.Parameter(weights, requires_grad=relaxed != "none")
        self.bias = None if bias is None else nn.Parameter(torch.zeros(bias, dtype=dtype, device=device))

    def expanded(self, kernel: Float[Tensor, "*lead entries"]) -> Float[Tensor, "*lead order entries"]:
        """g·ψ for every element g."""
        if not kernel.requires_grad:
            return kernel.index_select(-1, self.moved).unflatten(-1, (self.group.order, -1))
        return _Moved.apply(kernel, self.moved, self.back, self.group.order)

    def convolved(self, features: Tensor, filters: Tensor, *, groups: int = 1) -> Tensor:
        """The ordinary convolution, padded as asked for, with the bias where `finished` does not have to add it."""
        reach = self.kernel_size // 2
        if self.padding == "circular" and reach:
            features = functional.pad(features, (reach, reach) * self.dimension, mode="circular")
        padding = reach if self.padding == "zero" else 0
        bias = None if self.relaxed == "positions" else self.shared_bias()
        return _CONVOLUTIONS[self.dimension](features, filters, bias, padding=padding, groups=groups)

    def shared_bias(self) -> Tensor | None:
        """One number for all elements of the group, for each of them."""
        order = self.group.order
        return None if self.bias is None else self.bias[:, None].expand(-1, order).reshape(-1)

    def finished(self, out: Tensor) -> Tensor:
        """Banks [batch, banks·(channels·order), *space] weighted by position, if they are, and added up; bias."""
        if self.relaxed != "positions":
            return out
        out = out.unflatten(1, (len(self.relaxed_weight), -1))
        if out.shape[3:] != self.relaxed_weight.shape[1:]:
            raise ValueError(
                f"weights on positions were made for a grid of {tuple(self.relaxed_weight.shape[1:])}, "
                f"got {tuple(out.shape[3:])}"
            )
        out = (out * self.relaxed_weight[:, None]).sum(dim=1)
        bias = self.shared_bias()
        return out if bias is None else out + bias.reshape(-1, *(1,) * self.dimension)


class LiftingConvolution(_Filters):
    """From a field to functions on the group: (x ⋆ ψ)(p, g) = Σ_v Σ_l w_l(g) [ψ_l(g⁻¹v) D(g)⁻¹] x(p + v).

    Input [batch, channels, *space], output [batch, out·order, *space], channel by channel, elements of the group in its
    order inside. `action` [order, channels, channels] is how the group turns the channels (identity by default). With
    all relaxed weights equal, as they start, a field that is moved by g gives an output moved by g; in general
    F_{u·w}(u·x) = u·F_w(x) with (u·w)(g) = w(u⁻¹g). Axis i of the grid is coordinate i of the group's matrices.

    Relaxed weights (Wang et al. 2023, arXiv 2310.02299) are on elements, or on positions of a given shape. Raises
    `ValueError` for a group that does not act on the grid, and for kernels of even size.
    """

    def __init__(
        self,
        group: FiniteGroup,
        channels: int,
        out: int,
        *,
        kernel_size: int = 3,
        action: Float[np.ndarray, "order channels channels"] | None = None,
        banks: int = 1,
        relaxed: Relaxation = "none",
        shape: tuple[int, ...] | None = None,
        padding: Padding = "circular",
        bias: bool = True,
        generator: torch.Generator | None = None,
        dtype: torch.dtype = torch.float32,
        device: torch.device | str | None = None,
    ) -> None:
        moved = moved_points(group, kernel_size)
        dimension = group.matrices.shape[-1]
        super().__init__(
            group, moved, dimension=dimension, kernel_size=kernel_size, banks=banks, relaxed=relaxed, shape=shape,
            padding=padding, bias=out if bias else None, dtype=dtype, device=device,
        )  # fmt: skip
        drawn = torch.randn(banks, out, channels, moved.shape[1], generator=generator, dtype=dtype)
        self.weight = nn.Parameter((drawn * (2 / (channels * moved.shape[1] * banks)) ** 0.5).to(device))
        turned = (
            None if action is None else torch.from_numpy(np.ascontiguousarray(action)).to(dtype=dtype, device=device)
        )
        self.action: Tensor | None
        self.register_buffer("action", turned, persistent=False)

    def forward(self, field: Float[Tensor, "batch channels *space"]) -> Tensor:
        """The lifted field."""
        found = self.expanded(self.weight)  # [banks, out, channels, order, points]
        if self.action is not None:
            found = torch.einsum("loagp,gca->locgp", found, self.action)
        if self.relaxed == "elements":
            found = found * self.relaxed_weight[:, None, None, :, None]
        found = found.flatten(0, 1) if self.relaxed == "positions" else found.sum(dim=0)
        size = (self.kernel_size,) * self.dimension
        filters = found.transpose(1, 2).reshape(-1, found.shape[1], *size)
        return self.finished(self.convolved(field, filters))


class GroupConvolution(_Filters):
    """From functions on the group to functions on it: Σ_{v, h} Σ_l w_l ψ_l(g⁻¹v, g⁻¹h) f(p + v, h).

    Features are [batch, channels·order, *space] as `LiftingConvolution` gives them. Relaxed weights are on the element
    g of the output, or of the input, h, with `weights_on`; or on positions. `separable` makes ψ(v, h) a product of a
    mixing of group and channels, and a kernel in space for each output channel: fewer weights, and less work.
    """

    def __init__(
        self,
        group: FiniteGroup,
        channels: int,
        out: int,
        *,
        kernel_size: int = 3,
        banks: int = 1,
        relaxed: Relaxation = "none",
        weights_on: Side = "output",
        separable: bool = False,
        shape: tuple[int, ...] | None = None,
        padding: Padding = "circular",
        bias: bool = True,
        generator: torch.Generator | None = None,
        dtype: torch.dtype = torch.float32,
        device: torch.device | str | None = None,
    ) -> None:
        one_of("weights_on", weights_on, Side)
        points = moved_points(group, kernel_size)
        mixed = group.table[group.inverse]  # [g, h]: g⁻¹h
        whole = (mixed[:, :, None] * points.shape[1] + points[:, None, :]).reshape(group.order, -1)
        super().__init__(
            group, mixed if separable else whole, dimension=group.matrices.shape[-1], kernel_size=kernel_size,
            banks=banks, relaxed=relaxed, shape=shape, padding=padding, bias=out if bias else None, dtype=dtype,
            device=device,
        )  # fmt: skip
        self.separable, self.weights_on, self.out = separable, weights_on, out
        fan_in = channels * group.order * (1 if separable else points.shape[1]) * banks
        entries = group.order if separable else whole.shape[1]
        drawn = torch.randn(banks, out, channels, entries, generator=generator, dtype=dtype)
        self.weight = nn.Parameter((drawn * (2 / fan_in) ** 0.5).to(device))
        self.spatial: _Filters | None = None
        if separable:
            self.spatial = _Filters(
                group, points, dimension=self.dimension, kernel_size=kernel_size, banks=1, relaxed="none", shape=None,
                padding=padding, bias=None, dtype=dtype, device=device,
            )  # fmt: skip
            drawn = torch.randn(out, points.shape[1], generator=generator, dtype=dtype)
            self.spatial_weight = nn.Parameter((drawn / points.shape[1] ** 0.5).to(device))

    def forward(self, features: Float[Tensor, "batch functions *space"]) -> Tensor:
        """The convolved functions."""
        order, out = self.group.order, self.out
        found = self.expanded(self.weight).transpose(2, 3).contiguous()  # [banks, out, g, channels, h·points]
        if self.relaxed == "elements":
            if self.weights_on == "output":
                found = found * self.relaxed_weight[:, None, :, None, None]
            else:
                apart = found.unflatten(-1, (order, -1))
                found = (apart * self.relaxed_weight[:, None, None, None, :, None]).flatten(-2)
        banked = self.relaxed == "positions"
        found = found.flatten(0, 1) if banked or len(found) == 1 else found.sum(dim=0)
        filters = found.flatten(0, 1).unflatten(-1, (order, -1)).flatten(1, 2)  # [out·g, channels·h, points]
        if self.spatial is None:
            size = (self.kernel_size,) * self.dimension
            return self.finished(self.convolved(features, filters.unflatten(-1, size)))
        ones = (1,) * self.dimension
        mixed = _CONVOLUTIONS[self.dimension](features, filters.reshape(*filters.shape[:2], *ones))
        size = (self.kernel_size,) * self.dimension
        inside = self.spatial.expanded(self.spatial_weight).reshape(out * order, 1, *size)
        inside = inside.repeat(len(found) // out, *ones, 1)
        return self.finished(self.convolved(mixed, inside, groups=len(inside)))


class GroupPooling(nn.Module):
    """Functions on the group to what no element moves: their mean or largest value over the group."""

    def __init__(self, group: FiniteGroup, kind: Pooling = "mean") -> None:
        super().__init__()
        one_of("kind", kind, Pooling)
        self.order, self.kind = group.order, kind

    def forward(self, features: Float[Tensor, "batch functions *space"]) -> Tensor:
        """[batch, channels, *space]."""
        apart = features.unflatten(1, (-1, self.order))
        return apart.mean(dim=2) if self.kind == "mean" else apart.amax(dim=2)


class GroupProjection(nn.Module):
    """Functions on the group to a field whose channels turn: y(p) = Σ_g D(g) k f(p, g) / order."""

    action: Tensor

    def __init__(
        self,
        group: FiniteGroup,
        channels: int,
        action: Float[np.ndarray, "order out out"],
        *,
        generator: torch.Generator | None = None,
        dtype: torch.dtype = torch.float32,
        device: torch.device | str | None = None,
    ) -> None:
        super().__init__()
        self.order = group.order
        self.register_buffer("action", torch.tensor(action, dtype=dtype, device=device), persistent=False)
        drawn = torch.randn(action.shape[1], channels, generator=generator, dtype=dtype)
        self.weight = nn.Parameter((drawn / channels**0.5).to(device))

    def forward(self, features: Float[Tensor, "batch functions *space"]) -> Tensor:
        """[batch, out, *space]."""
        filters = torch.einsum("gab,bc->acg", self.action, self.weight).flatten(1) / self.order
        return torch.einsum("af,nf...->na...", filters, features)


def moved_points(group: FiniteGroup, size: int) -> Int[np.ndarray, "order points"]:
    """Where each point of g·ψ comes from in a kernel of odd size: the place of g⁻¹v.

    Raises `ValueError` for a size without a centre, and a group that does not send grid points to grid points.
    """
    if size < 1 or size % 2 == 0:
        raise ValueError(f"kernel_size must be odd, so that a kernel has a centre to turn about; got {size}")
    matrices, dimension = group.matrices, group.matrices.shape[-1]
    exact = np.allclose(np.abs(matrices), np.rint(np.abs(matrices)), atol=1e-9)
    if dimension > 3 or not exact or not (group.geometric or dimension == 1):
        named = {1: "a mirror", 2: "C2, C4, D2, D4 and mirrors", 3: "Oh and its subgroups"}
        raise ValueError(
            f"{group.name} does not send the points of a grid of {dimension} axes to such points; what does: "
            f"{named.get(dimension, 'groups of at most three axes')}"
        )
    reach = size // 2
    places = np.stack(np.meshgrid(*(np.arange(-reach, reach + 1),) * dimension, indexing="ij")).reshape(dimension, -1)
    whole = np.rint(matrices).astype(int).transpose(0, 2, 1)
    sources = np.einsum("gab,bp->gap", whole, places) + reach
    return np.array(np.ravel_multi_index(tuple(sources.transpose(1, 0, 2)), (size,) * dimension))


class _Moved(torch.autograd.Function):
    """Copies of a kernel, one an element, each with its entries permuted; the derivative permutes back and adds."""

    generate_vmap_rule = True

    @staticmethod
    def forward(kernel: Tensor, moved: Tensor, back: Tensor, order: int) -> Tensor:
        return kernel.index_select(-1, moved).unflatten(-1, (order, -1))

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple, output: Tensor) -> None:
        _, *places, ctx.order = inputs
        ctx.save_for_backward(*places)
        ctx.save_for_forward(*places)

    @staticmethod
    def backward(ctx: Any, *slopes: Tensor) -> tuple[Tensor, None, None, None]:
        return _Gathered.apply(slopes[0], *ctx.saved_tensors, ctx.order), None, None, None

    @staticmethod
    def jvp(ctx: Any, *tangents: Any) -> Tensor:
        return _Moved.apply(tangents[0], *ctx.saved_tensors, ctx.order)


class _Gathered(torch.autograd.Function):
    """The derivative of `_Moved`, with derivatives of its own."""

    generate_vmap_rule = True
    setup_context = _Moved.setup_context

    @staticmethod
    def forward(slopes: Tensor, moved: Tensor, back: Tensor, order: int) -> Tensor:
        return slopes.flatten(-2).index_select(-1, back).unflatten(-1, (order, -1)).sum(dim=-2)

    @staticmethod
    def backward(ctx: Any, *again: Tensor) -> tuple[Tensor, None, None, None]:
        return _Moved.apply(again[0], *ctx.saved_tensors, ctx.order), None, None, None

    @staticmethod
    def jvp(ctx: Any, *tangents: Any) -> Tensor:
        return _Gathered.apply(tangents[0], *ctx.saved_tensors, ctx.order)
