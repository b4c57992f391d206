"""Laws of vectors with known symmetry (G23, G33, G37, G38): groups by name, by generators, and all of O(3)."""

import numpy as np
import pytest

from subduce.config import InputError
from subduce.data import open_pairs
from subduce.discovery import action_on, anisotropy, discover, discover_continuous, discover_symmetries
from tests.unit.discovery.cases import V4, pendulum, vectors


@pytest.mark.parametrize(
    ("terms", "kept", "irreps"),
    [
        (lambda angle, velocity: 0 * angle, "V4", set()),
        (lambda angle, velocity: -0.6 * velocity, "<P>", {"P+T-"}),
        (lambda angle, velocity: 0.3 + 0 * angle, "<T>", {"P-T+"}),
        (lambda angle, velocity: 0.3 * angle * velocity, "<P*T>", {"P-T-"}),
        (lambda angle, velocity: 0.3 - 0.6 * velocity, "{e}", {"P+T-", "P-T+"}),
    ],
)
def test_a_pendulum_keeps_what_its_forces_keep(terms, kept, irreps):
    pairs = pendulum(terms)
    found = discover(pairs, action_on(pairs, V4))
    assert found["preserved"]["name"] == kept
    assert {row["irrep"] for row in found["irreps"] if row["verdict"] == "broken"} == irreps


@pytest.mark.parametrize(
    ("gradient", "kept", "irreps"),
    [
        ([[0.3, 0], [0, -0.3]], "D2(axes)", {"B1"}),
        ([[0, -0.3], [0.3, 0]], "C4", {"A2"}),
        ([[0, 0.3], [0, 0]], "C2", {"A2", "B2"}),
    ],
)
def test_a_velocity_gradient_breaks_as_strain_and_rotation_do(gradient, kept, irreps):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(500, 2))
    pairs = vectors(x, x @ np.array(gradient).T + 0.05 * rng.normal(size=x.shape))
    found = discover(pairs, action_on(pairs, "D4"))
    assert found["preserved"]["conjugacy"] == kept
    assert {row["irrep"] for row in found["irreps"] if row["verdict"] == "broken"} == irreps


@pytest.mark.parametrize(("masses", "order"), [((1, 1, 1), 6), ((1, 1, 2), 2), ((1, 2, 3), 1)])
def test_a_ring_of_springs_keeps_the_permutations_of_equal_masses(masses, order):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(2000, 3))
    force = -(2 * x - np.roll(x, 1, 1) - np.roll(x, -1, 1)) / np.array(masses) + 0.05 * rng.normal(size=x.shape)
    swap, turn = np.eye(3)[[1, 0, 2]].tolist(), np.eye(3)[[1, 2, 0]].tolist()
    group = {"name": "S3", "generators": {"s": {"input": swap, "target": swap}, "c": {"input": turn, "target": turn}}}
    pairs = open_pairs({"input": x, "target": force})
    found = discover(pairs, action_on(pairs, group))
    assert found["preserved"]["order"] == order
    if order == 2:
        assert found["preserved"]["elements"] == ["e", "s"]
        assert {row["dimension"] for row in found["irreps"] if row["verdict"] == "broken"} == {2}


def crossed(electric, magnetic, seed=1, noise=0.02, samples=200):
    rng = np.random.default_rng(seed)
    v = rng.normal(size=(samples, 3))
    return vectors(v, np.array(electric) + np.cross(v, magnetic) - 0.3 * v + noise * rng.normal(size=v.shape))


def test_crossed_fields_come_out_with_their_directions_signs_and_sizes():
    found = discover_continuous(crossed((1, 0, 0), (0, 1, 0)), "O(3)")
    rows = {row["irrep"]: row for row in found["irreps"]}
    assert {name for name, row in rows.items() if row["verdict"] == "broken"} == {"1o", "1e"}
    assert rows["1o"]["value"] == pytest.approx([1, 0, 0], abs=0.02)
    assert rows["1e"]["value"] == pytest.approx([0, 1, 0], abs=0.02)
    assert rows["1o"]["direction"] == pytest.approx([1, 0, 0], abs=0.02)
    assert rows["1e"]["direction"] == pytest.approx([0, 1, 0], abs=0.02)
    assert (found["preserved"]["name"], found["preserved"]["elements"]) == ("Cs", ["e", "m_y"])
    assert {row["name"] for row in found["elements"]} == {"Lx", "Ly", "Lz", "inversion"}


@pytest.mark.parametrize(
    ("electric", "magnetic", "kept"),
    [((0, 0, 0), (0, 0, 0), "O3"), ((0, 0, 1), (0, 0, 0), "Cinfv"), ((0, 0, 0), (0, 1, 0), "Cinfh")],
)
def test_a_single_field_keeps_the_turns_about_it(electric, magnetic, kept):
    assert discover_continuous(crossed(electric, magnetic), "O(3)")["preserved"]["name"] == kept


def test_an_anisotropic_mass_is_a_tensor():
    rng = np.random.default_rng(5)
    v = rng.normal(size=(300, 3))
    pairs = vectors(v, v @ np.diag([1.0, 1.0, 1.3]) + 0.02 * rng.normal(size=v.shape))
    found = discover_continuous(pairs, "O(3)")
    assert {row["irrep"] for row in found["irreps"] if row["verdict"] == "broken"} == {"2e"}
    assert found["preserved"]["conjugacy"] == "Dinfh(z)"


def test_wrong_groups_are_refused_in_words():
    pairs = pendulum(lambda angle, velocity: 0 * angle, samples=100)
    with pytest.raises(InputError, match="1 × 1"):
        action_on(pairs, {"generators": {"P": {"input": [[-1, 0], [0, -1]], "target": [[1, 0], [0, 1]]}}})
    with pytest.raises(InputError, match="generators"):
        action_on(pairs, {"elements": []})
    with pytest.raises(InputError, match="orthogonal"):
        action_on(pairs, {"generators": {"P": {"input": [[2, 0], [0, 1]], "target": [[1]]}}})


def test_a_reynolds_stress_of_4_1_1_is_that_of_a_rod():
    """G40: η = 1/6 from the share of 2e in R = tr R (b + 1/3), b = diag(1/3, −1/6, −1/6) from its direction."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(1000, 3))
    found = discover_continuous(vectors(x, x * [0.4, 0.1, 0.1] + 0.001 * rng.normal(size=x.shape)), "O(3)")
    rows = {row["irrep"]: row for row in found["irreps"] if row["verdict"] == "broken"}
    assert set(rows) == {"2e"}
    assert found["preserved"]["conjugacy"] == "Dinfh(x)"
    share = rows["2e"]["energy_fraction"]  # |b|² / (|b|² + 1/3), with |b|² = 6 η²
    np.testing.assert_allclose((share / (1 - share) / 18) ** 0.5, 1 / 6, atol=2e-3)
    xz, xy, yy, yz, last = rows["2e"]["direction"]
    np.testing.assert_allclose(np.abs([xz, xy, yz]), 0, atol=0.02)
    np.testing.assert_allclose(yy / last, 3**-0.5, atol=0.02)


def test_the_invariants_of_that_stress():
    """G40: diag(4, 1, 1) has b = diag(1/3, −1/6, −1/6), η = ξ = 1/6, C = (1/2, 0, 1/2), and keeps D∞h about x."""
    found = anisotropy(np.diag([4.0, 1.0, 1.0]))
    np.testing.assert_allclose(found.tensor, np.diag([1 / 3, -1 / 6, -1 / 6]), atol=1e-12)
    assert (found.eta, found.xi) == pytest.approx((1 / 6, 1 / 6))
    assert found.shares == pytest.approx((0.5, 0, 0.5))
    assert (found.preserved, found.axis) == ("Dinfh", (1.0, 0.0, 0.0))
    assert anisotropy(np.eye(3)).preserved == "O3"
    assert anisotropy(np.diag([3.0, 2.0, 1.0])).preserved == "D2h"
    flat = anisotropy(np.diag([1.0, 1.0, 0.25]))
    assert (flat.preserved, flat.axis) == ("Dinfh", (0.0, 0.0, 1.0))
    assert flat.xi < 0
    for wrong in (np.ones(3), np.diag([2.0, 1.0, -1.0]), np.array([[1, 1, 0], [0, 1, 0], [0, 0, 1.0]])):
        with pytest.raises(ValueError, match=r"3 × 3|negative"):
            anisotropy(wrong)


@pytest.mark.parametrize("estimator", ["stencil", "network"])
def test_vectors_under_all_rotations_have_polynomials_alone(estimator):
    v = np.random.default_rng(1).normal(size=(40, 3))
    with pytest.raises(InputError, match="take auto or polynomial"):
        discover_symmetries({"input": v, "target": 2 * v}, "O(3)", channels="1o", estimator=estimator)
    discover_symmetries({"input": v, "target": 2 * v}, "O(3)", channels="1o", estimator="polynomial")


@pytest.mark.parametrize(
    ("electric", "proven"), [((0, 0, 0), "O(3)"), ((0, 0, 1), "Cinfv(z)"), ((0.6, 0.8, 0), "Cinfv(0.60,0.80,0.00)")]
)
def test_what_a_law_is_shown_to_keep_is_proven(electric, proven):
    found = discover_continuous(crossed(electric, (0, 0, 0), noise=0.0005), "O(3)")
    assert found["proven"]["conjugacy"] == found["preserved"]["conjugacy"] == proven
    uncertain = discover_continuous(crossed(electric, (0, 0, 0), noise=0.5), "O(3)")
    assert uncertain["proven"]["order"] == 1


def test_the_verdict_says_what_is_proven_of_a_continuous_group():
    sure = discover_symmetries(crossed((0, 0, 1), (0, 0, 0), noise=0.0005), "O(3)").results["verdict"]
    assert sure.endswith("; Cinfv(z) is proven to within 0.01.")
    unsure = discover_symmetries(crossed((0, 0, 1), (0, 0, 0), noise=0.1), "O(3)").results["verdict"]
    assert unsure.endswith("; of what is not rejected, nothing is proven to within 0.01.")


def test_a_pseudoscalar_leaves_all_turns():
    rng = np.random.default_rng(2)
    v = rng.normal(size=(200, 6))
    y = v[:, :3] + 0.5 * v[:, 3:] + 0.02 * rng.normal(size=(200, 3))
    pairs = open_pairs({"input": v, "target": y}, input_channels="a=1o,b=1e", target_channels="1o")
    found = discover_continuous(pairs, "O(3)")
    assert {row["irrep"] for row in found["irreps"] if row["verdict"] == "broken"} == {"0o"}
    assert found["preserved"]["conjugacy"] == "SO(3)"


@pytest.mark.parametrize("factor", [1.3, 0.7])
@pytest.mark.parametrize("axis", [(0, 0, 1), (1, 1, 1), (2, 1, 0)])
def test_an_anisotropic_mass_has_its_axis_and_its_sign(axis, factor):
    rng = np.random.default_rng(5)
    v, n = rng.normal(size=(300, 3)), np.array(axis) / np.linalg.norm(axis)
    pairs = vectors(v, v @ (np.eye(3) + (factor - 1) * np.outer(n, n)) + 0.02 * rng.normal(size=v.shape))
    found = discover_continuous(pairs, "O(3)")
    assert found["preserved"]["name"] == "Dinfh"
    assert found["preserved"]["axis"] == pytest.approx(n, abs=0.02)
    row = next(r for r in found["irreps"] if r["verdict"] == "broken")
    x, y, z = n
    wanted = np.array([x * z, x * y, (2 * y * y - x * x - z * z) / 12**0.5, y * z, (z * z - x * x) / 2]) * 3**0.5
    assert row["direction"] == pytest.approx(wanted * np.sign(factor - 1), abs=0.05)


def test_an_interrupted_pass_over_vectors_says_what_was_read():
    def stop(done, total):
        if done >= 256:
            raise KeyboardInterrupt

    rng = np.random.default_rng(0)
    v = rng.normal(size=(600, 3))
    told = []
    with pytest.raises(KeyboardInterrupt):
        discover_symmetries({"input": v, "target": v + (0, 0, 1) + 0.02 * rng.normal(size=v.shape)}, "O(3)",
                            channels="1o", progress=stop, on_part=told.append)  # fmt: skip
    assert told[0].results["units"] == 256
    assert "interrupted after 256 of 600 pairs" in told[0].results["warnings"][0]
    assert told[0].results["preserved"]["conjugacy"] == "Cinfv(z)"
