"""The stored numbers of the experiment keep its claims, its data are what they should be, and its runs can be made."""

import importlib.util
import json
from pathlib import Path

import numpy as np
import pytest
from scipy.special import ellipj, ellipk

from subduce.groups import point_group

HERE = Path(__file__).parents[2] / "experiments" / "relaxed"
_spec = importlib.util.spec_from_file_location("relaxed_run", HERE / "run.py")
run = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(run)
judged, targets, trained, flows, predicted = map(
    importlib.import_module, ("judged", "targets", "trained", "flows", "predicted")
)
EXPECTED = json.loads((HERE / "expected.json").read_text())
PARTS = run.read_yaml(HERE / "config.yaml")["parts"]


def test_every_stored_run_is_one_of_the_config_and_every_part_is_stored():
    assert EXPECTED["runs"].keys() == PARTS.keys() == EXPECTED["machine"].keys()
    for part, runs in EXPECTED["runs"].items():
        assert set(runs) == set(trained.jobs(part, PARTS[part]))


TOLD = {  # claims of a part that the README tells as missed
    "pendulum": {
        f"pendulum, {equation}, window: median |w₊ − w₋| at β = 0.3 over that without damping"
        for equation in ("linear", "sine")
    },
}


@pytest.mark.parametrize("part", PARTS)
def test_the_stored_verdicts_are_those_that_the_readme_tells(part):
    rows = run.reproduce((part,), stored=True)["verdicts"]
    missed = {row["claim"] for row in rows if row["kept"] is False}
    assert len(rows) >= 10
    assert missed == TOLD.get(part, set())


def test_what_is_no_part_is_refused():
    with pytest.raises(run.InputError, match="there are square, batio3, pendulum, flow"):
        run.reproduce(("squares",))
    with pytest.raises(run.InputError, match="no other program"):
        run.reproduce(("square",), peer="python")


def test_a_quick_run_of_the_squares_shows_their_symmetry(tmp_path):
    result = run.reproduce(("square",), output=tmp_path, quick=True, say=lambda text: None)
    rows = {row["claim"]: row for row in result["verdicts"]}
    assert len(result["runs"]["square"]) == 6
    assert all(row["kept"] is not False for row in rows.values())
    assert rows["square, C4: square → rectangle: largest |w(e) − w(C2)|"]["number"] <= 1e-12
    assert "kept" in run.described(rows["square, D4: square → square: largest spread of weights over seeds"])
    assert run.reproduce(("square",), output=tmp_path, quick=True, say=lambda text: None) == result  # from its files


def test_a_weight_that_strays_is_told():
    runs = {name: dict(found) for name, found in EXPECTED["runs"]["square"].items()}
    weights = np.array(runs["C4_rectangle_seed0"]["weights"])
    weights[1, runs["C4_rectangle_seed0"]["elements"].index("C2")] += 1e-9
    runs["C4_rectangle_seed0"]["weights"] = weights.tolist()
    rows = {row["claim"]: row for row in judged.square(runs)}
    assert not rows["square, C4: square → rectangle: largest |w(e) − w(C2)|"]["kept"]


@pytest.mark.parametrize("phase", judged.SIZES)
def test_the_phases_have_the_symmetry_of_their_names(phase):
    """The stated equal sets and irreps are those of the elements that keep both structures, by moving their points."""
    group = point_group("Oh")
    kept = targets.kept_by(group, *targets.crystals(phase, 11))
    assert kept.order == judged.SIZES[phase]
    assert set(kept.coset_irreps) | {"A1g"} == judged.SUPPORTS[phase]


def test_the_polar_irrep_is_the_one_whose_character_is_the_trace():
    group = point_group("Oh")
    (polar,) = [i.name for i in group.irreps if np.allclose(i.character, np.einsum("gii->g", group.matrices))]
    assert polar == "T1u"
    assert all(polar in judged.SUPPORTS[phase] for phase in judged.DIRECTIONS)


def test_the_free_pendulum_is_the_elliptic_function():
    times, modulus = np.linspace(0, 9.99, 1000), np.sin(targets.START / 2)
    quarter = ellipk(modulus**2)
    sine = ellipj(quarter - np.sqrt(targets.GRAVITY) * times, modulus**2)[0]
    angle = targets.motion("sine", 0.0, times)[0]
    assert np.abs(angle - 2 * np.arcsin(modulus * sine)).max() < 1e-9


@pytest.mark.parametrize("equation", ["linear", "sine"])
def test_the_motion_solves_its_equation(equation):
    times = np.linspace(0, 3, 30001)
    angle, velocity, acceleration = targets.motion(equation, 0.3, times, start=(0.7, -1.2))
    assert (angle[0], velocity[0]) == pytest.approx((0.7, -1.2))
    assert np.abs(np.gradient(angle, times)[1:-1] - velocity[1:-1]).max() < 1e-6
    assert np.abs(np.gradient(velocity, times)[1:-1] - acceleration[1:-1]).max() < 1e-5
    force = -targets.GRAVITY * (angle if equation == "linear" else np.sin(angle))
    assert acceleration == pytest.approx(force - 0.6 * velocity)


def test_a_set_with_its_reversed_windows_is_symmetric():
    inputs, outputs = targets.windows("law", "linear", 0.0, 40, 8, reversed_too=True)
    assert inputs.shape == (66, 2, 8)
    assert outputs.shape == (66, 1, 8)
    turned = inputs[:, :, ::-1] * np.array([1, -1])[:, None]
    assert sorted(map(tuple, turned.reshape(66, -1))) == sorted(map(tuple, inputs.reshape(66, -1)))


def test_a_short_run_of_the_pendulum_and_of_a_crystal(tmp_path):
    jobs = trained.jobs("pendulum", PARTS["pendulum"], quick=True)
    exact = trained.one_run("pendulum", "linear_0.0_law_exact_seed0", jobs["linear_0.0_law_exact_seed0"], tmp_path)
    assert exact["spread"] < 1e-12
    jobs = trained.jobs("batio3", PARTS["batio3"], quick=True)
    tiny = trained.merged(jobs["P4mm_seed0"], {"size": 9, "train": {"epochs": 1}, "model": {"num_features": 1}})
    found = trained.one_run("batio3", "P4mm_seed0", tiny, tmp_path)
    assert len(found["equal"]) == 8
    assert found["direction"] == pytest.approx([0, 0, 1], abs=1e-6)


@pytest.mark.parametrize("part", ["flow", "superresolution", "smoke"])
def test_a_quick_run_of_flows_gives_a_verdict_on_every_claim(part, tmp_path):
    result = run.reproduce((part,), output=tmp_path, quick=True, say=lambda text: None)
    claims = {row["claim"] for row in result["verdicts"]}
    assert claims == {row["claim"] for row in run.reproduce((part,), stored=True)["verdicts"]}
    spreads = [found["spread"] for name, found in result["runs"][part].items() if "turned" in name or "shifted" in name]
    assert max(spreads, default=0.0) <= 1e-12


@pytest.mark.parametrize("forces", [{}, {"rotation": 4.0}, {"stratification": 6.0}, {"magnetic": 3.0}])
def test_the_flow_in_space_has_no_divergence_and_turns_about_z_with_its_start(forces):
    group = point_group("Oh")
    turn = group.matrices[group.elements.index("C4z")]
    start = np.random.default_rng(0).normal(size=(3, 12, 12, 12))
    sources = np.rint(turn.T @ np.indices((12,) * 3).reshape(3, -1)).astype(int) % 12

    def moved(u):
        return np.einsum("ij,jp->ip", turn, u[(slice(None), *sources)]).reshape(u.shape)

    timing = {"frames": 1, "every": 1.0, "spin": 0.2, "step": 0.02, "viscosity": 0.02}
    (before,), (after,) = (flows.turbulence(one, 12, **timing, **forces) for one in (start, moved(start)))
    assert np.abs(after - moved(before)).max() < 1e-12
    slopes = flows.waves(12, 3) * np.fft.rfftn(before, axes=(1, 2, 3))
    assert np.abs(np.fft.irfftn(1j * slopes.sum(axis=0), s=(12,) * 3, axes=(0, 1, 2))).max() < 1e-12


def test_a_linear_rossby_wave_drifts_with_its_known_speed():
    size, beta, time = 16, 5.0, 0.4
    x = 2 * np.pi * np.arange(size)[:, None] / size + 0 * np.arange(size)
    wave = 1e-6 * np.cos(2 * x)
    found, _, _ = flows.plane_flow(wave[None], 2, 40, step=time / 40, viscosity=0.0, drift=beta)
    assert found[0, 1] == pytest.approx(1e-6 * np.cos(2 * x + beta * time / 2), abs=1e-13)


def test_fields_near_walls_are_as_strong_as_they_must_be():
    for uneven in (True, False):
        velocity, squares = flows.near_walls(np.random.default_rng(0), 600, 16, uneven)
        assert (velocity**2).mean(axis=(0, 2)) == pytest.approx(squares, rel=0.12)


def test_finer_points_turn_with_their_cells():
    """A network from cells to their points turns as a whole with its input, about the middle of the grid."""
    torch, group = predicted.torch, point_group("Oh")
    corners = predicted.corner_action(group)
    field = torch.randn(1, 3, 6, 6, 6, generator=torch.Generator().manual_seed(0))
    cells, points = predicted.coarse(field), predicted.cells(field)
    assert torch.allclose(points.unflatten(1, (3, 8)).mean(dim=2), cells, atol=1e-6)
    model = PARTS["superresolution"]["model"] | {"group": "Oh", "relaxed": "none", "num_features": 1, "seed": 0}
    network = predicted.finer(model)
    for g in range(1, 48, 5):
        assert (corners[group.table[g, 7]] == corners[g] @ corners[7]).all()
        turned = _turned(field, group.matrices[g])
        for one, other in (
            (predicted.coarse(turned), cells),
            (_whole(network(predicted.coarse(turned))), _whole(network(cells))),
        ):
            assert torch.allclose(one, _turned(other, group.matrices[g]), atol=1e-5)
    assert torch.equal(_whole(points), field)


def _whole(points):
    """The fine field of channels as `cells` makes them."""
    n = points.shape[-1]
    return points.reshape(-1, 3, 2, 2, 2, n, n, n).permute(0, 1, 5, 2, 6, 3, 7, 4).reshape(-1, 3, 2 * n, 2 * n, 2 * n)


def _turned(field, turn):
    """A velocity [1, 3, x, y, z] turned about the middle of the grid."""
    n = field.shape[-1]
    places = 2 * np.indices((n,) * 3).reshape(3, -1) - (n - 1)
    sources = (np.rint(turn.T @ places).astype(int) + n - 1) // 2
    moved = np.einsum("ij,jp->ip", turn, field[0].detach().numpy()[(slice(None), *sources)])
    return predicted.torch.tensor(moved.reshape(field.shape), dtype=field.dtype)
