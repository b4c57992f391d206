"""Say what is in a model, a data set, a record or a run's folder; without a file, what this machine has."""

import argparse
import os
import platform
import time
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
    parser.add_argument("--check", action="store_true", help="compute with every backend here and compare")
    add_output(parser, None, "folder to keep the record in")


def run(options: argparse.Namespace) -> Any:
    """Look and tell."""
    from ..config import InputError
    from ..records import Record, fingerprint

    started, path = time.perf_counter(), options.file
    if path is not None and path.is_dir() and (path / "model.safetensors").exists():
        path = path / "model.safetensors"
    if path is not None and options.check:
        raise InputError("--check is about this machine; give it without a file")
    if path is None:
        results = _machine() | (_checked() if options.check else {})
    elif not path.exists():
        raise InputError(f"{path}: no such file; expected a model, a data set or a record")
    elif path.suffix == ".json":
        results = _record(path)
    elif path.suffix == ".safetensors":
        results = _model(path)
    else:
        results = _data(path)
    inputs = {str(path): fingerprint(path)} if path is not None else {}
    record = Record("info", inputs, {}, results, time.perf_counter() - started)
    keep_record(record, options.output)
    say(table(dict(_lines(results))))
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


def _checked() -> dict[str, Any]:
    """Every backend beside the reference: its operators, and small potentials whole."""
    import torch

    from ..kernels import available
    from ..testing import check_backend, check_product

    found: dict[str, str] = {}

    def note(what: str, call: Any) -> None:
        try:
            differences = call()
        except AssertionError as error:
            found[what] = f"WRONG: {error}"
        else:
            largest = max(differences.values()) if differences else None
            found[what] = "fine" if largest is None else f"fine, differs by {largest:.1g}"

    for backend in available():
        device = "cuda" if backend == "triton" else "cpu"
        note(f"products, {backend}", lambda backend=backend, device=device: check_product(backend, device=device))
    for l_max in (0, 1, 2, 3):
        for dtype in ("float32", "float64"):
            potential, graph = _small(l_max, dtype)
            for device in ["cpu", "cuda"] if torch.cuda.is_available() else ["cpu"]:
                note(
                    f"potential, l_max {l_max}, {dtype}, {device}",
                    lambda device=device, p=potential, g=graph: check_backend(p.to(device), g.to(device)),
                )
    wrong = [what for what, verdict in found.items() if verdict.startswith("WRONG")]
    return {"check": found} | ({"stopped": f"wrong numbers here: {'; '.join(wrong)}"} if wrong else {})


def _small(l_max: int, dtype: str) -> tuple[Any, Any]:
    from ase.build import bulk, molecule

    from ..data import Batch, graph_from_structure, structure_from_atoms
    from ..models import Potential, PotentialConfig

    crystal = bulk("Si", "diamond", a=5.4, cubic=True)
    crystal.rattle(0.1, seed=0)
    structures = [molecule("CH3CH2OH"), crystal]
    graph = Batch.collate([graph_from_structure(structure_from_atoms(atoms), 4.0) for atoms in structures]).graph
    settings = {"type_names": ("H", "C", "O", "Si"), "r_max": 4.0, "num_layers": 3, "num_features": 20}
    config = PotentialConfig(**settings, l_max=l_max, avg_num_neighbors=12.0, model_dtype=dtype)
    return Potential(config), graph


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
