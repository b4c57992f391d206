"""The repulsion of nuclei at short range, a term that a potential can add where data are silent."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from ..axes import AtomEnergies
from ..data import Graph
from ..nn import polynomial_cutoff

COULOMB = 14.399645478425668
"""e² / 4πε₀, eV Å (CODATA 2018)."""

_AMPLITUDES = (0.02817, 0.28022, 0.50986, 0.18175)
_EXPONENTS = (0.20162, 0.40290, 0.94229, 3.19980)


class ZBL(nn.Module):
    """The screened nuclear repulsion of Ziegler, Biersack and Littmark (1985), shared between both atoms.

    E = Zᵢ Zⱼ e²/4πε₀r · φ(r/a), a = 0.46850 Å / (Zᵢ^0.23 + Zⱼ^0.23), times a polynomial envelope
    that ends at the cutoff.
    """

    def __init__(self, cutoff: float, *, p: float = 6.0, elements: Sequence[int] = ()) -> None:
        super().__init__()
        self.cutoff, self.p, self.elements = cutoff, p, tuple(elements)

    def forward(self, graph: Graph) -> AtomEnergies:
        """The repulsion on each atom, eV."""
        r = torch.linalg.vector_norm(graph.edge_vectors(), dim=-1)
        charges = graph.atomic_numbers.to(r.dtype)
        z_i, z_j = charges[graph.receiver], charges[graph.sender]
        x = r * (z_i**0.23 + z_j**0.23) / 0.46850
        screening = sum(c * torch.exp(-d * x) for c, d in zip(_AMPLITUDES, _EXPONENTS, strict=True))
        pair: Tensor = COULOMB * z_i * z_j / r * screening * polynomial_cutoff(r / self.cutoff, self.p)
        # Every pair stands in the graph twice, once for each receiver: half of it belongs to each.
        return r.new_zeros(graph.num_atoms).index_add(0, graph.receiver, pair / 2)
