"""What a run says while it goes on: a row of metrics an epoch, a progress bar, curves for TensorBoard."""

import csv
import io
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

from tqdm import tqdm

from ..config import InputError
from ..evaluation import TARGETS
from ..records import write_whole
from ._config import TrainConfig
from ._progress import Progress

try:
    from torch.utils.tensorboard import SummaryWriter
except ImportError:
    SummaryWriter = None

_ERRORS = tuple(f"{target}_{kind}" for target in TARGETS for kind in ("mae", "rmse"))
_SHOWN = {"forces_mae": "F", "per_atom_energy_mae": "E", "stress_mae": "S"}


def in_milli(row: Mapping[str, Any]) -> dict[str, Any]:
    """A row with its validation errors in meV, meV/Å and meV/Å³, as their names then say.

    >>> in_milli({"epoch": 3, "forces_mae": 0.025})
    {'epoch': 3, 'val_forces_mae_meV': 25.0}
    """
    return dict((f"val_{key}_meV", 1000.0 * value) if key in _ERRORS else (key, value) for key, value in row.items())


class Journal:
    """Writes `metrics.csv` and TensorBoard's files in a folder, and draws a bar on a terminal.

    The history that a run resumes from is written anew, so that no row stands there twice. A
    journal that does not `talk`, as in all processes but the first, does nothing.
    """

    def __init__(
        self,
        folder: Path | None,
        config: TrainConfig,
        terms: Sequence[str],
        history: Iterable[Mapping[str, Any]],
        *,
        targets: Sequence[str] = TARGETS,
        talks: bool,
    ) -> None:
        if config.tensorboard and SummaryWriter is None:
            raise InputError("train.tensorboard: TensorBoard is not installed; pip install 'subduce[tensorboard]'")
        self._epochs, self._talks = config.max_epochs or 1, talks
        self._table = folder / "metrics.csv" if folder and talks else None
        self._columns = ["epoch", "steps", "seconds", "learning_rate", "train_loss"]
        self._columns += [f"train_{term}" for term in terms] + ["val_loss"]
        self._errors = [f"{target}_{kind}" for target in targets for kind in ("mae", "rmse")]
        self._columns += list(in_milli(dict.fromkeys(self._errors, 0.0)))
        history = list(history)
        if self._table is not None:
            with _explained(self._table):
                write_whole(self._table, self._text(history, header=True))
        self._curves = None
        if config.tensorboard and SummaryWriter is not None and folder and talks:
            self._curves = SummaryWriter(str(folder / "tensorboard"), purge_step=len(history) + 1)
        self._bar: tqdm | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.close()
        if self._curves is not None:
            self._curves.close()

    def expect(self, steps: int, progress: Progress) -> None:
        """Hear how many steps the epoch at hand has; the bar counts to the end of the last epoch."""
        left = steps * (self._epochs - progress.epoch)
        if self._bar is None:
            self._bar = tqdm(
                total=progress.steps + left,
                initial=progress.steps,
                unit="step",
                delay=2.0,
                disable=not (self._talks and sys.stderr.isatty()),
                file=sys.stderr,
                leave=False,
                dynamic_ncols=True,
            )
        self._bar.set_description(f"epoch {progress.epoch + 1}/{self._epochs}", refresh=False)

    def step(self) -> None:
        """One more step."""
        if self._bar is not None:
            self._bar.update()

    def epoch(self, row: Mapping[str, Any]) -> None:
        """The row of an epoch."""
        if self._table is not None:
            with _explained(self._table), self._table.open("a", newline="") as file:
                file.write(self._text([row], header=False))
        if self._bar is not None:
            errors = {name: f"{1000 * row[key]:.3g}" for key, name in _SHOWN.items() if key in row}
            shown = [f"{name} {error} meV" for name, error in errors.items()]
            shown += [f"{key} {row[key]:.3g}" for key in self._errors if key not in _ERRORS and key.endswith("_mae")]
            self._bar.set_postfix_str(", ".join(shown))
        if self._curves is not None:
            for key, value in in_milli(row).items():
                if isinstance(value, float):
                    self._curves.add_scalar(key, value, row["epoch"])
            self._curves.flush()

    def _text(self, rows: Iterable[Mapping[str, Any]], *, header: bool) -> str:
        text = io.StringIO(newline="")
        writer = csv.DictWriter(text, self._columns, restval="", lineterminator="\n")
        if header:
            writer.writeheader()
        for row in rows:
            writer.writerow({k: f"{v:.10g}" if isinstance(v, float) else v for k, v in in_milli(row).items()})
        return text.getvalue()


@contextmanager
def _explained(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise InputError(
            f"{path}: cannot be written ({error.strerror or error}); the last state that was saved is whole; "
            "make room or choose another folder, then go on with --resume"
        ) from error
