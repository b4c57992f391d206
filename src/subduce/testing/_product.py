"""The edge product of a backend against its formula."""

from collections.abc import Callable
from functools import partial
from itertools import product

import torch
from torch import Tensor

from ..kernels import ProductPlan, bind, channelwise_plan
from ..o3 import clebsch_gordan
from ._laws import TOLERANCE


def check_product(backend: str = "auto", *, device: torch.device | str = "cpu") -> None:
    """A backend of the edge product must be right here: value and two derivatives, to degree 4, odd graphs.

    In float64 and float32, compared with the formula evaluated edge by edge in float64. Takes a second.
    Raises `ValueError` for an unknown backend.
    """
    mixed = channelwise_plan("3x0e+3x0o+2x1o+2x1e+1x2e", "0e+1o+2e", "0e+0o+1o+1e+2e")
    high = channelwise_plan("2x0e+2x1o+2x2e+2x3o+2x4e", "1e+3o+4e", "0e+1o+2o+3e+4e")
    sizes = ((5, 14, 6), (3, 1, 3), (3, 0, 3))
    for plan, (nodes, edges, receivers), dtype in product((mixed, high), sizes, TOLERANCE["equal"]):
        generator = torch.Generator().manual_seed(0)
        shapes = ((nodes, plan.irreps_in.dim), (edges, plan.irreps_edge.dim), (edges, plan.num_weights))
        tensors = [torch.randn(shape, generator=generator, dtype=dtype).to(device) for shape in shapes]
        sender = torch.randint(nodes, (edges,), generator=generator).to(device)
        receiver = torch.randint(1, receivers - 1, (edges,), generator=generator).sort().values.to(device)
        graph = (sender, receiver, receivers)
        found = _two_derivatives(bind(plan, backend), tensors, graph)
        expected = _two_derivatives(partial(_formula, plan), [tensor.double() for tensor in tensors], graph)
        for quantity, ours, true in zip(_QUANTITIES, found, expected, strict=True):
            error, scale = (values.abs().max().item() if true.numel() else 0.0 for values in (ours - true, true))
            if not error <= 5 * TOLERANCE["equal"][dtype] * max(scale, 1.0):
                raise AssertionError(
                    f"backend {backend!r} is wrong on {device} in {dtype}: {quantity} is off by {error:.3g} "
                    f"(largest value {scale:.3g}) for {edges} edges and the plan {plan.key}"
                )


_QUANTITIES = [
    "the product",
    *(f"the derivative by {slot}" for slot in ("x", "edge", "weights")),
    *(f"the second derivative by {slot}" for slot in ("x", "edge", "weights")),
]


def _two_derivatives(run: Callable[..., Tensor], tensors: list[Tensor], graph: tuple) -> list[Tensor]:
    leaves = [tensor.detach().clone().requires_grad_(True) for tensor in tensors]
    value = run(*leaves, *graph)
    first = torch.autograd.grad((value * value.detach().cos()).sum(), leaves, create_graph=True)
    second = torch.autograd.grad(torch.stack([(slope**2).sum() for slope in first]).sum(), leaves)
    return [value.detach(), *(slope.detach() for slope in first), *second]


def _formula(
    plan: ProductPlan, x: Tensor, edge: Tensor, weights: Tensor, sender: Tensor, receiver: Tensor, num_receivers: int
) -> Tensor:
    blocks = [x.new_zeros(num_receivers, ir.dim, mul) for mul, ir in plan.irreps_out]
    for path in plan.paths:
        features = x[:, plan.irreps_in.slices()[path.term_in]].unflatten(1, (path.ir_in.dim, path.mul))
        harmonics = edge[:, plan.irreps_edge.slices()[path.term_edge]]
        coupling = clebsch_gordan(path.ir_in.l, path.ir_edge.l, path.ir_out.l).to(x) * path.ir_out.dim**0.5
        terms = (features[sender], harmonics, coupling, weights[:, path.weights])
        blocks[path.term_out][:, :, path.channels] = x.new_zeros(num_receivers, path.ir_out.dim, path.mul).index_add(
            0, receiver, torch.einsum("emc,en,mnk,ec->ekc", *terms)
        )
    return torch.cat([block.flatten(1) for block in blocks], dim=1)
