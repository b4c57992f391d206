"""Whether the data themselves are symmetric (G34, G35, G42): apart from the law, moment by moment."""

import numpy as np
import pytest

from subduce.data import open_pairs
from subduce.discovery import Investigation, action_on, discover, distribution, isotypic_fractions, scales
from tests.unit.discovery.cases import plane, scalars, smooth


def test_anisotropic_inputs_break_the_distribution_and_not_the_law():
    pairs = plane(stretch=(1, 4))
    action = action_on(pairs, "D4")
    assert discover(pairs, action)["preserved"]["name"] == "D4"
    assert distribution(pairs, action)["preserved"]["conjugacy"] == "D2(axes)"


def test_a_square_of_shifted_numbers_keeps_the_law_only():
    rng = np.random.default_rng(0)
    x = rng.normal(1, 1, size=(500, 1))
    pairs = open_pairs({"input": x, "target": x**2 + 0.05 * rng.normal(size=x.shape)})
    action = action_on(pairs, {"name": "Z2", "generators": {"P": {"input": [[-1]], "target": [[1]]}}})
    assert discover(pairs, action)["preserved"]["order"] == 2
    assert distribution(pairs, action)["preserved"]["order"] == 1


def test_domains_of_both_signs_stand_in_the_second_moment():
    rng = np.random.default_rng(0)
    domains = rng.permutation(np.repeat([-1, 1], 250))[:, None] * np.array([[0, 0, 1.0]]) + 0.3 * rng.normal(
        size=(500, 3)
    )
    pairs = open_pairs({"input": domains}, input_channels="1o", distribution=True)
    found = distribution(pairs, action_on(pairs, "Oh"))
    assert found["preserved"]["conjugacy"] == "D4h(z)"
    assert {(r["irrep"], r["moment"]) for r in found["irreps"] if r["verdict"] == "broken"} == {("Eg", 2)}


def test_a_chiral_texture_has_its_share_in_a2():
    turn = 2 * np.pi * np.arange(16) / 16
    x, y = np.meshgrid(turn, turn, indexing="ij")
    e = 0.2
    texture = np.cos(x) + np.cos(y) + e * (np.cos(2 * x + y) + np.cos(-x + 2 * y))
    shares = isotypic_fractions(texture[None], action_on(scalars(texture[None]), "D4"))
    assert shares["A2"] == pytest.approx((e**2 / 2) / (1 + e**2), abs=1e-12)
    assert max(shares[name] for name in ("B1", "B2", "E")) < 1e-30
    assert sum(shares.values()) == pytest.approx(1)


def test_anisotropy_is_found_at_the_scales_that_have_it():
    rng, n = np.random.default_rng(1), 64
    k = np.fft.fftfreq(n) * n
    k_x, k_y = np.meshgrid(k, k, indexing="ij")
    length, angle = np.hypot(k_x, k_y), np.arctan2(k_y, k_x)
    length[0, 0] = 1
    spectrum = length**-3.0 * (1 + 0.5 * np.cos(2 * angle) * (length < 8))
    spectrum[0, 0] = 0
    field = np.fft.ifft2(np.fft.fft2(rng.normal(size=(40, n, n))) * np.sqrt(spectrum)).real
    pairs = scalars(field)
    bands = scales(Investigation(pairs, action_on(pairs, "D4")), (1, 4, 8, 16))
    kept = [band["distribution"]["preserved"]["conjugacy"] for band in bands]
    assert kept == ["D2(axes)", "D2(axes)", "D4", "D4"]


def test_false_alarms_of_the_distribution():
    rejected, trials = 0, 60
    for seed in range(trials):
        pairs = scalars(smooth(np.random.default_rng(seed), 40))
        rejected += distribution(pairs, action_on(pairs, "D4"))["preserved"]["name"] != "D4"
    assert rejected <= 9
