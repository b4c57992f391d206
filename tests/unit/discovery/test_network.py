"""The network estimator, its lack of fit and placebos: small grids and short training; sizes are measured elsewhere."""

import numpy as np
import pytest
import torch

from subduce.config import InputError
from subduce.data import open_pairs
from subduce.discovery import Investigation, action_on, discover, discover_symmetries
from subduce.discovery import _network as network
from subduce.discovery import _training as training
from subduce.discovery._laws import Ensemble
from subduce.discovery._significance import Test
from tests.unit.discovery.cases import plane, scalars, shifted, smooth, step


def broken(results):
    return {row["irrep"] for row in results["irreps"] if row["verdict"] == "broken"}


@pytest.fixture
def brief(monkeypatch):
    monkeypatch.setattr(training, "_STEPS", 150)
    monkeypatch.setattr(network, "_ROUNDS", 2)


def cubic(seed=0, samples=32, size=8, stretch=(1, 1), along=(0.2, 0.0), noise=0.05, **reading):
    """A field that is carried along by its own square."""
    rng = np.random.default_rng(seed)
    field = smooth(rng, samples, size, stretch=stretch)
    slopes = [(shifted(field, *e) - shifted(field, *-e)) / 2 for e in np.eye(2, dtype=int)]
    target = step(field) - field**2 * sum(c * slope for c, slope in zip(along, slopes, strict=True))
    arrays = {"input": field, "target": target + noise * rng.normal(size=field.shape)}
    return open_pairs(arrays, no_channels=True, **reading)


@pytest.mark.parametrize("stretch", [(1, 1), (1, 3)])
def test_networks_find_what_breaks_whether_or_not_the_inputs_do(brief, stretch):
    pairs = cubic(along=(0.3, 0.0), stretch=stretch)
    found = discover(pairs, action_on(pairs, "C2"), estimator="network")
    assert not found["lack_of_fit"]["flag"]
    assert broken(found) == {"B"}
    assert found["preserved"]["name"] == "C1"


@pytest.mark.parametrize("periodic", ["", "y"])
def test_networks_leave_out_points_near_edges(brief, periodic):
    pairs = cubic(along=(0.3, 0.0), size=12, periodic=periodic)
    found = discover(pairs, action_on(pairs, "C2"), estimator="network")
    assert broken(found) == {"B"}
    assert any("near the ends" in warning for warning in found["warnings"])


def test_large_and_thin_grids_are_cut_to_boxes_that_wrap_where_they_repeat(monkeypatch):
    monkeypatch.setattr(network, "_POINTS", {2: 64})
    field = np.random.default_rng(0).normal(size=(16, 4, 40))
    about = {"input": field, "target": np.roll(field, 1, 1)}
    pairs = open_pairs(about, no_channels=True, periodic="x")
    cut = network._Cut(pairs, np.ones(1), increments=False)
    x, y = cut.take(np.arange(2))
    assert x.shape == (2, 1, 4 + 6, 8 + 6)
    assert y.shape == (2, 1, 4, 8)
    assert torch.equal(x[:, :, 2:6, 3:-3], y)  # a point's value is that of the one before it on the axis that repeats
    everything = Investigation(pairs, action_on(pairs, "D2")).everything
    itself = np.eye(len(everything))[:, 1:2]
    assert torch.equal(network._Polynomials(everything, itself, cut)(x)[0], x[:, :, 3:-3, 3:-3])
    thin = open_pairs(about, no_channels=True, periodic="y")
    assert "along each axis that does not repeat, got (4, 40)" in network.fits_into(thin, action_on(thin, "D2").group)


def test_groups_of_which_networks_would_take_hours_are_left_to_polynomials():
    arrays = {name: np.random.default_rng(0).normal(size=(16, 4, 4, 4)) for name in ("input", "target")}
    pairs = open_pairs(arrays, no_channels=True)
    about = Investigation(pairs, action_on(pairs, "OhxT"), estimator="auto")
    assert about.why_no_network == "networks take groups of at most 48 elements; OhxT has 96"
    assert not about.climbs


def test_networks_of_vector_fields_turn_their_components(brief):
    rng = np.random.default_rng(0)
    flow = np.stack([smooth(rng, 32, 8), smooth(rng, 32, 8)], axis=1)
    square = (flow**2).sum(axis=1, keepdims=True)
    lap = sum(np.roll(flow, s, a) for s in (-1, 1) for a in (2, 3)) - 4 * flow
    target = flow + 0.1 * lap - 0.1 * square * flow + 0.1 * square * np.array([1, 0])[:, None, None]
    arrays = {"input": flow, "target": target + 0.05 * rng.normal(size=flow.shape)}
    pairs = open_pairs(arrays, channels="velocity=1o")
    found = discover(pairs, action_on(pairs, "C4"), estimator="network")
    assert broken(found) == {"E"}


def test_networks_do_not_judge_irreps_that_the_inputs_break(brief):
    """What networks miss of a symmetric law looks like breaking in these; in others it averages out."""
    pairs = cubic(along=(0.3, 0.0), stretch=(1, 3))
    about = Investigation(pairs, action_on(pairs, "C4"), estimator="network")
    found = about.results()
    assert about.masked == ("B",)  # the inputs keep the half turn
    assert about.absent == {"E": about.evidence.absent(about.group.irrep("E")).p_value}
    assert found["seeds"][0]["p_values"].keys() == {"E"}
    row = next(row for row in found["irreps"] if row["irrep"] == "B")
    assert (row["verdict"], row["p_value"]) == ("undetermined", None)
    assert any("the inputs themselves break B: " in warning for warning in found["warnings"])
    assert broken(found) == {"E"}
    assert Investigation(pairs, action_on(pairs, "C4"), estimator="stencil").masked == ()


@pytest.mark.slow
def test_networks_rarely_call_a_symmetric_law_broken(brief):
    wrong, trials = 0, 40
    for seed in range(trials):
        pairs = cubic(seed=seed, along=(0.0, 0.0), stretch=(1, 3), samples=48)
        about = Investigation(pairs, action_on(pairs, "D2"), estimator="network", seed=seed)
        wrong += about.trusted and about.closed.kept[0].name != "D2"
    assert wrong <= 9  # at 10 %: more has a chance of 1 %


def test_where_networks_do_not_fit_nothing_is_called_broken(brief, monkeypatch):
    monkeypatch.setattr(network, "_lack_of_fit", lambda *_: 1e-3)
    pairs = cubic(along=(0.3, 0.0))
    found = discover(pairs, action_on(pairs, "Cs"), estimator="network")
    assert found["lack_of_fit"] == {"p_value": 1e-3, "flag": True}
    assert {row["verdict"] for row in found["elements"] + found["irreps"]} == {"undetermined"}


def test_one_more_network_notices_what_is_missing(brief):
    """The lack of fit is significant where the only law that is known is a constant."""
    pairs = plane(samples=32)
    action = action_on(pairs, "D4")
    half = network._Half(network._Cut(pairs, np.ones(1), increments=False), np.arange(0, 32), 0)
    everything = Investigation(pairs, action).everything
    constant = np.eye(len(everything))[:, :1]
    null = network._Null(network._Polynomials(everything, constant, network._Cut(pairs, np.ones(1), False)), [], action)
    more = training.School(action, "circular", 0, 1, lambda done, total: None).equivariant(half.x, half.y)
    assert network._lack_of_fit(null, more, half, action) < 1e-6
    null.networks.append(more)
    noise = torch.randn(half.x.shape, generator=torch.Generator().manual_seed(0))
    half.y = more(half.x) + noise
    again = training.School(action, "circular", 1, 1, lambda done, total: None).equivariant(half.x, noise.flip(0))
    assert network._lack_of_fit(null, again, half, action) > 1e-3


def test_functions_that_break_the_group_turn_as_functions_on_it_do():
    pairs = plane(samples=16)
    action = action_on(pairs, "D4")
    school = training.School(action, "circular", 0, 1, lambda done, total: None)
    first = training.Network(action, "circular", 2, school.generator).double().requires_grad_(False)
    plain = torch.nn.Conv2d(1, 1, 3, padding=1, padding_mode="circular").double().requires_grad_(False)
    functions = network._Broken(first, plain, action)
    x = torch.randn(2, 1, 6, 6, dtype=torch.float64)
    values = functions(x)
    g = action.group.elements.index("C4")
    turned = functions(network._moved(x, action.grid[g], action.input[g]))
    order = action.group.order
    for start in range(0, len(values), order):
        for h in range(order):
            image = network._moved(values[start + h], action.grid[g], action.target[g])
            assert torch.allclose(turned[start + action.group.table[g, h]], image, atol=1e-12)


def saturating():
    """A law that no polynomial says."""
    rng = np.random.default_rng(0)
    field = smooth(rng, 32, 8)
    wide = sum(shifted(field, a, b) for a in (-1, 0, 1) for b in (-1, 0, 1)) / 9
    return field, np.tanh(3 * wide) + 0.02 * rng.normal(size=field.shape)


def test_the_ladder_goes_on_to_networks_where_polynomials_do_not_fit(brief):
    field, target = saturating()
    steps = []
    pairs = scalars(field, target)
    about = Investigation(pairs, action_on(pairs, "C2"), progress=lambda done, total: steps.append((done, total)))
    found = about.results()
    assert about.local[1] < 0.05
    assert found["estimator"].startswith("network")
    assert steps[-1][0] <= steps[-1][1]
    few = scalars(field[:12], target[:12])
    refused = discover(few, action_on(few, "C2"))
    assert refused["lack_of_fit"]["flag"]
    assert any("at least 16" in warning for warning in refused["warnings"])


@pytest.mark.parametrize("sets", [0, 1])
def test_an_interrupted_training_keeps_what_is_known(monkeypatch, sets):
    """Sets of networks that are done, or what polynomials said before any was."""
    monkeypatch.setattr(training, "_STEPS", 20)
    monkeypatch.setattr(network, "_ROUNDS", 1)
    pairs, told = scalars(*saturating()), []

    def stop(done, total):
        if total == 2 * 4 * 20 and done > 80 * sets + 10:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        discover_symmetries(pairs, "C2", seeds=2, progress=stop, on_part=told.append)
    (found,) = (record.results for record in told)
    where = "after 1 of 2 sets of networks" if sets else "while networks were trained"
    assert f"interrupted {where}" in found["warnings"][0]
    assert found["estimator"].startswith("network" if sets else "polynomial")
    alone = discover(pairs, action_on(pairs, "C2"), estimator="auto" if sets else "polynomial", seeds=1)
    assert found["irreps"] == alone["irreps"]
    with pytest.raises(KeyboardInterrupt):
        discover_symmetries(pairs, "C2", seeds=2, estimator="network", progress=stop, on_part=told.append)
    assert len(told) == 1 + sets


def test_several_seeds_are_combined_and_told_apart(brief):
    pairs = cubic(along=(0.3, 0.0))
    record = discover_symmetries(pairs, "Cs", estimator="network", seeds=2, seed=5)
    rows = record.results["seeds"]
    assert [row["seed"] for row in rows] == [5, 6]
    alone = [row["p_values"] for row in rows]
    assert alone[0] != alone[1]
    weights = record.results["relaxed_weights"]
    values = np.array(weights["weights"])
    assert values.shape == (len(weights["layers"]), 2)
    assert np.allclose(values.mean(axis=1), 1)
    assert sum(weights["spectrum"].values()) == pytest.approx((values**2).sum())


def test_seeds_may_need_different_numbers_of_networks(brief, monkeypatch):
    lacks = iter([0.5, 1e-3, 0.5])  # the second seed takes a round more, and so has more symmetric functions
    monkeypatch.setattr(network, "_lack_of_fit", lambda *_: next(lacks))
    pairs = cubic(along=(0.3, 0.0), samples=48)
    about = Investigation(pairs, action_on(pairs, "C2"), estimator="network", seeds=2)
    found = about.results()
    first, second = (one.evidence.laws.shape for one in about.networks)
    assert first != second
    assert broken(found) == {"B"}
    assert next(row for row in found["irreps"] if row["irrep"] == "B")["direction"] in ([1.0], [-1.0])


def test_p_values_of_several_networks_are_twice_their_median():
    networks = Ensemble([Investigation(plane(samples=8), action_on(plane(samples=8), "Cs")).evidence])
    combined = networks._combined([Test(p, 0.0, 1, "F") for p in (0.01, 0.02, 0.6)])
    assert combined.p_value == pytest.approx(0.04)


def wider(seed, samples=60, anisotropic=0.0):
    """A radially symmetric law on 5 × 5 points under inputs of 4:1 (G42a); or one that is not symmetric."""
    weights = {0: 0.5, 1: 0.08, 2: 0.03, 4: 0.02, 5: 0.01, 8: 0.0}
    rng = np.random.default_rng(seed)
    field, reach = smooth(rng, samples, stretch=(1, 4)), range(-2, 3)
    target = sum(weights[i * i + j * j] * shifted(field, i, j) for i in reach for j in reach)
    target = target + anisotropic * (shifted(field, 0, 1) - shifted(field, 0, -1))
    return scalars(field, target + 0.05 * rng.normal(size=field.shape))


def narrow(pairs):
    """Laws of 3 × 3 points alone."""
    about = Investigation(pairs, action_on(pairs, "D4"), estimator="stencil")
    about.rungs = about.rungs[:1]
    return about


def test_placebos_calibrate_a_stencil_that_is_too_small():
    rejected, naive, trials = 0, 0, 16
    for seed in range(trials):
        about = narrow(wider(seed))
        assert about.calibrated or about.surrogate is None  # which is called broken in neither case without reason
        rejected += about.trusted and about.closed.kept[0].name != "D4"
        about.local_evidence.placebo = None
        naive += about.evidence.absent(about.group.irrep("B1")).p_value < 0.05
    assert naive >= trials - 2  # without placebos nearly every one
    assert rejected <= 4  # at 5 %: more has a chance of 0.1 %


def test_placebos_leave_the_power_to_find_what_breaks():
    found = narrow(wider(0, anisotropic=0.1)).results()
    assert found["calibration"] == "placebo"
    assert "E" in broken(found)
    assert any("placebos" in warning for warning in found["warnings"])


def test_seeds_need_networks():
    with pytest.raises(InputError, match="--seeds"):
        discover_symmetries({"input": np.zeros((9, 4))}, "D4", seeds=2, estimator="stencil")
    with pytest.raises(InputError, match="from 1 up"):
        discover_symmetries({"input": np.zeros((9, 4))}, "D4", seeds=0)
