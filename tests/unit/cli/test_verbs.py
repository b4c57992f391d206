"""Every verb end to end on a tiny model and tiny files: records, files written, bad input refused."""

import json
import shutil
from pathlib import Path

import ase.io
import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, molecule
from ase.calculators.singlepoint import SinglePointCalculator

from subduce import kernels
from subduce.cli import main
from subduce.models import Potential, PotentialConfig, save


def frames(count: int, seed: int = 0) -> list[Atoms]:
    """Water with made-up but smooth labels."""
    images = []
    for index in range(count):
        atoms = molecule("H2O")
        atoms.rattle(0.05, seed=seed + index)
        forces = 0.5 * (molecule("H2O").positions - atoms.positions)
        atoms.calc = SinglePointCalculator(atoms, energy=-14.0 + float((forces**2).sum()), forces=forces)
        atoms.info["comment_of_mine"] = f"frame {index}"
        images.append(atoms)
    return images


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("model") / "model.safetensors"
    shifts = {"H": -2.0, "O": -10.0, "Ar": 0.0}
    config = PotentialConfig(
        type_names=("H", "O", "Ar"),
        r_max=4.0,
        num_layers=1,
        l_max=1,
        num_features=4,
        avg_num_neighbors=2.0,
        per_type_energy_shifts=shifts,
        per_type_energy_scales=dict.fromkeys(shifts, 0.1),
    )
    save(Potential(config), path, provenance={"trained_on": "nothing"})
    return path


@pytest.fixture
def water(tmp_path) -> Path:
    ase.io.write(tmp_path / "water.extxyz", frames(6))
    return tmp_path / "water.extxyz"


@pytest.fixture
def run(capsys):
    """Runs a command; returns its code, its record if it printed one, and what it said."""

    def call(*arguments):
        code = main([*map(str, arguments), "--json"])
        said = capsys.readouterr()
        return code, json.loads(said.out) if said.out else None, said.err

    return call


def test_info_of_machine_model_data_and_record(run, model, water, tmp_path):
    code, record, _ = run("info")
    assert (code, record["kind"], record["results"]["what"]) == (0, "info", "machine")
    assert "reference" in record["results"]["backends"]
    _, record, said = run("info", model, "--output", tmp_path / "out")
    assert record["results"]["config"]["r_max"] == 4.0
    assert record["results"]["provenance"] == {"trained_on": "nothing"}
    assert "r_max" in said
    _, record, _ = run("info", tmp_path / "out" / "record.json")
    assert record["results"]["kind"] == "info"
    _, record, _ = run("info", water)
    assert record["results"]["labelled"] == {"energy": 6, "forces": 6, "stress": 0}
    assert record["results"]["atoms"] == {"H": 12, "O": 6}


def test_info_compares_this_machine_with_the_reference(run, water):
    code, record, said = run("info", "--check")
    checks = record["results"]["checks"]
    assert code == 0, said
    assert all(check["fine"] for check in checks)
    assert {f"potential, l_max {l_max}, float32" for l_max in (1, 2, 3)} <= {check["what"] for check in checks}
    assert 0 < max(check["largest"] or 0 for check in checks) <= 1e-5
    assert said.count("fine") == len(checks)
    code, record, said = run("info", water, "--check")
    assert (code, record) == (2, None)
    assert "--check is about this machine" in said


@pytest.mark.skipif("cpu" not in kernels.available(), reason="the package was installed without a compiler")
def test_info_says_what_a_wrong_backend_computes(run, monkeypatch):
    right = kernels._cpu.partials
    monkeypatch.setitem(
        kernels._ops._BACKENDS,
        "cpu",
        lambda *given, **more: {slot: 1.01 * values for slot, values in right(*given, **more).items()},
    )
    code, record, said = run("info", "--check")
    wrong = {check["what"]: check["message"] for check in record["results"]["checks"] if not check["fine"]}
    assert code == 3
    assert "the product is off by" in wrong["edge product, cpu"]
    assert "edge product, reference" not in wrong
    assert f"stopped: {len(wrong)} of " in said


def test_check_tells_its_findings(run, water, tmp_path):
    shutil.copy(water, tmp_path / "copy.extxyz")
    code, record, said = run("check", water, tmp_path / "copy.extxyz")
    assert code == 0
    assert any(finding["severity"] == "error" for finding in record["results"]["findings"])
    assert "error" in said


def test_evaluate_gives_errors_and_keeps_its_record(run, model, water, tmp_path):
    code, record, said = run("evaluate", model, water, "--output", tmp_path / "out")
    assert code == 0
    assert record["results"]["n_structures"] == 6
    assert "forces, mean absolute error" in said
    assert json.loads((tmp_path / "out" / "record.json").read_text()) == record


def test_predict_writes_beside_what_was_there(run, model, water, tmp_path):
    target = tmp_path / "out.extxyz"
    code, record, _ = run("predict", model, water, target)
    assert (code, record["results"]["n_structures"]) == (0, 6)
    before, after = ase.io.read(water, ":"), ase.io.read(target, ":")
    for old, new in zip(before, after, strict=True):
        assert new.info["comment_of_mine"] == old.info["comment_of_mine"]
        assert new.get_potential_energy() == old.get_potential_energy()
        assert new.arrays["pred_forces"].shape == (3, 3)
        assert np.isfinite(new.info["pred_energy"])
        assert "pred_stress" not in new.info


def test_predict_gives_stress_to_crystals_and_refuses_to_write_over(run, model, tmp_path):
    source, target = tmp_path / "argon.extxyz", tmp_path / "out.extxyz"
    ase.io.write(source, bulk("Ar", "fcc", a=5.3, cubic=True))
    target.write_text("precious")
    assert run("predict", model, source, target)[0] == 2
    assert target.read_text() == "precious"
    assert run("predict", model, source, target, "--overwrite")[0] == 0
    assert np.shape(ase.io.read(target).info["pred_stress"]) == (9,)


def test_a_failed_prediction_leaves_the_old_file(run, model, tmp_path):
    target, strange = tmp_path / "out.extxyz", tmp_path / "strange.extxyz"
    target.write_text("precious")
    ase.io.write(strange, [*frames(2), molecule("CO")])
    code, _, said = run("predict", model, strange, target, "--overwrite")
    assert code == 2
    assert "structure 2" in said
    assert "C, which the model has never seen" in said
    assert target.read_text() == "precious"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out.extxyz", "strange.extxyz"]


def test_md_runs_and_goes_on(run, model, water, tmp_path):
    arguments = ["md", model, water, "--output", tmp_path / "md", "--ensemble", "langevin", "--let-go"]
    code, record, said = run(*arguments, "--steps", 20)
    assert (code, record["results"]["steps"], record["results"]["frames"]) == (0, 20, 3)
    assert set(record["inputs"]) == {str(model), str(water)}
    assert "mean temperature" in said
    assert run(*arguments, "--steps", 40)[0] == 2
    code, record, _ = run(*arguments, "--steps", 40, "--restart")
    assert (code, record["results"]["first_step"]) == (0, 20)
    assert len(ase.io.read(tmp_path / "md" / "trajectory.extxyz", ":")) == 5


def test_md_to_a_named_trajectory_makes_no_folder(run, model, water, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code, record, _ = run("md", model, water, "--steps", 5, "--trajectory", "run.traj")
    assert code == 0
    assert record["results"]["trajectory"] == "run.traj"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["run.traj", "water.extxyz"]


def test_relax_writes_the_structure(run, model, water, tmp_path):
    code, record, said = run("relax", model, water, "--steps", 3, "--output", tmp_path / "relax")
    assert code == 0
    assert record["results"]["steps"] <= 3
    assert "largest force" in said
    assert len(ase.io.read(tmp_path / "relax" / "relaxed.extxyz")) == 3


def test_train_then_report(run, tmp_path):
    data, folder = tmp_path / "data.extxyz", tmp_path / "run"
    ase.io.write(data, frames(12))
    settings = ["model.num_features=4", "model.num_layers=1", "model.l_max=1", "model.r_max=3", "train.max_epochs=2"]
    arguments = ["train", data, *settings, "--output", folder, "--device", "cpu", "--seed", 3]
    code, record, said = run(*arguments, "data.test=2")
    assert code == 0, said
    assert record["settings"]["seed"] == 3
    assert len(record["results"]["history"]) == 2
    assert "errors on the test part" in said
    names = {"config.yaml", "model.safetensors", "last", "metrics.csv", "record.json", "report.html"}
    assert names <= {path.name for path in folder.iterdir()}
    code, _, said = run(*arguments)
    assert code == 2
    assert "--resume" in said
    code, record, _ = run("report", folder, "--output", tmp_path / "page.html")
    assert code == 0
    assert (tmp_path / "page.html").read_text().count("<svg") >= 3


def text(path: Path, content: str | bytes) -> Path:
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "no such file"),
        ("no structures\nat all\n", "expected the number of atoms"),
        ("3\nProperties=species:S:1:pos:R:3 energy=1\nH 0 0 0\nH 0 0 1\n", "structure 0"),
        ('1\nLattice="1 0 0 1 0 0 0 0 1" Properties=species:S:1:pos:R:3 pbc="T T T"\nH 0 0 0\n', "no volume"),
        ("2\nProperties=species:S:1:pos:R:3 energy=1\nH 0 0 0\nH 0 0 0.001\n", "on top of each other"),
        ("1\nProperties=species:S:1:pos:R:3 energy=nan\nH 0 0 0\n", "expected finite"),
        ("2\nProperties=species:S:1:pos:R:3:forces:R:2 energy=1\nH 0 0 0 1 1\nH 0 0 1 1 1\n", "forces has shape"),
        ("1\nProperties=species:S:1:pos:R:3 energy=1\nXe 0 0 0\n", "contains Xe"),
    ],
)
@pytest.mark.parametrize("verb", ["evaluate", "predict", "train"])
def test_bad_structures_are_refused_in_one_line(run, model, tmp_path, verb, content, message):
    data, target = tmp_path / "data.extxyz", tmp_path / "out.extxyz"
    if content is not None:
        text(data, content)
    arguments = {
        "evaluate": ["evaluate", model, data],
        "predict": ["predict", model, data, target],
        "train": ["train", data, "data.val=1", "--output", tmp_path / "run"],
    }[verb]
    if verb == "train" and "Xe" in message:
        arguments = [*arguments, "model.type_names=[H, O]"]
        message = "Xe"
        text(data, str(content) * 3)
    code, record, said = run(*arguments)
    assert (code, record) == (2, None), said
    assert message in said.splitlines()[-1]
    assert "Traceback" not in said
    assert not target.exists()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("1\nProperties=species:S:1:pos:R:3\nXe 0 0 0\n", "contains Xe"),
        ('1\nLattice="1 0 0 1 0 0 0 0 1" Properties=species:S:1:pos:R:3 pbc="T T T"\nH 0 0 0\n', "no volume"),
        ("2\nProperties=species:S:1:pos:R:3\nH 0 0 0\nH 0 0 0.001\n", "on top of each other"),
        ("2\nProperties=species:S:1:pos:R:3\nH 0 0 0\n", "not a structure file"),
    ],
)
@pytest.mark.parametrize("verb", ["md", "relax"])
def test_bad_structures_are_refused_by_simulations_before_anything_is_written(
    run, model, tmp_path, verb, content, message
):
    data = text(tmp_path / "data.extxyz", content)
    code, _, said = run(verb, model, data, "--output", tmp_path / "out")
    assert code == 2
    assert message in said
    assert said.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_bad_models_are_refused_in_one_line(run, model, water, tmp_path):
    whole = model.read_bytes()
    for name, content in {
        "absent": None,
        "truncated": whole[: len(whole) // 2],
        "tampered": whole[:-1] + bytes([whole[-1] ^ 1]),
        "pickle": b"\x80\x04\x95\x10\x00\x00\x00\x00\x00\x00\x00\x8c\x05posix\x94.",
        "newer": whole.replace(b'\\"format\\": 1', b'\\"format\\": 9'),
    }.items():
        path = tmp_path / f"{name}.safetensors"
        if content is not None:
            path.write_bytes(content)
        for arguments in (["info", path], ["evaluate", path, water], ["md", path, water, "--output", tmp_path / "o"]):
            code, record, said = run(*arguments)
            assert (code, record, said.count("\n")) == (2, None, 1), (name, said)
    assert not (tmp_path / "o").exists()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (["model.rmax=4"], "did you mean r_max?"),
        (["modle.r_max=4"], "did you mean model?"),
        (["train.batch_size=large"], "batch_size"),
        (["model.r_max=-1"], "r_max"),
        (["novalue"], "key.sub=value"),
        (["loss.stress=1"], "no stress"),
    ],
)
def test_bad_settings_are_refused_in_one_line(run, water, tmp_path, changes, message):
    code, _, said = run("train", water, *changes, "--output", tmp_path / "run")
    assert code == 2
    assert message in said
    assert said.count("\n") == 1
    assert not (tmp_path / "run" / "model.safetensors").exists()


@pytest.mark.parametrize("arguments", [["--ensemble", "nvx"], ["--timestep", "-1"], ["--device", "abacus"]])
def test_bad_choices_of_md_are_refused_in_one_line(run, model, water, tmp_path, arguments):
    code, _, said = run("md", model, water, "--output", tmp_path / "o", *arguments)
    assert (code, said.count("\n")) == (2, 1), said


@pytest.mark.parametrize("content", [None, "{", "[1, 2]", '{"kind": "x"}', b"\xff\xfe"])
def test_bad_records_are_refused_in_one_line(run, tmp_path, content):
    path = tmp_path / "record.json"
    if content is not None:
        text(path, content)
    code, _, said = run("report", path, "--output", tmp_path / "page.html")
    assert (code, said.count("\n")) == (2, 1)
    assert not (tmp_path / "page.html").exists()


EXPERIMENT = """
def reproduce(parts, *, output, workers, peer, quick, stored, say):
    say("at work")
    rows = [{"claim": "l = 1 is better", "number": 2.5, "limit": ">= 2", "kept": True}]
    return {"verdicts": rows, "parts": list(parts), "quick": quick}


def described(row):
    return f"{row['claim']}: {row['number']}"
"""


@pytest.fixture
def experiments(tmp_path) -> Path:
    folder = tmp_path / "experiments" / "nets"
    folder.mkdir(parents=True)
    (folder / "run.py").write_text(EXPERIMENT)
    (folder / "README.md").write_text("# Nets\n\nA. Author, *A title*,\n2022.\n\n**Claims.** Many.\n")
    return folder.parent


def test_reproduce_lists_the_experiments(experiments, capsys, monkeypatch):
    monkeypatch.chdir(experiments.parent)
    assert main(["reproduce", "--json"]) == 0
    told = capsys.readouterr()
    assert json.loads(told.out)["results"]["experiments"] == {"nets": "A. Author, *A title*, 2022."}
    assert "nets" in told.err


def test_reproduce_runs_one_and_keeps_the_record(experiments, capsys, tmp_path):
    output = tmp_path / "out"
    arguments = ["reproduce", "nets", "ladder", "--experiments", str(experiments), "--output", str(output)]
    assert main([*arguments, "--quick", "--json"]) == 0
    told = capsys.readouterr()
    assert "at work" in told.err
    assert "l = 1 is better: 2.5" in told.err
    assert "quick" in told.err
    results = json.loads(told.out)["results"]
    assert results["verdicts"][0]["kept"]
    assert results["parts"] == ["ladder"]
    assert results["quick"]
    assert json.loads((output / "record.json").read_text())["results"] == results


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["nots"], "there are nets"),
        (["nets", "--workers", "0"], "--workers: expected a whole number"),
        (["nets", "--experiments", "nowhere"], "inside a clone"),
    ],
)
def test_reproduce_says_what_is_wrong(experiments, capsys, monkeypatch, arguments, says):
    monkeypatch.chdir(experiments.parent)
    assert main(["reproduce", *arguments]) == 2
    told = capsys.readouterr().err
    assert says in told
    assert told.count("\n") == 1
