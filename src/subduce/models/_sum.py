"""Energies of several models, added up."""

import torch
from torch import nn

from ..axes import AtomEnergies
from ..data import Graph
from ._interface import EnergyModel


class Sum(nn.Module):
    """The sum of several energy models, such as a network and the repulsion of nuclei.

    It knows the elements that all of its terms know, and reaches as far as the farthest.
    """

    def __init__(self, *terms: EnergyModel) -> None:
        super().__init__()
        if not terms:
            raise ValueError("a sum needs at least one model")
        self.terms = nn.ModuleList(terms)  # type: ignore[arg-type]
        self.cutoff = max(term.cutoff for term in terms)
        known = [set(term.elements) for term in terms if term.elements]
        self.elements: tuple[int, ...] = tuple(sorted(set.intersection(*known))) if known else ()

    def forward(self, graph: Graph) -> AtomEnergies:
        """The energy of each atom, eV."""
        return torch.stack([term(graph) for term in self.terms]).sum(0)
