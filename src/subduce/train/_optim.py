"""From gradients to weights: optimiser, schedule of its rate, averaged weights. States are tensors and JSON numbers."""

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from ._config import TrainConfig


def make_optimizer(model: nn.Module, config: TrainConfig) -> torch.optim.Optimizer:
    """Adam or AdamW over the weights that learn; biases and other vectors do not decay."""
    learning = [weight for weight in model.parameters() if weight.requires_grad]
    if not learning:
        raise ValueError("the model has no weight that learns; set requires_grad on what should be trained")
    groups = [
        {"params": [w for w in learning if w.dim() > 1], "weight_decay": config.weight_decay},
        {"params": [w for w in learning if w.dim() <= 1], "weight_decay": 0.0},
    ]
    kind = torch.optim.Adam if config.optimizer == "adam" else torch.optim.AdamW
    return kind(
        [group for group in groups if group["params"]],
        lr=config.learning_rate,
        betas=config.betas,
        amsgrad=config.amsgrad,
    )


def optimizer_tensors(optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """The optimiser's memory as named tensors, `index.name`; settings are not part of it."""
    state = optimizer.state_dict()["state"]
    return {f"{index}.{name}": value for index, inner in state.items() for name, value in inner.items()}


def restore_optimizer(optimizer: torch.optim.Optimizer, tensors: Mapping[str, Tensor]) -> None:
    """Put back what `optimizer_tensors` gave."""
    state: dict[int, dict[str, Tensor]] = {}
    for key, value in tensors.items():
        index, _, name = key.partition(".")
        state.setdefault(int(index), {})[name] = value
    optimizer.load_state_dict({**optimizer.state_dict(), "state": state})


class Schedule:
    """The learning rate as a function of the epochs that have passed, and for a plateau of the losses.

    Linear warm-up, then: `constant`; `cosine` down to `min_learning_rate` at the last epoch; or
    `plateau`, which multiplies by a factor after so many epochs without a loss lower by 1e-4 of it.
    """

    def __init__(self, config: TrainConfig) -> None:
        self.config = config
        self.factor = 1.0
        self.best: float | None = None
        self.waited = 0

    def rate(self, epochs: float) -> float:
        """The learning rate when `epochs`, whole and part, have passed."""
        config = self.config
        rise = min(1.0, epochs / config.warmup_epochs) if config.warmup_epochs else 1.0
        if config.schedule != "cosine":
            return config.learning_rate * rise * self.factor
        whole = (config.max_epochs or 1) - config.warmup_epochs
        part = min(1.0, max(0.0, (epochs - config.warmup_epochs) / whole)) if whole > 0 else 0.0
        fall = 0.5 * (1.0 + math.cos(math.pi * part))
        lowest = min(config.min_learning_rate, config.learning_rate)
        return rise * (lowest + (config.learning_rate - lowest) * fall)

    def epoch_ended(self, loss: float) -> None:
        """Hear the validation loss of an epoch."""
        if self.config.schedule != "plateau":
            return
        if self.best is None or loss < self.best * (1.0 - 1e-4):
            self.best, self.waited = loss, 0
            return
        self.waited += 1
        if self.waited > (self.config.plateau_patience or 0):
            self.factor, self.waited = self.factor * self.config.plateau_factor, 0

    @property
    def exhausted(self) -> bool:
        """Whether a plateau has brought the rate below the smallest one worth a step."""
        return self.factor < 1.0 and self.config.learning_rate * self.factor < self.config.min_learning_rate

    def state(self) -> dict[str, Any]:
        """All that changes, as JSON."""
        return {"factor": self.factor, "best": self.best, "waited": self.waited}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Put back what `state` gave."""
        self.factor, self.best, self.waited = state["factor"], state["best"], state["waited"]


class AveragedWeights:
    """An exponential moving average of the weights that learn, which predicts better than the last ones.

    The decay starts low and rises, min(decay, (1 + n) / (10 + n)) after n updates, so that the
    first weights are soon forgotten. Without a decay the average is the weights themselves.
    """

    def __init__(self, model: nn.Module, decay: float | None) -> None:
        self.decay, self.updates = decay, 0
        self.learning = {name: weight for name, weight in model.named_parameters() if weight.requires_grad}
        self.average = {name: weight.detach().clone() for name, weight in self.learning.items()}

    @torch.no_grad()
    def update(self) -> None:
        """Take in the weights as they are now."""
        self.updates += 1
        decay = 0.0 if self.decay is None else min(self.decay, (1 + self.updates) / (10 + self.updates))
        for name, weight in self.learning.items():
            self.average[name].lerp_(weight, 1.0 - decay)

    @contextmanager
    def applied(self) -> Iterator[None]:
        """The model with averaged weights, and afterwards with its own again."""
        own = {name: weight.detach().clone() for name, weight in self.learning.items()}
        self.put(self.average)
        try:
            yield
        finally:
            self.put(own)

    def restore(self, tensors: Mapping[str, Tensor], updates: int) -> None:
        """Put back an average and how many updates made it."""
        for name, value in tensors.items():
            self.average[name].copy_(value)
        self.updates = updates

    @torch.no_grad()
    def put(self, values: Mapping[str, Tensor]) -> None:
        """Give the model these weights."""
        for name, weight in self.learning.items():
            weight.copy_(values[name])
