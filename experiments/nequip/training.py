"""The runs of a part of the experiment: their files, their settings, and their results, each in a file of its own."""

import copy
import itertools
import json
import multiprocessing
import subprocess
import sys
import warnings
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import ase.io
import torch

from subduce.config import build
from subduce.records import write_whole
from subduce.train import RunConfig, train

HERE = Path(__file__).parent
METRICS = ("per_atom_energy_mae", "forces_mae", "forces_rmse", "stress_mae")
QUICK = 10  # a quick run has one in so many of the epochs, and of the steps of dynamics


def merged(settings, changes):
    """Settings with nested changes."""
    result = copy.deepcopy(settings)
    for key, value in changes.items():
        result[key] = merged(result.get(key, {}), value) if isinstance(value, dict) else value
    return result


def prepare(part, data, source, output):
    """The files of a part, written to the output folder; shares of the training file stay numbers.

    Of `file`, one or a list, the structures with the `temperatures` are read, and `take` of them
    kept at equal distances.
    """
    found = {}
    for name, wanted in data.items():
        found[name] = wanted
        if isinstance(wanted, dict):
            found[name] = str((output / f"{part}_{name}.extxyz").resolve())
            if not Path(found[name]).exists():
                files = [wanted["file"]] if isinstance(wanted["file"], str) else wanted["file"]
                frames = [atoms for file in files for atoms in ase.io.read(source / file, ":")]
                if "temperatures" in wanted:
                    frames = [atoms for atoms in frames if atoms.info["temperature_K"] in wanted["temperatures"]]
                    for atoms in frames:
                        atoms.info["config_type"] = f"{atoms.info['temperature_K']} K"
                number = wanted.get("take", len(frames))
                taken = [frames[round(i * (len(frames) - 1) / (number - 1))] for i in range(number)]
                ase.io.write(found[name], taken, format="extxyz")
    return found


def jobs(part, about, source, output, quick=False):
    """Names and settings of a part's runs; of a grid every combination, so that the first ones are a whole."""
    found = {}
    if "grid" not in about:
        files = prepare(part, about["data"], source, output)
        for name, changes in about["runs"].items():
            found[name] = merged(about["settings"] | {"data": files, "device": "cpu"}, changes)
    else:
        grid = about["quick"] if quick else about["grid"]
        for seed, molecule, size in itertools.product(grid["seeds"], grid["molecules"], grid["sizes"]):
            data = merged(about["molecules"][molecule], {"train": {"take": size}})
            files = prepare(f"{part}_{molecule}_n{size}", data, source, output)
            shared = {"data": files, "device": "cpu", "seed": seed, "train": {"max_epochs": about["epochs"][size]}}
            for network in grid["networks"]:
                changes = merged(shared, {"model": about["networks"][network]})
                found[f"{molecule}_{network}_n{size}_seed{seed}"] = merged(about["settings"], changes)
    for settings in found.values() if quick else ():
        settings["train"]["max_epochs"] = max(1, settings["train"]["max_epochs"] // QUICK)
    return found


def run_all(part, wanted, output, workers=1, say=print):
    """Results by name, those that exist from their files; with many workers each computes on one thread."""
    tasks = [(f"{part}_{name}", settings, output) for name, settings in wanted.items()]
    if workers == 1:
        found = (one_run(*task) for task in tasks)
        return _collected(wanted, found, part, say)
    with ProcessPoolExecutor(workers, multiprocessing.get_context("spawn"), torch.set_num_threads, (1,)) as pool:
        try:
            return _collected(wanted, pool.map(one_run, *zip(*tasks, strict=True)), part, say)
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            for child in multiprocessing.active_children():
                while child.is_alive():  # training keeps its state and ends; then the run that waited behind it
                    child.terminate()
                    child.join(5)
            raise


def _collected(wanted, results, part, say):
    found = {}
    for name, result in zip(wanted, results, strict=True):
        found[name] = result
        numbers = "  ".join(f"{key} {result[key]:.4g}" for key in METRICS if key in result)
        say(f"{part:8} {name:10} {numbers}")
    return found


def one_run(name, settings, output, peer=None):
    """The result of a run, taken from its file where that exists and was made with these settings."""
    path = output / f"{name}.json"
    if path.exists():
        found = json.loads(path.read_text())
        if found["settings"] == settings:
            return found
    print(f"running {name}", file=sys.stderr, flush=True)
    found = train_peer(settings, path, peer) if peer else train_ours(name, settings, output)
    write_whole(path, json.dumps(found | {"settings": settings}, indent=1) + "\n")
    return found


def train_ours(name, settings, output):
    folder = output / name
    resume = (folder / "last").exists()
    with warnings.catch_warnings():  # of molecules alike, which leave the elements' energies open
        warnings.filterwarnings("ignore", "energies of single atoms")
        record = train(build(RunConfig, settings, source=str(HERE / "config.yaml")), folder=folder, resume=resume)
    results = record.results
    kinds = results["test"].get("by_config_type", {})
    return {
        "parameters": results["num_parameters"],
        "steps": results["steps"],
        "seconds": results["seconds"],
        "best_epoch": results["best_epoch"],
        **{name: results["test"][name] for name in METRICS if name in results["test"]},
        **{kind: {name: errors[name] for name in METRICS if name in errors} for kind, errors in kinds.items()},
    }


def train_peer(settings, path, python):
    """What nequip makes of the same settings."""
    call_peer("peer_nequip.py", settings, path, python, str(torch.get_num_threads()))
    return json.loads(path.read_text())


def call_peer(script, settings, path, python, *more):
    """Run a script that other programs' packages are needed for, with a Python that has them."""
    given = path.with_suffix(".settings.json")
    write_whole(given, json.dumps(settings))
    subprocess.run([python, HERE / script, given, path, *more], check=True)
