"""What several verbs share: options, a progress bar, text for people, and where records are kept."""

import argparse
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

MEV = {"eV": "meV", "eV/Å": "meV/Å", "eV/Å³": "meV/Å³"}
METRICS = {
    "per_atom_energy_mae": ("energy per atom, mean absolute error", "eV"),
    "per_atom_energy_rmse": ("energy per atom, root mean square", "eV"),
    "total_energy_mae": ("total energy, mean absolute error", "eV"),
    "forces_mae": ("forces, mean absolute error", "eV/Å"),
    "forces_rmse": ("forces, root mean square", "eV/Å"),
    "stress_mae": ("stress, mean absolute error", "eV/Å³"),
    "stress_rmse": ("stress, root mean square", "eV/Å³"),
}


def add_device(parser: argparse.ArgumentParser) -> None:
    """The option `--device`."""
    parser.add_argument("--device", default="auto", metavar="auto|cpu|cuda", help="where to compute (auto)")


def add_radial(parser: argparse.ArgumentParser) -> None:
    """The option `--radial`."""
    what = "splines in place of the radial networks, much faster on CPUs, or the networks themselves (table)"
    parser.add_argument("--radial", choices=["table", "exact"], default="table", help=what)


def add_seed(parser: argparse.ArgumentParser) -> None:
    """The option `--seed`."""
    parser.add_argument("--seed", type=int, metavar="N", help="seed of every random choice")


def add_output(parser: argparse.ArgumentParser, default: str | None, what: str) -> None:
    """The options `--output` and `--overwrite`."""
    shown = f" ({default})" if default else ""
    parser.add_argument("--output", type=Path, default=default and Path(default), metavar="DIR", help=what + shown)
    parser.add_argument("--overwrite", action="store_true", help="write over what an earlier run left there")


def first_process() -> bool:
    """Whether this process speaks for all that `torchrun` may have started."""
    return os.environ.get("RANK", "0") == "0"


def say(*lines: str) -> None:
    """Text for people, on stderr."""
    print(*lines, sep="\n", file=sys.stderr, flush=True)


def table(rows: Mapping[str, Any]) -> str:
    """Names and values in two columns."""
    width = max(map(len, rows), default=0) + 2
    return "\n".join(f"  {name:<{width}}{value}" for name, value in rows.items())


def metrics_table(results: Mapping[str, Any]) -> str:
    """The errors of an evaluation, with units, small ones in meV."""
    rows = {}
    for key, (name, unit) in METRICS.items():
        value = results.get(key)
        if value is not None:
            rows[name] = f"{1000 * value:.3g} {MEV[unit]}" if abs(value) < 1 else f"{value:.4g} {unit}"
    for name, unit in results.get("units", {}).items():
        for kind, words in (("mae", "mean absolute error"), ("rmse", "root mean square")):
            if f"{name}_{kind}" in results:
                rows[f"{name}, {words}"] = f"{results[f'{name}_{kind}']:.4g} {unit}".strip()
    return table(rows)


def keep_record(record: Any, output: Path | None) -> None:
    """Write the record into the output folder, as `record.json`."""
    from ..records import write_whole

    if output is not None:
        write_whole(output / "record.json", record.to_json())


def refuse_to_overwrite(path: Path, overwrite: bool, way_out: str = "--overwrite") -> None:
    """Raise `InputError` where something already stands at `path`, unless told to write over it."""
    from ..config import InputError

    if path.exists() and not overwrite:
        raise InputError(f"{path}: exists already; add {way_out}, or choose another place")


@contextmanager
def progress(unit: str) -> Iterator[Callable[[int, int], None]]:
    """A bar with rate and time left on a terminal, for what takes longer than two seconds.

    Yields a function that takes how many units are done, and how many there are.
    """
    from tqdm import tqdm

    hidden = not sys.stderr.isatty()
    with tqdm(unit=unit, delay=2.0, disable=hidden, file=sys.stderr, leave=False, dynamic_ncols=True) as bar:

        def advance(done: int, total: int) -> None:
            bar.total = total
            bar.update(done - bar.n)

        yield advance
