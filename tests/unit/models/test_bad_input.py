"""What is no graph, no structure or no potential is refused in words, by the program and by autograd alike."""

import numpy as np
import pytest
import torch
from ase.build import molecule
from torch import nn

from subduce.config import InputError
from subduce.data import graph_from_structure, structure_from_atoms
from subduce.interfaces.ase import Calculator
from subduce.models import Engine, Potential, PotentialConfig, forces_and_stress

CONFIG = {"type_names": ("H", "C", "O"), "r_max": 3.5, "num_layers": 2, "num_features": 4, "avg_num_neighbors": 5.0}
RADIAL = pytest.mark.parametrize("radial", ["table", "exact"])


def potential(**settings) -> Potential:
    return Potential(PotentialConfig(**CONFIG | settings))


@pytest.fixture
def graph():
    return graph_from_structure(structure_from_atoms(molecule("CH3CH2OH")), 3.5).graph


def with_number(values, place, number):
    values = values.clone()
    values[place] = number
    return values


CHANGES = {
    "positions without a number": (
        lambda g: {"positions": with_number(g.positions, (2, 1), torch.nan)},
        (InputError, r"structure 0: the position of atom 2 is not finite: \[.*nan"),
    ),
    "positions without end": (
        lambda g: {"positions": with_number(g.positions, (3, 0), -torch.inf)},
        (InputError, "the position of atom 3 is not finite"),
    ),
    "positions in float32": (
        lambda g: {"positions": g.positions.float()},
        (
            TypeError,
            r"positions: torch.float32, and geometry is torch.float64 .*=graph.positions.double\(\)",
        ),
    ),
    "a cell in float32": (lambda g: {"cell": g.cell.float()}, (TypeError, "cell: torch.float32")),
    "another element": (
        lambda g: {"atomic_numbers": with_number(g.atomic_numbers, 0, 14)},
        (InputError, "contains Si, which the model has never seen; it knows H, C, O"),
    ),
    "a negative element": (
        lambda g: {"atomic_numbers": with_number(g.atomic_numbers, 0, -1)},
        (InputError, "contains an atom of number -1"),
    ),
    "no element": (
        lambda g: {"atomic_numbers": with_number(g.atomic_numbers, 0, 400)},
        (InputError, "contains an atom of number 400"),
    ),
    "unsorted edges": (lambda g: {"receiver": g.receiver.flip(0)}, (ValueError, "sorted by receiver")),
    "senders beyond the last atom": (
        lambda g: {"sender": with_number(g.sender, -1, 9)},
        (IndexError, "out of range|out of bounds"),
    ),
    "receivers beyond the last atom": (
        lambda g: {"receiver": with_number(g.receiver, -1, 2**40)},
        (IndexError, "out of range|out of bounds"),
    ),
    "fewer senders": (lambda g: {"sender": g.sender[:-1]}, (ValueError, "receiver has shape .* expected")),
    "fewer shifts": (lambda g: {"shifts": g.shifts[:1]}, (ValueError, r"shifts has shape \(1, 3\), expected")),
    "fewer positions": (lambda g: {"positions": g.positions[:4]}, (ValueError, "expected .* for 4 atoms")),
}


@RADIAL
@pytest.mark.parametrize("name", CHANGES)
def test_what_is_no_graph_is_refused(graph, name, radial):
    change, (kind, message) = CHANGES[name]
    engine = Engine(potential(), radial=radial)
    expected = engine(graph)
    with pytest.raises(kind, match=message):
        engine(graph.replace(**change(graph)))
    assert torch.equal(engine(graph).forces, expected.forces)  # what was refused leaves no trace


@RADIAL
@pytest.mark.parametrize("number", [np.nan, np.inf])
def test_the_calculator_names_the_atom_that_is_nowhere(number, radial):
    atoms = molecule("CH3CH2OH")
    atoms.calc = Calculator(potential(), radial=radial)
    expected = atoms.get_forces()
    before = atoms.positions[4].copy()
    atoms.positions[4, 2] = number
    with pytest.raises(InputError, match=r"C2H6O: positions are not finite.* atom 4 is at"):
        atoms.get_forces()
    atoms.positions[4] = before
    np.testing.assert_array_equal(atoms.get_forces(), expected)


def test_weights_of_another_model_are_refused():
    with pytest.raises(RuntimeError, match=r"size mismatch for layers\.0"):
        potential().load_state_dict(potential(num_features=8).state_dict())
    with pytest.raises(RuntimeError, match=r"Missing key|Unexpected key"):
        potential().load_state_dict(potential(num_layers=3).state_dict())


WEIGHTS = {
    "linear": lambda model: (model.layers[0].convolution.after.weights, "1o"),
    "self-connection": lambda model: (model.layers[1].self_connection.weights, "0e"),
    "readout": lambda model: (model.readout.weights, 0),
    "radial": lambda model: (model.layers[0].convolution.radial.weights, 1),
}


@RADIAL
@pytest.mark.parametrize("name", WEIGHTS)
@pytest.mark.parametrize("axis", [-1, -2])
@pytest.mark.filterwarnings("ignore:the exact radial networks are used")
def test_a_weight_that_was_exchanged_for_one_of_another_shape_is_refused(graph, name, radial, axis):
    model = potential()
    weights, key = WEIGHTS[name](model)
    smaller = weights[key].detach().narrow(axis, 0, max(weights[key].shape[axis] - 1, 0)).clone()
    weights[key] = nn.Parameter(smaller)
    with pytest.raises((ValueError, RuntimeError)):
        Engine(model, radial=radial)(graph)
    with pytest.raises((ValueError, RuntimeError)):
        forces_and_stress(model, graph)


@RADIAL
@pytest.mark.filterwarnings("ignore:the exact radial networks are used")
def test_an_embedding_of_another_shape_is_refused(graph, radial):
    model = potential()
    model.embedding = nn.Parameter(torch.randn(3, 3))
    with pytest.raises((ValueError, RuntimeError)):
        Engine(model, radial=radial)(graph)
    model = potential()
    model.embedding = nn.Parameter(torch.randn(2, 4))
    with pytest.raises((ValueError, RuntimeError, IndexError)):
        Engine(model, radial=radial)(graph)
