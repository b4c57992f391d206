"""Stopping and going on equals not stopping, bit for bit."""

import csv
import json
import signal
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from subduce.data import Batch
from subduce.train import FitResult, Interrupted, Loader, Loaders, fit
from tests.training import PairNetwork, Structures, dataset, objective, settings

STEPS_PER_EPOCH = 3
EPOCHS = 4
RUN = {"max_epochs": EPOCHS, "accumulate": 2, "plateau_patience": 0, "warmup_epochs": 0.5, "clip_norm": 5.0}


class Signalling(Structures):
    """Structures that end the run with a signal when a certain batch is asked for."""

    def __init__(self, structures: Structures, *, at: int, number: int = signal.SIGTERM) -> None:
        super().__init__(structures.batches)
        self.at, self.asked, self.number = at, 0, number

    def batch(self, rows: Sequence[int]) -> Batch:
        self.asked += 1
        if self.asked == self.at:
            signal.raise_signal(self.number)
        return super().batch(rows)


def run(folder: Path, *, stop_at: int = 0, resume: bool = False, **changes) -> tuple[PairNetwork, FitResult]:
    model = PairNetwork(dropout=0.2)
    training = Signalling(dataset(11), at=stop_at)
    loaders = Loaders(Loader(training, batch_size=2, seed=3), Loader(dataset(3, seed=1), batch_size=2, shuffle=False))
    return model, fit(model, objective(), loaders, settings(**{**RUN, **changes}), folder=folder, resume=resume)


def saved(folder: Path) -> tuple[dict[str, torch.Tensor], dict, list[dict[str, str]]]:
    """Tensors, numbers and table of a run, without the time it took."""
    numbers = json.loads((folder / "last" / "state.json").read_text())
    tensors = load_file(folder / "last" / numbers["tensors"])
    history = [{key: value for key, value in row.items() if key != "seconds"} for row in numbers["history"]]
    table = list(csv.DictReader((folder / "metrics.csv").open()))
    for row in table:
        del row["seconds"]
    different = ("serial", "tensors", "seconds", "history")
    return tensors, {k: v for k, v in numbers.items() if k not in different} | {"history": history}, table


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory):
    folder = tmp_path_factory.mktemp("unbroken")
    model, result = run(folder)
    return saved(folder), model, result


@pytest.mark.parametrize("batch", range(1, 6 * EPOCHS + 1))
def test_a_run_that_was_stopped_anywhere_ends_as_if_it_had_not_been(tmp_path, unbroken, batch):
    with pytest.raises(Interrupted):
        run(tmp_path, stop_at=batch)
    model, result = run(tmp_path, resume=True)
    (tensors, numbers, table), whole, _ = unbroken
    found_tensors, found_numbers, found_table = saved(tmp_path)
    assert found_tensors.keys() == tensors.keys()
    assert all(torch.equal(found_tensors[name], tensors[name]) for name in tensors)
    assert found_numbers == numbers
    assert found_table == table
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), whole.parameters(), strict=True))
    assert result.ended == "max_epochs"


def test_many_stops_and_a_longer_end(tmp_path, unbroken):
    """Stopped every few steps, ended after three epochs, then told to go on."""
    stops = 0
    while True:
        try:
            run(tmp_path, stop_at=5, resume=stops > 0, max_epochs=3)
            break
        except Interrupted:
            stops += 1
    assert stops >= 3
    run(tmp_path, resume=True)
    (tensors, numbers, table), *_ = unbroken
    found_tensors, found_numbers, found_table = saved(tmp_path)
    assert found_numbers == numbers
    assert found_table == table
    assert all(torch.equal(found_tensors[name], tensors[name]) for name in tensors)


def test_the_second_run_in_one_process_is_the_first_again(tmp_path, unbroken):
    run(tmp_path)
    (tensors, numbers, _), *_ = unbroken
    found_tensors, found_numbers, _ = saved(tmp_path)
    assert found_numbers == numbers
    assert all(torch.equal(found_tensors[name], tensors[name]) for name in tensors)


def test_random_numbers_outside_go_on_as_if_nothing_had_run(tmp_path):
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    run(tmp_path, max_epochs=1)
    assert torch.equal(torch.rand(3), expected)
