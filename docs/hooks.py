"""What is done when the docs are built: pages made from the program itself, and formulas as MathML."""

import html
import importlib
import inspect
import re
from typing import Any

from latex2mathml.converter import convert
from mkdocs.structure.files import File, Files
from pydantic import BaseModel

from subduce.cli._main import VERBS, _parser
from subduce.train import RunConfig

SURFACE = {
    "o3": "How things turn: irreps, couplings, harmonics, tensors.",
    "kernels": "The one operator that carries the cost.",
    "groups": "Finite groups: irreps, subgroups, and how O(3) subduces to them.",
    "crystals": "Space groups, their irreps by wave vector, and distortions as fields in a parent.",
    "nn": "Layers.",
    "data": "Structures, graphs, and sets larger than memory.",
    "models": "From a graph to energies, and every derivative around them.",
    "train": "From labelled structures to a potential.",
    "evaluation": "How wrong a model is.",
    "interfaces": "Predictions beside the structures of a file.",
    "interfaces.ase": "The potential as an ASE calculator.",
    "simulate": "Relaxation and molecular dynamics.",
    "discovery": "Which symmetries data break.",
    "benchmark": "Speed on this machine, beside other programs.",
    "report": "One page from records.",
    "testing": "Laws as assertions.",
    "records": "Results as frozen records.",
    "config": "Settings, and errors that name them.",
    "axes": "Names of array axes.",
}
"""The public modules, from the ground up."""


def on_files(files: Files, config: Any) -> Files:
    """Add the pages of commands, of settings, and of each public module."""
    pages = {"commands": _commands(), "settings": _settings()} | {name: _module(name) for name in SURFACE}
    for name, text in pages.items():
        files.append(File.generated(config, f"reference/{name}.md", content=text))
    return files


def _module(name: str) -> str:
    """What a module offers: the names that its face imports, or defines where it is one file."""
    module = importlib.import_module(f"subduce.{name}")
    names = [
        key
        for key, value in vars(module).items()
        if not key.startswith("_")
        and not inspect.ismodule(value)
        and (getattr(value, "__module__", None) or "").startswith(module.__name__)
    ]
    blocks = "\n".join(f"::: {module.__name__}.{key}\n" for key in names) or f"::: {module.__name__}\n"
    return f"# subduce.{name}\n\n{SURFACE[name]}\n\n{blocks}"


def on_page_content(content: str, **_: Any) -> str:
    """Formulas as MathML, which browsers draw by themselves, offline."""
    return re.sub(r'<(span|div) class="arithmatex">\\([(\[])(.*?)\\[)\]]</\1>', _formula, content, flags=re.DOTALL)


def _formula(match: re.Match[str]) -> str:
    display = "block" if match[2] == "[" else "inline"
    return convert(html.unescape(match[3]), display=display)


def _commands() -> str:
    pages = ["# Commands\n\nExit codes: 0 done, 2 wrong input, 3 failed while running, 130 interrupted.\n"]
    for verb, summary in VERBS.items():
        parser = _parser(verb, importlib.import_module("subduce.cli." + verb.replace("-", "_")))
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
    rows = [f"## {title}\n\n{inspect.cleandoc(model.__doc__ or '')}\n\n| setting | default | meaning |\n|---|---|---|"]
    for name, field in model.model_fields.items():
        if name in nested:
            continue
        default = "required" if field.is_required() else f"`{field.get_default(call_default_factory=True)!r}`"
        rows.append(f"| `{prefix}{name}` | {default.replace('|', '&#124;')} | {field.description or ''} |")
    return ["\n".join(rows) + "\n", *(page for name, kind in nested.items() for page in _sections(f"{name}.", kind))]
