"""Linear maps between irreps: channels of one irrep mix, components never do (Schur's lemma)."""

import math

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from ..o3 import Irrep, Irreps

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
        blocks: list[Tensor | None] = [None] * len(self.irreps_out)
        for ir, outputs in self._writes.items():
            if str(ir) in self.weights:
                mapped = self._map(ir, x, species)
            else:
                mapped = x.new_zeros(x.shape[0], ir.dim, self.irreps_out.count(ir))
            muls = [self.irreps_out[i].mul for i, _ in outputs]
            for (i, _), block in zip(outputs, mapped.split(muls, dim=-1), strict=True):
                blocks[i] = block.flatten(-2)
        return _join([block for block in blocks if block is not None], x)

    def _map(self, ir: Irrep, x: Tensor, species: Tensor | None) -> Tensor:
        weight = self.weights[str(ir)]
        weight = weight / math.sqrt(weight.shape[-2])
        inputs = [x[:, place].unflatten(-1, (ir.dim, self.irreps_in[i].mul)) for i, place in self._reads[ir]]
        values = inputs[0] if len(inputs) == 1 else torch.cat(inputs, dim=-1)
        bias = self.bias if ir.is_scalar() else None
        if species is None:
            mapped = values @ weight
            return mapped if bias is None else mapped + bias
        mapped = per_species(values, weight, species)
        return mapped if bias is None else mapped + bias[species][:, None, :]

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


def per_species(
    values: Float[Tensor, "nodes components channels_in"],
    weight: Float[Tensor, "species channels_in channels_out"],
    species: Int[Tensor, " nodes"],
) -> Float[Tensor, "nodes components channels_out"]:
    """Each row times the matrix of its species.

    For a few species all products are formed and one is kept; for many, rows are taken species by
    species, so that the cost does not grow with the length of the periodic table.
    """
    num_species = weight.shape[0]
    if num_species == 1:
        return values @ weight[0]
    if num_species <= 8:
        wide = values @ weight.permute(1, 0, 2).flatten(1)
        wide = wide.unflatten(-1, (num_species, weight.shape[-1]))
        chosen = species.view(-1, 1, 1, 1).expand(-1, wide.shape[1], 1, wide.shape[-1])
        return wide.gather(2, chosen).squeeze(2)
    mapped = values.new_zeros(*values.shape[:2], weight.shape[-1])
    for one in species.unique().tolist():
        rows = (species == one).nonzero().squeeze(1)
        mapped = mapped.index_copy(0, rows, values[rows] @ weight[one])
    return mapped


def _places(irreps: Irreps) -> dict[Irrep, list[tuple[int, slice]]]:
    """For each irrep, the terms that hold it and where they lie."""
    found: dict[Irrep, list[tuple[int, slice]]] = {}
    for i, (term, place) in enumerate(zip(irreps, irreps.slices(), strict=True)):
        if term.mul:
            found.setdefault(term.ir, []).append((i, place))
    return found


def _join(blocks: list[Tensor], like: Tensor) -> Tensor:
    if not blocks:
        return like.new_zeros(like.shape[0], 0)
    return blocks[0] if len(blocks) == 1 else torch.cat(blocks, dim=-1)
