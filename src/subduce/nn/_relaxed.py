"""What relaxed weights say, by irrep and element; and relaxed weights that are irreps of O(3)."""

from collections.abc import Mapping

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from ..groups import FiniteGroup
from ..o3 import Irreps, clebsch_gordan


def spectrum(weights: Float[Tensor, "banks order"], group: FiniteGroup) -> Mapping[str, float]:
    """The share of relaxed weights in each irrep: d/|G| ‖Σ_g w(g) ρ(g)‖², which adds up to Σ_g w(g)².

    Only where it is zero has a meaning: sizes differ from one start of the training to the next.
    """
    values = weights.detach().double().cpu().numpy()
    found = {}
    for irrep in group.irreps:
        part = np.einsum("lg,gij->lij", values, irrep.matrices)
        found[irrep.name] = float((part**2).sum() * irrep.dim / irrep.commutant / group.order)
    return found


def equal_set(weights: Float[Tensor, "banks order"], group: FiniteGroup, *, tolerance: float = 1e-6) -> tuple[str, ...]:
    """The elements whose weights are those of the identity, within `tolerance` of their largest."""
    values = weights.detach()
    apart = (values - values[:, :1]).abs().amax(dim=0) <= tolerance * values.abs().max()
    return tuple(name for name, equal in zip(group.elements, apart.tolist(), strict=True) if equal)


class RelaxedHarmonics(nn.Module):
    """Features of edges times a learned vector of irreps θ, shared by all edges: what breaks O(3) in RelaxedE3NN.

    y = Σ over paths of c_path (θ ⊗ x); θ starts as 1 in its first even scalar and 0 elsewhere, so that the layer starts
    as the identity on the irreps that come in. f(x; Dθ) = D f(D⁻¹x; θ): the weights turn like an input (Smidt et al.
    2021; arXiv 2407.20471). The last axis of x is `irreps.dim`, one channel an irrep; that of y is the same.
    """

    def __init__(
        self,
        irreps: Irreps | str,
        theta: Irreps | str,
        *,
        dtype: torch.dtype = torch.float32,
        device: torch.device | str | None = None,
    ) -> None:
        super().__init__()
        self.irreps, self.theta_irreps = Irreps(irreps), Irreps(theta)
        if any(mul != 1 for mul, _ in (*self.irreps, *self.theta_irreps)):
            raise ValueError(f"expected one channel of each irrep, got {self.irreps} and {self.theta_irreps}")
        if not self.theta_irreps or not self.theta_irreps[0].ir.is_scalar():
            raise ValueError(f"θ starts with the even scalar 0e, which keeps what comes in; got {self.theta_irreps}")
        self._paths = []
        for (_, a), left in zip(self.theta_irreps, self.theta_irreps.slices(), strict=True):
            for (_, b), right in zip(self.irreps, self.irreps.slices(), strict=True):
                for (_, c), out in zip(self.irreps, self.irreps.slices(), strict=True):
                    if c in a * b:
                        coupling = clebsch_gordan(a.l, b.l, c.l).to(dtype=dtype, device=device) * c.dim**0.5
                        self._paths.append((left, right, out, coupling))
        start = torch.zeros(self.theta_irreps.dim, dtype=dtype, device=device)
        start[0] = 1
        self.theta = nn.Parameter(start)
        self.weight = nn.Parameter(torch.ones(len(self._paths), dtype=dtype, device=device))

    def forward(self, features: Float[Tensor, "*batch dim"]) -> Float[Tensor, "*batch dim"]:
        """Relaxed features."""
        out = torch.zeros_like(features)
        for weight, (left, right, where, coupling) in zip(self.weight, self._paths, strict=True):
            part = torch.einsum("i,...j,ijk->...k", self.theta[left], features[..., right], coupling)
            out[..., where] = out[..., where] + weight * part
        return out
