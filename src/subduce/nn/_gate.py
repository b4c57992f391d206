"""The gate: a non-linearity for irreps. Scalars pass through a function; the rest are scaled by scalars that did."""

from collections.abc import Mapping

import torch
from jaxtyping import Float
from torch import Tensor, nn

from ..o3 import Irrep, Irreps
from ._activation import Activation

EVEN, ODD = Irrep(0, 1), Irrep(0, -1)


class Gate(nn.Module):
    """Activations on scalars, and gates on everything else.

    `irreps_out` is what comes out; `irreps_in` what must go in: the scalars, one even scalar as the
    gate of each other channel, and the other irreps. Even scalars take `even`; odd ones take `odd`,
    which must itself be odd (tanh): no other function of a pseudoscalar is a pseudoscalar.
    `constants` replaces the scale of a named function, for weights that were trained with another.

    Raises `ValueError` where the function for odd scalars is not odd.
    """

    def __init__(
        self,
        irreps_out: Irreps | str,
        *,
        even: str = "silu",
        odd: str = "tanh",
        gate: str = "silu",
        constants: Mapping[str, float] | None = None,
    ) -> None:
        super().__init__()
        constants = constants or {}
        irreps = Irreps(irreps_out)
        self.scalars = irreps.keep(lambda ir: ir.l == 0)
        self.gated = irreps.keep(lambda ir: ir.l > 0)
        self.activations = nn.ModuleDict()
        for ir, name in ((EVEN, even), (ODD, odd)):
            if ir in irreps:
                self.activations[str(ir)] = Activation(name, constant=constants.get(name))
        if ODD in irreps and not Activation(odd).is_odd:
            raise ValueError(f"an odd scalar (0o) needs an odd function such as tanh, got {odd!r}")
        self.gate = Activation(gate, constant=constants.get(gate))
        gates = Irreps([(self.gated.num_irreps, EVEN)]) if self.gated else Irreps()
        self.irreps_in = self.scalars + gates + self.gated
        self.irreps_out = self.scalars + self.gated

    def forward(self, x: Float[Tensor, "nodes dim_in"]) -> Float[Tensor, "nodes dim_out"]:
        """The gated features."""
        blocks, start = [], 0
        for mul, ir in self.scalars:
            blocks.append(self.activations[str(ir)](x[:, start : start + mul]))
            start += mul
        num_gates = self.gated.num_irreps
        gates = self.gate(x[:, start : start + num_gates])
        start += num_gates
        for (mul, ir), gate in zip(self.gated, gates.split([t.mul for t in self.gated], dim=-1), strict=True):
            values = x[:, start : start + mul * ir.dim].unflatten(-1, (ir.dim, mul))
            blocks.append((values * gate[:, None, :]).flatten(-2))
            start += mul * ir.dim
        return blocks[0] if len(blocks) == 1 else torch.cat(blocks, dim=-1)

    def extra_repr(self) -> str:
        """Irreps in and out, for printing."""
        return f"{self.irreps_in} -> {self.irreps_out}"
