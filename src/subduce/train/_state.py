"""The state of a run on disk: tensors in safetensors, the rest in JSON, and never half of either.

`state.json` names the file of tensors that belongs to it and is replaced last, in one move: until
then the state before it is whole, and afterwards the old tensors go.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load as from_bytes
from safetensors.torch import save as to_bytes
from torch import Tensor

from ..config import InputError
from ..records import write_whole

FORMAT = 1
_STATE = "state.json"


@dataclass(frozen=True)
class State:
    """Everything that decides how a run goes on: numbers as JSON, tensors by name (`group/name`)."""

    numbers: Mapping[str, Any]
    tensors: Mapping[str, Tensor]

    def group(self, name: str) -> dict[str, Tensor]:
        """The tensors of one group, without its name."""
        prefix = f"{name}/"
        return {key[len(prefix) :]: value for key, value in self.tensors.items() if key.startswith(prefix)}


def has_state(folder: Path) -> bool:
    """Whether a run that was saved there can go on."""
    return (folder / _STATE).is_file()


def save_state(folder: Path, state: State) -> None:
    """Write a state; whatever goes wrong, the folder holds a whole one: this or the last.

    Raises `InputError` where the disk is full or the folder cannot be written.
    """
    old = _named(folder)
    serial = old[1] + 1 if old else 1
    file = f"tensors-{serial}.safetensors"
    tensors = {name: value.detach().cpu().contiguous() for name, value in state.tensors.items()}
    try:
        write_whole(folder / file, to_bytes(tensors))
        header = {"format": FORMAT, "serial": serial, "tensors": file, **state.numbers}
        write_whole(folder / _STATE, json.dumps(header, indent=1))
    except OSError as error:
        kept = "the last state that was saved is whole" if old else "nothing was saved before"
        raise InputError(
            f"{folder}: the state of the run cannot be written ({error.strerror or error}); "
            f"{kept}; make room or choose another folder, then go on with --resume"
        ) from error
    for stale in folder.glob("tensors-*.safetensors"):
        if stale.name != file:
            stale.unlink(missing_ok=True)


def load_state(folder: Path) -> State:
    """The state in a folder. Raises `InputError` where there is none, or it is damaged."""
    try:
        numbers = json.loads((folder / _STATE).read_text())
        if numbers["format"] > FORMAT:
            raise InputError(f"{folder / _STATE}: written by a newer version; update subduce")
        tensors = from_bytes((folder / Path(numbers["tensors"]).name).read_bytes())
    except FileNotFoundError as error:
        raise InputError(f"{error.filename}: no state of a run to resume from; start one without --resume") from None
    except (OSError, ValueError, KeyError, TypeError, SafetensorError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{folder}: the state of the run is damaged ({error}); start again with --overwrite") from None
    return State(numbers, tensors)


def _named(folder: Path) -> tuple[str, int] | None:
    """The file of tensors and the serial number of the state that is there, if any."""
    try:
        numbers = json.loads((folder / _STATE).read_text())
        return str(numbers["tensors"]), int(numbers["serial"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
