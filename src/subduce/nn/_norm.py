"""Norms that keep symmetry: each irrep is divided by its own size, never component by component."""

from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from ..config import one_of
from ..kernels import NormBlock, NormMap
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
        self.map = NormMap(self._blocks(), eps, joint=kind == "joint")
        self.weight = nn.Parameter(torch.ones(self.map.num_weights, dtype=dtype))
        self.bias = nn.Parameter(torch.zeros(self.map.num_biases, dtype=dtype)) if kind == "layer" else None

    def forward(self, x: Float[Tensor, "nodes dim"]) -> Float[Tensor, "nodes dim"]:
        """The normalised features, in one pass. Raises `ValueError` where `x` does not have the norm's irreps."""
        return self.map(x, self.weight, self.bias)

    def _blocks(self) -> list[NormBlock]:
        """Each term with what its squares count for: in a joint norm, the mean over channels and then over irreps."""
        irreps, blocks = self.irreps_in, []
        for mul, ir in irreps:
            numbers = (
                ir.dim * mul if self.kind != "joint" else ir.dim * irreps.count(ir) * len({ir for _, ir in irreps})
            )
            blocks.append(NormBlock(ir.dim, mul, self.kind == "layer" and ir.is_scalar(), 1 / max(numbers, 1)))
        return blocks

    def extra_repr(self) -> str:
        """Irreps and kind, for printing."""
        return f"{self.irreps_in}, kind={self.kind}"
