"""The stored numbers keep the experiment's claims, its set-ups are what they should be, and its runs can be made."""

import importlib.util
import json
from pathlib import Path

import numpy as np
import pytest

from subduce.discovery import plateau
from subduce.groups import SiteSymmetry

HERE = Path(__file__).parents[2] / "experiments" / "order_parameters"
_spec = importlib.util.spec_from_file_location("order_parameters_run", HERE / "run.py")
run = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(run)
setups, solved, claimed = map(importlib.import_module, ("setups", "solved", "claimed"))
EXPECTED = json.loads((HERE / "expected.json").read_text())
PARTS = run.read_yaml(HERE / "config.yaml")["parts"]


def test_every_stored_run_is_one_of_the_config_and_every_part_is_stored():
    assert EXPECTED["runs"].keys() == PARTS.keys() == EXPECTED["machine"].keys()
    for part, runs in EXPECTED["runs"].items():
        assert set(runs) == set(solved.jobs(part, PARTS[part], quick=False))


@pytest.mark.parametrize("part", PARTS)
def test_the_stored_numbers_keep_every_claim(part):
    rows = run.reproduce((part,), stored=True)["verdicts"]
    assert len(rows) >= 15
    assert [row["claim"] for row in rows if row["kept"] is False] == []


def test_a_number_that_strays_is_told():
    runs = json.loads(json.dumps(EXPECTED["runs"]))
    runs["perovskite"]["sites"]["space_groups"][2] = 1
    runs["tilts"]["a0a0c+"]["forbidden_max"] = 1e-3
    runs["square"]["learned"]["amplitudes"] = {"all": [0.0, 0, 0, 0, 1, 0, 0, 0, 0] + [0.0] * 27}
    missed = [row["claim"] for row in claimed.verdicts(runs) if row["kept"] is False]
    assert "Pm-3m → Pnma (sites): space group with it" in missed
    assert any(claim.startswith("a0a0c+: forbidden") for claim in missed)
    assert any("x² − y²" in claim for claim in missed)


def test_the_plateau_of_the_square_is_the_papers():
    given = setups.points("square", "rectangle")
    assert given.symmetry.order == 16
    assert plateau(given.symmetry, given.target, setups.SIGNAL) == pytest.approx(7.070e-4, abs=5e-8)


def test_the_papers_structures_are_what_it_says():
    given = setups.tilted("sites")
    assert given.symmetry.order == 64  # those of Pm-3m that keep the cell of four formula units
    assert given.space_group(0 * given.target) == 221
    assert given.space_group(given.target) == 62
    assert np.linalg.norm(given.target, axis=1).max() == pytest.approx(0.2565, abs=1e-4)
    assert np.abs(given.target).mean() == pytest.approx(0.0676, abs=1e-4)


@pytest.mark.parametrize("name", setups.TILTS)
def test_tilt_systems_have_their_space_groups(name):
    given = setups.tilt_system(name)
    assert given.symmetry.order == 384
    assert given.space_group(given.target) == setups.TILTS[name][2]


@pytest.mark.parametrize("name", setups.POLAR)
def test_polar_phases_have_their_space_groups(name):
    given = setups.polar(name)
    assert given.space_group(given.target) == setups.POLAR[name][1]
    assert isinstance(given.symmetry, SiteSymmetry)


def test_what_is_no_part_is_refused():
    with pytest.raises(run.InputError, match="there are square, perovskite, tilts, batio3"):
        run.reproduce(("squares",))
    with pytest.raises(run.InputError, match="no other program"):
        run.reproduce(("square",), peer="python")


def test_a_quick_run_names_the_order_parameter_of_titanium(tmp_path):
    result = run.reproduce(("batio3",), output=tmp_path, quick=True, say=lambda text: None)
    rows = {row["claim"]: row for row in result["verdicts"]}
    assert rows["BaTiO3 → P4mm: forbidden part of the gradient, over the largest"]["kept"]
    assert rows["BaTiO3 → P4mm: T1u over the largest other breaking part of the gradient"]["kept"]
    assert "kept" in run.described(rows["BaTiO3 → P4mm: largest |f(x, g v) − g f(x, v)|"])
    assert run.reproduce(("batio3",), output=tmp_path, quick=True, say=lambda text: None) == result  # from its files
