"""Two processes that share each batch give the losses of one that sees it whole."""

import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from subduce.train import FitResult, Interrupted, Loader, Loaders, Objective, Term, fit
from tests.training import PairNetwork, Structures, dataset, settings, without

ROOT = Path(__file__).parents[2]


class Interrupting(Structures):
    """Structures that send their process SIGTERM with a certain batch."""

    asked, at = 0, 0

    def batch(self, rows):
        self.asked += 1
        if self.asked == self.at:
            signal.raise_signal(signal.SIGTERM)
        return super().batch(rows)


def run(folder: Path, *, resume: bool = False, interrupt_at: int = 0) -> FitResult:
    """Nine structures by fours, two batches a step: the last batch has one structure, and so one empty share."""
    batches = dataset(9, periodic=True).batches
    batches[1], batches[5] = without(batches[1], energy=True), without(batches[5], forces=True, stress=True)
    training = Interrupting(batches)
    training.at = interrupt_at
    objective = Objective(
        Term("per_atom_energy", 1.0), Term("forces", 3.0, "huber", 0.5, balance_species=True), Term("stress", 2.0)
    )
    loaders = Loaders(
        Loader(training, batch_size=4, seed=2), Loader(dataset(3, seed=1, periodic=True), batch_size=2, shuffle=False)
    )
    return fit(PairNetwork(), objective, loaders, settings(accumulate=2, clip_norm=1.0), folder=folder, resume=resume)


def together(folder: Path, *arguments: str) -> list[str]:
    """Run this file in two processes as torchrun would; what each one printed."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    paths = os.pathsep.join([str(ROOT), str(ROOT / "src")])
    common = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "OMP_NUM_THREADS": "1"}
    started = [
        subprocess.Popen(
            [sys.executable, __file__, str(folder), *arguments],
            env={**os.environ, **common, "RANK": str(rank), "LOCAL_RANK": str(rank), "PYTHONPATH": paths},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(2)
    ]
    outputs = [process.communicate(timeout=120) for process in started]
    assert all(process.returncode == 0 for process in started), outputs
    return [output for output, _ in outputs]


def tensors(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(folder / "last" / json.loads((folder / "last" / "state.json").read_text())["tensors"])


def timeless(history: list[dict]) -> list[dict]:
    return [{key: value for key, value in row.items() if key != "seconds"} for row in history]


@pytest.fixture(scope="module")
def alone(tmp_path_factory) -> tuple[FitResult, Path]:
    folder = tmp_path_factory.mktemp("alone")
    return run(folder), folder


def test_two_processes_learn_what_one_learns(tmp_path, alone):
    result, folder = alone
    first, second = (json.loads(output) for output in together(tmp_path))
    assert timeless(first["history"]) == timeless(second["history"])
    for row, expected in zip(first["history"], result.history, strict=True):
        for key in expected.keys() - {"seconds"}:
            assert row[key] == pytest.approx(expected[key], rel=1e-9), key
    here, there = tensors(folder), tensors(tmp_path)
    for name in here:
        if not name.startswith("random"):
            torch.testing.assert_close(there[name], here[name], rtol=1e-7, atol=1e-9)


def test_a_signal_to_one_process_ends_both_and_one_alone_goes_on(tmp_path, alone):
    result, _ = alone
    assert together(tmp_path, "interrupt") == ["interrupted", "interrupted"]
    rest = run(tmp_path, resume=True)
    for row, expected in zip(rest.history, result.history, strict=True):
        assert row["val_loss"] == pytest.approx(expected["val_loss"], rel=1e-9)


if __name__ == "__main__":
    torch.set_num_threads(1)
    how = sys.argv[2] if len(sys.argv) > 2 else ""
    at = 5 if how == "interrupt" and os.environ["RANK"] == "1" else 0
    try:
        found = run(Path(sys.argv[1]), interrupt_at=at)
        print(json.dumps({"history": found.history, "ended": found.ended}), end="")
    except Interrupted:
        print("interrupted", end="")
