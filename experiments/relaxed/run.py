"""Relaxed group convolution (Wang et al. 2023): which symmetries break, read off the weights, and where they must not.

    subduce reproduce relaxed [PART ...]
    python experiments/relaxed/run.py [PART ...] [--output FOLDER] [--workers N] [--quick] [--stored] [--keep]

Runs what is not there yet and prints claim, number and verdict. Each run leaves RUN.json in the output folder.
"""

import argparse
import json
import sys
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).parent))

from judged import verdicts
from trained import jobs, run_all

from subduce.config import InputError, read_yaml
from subduce.records import write_whole

HERE = Path(__file__).parent
EXPECTED = HERE / "expected.json"


def reproduce(parts=(), *, output=Path("runs/relaxed"), workers=1, peer=None, quick=False, stored=False, say=print):
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
    found = {part: run_all(part, jobs(part, about[part], quick), output, workers, say) for part in chosen}
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
    """Four digits of every number; of relaxed weights, whose differences count, all of them."""
    if isinstance(value, dict):
        return {name: inner if name == "weights" else _rounded(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [float(f"{inner:.15g}") if isinstance(inner, float) else inner for inner in value]
    return float(f"{value:.4g}") if isinstance(value, float) else value


def described(row):
    """A claim with our number and the verdict, as one line."""
    verdict = {True: "kept", False: "MISSED", None: "found"}[row["kept"]]
    limit = f" (claimed {row['limit']})" if row["limit"] else ""
    return f"{row['claim']}: {row['number']:.3g}{limit} {verdict}"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", metavar="PART")
    parser.add_argument("--output", type=Path, default=Path("runs/relaxed"))
    parser.add_argument("--workers", type=int, default=1, help="runs at a time, each on one thread")
    parser.add_argument("--quick", action="store_true", help="fewer runs and epochs")
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
