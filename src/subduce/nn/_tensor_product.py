"""Tensor products of features that sit on the same row."""

import math
from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn

from ..kernels import bind, channelwise_plan
from ..o3 import Irrep, Irreps, clebsch_gordan


class ChannelwiseTensorProduct(nn.Module):
    """Products of the channels of `x` with one set of irreps `y`, path by path, with weights.

    Every path (irrep of x, irrep of y, irrep of the product) that `irreps_keep` wants is formed;
    channels do not mix. Weights, one for each path and channel, are the layer's own, or are given
    row by row in the call when `shared_weights` is False (`num_weights` of them).
    """

    def __init__(
        self,
        irreps_x: Irreps | str,
        irreps_y: Irreps | str,
        irreps_keep: Irreps | str,
        *,
        shared_weights: bool = True,
        backend: str = "auto",
        generator: torch.Generator | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        plan = channelwise_plan(Irreps(irreps_x), Irreps(irreps_y), Irreps(irreps_keep))
        self.irreps_in, self.irreps_y, self.irreps_out = plan.irreps_in, plan.irreps_edge, plan.irreps_out
        self.num_weights = plan.num_weights
        self.product = bind(plan, backend)
        weights = torch.randn(plan.num_weights, generator=generator, dtype=dtype) if shared_weights else None
        self.weights = nn.Parameter(weights) if weights is not None else None

    def forward(
        self,
        x: Float[Tensor, "nodes dim_x"],
        y: Float[Tensor, "nodes dim_y"],
        weights: Float[Tensor, "nodes num_weights"] | None = None,
    ) -> Float[Tensor, "nodes dim_out"]:
        """The product of each row of `x` with the same row of `y`."""
        own = None if self.weights is None else self.weights.expand(x.shape[0], -1)
        each = weights if own is None else own
        if each is None or (own is not None and weights is not None):
            raise ValueError("give `weights` exactly when the layer was built with shared_weights=False")
        rows = torch.arange(x.shape[0], device=x.device)
        return self.product(x, y, each, rows, rows, x.shape[0])


class FullyConnectedTensorProduct(nn.Module):
    """Every channel of `x` with every channel of `y` into every channel of the product, with weights.

    Paths and weights in the order (term of x, term of y, term out), each block
    `[channels of x, channels of y, channels out]`; outputs are scaled to unit variance for inputs
    of unit variance.
    """

    def __init__(
        self,
        irreps_x: Irreps | str,
        irreps_y: Irreps | str,
        irreps_out: Irreps | str,
        *,
        generator: torch.Generator | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        self.irreps_x, self.irreps_y, self.irreps_out = Irreps(irreps_x), Irreps(irreps_y), Irreps(irreps_out)
        self._paths = [
            (i, j, k)
            for i, x in enumerate(self.irreps_x)
            for j, y in enumerate(self.irreps_y)
            for k, out in enumerate(self.irreps_out)
            if out.ir in x.ir * y.ir
        ]
        self.weights = nn.ParameterList()
        for path in self._paths:
            shape = [irreps[n].mul for irreps, n in zip(self._irreps(), path, strict=True)]
            self.weights.append(nn.Parameter(torch.randn(shape, generator=generator, dtype=dtype)))
            self.register_buffer(self._coupling_name(path), self._coupling(path).to(dtype), persistent=False)

    def _irreps(self) -> tuple[Irreps, Irreps, Irreps]:
        return self.irreps_x, self.irreps_y, self.irreps_out

    def _coupling_name(self, path: Sequence[int]) -> str:
        return "coupling_" + "_".join(str(n) for n in path)

    def _coupling(self, path: tuple[int, int, int]) -> Tensor:
        into = path[2]
        fan_in = sum(self.irreps_x[i].mul * self.irreps_y[j].mul for i, j, k in self._paths if k == into)
        degrees = [irreps[n].ir.l for irreps, n in zip(self._irreps(), path, strict=True)]
        return clebsch_gordan(*degrees) * math.sqrt((2 * degrees[2] + 1) / fan_in)

    def forward(
        self, x: Float[Tensor, "nodes dim_x"], y: Float[Tensor, "nodes dim_y"]
    ) -> Float[Tensor, "nodes dim_out"]:
        """The product of each row of `x` with the same row of `y`."""
        blocks = [x.new_zeros(x.shape[0], ir.dim, mul) for mul, ir in self.irreps_out]
        places_x, places_y = self.irreps_x.slices(), self.irreps_y.slices()
        for path, weight in zip(self._paths, self.weights, strict=True):
            i, j, k = path
            left = x[:, places_x[i]].unflatten(-1, (self.irreps_x[i].ir.dim, self.irreps_x[i].mul))
            right = y[:, places_y[j]].unflatten(-1, (self.irreps_y[j].ir.dim, self.irreps_y[j].mul))
            coupling = getattr(self, self._coupling_name(path))
            blocks[k] = blocks[k] + torch.einsum("zau,zbv,abc,uvw->zcw", left, right, coupling, weight)
        return torch.cat([block.flatten(-2) for block in blocks], dim=-1)


def reachable(irreps_x: Irreps, irreps_y: Irreps, wanted: Irreps) -> Irreps:
    """The terms of `wanted` that some product of the two irreps contains."""
    found: set[Irrep] = {ir for x in irreps_x for y in irreps_y for ir in x.ir * y.ir}
    return wanted.keep(lambda ir: ir in found)
