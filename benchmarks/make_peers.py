"""Make an environment for each other program that `subduce bench` measures, under `.peers/NAME`.

escnn is there for `benchmarks/group_convolution.py`.

    make bench-peers                  # all of them
    python benchmarks/make_peers.py nequip mace

All share one version of torch, as a build for CPUs where there is one. What is there already, with the same pins, is
left alone. For nequip, a network is trained for one step that changes nothing, and compiled by `nequip-compile`, both
as its documentation says; that takes minutes, and is kept.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import venv
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from ase.calculators.singlepoint import SinglePointCalculator
from ase.io import write

from subduce.benchmark import NETWORK, water

PEERS = Path(__file__).parent.parent / ".peers"
TORCH = "torch==2.13.0"
PINS = {
    "e3nn": [TORCH, "numpy", "e3nn==0.6.0"],
    "nequip": [TORCH, "nequip==0.19.1"],
    "mace": [TORCH, "mace-torch==0.3.16"],
    "sevenn": [TORCH, "sevenn==0.13.0"],
    "nequix": [
        "jax==0.10.2",
        *[
            "e3nn-jax",
            "equinox",
            "jraph",
            "ase",
            "ase-db-backends",
            "matscipy",
            "cloudpickle",
            "h5py",
            "optax",
            "pyyaml",
            "tqdm",
            "setuptools",
        ],
        *["wandb", "wandb-osh"],
    ],
    "cuequivariance": [TORCH, "numpy", "cuequivariance-torch==0.13.0"],
    "escnn": [TORCH, "numpy==1.26.4", "scipy==1.17.1", "joblib", "lie-learn==0.0.2", "pymanopt", "autograd"],
    "sphericart": [TORCH, "numpy", "sphericart-torch==2.0.4"],
}
ALONE = {"nequix": ["nequix==0.4.5"], "escnn": ["escnn==1.0.11"]}
"""Installed without what they ask for: nequix asks for CUDA's JAX on Linux, where its own code is satisfied by JAX;
escnn for py3nj, which needs a Fortran compiler, and without which it computes the same numbers itself."""


def run(*command: str | Path, **options) -> None:
    subprocess.run([str(part) for part in command], check=True, **options)


def install(name: str) -> Path:
    """The environment of one peer, made where it is not there with these pins."""
    folder, pins = PEERS / name, [*PINS[name], *ALONE.get(name, [])]
    python, stamp = folder / "bin" / "python", folder / "pins.txt"
    if stamp.exists() and stamp.read_text().split() == pins:
        return folder
    if not python.exists():
        venv.create(folder, with_pip=True)
    pip = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    run(*pip, *PINS[name])
    if name in ALONE:
        run(*pip, "--no-deps", *ALONE[name])
    stamp.write_text("\n".join(pins) + "\n")
    return folder


def compile_nequip(folder: Path) -> None:
    """The network of the benchmark as nequip's checkpoint, and as its AOTInductor package."""
    made = folder / "made"
    about, package = made / "settings.json", made / "net.nequip.pt2"
    if package.exists() and about.exists() and json.loads(about.read_text()) == json.loads(json.dumps(NETWORK)):
        return
    shutil.rmtree(made, ignore_errors=True)
    made.mkdir()
    (made / "net.yaml").write_text(json.dumps(training(frames(made / "frames.extxyz"))))
    run(folder / "bin" / "nequip-train", "-cp", made, "-cn", "net", f"hydra.run.dir={made}")
    options = ["--mode", "aotinductor", "--device", "cpu", "--target", "ase"]
    environment = {**os.environ, "PATH": f"{folder / 'bin'}:{os.environ['PATH']}"}
    run(folder / "bin" / "nequip-compile", made / "last.ckpt", package, *options, env=environment)
    about.write_text(json.dumps(NETWORK))


def frames(path: Path) -> Path:
    """Four boxes of water with zeros for labels: nobody learns from them."""
    boxes = [water(2, seed=seed) for seed in range(4)]
    for box in boxes:
        box.calc = SinglePointCalculator(box, energy=0.0, forces=np.zeros((len(box), 3)))
    write(path, boxes)
    return path


def training(data: Path) -> dict:
    """nequip's settings for one step at a learning rate of zero."""
    names, r_max = list(NETWORK["type_names"]), NETWORK["r_max"]
    loader = {"_target_": "torch.utils.data.DataLoader", "batch_size": 2}
    weights = {"total_energy": 1.0, "forces": 1.0}
    checkpoint = {
        "_target_": "lightning.pytorch.callbacks.ModelCheckpoint",
        "dirpath": "${hydra:runtime.output_dir}",
        "save_last": True,
    }
    return {
        "run": ["train"],
        "data": {
            "_target_": "nequip.data.datamodule.ASEDataModule",
            "seed": 0,
            "split_dataset": {"file_path": str(data.absolute()), "train": 2, "val": 2},
            "transforms": [
                {"_target_": "nequip.data.transforms.ChemicalSpeciesToAtomTypeMapper", "model_type_names": names},
                {"_target_": "nequip.data.transforms.NeighborListTransform", "r_max": r_max},
            ],
            "train_dataloader": loader,
            "val_dataloader": loader,
        },
        "trainer": {
            "_target_": "lightning.Trainer",
            "accelerator": "cpu",
            "max_epochs": 1,
            "logger": False,
            "enable_progress_bar": False,
            "callbacks": [checkpoint],
        },
        "training_module": {
            "_target_": "nequip.train.NequIPLightningModule",
            "loss": {"_target_": "nequip.train.EnergyForceLoss", "per_atom_energy": True, "coeffs": weights},
            "val_metrics": {
                "_target_": "nequip.train.EnergyForceMetrics",
                "coeffs": {"total_energy_rmse": 1.0, "forces_rmse": 1.0},
            },
            "optimizer": {"_target_": "torch.optim.Adam", "lr": 0.0},
            "model": {"_target_": "nequip.model.NequIPGNNModel", **NETWORK, "type_names": names},
        },
    }


def main(names: Sequence[str]) -> int:
    failed = []
    for name in names:
        print(f"{name}: {' '.join([*PINS[name], *ALONE.get(name, [])])}", flush=True)
        try:
            folder = install(name)
            if name == "nequip":
                compile_nequip(folder.absolute())
        except subprocess.CalledProcessError as error:
            failed.append(name)
            print(f"{name}: failed: {error}", file=sys.stderr)
    if failed:
        print(f"not made: {', '.join(failed)}; the benchmark leaves them out", file=sys.stderr)
    return int(bool(failed))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"some of {', '.join(PINS)}; all of them")
    names = parser.parse_args().names
    if unknown := set(names) - PINS.keys():
        parser.error(f"no peer is called {', '.join(sorted(unknown))}; there are {', '.join(PINS)}")
    sys.exit(main(names or list(PINS)))
