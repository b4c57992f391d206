"""The potential's config, and errors at its door."""

import pytest
import torch
from pydantic import ValidationError

from subduce.config import InputError
from subduce.data import Graph
from subduce.models import Potential, PotentialConfig, check_elements

DATA = {"type_names": ("H", "O"), "avg_num_neighbors": 4.0}


def test_a_config_without_data_cannot_build():
    with pytest.raises(ValueError, match="type_names"):
        Potential(PotentialConfig())


@pytest.mark.parametrize(
    ("setting", "says"),
    [
        ({"r_max": -1.0}, "greater than 0"),
        ({"type_names": ("H", "Hx")}, "Hx is not the symbol"),
        ({"type_names": ("H", "H")}, "twice"),
        ({"model_dtype": "float16"}, "float32"),
        ({"edge_irreps": "1z"}, "1z"),
        ({"colour": "red"}, "colour"),
        ({"l_max": 2, "num_features": (8, 4)}, "each degree"),
        ({"num_features": 0}, "1 channel"),
    ],
)
def test_impossible_settings_are_refused(setting, says):
    with pytest.raises(ValidationError, match=says):
        PotentialConfig(**setting)


def test_irreps_by_layer_need_one_entry_a_layer():
    with pytest.raises(ValidationError, match="3 layers, got 2"):
        PotentialConfig(**DATA, num_layers=3, irreps=("4x0e", "4x0e"))


def test_same_seed_same_weights():
    a, b, c = (Potential(PotentialConfig(**DATA, num_features=4, seed=seed)) for seed in (1, 1, 2))
    assert all(torch.equal(x, y) for x, y in zip(a.parameters(), b.parameters(), strict=True))
    assert not all(torch.equal(x, y) for x, y in zip(a.parameters(), c.parameters(), strict=True))


def test_an_unknown_element_is_named_and_never_taken_for_another():
    potential = Potential(PotentialConfig(**DATA, num_features=4))
    with pytest.raises(InputError, match=r"water.xyz: contains Si, which .* it knows H, O"):
        check_elements(potential, [1, 14], source="water.xyz")
    one = torch.zeros(1, dtype=torch.long)
    none = torch.zeros(0, dtype=torch.long)
    alone = Graph(
        atomic_numbers=one + 14,
        positions=torch.zeros(1, 3, dtype=torch.float64),
        cell=torch.zeros(1, 3, 3, dtype=torch.float64),
        pbc=torch.zeros(1, 3, dtype=torch.bool),
        structure=one,
        sender=none,
        receiver=none,
        shifts=torch.zeros(0, 3, dtype=torch.float64),
        charge=torch.zeros(1, dtype=torch.float64),
    )
    with pytest.raises(IndexError):
        potential(alone)


def test_energies_are_summed_in_float64():
    """Total energies of thousands of eV keep their meV in a float32 network."""
    config = PotentialConfig(**DATA, num_features=4, per_type_energy_shifts={"H": -13.6, "O": -2041.123456789})
    potential = Potential(config)
    assert potential.dtype == torch.float32
    assert potential.shifts.dtype == torch.float64
    assert potential.shifts[1].item() == -2041.123456789
