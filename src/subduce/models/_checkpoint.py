"""A model in one safetensors file: weights, and in its header all that rebuilds and explains it.

Loading reads numbers and JSON. It never runs code that a file brought along.
"""

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as to_bytes
from torch import Tensor

from .. import __version__
from ..config import InputError, build
from ..nn import RadialBasis
from ..records import write_whole
from ._config import PotentialConfig
from ._potential import Potential
from ._property import PropertyConfig, PropertyModel

FORMAT = 1
_KINDS = ("potential", "property")
UNITS = {"energy": "eV", "length": "Å", "forces": "eV/Å", "stress": "eV/Å³"}


def save(
    model: Potential | PropertyModel, path: str | os.PathLike[str], *, provenance: Mapping[str, Any] | None = None
) -> None:
    """Write a potential or a property model to one file; `provenance` says what it was trained on and how.

    The file appears whole or not at all. Raises `ValueError` for a potential with tables in place of its
    radial networks.
    """
    if not isinstance(model.radial, RadialBasis):
        raise ValueError("a tabulated potential is for inference; save the one that it was made from")
    weights = {name: value.detach().cpu().contiguous() for name, value in model.state_dict().items()}
    header = {
        "format": FORMAT,
        "kind": "property" if isinstance(model, PropertyModel) else "potential",
        "config": model.config.model_dump(mode="json"),
        **_targets(model),
        "versions": {"subduce": __version__, "torch": torch.__version__},
        "sha256": _checksum(weights),
        "provenance": dict(provenance or {}),
    }
    write_whole(Path(path), to_bytes(weights, metadata={"subduce": json.dumps(header, ensure_ascii=False)}))


def read_header(path: str | os.PathLike[str]) -> dict[str, Any]:
    """What a model file says about itself, without its weights.

    Raises `InputError` where the file is missing, is not a model of subduce, or is newer than this program.
    """
    return _open(Path(path))[0]


def load(
    path: str | os.PathLike[str], *, device: str | torch.device = "cpu", dtype: str | None = None
) -> Potential | PropertyModel:
    """A potential or a property model from its file, on a device, in the dtype it was trained in or another.

    Raises `InputError` where the file is missing, truncated, altered, newer than this program, or
    not a model; pickles are refused unread.
    """
    path = Path(path)
    header, weights = _open(path)
    if header.get("sha256") != _checksum(weights):
        raise InputError(
            f"{path}: the weights do not match their checksum, the file was damaged or altered; copy it again"
        )
    model = _built(header, f"{path} (config of the model)")
    expected = {name: tuple(value.shape) for name, value in model.state_dict().items()}
    found = {name: tuple(value.shape) for name, value in weights.items()}
    if expected != found:
        wrong = sorted(set(expected.items()) ^ set(found.items()))[0]
        raise InputError(f"{path}: the weights do not fit the config (first at {wrong[0]}); the file was altered")
    model.load_state_dict(weights)
    if dtype is not None:
        model = model.with_dtype(dtype)
    return model.to(device).eval()


def _targets(model: Potential | PropertyModel) -> dict[str, Any]:
    """What the model predicts, and in which units."""
    if isinstance(model, PropertyModel):
        return {"targets": list(model.targets), "units": {name: one.unit for name, one in model.targets.items()}}
    return {"targets": ["energy", "forces", "stress"], "units": UNITS}


def _built(header: Mapping[str, Any], source: str) -> Potential | PropertyModel:
    if header["kind"] == "potential":
        return Potential(build(PotentialConfig, header["config"], source=source))
    return PropertyModel(build(PropertyConfig, header["config"], source=source))


def _open(path: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    if not path.is_file():
        raise InputError(f"{path}: no such model file; expected a .safetensors file that subduce wrote")
    try:
        with safe_open(str(path), framework="pt") as file:
            text = (file.metadata() or {}).get("subduce")
            weights = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise InputError(
            f"{path}: not a whole safetensors file ({error}); models are .safetensors files, pickles are never loaded"
        ) from None
    if text is None:
        raise InputError(f"{path}: a safetensors file without subduce's header; expected a model that subduce wrote")
    try:
        header = json.loads(text)
        newest = int(header["format"])
        complete = isinstance(header["config"], dict) and header["kind"] in _KINDS
    except (ValueError, KeyError, TypeError):
        raise InputError(f"{path}: the header is not that of a subduce model; the file was altered") from None
    if newest > FORMAT:
        raise InputError(
            f"{path}: written by a newer version (format {newest}, this reads up to {FORMAT}); update subduce"
        )
    if not complete:
        raise InputError(f"{path}: holds a {header['kind']!r}, expected {' or '.join(_KINDS)}")
    return header, weights


def _checksum(weights: Mapping[str, Tensor]) -> str:
    digest = hashlib.sha256()
    for name in sorted(weights):
        value = weights[name]
        digest.update(f"{name}:{value.dtype}:{tuple(value.shape)}\n".encode())
        digest.update(value.contiguous().flatten().view(torch.uint8).numpy().tobytes() if value.numel() else b"")
    return digest.hexdigest()
