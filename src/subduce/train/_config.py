"""Settings of a training run's loop."""

from typing import Literal

from pydantic import Field

from ..config import Config


class TrainConfig(Config):
    """How to go down: steps, rates, averages, and when to stop. Everything has a default.

    A batch holds up to `batch_size` structures and, where given, up to `max_edges` edges, over all
    processes together. `accumulate` batches make one step, with the same gradient as one large batch.
    """

    max_epochs: int | None = Field(
        None, ge=1, description="passes over the data; as many as 20,000 steps need, 10 to 1000"
    )
    max_seconds: float | None = Field(None, gt=0, description="stop cleanly after this time, keeping the best")
    batch_size: int = Field(5, ge=1)
    max_edges: int | None = Field(None, ge=1)
    accumulate: int = Field(1, ge=1)

    optimizer: Literal["adam", "adamw"] = "adam"
    learning_rate: float = Field(0.01, gt=0)
    amsgrad: bool = True
    betas: tuple[float, float] = (0.9, 0.999)
    weight_decay: float = Field(0.0, ge=0, description="not on biases and other vectors")
    clip_norm: float | None = Field(10.0, gt=0, description="longest gradient; none: no clipping")
    ema_decay: float | None = Field(
        0.99, gt=0, lt=1, description="of the averaged weights, which are validated and kept; none: no average"
    )

    schedule: Literal["plateau", "cosine", "constant"] = "plateau"
    warmup_epochs: float = Field(0.0, ge=0, description="epochs in which the rate rises from zero")
    plateau_patience: int | None = Field(
        None, ge=0, description="epochs without progress before the rate falls; a twentieth of all"
    )
    plateau_factor: float = Field(0.8, gt=0, lt=1)
    min_learning_rate: float = Field(1e-6, ge=0, description="training ends when a plateau's rate falls below")
    early_stop_patience: int | None = Field(None, ge=1, description="epochs without progress before training ends")

    radial_knots: int | None = Field(
        None,
        ge=64,
        description="train through splines of the radial networks with so many intervals (256): faster, equal to 1e-5",
    )
    workers: int = Field(0, ge=0, description="processes that prepare batches")
    tf32: bool = Field(False, description="let GPUs round the factors of float32 products to 10 bits")
    tensorboard: bool = Field(False, description="also write curves for TensorBoard (the extra subduce[tensorboard])")
    seed: int = Field(0, ge=0, description="of the order of structures")

    def resolved(self, steps_per_epoch: int) -> "TrainConfig":
        """The settings with what depends on the size of the data filled in."""
        epochs = self.max_epochs or min(1000, max(10, -(-20_000 // max(1, steps_per_epoch))))
        patience = self.plateau_patience
        return self.replace(max_epochs=epochs, plateau_patience=max(3, epochs // 20) if patience is None else patience)
