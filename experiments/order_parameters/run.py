"""Symmetry-breaking order parameters (Smidt, Geiger, Miller 2021): what an equivariant network lacks, by irrep.

    subduce reproduce order_parameters [PART ...]
    python experiments/order_parameters/run.py [PART ...] [--output FOLDER] [--workers N] [--quick] [--stored] [--keep]

Runs what is not there yet and prints claim, number and verdict. Each run leaves PART_RUN.json in the output folder.
"""

import argparse
import json
import multiprocessing
import sys
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).parent))

from claimed import verdicts
from solved import jobs, one_run

from subduce.config import InputError, read_yaml
from subduce.records import write_whole

HERE = Path(__file__).parent
EXPECTED = HERE / "expected.json"


def reproduce(
    parts=(), *, output=Path("runs/order_parameters"), workers=1, peer=None, quick=False, stored=False, say=print
):
    """Verdicts and numbers of some parts, or of all; `stored` takes the numbers that came with the program."""
    about = read_yaml(HERE / "config.yaml")["parts"]
    unknown = [part for part in parts if part not in about]
    if unknown:
        raise InputError(f"{unknown[0]}: no part of this experiment; there are {', '.join(about)}")
    if peer:
        raise InputError("--peer: this experiment compares with no other program")
    chosen = parts or tuple(about)
    if stored:
        expected = json.loads(EXPECTED.read_text())["runs"]
        found = {part: expected[part] for part in chosen if part in expected}
        return {"verdicts": verdicts(found), "runs": found}
    output.mkdir(parents=True, exist_ok=True)
    tasks = [(output, part, *job) for part in chosen for job in jobs(part, about[part], quick).items()]
    found = {part: {} for part in chosen}
    with ProcessPoolExecutor(workers, multiprocessing.get_context("spawn"), torch.set_num_threads, (1,)) as pool:
        results = pool.map(one_run, *zip(*tasks, strict=True)) if workers > 1 else (one_run(*task) for task in tasks)
        for (_, part, name, _), result in zip(tasks, results, strict=True):
            found[part][name] = result
            say(f"{part:11} {name:12} plateau {result['plateau']:.4g}, loss {result['loss']:.3g}")
    result = {"verdicts": verdicts(found), "runs": found}
    write_whole(output / "result.json", json.dumps(result, indent=1))
    return result


def keep(result, machine):
    """Make these numbers the stored ones, of whole parts."""
    expected = json.loads(EXPECTED.read_text()) if EXPECTED.exists() else {"machine": {}, "runs": {}}
    for part, runs in result["runs"].items():
        kept = {name: {key: value for key, value in run.items() if key != "settings"} for name, run in runs.items()}
        expected["runs"][part], expected["machine"][part] = kept, machine
    text = json.dumps(_rounded(expected), separators=(",", ":"), ensure_ascii=False)
    write_whole(EXPECTED, text.replace('},"', '},\n"') + "\n")


def _rounded(value):
    """Six digits of every number."""
    if isinstance(value, dict):
        return {name: _rounded(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [_rounded(inner) for inner in value]
    return float(f"{value:.6g}") if isinstance(value, float) else value


def described(row):
    """A claim with our number and the verdict, as one line."""
    verdict = {True: "kept", False: "MISSED", None: "found"}[row["kept"]]
    limit = f" (claimed {row['limit']})" if row["limit"] else ""
    return f"{row['claim']}: {row['number']:.4g}{limit} {verdict}"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", metavar="PART")
    parser.add_argument("--output", type=Path, default=Path("runs/order_parameters"))
    parser.add_argument("--workers", type=int, default=1, help="runs at a time, each on one thread")
    parser.add_argument("--quick", action="store_true", help="fewer runs and steps")
    parser.add_argument("--stored", action="store_true", help="judge the stored numbers, run nothing")
    parser.add_argument("--keep", metavar="PROCESSOR", help="make the numbers the stored ones, of this processor")
    options = vars(parser.parse_args())
    torch.set_num_threads(1)
    machine = options.pop("keep")
    result = reproduce(tuple(options.pop("parts")), **options)
    for row in result["verdicts"]:
        print(described(row))
    if machine:
        keep(result, machine)
    return 0 if all(row["kept"] is not False for row in result["verdicts"]) else 1


if __name__ == "__main__":
    raise SystemExit(main())
