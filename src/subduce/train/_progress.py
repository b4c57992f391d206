"""How far a run has come."""

from dataclasses import dataclass, field
from typing import Any


@dataclass
class Progress:
    """Counts and the best so far; all of it is saved, and a run that resumes begins with it."""

    epoch: int = 0  # whole epochs
    batches: int = 0  # of the epoch at hand
    steps: int = 0
    best_loss: float | None = None
    best_epoch: int = 0
    history: list[dict[str, Any]] = field(default_factory=list)
