"""Relaxed group networks: their configuration, their heads, their weights by name."""

import numpy as np
import pytest
import torch

from subduce.config import InputError, build
from subduce.models import RelaxedCNN, RelaxedCNNConfig


def test_the_configuration_rebuilds_the_network():
    config = RelaxedCNNConfig(group="D4", input="0e+1o", output="1o", num_features=2, banks=2, seed=3)
    again = build(RelaxedCNNConfig, config.model_dump(mode="json"))
    assert again == config
    x = torch.randn(1, 3, 5, 5, generator=torch.Generator().manual_seed(0))
    assert torch.equal(RelaxedCNN(config)(x), RelaxedCNN(again)(x))
    other = RelaxedCNN(config.model_copy(update={"seed": 4}))
    assert not torch.equal(RelaxedCNN(config)(x), other(x))


@pytest.mark.parametrize(
    ("head", "output", "channels"),
    [("project", "1o", 2), ("project", "0e", 1), ("pool", "2x0e", 2), ("group", "0e", 8)],
)
@pytest.mark.parametrize("separable", [False, True])
def test_heads(head, output, channels, separable):
    network = RelaxedCNN(RelaxedCNNConfig(group="D4", output=output, head=head, num_features=2, separable=separable))
    assert network(torch.zeros(2, 1, 5, 5)).shape == (2, channels, 5, 5)


@pytest.mark.parametrize("head", ["pool", "group"])
def test_heads_that_give_scalars_refuse_vectors(head):
    with pytest.raises(ValueError, match=f"the head '{head}' gives scalars, and 1o turns; take 'project'"):
        RelaxedCNN(RelaxedCNNConfig(group="D4", output="1o", head=head))


@pytest.mark.parametrize(
    ("dimension", "group", "channels"), [(1, "m_x", 1), (2, "C4", 2), (2, "D2", 2), (3, "Oh", 3), (3, "D4h", 3)]
)
def test_vectors_have_a_component_for_each_axis(dimension, group, channels):
    config = RelaxedCNNConfig(group=group, dimension=dimension, input="1o", output="1o", num_layers=2, num_features=1)
    grid = (5,) * dimension
    assert RelaxedCNN(config)(torch.zeros(1, channels, *grid)).shape == (1, channels, *grid)


@pytest.mark.parametrize("relaxed", ["none", "elements", "positions"])
def test_relaxed_weights_by_layer(relaxed):
    config = RelaxedCNNConfig(group="C4", relaxed=relaxed, banks=2, shape=(4, 5), num_layers=3, num_features=1)
    found = RelaxedCNN(config).relaxed_weights()
    assert list(found) == ["layer 1", "layer 2", "layer 3"]
    shape = {"none": (2,), "elements": (2, 4), "positions": (2, 4, 5)}[relaxed]
    assert all(torch.equal(weights, torch.ones(shape)) for weights in found.values())


@pytest.mark.parametrize("wrong", [{"num_layers": 1}, {"head": "mean"}, {"banks": 0}, {"dimension": 4}])
def test_the_configuration_refuses(wrong):
    with pytest.raises(InputError, match=next(iter(wrong))):
        build(RelaxedCNNConfig, {"group": "C4", **wrong})


def test_groups_that_do_not_act_on_the_grid_are_refused():
    with pytest.raises(ValueError, match="C3"):
        RelaxedCNN(RelaxedCNNConfig(group="C3"))


def test_weights_and_outputs_are_of_the_dtype_asked_for():
    network = RelaxedCNN(RelaxedCNNConfig(group="C4", num_features=1, model_dtype="float64"))
    assert {weight.dtype for weight in network.parameters()} == {torch.float64}
    assert network(torch.zeros(1, 1, 4, 4, dtype=torch.float64)).dtype == torch.float64


def test_the_layers_of_a_plane_and_of_space_agree_on_a_slab():
    """C4 about z on fields that do not change along z is C4 of the plane."""
    wide = RelaxedCNN(RelaxedCNNConfig(group="C4", dimension=3, num_layers=2, num_features=2, model_dtype="float64"))
    flat = RelaxedCNN(RelaxedCNNConfig(group="C4", num_layers=2, num_features=2, model_dtype="float64"))
    np.testing.assert_allclose(wide.group.matrices[:, :2, :2], flat.group.matrices, atol=1e-12)
    state = wide.state_dict()
    for name in ("layers.0.weight", "layers.1.weight"):
        summed = state[name].unflatten(-1, (-1, 3)).sum(dim=-1)
        assert summed.shape == flat.state_dict()[name].shape
        state[name] = summed
    flat.load_state_dict(state)
    field = torch.randn(1, 1, 5, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    slab = wide(field[..., None].expand(1, 1, 5, 5, 4))
    torch.testing.assert_close(slab, flat(field)[..., None].expand_as(slab), rtol=1e-12, atol=1e-12)
