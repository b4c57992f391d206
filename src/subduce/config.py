"""Settings: frozen, complete, and refused by name when they are wrong.

A class of the library takes one frozen `Config`; a file of settings is YAML; `key.sub=value`
on the command line overrides it. Every error names the file and the key.
"""

import difflib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Self, TypeVar, get_args

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

C = TypeVar("C", bound="Config")


class InputError(ValueError):
    """The user's input cannot be used; the message is one line: where, what was expected, what came, the way out."""


class Config(BaseModel):
    """A frozen set of settings: unknown keys are refused, and `replace` makes a changed copy."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True)

    def replace(self, **changes: Any) -> Self:
        """A copy with some settings changed, checked again."""
        return type(self)(**{**self.model_dump(), **changes})


def one_of(what: str, value: str, options: Any) -> None:
    """Raise `ValueError` where a value is none of a `Literal`'s, with those that there are."""
    known = get_args(options)
    if value not in known:
        raise ValueError(f"{what} is one of {', '.join(known)}; got {value!r}")


def read_yaml(path: str | Path) -> dict[str, Any]:
    """The settings of a YAML file, with plain types only.

    Raises `InputError` where the file is missing, is not YAML, or is not a mapping.
    """
    path = Path(path)
    try:
        settings = yaml.safe_load(path.read_text())
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "not a text file"
        raise InputError(f"{path}: cannot be read ({reason}); expected a YAML file of settings") from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        place = f", line {mark.line + 1}" if mark else ""
        problem = getattr(error, "problem", None) or "not valid YAML"
        raise InputError(f"{path}{place}: {problem}; expected YAML such as `r_max: 5.0`") from None
    if not isinstance(settings, dict):
        raise InputError(f"{path}: expected a mapping of settings, found {type(settings).__name__}")
    return settings


def override(settings: Mapping[str, Any], changes: Iterable[str]) -> dict[str, Any]:
    """Settings with `key.sub=value` changes applied; values are read as YAML.

    >>> override({"model": {"r_max": 5.0}}, ["model.r_max=4", "train.max_epochs=10"])
    {'model': {'r_max': 4}, 'train': {'max_epochs': 10}}
    """
    result = {key: dict(value) if isinstance(value, Mapping) else value for key, value in settings.items()}
    for change in changes:
        key, equals, text = change.partition("=")
        if not equals or not key:
            raise InputError(f"{change}: expected an override of the form key.sub=value")
        try:
            value = yaml.safe_load(text)
        except yaml.YAMLError:
            raise InputError(f"{change}: the value is not valid YAML; quote it, as in key='\"text\"'") from None
        *parents, last = key.split(".")
        place = result
        for parent in parents:
            inner = place.get(parent)
            if inner is not None and not isinstance(inner, Mapping):
                raise InputError(f"{change}: {parent} is a single value here, it has no settings inside")
            place[parent] = place = dict(inner or {})
        place[last] = value
    return result


def build(config: type[C], settings: Mapping[str, Any], *, source: str = "settings") -> C:
    """A config from plain settings; `source` is the file or the command that errors name.

    Raises `InputError` for the first wrong setting: unknown keys with the nearest known one,
    wrong types and impossible values with what was expected.
    """
    try:
        return config(**settings)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        raise InputError(f"{source}: {place and f'{place}: '}{_explain(config, first)}") from None


def _explain(config: type[Config], error: Any) -> str:
    if error["type"] == "extra_forbidden":
        known = _known_keys(config, error["loc"][:-1])
        near = difflib.get_close_matches(str(error["loc"][-1]), known, n=1, cutoff=0.5)
        hint = f"did you mean {near[0]}?" if near else f"known here: {', '.join(sorted(known))}"
        return f"no such setting; {hint}"
    message = error["msg"].removeprefix("Value error, ").removeprefix("Assertion failed, ")
    message = message[0].lower() + message[1:]
    whole = isinstance(error["input"], Mapping | Config)  # several settings that do not fit together
    return message if error["type"] == "missing" or whole else f"{message}, got {error['input']!r}"


def _known_keys(config: type[Config], path: Iterable[Any]) -> list[str]:
    for part in path:
        field = config.model_fields.get(part)
        inner = field.annotation if field else None
        candidates = [inner, *getattr(inner, "__args__", ())]
        configs = [c for c in candidates if isinstance(c, type) and issubclass(c, Config)]
        if configs:
            config = configs[0]
    return list(config.model_fields)
