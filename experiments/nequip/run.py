"""NequIP (Batzner et al. 2022): what degrees of features buy, on real labels, and the same beside its own program.

    python experiments/nequip/run.py [PART ...] [--data FOLDER] [--output FOLDER] [--peer PYTHON]

Runs what is not there yet and prints claim, number and verdict. Each run leaves RUN.json in the
output folder; a run that was stopped goes on where it was. `--peer` names a Python that has nequip
0.19.1 and trains that too; without it, its numbers are those in `expected.json`.
"""

import argparse
import copy
import json
import os
import statistics
import subprocess
import sys
from pathlib import Path

import ase.io
import torch

from subduce.config import InputError, build, read_yaml
from subduce.records import write_whole
from subduce.train import RunConfig, train

HERE = Path(__file__).parent
METRICS = ("per_atom_energy_mae", "forces_mae", "forces_rmse", "stress_mae")


def merged(settings, changes):
    """Settings with nested changes."""
    result = copy.deepcopy(settings)
    for key, value in changes.items():
        result[key] = merged(result.get(key, {}), value) if isinstance(value, dict) else value
    return result


def prepare(part, data, source, output):
    """The files of a part, written to the output folder; shares of the training file stay numbers."""
    found = {}
    for name, wanted in data.items():
        found[name] = wanted
        if isinstance(wanted, dict):
            found[name] = str(output / f"{part}_{name}.extxyz")
            if not Path(found[name]).exists():
                frames = ase.io.read(source / wanted["file"], ":")
                number = wanted.get("take", len(frames))
                taken = [frames[round(i * (len(frames) - 1) / (number - 1))] for i in range(number)]
                ase.io.write(found[name], taken, format="extxyz")
    return found


def one_run(name, settings, output, peer=None):
    """The result of a run, taken from its file where that exists and was made with these settings."""
    path = output / f"{name}.json"
    if path.exists():
        found = json.loads(path.read_text())
        if found["settings"] == settings:
            return found
    print(f"running {name}", file=sys.stderr)
    found = train_peer(settings, path, peer) if peer else train_ours(name, settings, output)
    write_whole(path, json.dumps(found | {"settings": settings}, indent=1) + "\n")
    return found


def train_ours(name, settings, output):
    folder = output / name
    resume = (folder / "last").exists()
    record = train(build(RunConfig, settings, source=str(HERE / "config.yaml")), folder=folder, resume=resume)
    results = record.results
    return {
        "parameters": results["num_parameters"],
        "steps": results["steps"],
        "seconds": results["seconds"],
        "best_epoch": results["best_epoch"],
        **{name: results["test"][name] for name in METRICS if name in results["test"]},
    }


def train_peer(settings, path, python):
    given = path.with_suffix(".settings.json")
    write_whole(given, json.dumps(settings))
    command = [python, HERE / "peer_nequip.py", given, path, str(torch.get_num_threads())]
    subprocess.run(command, check=True)
    return json.loads(path.read_text())


def verdicts(found, expected, peers):
    """Claims with our number, the limit and whether it is kept."""
    rows = []
    if "ladder" in found:
        l0, l1, l2 = (found["ladder"][name]["forces_mae"] for name in ("l0", "l1", "l2"))
        rows += [("ladder: force error of l=0 over that of l=1", l0 / l1, ">=", 2.0)]
        rows += [("ladder: force error of l=1 over that of l=2", l1 / l2, ">=", 1.0)]
    if "batio3" in found:
        ratio = found["batio3"]["l0"]["forces_mae"] / found["batio3"]["l1"]["forces_mae"]
        rows += [("batio3: force error of l=0 over that of l=1", ratio, ">=", 2.0)]
    for kind in ("l1", "l2") if "peer" in found else ():
        ours, theirs = (
            statistics.mean(run["forces_mae"] for name, run in runs.items() if name.startswith(kind))
            for runs in (found["peer"], peers)
        )
        rows += [(f"peer: our force error over nequip's, {kind}, mean of seeds", ours / theirs, "<=", 1.05)]
    for part, runs in found.items():
        known = {name: run for name, run in runs.items() if name in expected.get(part, {})}
        ratios = [run[key] / expected[part][name][key] for name, run in known.items() for key in METRICS if key in run]
        rows += [(f"{part}: largest of our errors over that in expected.json", max(ratios, default=1.0), "<=", 1.3)]
    kept = {">=": lambda number, limit: number >= limit, "<=": lambda number, limit: number <= limit}
    return [
        {"claim": claim, "number": number, "limit": f"{sign} {limit}", "kept": kept[sign](number, limit)}
        for claim, number, sign, limit in rows
    ]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    experiment = read_yaml(HERE / "config.yaml")
    parser.add_argument("parts", nargs="*", metavar="PART", help=", ".join(experiment["parts"]))
    parser.add_argument("--data", type=Path, default=HERE.parent / "data")
    parser.add_argument("--output", type=Path, default=Path("runs/nequip"))
    parser.add_argument("--peer", help="a Python that has nequip 0.19.1")
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    options = parser.parse_args()
    if not (options.data / "molecules").is_dir():
        raise InputError(f"{options.data}: holds no folder `molecules`; give the data folder with --data")
    torch.set_num_threads(options.threads)
    options.output.mkdir(parents=True, exist_ok=True)
    expected = json.loads((HERE / "expected.json").read_text())
    found, peers = {}, expected["nequip"]
    for part in options.parts or experiment["parts"]:
        about = experiment["parts"][part]
        files = prepare(part, about["data"], options.data, options.output)
        for name, changes in about["runs"].items():
            settings = merged(about["settings"] | {"data": files, "device": "cpu"}, changes)
            if part == "peer" and options.peer:
                peers = peers | {name: one_run(f"nequip_{name}", settings, options.output, options.peer)}
            found.setdefault(part, {})[name] = one_run(f"{part}_{name}", settings, options.output)
            numbers = "  ".join(f"{key} {found[part][name][key]:.4g}" for key in METRICS if key in found[part][name])
            print(f"{part:8} {name:10} {numbers}", flush=True)
    rows = verdicts(found, expected["ours"], peers)
    for row in rows:
        print(f"{row['claim']}: {row['number']:.3f} (claimed {row['limit']}) {'kept' if row['kept'] else 'MISSED'}")
    write_whole(
        options.output / "result.json", json.dumps({"verdicts": rows, "runs": found, "nequip": peers}, indent=1)
    )
    return 0 if all(row["kept"] for row in rows) else 1


if __name__ == "__main__":
    raise SystemExit(main())
