"""Ctrl-C and SIGTERM as a question that the loop asks between steps."""

import signal
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import FrameType

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Interrupted(KeyboardInterrupt):
    """Training was interrupted between two steps; its state is saved and it can go on."""


class NonFiniteLoss(RuntimeError):
    """The loss or its gradient was not a finite number; the last state that was saved is whole.

    `epoch` and `batch` are counted from 1; `structures` are rows of the training data from 0, and
    empty where it was the validation data that gave no number.
    """

    def __init__(self, what: str, epoch: int, batch: int, structures: Sequence[int] = ()) -> None:
        listed = ", ".join(map(str, structures[:10])) + (", …" if len(structures) > 10 else "")
        place = f", batch {batch}, structures {listed} of the training data (counted from 0)" if structures else ""
        look = "look at these structures, or " if structures else ""
        super().__init__(
            f"the {what} is not finite in epoch {epoch}{place}; the last state that was saved is whole; "
            f"{look}lower train.learning_rate"
        )
        self.epoch, self.batch, self.structures = epoch, batch, list(structures)


class Interruption:
    """Whether someone asked the run to end."""

    def __init__(self) -> None:
        self.asked = False

    def ask(self, number: int, _: FrameType | None) -> None:
        """Remember the first signal; a second one does not wait for the step to end."""
        if self.asked:
            raise KeyboardInterrupt
        self.asked = True


@contextmanager
def interruption() -> Iterator[Interruption]:
    """Signals caught while the block runs; only the main thread can catch any."""
    asked = Interruption()
    if threading.current_thread() is not threading.main_thread():
        yield asked
        return
    before = {number: signal.signal(number, asked.ask) for number in _SIGNALS}
    try:
        yield asked
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
