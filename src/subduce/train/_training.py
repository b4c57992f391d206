"""What changes while a model learns, and the three things done with it: a step, a judgement, a state to save."""

import math
from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from ..config import InputError
from ..data import Batch
from ..evaluation import Answer, Errors, predict, targets_of
from ..models import Prediction, PropertyModel, forces_and_stress
from ._config import TrainConfig
from ._interruption import NonFiniteLoss
from ._objective import BINS, Objective
from ._optim import AveragedWeights, Schedule, make_optimizer, optimizer_tensors, restore_optimizer
from ._processes import Processes
from ._progress import Progress
from ._state import State

Ending = Literal["max_epochs", "early_stop", "min_learning_rate", "max_seconds"]


class Loss(nn.Module):
    """Model and objective as one module, so that one call gives the one number that is differentiated."""

    def __init__(self, model: nn.Module, objective: Objective) -> None:
        super().__init__()
        self.model, self.objective = model, objective

    def forward(self, batch: Batch, counts: Tensor) -> tuple[Tensor, Tensor]:
        """The batch's part of the loss of a step, and its sums of errors."""
        sums = self.objective.sums(self.predict(batch), batch)
        # Every weight takes part, with a gradient of zero where labels lack: processes must agree on them.
        nothing = 0.0 * sum(weight.sum() for weight in self.model.parameters() if weight.requires_grad)
        return self.objective.value(sums, counts) + nothing, sums.detach()

    def predict(self, batch: Batch) -> Answer:
        """What the objective needs, ready to be differentiated again."""
        if isinstance(self.model, PropertyModel):
            return self.model(batch.graph)
        if not {"forces", "stress"} & set(self.objective.names):
            energies = self.model(batch.graph)
            return Prediction(batch.graph.sum_atoms(energies), energies, None, None)
        stress = "stress" in self.objective.names and not bool(batch.labels.stress.isnan().all())
        return forces_and_stress(self.model, batch.graph, stress=stress, create_graph=True)  # type: ignore[arg-type]


class Training:
    """A model with everything that changes while it learns."""

    def __init__(self, model: nn.Module, objective: Objective, config: TrainConfig, group: Processes) -> None:
        self.model, self.objective, self.config, self.group = model, objective, config, group
        self.optimizer, self.schedule = make_optimizer(model, config), Schedule(config)
        self.averaged = AveragedWeights(model, config.ema_decay)
        self.best = {name: value.clone() for name, value in self.averaged.average.items()}
        self.progress = Progress()
        self.sums, self.counts = self._zeros(), self._zeros()  # of the epoch at hand, over all processes
        self.loss: nn.Module = Loss(model, objective)
        if group.world > 1:
            self.loss = DistributedDataParallel(self.loss, broadcast_buffers=False)

    def step(self, batches: Sequence[Batch], num_batches: int) -> None:
        """One step down the gradient of the loss over all these batches and all processes.

        `num_batches` is how many the epoch has. Raises `NonFiniteLoss` before any weight is changed.
        """
        progress = self.progress
        batches = [batch.to(self.group.device, non_blocking=True) for batch in batches]
        counts, sums = sum((self.objective.counts(batch) for batch in batches), self._zeros()), self._zeros()
        self.group.sum(counts)
        self.optimizer.zero_grad(set_to_none=True)
        for place, batch in enumerate(batches, 1):
            with self._adding_up(last=place == len(batches)):
                part, part_sums = self.loss(batch, counts)
                (part * self.group.world).backward()  # DistributedDataParallel takes the mean of gradients
            sums += part_sums
        self.group.sum(sums)
        norm = nn.utils.clip_grad_norm_(list(self.averaged.learning.values()), self.config.clip_norm or math.inf)
        for what, value in (("loss", self.objective.value(sums, counts)), ("gradient", norm)):
            if not torch.isfinite(value):
                raise NonFiniteLoss(what, progress.epoch + 1, progress.batches + 1, self._suspects(batches))
        progress.batches += len(batches)
        progress.steps += 1
        for settings in self.optimizer.param_groups:
            settings["lr"] = self.schedule.rate(progress.epoch + progress.batches / num_batches)
        self.optimizer.step()
        self.averaged.update()
        self.sums += sums
        self.counts += counts

    def judge(self, validation: Iterable[Batch]) -> tuple[dict[str, Any], bool]:
        """Losses and errors of the averaged weights, and whether they are the best so far (then they are kept)."""
        errors, sums, counts = Errors(self.group.device, targets_of(self.model)), self._zeros(), self._zeros()
        self.model.eval()
        with self.averaged.applied():
            for batch in validation:
                batch = batch.to(self.group.device, non_blocking=True)
                prediction = predict(self.model, batch)  # type: ignore[arg-type]
                errors.add(prediction, batch)
                sums += self.objective.sums(prediction, batch)
                counts += self.objective.counts(batch)
        self.model.train()
        self.group.sum(sums, counts, *errors.sums)
        progress, loss = self.progress, self.objective.value(sums, counts).item()
        if not counts.any():
            raise InputError("the validation data have none of the labels that the loss needs; give others as data.val")
        if not math.isfinite(loss):
            raise NonFiniteLoss("loss of the validation data", progress.epoch + 1, progress.batches)
        better = progress.best_loss is None or loss < progress.best_loss
        if better:
            progress.best_loss, progress.best_epoch = loss, progress.epoch + 1
            self.best = {name: value.clone() for name, value in self.averaged.average.items()}
        terms = zip(self.objective.names, self.objective.means(self.sums, self.counts).tolist(), strict=True)
        train = {"train_loss": self.objective.value(self.sums, self.counts).item()}
        return train | {f"train_{name}": value for name, value in terms} | {"val_loss": loss} | errors.metrics(), better

    def close_epoch(self, losses: Mapping[str, Any], seconds: float) -> dict[str, Any]:
        """End an epoch that was judged; returns its row in the history."""
        progress = self.progress
        self.schedule.epoch_ended(losses["val_loss"])
        progress.epoch, progress.batches = progress.epoch + 1, 0
        self.sums, self.counts = self._zeros(), self._zeros()
        rate = self.optimizer.param_groups[0]["lr"]
        row = {"epoch": progress.epoch, "steps": progress.steps, "seconds": seconds, "learning_rate": rate, **losses}
        progress.history.append(row)
        return row

    def ended(self) -> Ending | None:
        """Why there is no next epoch, if so."""
        progress, patience = self.progress, self.config.early_stop_patience
        if progress.epoch >= (self.config.max_epochs or 1):
            return "max_epochs"
        if patience and progress.epoch - progress.best_epoch >= patience:
            return "early_stop"
        return "min_learning_rate" if self.schedule.exhausted else None

    def use_best(self) -> None:
        """Put the best averaged weights into the model."""
        self.averaged.put(self.best)

    def state(self, order: Mapping[str, Any], seconds: float) -> State:
        """All of it, as JSON and tensors. `order` says what the order of structures depends on."""
        numbers = {
            **asdict(self.progress),
            "seconds": seconds,
            "schedule": self.schedule.state(),
            "averaged_updates": self.averaged.updates,
            "order": dict(order),
        }
        groups = {
            "weights": self.model.state_dict(),
            "averaged": self.averaged.average,
            "best": self.best,
            "optimizer": optimizer_tensors(self.optimizer),
            "epoch": {"sums": self.sums, "counts": self.counts},
            "random": _random_state(self.group.device),
        }
        return State(numbers, {f"{group}/{name}": t for group, ts in groups.items() for name, t in ts.items()})

    def restore(self, state: State, order: Mapping[str, Any], source: str) -> None:
        """Go back to a saved state. Raises `InputError` where it belongs to other data or to another model."""
        saved = state.numbers["order"]
        for name, value in order.items():
            if saved.get(name) != value:
                raise InputError(
                    f"{source}: {name} was {saved.get(name)} in the run to resume and is {value} now; "
                    "give the same, or start again with --overwrite"
                )
        own = {name: value.shape for name, value in self.model.state_dict().items()}
        if own != {name: value.shape for name, value in state.group("weights").items()}:
            raise InputError(f"{source}: the run to resume trained another model; start again with --overwrite")
        self.model.load_state_dict(state.group("weights"))
        self.averaged.restore(state.group("averaged"), state.numbers["averaged_updates"])
        self.best = {name: value.to(self.group.device) for name, value in state.group("best").items()}
        restore_optimizer(self.optimizer, state.group("optimizer"))
        self.schedule.restore(state.numbers["schedule"])
        self.sums, self.counts = (state.group("epoch")[name].to(self.group.device) for name in ("sums", "counts"))
        self.progress = Progress(**{name: state.numbers[name] for name in asdict(Progress())})
        _restore_random_state(state.group("random"), self.group.device)

    def _zeros(self) -> Tensor:
        return torch.zeros(len(self.objective.terms), BINS, dtype=torch.float64, device=self.group.device)

    def _adding_up(self, *, last: bool) -> AbstractContextManager[Any]:
        """Processes exchange gradients once a step, with its last batch."""
        return nullcontext() if last or not isinstance(self.loss, DistributedDataParallel) else self.loss.no_sync()

    def _suspects(self, batches: Iterable[Batch]) -> list[int]:
        """Rows of the structures whose own errors are not finite; of all, where none stands out."""
        rows, strange = [], []
        for batch in batches:
            sums = Errors(self.group.device, targets_of(self.model)).add(predict(self.model, batch), batch)  # type: ignore[arg-type]
            rows += batch.labels.index.tolist()
            strange += batch.labels.index[~sums.flatten(1).isfinite().all(-1)].tolist()
        return sorted(strange or rows)


def _random_state(device: torch.device) -> dict[str, Tensor]:
    state = {"cpu": torch.get_rng_state()}
    return state | {"cuda": torch.cuda.get_rng_state(device)} if device.type == "cuda" else state


def _restore_random_state(state: Mapping[str, Tensor], device: torch.device) -> None:
    torch.set_rng_state(state["cpu"])
    if device.type == "cuda" and "cuda" in state:
        torch.cuda.set_rng_state(state["cuda"], device)
