"""Small exact models to test what runs models."""

import torch
from torch import Tensor

from subduce.data import Graph


class LennardJones:
    """Pairs in the potential of Lennard and Jones, cut off smoothly; half of each pair to each atom."""

    def __init__(
        self, *, epsilon: float = 0.0104, sigma: float = 3.4, cutoff: float = 7.0, elements: tuple[int, ...] = (18,)
    ) -> None:
        self.epsilon, self.sigma, self.cutoff, self.elements = epsilon, sigma, cutoff, elements
        self.calls = 0

    def __call__(self, graph: Graph) -> Tensor:
        self.calls += 1
        distance = graph.edge_vectors().square().sum(-1).sqrt()
        power = (self.sigma / distance) ** 6
        inside = (1 - (distance / self.cutoff) ** 2).clamp(min=0)
        pairs = 2 * self.epsilon * (power**2 - power) * inside**3
        return torch.zeros_like(graph.positions[:, 0]).index_add(0, graph.receiver, pairs)


class Springs:
    """Every pair within the cutoff bound by a spring to a rest length: a molecule that vibrates."""

    def __init__(self, *, stiffness: float = 10.0, rest: float = 1.5, cutoff: float = 6.0) -> None:
        self.stiffness, self.rest, self.cutoff = stiffness, rest, cutoff
        self.elements: tuple[int, ...] = ()

    def __call__(self, graph: Graph) -> Tensor:
        distance = graph.edge_vectors().square().sum(-1).sqrt()
        inside = (1 - (distance / self.cutoff) ** 2).clamp(min=0)
        pairs = self.stiffness / 4 * (distance - self.rest) ** 2 * inside**3
        return torch.zeros_like(graph.positions[:, 0]).index_add(0, graph.receiver, pairs)
