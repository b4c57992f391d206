"""Channels that change sign with time: a network on the time axis treats them as the reversal does."""

import pytest
import torch

from subduce.models import RelaxedCNN, RelaxedCNNConfig


def test_a_reversed_window_with_its_velocity_turned_gives_the_reversed_output():
    config = RelaxedCNNConfig(
        group="T", dimension=1, input="2x0e", output="2x0e", time_odd=(1,), output_time_odd=(1,), kernel_size=5,
        num_features=4, padding="zero", model_dtype="float64",
    )  # fmt: skip
    network = RelaxedCNN(config)
    signs = torch.tensor([1.0, -1.0], dtype=torch.float64)[:, None]
    window = torch.randn(3, 2, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    backwards = network((signs * window).flip(-1))
    assert torch.allclose(backwards, (signs * network(window)).flip(-1), atol=1e-12)
    assert not torch.allclose(network(window.flip(-1)), network(window).flip(-1), atol=1e-3)
    with torch.no_grad():
        network.layers[0].relaxed_weight[0, 1] = 1.5
    assert not torch.allclose(network((signs * window).flip(-1)), (signs * network(window)).flip(-1), atol=1e-3)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"group": "m_x"}, "time reversal T"),
        ({"time_odd": (2,)}, "0 to 1"),
        ({"output_time_odd": (0,), "head": "pool"}, "odd in time"),
    ],
)
def test_what_cannot_be_odd_in_time_is_refused(changes, says):
    settings = {"group": "T", "dimension": 1, "input": "2x0e", "time_odd": (1,)} | changes
    with pytest.raises(ValueError, match=says):
        RelaxedCNN(RelaxedCNNConfig(**settings))
