import errno
import json
import signal
import threading

import pytest
import torch
from safetensors.torch import load_file

from subduce.config import InputError
from subduce.data import Batch
from subduce.train import Interrupted, Loader, Loaders, NonFiniteLoss, _state, fit
from subduce.train._fit import FitResult
from subduce.train._training import Training
from tests.training import PairNetwork, Structures, dataset, loaders, objective, settings, without


def run(folder=None, *, model=None, data=None, resume=False, **changes) -> FitResult:
    return fit(
        model or PairNetwork(), objective(), data or loaders(), settings(**changes), folder=folder, resume=resume
    )


def spoilt(data: Structures, row: int) -> Structures:
    """The structures with one energy that is infinite."""
    batches = list(data.batches)
    labels = batches[row].labels
    batches[row] = Batch(batches[row].graph, labels.replace(energy=torch.full_like(labels.energy, torch.inf)))
    return Structures(batches)


def test_it_learns_what_another_network_knows():
    result = run(max_epochs=60, learning_rate=0.03)
    assert result.history[-1]["val_loss"] < 0.05 * result.history[0]["val_loss"]
    assert result.ended == "max_epochs"
    assert (result.epochs, result.steps) == (60, 180)


def test_the_model_is_left_with_the_best_averaged_weights(tmp_path):
    seen, model = [], PairNetwork()
    result = fit(
        model, objective(), loaders(), settings(max_epochs=5), folder=tmp_path,
        on_best=lambda: seen.append(model.inner.detach().clone()),
    )  # fmt: skip
    assert torch.equal(model.inner, seen[-1])
    assert result.best_loss == min(row["val_loss"] for row in result.history)
    assert result.history[result.best_epoch - 1]["val_loss"] == result.best_loss


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_any_precision(dtype):
    model = PairNetwork(dtype=dtype)
    result = run(model=model, max_epochs=10)
    assert model.inner.dtype == dtype
    assert result.history[-1]["train_loss"] < result.history[0]["train_loss"]


def test_accumulated_batches_make_the_step_of_one_large_batch():
    ends = []
    for batch_size, accumulate in ((12, 1), (4, 3), (1, 12)):
        model = PairNetwork()
        run(model=model, data=loaders(batch_size=batch_size, seed=4), accumulate=accumulate, ema_decay=None)
        ends.append(torch.cat([weight.detach().flatten() for weight in model.parameters()]))
    torch.testing.assert_close(ends[0], ends[1], rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(ends[0], ends[2], rtol=1e-9, atol=1e-9)


def test_the_training_loss_of_an_epoch_does_not_depend_on_its_batches():
    frozen = {"learning_rate": 1e-300, "max_epochs": 1}
    losses = [run(data=loaders(batch_size=size), **frozen).history[0]["train_loss"] for size in (1, 5, 12)]
    assert losses == pytest.approx([losses[0]] * 3, rel=1e-12)


def test_early_stop_and_smallest_rate():
    still = {"learning_rate": 1e-300, "max_epochs": 50, "min_learning_rate": 0.0}
    stopped = run(**still, early_stop_patience=3)
    assert (stopped.ended, stopped.epochs, stopped.best_epoch) == ("early_stop", 4, 1)
    lowered = run(
        max_epochs=50, learning_rate=1e-9, min_learning_rate=0.9e-9, plateau_patience=0, plateau_factor=0.5,
        clip_norm=1e-300, ema_decay=None,
    )  # fmt: skip
    assert lowered.ended == "min_learning_rate"
    assert lowered.epochs < 50


def test_time_that_runs_out_ends_with_the_best_and_a_state_to_go_on_from(tmp_path):
    model, before = PairNetwork(), PairNetwork()
    result = run(tmp_path, model=model, max_seconds=1e-6)
    assert (result.ended, result.epochs, result.steps) == ("max_seconds", 0, 1)
    assert not torch.equal(model.inner, before.inner)
    assert run(tmp_path, resume=True).ended == "max_epochs"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_lets_the_step_end_and_saves(tmp_path, number):
    before = signal.getsignal(signal.SIGINT)  # ignored, where a shell runs the tests in the background
    with pytest.raises(Interrupted, match="after 2 steps"):
        _signal_after(2, number, tmp_path)
    assert json.loads((tmp_path / "last" / "state.json").read_text())["steps"] == 2
    assert signal.getsignal(signal.SIGINT) is before
    assert issubclass(Interrupted, KeyboardInterrupt)


def _signal_after(steps: int, number: int, folder) -> None:
    data, calls = loaders(), 0
    load = data.training.load

    def batches(*arguments):
        nonlocal calls
        for batch in load(*arguments):
            calls += 1
            if calls == steps:
                signal.raise_signal(number)
            yield batch

    data.training.load = batches
    run(folder, data=data)


def test_it_runs_beside_the_main_thread(tmp_path):
    results = []
    thread = threading.Thread(target=lambda: results.append(run(tmp_path, max_epochs=1)))
    thread.start()
    thread.join()
    assert results[0].epochs == 1


def test_a_loss_that_is_not_finite_names_its_structures_and_keeps_the_state(tmp_path):
    data = Loaders(Loader(spoilt(dataset(12), 7), batch_size=4, seed=0), loaders().validation)
    with pytest.raises(
        NonFiniteLoss, match=r"the loss .* epoch 1, batch \d, structures 7 of the training data"
    ) as error:
        run(tmp_path, data=data)
    assert error.value.structures == [7]
    assert json.loads((tmp_path / "last" / "state.json").read_text())["epoch"] == 0


def test_a_gradient_that_is_not_finite_changes_no_weight():
    model = PairNetwork()
    model.outer.register_hook(lambda gradient: gradient * torch.nan)
    before = model.inner.detach().clone()
    with pytest.raises(NonFiniteLoss, match="the gradient is not finite"):
        run(model=model)
    assert torch.equal(model.inner, before)


def test_a_full_disk_is_said_and_leaves_the_last_state(tmp_path, monkeypatch):
    run(tmp_path, max_epochs=2)

    def full(path, content):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(_state, "write_whole", full)
    with pytest.raises(InputError, match=r"cannot be written \(No space left on device\); the last state"):
        run(tmp_path, resume=True)
    monkeypatch.undo()
    assert run(tmp_path, resume=True).epochs == 4


def test_a_state_of_another_run_is_refused(tmp_path):
    run(tmp_path, max_epochs=1)
    with pytest.raises(InputError, match="number of structures was 12 in the run to resume and is 11 now"):
        run(tmp_path, data=loaders(size=11), resume=True)
    with pytest.raises(InputError, match="trained another model"):
        run(tmp_path, model=PairNetwork(width=9), resume=True)
    with pytest.raises(InputError, match=r"train\.amsgrad was True"):
        run(tmp_path, amsgrad=False, resume=True)
    with pytest.raises(InputError, match="no state of a run"):
        run(tmp_path / "elsewhere", resume=True)


def test_a_damaged_state_is_refused(tmp_path):
    run(tmp_path, max_epochs=1)
    file = next((tmp_path / "last").glob("tensors-*.safetensors"))
    file.write_bytes(file.read_bytes()[:100])
    with pytest.raises(InputError, match="damaged"):
        run(tmp_path, resume=True)


def test_only_the_last_tensors_are_kept_and_hold_no_pickle(tmp_path):
    run(tmp_path)
    (file,) = (tmp_path / "last").glob("tensors-*")
    groups = {name.partition("/")[0] for name in load_file(file)}
    assert groups == {"weights", "averaged", "best", "optimizer", "epoch", "random"}
    assert sorted(path.name for path in (tmp_path / "last").iterdir()) == ["state.json", file.name]


def test_metrics_are_in_milli_and_curves_are_written(tmp_path):
    result = run(tmp_path, tensorboard=True)
    header, *rows = (tmp_path / "metrics.csv").read_text().splitlines()
    found = dict(zip(header.split(","), rows[-1].split(","), strict=True))
    assert len(rows) == 4
    assert float(found["val_forces_mae_meV"]) == pytest.approx(1000 * result.history[-1]["forces_mae"])
    assert found["val_stress_mae_meV"] == ""
    assert list((tmp_path / "tensorboard").glob("events*"))


def test_workers_prepare_the_same_batches():
    histories = []
    for workers in (0, 1):
        data = Loaders(Loader(dataset(12), batch_size=4, workers=workers), loaders().validation)
        result = run(data=data, max_epochs=2)
        histories.append([{k: v for k, v in row.items() if k != "seconds"} for row in result.history])
    assert histories[0] == histories[1]


def test_matrix_precision_is_set_inside_and_put_back(monkeypatch):
    inside, step = [], Training.step

    def watched(self, *arguments):
        inside.append(torch.get_float32_matmul_precision())
        return step(self, *arguments)

    monkeypatch.setattr(Training, "step", watched)
    before = torch.get_float32_matmul_precision()
    for tf32, expected in ((False, "highest"), (True, "high")):
        run(tf32=tf32, max_epochs=1)
        assert inside[-1] == expected
        assert torch.get_float32_matmul_precision() == before


def test_what_cannot_be_trained_is_refused():
    with pytest.raises(TypeError, match=r"torch\.nn\.Module"):
        run(model=lambda graph: graph.positions[:, 0])
    bare = [without(batch, energy=True, forces=True, stress=True) for batch in dataset(2).batches]
    with pytest.raises(InputError, match="none of the labels"):
        run(data=Loaders(loaders().training, Loader(Structures(bare), batch_size=2)))
    with pytest.raises(ValueError, match="empty"):
        Loader(Structures([]), batch_size=1)
