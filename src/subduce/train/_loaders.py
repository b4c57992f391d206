"""Batches in an order that seed and epoch alone decide, and each process's share of them."""

import signal
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch.utils.data import DataLoader, Sampler
from torch.utils.data import Dataset as TorchDataset

from ..data import Batch, EdgeBudgetSampler
from ..evaluation import Dataset
from ._processes import Processes


class Loader:
    """The batches of a data set, epoch by epoch.

    A batch is global: with many processes each takes every `world`-th structure of it. One that
    gets none takes the batch's first structure without labels, which counts for nothing.
    """

    def __init__(
        self,
        dataset: Dataset,
        *,
        batch_size: int,
        max_edges: int | None = None,
        shuffle: bool = True,
        seed: int = 0,
        workers: int = 0,
        pin_memory: bool = False,
    ) -> None:
        if len(dataset) == 0:
            raise ValueError("the data set is empty; a loader needs at least one structure")
        self._order = {
            "number of structures": len(dataset),
            "train.batch_size": batch_size,
            "train.max_edges": max_edges,
            "seed": seed,
        }
        self._sampler = EdgeBudgetSampler(
            dataset.num_edges, batch_size=batch_size, max_edges=max_edges, shuffle=shuffle, seed=seed
        )
        self._shares = _Shares()
        self._loader = DataLoader(
            _Rows(dataset),
            sampler=self._shares,
            batch_size=None,
            num_workers=workers,
            worker_init_fn=_leave_interruptions_to_the_parent,
            persistent_workers=workers > 0,
            pin_memory=pin_memory,
            generator=torch.Generator().manual_seed(seed),  # else it would draw from everyone's
        )

    def order(self) -> dict[str, Any]:
        """All that the order of structures depends on, besides the epoch."""
        return dict(self._order)

    def batches(self, epoch: int) -> list[list[int]]:
        """Rows of each global batch of an epoch (counted from 1)."""
        self._sampler.set_epoch(epoch)
        return list(self._sampler)

    def load(self, batches: Sequence[Sequence[int]], processes: Processes) -> Iterator[Batch]:
        """This process's share of each of the batches."""
        self._shares.rows = [_share(rows, processes) for rows in batches]
        return iter(self._loader)


@dataclass(frozen=True)
class Loaders:
    """What to learn from, and what to be judged by."""

    training: Loader
    validation: Loader


class _Shares(Sampler[list[int]]):
    """The rows of coming batches; changed between epochs, so that worker processes live on."""

    def __init__(self) -> None:
        self.rows: list[list[int]] = []

    def __iter__(self) -> Iterator[list[int]]:
        return iter(self.rows)

    def __len__(self) -> int:
        return len(self.rows)


class _Rows(TorchDataset[Batch]):
    """Batches by their rows, where ~row stands for a structure without its labels."""

    def __init__(self, dataset: Dataset) -> None:
        self.dataset = dataset

    def __getitem__(self, rows: list[int]) -> Batch:
        if rows[0] >= 0:
            return self.dataset.batch(rows)
        batch = self.dataset.batch([~rows[0]])
        return Batch(batch.graph, batch.labels.unlabelled())


def _share(rows: Sequence[int], processes: Processes) -> list[int]:
    return list(rows[processes.rank :: processes.world]) or [~rows[0]]


def _leave_interruptions_to_the_parent(_: int) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
