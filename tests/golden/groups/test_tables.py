"""Groups against tables from books, typed in by hand: no label may change places with another."""

import json
from pathlib import Path

import numpy as np
import pytest

from subduce.groups import isotropy_subgroups, o3_matrices, point_group, subduce, subgroups, symmetric_power

TABLES = json.loads((Path(__file__).parent / "tables.json").read_text())


def every(table):
    return [(group, key) for group, rows in TABLES[table].items() for key in rows]


def matrix_of(kind):
    """The operation that a class is represented by: a turn about an axis, then a reflection across it if mirrored."""
    axis = np.asarray(kind["axis"], dtype=float)
    axis /= np.linalg.norm(axis)
    angle = np.radians(kind["degrees"])
    cross = np.cross(np.eye(3), axis)  # cross @ v is axis × v
    turn = np.cos(angle) * np.eye(3) + np.sin(angle) * cross + (1 - np.cos(angle)) * np.outer(axis, axis)
    return (np.eye(3) - 2 * np.outer(axis, axis)) @ turn if kind["mirrored"] else turn


@pytest.mark.parametrize("name", TABLES["characters"])
def test_characters_are_those_of_textbooks(name):
    group, table = point_group(name), TABLES["characters"][name]
    assert {irrep.name for irrep in group.irreps} == set(table["characters"])
    places = [np.abs(group.matrices - matrix_of(kind)).max(axis=(1, 2)).argmin() for kind in table["classes"]]
    np.testing.assert_allclose(group.matrices[places], [matrix_of(kind) for kind in table["classes"]], atol=1e-12)
    sizes = [next(len(members) for members in group.classes if place in members) for place in places]
    assert sizes == [kind["size"] for kind in table["classes"]]
    for label, row in table["characters"].items():
        np.testing.assert_allclose(group.irrep(label).character[places], row, atol=1e-10, err_msg=label)


@pytest.mark.parametrize(("name", "setting"), every("coset_irreps"))
def test_coset_irreps(name, setting):
    kept = next(kept for kept in subgroups(point_group(name)) if kept.setting == setting)
    assert kept.coset_irreps == TABLES["coset_irreps"][name][setting]


@pytest.mark.parametrize(("name", "irrep"), every("subduction"))
def test_subduction_from_o3(name, irrep):
    assert subduce(irrep, point_group(name)) == TABLES["subduction"][name][irrep]


@pytest.mark.parametrize("name", TABLES["invariant_dimensions"])
def test_dimensions_of_invariants(name):
    group, table = point_group(name), TABLES["invariant_dimensions"][name]
    for parity in "eo":
        means = [np.trace(o3_matrices(group, f"{l}{parity}").mean(axis=0)) for l in range(7)]
        np.testing.assert_allclose(means, table[parity], atol=1e-10)


@pytest.mark.parametrize(("name", "irrep"), every("symmetric_squares"))
def test_symmetric_squares(name, irrep):
    assert symmetric_power(point_group(name), irrep) == TABLES["symmetric_squares"][name][irrep]


@pytest.mark.parametrize("irrep", TABLES["isotropy_Oh"])
def test_isotropy_subgroups_of_the_cube(irrep):
    whole, *broken = isotropy_subgroups(point_group("Oh"), irrep)
    if irrep == "A1g":
        assert (whole.subgroup.name, whole.direction, broken) == ("Oh", "(a)", [])
        return
    assert (whole.subgroup.name, whole.dimension) == ("Oh", 0)
    found = [[way.subgroup.name, way.direction, way.subgroup.index] for way in broken]
    assert sorted(found) == sorted(TABLES["isotropy_Oh"][irrep])
