"""Laws as assertions, and the one table of tolerances."""

from collections.abc import Callable, Mapping
from types import MappingProxyType

import torch
from jaxtyping import Float
from torch import Tensor

from ..o3 import Irreps, random_rotations

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
