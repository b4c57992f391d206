"""A small model that learns, and structures labelled by another of its kind: what tests of training share."""

import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn

from subduce.data import Batch, Graph, Labels
from subduce.models import forces_and_stress
from subduce.train import Loader, Loaders, Objective, Term, TrainConfig


class PairNetwork(nn.Module):
    """A network of the distance on each pair, and a shift for each element (hydrogen to carbon)."""

    def __init__(
        self, *, seed: int = 0, width: int = 8, cutoff: float = 3.0, dtype=torch.float64, dropout: float = 0.0
    ) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(seed)
        self.cutoff, self.elements, self.dtype = cutoff, (1, 6), dtype
        self.inner = nn.Parameter(torch.randn(4, width, generator=generator, dtype=dtype))
        self.bias = nn.Parameter(torch.randn(width, generator=generator, dtype=dtype))
        self.outer = nn.Parameter(torch.randn(width, 1, generator=generator, dtype=dtype) / width**0.5)
        self.shifts = nn.Parameter(torch.randn(7, generator=generator, dtype=dtype))
        self.dropout = nn.Dropout(dropout)

    def forward(self, graph: Graph) -> Tensor:
        distance = torch.linalg.vector_norm(graph.edge_vectors(), dim=-1)[:, None]
        radial = torch.sin(distance * math.pi / self.cutoff * torch.arange(1, 5)).to(self.dtype)
        pairs = self.dropout(torch.tanh(radial @ self.inner + self.bias)) @ self.outer
        inside = (1 - (distance / self.cutoff) ** 2).clamp(min=0) ** 3
        pairs = (pairs.to(torch.float64) * inside).squeeze(-1)
        atoms = self.shifts.to(torch.float64)[graph.atomic_numbers]
        return atoms.index_add(0, graph.receiver, pairs)


class Structures:
    """Single-structure batches by row, as a data set gives them."""

    def __init__(self, batches: list[Batch], config_types: Sequence[str] | None = None) -> None:
        self.batches = batches
        self.config_types = list(config_types or [""] * len(batches))
        self.num_edges = np.array([batch.graph.num_edges for batch in batches])
        self.num_atoms = np.array([batch.graph.num_atoms for batch in batches])

    def __len__(self) -> int:
        return len(self.batches)

    def __getitem__(self, row: int) -> Batch:
        return self.batches[row]

    def batch(self, rows: Sequence[int]) -> Batch:
        return Batch.collate([self.batches[row] for row in rows])


def molecule(atoms: int, *, generator: torch.Generator, periodic: bool = False, cutoff: float = 3.0) -> Graph:
    """Atoms at random places, all pairs within the cutoff; periodic ones in a cell too large to matter."""
    positions = 2.0 * torch.rand(atoms, 3, generator=generator, dtype=torch.float64)
    near = torch.cdist(positions, positions) < cutoff
    receiver, sender = (near & ~torch.eye(atoms, dtype=torch.bool)).nonzero().T
    return Graph(
        atomic_numbers=torch.tensor([1, 6])[torch.randint(2, (atoms,), generator=generator)],
        positions=positions,
        cell=10.0 * periodic * torch.eye(3, dtype=torch.float64)[None],
        pbc=torch.full((1, 3), periodic),
        structure=torch.zeros(atoms, dtype=torch.int64),
        sender=sender,
        receiver=receiver,
        shifts=torch.zeros(len(sender), 3, dtype=torch.float64),
        charge=torch.zeros(1, dtype=torch.float64),
    )


def labelled(graph: Graph, row: int, *, weight: float = 1.0) -> Batch:
    """A structure with the labels that `PairNetwork(seed=7)` gives it."""
    truth = forces_and_stress(PairNetwork(seed=7), graph)
    one = torch.full((graph.num_structures,), weight, dtype=torch.float64)
    return Batch(graph, Labels(truth.energy, truth.forces, truth.stress, one, one, one, one, torch.tensor([row])))


def dataset(size: int, *, seed: int = 0, periodic: bool = False) -> Structures:
    """Random labelled structures of two to six atoms."""
    generator = torch.Generator().manual_seed(seed)
    return Structures(
        [labelled(molecule(2 + row % 5, generator=generator, periodic=periodic), row) for row in range(size)]
    )


def without(batch: Batch, **labels: bool) -> Batch:
    """The batch without some labels, as in `without(batch, energy=True)`."""
    nothing = {name: torch.full_like(getattr(batch.labels, name), torch.nan) for name in labels}
    return Batch(batch.graph, batch.labels.replace(**nothing))


def loaders(*, size: int = 12, batch_size: int = 4, seed: int = 0) -> Loaders:
    """Training and validation data."""
    return Loaders(
        Loader(dataset(size), batch_size=batch_size, seed=seed),
        Loader(dataset(4, seed=1), batch_size=4, shuffle=False),
    )


def objective() -> Objective:
    """Energies and forces."""
    return Objective(Term("per_atom_energy", 1.0), Term("forces", 1.0))


def settings(**changes) -> TrainConfig:
    """A short run."""
    return TrainConfig(**{"max_epochs": 4, "learning_rate": 0.01, "batch_size": 4, **changes})
