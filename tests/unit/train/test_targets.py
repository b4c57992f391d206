"""Property targets from a file of structures to a trained model, its errors and its predictions."""

import json

import ase.io
import numpy as np
import pytest
import torch
from ase.build import bulk, molecule

from subduce.cli import main
from subduce.config import InputError
from subduce.data import GraphDataset, LabelKeys, open_structures
from subduce.evaluation import evaluate
from subduce.interfaces import predict
from subduce.interfaces.ase import Calculator
from subduce.models import PropertyModel, TargetConfig, load
from subduce.report import write_report
from subduce.train import LossConfig, Objective, read_run, train
from subduce.train._targets import completed, standardised

NAMES = ["H2O", "NH3", "CH4", "CH3OH", "CH3CH2OH", "HCN", "H2CO", "CO2", "C2H4", "C2H2"] * 2
SMALL = [
    "model.num_layers=2",
    "model.num_features=4",
    "model.l_max=1",
    "train.max_epochs=3",
    "data.val=4",
    "data.test=4",
]


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    """Molecules with labels that are known functions of their atoms."""
    rng, found = np.random.default_rng(0), []
    for place, name in enumerate(NAMES):
        atoms = molecule(name)
        atoms.rattle(0.05, rng=rng)
        z, centred = atoms.numbers.astype(float), atoms.positions - atoms.get_center_of_mass()
        atoms.info |= {"total": float((2 * z + 1).sum()), "gap": 5.0 + 0.1 * rng.normal()}
        if place % 5:
            atoms.info["dipole"] = (z[:, None] - z.mean()).T @ centred
            atoms.info["dipole"] = atoms.info["dipole"].ravel()
        atoms.info["polar"] = (centred.T @ centred).ravel()
        atoms.arrays["q"] = 0.1 * z
        found.append(atoms)
    file = tmp_path_factory.mktemp("data") / "molecules.extxyz"
    ase.io.write(file, found, format="extxyz")
    return file


def test_what_is_left_open_follows_from_shapes_and_names(path):
    structures = open_structures(path)
    found = completed({"q": TargetConfig(weight=2.0)}, ["total", "gap", "dipole", "polar"], structures)
    assert {name: (one.irreps, one.per) for name, one in found.items()} == {
        "q": ("1x0e", "atom"),
        "total": ("1x0e", "structure"),
        "gap": ("1x0e", "structure"),
        "dipole": ("1x1o", "structure"),
        "polar": ("1x0e+1x2e", "structure"),
    }
    assert found["q"].weight == 2
    assert (found["total"].pool, found["gap"].pool) == ("sum", "attention")
    assert found["dipole"].charges
    assert completed({"gap": TargetConfig(pool="mean")}, [], structures)["gap"].pool == "mean"
    bare = completed({"dipole": TargetConfig.model_validate({"charges": False})}, [], structures)["dipole"]
    assert (bare.irreps, bare.charges) == ("1x1o", False)
    with pytest.raises(
        InputError, match=r"no structure has a value called gup; did you mean gap\? there are total, gap"
    ):
        completed({}, ["gup"], structures)


def test_shifts_and_scales_come_from_labels(path):
    targets = completed({}, ["total", "gap", "polar", "q"], open_structures(path))
    keys = LabelKeys(properties=tuple(one.label(name) for name, one in targets.items()))
    dataset = GraphDataset(open_structures(path, keys=keys), 5.0)
    found = standardised(targets, dataset.subset(range(15)), ("H", "C", "N", "O"))
    assert found["total"].shifts == {s: (pytest.approx(2 * z + 1),) for s, z in zip("HCNO", (1, 6, 7, 8), strict=True)}
    mean = dataset.subset(range(15)).values("gap").mean()
    assert found["gap"].shifts == dict.fromkeys("HCNO", (pytest.approx(mean),))
    assert found["gap"].scale == pytest.approx(dataset.subset(range(15)).values("gap").std())
    assert found["q"].shifts["O"] == (pytest.approx(0.8),)


def test_charged_molecules_are_told_of_their_origin_and_crystals_have_none(path, tmp_path):
    ions, crystals = tmp_path / "ions.extxyz", tmp_path / "crystals.extxyz"
    ions.write_text(path.read_text().replace("gap=", "charge=1 gap="))
    ase.io.write(crystals, [bulk("C"), bulk("Si")], format="extxyz")
    crystals.write_text(crystals.read_text().replace("pbc=", 'dipole="0 0 0" pbc='))
    with pytest.warns(UserWarning, match="15 training structures are charged: .* about the centre of mass"):
        train(
            read_run(ions, [*SMALL[:3], "train.max_epochs=1", "data.val=5", "target=dipole"]), folder=tmp_path / "run"
        )
    assert not completed({}, ["dipole"], open_structures(crystals))["dipole"].charges


@pytest.fixture(scope="module")
def run(path, tmp_path_factory):
    folder = tmp_path_factory.mktemp("run") / "run"
    config = read_run(path, [*SMALL, "target=total,gap,dipole,polar,q", "targets.q.unit=e"])
    with pytest.warns(UserWarning, match="of 12 training structures have no dipole; the others teach it"):
        return folder, train(config, folder=folder)


def test_a_property_model_is_trained_and_judged_target_by_target(run, path):
    folder, record = run
    test = record.results["test"]
    assert test["total_mae"] < 1e-3  # what atoms add up to needs no network
    assert {"total_mae", "gap_mae", "dipole_mae", "polar_mae", "q_mae", "q_mae_H", "q_rmse"} <= set(test)
    assert test["units"]["q"] == "e"
    assert not {"forces_mae", "per_atom_energy_mae"} & set(test)
    model = load(folder / "model.safetensors")
    assert isinstance(model, PropertyModel)
    again = evaluate(folder / "model.safetensors", path, device="cpu").results
    assert again["n_structures"] == len(NAMES)
    assert len(again["parity"]["dipole"]["reference"]) == 16 * 3
    rows = (folder / "metrics.csv").read_text().splitlines()
    assert "dipole_mae" in rows[0]
    assert len(rows) == 4
    settings = read_run(folder / "config.yaml")
    assert settings.targets["total"].shifts is not None


def test_predictions_are_written_beside_the_structures(run, path, tmp_path):
    folder, _ = run
    model = load(folder / "model.safetensors")
    predict(model, path, tmp_path / "out.extxyz", device="cpu")
    images = ase.io.read(tmp_path / "out.extxyz", index=":")
    dataset = GraphDataset(open_structures(path), model.cutoff)
    with torch.no_grad():
        said = model(dataset.batch([3]).graph)
    assert images[3].info["pred_total"] == pytest.approx(said["total"].item(), rel=1e-5)
    np.testing.assert_allclose(images[3].info["pred_polar"], said["polar"].reshape(-1), rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(images[3].arrays["pred_q"], said["q"], atol=1e-5)
    assert images[3].info["pred_dipole"].shape == (3,)
    with pytest.raises(InputError, match="predicts total, gap, dipole, polar, q, and energies are needed"):
        Calculator(folder / "model.safetensors")


def test_targets_count_in_units_of_their_spread():
    targets = {"a": TargetConfig(scale=2.0, weight=3.0), "b": TargetConfig(weight=0.0), "c": TargetConfig()}
    objective = Objective.of_targets(LossConfig(), targets)
    assert [(one.name, one.weight, one.scale) for one in objective.terms] == [("a", 3.0, 2.0), ("c", 1.0, 1.0)]
    assert objective.terms[0].error(torch.tensor(4.0)).item() == 4.0
    with pytest.raises(InputError, match="every weight is 0"):
        Objective.of_targets(LossConfig(), {"b": targets["b"]})


def test_wrong_targets_end_with_one_line_and_leave_nothing(path, tmp_path, capsys):
    for changes, message in (
        (["target=gup"], "did you mean gap?"),
        (["target=polar", "model.l_max=0"], "no feature is 2e"),
        (["target=gap", "targets.gap.irreps=1o"], "gap has shape ()"),
        (["target=gap", "targets.gap.unit=D", "targets.gap.file_unit=eV"], "the unit eV cannot be converted into D"),
        (["targets.lumo.irreps=0e"], "no lumo in any of"),
        (["target=gap", "targets.gap.weight=0"], "every weight is 0"),
    ):
        assert main(["train", str(path), *changes, "data.val=4", "--output", str(tmp_path / "run")]) == 2
        error = capsys.readouterr().err
        assert message in error
        assert error.count("\n") == 1
        assert not (tmp_path / "run").exists()


def test_the_verbs_speak_of_targets(run, path, capsys):
    folder, _ = run
    assert main(["evaluate", str(folder / "model.safetensors"), str(path), "--json"]) == 0
    out = capsys.readouterr()
    assert "q, mean absolute error" in out.err
    assert json.loads(out.out)["results"]["gap_mae"] > 0
    assert main(["info", str(folder / "model.safetensors")]) == 0
    assert "total, gap, dipole, polar, q" in capsys.readouterr().err


def test_the_page_shows_every_target_in_its_unit(run, tmp_path):
    _, record = run
    write_report([record], tmp_path / "page.html", title="properties")
    page = (tmp_path / "page.html").read_text()
    for caption in ("Validation error, dipole", "q, by species", "gap MAE", "Polar: MAE"):
        assert caption in page


def test_a_run_goes_on_as_if_it_had_not_stopped(path, tmp_path):
    whole, halves = tmp_path / "whole", tmp_path / "halves"
    targets = [*SMALL, "target=gap,q"]
    train(read_run(path, [*targets, "train.max_epochs=2"]), folder=halves)
    with_rest = read_run(path, [*targets, "train.max_epochs=4", "train.plateau_patience=3"])
    train(with_rest, folder=halves, resume=True)
    train(with_rest, folder=whole)
    ours, theirs = (load(folder / "model.safetensors").state_dict() for folder in (halves, whole))
    for name, weights in theirs.items():
        torch.testing.assert_close(ours[name], weights, rtol=0, atol=0)
