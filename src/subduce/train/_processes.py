"""One process or many: who takes which part, and sums over all of them."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta

import torch
import torch.distributed as dist
from torch import Tensor

_PATIENCE = timedelta(hours=12)
"""How long processes wait for one that packs data or judges weights."""


@dataclass(frozen=True)
class Processes:
    """This process among those that train one model together."""

    device: torch.device
    rank: int = 0
    world: int = 1

    @property
    def first(self) -> bool:
        """Whether this is the one that writes files and talks."""
        return self.rank == 0

    def sum(self, *tensors: Tensor) -> None:
        """Replace tensors by their sums over all processes."""
        if self.world > 1:
            for tensor in tensors:
                dist.all_reduce(tensor)

    def wait(self) -> None:
        """Go on when all are here."""
        if self.world > 1:
            dist.barrier()

    def any(self, *here: bool) -> tuple[bool, ...]:
        """For each question, whether the answer is yes in any process."""
        if self.world == 1:
            return here
        answers = torch.tensor(here, dtype=torch.int32, device=self.device)
        dist.all_reduce(answers)
        return tuple(answer > 0 for answer in answers.tolist())


def local_device(device: torch.device) -> torch.device:
    """The device of this process: on GPUs, torchrun's local rank picks which."""
    if device.type == "cuda" and device.index is None and "LOCAL_RANK" in os.environ:
        return torch.device("cuda", int(os.environ["LOCAL_RANK"]))
    return device


@contextmanager
def processes(device: torch.device) -> Iterator[Processes]:
    """The processes that `torchrun` started, joined by gloo on CPUs and nccl on GPUs; else this one alone.

    A process group that is already there is used and left as it is.
    """
    if dist.is_available() and dist.is_initialized():
        yield Processes(device, dist.get_rank(), dist.get_world_size())
        return
    if int(os.environ.get("WORLD_SIZE", 1)) == 1 or "RANK" not in os.environ:
        yield Processes(device)
        return
    if device.type == "cuda":
        dist.init_process_group("nccl", timeout=_PATIENCE, device_id=device)
    else:
        dist.init_process_group("gloo", timeout=_PATIENCE)
    try:
        yield Processes(device, dist.get_rank(), dist.get_world_size())
    finally:
        dist.destroy_process_group()
