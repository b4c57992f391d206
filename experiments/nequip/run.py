"""NequIP (Batzner et al. 2022): what degrees of features buy, on real labels, and the same beside its own program.

    subduce reproduce nequip [PART ...]
    python experiments/nequip/run.py [PART ...] [--output FOLDER] [--workers N] [--peer PYTHON] [--quick] [--stored]

Runs what is not there yet and prints claim, number and verdict. Each run leaves RUN.json in the
output folder; a run that was stopped goes on where it was. `--peer` names a Python that has what a part
compares with: nequip 0.19.1 (peer), dscribe (small), tblite (dynamics); without it, their numbers are the stored ones.
"""

import argparse
import json
import os
import sys
from pathlib import Path

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).parent))

import dynamics
from claims import verdicts
from training import HERE, QUICK, call_peer, jobs, merged, one_run, prepare, run_all

from subduce.config import InputError, read_yaml
from subduce.records import write_whole

DATA = HERE.parent / "data"
EXPECTED, DISTRIBUTIONS = HERE / "expected.json", HERE / "distributions.json"


def reproduce(
    parts=(), *, output=Path("runs/nequip"), data=DATA, workers=1, peer=None, quick=False, stored=False, say=print
):
    """Verdicts and numbers of some parts, or of all; `stored` takes the numbers that came with the program."""
    about, expected = read_yaml(HERE / "config.yaml")["parts"], json.loads(EXPECTED.read_text())
    unknown = [part for part in parts if part not in about]
    if unknown:
        raise InputError(f"{unknown[0]}: no part of this experiment; there are {', '.join(about)}")
    chosen, peers = parts or tuple(about), {key: expected.get(key, {}) for key in ("nequip", "soap")}
    if stored:
        found = {part: expected["ours"][part] for part in chosen if part in expected["ours"]}
        return {"verdicts": verdicts(found, {}, peers), "runs": found, **peers}
    if not (data / "molecules").is_dir():
        raise InputError(f"{data}: holds no folder `molecules`; give the data folder with --data")
    output.mkdir(parents=True, exist_ok=True)
    found = {}
    for part in chosen:
        if part == "dynamics":
            found[part] = run_dynamics(about, data, output, peer, quick, say)
            continue
        wanted = jobs(part, about[part], data, output, quick)
        found[part] = run_all(part, wanted, output, workers, say)
        if peer and part == "peer":
            peers["nequip"] |= {name: one_run(f"nequip_{name}", wanted[name], output, peer) for name in wanted}
        if peer and part == "small" and not quick:
            peers["soap"] |= run_soap(about[part]["soap"], data, output, peer, say)
    rows = verdicts(found, {} if quick else expected["ours"], peers)
    result = {"verdicts": rows, "runs": found, **peers}
    write_whole(output / "result.json", json.dumps(result, indent=1))
    return result


def run_soap(about, data, output, peer, say):
    """The descriptor baseline at each size."""
    found = {}
    for size in about["sizes"]:
        path = output / f"soap_n{size}.json"
        if not path.exists():
            say(f"running SOAP regression with {size} frames")
            files = prepare(f"soap_n{size}", merged(about["data"], {"train": {"take": size}}), data, output)
            call_peer("peer_soap.py", about | {"data": files}, path, peer)
        found[f"n{size}"] = json.loads(path.read_text())
    return found


def run_dynamics(about, data, output, peer, quick, say):
    """The dynamics of the potential that was trained at this temperature, beside the reference method's."""
    settings = {key: value for key, value in about["dynamics"].items() if key not in ("model", "start")}
    settings["steps"] //= QUICK if quick else 1
    settings |= prepare("dynamics", {"start": about["dynamics"]["start"]}, data, output)
    name = about["dynamics"]["model"]
    one_run(f"transfer_{name}", jobs("transfer", about["transfer"], data, output, quick)[name], output)
    did, path = dynamics.simulate(output / f"transfer_{name}" / "model.safetensors", settings, output, say)
    found = {"ours": did | {"wanted_ps": settings["steps"] * settings["timestep"] / 1000}}
    found["ours"].pop("settings")
    reference = output / "dynamics_xtb.npz"
    if peer:
        call_peer("peer_xtb.py", settings, reference, peer)
        theirs = dynamics.analyse(reference, settings)
    elif DISTRIBUTIONS.exists():
        theirs = json.loads(DISTRIBUTIONS.read_text())["reference"]
        theirs = theirs | {key: np.array(theirs[key]) for key in ("wavenumbers", "spectrum")}
    else:
        return found
    ours = dynamics.analyse(path, settings)
    found["agreement"] = dynamics.compare(ours, theirs)
    kept = json.dumps({"ours": ours, "reference": theirs}, default=lambda array: np.round(array, 7).tolist())
    write_whole(output / "distributions.json", kept)
    return found


def keep(result, output):
    """Make these numbers the stored ones: of whole parts, in `expected.json`, and the distributions beside it."""
    expected = json.loads(EXPECTED.read_text())
    for part, runs in result["runs"].items():
        kept = {name: {k: v for k, v in run.items() if k != "settings"} for name, run in runs.items()}
        expected["ours"][part] = {name: _rounded(run) for name, run in kept.items()}
    for peer in ("nequip", "soap"):
        expected[peer] = {name: _rounded(run) for name, run in result[peer].items()}
    write_whole(EXPECTED, json.dumps(expected, indent=1) + "\n")
    if (output / "distributions.json").exists():
        write_whole(DISTRIBUTIONS, (output / "distributions.json").read_text())


def _rounded(value):
    """Four digits of every number."""
    if isinstance(value, dict):
        return {name: _rounded(inner) for name, inner in value.items() if name != "settings"}
    if isinstance(value, list):
        return [_rounded(inner) for inner in value]
    return float(f"{value:.4g}") if isinstance(value, float) else value


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", metavar="PART")
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--output", type=Path, default=Path("runs/nequip"))
    parser.add_argument("--peer", help="a Python that has the other programs")
    parser.add_argument("--workers", type=int, default=1, help="runs at a time, each on one thread")
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--quick", action="store_true", help="a tenth of the epochs, and a part of the curves")
    parser.add_argument("--stored", action="store_true", help="judge the stored numbers, run nothing")
    parser.add_argument("--keep", action="store_true", help="make the numbers the stored ones")
    options = vars(parser.parse_args())
    torch.set_num_threads(options.pop("threads"))
    kept = options.pop("keep")
    result = reproduce(tuple(options.pop("parts")), **options)
    for row in result["verdicts"]:
        print(described(row))
    if kept:
        keep(result, options["output"])
    return 0 if all(row["kept"] is not False for row in result["verdicts"]) else 1


def described(row):
    """A claim with our number and the verdict, as one line."""
    interval = " [{:.3f}, {:.3f}]".format(*row["interval"]) if "interval" in row else ""
    verdict = {True: "kept", False: "MISSED", None: "found"}[row["kept"]]
    limit = f" (claimed {row['limit']})" if row["limit"] else ""
    return f"{row['claim']}: {row['number']:.3f}{interval}{limit} {verdict}"


if __name__ == "__main__":
    raise SystemExit(main())
