"""The stored numbers of the experiment keep its claims, and its runs can be made, and found again."""

import importlib.util
import json
from pathlib import Path

import pytest

HERE = Path(__file__).parents[2] / "experiments" / "nequip"
_spec = importlib.util.spec_from_file_location("nequip_run", HERE / "run.py")
run = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(run)
EXPECTED = json.loads((HERE / "expected.json").read_text())
PARTS = run.read_yaml(HERE / "config.yaml")["parts"]


def test_every_run_of_the_config_has_its_number():
    assert {part: set(runs) for part, runs in EXPECTED["ours"].items()} == {
        part: set(about["runs"]) for part, about in PARTS.items()
    }


def test_the_stored_numbers_keep_every_claim():
    rows = run.verdicts(EXPECTED["ours"], EXPECTED["ours"], EXPECTED["nequip"])
    assert len(rows) >= 8
    for row in rows:
        assert row["kept"], row


@pytest.mark.filterwarnings("ignore:energies of single atoms")
@pytest.mark.parametrize("part", PARTS)
def test_a_small_run_of_each_part(part, tmp_path):
    about = PARTS[part]
    files = run.prepare(part, about["data"], HERE.parent / "data", tmp_path)
    tiny = {"model": {"l_max": 0, "num_layers": 1, "num_features": 4}, "train": {"max_epochs": 1, "max_seconds": 5}}
    settings = run.merged(about["settings"] | {"data": files, "device": "cpu"}, tiny)
    found = run.one_run(part, settings, tmp_path)
    assert found["forces_mae"] > 0
    if part in ("batio3", "emt"):
        assert found["stress_mae"] > 0
    assert run.one_run(part, settings, tmp_path) == found | {"settings": settings}  # from its file: the same seconds
