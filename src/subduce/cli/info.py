"""Say what is in a model, a data set, a record or a run's folder; without a file, what this machine has."""

import argparse
import os
import platform
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from ._common import add_output, keep_record, progress, say, table

_PACKAGES = (
    "torch",
    "triton",
    "numpy",
    "ase",
    "vesin",
    "safetensors",
    "pydantic",
    "h5py",
    "ase-db-backends",
    "matplotlib",
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What the verb takes."""
    parser.add_argument("file", nargs="?", type=Path, metavar="FILE", help="a model, a data set, a record or a run")
    what = "compare what this machine computes with the reference; ends with 3 where something differs"
    parser.add_argument("--check", action="store_true", help=what)
    add_output(parser, None, "folder to keep the record in")


def run(options: argparse.Namespace) -> Any:
    """Look and tell."""
    from ..config import InputError
    from ..data import structure_files
    from ..records import Record, fingerprint

    started, path = time.perf_counter(), options.file
    if options.check and path is not None:
        raise InputError(f"--check is about this machine, not about a file; leave {path} out")
    if path is not None and path.is_dir() and (path / "model.safetensors").exists():
        path = path / "model.safetensors"
    if path is None:
        results = _machine()
    elif not path.exists() and str(path) != "qm9":
        raise InputError(f"{path}: no such file; expected a model, a data set or a record")
    elif path.suffix == ".json":
        results = _record(path)
    elif path.suffix == ".safetensors":
        results = _model(path)
    else:
        results = _data(path)
    inputs = {str(file): fingerprint(file) for file in (structure_files(path) if path is not None else [])}
    say(table(dict(_lines(results))))
    if options.check:
        results |= _checks()
    record = Record("info", inputs, {}, results, time.perf_counter() - started)
    keep_record(record, options.output)
    return record


def _machine() -> dict[str, Any]:
    from importlib.metadata import PackageNotFoundError, version

    import torch

    from .. import __version__
    from ..kernels import available, cpu_instructions

    versions = {"subduce": __version__, "python": platform.python_version()}
    for name in _PACKAGES:
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            versions[name] = "not installed"
    gpus = [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())]
    return {
        "what": "machine",
        "system": f"{platform.system()} {platform.release()}, {platform.machine()}",
        "cpus": os.cpu_count(),
        "torch_threads": torch.get_num_threads(),
        "gpus": gpus or "none",
        "backends": list(available()),
        "cpu_kernels": cpu_instructions() or "not built (no C compiler when installed)",
        "versions": versions,
    }


def _checks() -> dict[str, Any]:
    """Each check with its largest difference from the reference, said as it is made."""
    say("what this machine computes, beside the reference:")
    found = []
    for name, check in _cases():
        try:
            largest, message = check(), ""
        except Exception as error:  # compiled code that fails in any way is what is looked for
            largest, message = None, " ".join(f"{error}".split()) or type(error).__name__
        fine = message or "fine"
        say(table({name: fine if largest is None else f"{fine}, largest difference {largest:.1e}"}))
        found.append({"what": name, "largest": largest, "fine": not message, "message": message})
    wrong = sum(not one["fine"] for one in found)
    return {"checks": found, "stopped": f"{wrong} of {len(found)} checks differ from the reference" if wrong else None}


def _cases() -> Iterator[tuple[str, Callable[[], float | None]]]:
    """The edge product of every backend, then small potentials, with their engines and a step of training."""
    from ..kernels import available
    from ..models import tabulated
    from ..testing import check_backend, check_product

    graph = _rocksalt()
    for backend in available():
        device = "cuda" if backend == "triton" else "cpu"
        yield f"edge product, {backend}", lambda name=backend, device=device: check_product(name, device=device)
    for l_max in (1, 2, 3):
        for dtype in ("float32", "float64"):
            potential = _potential(l_max, dtype)
            yield f"potential, l_max {l_max}, {dtype}", lambda one=potential: check_backend(one, graph).largest
    for dtype in ("float32", "float64"):
        splines = tabulated(_potential(2, dtype))
        yield f"potential with splines, {dtype}", lambda one=splines: check_backend(one, graph).largest


def _potential(l_max: int, dtype: str) -> Any:
    from ..config import build
    from ..models import Potential, PotentialConfig

    settings = {
        "type_names": ("Na", "Cl"),
        "r_max": 4.5,
        "num_layers": 2,
        "num_features": 8,
        "l_max": l_max,
        "avg_num_neighbors": 18.0,
        "per_type_energy_scales": dict.fromkeys(("Na", "Cl"), 10.0),
        "model_dtype": dtype,
    }
    return Potential(build(PotentialConfig, settings, source="subduce info"))


def _rocksalt() -> Any:
    from ase.build import bulk

    from ..data import graph_from_structure, structure_from_atoms

    atoms = bulk("NaCl", "rocksalt", a=5.64, cubic=True)
    atoms.rattle(0.2, seed=0)
    return graph_from_structure(structure_from_atoms(atoms), 4.5).graph


def _record(path: Path) -> dict[str, Any]:
    from ..records import Record

    record = Record.from_json(path.read_text(encoding="utf-8", errors="replace"), source=str(path))
    return {
        "what": "record",
        "kind": record.kind,
        "inputs": dict(record.inputs),
        "settings": dict(record.settings),
        "results": _plain_results(record.results),
        "seconds": record.seconds,
    }


def _plain_results(results: Any) -> dict[str, Any]:
    """Single numbers and words; of rows, how many there are."""
    if isinstance(results, list):
        return {"rows": len(results)}
    return {key: value for key, value in results.items() if not isinstance(value, dict | list)}


def _model(path: Path) -> dict[str, Any]:
    from ..models import load, read_header

    header, potential = read_header(path), load(path)
    parameters = sum(value.numel() for value in potential.parameters() if value.requires_grad)
    return {"what": "model", "parameters": parameters, "bytes": path.stat().st_size, **header}


def _data(path: Path) -> dict[str, Any]:
    import numpy as np
    from ase.data import chemical_symbols

    from ..data import open_structures

    structures = open_structures(path)
    atoms, elements, periodic, kinds = [], np.zeros(len(chemical_symbols), dtype=int), 0, {}
    known = dict.fromkeys(("energy", "forces", "stress"), 0)
    with progress("structure") as advance:
        for done, structure in enumerate(structures, 1):
            atoms.append(len(structure.atomic_numbers))
            elements += np.bincount(structure.atomic_numbers, minlength=len(elements))
            periodic += bool(structure.pbc.any())
            kinds[structure.config_type] = kinds.get(structure.config_type, 0) + 1
            for label in known:
                known[label] += structure.has(label)
            advance(done, len(structures))
    kinds.pop("", None)
    return {
        "what": "data",
        "n_structures": len(structures),
        "n_atoms": sum(atoms),
        "atoms_per_structure": {"least": min(atoms), "mean": sum(atoms) / len(atoms), "most": max(atoms)},
        "atoms": {chemical_symbols[number]: int(elements[number]) for number in np.flatnonzero(elements)},
        "periodic": periodic,
        "labelled": known,
        "label_keys": {label: list(names) for label, names in structures.labels_used.items()},
        "other_numbers": structures.other_numbers,
        **({"config_types": kinds} if kinds else {}),
    }


def _lines(values: dict[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    lines = []
    for name, value in values.items():
        if isinstance(value, dict) and value:
            lines += _lines(value, f"{prefix}{name}.")
        elif value is not None and value != {}:
            text = ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
            lines.append((f"{prefix}{name}", text))
    return lines
