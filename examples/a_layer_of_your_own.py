"""An equivariant network of one's own, from the same layers, checked by the same law as ours."""

import torch
from torch import nn

from subduce.nn import EquivariantNorm, Gate, Linear
from subduce.o3 import Irreps
from subduce.testing import assert_equivariant

generator = torch.Generator().manual_seed(0)


class Block(nn.Module):
    """A residual block: norm, linear, gate, linear, and what came in."""

    def __init__(self, irreps: Irreps) -> None:
        super().__init__()
        settings = {"generator": generator, "dtype": torch.float64}
        self.norm = EquivariantNorm(irreps, dtype=torch.float64)
        self.gate = Gate(irreps)
        self.before = Linear(irreps, self.gate.irreps_in, **settings)
        self.after = Linear(self.gate.irreps_out, irreps, **settings)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Features of the same irreps."""
        return x + self.after(self.gate(self.before(self.norm(x))))


irreps = Irreps("8x0e + 4x1o + 2x2e")
assert_equivariant(Block(irreps), irreps, irreps, generator=generator)

# The law finds what is wrong: a function of single components is not equivariant.
try:
    assert_equivariant(torch.tanh, irreps, irreps, generator=generator)
except AssertionError as error:
    print("tanh:", error)
