"""How an edge depends on its length: a basis, a cutoff that lets go smoothly, and a network on top."""

import itertools
import math
from collections.abc import Sequence
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from ..config import one_of
from ..kernels import SplineTable, local_coefficients
from ._activation import FUNCTIONS, Activation

BasisKind = Literal["bessel", "gaussian", "bernstein"]
CutoffKind = Literal["polynomial", "xplor", "cosine"]


def polynomial_cutoff(x: Float[Tensor, "*shape"], p: float = 6.0) -> Float[Tensor, "*shape"]:
    """The envelope of x = r / r_max: 1 at 0, and 0 with two zero derivatives at 1 and beyond.

    u(x) = 1 − (p+1)(p+2)/2 xᵖ + p(p+2) xᵖ⁺¹ − p(p+1)/2 xᵖ⁺² (Gasteiger et al. 2020,
    arXiv:2003.03123, eq. 8).

    >>> polynomial_cutoff(torch.tensor([0.0, 0.5, 1.0, 1.5]))
    tensor([1.0000, 0.8555, 0.0000, 0.0000])
    """
    # Beyond the cutoff x is held at 1, where the value and its slope vanish by themselves: with the
    # mask alone large x would overflow in the derivatives.
    inside = x < 1
    y = torch.where(inside, x, 1.0)
    envelope = 1 - y**p * ((p + 1) * (p + 2) / 2 - y * (p * (p + 2) - y * (p * (p + 1) / 2)))
    return torch.where(inside, envelope, 0.0)


def xplor_cutoff(x: Float[Tensor, "*shape"], onset: float = 0.9) -> Float[Tensor, "*shape"]:
    """XPLOR's switch of x = r / r_max: 1 up to `onset`, 0 with one zero derivative at 1 and beyond.

    Its second derivative jumps; it is here for potentials that were trained with it.
    """
    switch = (1 - x**2) ** 2 * (1 + 2 * x**2 - 3 * onset**2) / (1 - onset**2) ** 3
    return torch.where(x < onset, torch.ones_like(x), torch.where(x < 1, switch, torch.zeros_like(x)))


def cosine_cutoff(x: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """The cosine switch (1 + cos πx) / 2 of x = r / r_max, 0 beyond 1 (Behler and Parrinello 2007)."""
    return torch.where(x < 1, (1 + torch.cos(math.pi * x)) / 2, torch.zeros_like(x))


class BesselBasis(nn.Module):
    """Spherical Bessel functions j₀ that vanish at the cutoff, times an amplitude.

    Bₙ(r) = amplitude · sin(nπ r / r_max) / r, with n = 1, 2, …, trainable if asked. NequIP's amplitude
    is 2 / r_max (Batzner et al. 2022, eq. 8); √(2 / r_max) makes the functions orthonormal.
    """

    def __init__(
        self,
        num_functions: int,
        r_max: float,
        *,
        trainable: bool = False,
        amplitude: float | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        self.r_max = r_max
        self.amplitude = 2 / r_max if amplitude is None else amplitude
        roots = torch.arange(1, num_functions + 1, dtype=dtype or torch.get_default_dtype())
        self.roots = nn.Parameter(roots, requires_grad=trainable)

    def forward(self, r: Float[Tensor, " edges"]) -> Float[Tensor, "edges functions"]:
        """Each function at each length r (Å); r = 0 gives the limit."""
        # sin(nπx) / x = nπ sinc(nx) has no division by zero, in value or derivative.
        x = r[:, None] / self.r_max
        return self.amplitude * math.pi / self.r_max * self.roots * torch.sinc(x * self.roots)


class GaussianBasis(nn.Module):
    """Gaussians at equal distances from 0 to the cutoff, as wide as their distance."""

    def __init__(self, num_functions: int, r_max: float, *, dtype: torch.dtype | None = None) -> None:
        super().__init__()
        self.r_max = r_max
        centres = torch.linspace(0, 1, num_functions, dtype=torch.float64)
        self.centres: Tensor
        self.width = 1 / max(num_functions - 1, 1)
        self.register_buffer("centres", centres.to(dtype or torch.get_default_dtype()), persistent=False)

    def forward(self, r: Float[Tensor, " edges"]) -> Float[Tensor, "edges functions"]:
        """Each function at each length r (Å)."""
        return torch.exp(-0.5 * ((r[:, None] / self.r_max - self.centres) / self.width) ** 2)


class BernsteinBasis(nn.Module):
    """Bernstein polynomials of r / r_max: non-negative, smooth, and a partition of one."""

    def __init__(self, num_functions: int, r_max: float, *, dtype: torch.dtype | None = None) -> None:
        super().__init__()
        self.r_max = r_max
        degree = num_functions - 1
        self.binomials: Tensor
        binomials = torch.tensor([math.comb(degree, k) for k in range(num_functions)], dtype=torch.float64)
        self.register_buffer("binomials", binomials.to(dtype or torch.get_default_dtype()), persistent=False)

    def forward(self, r: Float[Tensor, " edges"]) -> Float[Tensor, "edges functions"]:
        """Each function at each length r (Å); 0 beyond the cutoff but for the last."""
        x = (r / self.r_max).clamp(0, 1)
        up, down = [torch.ones_like(x)], [torch.ones_like(x)]
        # By products, since the derivatives of x⁰ = 1 as a power are not defined at the ends.
        for _ in range(self.binomials.shape[0] - 1):
            up.append(up[-1] * x)
            down.append(down[-1] * (1 - x))
        return self.binomials * torch.stack(up, -1) * torch.stack(down[::-1], -1)


class RadialBasis(nn.Module):
    """A basis times a cutoff: what a radial network sees of an edge's length."""

    def __init__(
        self,
        num_functions: int,
        r_max: float,
        *,
        kind: BasisKind = "bessel",
        cutoff: CutoffKind = "polynomial",
        p: float = 6.0,
        onset: float = 0.9,
        trainable: bool = False,
        amplitude: float | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        one_of("kind", kind, BasisKind)
        one_of("cutoff", cutoff, CutoffKind)
        self.r_max, self.cutoff, self.p, self.onset = r_max, cutoff, p, onset
        if kind == "bessel":
            self.basis = BesselBasis(num_functions, r_max, trainable=trainable, amplitude=amplitude, dtype=dtype)
        elif kind == "gaussian":
            self.basis = GaussianBasis(num_functions, r_max, dtype=dtype)
        else:
            self.basis = BernsteinBasis(num_functions, r_max, dtype=dtype)

    def envelope(self, r: Float[Tensor, " edges"]) -> Float[Tensor, " edges"]:
        """The cutoff function at each length r (Å)."""
        x = r / self.r_max
        if self.cutoff == "polynomial":
            return polynomial_cutoff(x, self.p)
        return xplor_cutoff(x, self.onset) if self.cutoff == "xplor" else cosine_cutoff(x)

    def forward(self, r: Float[Tensor, " edges"]) -> Float[Tensor, "edges functions"]:
        """Basis times cutoff at each length r (Å); zero beyond the cutoff."""
        return self.basis(r) * self.envelope(r)[:, None]


class MLP(nn.Module):
    """A plain network on scalars that keeps unit variance from the first layer to the last.

    Weights are drawn from a unit normal and divided by √fan-in in use; each hidden layer is
    followed by an activation of unit second moment. Without biases (the default) an edge beyond
    the cutoff, whose basis is zero, gives exactly zero, which a smooth potential needs.
    """

    def __init__(
        self,
        widths: Sequence[int],
        *,
        activation: str = "silu",
        bias: bool = False,
        constant: float | None = None,
        generator: torch.Generator | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        self.activation = Activation(activation, constant=constant)
        pairs = list(itertools.pairwise(widths))
        self.weights = nn.ParameterList(
            [nn.Parameter(torch.randn(pair, generator=generator, dtype=dtype)) for pair in pairs]
        )
        self.biases = nn.ParameterList(
            [nn.Parameter(torch.zeros(out, dtype=dtype)) for _, out in pairs] if bias else []
        )

    def forward(self, x: Float[Tensor, "rows inputs"]) -> Float[Tensor, "rows outputs"]:
        """The outputs of the last layer, without an activation."""
        for i, weight in enumerate(self.weights):
            scale = 1 / math.sqrt(weight.shape[0])
            if i:  # the activation's constant goes with the few weights in place of the many rows
                x, scale = FUNCTIONS[self.activation.name](x), scale * self.activation.constant
            x = x @ (weight * scale)
            if len(self.biases):
                x = x + self.biases[i]
        return x


class OnKnots:
    """Weights of edges through knots: a radial network is evaluated at these, and splines of them at the lengths.

    For training on many edges: the network sees `intervals` lengths, however many edges there are.
    """

    def __init__(
        self, basis: RadialBasis, lengths: Float[Tensor, " edges"], intervals: int, *, enveloped: bool
    ) -> None:
        self._lengths, self._spacing = lengths, basis.r_max / intervals
        knots = self._spacing * torch.arange(-2, intervals + 3, dtype=lengths.dtype, device=lengths.device).abs()
        self._values = basis(knots)
        self._envelope = basis.envelope(knots)[:, None] if enveloped else None

    def __call__(self, network: nn.Module) -> Float[Tensor, "edges functions"]:
        """The network's values at every length."""
        values = network(self._values)
        if self._envelope is not None:
            values = values * self._envelope
        return SplineTable(local_coefficients(values), self._spacing)(self._lengths)


class Lengths(nn.Module):
    """The length itself, in the place of a basis: what a `Tabulated` radial function sees of an edge."""

    def forward(self, r: Float[Tensor, " edges"]) -> Float[Tensor, "edges 1"]:
        """The lengths (Å) as they came."""
        return r[:, None]


class Tabulated(nn.Module):
    """Functions of the length as cubic splines from 0 to the cutoff, in the place of a radial network; zero beyond."""

    def __init__(self, coefficients: Float[Tensor, "coefficients functions"], r_max: float) -> None:
        super().__init__()
        self.coefficients: Tensor
        self.register_buffer("coefficients", coefficients, persistent=False)
        self.spacing = r_max / (coefficients.shape[0] - 3)

    def forward(self, lengths: Float[Tensor, "edges 1"]) -> Float[Tensor, "edges functions"]:
        """Each function at each length (Å)."""
        return SplineTable(self.coefficients, self.spacing)(lengths[:, 0])
