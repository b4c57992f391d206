"""Real spherical harmonics of any degree, in e3nn's basis: y is the polar axis, degree 1 is (x, y, z)."""

from collections.abc import Iterable
from functools import cache, reduce
from math import pi, sqrt
from operator import add

import torch
from jaxtyping import Float
from torch import Tensor

from ._irreps import Irreps
from ._wigner import climb, wigner_d

_SIZES = {
    "component": lambda l: sqrt(2 * l + 1),
    "integral": lambda l: sqrt((2 * l + 1) / (4 * pi)),
    "norm": lambda l: 1.0,
}


def spherical_harmonics(
    irreps: int | str | Iterable[int] | Irreps,
    vectors: Float[Tensor, "*batch 3"],
    *,
    normalize: bool = True,
    normalization: str = "component",
) -> Float[Tensor, "*batch dim"]:
    """Real spherical harmonics of vectors, one degree after the other.

    `irreps` is a degree, a list of degrees, or irreps with one copy each (whose parity is only a
    label). With `normalize` the vectors' lengths do not matter, and a zero vector gives zeros with zero
    derivatives (for l = 0 the constant); without it, degree l grows as |v|^l. On unit vectors the sum
    of squares within a degree is 2l + 1 (`component`), (2l + 1) / 4π (`integral`) or 1 (`norm`). Memory
    runs along the vectors; differentiable to any order. Raises `ValueError` for other arguments.

    >>> spherical_harmonics([0, 1], torch.tensor([[0.0, 2.0, 0.0]]), normalization="norm")
    tensor([[1., 0., 1., 0.]])
    """
    degrees = _degrees(irreps)
    if normalization not in _SIZES:
        raise ValueError(f"normalization is one of {', '.join(_SIZES)}, got {normalization!r}")
    if vectors.shape[-1:] != (3,):
        raise ValueError(f"expected vectors with a last axis (x, y, z), got shape {tuple(vectors.shape)}")
    # Components first, so that every operation runs along the many vectors.
    columns = vectors.reshape(-1, 3).mT.contiguous()
    if normalize:
        columns = _unit(columns)
    size = _SIZES[normalization]
    found = [torch.full_like(columns[:1], size(0)), columns * size(1)]
    for l in range(1, max(degrees)):
        products = (found[l].unsqueeze(1) * columns).flatten(0, 1)
        if torch.compiler.is_compiling():  # plain numbers, which a compiler fuses into one kernel
            rows = _climb_terms(l, normalization)
            found.append(torch.stack([reduce(add, [a * products[i] for i, a in row]) for row in rows]))
        else:
            found.append(_climb(l, normalization, vectors.dtype, vectors.device) @ products)
    harmonics = torch.cat([found[l] for l in degrees]).mT
    return harmonics.reshape(*vectors.shape[:-1], harmonics.shape[-1])


def convention_matrix(l: int, convention: str) -> Float[Tensor, "{2*l+1} {2*l+1}"]:
    """The orthogonal matrix M that gives another program's harmonics of degree l, Y′ = M Y, in float64.

    `z-axis`: the usual real harmonics (Wikipedia, sphericart), polar axis z, m = −l … l, no
    Condon-Shortley phase; `pyscf`: the same, but (x, y, z) for l = 1; `e3x`: the same with
    m = l, −l, l − 1, …, 0 (its Cartesian order). M turns coefficients likewise; scales differ apart from it.

    >>> (convention_matrix(1, "z-axis") @ torch.tensor([1.0, 2.0, 3.0], dtype=torch.float64)).round()  # (y, z, x)
    tensor([2., 3., 1.], dtype=torch.float64)
    """
    orders = {
        "z-axis": list(range(-l, l + 1)),
        "pyscf": [1, -1, 0] if l == 1 else list(range(-l, l + 1)),
        "e3x": [m for size in range(l, 0, -1) for m in (size, -size)] + [0],
    }
    if convention not in orders:
        raise ValueError(f"convention is one of {', '.join(orders)}, got {convention!r}")
    # The usual Y(x, y, z) is ours of (y, z, x): its polar axis z stands where we have y.
    turned = wigner_d(l, torch.tensor([[0, 1, 0], [0, 0, 1], [1, 0, 0]], dtype=torch.float64))
    return turned[[l + m for m in orders[convention]]]


def _degrees(irreps: int | str | Iterable[int] | Irreps) -> tuple[int, ...]:
    if isinstance(irreps, (str, Irreps)):
        irreps = Irreps(irreps)
        if any(mul != 1 for mul, _ in irreps):
            raise ValueError(f"spherical harmonics have one copy of each irrep, got {irreps}")
        degrees = tuple(ir.l for _, ir in irreps)
    else:
        degrees = (irreps,) if isinstance(irreps, int) else tuple(irreps)
    if not degrees or min(degrees) < 0:
        raise ValueError(f"expected degrees of 0 or more, got {list(degrees)}")
    return degrees


def _unit(columns: Tensor) -> Tensor:
    """Columns of length 1; those so short that a third derivative would overflow count as zero."""
    square = columns.square().sum(0)
    short = square < torch.finfo(columns.dtype).tiny ** 0.4
    return columns * torch.where(short, 0.0, torch.where(short, 1.0, square).rsqrt())


@cache
@torch.inference_mode(False)
def _climb(l: int, normalization: str, dtype: torch.dtype, device: torch.device) -> Tensor:
    """From degree l times a vector to degree l + 1, with the sizes that the normalization asks for."""
    up = climb(l)
    at_pole = up[l, 1, l + 1].item()  # the harmonics of the pole are 1 (`norm`) for m = 0, else 0
    size = _SIZES[normalization](l + 1) / _SIZES[normalization](l) / at_pole
    return (up.flatten(0, 1).mT * size).to(dtype=dtype, device=device).contiguous()


def _climb_terms(l: int, normalization: str) -> tuple[tuple[tuple[int, float], ...], ...]:
    """For each component of degree l + 1, the products it is made of and their coefficients."""
    rows = _climb(l, normalization, torch.float64, torch.device("cpu")).tolist()
    return tuple(tuple((i, a) for i, a in enumerate(row) if a) for row in rows)


# What torch.compiler.assume_constant_result sets; calling it would import all of Dynamo, for seconds.
_climb_terms._dynamo_marked_constant = True  # type: ignore[attr-defined]
