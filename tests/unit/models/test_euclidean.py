"""The Euclidean network on its own, and how amplitudes become a field over the sites."""

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from subduce.data import SkinList
from subduce.models import EuclideanNetwork, EuclideanNetworkConfig, Modulation
from subduce.o3 import random_rotations

POINTS = np.random.default_rng(0).uniform(-1.5, 1.5, (6, 3))


def network(**settings):
    settings = {"type_names": ("H", "O"), "order": "0o+1e+2o", "output": "0o+1o+2x1e+2e", "num_features": 2} | settings
    return EuclideanNetwork(EuclideanNetworkConfig(**settings))


def graph(points=POINTS, numbers=(1, 8, 1, 8, 8, 1)):
    return SkinList(5.0).graph(np.array(numbers), points, np.zeros((3, 3)), [False] * 3)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_turns_and_mirrors_turn_the_output(dtype, generator):
    model = network(model_dtype=dtype)
    turn = -random_rotations(1, generator=generator, dtype=torch.float64)[0]
    order = torch.randn(6, model.order.dim, generator=generator, dtype=torch.float64)
    with torch.no_grad():
        output = model(graph(), order)
        turned = model(graph(POINTS @ turn.numpy().T), order @ model.order.D(turn).T)
    assert output.dtype == getattr(torch, dtype)
    expected = output.double() @ model.irreps_out.D(turn).T
    tolerance = 1e-10 if dtype == "float64" else 1e-3
    torch.testing.assert_close(turned.double(), expected, atol=tolerance, rtol=tolerance)


def test_no_order_parameter_is_one_of_zeros():
    model = network()
    torch.testing.assert_close(model(graph()), model(graph(), torch.zeros(6, model.order.dim, dtype=torch.float64)))


def test_the_config_and_its_seed_are_all_of_it():
    torch.testing.assert_close(network(seed=3)(graph()), network(seed=3)(graph()))
    assert not torch.allclose(network(seed=3)(graph()), network(seed=4)(graph()))
    assert EuclideanNetworkConfig(type_names=("H",), output="1x1o + 2e").output == "1x1o+1x2e"


def test_what_it_was_not_built_for_is_refused():
    with pytest.raises(IndexError):
        network()(graph(numbers=(1, 8, 1, 8, 8, 6)))
    with pytest.raises(ValidationError, match="expected irreps"):
        EuclideanNetworkConfig(type_names=("H",), order="1x")
    with pytest.raises(ValueError, match="Xx is not the symbol of an element"):
        network(type_names=("Xx",))


def test_one_amplitude_for_all_or_one_for_each_of_some():
    np.testing.assert_array_equal(Modulation.shared(3).matrix, np.ones((3, 1)))
    some = Modulation.on(4, [3, 1])
    assert some.names == ("site 3", "site 1")
    np.testing.assert_array_equal(some.matrix, [[0, 0], [0, 1], [0, 0], [1, 0]])


def test_waves_have_a_sine_where_that_is_another_wave():
    cells = np.array([[n, 0, 0] for n in range(4)])
    waves = Modulation.waves(cells, {"G": [0, 0, 0], "X": [0.5, 0, 0], "D": [0.25, 0, 0]}, [0, 1, 2, 3])
    assert waves.names == ("G", "X", "D", "D (sin)")
    np.testing.assert_array_equal(waves.matrix.T, [[1, 1, 1, 1], [1, -1, 1, -1], [1, 0, -1, 0], [0, 1, 0, -1]])
    np.testing.assert_array_equal(Modulation.waves(cells, {"X": [0.5, 0, 0]}, [1]).matrix.T, [[0, -1, 0, 0]])
