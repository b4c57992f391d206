"""Scalar functions scaled to unit second moment, by name."""

import functools

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from ..kernels import FUNCTIONS as FUNCTIONS

_ODD = ("tanh", "identity")


class Activation(nn.Module):
    """A function of each scalar, times the constant that keeps unit variance.

    The constant c makes E[(c f(z))²] = 1 for z drawn from a unit normal, by quadrature; another
    constant can be given, for weights that were trained with it.
    """

    def __init__(self, name: str, *, constant: float | None = None) -> None:
        super().__init__()
        if name not in FUNCTIONS:
            raise ValueError(f"no activation {name!r}; known: {', '.join(FUNCTIONS)}")
        self.name = name
        self.constant = unit_second_moment(name) if constant is None else constant
        self.is_odd = name in _ODD

    def forward(self, x: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
        """The function of each number, scaled."""
        return FUNCTIONS[self.name](x) * self.constant

    def extra_repr(self) -> str:
        """Name and constant, for printing."""
        return f"{self.name}, constant={self.constant:.6f}"


@functools.cache
def unit_second_moment(name: str) -> float:
    """The constant c with E[(c f(z))²] = 1 for a unit normal z.

    >>> round(unit_second_moment("silu"), 4)
    1.6765
    """
    points, spacing = np.linspace(-12.0, 12.0, 24001, retstep=True)
    density = np.exp(-(points**2) / 2) / np.sqrt(2 * np.pi)
    values = FUNCTIONS[name](torch.from_numpy(points)).numpy()
    return float((np.sum(values**2 * density) * spacing) ** -0.5)
