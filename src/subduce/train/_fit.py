"""The loop: epochs of steps, each judged with averaged weights, saved, and able to go on as if it had not stopped."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from torch import nn

from ..data import Batch
from ..evaluation import targets_of
from ..models import EnergyModel
from ._config import TrainConfig
from ._interruption import Interrupted, interruption
from ._journal import Journal
from ._loaders import Loaders
from ._objective import Objective
from ._processes import Processes, processes
from ._state import load_state, save_state
from ._training import Ending, Training

_SAVE_EVERY = 600.0  # seconds: an epoch may be long


@dataclass(frozen=True)
class FitResult:
    """How a run went. `history` has one row an epoch: losses, validation errors (eV, Å), rate, time."""

    ended: Ending
    epochs: int
    steps: int
    best_epoch: int
    best_loss: float
    seconds: float
    history: list[dict[str, Any]]


def fit(
    model: EnergyModel,
    objective: Objective,
    loaders: Loaders,
    config: TrainConfig,
    *,
    folder: Path | None = None,
    resume: bool = False,
    on_epoch: Callable[[dict[str, Any]], None] | None = None,
    on_best: Callable[[], None] | None = None,
) -> FitResult:
    """Train a model where it is (its device, its dtype); it is left with the best averaged weights.

    After each epoch the averaged weights are judged on the validation data, `metrics.csv` in `folder`
    gets a row and everything is saved in `folder/last`; so it is after the step at hand on SIGINT and
    SIGTERM. `resume` goes on from there, on a CPU bit for bit as if nothing had stopped. Under
    `torchrun` the processes share each batch. `on_epoch` hears each row and `on_best` is called
    while the model holds new best weights, both in the first process only.

    Raises `Interrupted` after a signal, `NonFiniteLoss` where loss or gradient are not finite, and
    `InputError` where the state cannot be written or belongs to another run.
    """
    if not isinstance(model, nn.Module):
        raise TypeError(f"fit trains a torch.nn.Module that is an EnergyModel, got {type(model).__name__}")
    device = next(model.parameters()).device
    config = config.resolved(-(-len(loaders.training.batches(1)) // config.accumulate))
    with processes(device) as group, _numerics(config, group), interruption() as interrupted:
        training, clock = Training(model, objective, config, group), _Clock(config.max_seconds)
        run = _Run(training, loaders, clock, folder and folder / "last", on_best)
        if resume:
            run.restore()
        progress = training.progress
        with Journal(
            folder, config, objective.names, progress.history, targets=targets_of(model), talks=group.first
        ) as journal:
            run.save()
            while (ended := training.ended()) is None:
                batches = loaders.training.batches(progress.epoch + 1)
                journal.expect(len(batches), progress)
                for step in _steps(loaders.training.load(batches[progress.batches :], group), config.accumulate):
                    training.step(step, len(batches))
                    journal.step()
                    asked, late = group.any(interrupted.asked, clock.late())
                    if progress.batches == len(batches):
                        continue
                    if asked or late:
                        break
                    if clock.save_is_due():
                        run.save()
                else:
                    row = training.close_epoch(run.judge(), clock.seconds())
                    journal.epoch(row)
                    if on_epoch is not None and group.first:
                        on_epoch(row)
                run.save()
                if asked:
                    raise Interrupted(f"in epoch {progress.epoch + 1}, after {progress.steps} steps; --resume goes on")
                if late:
                    ended = training.ended() or "max_seconds"
                    break
        return run.result(ended)


class _Run:
    """A training at its place: with its data, its clock and its files."""

    def __init__(
        self,
        training: Training,
        loaders: Loaders,
        clock: "_Clock",
        folder: Path | None,
        on_best: Callable[[], None] | None,
    ) -> None:
        self.training, self.loaders, self.clock, self.folder, self.on_best = training, loaders, clock, folder, on_best
        names = ("accumulate", "optimizer", "amsgrad", "ema_decay", "schedule")
        settings = {f"train.{name}": getattr(training.config, name) for name in names}
        self.order = {**loaders.training.order(), **settings}  # what a run must share with the one it resumes

    def save(self) -> None:
        """Write the state, in the first process."""
        if self.folder is not None and self.training.group.first:
            save_state(self.folder, self.training.state(self.order, self.clock.seconds()))
        self.clock.saved = time.monotonic()

    def restore(self) -> None:
        """Go back to the state that was written last."""
        if self.folder is None:
            raise ValueError("nothing to resume from without a folder")
        saved = load_state(self.folder)
        self.training.restore(saved, self.order, str(self.folder))
        self.clock.before = saved.numbers["seconds"]

    def judge(self) -> dict[str, Any]:
        """Losses and errors on the validation data; new best weights are shown around."""
        validation, group = self.loaders.validation, self.training.group
        with self.clock.judging():
            losses, best = self.training.judge(validation.load(validation.batches(1), group))
        if best and self.on_best is not None and group.first:
            with self.training.averaged.applied():
                self.on_best()
        return losses

    def result(self, ended: Ending) -> FitResult:
        """How it went; the model is left with the best weights."""
        progress = self.training.progress
        if progress.batches:  # out of time within an epoch: its weights may be the best, though no state says so
            self.judge()
        self.training.use_best()
        best_loss, history = float(progress.best_loss or 0.0), progress.history
        seconds = self.clock.seconds()
        return FitResult(ended, progress.epoch, progress.steps, progress.best_epoch, best_loss, seconds, history)


class _Clock:
    """The time that a run has taken, in this process and in those before it."""

    def __init__(self, limit: float | None) -> None:
        self.limit = limit
        self.began = self.saved = time.monotonic()
        self.before = self.judgement = 0.0

    def seconds(self) -> float:
        """Time of the whole run."""
        return self.before + time.monotonic() - self.began

    def late(self) -> bool:
        """Whether the time of this process is up, but for one more judgement."""
        return self.limit is not None and time.monotonic() - self.began + self.judgement > self.limit

    def save_is_due(self) -> bool:
        """Whether too much would be lost by now."""
        return time.monotonic() - self.saved > _SAVE_EVERY

    @contextmanager
    def judging(self) -> Iterator[None]:
        """Measure how long a judgement takes."""
        began = time.monotonic()
        yield
        self.judgement = time.monotonic() - began


def _steps(batches: Iterator[Batch], accumulate: int) -> Iterator[list[Batch]]:
    while step := list(islice(batches, accumulate)):
        yield step


@contextmanager
def _numerics(config: TrainConfig, group: Processes) -> Iterator[None]:
    """Seeded random numbers and the chosen float32 products inside; outside, everything as it was."""
    precision = torch.get_float32_matmul_precision()
    devices = [group.device] if group.device.type == "cuda" else []
    with torch.random.fork_rng(devices=devices):
        torch.manual_seed(config.seed + group.rank)
        torch.set_float32_matmul_precision("high" if config.tf32 else "highest")
        try:
            yield
        finally:
            torch.set_float32_matmul_precision(precision)
