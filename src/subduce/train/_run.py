"""A training run from files to a folder: data, statistics, potential, fit, errors on what was held back."""

import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import yaml
from pydantic import Field

from ..config import Config, InputError, build, override, read_yaml
from ..data import Statistics, statistics
from ..evaluation import evaluate
from ..models import (
    Potential,
    PotentialConfig,
    PropertyConfig,
    PropertyModel,
    TargetConfig,
    resolve_device,
    save,
)
from ..records import Record, fingerprint, write_whole
from ._config import TrainConfig
from ._data import DataConfig, Parts, open_parts, starting_network, starting_point, training_structures
from ._fit import FitResult, fit
from ._loaders import Loader, Loaders
from ._objective import LossConfig, Objective
from ._processes import local_device, processes
from ._targets import completed, standardised

_YAML = (".yaml", ".yml")
_LEFT_BY_RUNS = ("config.yaml", "model.safetensors", "metrics.csv", "last", "tensorboard")


class RunConfig(Config):
    """A whole run. Only `data.train` has no default.

    `seed` stands for those of `train` and `model` where they have none of their own, and draws the split.
    """

    data: DataConfig
    model: PotentialConfig = PotentialConfig.model_validate({})
    loss: LossConfig = LossConfig.model_validate({})
    train: TrainConfig = TrainConfig.model_validate({})
    target: str | tuple[str, ...] = Field((), description="properties to predict, by their names in the file")
    targets: dict[str, TargetConfig] = Field({}, description="the same with what they are; without any: a potential")
    seed: int = Field(0, ge=0, description="of every random choice")
    device: str = Field("auto", description="auto, cpu or cuda")


def read_run(source: str | Path, changes: Sequence[str] = ()) -> RunConfig:
    """The config in a YAML file, or that of a data file with all defaults; `changes` are `key.sub=value`."""
    path = Path(source)
    settings = read_yaml(path) if path.suffix.lower() in _YAML else {"data": {"train": str(path)}}
    return build(RunConfig, override(settings, changes), source=str(path))


def train(
    config: RunConfig,
    *,
    folder: str | Path,
    resume: bool = False,
    overwrite: bool = False,
    on_epoch: Callable[[dict[str, Any]], None] | None = None,
) -> Record:
    """Train a potential, or a property model where there are targets, and leave it in `folder`, with the complete
    config, the metrics and the state.

    `model.safetensors` holds the best averaged weights so far, from the first epoch on. What the model config leaves
    open comes from the training part: elements, neighbours, energies of atoms by least squares, scale by the force's
    root mean square, or the shifts and scale of each target. The record has errors on the validation and test parts.
    Under `torchrun` all processes train together and the first writes.

    Raises `InputError` for unusable data or settings, and for a folder that holds another run unless
    told to `resume` or `overwrite`; see `fit` for what else ends a run.
    """
    began, folder = time.monotonic(), Path(folder)
    device = local_device(resolve_device(config.device))
    _claim(folder, resume, overwrite)
    config = _with_targets(config)
    labels = tuple(target.label(name) for name, target in config.targets.items())
    with processes(device) as group:
        parts = open_parts(config.data, config.model.r_max, config.train.workers, config.seed, group, labels)
        facts = statistics(parts.train)
        config = _resolved(config, parts, facts)
        inputs = {path: fingerprint(path) for path in config.data.files()}
        loaders = _loaders(config, parts, pin_memory=device.type == "cuda")
        model, objective = _model(config, parts), _objective(config)
        if group.first:
            _write_config(folder, config, resume)
        group.wait()
        model = model.to(device)
        model.knots = config.train.radial_knots
        provenance = {"data": inputs, "statistics": asdict(facts), "settings": config.model_dump(mode="json")}
        result = fit(
            model,
            objective,
            loaders,
            config.train,
            folder=folder,
            resume=resume,
            on_epoch=on_epoch,
            on_best=lambda: save(model, folder / "model.safetensors", provenance=provenance),
        )
    results = _results(result, model, parts, facts)
    if group.first:
        save(model.eval(), folder / "model.safetensors", provenance={**provenance, "fit": _summary(result)})
        results |= _judged(model, parts)
    return Record("train", inputs, config.model_dump(mode="json"), results, time.monotonic() - began)


def _with_targets(config: RunConfig) -> RunConfig:
    """The config with every target under `targets`, completed from the training files."""
    asked = [name.strip() for name in config.target.split(",")] if isinstance(config.target, str) else config.target
    if not (asked or config.targets):
        return config
    return config.replace(target=(), targets=completed(config.targets, asked, training_structures(config.data)))


def _objective(config: RunConfig) -> Objective:
    if config.targets:
        return Objective.of_targets(config.loss, config.targets)
    return Objective.from_config(config.loss)


def _model(config: RunConfig, parts: Parts) -> Potential | PropertyModel:
    if not config.targets:
        return Potential(config.model)
    settings = {
        "model": config.model,
        "targets": config.targets,
        "num_atoms": max(1.0, float(parts.train.num_atoms.mean())),
    }
    try:
        return PropertyModel(build(PropertyConfig, settings))
    except ValueError as error:  # features that cannot make a target
        raise error if isinstance(error, InputError) else InputError(f"{error}") from None


def _claim(folder: Path, resume: bool, overwrite: bool) -> None:
    """Refuse a folder that is taken, unless told what to do with it."""
    if resume and overwrite:
        raise InputError("resume and overwrite exclude each other; choose one")
    if folder.exists() and not folder.is_dir():
        raise InputError(f"{folder}: is a file; expected a folder for the run")
    there = [name for name in _LEFT_BY_RUNS if (folder / name).exists()]
    if resume and not there:
        raise InputError(f"{folder}: holds no run to resume; start one without --resume")
    if there and not (resume or overwrite):
        raise InputError(
            f"{folder}: holds another run ({', '.join(there)}); go on with --resume, write over it with --overwrite, "
            "or choose another folder"
        )


def _resolved(config: RunConfig, parts: Parts, facts: Statistics) -> RunConfig:
    """The config with everything that depends on the data or on other settings filled in."""
    train, model = config.train, config.model
    if "seed" not in train.model_fields_set:
        train = train.replace(seed=config.seed)
    if "seed" not in model.model_fields_set:
        model = model.replace(seed=config.seed)
    if config.targets:
        loss, model = config.loss, starting_network(model, parts, facts)
        targets = standardised(config.targets, parts.train, model.type_names or ())
    else:
        loss, targets = config.loss.resolved(parts.labels(config.loss.asked())), {}
        model = starting_point(model, parts, facts)
    probe = Loader(parts.train, batch_size=train.batch_size, max_edges=train.max_edges, seed=train.seed)
    return config.replace(
        model=model,
        loss=loss,
        targets=targets,
        train=train.resolved(-(-len(probe.batches(1)) // train.accumulate)),
    )


def _write_config(folder: Path, config: RunConfig, resume: bool) -> None:
    path = folder / "config.yaml"
    if resume and path.exists():
        before = build(RunConfig, read_yaml(path), source=str(path)).model.model_dump()
        for name, value in config.model.model_dump().items():
            if before[name] != value:
                raise InputError(
                    f"{path}: model.{name} was {before[name]} in the run to resume and is {value} now, from the "
                    "settings or the data; give the same, or start again with --overwrite"
                )
    try:
        for name in () if resume else _LEFT_BY_RUNS:
            left = folder / name
            shutil.rmtree(left) if left.is_dir() else left.unlink(missing_ok=True)
        write_whole(path, yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False, allow_unicode=True))
    except OSError as error:
        raise InputError(f"{folder}: cannot be written ({error.strerror or error}); choose another folder") from error


def _loaders(config: RunConfig, parts: Parts, *, pin_memory: bool) -> Loaders:
    train = config.train
    budget = {"max_edges": train.max_edges, "workers": train.workers, "seed": train.seed, "pin_memory": pin_memory}
    return Loaders(
        Loader(parts.train, batch_size=train.batch_size, **budget),
        # Without gradients of the weights a batch needs less memory.
        Loader(parts.val, batch_size=2 * train.batch_size, shuffle=False, **budget),
    )


def _summary(result: FitResult) -> dict[str, Any]:
    return {
        "ended": result.ended,
        "epochs": result.epochs,
        "steps": result.steps,
        "best_epoch": result.best_epoch,
        "best_val_loss": result.best_loss,
        "seconds": result.seconds,
    }


def _results(result: FitResult, model: Potential | PropertyModel, parts: Parts, facts: Statistics) -> dict[str, Any]:
    return {
        **_summary(result),
        "num_parameters": sum(weight.numel() for weight in model.parameters()),
        "n_train": len(parts.train),
        "n_val": len(parts.val),
        "n_test": len(parts.test) if parts.test is not None else 0,
        "statistics": asdict(facts),
        "history": result.history,
    }


def _judged(model: Potential | PropertyModel, parts: Parts) -> dict[str, Any]:
    found = {"validation": evaluate(model, parts.val).results}
    return found | {"test": evaluate(model, parts.test).results} if parts.test is not None else found
