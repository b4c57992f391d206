"""Linear maps between irreps: channels of one irrep mix, components never do (Schur's lemma)."""

import math

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from ..kernels import LinearMap, Part
from ..o3 import Irrep, Irreps

SCALAR = Irrep(0, 1)

_Places = dict[Irrep, list[tuple[int, slice]]]

Matrix = tuple[slice, slice, int, Tensor]
"""A part of a linear map: place of the inputs and of the outputs, components, matrix [channels in, channels out]."""


class Linear(nn.Module):
    """An equivariant linear map; with `num_species`, another one for each species.

    Weights are drawn from a unit normal and divided by the square root of the fan-in as they are
    used, so that outputs start with the variance of the inputs and one learning rate suits every
    width. Biases, on 0e only, start at zero. Outputs that no input reaches are zero.
    """

    def __init__(
        self,
        irreps_in: Irreps | str,
        irreps_out: Irreps | str,
        *,
        num_species: int | None = None,
        bias: bool = False,
        generator: torch.Generator | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        self.irreps_in, self.irreps_out = Irreps(irreps_in), Irreps(irreps_out)
        self.num_species = num_species
        self._reads = _places(self.irreps_in)
        self._writes = _places(self.irreps_out)
        copies = () if num_species is None else (num_species,)
        self.weights = nn.ParameterDict()
        for ir in self._writes:
            if ir in self._reads:
                shape = (*copies, self.irreps_in.count(ir), self.irreps_out.count(ir))
                self.weights[str(ir)] = nn.Parameter(torch.randn(shape, generator=generator, dtype=dtype))
        scalars = self.irreps_out.count("0e") if bias else 0
        self._map = LinearMap(
            self.irreps_in.dim, self.irreps_out.dim, _parts(self._reads, self._writes, self.irreps_in, self.irreps_out)
        )
        self.bias = nn.Parameter(torch.zeros(*copies, scalars, dtype=dtype)) if scalars else None

    def forward(
        self, x: Float[Tensor, "nodes dim_in"], species: Int[Tensor, " nodes"] | None = None
    ) -> Float[Tensor, "nodes dim_out"]:
        """The mapped features; `species` (rows of the weights) where there are weights per species.

        Raises `ValueError` where `x` does not have the irreps that the layer was built for.
        """
        if x.shape[-1] != self.irreps_in.dim:
            raise ValueError(
                f"Linear was built for features of {self.irreps_in} (last axis {self.irreps_in.dim}), but got "
                f"shape {tuple(x.shape)}. Pass the previous layer's irreps_out as irreps_in."
            )
        if (species is None) != (self.num_species is None):
            raise ValueError("give `species` exactly when the layer was built with num_species")
        if not self.weights:
            return x.new_zeros(x.shape[0], self.irreps_out.dim)
        copies = self.num_species or 1
        scaled = [w.reshape(copies, -1) * (1 / math.sqrt(w.shape[-2])) for w in self.weights.values()]
        mapped = self._map(x, torch.cat(scaled, dim=1), species)
        if self.bias is None:
            return mapped
        bias = self.bias.split([self.irreps_out[i].mul for i, _ in self._writes[SCALAR]], dim=-1)
        widened = mapped.new_zeros(*self.bias.shape[:-1], self.irreps_out.dim)
        for (_, place), part in zip(self._writes[SCALAR], bias, strict=True):
            widened = widened.slice_scatter(part, -1, place.start, place.stop)
        return mapped + (widened if species is None else widened[species])

    def matrices(self) -> list[Matrix]:
        """The map without its bias as it is used: what is read, what is written, components, and the matrix.

        Several matrices that write to one place are added up; with species, each has a first axis for them.
        """
        found = []
        for ir, outputs in self._writes.items():
            if str(ir) not in self.weights:
                continue
            weight = self.weights[str(ir)].detach()
            weight = weight / math.sqrt(weight.shape[-2])
            rows = weight.split([self.irreps_in[i].mul for i, _ in self._reads[ir]], dim=-2)
            for (_, place_in), part in zip(self._reads[ir], rows, strict=True):
                columns = part.split([self.irreps_out[k].mul for k, _ in outputs], dim=-1)
                for (_, place_out), matrix in zip(outputs, columns, strict=True):
                    found.append((place_in, place_out, ir.dim, matrix))
        return found

    def extra_repr(self) -> str:
        """Irreps in and out, for printing."""
        each = "" if self.num_species is None else f", num_species={self.num_species}"
        return f"{self.irreps_in} -> {self.irreps_out}{each}"


def _parts(reads: _Places, writes: _Places, irreps_in: Irreps, irreps_out: Irreps) -> list[Part]:
    """The matrices of a map: one for each irrep on both sides, cut where its channels lie apart."""
    found, begin = [], 0
    for ir, outputs in writes.items():
        if ir not in reads:
            continue
        width, row = irreps_out.count(ir), 0
        for i, place_in in reads[ir]:
            column = 0
            for k, place_out in outputs:
                channels = (irreps_in[i].mul, irreps_out[k].mul)
                at = begin + row * width + column
                found.append(Part(place_in.start, place_out.start, ir.dim, *channels, at, width))
                column += channels[1]
            row += irreps_in[i].mul
        begin += row * width
    return found


def _places(irreps: Irreps) -> _Places:
    """For each irrep, the terms that hold it and where they lie."""
    found: _Places = {}
    for i, (term, place) in enumerate(zip(irreps, irreps.slices(), strict=True)):
        if term.mul:
            found.setdefault(term.ir, []).append((i, place))
    return found
