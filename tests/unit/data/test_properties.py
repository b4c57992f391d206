"""Labels beyond energy, forces and stress: found, converted, missing in part, packed and batched."""

import ase.units
import numpy as np
import pytest
import torch

from subduce.config import InputError
from subduce.data import Batch, GraphDataset, LabelKeys, Property, graph_from_structure, open_structures, unit_factor

KEYS = LabelKeys(
    properties=(
        Property("mu", unit="D", file_unit="e*bohr"),
        Property("dipole", (3,)),
        Property("alpha", (3, 3)),
        Property("charges", per="atom", keys=("q",)),
        Property("spins", (3,), per="atom"),
    )
)
FILE = """3
mu=1 REF_dipole="1 2 3" alpha="1 2 3 4 5 6" charge=-1 config_weight=2 Properties=species:S:1:pos:R:3:q:R:1:spins:R:3
O 0 0 0 -0.8 1 2 3
H 0 0 1 0.4 4 5 6
H 0 1 0 0.4 7 8 9
1
alpha="1 2 3 2 4 5 3 5 6" Properties=species:S:1:pos:R:3
He 0 0 0
2
Properties=species:S:1:pos:R:3:q:R:1
H 0 0 0 0.1
H 0 0 0.7 -0.1
"""


@pytest.fixture
def structures(tmp_path):
    path = tmp_path / "some.extxyz"
    path.write_text(FILE)
    return open_structures(path, keys=KEYS)


def test_values_have_the_shape_and_unit_that_were_declared(structures):
    water, helium, _ = structures
    assert water.properties["mu"] == pytest.approx(2.541746, abs=1e-6)
    np.testing.assert_array_equal(water.properties["dipole"], [[1, 2, 3]])
    np.testing.assert_array_equal(water.properties["alpha"], [[[1, 6, 5], [6, 2, 4], [5, 4, 3]]])
    np.testing.assert_array_equal(helium.properties["alpha"], [[[1, 2, 3], [2, 4, 5], [3, 5, 6]]])
    np.testing.assert_array_equal(water.properties["charges"], [-0.8, 0.4, 0.4])
    np.testing.assert_array_equal(water.properties["spins"], np.arange(1, 10).reshape(3, 3))
    assert [one.has("dipole") for one in structures] == [True, False, False]
    assert [one.has("charges") for one in structures] == [True, False, True]
    assert helium.properties["charges"].shape == (1,)
    assert structures.labels_used["charges"] == ("q",)


@pytest.mark.parametrize("cache", [False, True])
def test_a_data_set_gives_what_its_structures_have(structures, tmp_path, cache):
    dataset = GraphDataset(structures, 3.0, cache=tmp_path / "cache" if cache else None)
    together = dataset.batch([2, 0, 1])
    apart = Batch.collate([graph_from_structure(structures[row], 3.0) for row in (2, 0, 1)])
    assert list(together.labels.properties) == ["mu", "dipole", "alpha", "charges", "spins"]
    for name, values in apart.labels.properties.items():
        torch.testing.assert_close(together.labels.properties[name], values, rtol=0, atol=0, equal_nan=True)
    assert together.labels.properties["alpha"].shape == (3, 3, 3)
    assert together.labels.properties["spins"].shape == (6, 3)
    assert together.graph.charge.tolist() == [0, -1, 0]
    assert together.labels.properties_weight.tolist() == [1, 2, 1]
    assert {name: dataset.missing(name).tolist() for name in ("dipole", "charges")} == {
        "dipole": [1, 2],
        "charges": [1],
    }
    assert together.labels.unlabelled().properties["charges"].isnan().all()


def test_a_label_that_all_lack_is_named_with_its_keys(structures):
    with pytest.raises(InputError, match="no dipole in any of 2 structures, looked for under REF_dipole, dipole"):
        GraphDataset(structures.subset([1, 2]), 3.0).require(["dipole"])


def test_values_of_another_shape_or_unit_are_refused(tmp_path):
    path = tmp_path / "some.extxyz"
    path.write_text(FILE)
    for wrong, message in (
        (Property("mu", (3,)), r"structure 0: mu has shape \(\); expected one value for the structure"),
        (Property("dipole", (3, 3)), "REF_dipole has shape"),
        (Property("mu", unit="D", file_unit="eV"), "the unit eV cannot be converted into D"),
        (Property("mu", unit="D", file_unit="parsec"), "no unit is called 'parsec'"),
        (Property("charges", per="atom", keys=("mu",)), "expected one value for each atom"),
    ):
        with pytest.raises(InputError, match=message):
            open_structures(path, keys=LabelKeys(properties=(wrong,)))[0]


@pytest.mark.parametrize(
    ("unit", "target", "factor"),
    [
        ("Hartree", "eV", ase.units.Hartree),
        ("cal/(mol K)", "eV/K", ase.units.kcal / ase.units.mol / 1000),
        ("cal/mol/K", "J/(mol K)", 4.184),
        ("bohr^3", "Å³", ase.units.Bohr**3),
        ("a0^2", "Å^2", ase.units.Bohr**2),
        ("D", "e*Å", ase.units.Debye),
        ("1/cm", "Å^-1", 1e-8),
        ("kcal/mol", "kJ/mol", 4.184),
        ("GPa", "eV/Å³", ase.units.GPa),
    ],
)
def test_units_are_products_and_powers(unit, target, factor):
    assert unit_factor(unit, target) == pytest.approx(factor, rel=1e-12)
    assert unit_factor(target, unit) == pytest.approx(1 / factor, rel=1e-12)
