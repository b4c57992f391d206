"""Laws of fields with known symmetry (G31, G32, G36, G41, G42): the answer is stated, not fitted."""

import numpy as np
import pytest

from subduce.config import InputError
from subduce.data import open_pairs
from subduce.discovery import Investigation, action_on, discover, when, where
from tests.unit.discovery.cases import plane, scalars, shifted, smooth, space, step


def broken(results):
    return {row["irrep"] for row in results["irreps"] if row["verdict"] == "broken"}


@pytest.mark.parametrize(
    ("law", "irreps", "kept"),
    [
        ({}, set(), "D4"),
        ({"d_x": 0.12, "d_y": 0.08}, {"B1"}, "D2(axes)"),
        ({"d_xy": 0.02}, {"B2"}, "D2(diagonals)"),
        ({"c": (0.02, 0)}, {"E"}, "Cs(m_y)"),
        ({"c": (0.02, 0.02)}, {"E"}, "Cs(m_diag)"),
        ({"d_x": 0.12, "d_y": 0.08, "d_xy": 0.02}, {"B1", "B2"}, "C2"),
        ({"d_x": 0.12, "d_y": 0.08, "d_xy": 0.02, "c": (0.02, 0.01)}, {"B1", "B2", "E"}, "C1"),
    ],
)
def test_a_law_of_the_plane_breaks_the_irreps_that_it_was_made_to_break(law, irreps, kept):
    pairs = plane(**law)
    found = discover(pairs, action_on(pairs, "D4"))
    assert found["preserved"]["conjugacy"] == kept
    assert broken(found) == irreps
    assert all(row["p_value"] < 1e-20 for row in found["irreps"] if row["irrep"] in irreps)
    assert not found["lack_of_fit"]["flag"]


def test_directions_and_signs_of_an_advected_field():
    pairs = plane(c=(0.02, 0))
    advected = next(row for row in discover(pairs, action_on(pairs, "D4"))["irreps"] if row["irrep"] == "E")
    assert advected["direction_symbol"] == "(a,0)"
    assert advected["direction"][0] < -0.99  # the weight of the neighbour at +x falls
    found = Investigation(pairs, action_on(pairs, "D4"))
    basis = found.evidence.laws.bases["E"]
    assert basis.shape == (2, 10, 2)
    size = (
        found.evidence.coefficients(found.evidence.laws.bases["E"])[:, 0] * found.target_scale[0] / found.input_scale[0]
    )
    assert np.abs(size).max() == pytest.approx(0.02 / 2**0.5, abs=1e-3)


@pytest.mark.parametrize(
    ("law", "irreps", "kept"),
    [
        ({}, set(), "Oh"),
        ({"diffusion": (0.1, 0.1, 0.12)}, {"Eg"}, "D4h(z)"),
        ({"d_xy": 0.02}, {"T2g"}, "D2h(z; diagonals)"),
        ({"c_z": 0.02}, {"T1u"}, "C4v(z)"),
        ({"cubic": 0.02}, {"A2u"}, "Td"),
    ],
)
def test_a_law_of_space_breaks_the_irreps_that_it_was_made_to_break(law, irreps, kept):
    pairs = space(**law)
    found = discover(pairs, action_on(pairs, "Oh"))
    assert (broken(found), found["preserved"]["conjugacy"]) == (irreps, kept)


def test_elements_agree_with_the_subgroup_and_sizes_with_the_law():
    pairs = plane(d_x=0.12, d_y=0.08)
    found = discover(pairs, action_on(pairs, "D4"))
    lost = {row["name"] for row in found["elements"] if row["verdict"] == "broken"}
    assert lost == {"C4", "C4^3", "m_diag", "m_antidiag"}
    assert set(found["preserved"]["elements"]) == {"e", "C2", "m_x", "m_y"}
    sizes = {row["name"]: row for row in found["elements"]}
    assert sizes["C4"]["interval"][0] < sizes["C4"]["effect"] < sizes["C4"]["interval"][1] < sizes["C4"]["effect"] * 1.2
    # f = D_x f_xx + D_y f_yy of isotropic fields: g·f − f is twice the part in B1
    part = next(row for row in found["irreps"] if row["irrep"] == "B1")["energy_fraction"]
    assert sizes["C4"]["effect"] == pytest.approx(2 * part**0.5, rel=0.02)
    assert found["proven"]["order"] < 8


def test_nothing_is_called_preserved_because_a_test_did_not_reject():
    pairs = plane(samples=12, noise=1.0)
    found = discover(pairs, action_on(pairs, "D4"))
    assert found["preserved"]["name"] == "D4"
    assert {row["verdict"] for row in found["elements"][1:]} == {"undetermined"}
    assert found["proven"]["name"] == "C1"
    assert found["detectable_effect"] > found["delta"]


@pytest.mark.parametrize("stretch", [(1, 1), (1, 4)])
def test_false_alarms_are_as_rare_as_the_level_says(stretch):
    rejected, kept, trials = {"B1": 0, "B2": 0, "E": 0}, 0, 60
    for seed in range(trials):
        pairs = plane(seed=seed, stretch=stretch)
        found = Investigation(pairs, action_on(pairs, "D4"))
        for name in rejected:
            rejected[name] += found.evidence.absent(found.group.irrep(name)).p_value < 0.05
        kept += found.closed.kept[0].name == "D4"
    assert all(count <= 9 for count in rejected.values()), rejected  # of 60 at 5 %: more than 9 has a chance of 0.1 %
    assert kept >= 0.83 * trials


@pytest.mark.slow
@pytest.mark.parametrize("stretch", [(1, 1), (1, 4)])
def test_false_alarms_over_200_replications(stretch):
    rejected, kept = {"B1": 0, "B2": 0, "E": 0}, 0
    for seed in range(200):
        pairs = plane(seed=1000 + seed, stretch=stretch)
        found = Investigation(pairs, action_on(pairs, "D4"))
        for name in rejected:
            rejected[name] += found.evidence.absent(found.group.irrep(name)).p_value < 0.05
        kept += found.closed.kept[0].name == "D4"
    assert all(4 <= count <= 18 for count in rejected.values()), rejected
    assert kept >= 186


def test_a_symmetric_law_wider_than_the_stencil_breaks_nothing():
    weights = {0: 0.5, 1: 0.08, 2: 0.03, 4: 0.02, 5: 0.01, 8: 0.0}
    rejected, trials = 0, 20
    for seed in range(trials):
        rng = np.random.default_rng(seed)
        field = smooth(rng, 60, stretch=(1, 4))
        reach = range(-2, 3)
        target = sum(weights[i * i + j * j] * shifted(field, i, j) for i in reach for j in reach)
        pairs = scalars(field, target + 0.05 * rng.normal(size=field.shape))
        found = discover(pairs, action_on(pairs, "D4"))
        assert found["estimator"] != "stencil of radius 1"
        rejected += found["preserved"]["name"] != "D4"
    assert rejected <= 5  # at 5 %: more has a chance of 0.03 %


def test_where_it_breaks_and_along_which_axis_the_law_changes():
    rng = np.random.default_rng(0)
    field = smooth(rng, 60)
    right = (np.arange(16) >= 8)[None, :, None]
    target = np.where(right, step(field, 0.12, 0.08), step(field)) + 0.05 * rng.normal(size=field.shape)
    pairs = scalars(field, target)
    found = where(Investigation(pairs, action_on(pairs, "D4")))
    maps = dict(zip(found["irreps"], np.array(found["p_values"]) < 0.05, strict=True))
    assert maps["B1"][4:].all()
    assert not maps["B1"][:4].any()
    assert not maps["B2"].any()
    assert not maps["E"].any()
    assert found["translations"]["x"]["verdict"] == "broken"
    assert found["translations"]["y"]["p_value"] > 0.05


@pytest.mark.parametrize("onset", [15, 40])
def test_when_it_starts_to_break(onset):
    rng = np.random.default_rng(onset)
    field = smooth(rng, 60)
    late = (np.arange(60) >= onset)[:, None, None]
    target = np.where(late, step(field, 0.12, 0.08), step(field)) + 0.05 * rng.normal(size=field.shape)
    pairs = scalars(field, target)
    found = when(Investigation(pairs, action_on(pairs, "D4")))
    assert abs(found["onset"] - onset) <= 1
    assert found["interval"][0] <= onset <= found["interval"][1]


def test_no_onset_where_nothing_changes():
    pairs = plane(d_x=0.12, d_y=0.08)
    assert when(Investigation(pairs, action_on(pairs, "D4")))["onset"] is None


def test_a_law_without_noise():
    pairs = plane(noise=0.0)
    found = discover(pairs, action_on(pairs, "D4"))
    assert found["preserved"]["name"] == "D4"
    assert found["proven"]["name"] == "D4"
    pairs = plane(noise=0.0, d_x=0.12, d_y=0.08)
    assert discover(pairs, action_on(pairs, "D4"))["preserved"]["conjugacy"] == "D2(axes)"


def test_axes_in_another_order_give_the_same_answer():
    rng = np.random.default_rng(3)
    field = smooth(rng, 40, 12, 3)
    lifted = (
        field - 0.02 * (shifted(field, 0, 0, 1) - shifted(field, 0, 0, -1)) / 2 + 0.01 * rng.normal(size=field.shape)
    )
    turned = {"input": field.transpose(0, 3, 2, 1), "target": lifted.transpose(0, 3, 2, 1)}
    pairs = open_pairs(turned, no_channels=True, axes="z y x")
    assert discover(pairs, action_on(pairs, "Oh"))["preserved"]["conjugacy"] == "C4v(z)"


def test_what_cannot_be_asked_is_refused():
    pairs = plane(samples=12)
    with pytest.raises(InputError, match="C2, C4, Cs, D2, D4"):
        action_on(pairs, "C3")
    with pytest.raises(InputError, match="plane"):
        action_on(pairs, "Oh")
    few = plane(samples=5)
    with pytest.raises(InputError, match="at least 8"):
        discover(few, action_on(few, "D4"))
    field = smooth(np.random.default_rng(0), 12)
    same = scalars(field, field)
    with pytest.raises(InputError, match="--distribution"):
        discover(same, action_on(same, "D4"))
