"""Pages of the reference that are made from the program itself, when the docs are built."""

import importlib
from typing import Any

from mkdocs.structure.files import File, Files
from pydantic import BaseModel

from subduce.cli._main import VERBS, _parser
from subduce.train import RunConfig


def on_files(files: Files, config: Any) -> Files:
    """Add the pages of commands and of settings."""
    for path, text in (("reference/commands.md", _commands()), ("reference/settings.md", _settings())):
        files.append(File.generated(config, path, content=text))
    return files


def _commands() -> str:
    pages = ["# Commands\n\nExit codes: 0 done, 2 wrong input, 3 failed while running, 130 interrupted.\n"]
    for verb, summary in VERBS.items():
        parser = _parser(verb, importlib.import_module(f"subduce.cli.{verb}"))
        pages.append(f"## subduce {verb}\n\n{summary}\n\n```text\n{parser.format_help().rstrip()}\n```\n")
    return "\n".join(pages)


def _settings() -> str:
    pages = ["# Settings of a training run\n\nIn a YAML file, or as `key.sub=value` on the command line.\n"]
    return "\n".join([*pages, *_sections("", RunConfig)])


def _sections(prefix: str, model: type[BaseModel]) -> list[str]:
    """A table for a config, and one for each config inside it."""
    inner = {name: field.annotation for name, field in model.model_fields.items()}
    nested = {name: kind for name, kind in inner.items() if isinstance(kind, type) and issubclass(kind, BaseModel)}
    title = f"`{prefix[:-1]}`" if prefix else "A run"
    rows = [f"## {title}\n\n{(model.__doc__ or '').strip()}\n\n| setting | default | meaning |\n|---|---|---|"]
    for name, field in model.model_fields.items():
        if name in nested:
            continue
        default = "required" if field.is_required() else f"`{field.get_default(call_default_factory=True)!r}`"
        rows.append(f"| `{prefix}{name}` | {default.replace('|', '&#124;')} | {field.description or ''} |")
    return ["\n".join(rows) + "\n", *(page for name, kind in nested.items() for page in _sections(f"{name}.", kind))]
