"""One call from sites and a target to the order parameter that a network lacks: what it says, and what it refuses."""

import json

import numpy as np
import pytest
from ase import Atoms

from subduce.discovery import LearnConfig, network_order_parameter
from subduce.groups import SiteSymmetry, point_group
from subduce.models import Modulation

CUBE = np.array([[x, y, z] for x in (-1.0, 1) for y in (-1.0, 1) for z in (-1.0, 1)])
CLOUD = Atoms("O8Ti", np.concatenate([CUBE, [[0, 0, 0]]]))
OH = point_group("Oh")
WEIGHTS = {irrep.name: irrep.dim / irrep.commutant * irrep.character for irrep in OH.irreps}
SYMMETRY = SiteSymmetry.of_points(OH, CLOUD.positions)
SMALL = {"num_layers": 1, "num_features": 4, "l_max": 2}
LEARN = LearnConfig(penalties=(0.3, 0.0), symmetric_steps=10, weight_steps=20)


def moved(direction):
    """The atom in the middle leaves it; the cube gives way a little."""
    target = np.zeros((9, 3))
    target[8] = 0.1 * np.array(direction)
    target[:8] = -0.02 * np.array(direction)
    return target


@pytest.mark.parametrize(("direction", "kept", "domains"), [((0, 0, 1), 8, 6), ((1, 1, 1), 6, 8), ((0, 1, 1), 4, 12)])
def test_an_atom_that_leaves_the_centre_of_a_cube_is_a_polar_vector_on_it(direction, kept, domains):
    inputs = Modulation.on(9, [8])
    found = network_order_parameter(
        CLOUD, moved(direction), SYMMETRY, inputs, network=SMALL, learn=LEARN, weights=WEIGHTS
    )
    results = json.loads(json.dumps(found.results()))
    assert (results["order"], results["kept"], results["kept_by_order"]) == (48, kept, kept)
    assert results["domains"] == domains
    assert results["forbidden_max"] < 1e-12
    assert results["variants_error"] < 1e-12
    assert results["loss"] < 0.02 * results["plateau"]
    assert results["plateau_of_order"] < 1e-20
    broken = {name for name, size in results["irreps"].items() if size > 1e-9 * max(results["irreps"].values())}
    assert broken == {"A1g", "T1u"}  # what is symmetric is what an untrained network has still to learn
    learned = found.learned.amplitudes[0]
    vector = found.only("1o")[0]
    assert np.linalg.norm(vector) > 0.5 * np.linalg.norm(learned)
    place = found.network.order.slices()[3]  # 0e, 0o, 1e, 1o
    np.testing.assert_allclose(np.cross(vector[place], direction), 0, atol=1e-12)
    np.testing.assert_allclose(found.output(0 * found.learned.amplitudes)[8], 0, atol=1e-12)
    np.testing.assert_allclose(found.output(found.learned.amplitudes), found.learned.output, atol=1e-12)


def test_what_keeps_every_symmetry_breaks_nothing():
    breathing = 0.05 * CLOUD.positions
    found = network_order_parameter(CLOUD, breathing, SYMMETRY, network=SMALL, learn=LearnConfig(symmetric_steps=30))
    results = found.results()
    assert found.learned is None
    assert results["kept"] == 48
    assert not any(results["dimensions"].values())
    assert results["plateau"] < 1e-30
    assert results["loss"] < 1e-12


def test_inputs_stand_at_every_site_unless_told_otherwise():
    found = network_order_parameter(CLOUD, moved((0, 0, 1)), SYMMETRY, network=SMALL, learn=LEARN)
    assert set(found.results()["dimensions"]) == {
        f"{irrep} at {where}" for irrep in ("0e", "0o", "1e", "1o", "2e", "2o") for where in ("site 0 …", "site 8")
    }
