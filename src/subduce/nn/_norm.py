"""Norms that keep symmetry: each irrep is divided by its own size, never component by component."""

from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from ..config import one_of
from ..o3 import Irreps

NormKind = Literal["rms", "layer", "joint"]


class EquivariantNorm(nn.Module):
    """A norm on irreps, row by row, with a learnable scale for each channel, starting at 1.

    - `rms`: each term of the irreps is divided by the root mean square of its own components.
    - `layer`: even scalars, the one irrep that has an invariant mean, are centred first and
      get a learnable bias, starting at 0.
    - `joint`: all terms are divided by one number, the root of the mean square over components
      and channels, averaged over the different irreps; ratios between irreps stay as they are.

    `eps` is added to the mean square, so that zero features stay zero with finite derivatives.
    """

    def __init__(
        self,
        irreps: Irreps | str,
        *,
        kind: str = "rms",
        eps: float = 1e-5,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        one_of("a norm", kind, NormKind)
        self.irreps_in = self.irreps_out = Irreps(irreps)
        self.kind, self.eps = kind, eps
        self._scalars = [mul if ir.is_scalar() else 0 for mul, ir in self.irreps_in]
        self.weight = nn.Parameter(torch.ones(self.irreps_in.num_irreps, dtype=dtype))
        self.bias = nn.Parameter(torch.zeros(sum(self._scalars), dtype=dtype)) if kind == "layer" else None

    def forward(self, x: Float[Tensor, "nodes dim"]) -> Float[Tensor, "nodes dim"]:
        """The normalised features."""
        blocks = [
            x[:, place].unflatten(-1, (ir.dim, mul))
            for (mul, ir), place in zip(self.irreps_in, self.irreps_in.slices(), strict=True)
        ]
        if self.kind == "layer":
            blocks = [
                block - block.mean(-1, keepdim=True) if scalars else block
                for block, scalars in zip(blocks, self._scalars, strict=True)
            ]
        sizes = [block.square().mean((-2, -1), keepdim=True) for block in blocks]
        if self.kind == "joint":
            sizes = [self._joint(sizes)] * len(blocks)
        weights = self.weight.split([mul for mul, _ in self.irreps_in])
        blocks = [
            block * (size + self.eps).rsqrt() * weight
            for block, size, weight in zip(blocks, sizes, weights, strict=True)
        ]
        if self.bias is not None:
            biases = self.bias.split(self._scalars)
            blocks = [block + bias if len(bias) else block for block, bias in zip(blocks, biases, strict=True)]
        return torch.cat([block.flatten(-2) for block in blocks], dim=-1)

    def _joint(self, sizes: list[Tensor]) -> Tensor:
        """The mean square of a row: over the channels of each irrep, then over the irreps."""
        irreps = {ir for _, ir in self.irreps_in}
        shares = [mul / self.irreps_in.count(ir) / len(irreps) for mul, ir in self.irreps_in]
        return sum(size * share for size, share in zip(sizes[1:], shares[1:], strict=True)) + sizes[0] * shares[0]

    def extra_repr(self) -> str:
        """Irreps and kind, for printing."""
        return f"{self.irreps_in}, kind={self.kind}"
