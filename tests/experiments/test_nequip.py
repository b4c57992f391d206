"""The stored numbers of the experiment keep its claims, and its runs can be made, and found again."""

import importlib.util
import json
from pathlib import Path

import ase.io
import numpy as np
import pytest

from subduce.models import Potential, PotentialConfig

HERE = Path(__file__).parents[2] / "experiments" / "nequip"
_spec = importlib.util.spec_from_file_location("nequip_run", HERE / "run.py")
run = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(run)
claims, dynamics, figure, training = map(importlib.import_module, ("claims", "dynamics", "figure", "training"))
EXPECTED = json.loads((HERE / "expected.json").read_text())
PARTS = run.read_yaml(HERE / "config.yaml")["parts"]
TINY = {"model": {"l_max": 0, "num_layers": 1, "num_features": 4}, "train": {"max_epochs": 1, "max_seconds": 5}}


def test_every_stored_run_is_one_of_the_config(tmp_path):
    stored = {part: set(runs) for part, runs in EXPECTED["ours"].items() if part != "dynamics"}
    assert {"ladder", "batio3", "emt", "peer"} <= stored.keys()
    for part, names in stored.items():
        assert names == set(training.jobs(part, PARTS[part], HERE.parent / "data", tmp_path))


def test_the_stored_numbers_keep_the_claims():
    """Of the parts that were measured first; what the others find is told by their verdicts."""
    first = ("ladder", "batio3", "emt", "peer")
    found = {part: EXPECTED["ours"][part] for part in first}
    rows = claims.verdicts(found, EXPECTED["ours"], EXPECTED)
    assert len(rows) >= 8
    for row in rows:
        assert row["kept"], row


def test_the_stored_numbers_are_judged_without_a_run():
    result = run.reproduce(("ladder",), stored=True)
    assert [row["kept"] for row in result["verdicts"]] == [True] * 2
    assert "kept" in run.described(result["verdicts"][0])
    with pytest.raises(run.InputError, match="there are ladder"):
        run.reproduce(("leader",))


@pytest.mark.filterwarnings("ignore:energies of single atoms")
@pytest.mark.parametrize("part", [part for part in PARTS if part != "dynamics"])
def test_a_small_run_of_each_part(part, tmp_path):
    name, settings = next(iter(training.jobs(part, PARTS[part], HERE.parent / "data", tmp_path, quick=True).items()))
    settings = training.merged(settings, TINY)
    found = training.run_all(part, {name: settings}, tmp_path, say=lambda text: None)[name]
    assert found["forces_mae"] > 0
    if part in ("batio3", "emt"):
        assert found["stress_mae"] > 0
    if part == "transfer":
        assert found["500 K"]["forces_mae"] > 0
    assert training.one_run(f"{part}_{name}", settings, tmp_path) == found | {"settings": settings}  # from its file


@pytest.mark.slow
def test_runs_side_by_side_are_those_of_one_after_another(tmp_path):
    wanted = training.jobs("curves", PARTS["curves"], HERE.parent / "data", tmp_path, quick=True)
    wanted = {name: training.merged(settings, TINY) for name, settings in list(wanted.items())[:2]}
    (tmp_path / "pool").mkdir()
    alone = training.run_all("curves", wanted, tmp_path, say=lambda text: None)
    together = training.run_all("curves", wanted, tmp_path / "pool", workers=2, say=lambda text: None)
    for name in wanted:
        assert together[name]["forces_mae"] == alone[name]["forces_mae"]


def power_laws(seeds=(0, 1, 2)) -> dict:
    """Runs whose errors fall as n^slope, with a little noise by seed."""
    slopes = {"l0": -0.3, "l0_weights": -0.35, "l0_features": -0.3, "angles": -0.45, "l1": -0.5, "l2": -0.6}
    draw = np.random.default_rng(0)
    return {
        f"ethanol_{network}_n{size}_seed{seed}": {"forces_mae": size**slope * draw.uniform(0.98, 1.02)}
        for network, slope in slopes.items()
        for size in (25, 100, 400)
        for seed in seeds
    }


def test_slopes_of_power_laws_are_found():
    runs = power_laws()
    found = claims.slopes(runs)["ethanol"]
    assert found["l2"][0] == pytest.approx(-0.6, abs=0.02)
    low, high = np.percentile(found["l2"][1:], (2.5, 97.5))
    assert low < found["l2"][0] < high
    assert high - low < 0.05
    rows = {row["claim"]: row for row in claims.curves(runs, {})}
    steeper = rows["curves, ethanol: slope of l=2 less the steepest of l=0"]
    assert steeper["number"] == pytest.approx(-0.25, abs=0.03)
    assert steeper["kept"]
    angles = rows["curves, ethanol: slope of l=2 less that of invariants with angles"]
    assert angles["number"] == pytest.approx(-0.15, abs=0.03)
    assert angles["kept"] is None
    share = rows["curves, ethanol: share of the gain from l=0 to l=2 that angles alone bring, n=400"]
    assert share["number"] == pytest.approx(0.5, abs=0.03)


def test_invariants_with_angles_pass_scalars_on():
    """Every second layer leaves nothing but scalars, and the one before it vectors and tensors to make them from."""
    network = PARTS["curves"]["networks"]["angles"]
    potential = Potential(PotentialConfig(**network, num_layers=4, type_names=("H",), avg_num_neighbors=4.0))
    degrees = [sorted({ir.l for _, ir in layer.irreps_out}) for layer in potential.layers]
    assert degrees == [[0, 1, 2], [0], [0, 1, 2], [0]]


def test_the_curves_can_be_drawn():
    axes = figure.curves({"curves": power_laws()}).axes[0]
    assert len(axes.get_legend().get_texts()) == 6
    assert "slope −0.6" in axes.get_legend().get_texts()[-1].get_text()


def test_an_interval_must_keep_the_limit_as_a_whole():
    assert claims.row("", -0.1, ("<=", 0.0), [-0.2, -0.01])["kept"]
    assert not claims.row("", -0.1, ("<=", 0.0), [-0.2, 0.01])["kept"]
    assert claims.row("", -0.1, None)["kept"] is None


def test_one_seed_has_a_slope_and_no_interval():
    rows = claims.curves(power_laws(seeds=(0,)), {})
    assert rows[0]["kept"]
    assert "interval" not in rows[0]


@pytest.fixture(scope="module")
def vibrating():
    """A rigid frame in which one bond vibrates with a known wavenumber, sampled every 2 fs."""
    atoms, spacing, wavenumber = ase.io.read(HERE.parent / "data/molecules/ethanol_gfn2_test.extxyz", 0), 2.0, 1500.0
    times = spacing * np.arange(8000)
    turns = 2 * np.pi * wavenumber / dynamics.PER_CM
    along = atoms.positions[2] - atoms.positions[1]
    along /= np.linalg.norm(along)
    positions = np.repeat(atoms.positions[None], len(times), 0)
    positions[:, 2] += 0.05 * np.sin(turns * times)[:, None] * along
    velocities = np.zeros_like(positions)
    velocities[:, 2] = 0.05 * turns * np.cos(turns * times)[:, None] * along
    return atoms, spacing, wavenumber, positions, velocities


def test_a_known_vibration_is_found_where_it_is(vibrating):
    atoms, spacing, wavenumber, _, velocities = vibrating
    wavenumbers, density = dynamics.spectrum(velocities, atoms.get_masses(), spacing)
    assert dynamics.peaks(wavenumbers, density) == pytest.approx([wavenumber], abs=7)
    assert density.sum() * (wavenumbers[1] - wavenumbers[0]) == pytest.approx(1)


def test_bonds_and_angles_of_ethanol(vibrating):
    atoms, _, _, positions, _ = vibrating
    kinds = {kind: len(rows) for kind, rows in dynamics.internal_coordinates(atoms).items()}
    assert kinds == {
        "C–C": 1, "C–H": 5, "C–O": 1, "H–O": 1,
        "C–C–H": 5, "C–C–O": 1, "C–O–H": 1, "H–C–H": 4, "H–C–O": 2,
    }  # fmt: skip
    bond = dynamics.histogram(positions, [(1, 2)])
    middle = dynamics.BINS[2][:-1] + 0.005
    assert bond.sum() == pytest.approx(1)
    assert (bond * middle).sum() == pytest.approx(atoms.get_distance(1, 2), abs=0.005)
    angle = dynamics.histogram(positions[:1], [(0, 1, 2)])
    assert dynamics.BINS[3][angle.argmax()] <= atoms.get_angle(0, 1, 2) <= dynamics.BINS[3][angle.argmax() + 1]
    assert dynamics.overlap(bond, bond) == pytest.approx(1)
    assert dynamics.overlap(bond, np.roll(bond, 40)) == pytest.approx(0)


@pytest.mark.filterwarnings("ignore:energies of single atoms")
def test_dynamics_run_and_are_compared_with_themselves(tmp_path):
    """A tiny potential, whose molecule may fall apart: what happened is said, and nothing is repeated."""
    about = {part: training.merged(PARTS[part], {}) for part in ("transfer", "dynamics")}
    about["transfer"]["runs"]["l2"] = TINY
    about["dynamics"] |= {"steps": 40, "interval": 2}
    for _ in range(2):
        found = run.run_dynamics(about, HERE.parent / "data", tmp_path, None, False, lambda text: None)
        assert found["ours"]["wanted_ps"] == 0.02
        assert 0 < found["ours"]["time_ps"] <= 0.02
    settings = {"start": str(tmp_path / "dynamics_start.extxyz"), "timestep": 0.5, "interval": 2}
    ours = dynamics.analyse(tmp_path / "dynamics_ours.npz", settings)
    same = dynamics.compare(ours, ours)
    assert min(same["overlaps"].values()) == pytest.approx(1)
    assert same["spectrum_overlap"] == pytest.approx(1)
