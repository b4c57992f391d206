"""The gate: a non-linearity for irreps. Scalars pass through a function; the rest are scaled by scalars that did."""

from collections.abc import Mapping

from jaxtyping import Float
from torch import Tensor, nn

from ..kernels import GateBlock, GateMap
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
        irreps = Irreps(irreps_out)
        self.scalars = irreps.keep(lambda ir: ir.l == 0)
        self.gated = irreps.keep(lambda ir: ir.l > 0)
        if ODD in irreps and not Activation(odd).is_odd:
            raise ValueError(f"an odd scalar (0o) needs an odd function such as tanh, got {odd!r}")
        gates = Irreps([(self.gated.num_irreps, EVEN)]) if self.gated else Irreps()
        self.irreps_in = self.scalars + gates + self.gated
        self.irreps_out = self.scalars + self.gated
        scales = {
            name: Activation(name, constant=(constants or {}).get(name)).constant
            for name, used in ((even, EVEN in irreps), (odd, ODD in irreps), (gate, True))
            if used
        }
        functions = [(0, mul, even if ir == EVEN else odd) for mul, ir in self.scalars]
        functions += [(ir.dim, mul, gate) for mul, ir in self.gated]
        self.map = GateMap([GateBlock(*block, float(scales[block[-1]])) for block in functions])

    def forward(self, x: Float[Tensor, "nodes dim_in"]) -> Float[Tensor, "nodes dim_out"]:
        """The gated features, in one pass. Raises `ValueError` where `x` does not have the irreps `irreps_in`."""
        return self.map(x)

    def extra_repr(self) -> str:
        """Irreps in and out, for printing."""
        return f"{self.irreps_in} -> {self.irreps_out}"
