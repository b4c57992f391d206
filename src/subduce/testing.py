"""Laws as assertions: equivariance, forces from an energy, smoothness; and one table of tolerances.

For the tests of this library and of anything built on it. Each raises `AssertionError` with the
largest error and where it is.
"""

from collections.abc import Callable, Mapping
from functools import partial
from itertools import product
from types import MappingProxyType

import torch
from jaxtyping import Float
from torch import Tensor

from .data import Graph
from .kernels import ProductPlan, bind, channelwise_plan
from .models import Engine, Potential, forces_and_stress
from .o3 import Irreps, clebsch_gordan, random_rotations

TOLERANCE: Mapping[str, Mapping[torch.dtype, float]] = MappingProxyType(
    {
        # The same numbers by another route: another backend, another order of sums.
        "equal": MappingProxyType({torch.float64: 1e-12, torch.float32: 2e-6}),
        # Turned first or turned last, through a whole network.
        "equivariance": MappingProxyType({torch.float64: 1e-9, torch.float32: 1e-4}),
        # Analytic derivatives against central differences.
        "derivative": MappingProxyType({torch.float64: 1e-6, torch.float32: 2e-2}),
    }
)
"""Largest error relative to the largest value, by kind of test and dtype."""


def assert_equivariant(
    f: Callable[[Tensor], Tensor],
    irreps_in: Irreps,
    irreps_out: Irreps,
    *,
    generator: torch.Generator,
    dtype: torch.dtype = torch.float64,
    rtol: float | None = None,
    rows: int = 7,
) -> None:
    """f(D x) must equal D f(x) for a random rotation, and again with inversion.

    `f` maps features `[rows, irreps_in.dim]` to `[rows, irreps_out.dim]`; each row is a sample of its own.
    Errors are relative to the largest output. An output that is zero throughout proves nothing and fails.
    """
    rtol = TOLERANCE["equivariance"][dtype] if rtol is None else rtol
    x = torch.randn(rows, irreps_in.dim, dtype=dtype, generator=generator, device=generator.device)
    rotation = random_rotations(1, generator=generator)[0]
    y = f(x)
    if y.shape != (rows, irreps_out.dim):
        raise AssertionError(f"expected an output of shape {(rows, irreps_out.dim)}, got {tuple(y.shape)}")
    scale = y.abs().max().item() if y.numel() else 0.0
    if not 0 < scale < float("inf"):
        raise AssertionError(f"the largest output is {scale}, so equivariance cannot be judged")
    for name, matrix in (("a rotation", rotation), ("a rotation with inversion", -rotation)):
        turned_first = f(x @ irreps_in.D(matrix).mT.to(dtype))
        turned_last = y @ irreps_out.D(matrix).mT.to(dtype)
        error = (turned_first - turned_last).abs().amax(0) / scale
        for term, place in zip(irreps_out, irreps_out.slices(), strict=True):
            if error[place].numel() and not error[place].max() <= rtol:
                raise AssertionError(
                    f"not equivariant under {name}: output {term} is off by {error[place].max():.3g} "
                    f"of the largest output, allowed {rtol:.3g}"
                )


def assert_conservative(
    energy: Callable[[Tensor], Tensor],
    positions: Float[Tensor, "atoms 3"],
    forces: Float[Tensor, "atoms 3"] | None = None,
    *,
    step: float | None = None,
    rtol: float | None = None,
) -> None:
    """Forces must be −dE/dr by central differences, four points along every coordinate of every atom.

    `energy(positions)` is one number; without `forces` its own gradient is tested. `step` (Å) is 2e-3, or
    2e-2 in float32. Errors are relative to the largest force, or to 1e-3 where all are smaller.
    """
    rtol = TOLERANCE["derivative"][positions.dtype] if rtol is None else rtol
    step = step or (2e-3 if positions.dtype == torch.float64 else 2e-2)
    positions = positions.detach()
    if forces is None:
        forces = -_derivative(energy, positions)
    expected = torch.zeros_like(positions)
    for atom in range(positions.shape[0]):
        for axis in range(3):
            slope = 0.0
            for places, weight in ((1, 2 / 3), (-1, -2 / 3), (2, -1 / 12), (-2, 1 / 12)):
                moved = positions.clone()
                moved[atom, axis] += places * step
                slope += weight * energy(moved).detach().item() / step
            expected[atom, axis] = -slope
    error = (forces.detach() - expected).abs() / expected.abs().max().clamp(min=1e-3)
    if error.numel() and not error.max() <= rtol:
        atom, axis = divmod(int(error.nan_to_num(nan=torch.inf).argmax()), 3)
        raise AssertionError(
            f"forces are not −dE/dr: along {'xyz'[axis]} of atom {atom} the force is {forces[atom, axis]:.8g}, "
            f"central differences give {expected[atom, axis]:.8g} (error {error.max():.3g}, allowed {rtol:.3g})"
        )


def assert_smooth(
    f: Callable[[Tensor], Tensor], x: float, order: int = 2, *, step: float = 1e-3, rtol: float = 1e-9
) -> None:
    """A function of one number, and its derivatives up to `order`, must be continuous across `x`.

    Derivatives are taken by autograd, in float64, at x and on both sides of it. Sixteen times closer, the
    differences of a continuous one shrink (to half at least); those of a jump stay. Differences below
    `rtol` of the derivative's size are none.
    """
    near, far = (torch.tensor([x - h, x, x + h], dtype=torch.float64) for h in (step / 16, step))
    columns = zip(_derivatives(f, near, order), _derivatives(f, far, order), strict=True)
    for derivative, (close, apart) in enumerate(columns):
        jump, before = ((values - values[1]).abs().max().item() for values in (close, apart))
        floor = rtol * max(1.0, apart.abs().max().item())
        if not (close.isfinite().all() and jump <= max(before / 2, floor)):
            raise AssertionError(
                f"derivative {derivative} is not continuous at {x}: {close.tolist()} at {near.tolist()}"
            )


def check_backend(model: Potential, graph: Graph) -> dict[str, float]:
    """A potential must give the same numbers here as the reference backend, on a graph of yours.

    Compares energies, forces, stress and the gradient of a loss on forces (training) from the potential as it is, and,
    on CPUs, energies, forces and stress from the engine that the calculators use, whose splines may differ by 1e-6 of
    the energies and 1e-5 of the forces. Returns the largest difference of each, relative to the largest value (but for
    energies and stress at least to 1 eV and 1 eV/Å³). Raises `AssertionError` where one is too large.
    """
    device, training = graph.positions.device, model.training
    reference = Potential(model.config, backend="reference")
    reference.load_state_dict(model.state_dict())
    reference = reference.to(device=device, dtype=model.dtype).train(training)
    for ours, theirs in zip(model.parameters(), reference.parameters(), strict=True):
        theirs.requires_grad_(ours.requires_grad)
    engine = Engine(model)
    ways = {"autograd": forces_and_stress(model, graph)} | ({"engine": engine(graph)} if engine.is_compiled else {})
    expected, slack = forces_and_stress(reference, graph), 5 if model.dtype == torch.float32 else 10
    allowed = slack * TOLERANCE["equal"][model.dtype]
    found: dict[str, float] = {}
    for way, prediction in ways.items():
        splines = {"energies": 1e-6, "forces": 1e-5, "stress": 1e-5} if way == "engine" else {}
        for name in ("energies", "forces", "stress"):
            ours, true = getattr(prediction, name), getattr(expected, name)
            least = 1e-3 if name == "forces" else 1.0
            found[f"{name} ({way})"] = _compared(ours, true, least, allowed + splines.get(name, 0.0), f"{name} ({way})")
    ours, true = (_loss_gradient(one, graph) for one in (model, reference))
    found["training gradient"] = _compared(ours, true, 1e-12, 20 * allowed, "training gradient")
    return found


def _compared(ours: Tensor, true: Tensor, least: float, allowed: float, name: str) -> float:
    """The largest difference relative to the largest value; `AssertionError` where it is more than allowed."""
    if not true.numel():
        return 0.0
    scale = max(true.nan_to_num().abs().max().item(), least)
    error = torch.where(true.isnan(), 0.0, (ours - true).abs()).max().item() / scale
    if not error <= allowed:
        raise AssertionError(f"{name} differ from the reference's by {error:.3g} of the largest, allowed {allowed:.3g}")
    return error


def _loss_gradient(model: Potential, graph: Graph) -> Tensor:
    weights = [weight for weight in model.parameters() if weight.requires_grad]
    if not weights:
        return graph.positions.new_zeros(0)
    forces = forces_and_stress(model, graph, stress=False, create_graph=True).forces
    if forces is None or not forces.requires_grad:
        return graph.positions.new_zeros(0)
    found = torch.autograd.grad(forces.square().sum(), weights, allow_unused=True)
    return torch.cat([slope.flatten().double() for slope in found if slope is not None])


def check_product(name: str = "auto", *, device: torch.device | str = "cpu") -> None:
    """A backend of the kernels must be right on this machine: value and two derivatives, to degree 4, odd graphs.

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
        found = _two_derivatives(bind(plan, name), tensors, graph)
        expected = _two_derivatives(partial(_formula, plan), [tensor.double() for tensor in tensors], graph)
        for quantity, ours, true in zip(_QUANTITIES, found, expected, strict=True):
            error, scale = (values.abs().max().item() if true.numel() else 0.0 for values in (ours - true, true))
            if not error <= 5 * TOLERANCE["equal"][dtype] * max(scale, 1.0):
                raise AssertionError(
                    f"backend {name!r} is wrong on {device} in {dtype}: {quantity} is off by {error:.3g} "
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


def _derivatives(f: Callable[[Tensor], Tensor], points: Tensor, order: int) -> list[Tensor]:
    """The function and its derivatives at each point, `[points]` each."""
    found = []
    for point in points:
        x = point.clone().requires_grad_(True)
        values = [f(x)]
        for _ in range(order):
            values.append(_slope(values[-1], x))
        found.append(torch.stack([value.detach().reshape(()) for value in values]))
    return list(torch.stack(found, dim=-1))


def _derivative(energy: Callable[[Tensor], Tensor], positions: Tensor) -> Tensor:
    x = positions.clone().requires_grad_(True)
    return _slope(energy(x), x).detach()


def _slope(y: Tensor, x: Tensor) -> Tensor:
    """dy/dx, zero where y does not depend on x."""
    if not y.requires_grad:
        return torch.zeros_like(x)
    (slope,) = torch.autograd.grad(y.sum(), x, create_graph=True, allow_unused=True)
    return torch.zeros_like(x) if slope is None else slope
