"""Batches of bounded size, by structures and by edges, the same whatever the number of processes."""

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
from torch.utils.data import Sampler


class EdgeBudgetSampler(Sampler[list[int]]):
    """Batches of at most `batch_size` structures and at most `max_edges` edges.

    A structure with more edges than the budget is a batch of its own. Both limits are those of the
    global batch: of `world` processes, number `rank` gets every `world`-th structure of each batch, so
    that together they see the batches one process would see. All get equally many batches; a share of
    a small batch may be an empty list. The order depends on `seed` and the epoch alone.

    >>> list(EdgeBudgetSampler([10, 10, 10, 90], batch_size=2, max_edges=50))
    [[0, 1], [2], [3]]
    """

    def __init__(
        self,
        num_edges: npt.ArrayLike,
        *,
        batch_size: int,
        max_edges: int | None = None,
        shuffle: bool = False,
        seed: int = 0,
        rank: int = 0,
        world: int = 1,
    ) -> None:
        if batch_size < 1 or (max_edges is not None and max_edges < 1):
            raise ValueError(f"a batch holds at least one structure and one edge, got {batch_size=}, {max_edges=}")
        if not 0 <= rank < world:
            raise ValueError(f"rank must lie in 0 … world − 1, got {rank=}, {world=}")
        self.num_edges = np.asarray(num_edges, dtype=np.int64)
        self.batch_size, self.max_edges, self.shuffle, self.seed = batch_size, max_edges, shuffle, seed
        self.rank, self.world = rank, world
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Choose the order of another epoch."""
        self.epoch = epoch

    def __iter__(self) -> Iterator[list[int]]:
        return (batch[self.rank :: self.world] for batch in self.global_batches())

    def __len__(self) -> int:
        return sum(1 for _ in self.global_batches())

    def global_batches(self) -> Iterator[list[int]]:
        """The batches of this epoch, of all processes together."""
        order = np.arange(len(self.num_edges))
        if self.shuffle:
            order = np.random.default_rng([self.seed, self.epoch]).permutation(order)
        batch: list[int] = []
        edges = 0
        for index, more in zip(order.tolist(), self.num_edges[order].tolist(), strict=True):
            full = len(batch) == self.batch_size or (self.max_edges is not None and edges + more > self.max_edges)
            if batch and full:
                yield batch
                batch, edges = [], 0
            batch.append(index)
            edges += more
        if batch:
            yield batch
