"""How groups act on pairs: by generators with matrices on the grid, on channels alone, on an axis of time."""

import json

import numpy as np
import pytest

from subduce.config import InputError
from subduce.data import open_pairs
from subduce.discovery import action_on, discover, discover_symmetries
from subduce.groups import cyclic, permutations, time_reversal, translations

from .cases import shifted, smooth

SWAP = [[0, 1], [1, 0]]


def verdicts(results):
    return {row["irrep"]: row["verdict"] for row in results["irreps"]}


def two_fields(across, samples=60, noise=0.05, seed=0):
    """Two scalars that diffuse, one along x alone, the other along y alone, at rates 0.1 and 0.1 + across."""
    rng = np.random.default_rng(seed)
    fields = np.stack([smooth(rng, samples, 12), smooth(rng, samples, 12)], axis=1)
    change = [
        rate * (shifted(one, *step) + shifted(one, *(-s for s in step)) - 2 * one)
        for one, rate, step in zip(fields.swapaxes(0, 1), (0.1, 0.1 + across), ((1, 0), (0, 1)), strict=True)
    ]
    target = fields + np.stack(change, axis=1)
    return open_pairs({"input": fields, "target": target + noise * rng.normal(size=target.shape)})


@pytest.mark.parametrize(("across", "kept"), [(0.0, True), (0.05, False)])
def test_generators_move_channels_and_points_together(across, kept):
    about = {"name": "swap", "generators": {"swap": {"input": SWAP, "target": SWAP, "grid": SWAP}}}
    results = discover(two_fields(across), action_on(two_fields(across), about))
    assert verdicts(results)["swap-"] == ("undetermined" if kept else "broken")
    assert (results["preserved"]["order"] == 2) == kept


def test_channels_alone_are_swapped_where_no_grid_is_given():
    about = {"name": "swap", "generators": {"swap": {"input": SWAP, "target": SWAP}}}
    pairs = two_fields(0.0)  # equal rates, but along different axes
    action = action_on(pairs, about)
    np.testing.assert_array_equal(action.grid, np.tile(np.eye(2), (2, 1, 1)))
    assert verdicts(discover(pairs, action))["swap-"] == "broken"


def test_a_mirror_with_signs_of_channels_is_named_by_its_generators(tmp_path):
    """A field that advects another: both keep the mirror if the advected one is odd."""
    rng = np.random.default_rng(0)
    one = smooth(rng, 60, 12)
    target = (shifted(one, 1, 0) - shifted(one, -1, 0)) / 2 + 0.05 * rng.normal(size=one.shape)
    generators = {
        "m": {"input": [[1]], "target": [[-1]], "grid": [[-1, 0], [0, 1]]},
        "n": {"input": [[1]], "target": [[1]], "grid": [[1, 0], [0, -1]]},
    }
    group = {"name": "M", "generators": generators}
    (tmp_path / "group.json").write_text(json.dumps(group))
    arrays = {"input": one, "target": target}
    record = discover_symmetries(arrays, str(tmp_path / "group.json"), no_channels=True)
    assert verdicts(record.results).keys() == {"m+n-", "m-n+", "m-n-"}
    assert record.results["preserved"]["order"] == 4
    even = {"name": "M", "generators": {"m": generators["m"] | {"target": [[1]]}}}
    assert verdicts(discover_symmetries(arrays, even, no_channels=True).results) == {"m-": "broken"}


def test_the_inputs_alone_need_no_matrix_of_targets():
    rng = np.random.default_rng(0)
    fields = np.stack([smooth(rng, 60, 12), 3 * smooth(rng, 60, 12)], axis=1)
    group = {"name": "swap", "generators": {"swap": {"input": SWAP}}}
    found = discover_symmetries({"input": fields}, group, distribution=True).results
    assert found["distribution"]["preserved"]["order"] == 1


@pytest.mark.parametrize(
    ("part", "message"),
    [
        ({"grid": [[0, 1], [1, 1]]}, "one 1 or -1 in each row and column, for the axes x y"),
        ({"grid": [[0.6, 0.8], [-0.8, 0.6]]}, "other turns do not send points to points"),
        ({"grid": np.eye(3).tolist()}, r"a matrix of 2 × 2 for the grid, got the shape \(3, 3\)"),
        ({"grids": SWAP}, "a group reads"),
        ({"input": [[1, 1], [0, 1]]}, "not orthogonal"),
    ],
)
def test_matrices_that_do_not_act_are_refused(part, message):
    group = {"name": "G", "generators": {"g": {"input": SWAP, "target": SWAP} | part}}
    with pytest.raises(InputError, match=message):
        action_on(two_fields(0.0), group)


def test_vectors_have_no_grid():
    pairs = open_pairs({"input": np.eye(9)[:, :2], "target": np.eye(9)[:, :2]})
    with pytest.raises(InputError, match="a matrix of 0 × 0 for the grid"):
        action_on(pairs, {"generators": {"g": {"input": SWAP, "target": SWAP, "grid": SWAP}}})


def test_permutations_permute_channels():
    """A mean of three channels keeps all permutations, the first channel alone one of them."""
    rng = np.random.default_rng(0)
    fields = rng.normal(size=(80, 3, 8))
    noise = 0.1 * rng.normal(size=(80, 1, 8))
    for weights, kept in (((1, 1, 1), list(permutations(3).elements)), ((1, 0, 0), ["e", "(23)"])):
        target = np.einsum("c,ncx->nx", weights, fields)[:, None] + noise
        pairs = open_pairs({"input": fields, "target": target})
        results = discover(pairs, action_on(pairs, permutations(3)))
        assert results["preserved"]["elements"] == kept
    with pytest.raises(InputError, match="S4 permutes 4 channels; the input has 3, the target 1"):
        action_on(pairs, permutations(4))


def windows(damping, samples=200, frames=12, noise=0.02, seed=0):
    """Windows of oscillators: (angle, velocity) to acceleration."""
    rng = np.random.default_rng(seed)
    times = 0.3 * np.arange(frames)
    size, phase = rng.uniform(0.5, 1.5, (samples, 1)), rng.uniform(0, 2 * np.pi, (samples, 1))
    angle, velocity = size * np.cos(times + phase), -size * np.sin(times + phase)
    force = -angle - damping * velocity + noise * rng.normal(size=angle.shape)
    return {"input": np.stack([angle, velocity], axis=1), "target": force[:, None]}


@pytest.mark.parametrize(("damping", "kept"), [(0.0, "T"), (0.3, "{e}")])
def test_time_reversal_turns_windows_around(damping, kept):
    reading = {"input_channels": "angle=0e,velocity=0e", "target_channels": "force=0e", "axes": "t"}
    record = discover_symmetries(windows(damping), "T", time_odd=["velocity"], **reading)
    assert record.results["preserved"]["name"] == kept
    pairs = open_pairs(windows(damping), **reading)
    action = action_on(pairs, time_reversal(), time_odd=["velocity"])
    np.testing.assert_array_equal(action.grid[:, 0, 0], [1, -1])
    np.testing.assert_array_equal(action.input[1], np.diag([1, -1]))


def test_a_window_needs_an_axis_that_is_called_time():
    pairs = open_pairs(windows(0.0), input_channels="2x0e", target_channels="0e")
    with pytest.raises(InputError, match="the axes are x; name it with --axes t"):
        action_on(pairs, "T")


def test_time_and_space_turn_together():
    rng = np.random.default_rng(0)
    pairs = open_pairs({"input": rng.normal(size=(9, 1, 6, 8)), "target": rng.normal(size=(9, 1, 6, 8))}, axes="t x")
    action = action_on(pairs, "m_xxT", time_odd=["target"])
    assert action.group.elements == ("e", "T", "m_x", "m_x*T")
    np.testing.assert_array_equal(action.grid[1], [[-1, 0], [0, 1]])
    np.testing.assert_array_equal(action.grid[2], [[1, 0], [0, -1]])
    np.testing.assert_array_equal(action.target[:, 0, 0], [1, -1, 1, -1])


def test_what_acts_on_no_grid_says_where_to_ask():
    rng = np.random.default_rng(0)
    pairs = open_pairs({"input": rng.normal(size=(9, 4, 4)), "target": rng.normal(size=(9, 4, 4))}, no_channels=True)
    with pytest.raises(InputError, match=r"does not act on space.*--where"):
        action_on(pairs, translations((4, 1)))
    with pytest.raises(InputError, match=r"C3 does not act on a grid of 2 axes.*what does: C2, C4"):
        action_on(pairs, cyclic(3))
