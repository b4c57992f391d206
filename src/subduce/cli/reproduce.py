"""Repeat an experiment of the papers: print each claim, our number and the verdict; without a name, list them."""

import argparse
from pathlib import Path
from types import ModuleType
from typing import Any

from ._common import keep_record, say, table

_CLONE = Path(__file__).parents[3]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What the verb takes."""
    parser.add_argument("name", nargs="?", metavar="NAME", help="an experiment; without one, the list of them")
    parser.add_argument("parts", nargs="*", metavar="PART", help="parts of it (all); its README names them")
    parser.add_argument("--quick", action="store_true", help="a short run that shows how it goes, and judges nothing")
    parser.add_argument("--stored", action="store_true", help="judge the numbers that came with it, run nothing")
    parser.add_argument("--workers", type=int, default=1, metavar="N", help="runs at a time, one thread each (1)")
    parser.add_argument("--peer", metavar="PYTHON", help="a Python that has the programs it compares with")
    parser.add_argument("--experiments", type=Path, metavar="DIR", help="the folder of experiments of a clone")
    parser.add_argument("--output", type=Path, metavar="DIR", help="what it leaves, and where it goes on (runs/NAME)")


def run(options: argparse.Namespace) -> Any:
    """Run what is not there yet and judge; a run that was stopped goes on."""
    import time

    from ..config import InputError
    from ..records import Record, fingerprint

    started, folder = time.perf_counter(), _folder(options.experiments)
    known = sorted(path.parent.name for path in folder.glob("*/run.py"))
    if options.name is None:
        titles = {name: _title(folder / name / "README.md") for name in known}
        say(table(titles))
        return Record("reproduce", {}, {}, {"experiments": titles}, time.perf_counter() - started)
    if options.name not in known:
        raise InputError(f"{options.name}: no experiment in {folder}; there are {', '.join(known) or 'none'}")
    if options.workers < 1:
        raise InputError(f"--workers: expected a whole number from 1 up, got {options.workers}")
    if options.output is None and not options.stored:
        options.output = Path("runs") / (options.name + ("_quick" if options.quick else ""))
    experiment = _loaded(folder / options.name / "run.py")
    settings = {name: getattr(options, name) for name in ("workers", "peer", "quick", "stored")}
    results = experiment.reproduce(tuple(options.parts), output=options.output, say=say, **settings)
    for row in results["verdicts"]:
        say(experiment.described(row))
    if options.quick:
        say("a quick run: these numbers say that it works, not whether the claims hold")
    inputs = {str(path): fingerprint(path) for path in sorted((folder / options.name).glob("*.[yj]*"))}
    settings |= {"name": options.name, "parts": options.parts}
    record = Record("reproduce", inputs, settings, results, time.perf_counter() - started)
    keep_record(record, options.output)
    return record


def _folder(given: Path | None) -> Path:
    """The folder of experiments: the one given, that of the place one is in, or that of the program's own clone."""
    from ..config import InputError

    places = [given] if given is not None else [Path("experiments"), _CLONE / "experiments"]
    for place in places:
        if any(place.glob("*/run.py")):
            return place
    raise InputError(
        f"{places[0]}: holds no experiments; they come with the repository, not with the installed package: run this "
        "inside a clone of it, or name its folder with --experiments"
    )


def _title(readme: Path) -> str:
    """The first claim of an experiment's README: the paragraph that says what it is of."""
    text = readme.read_text(encoding="utf-8") if readme.exists() else ""
    paragraphs = [" ".join(part.split()) for part in text.split("\n\n") if part and not part.startswith("#")]
    return paragraphs[0] if paragraphs else ""


def _loaded(path: Path) -> ModuleType:
    import importlib.util

    spec = importlib.util.spec_from_file_location(f"subduce_experiment_{path.parent.name}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
