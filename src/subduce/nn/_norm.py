"""Norms that keep symmetry: each irrep is divided by its own size, never component by component."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from ..o3 import Irreps


class EquivariantNorm(nn.Module):
    """Root-mean-square or layer norm on irreps.

    Each term of the irreps is divided by the root mean square of its components over all its
    channels, row by row; `kind="layer"` first takes the mean over channels away from even scalars
    (the one irrep that has an invariant mean). A learnable scale for each channel, starting at 1,
    and for `layer` a bias on even scalars, starting at 0, follow if `affine`.

    `eps` is added to the mean square, so that zero features stay zero with finite derivatives.
    """

    def __init__(
        self,
        irreps: Irreps | str,
        *,
        kind: str = "rms",
        affine: bool = True,
        eps: float = 1e-5,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        if kind not in ("rms", "layer"):
            raise ValueError(f"a norm is 'rms' or 'layer', got {kind!r}")
        self.irreps_in = self.irreps_out = Irreps(irreps)
        self.kind, self.eps = kind, eps
        scalars = sum(mul for mul, ir in self.irreps_in if ir.is_scalar())
        self.weight = nn.Parameter(torch.ones(self.irreps_in.num_irreps, dtype=dtype)) if affine else None
        self.bias = nn.Parameter(torch.zeros(scalars, dtype=dtype)) if affine and kind == "layer" else None

    def forward(self, x: Float[Tensor, "nodes dim"]) -> Float[Tensor, "nodes dim"]:
        """The normalised features."""
        muls = [mul for mul, _ in self.irreps_in]
        weights = self.weight.split(muls) if self.weight is not None else [None] * len(muls)
        scalar_muls = [mul for mul, ir in self.irreps_in if ir.is_scalar()]
        biases = iter(self.bias.split(scalar_muls) if self.bias is not None else [None] * len(scalar_muls))
        blocks = []
        for (mul, ir), place, weight in zip(self.irreps_in, self.irreps_in.slices(), weights, strict=True):
            values = x[:, place].unflatten(-1, (ir.dim, mul))
            if self.kind == "layer" and ir.is_scalar():
                values = values - values.mean(-1, keepdim=True)
            values = values * (values.square().mean((-2, -1), keepdim=True) + self.eps).rsqrt()
            if weight is not None:
                values = values * weight
            bias = next(biases) if ir.is_scalar() else None
            if bias is not None:
                values = values + bias
            blocks.append(values.flatten(-2))
        return torch.cat(blocks, dim=-1)

    def extra_repr(self) -> str:
        """Irreps and kind, for printing."""
        return f"{self.irreps_in}, kind={self.kind}"
