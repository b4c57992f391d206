import numpy as np
import pytest

from subduce.config import InputError
from subduce.crystals import PeriodicCrystal, coupling, crystal, decompose, equivalent_origins, irreps_at, strain_modes
from tests.distortions import manganite, perovskite


@pytest.fixture(scope="module")
def doubled():
    return PeriodicCrystal.holding(crystal(perovskite()), np.array([[1, 1, 0], [1, -1, 0], [0, 0, 2]]))


def test_superlattice_holds_every_turned_child(doubled):
    assert len(doubled.cells) == 8  # √2 × √2 × 2 in every direction is 2 × 2 × 2
    for rotation in doubled.crystal.group.rotations:
        turned = doubled.superlattice @ rotation.T @ np.linalg.inv(doubled.superlattice)
        np.testing.assert_allclose(turned, np.rint(turned), atol=1e-9)


@pytest.mark.parametrize("grey", [False, True])
def test_operations_form_a_group_and_permute_sites_as_one(doubled, grey):
    whole = PeriodicCrystal(doubled.crystal, doubled.superlattice, grey)
    generator = np.random.default_rng(0)
    assert whole.order == 48 * 8 * (1 + grey)
    for g, h in generator.integers(whole.order, size=(40, 2)):
        both = whole.table[g, h]
        np.testing.assert_array_equal(whole.permutations[g][whole.permutations[h]], whole.permutations[both])
        assert whole.reversals[both] == whole.reversals[g] * whole.reversals[h]
    assert (np.sort(whole.table, axis=1) == np.arange(whole.order)).all()
    assert whole.type_of(np.arange(whole.order)) == (221, "Pm-3m")


def test_modes_are_complete_and_turn_as_their_irreps(doubled):
    generator = np.random.default_rng(0)
    field = generator.standard_normal((doubled.sites, 3))
    modes = decompose(doubled, field, "displacement", len(doubled.cells))
    np.testing.assert_allclose(sum(mode.field for mode in modes), field, atol=1e-9)
    assert sum(mode.amplitude**2 for mode in modes) == pytest.approx((field**2).sum())
    assert sum(len(mode.components) * mode.irrep.dim for mode in modes) == 3 * doubled.sites
    g = int(generator.integers(doubled.order))
    turns = doubled.crystal.group.cartesian[doubled.operations[0]]
    moved = decompose(doubled, doubled.apply([g], field, turns)[0], "displacement", len(doubled.cells))
    for before, after in zip(modes, moved, strict=True):
        np.testing.assert_allclose(after.components, before.components @ before.matrices[g].T, atol=1e-9)


def test_strain_by_irrep(doubled):
    strain = np.array([[0.01, 0.002, 0], [0.002, -0.01, 0], [0, 0, 0.03]])
    modes = {mode.irrep.label: mode for mode in strain_modes(doubled, strain)}
    assert set(modes) == {"GM1+", "GM3+", "GM5+"}
    assert modes["GM1+"].amplitude == pytest.approx(0.03 / np.sqrt(3))
    assert modes["GM5+"].amplitude == pytest.approx(0.002 * np.sqrt(2))
    assert sum(mode.amplitude**2 for mode in modes.values()) == pytest.approx((strain**2).sum())


@pytest.mark.parametrize(
    ("primary", "secondary", "text"),
    [({"GM4-": (0, 0, 1)}, "GM3+", "GM4-^2 GM3+"), ({"GM4-": (0, 0, 1)}, "GM5+", None), ({"GM5+": (1, 1, 1)}, "GM3+", None),
     ({"R4+": (0, 1, 1), "M3+": (1, 0, 0)}, "X5+", "R4+ M3+ X5+"), ({"R4+": (0, 1, 1), "M3+": (1, 0, 0)}, "GM4-", None)],
)  # fmt: skip
def test_couplings_of_perovskites(doubled, primary, secondary, text):
    waves = {"GM": (0, 0, 0), "R": (0.5, 0.5, 0.5), "M": (0.5, 0.5, 0), "X": (0, 0.5, 0)}
    group = doubled.crystal.group

    def matrices(label):
        wave = np.array(waves[label.rstrip("0123456789+-")])
        return next(i for i in irreps_at(group, wave) if i.label == label).matrices(*doubled.operations)

    driving = [(matrices(label), np.array([value], dtype=float)) for label, value in primary.items()]
    found = coupling(matrices(secondary), driving, degree=4)
    assert (found and found.text(list(primary), secondary)) == text


def test_origins_that_look_the_same():
    np.testing.assert_allclose(equivalent_origins(crystal(perovskite()).group), [[0.5, 0.5, 0.5]])
    parent, _ = manganite()
    np.testing.assert_allclose(equivalent_origins(crystal(parent).group), [[0, 0, 0.5]])


def test_a_child_that_is_too_large_is_refused():
    with pytest.raises(InputError, match="smaller or less skewed"):
        PeriodicCrystal.holding(crystal(perovskite()), np.array([[1, 0, 0], [0, 1, 0], [3, 5, 16]]))
