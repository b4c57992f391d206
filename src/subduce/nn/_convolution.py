"""The convolution over edges: what NequIP's interaction does before the gate."""

import math

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from ..axes import AtomIndex
from ..kernels import bind, channelwise_plan
from ..o3 import Irreps
from ._linear import Linear
from ._radial import MLP, OnKnots, Tabulated


class Convolution(nn.Module):
    """Sums over neighbours of features times harmonics, with weights that depend on the distance.

    Linear → product with the edge's harmonics, weighted by a radial network, summed over the
    edges into each node and divided by √(average number of neighbours) → Linear (Batzner et al.
    2022, eq. 5-7).
    """

    def __init__(
        self,
        irreps_in: Irreps | str,
        irreps_edge: Irreps | str,
        irreps_out: Irreps | str,
        *,
        num_radial: int,
        radial_mlp_depth: int = 1,
        radial_mlp_width: int = 64,
        radial_activation: str = "silu",
        radial_bias: bool = False,
        radial_constant: float | None = None,
        avg_num_neighbors: float = 1.0,
        backend: str = "auto",
        generator: torch.Generator | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        self.irreps_in, self.irreps_out = Irreps(irreps_in), Irreps(irreps_out)
        plan = channelwise_plan(self.irreps_in, Irreps(irreps_edge), self.irreps_out)
        self.avg_num_neighbors = avg_num_neighbors
        self.before = Linear(self.irreps_in, self.irreps_in, generator=generator, dtype=dtype)
        self.radial: MLP | Tabulated = MLP(
            [num_radial, *[radial_mlp_width] * radial_mlp_depth, plan.num_weights],
            activation=radial_activation,
            bias=radial_bias,
            constant=radial_constant,
            generator=generator,
            dtype=dtype,
        )
        self.product = bind(plan, backend)
        self.after = Linear(plan.irreps_out, self.irreps_out, generator=generator, dtype=dtype)

    def forward(
        self,
        x: Float[Tensor, "nodes dim_in"],
        harmonics: Float[Tensor, "edges dim_edge"],
        radial: Float[Tensor, "lengths radial"] | OnKnots,
        sender: AtomIndex,
        receiver: AtomIndex,
        envelope: Float[Tensor, " lengths"] | None = None,
        row: Int[Tensor, " edges"] | None = None,
    ) -> Float[Tensor, "nodes dim_out"]:
        """The convolved features.

        `envelope` multiplies the weights where the radial network has biases. Where edges share their lengths, it and
        `radial` have a row for each length, and `row` tells those of the edges.
        """
        weights = radial(self.radial) if isinstance(radial, OnKnots) else self.radial(radial)
        if envelope is not None:
            weights = weights * envelope[:, None]
        x = self.before(x) * (1 / math.sqrt(self.avg_num_neighbors))
        return self.after(self.product(x, harmonics, weights, sender, receiver, x.shape[0], row))
