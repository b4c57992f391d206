import pytest
import torch

from subduce.train._optim import AveragedWeights, Schedule, make_optimizer, optimizer_tensors, restore_optimizer
from tests.training import PairNetwork, settings


def test_biases_do_not_decay():
    model = PairNetwork()
    decay = {
        id(weight): group["weight_decay"]
        for group in make_optimizer(model, settings(weight_decay=0.1, optimizer="adamw")).param_groups
        for weight in group["params"]
    }
    assert decay[id(model.inner)] == decay[id(model.outer)] == 0.1
    assert decay[id(model.bias)] == decay[id(model.shifts)] == 0.0


def test_frozen_weights_stay_out_and_a_frozen_model_is_refused():
    model = PairNetwork()
    model.shifts.requires_grad_(False)
    weights = [weight for group in make_optimizer(model, settings()).param_groups for weight in group["params"]]
    assert len(weights) == 3
    with pytest.raises(ValueError, match="no weight that learns"):
        make_optimizer(model.requires_grad_(False), settings())


def test_the_optimiser_goes_on_from_its_tensors():
    ends = []
    for broken in (False, True):
        model = PairNetwork()
        optimizer = make_optimizer(model, settings())
        for step in range(6):
            if broken and step == 3:
                saved = {name: value.clone() for name, value in optimizer_tensors(optimizer).items()}
                optimizer = make_optimizer(model, settings())
                restore_optimizer(optimizer, saved)
            for place, weight in enumerate(model.parameters()):
                weight.grad = torch.sin(weight.detach() + step + place)
            optimizer.step()
        ends.append(model.inner.detach().clone())
    assert torch.equal(*ends)


def test_the_average_follows_torch_ema():
    model = PairNetwork()
    averaged, expected = AveragedWeights(model, 0.99), model.inner.detach().clone()
    for n in range(1, 200):
        with torch.no_grad():
            model.inner.add_(0.1)
        averaged.update()
        decay = min(0.99, (1 + n) / (10 + n))
        expected = decay * expected + (1 - decay) * model.inner.detach()
    torch.testing.assert_close(averaged.average["inner"], expected)


def test_averaged_weights_come_and_go():
    model = PairNetwork()
    averaged, before = AveragedWeights(model, 0.99), model.inner.detach().clone()
    with torch.no_grad():
        model.inner.add_(1.0)
    own = model.inner.detach().clone()
    with averaged.applied():
        assert torch.equal(model.inner, before)
    assert torch.equal(model.inner, own)


def test_without_a_decay_the_average_is_the_weights():
    model = PairNetwork()
    averaged = AveragedWeights(model, None)
    with torch.no_grad():
        model.inner.add_(1.0)
    averaged.update()
    assert torch.equal(averaged.average["inner"], model.inner)


def test_a_plateau_lowers_the_rate_after_its_patience():
    schedule = Schedule(settings(learning_rate=1.0, plateau_patience=2, plateau_factor=0.5, min_learning_rate=0.2))
    rates = []
    for loss in (1.0, 0.9, 0.9, 0.9, 0.9, 0.8, 0.8, 0.8, 0.8):
        schedule.epoch_ended(loss)
        rates.append(schedule.rate(1.0))
    assert rates == [1.0, 1.0, 1.0, 1.0, 0.5, 0.5, 0.5, 0.5, 0.25]
    assert not schedule.exhausted
    for _ in range(3):
        schedule.epoch_ended(0.8)
    assert schedule.exhausted
    again = Schedule(schedule.config)
    again.restore(schedule.state())
    assert again.state() == schedule.state()


def test_a_cosine_rises_then_falls_to_the_lowest_rate():
    schedule = Schedule(
        settings(schedule="cosine", learning_rate=1.0, min_learning_rate=0.1, warmup_epochs=2, max_epochs=10)
    )
    assert [schedule.rate(epochs) for epochs in (1.0, 2.0, 6.0, 10.0, 12.0)] == pytest.approx([0.5, 1, 0.55, 0.1, 0.1])


def test_a_constant_rate_warms_up():
    schedule = Schedule(settings(schedule="constant", learning_rate=0.4, warmup_epochs=4))
    schedule.epoch_ended(5.0)
    assert [schedule.rate(epochs) for epochs in (1, 2, 4, 9)] == pytest.approx([0.1, 0.2, 0.4, 0.4])
