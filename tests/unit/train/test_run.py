import csv
from pathlib import Path

import ase
import ase.io
import numpy as np
import pytest
import torch
import yaml
from ase.calculators.emt import EMT
from ase.calculators.singlepoint import SinglePointCalculator

from subduce.config import InputError
from subduce.evaluation import evaluate
from subduce.models import load, read_header
from subduce.train import RunConfig, read_run, train
from subduce.train._data import open_parts
from subduce.train._processes import Processes

SMALL = (
    "model.num_layers=1", "model.num_features=4", "model.l_max=1", "model.r_max=4.0", "train.max_epochs=2",
    "device=cpu",
)  # fmt: skip


def molecules(path: Path, size: int = 12, *, seed: int = 0, symbols: str = "CH", **changes) -> Path:
    """Copper-like hydrocarbons: random pairs and triples with labels from EMT; `changes` of their labels."""
    random, frames = np.random.default_rng(seed), []
    for row in range(size):
        names = [symbols[k % len(symbols)] for k in range(2 + row % 3)]
        positions = 1.3 * np.arange(len(names))[:, None] * [1.0, 0.2, 0.1] + random.normal(0, 0.1, (len(names), 3))
        frames.append(labelled(ase.Atoms(names, positions), **changes))
    ase.io.write(path, frames)
    return path


def crystals(path: Path, size: int = 6) -> Path:
    """Strained copper with stress."""
    random, frames = np.random.default_rng(0), []
    for _ in range(size):
        atoms = ase.Atoms("Cu", cell=1.8 * (np.ones((3, 3)) - np.eye(3)), pbc=True).repeat((2, 1, 1))
        atoms.set_cell(atoms.cell @ (np.eye(3) + random.normal(0, 0.02, (3, 3))), scale_atoms=True)
        atoms.rattle(0.05, rng=random)
        frames.append(labelled(atoms, stress=True))
    ase.io.write(path, frames)
    return path


def labelled(atoms: ase.Atoms, *, forces: bool = True, stress: bool = False) -> ase.Atoms:
    atoms.calc = EMT()
    results = {"energy": atoms.get_potential_energy() + 100.0 * len(atoms)}
    if forces:
        results["forces"] = atoms.get_forces()
    if stress:
        results["stress"] = atoms.get_stress()
    atoms.calc = SinglePointCalculator(atoms, **results)
    return atoms


def config(path: Path, *changes: str) -> RunConfig:
    return read_run(path, (*SMALL, *changes))


@pytest.fixture(autouse=True)
def _quiet(recwarn):
    """Warnings are looked at where they are the point."""


def test_a_data_file_alone_becomes_a_folder_with_everything(tmp_path):
    data = molecules(tmp_path / "data.extxyz")
    heard = []
    record = train(config(data, "data.test=2"), folder=tmp_path / "run", on_epoch=heard.append)
    found = record.results
    assert (found["n_train"], found["n_val"], found["n_test"]) == (9, 1, 2)
    assert (found["ended"], found["epochs"], len(heard)) == ("max_epochs", 2, 2)
    assert found["statistics"]["elements"] == (1, 6)
    assert found["validation"]["forces_mae"] > 0
    assert found["test"]["n_structures"] == 2
    assert found["history"] == heard
    assert record.inputs.keys() == {str(data)}
    assert len(list(csv.DictReader((tmp_path / "run" / "metrics.csv").open()))) == 2

    model = load(tmp_path / "run" / "model.safetensors")
    assert evaluate(model, data).results["n_structures"] == 12
    header = read_header(tmp_path / "run" / "model.safetensors")
    assert header["provenance"]["data"] == dict(record.inputs)
    assert header["provenance"]["fit"]["epochs"] == 2
    shifts = model.config.per_type_energy_shifts
    assert shifts["C"] == pytest.approx(100, abs=10)
    assert model.config.per_type_energy_scales["H"] == pytest.approx(found["statistics"]["forces_rms"])


def test_the_config_that_is_written_makes_the_same_run(tmp_path):
    first = train(config(molecules(tmp_path / "data.extxyz")), folder=tmp_path / "first")
    written = tmp_path / "first" / "config.yaml"
    complete = yaml.safe_load(written.read_text())
    assert complete["train"]["max_epochs"] == 2
    assert complete["loss"]["stress"] == 0.0
    second = train(read_run(written), folder=tmp_path / "second")
    assert second.settings == first.settings
    for one, other in zip(first.results["history"], second.results["history"], strict=True):
        assert one["val_loss"] == other["val_loss"]


def test_ten_lines_of_yaml(tmp_path):
    data = molecules(tmp_path / "data.extxyz")
    (tmp_path / "run.yaml").write_text(
        f"data: {{train: {data}, val: 0.25}}\n"
        "model: {r_max: 4.0, l_max: 1, num_features: 4, num_layers: 1}\n"
        "train: {max_epochs: 1, batch_size: 5, learning_rate: 0.01}\n"
        "device: cpu\nseed: 3\n"
    )
    record = train(read_run(tmp_path / "run.yaml"), folder=tmp_path / "run")
    assert record.results["n_val"] == 3
    assert record.settings["model"]["seed"] == record.settings["train"]["seed"] == 3


def test_stress_is_learnt_where_there_is_any(tmp_path):
    record = train(config(crystals(tmp_path / "data.extxyz")), folder=tmp_path / "run")
    assert record.settings["loss"]["stress"] == 100.0
    assert record.results["history"][0]["stress_mae"] > 0
    assert "train_stress" in record.results["history"][0]


def test_molecules_and_crystals_and_gaps_together(tmp_path):
    files = [
        molecules(tmp_path / "molecules.extxyz"),
        crystals(tmp_path / "crystals.extxyz"),
        molecules(tmp_path / "energies.extxyz", forces=False, seed=5),
    ]
    run = RunConfig(
        data={"train": [str(file) for file in files]}, device="cpu",
        model={"num_layers": 1, "num_features": 4, "l_max": 1}, train={"max_epochs": 2},
    )  # fmt: skip
    with pytest.warns(UserWarning, match=r"1\d of 27 training structures have no forces"):
        record = train(run, folder=tmp_path / "run")
    assert {"forces_mae_Cu", "forces_mae_H", "stress_mae"} <= record.results["validation"].keys()


def test_resume_goes_on_and_other_data_are_refused(tmp_path):
    data, run = molecules(tmp_path / "data.extxyz"), tmp_path / "run"
    train(config(data), folder=run)
    longer = train(config(data, "train.max_epochs=4"), folder=run, resume=True)
    whole = train(config(data, "train.max_epochs=4"), folder=tmp_path / "whole")
    for one, other in zip(longer.results["history"], whole.results["history"], strict=True):
        assert one["val_loss"] == other["val_loss"]
    molecules(data, seed=9)
    with pytest.raises(InputError, match=r"config\.yaml: model\.\w+ was .* in the run to resume"):
        train(config(data), folder=run, resume=True)


def test_a_folder_that_is_taken_is_refused(tmp_path):
    data, run = molecules(tmp_path / "data.extxyz"), tmp_path / "run"
    with pytest.raises(InputError, match="holds no run to resume"):
        train(config(data), folder=run, resume=True)
    train(config(data), folder=run)
    before = (run / "model.safetensors").read_bytes()
    with pytest.raises(InputError, match=r"holds another run .* --resume, write over it with --overwrite"):
        train(config(data), folder=run)
    assert (run / "model.safetensors").read_bytes() == before
    record = train(config(data, "train.max_epochs=1"), folder=run, overwrite=True)
    assert record.results["epochs"] == 1
    with pytest.raises(InputError, match="is a file"):
        train(config(data), folder=data)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (("loss.stress=1",), "no stress in any of"),
        (("data.keys.forces=my_forces", "loss.forces=1"), "no forces in any of"),
        (("data.val=12",), "12 structures cannot be split into 12 for validation"),
        (("data.val=-0.5",), "neither a share"),
        (("model.type_names=[C]",), r"contains H, but model\.type_names lists only C"),
        (("model.per_type_energy_shifts.C=3.0",), "lacks H"),
        (("model.rmax=3",), "did you mean r_max"),
        (("train.learning_rates=3",), "did you mean learning_rate"),
        (("train.batch_size=0",), "greater than or equal to 1"),
        (("device=tpu",), "expected auto, cpu or cuda"),
    ],
)
def test_bad_input_is_one_line_and_leaves_nothing(tmp_path, changes, message):
    data = molecules(tmp_path / "data.extxyz")
    with pytest.raises(InputError, match=message) as error:
        train(config(data, *changes), folder=tmp_path / "run")
    assert "\n" not in str(error.value)
    assert not (tmp_path / "run").exists()


def test_an_element_only_in_the_validation_file(tmp_path):
    data, other = molecules(tmp_path / "data.extxyz"), molecules(tmp_path / "other.extxyz", symbols="CHO")
    with pytest.raises(InputError, match=r"other\.extxyz.*contains O, but the training structures have only H, C"):
        train(config(data, f"data.val={other}"), folder=tmp_path / "run")


def test_warnings_about_energies_of_atoms_and_neighbours(tmp_path):
    data = molecules(tmp_path / "data.extxyz")
    with pytest.warns(UserWarning, match=r"[+-]\d+\.\d eV per atom away from what the energies say"):
        train(config(data, "model.per_type_energy_shifts={C: 0.0, H: 0.0}"), folder=tmp_path / "one")
    with pytest.warns(UserWarning, match=r"atoms of the training structures have no neighbour within r_max"):
        train(config(data, "model.r_max=1.2"), folder=tmp_path / "two")


def test_a_folder_that_cannot_be_written(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("subduce.train._run.write_whole", full)
    with pytest.raises(InputError, match="cannot be written"):
        train(config(molecules(tmp_path / "data.extxyz")), folder=tmp_path / "run")


def test_a_size_is_drawn_before_packing_and_keeps_the_parts_to_judge_by(tmp_path):
    path = molecules(tmp_path / "many.extxyz", 40)

    def parts(*changes):
        data = config(path, "data.val=5", "data.test=6", *changes).data
        found = open_parts(data, 3.0, 0, 1, Processes(torch.device("cpu")))
        return [{part.source(row) for row in range(len(part))} for part in (found.train, found.val, found.test)]

    few, more, whole = parts("data.size=4"), parts("data.size=9"), parts()
    assert [list(map(len, some)) for some in (few, more, whole)] == [[4, 5, 6], [9, 5, 6], [29, 5, 6]]
    assert few[0] < more[0] < whole[0]
    assert few[1:] == more[1:] == whole[1:]
    with pytest.raises(InputError, match="has 40 structures, fewer than 30 to learn from, 5 for validation and 6"):
        parts("data.size=30")


def test_large_sets_are_packed_into_the_users_caches(tmp_path, monkeypatch):
    path = molecules(tmp_path / "many.extxyz", 12)
    monkeypatch.setattr("subduce.train._data._MANY", 10)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "caches"))
    train(config(path, "train.max_epochs=1"), folder=tmp_path / "run")
    assert len(list((tmp_path / "caches" / "subduce").iterdir())) == 1
