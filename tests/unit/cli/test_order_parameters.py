"""The verb `order-parameters`: what it prints, what it keeps, and how it refuses."""

import json

import ase.io
import numpy as np
import pytest

from subduce.cli import main
from tests.distortions import distorted, perovskite


@pytest.fixture
def files(tmp_path):
    def write(**structures):
        for name, atoms in structures.items():
            ase.io.write(tmp_path / f"{name}.extxyz", atoms)
        return [str(tmp_path / f"{name}.extxyz") for name in structures]

    return write


def test_a_record_and_a_few_lines(files, capsys):
    parent, child = files(parent=perovskite(), child=distorted(r=(0, 0.17, 0.17), m=(0.11, 0, 0)))
    assert main(["order-parameters", parent, child, "--json"]) == 0
    printed = capsys.readouterr()
    results = json.loads(printed.out)["results"]
    assert results["child"] == {"number": 62, "symbol": "Pnma"}
    assert printed.err.startswith("Pm-3m breaks to Pnma by R4+(0,a,a) (0.68 Å) and M3+(a;0;0) (0.311 Å)")
    assert "X5+" not in printed.err  # allowed, but zero
    assert "from the origin at Sr: R4+ = R5-, M3+ = M2+" in printed.err
    assert len(results["structures"]["domains"]) == 24


def test_nothing_broken_is_no_error(files, capsys):
    parent, child = files(parent=perovskite(), child=distorted())
    assert main(["order-parameters", parent, child]) == 0
    assert capsys.readouterr().err.startswith("No symmetry is broken")


def test_page_and_record_are_kept(files, tmp_path, capsys):
    parent, child = files(parent=perovskite(), child=distorted(r=(0, 0, 0.2)))
    command = ["order-parameters", parent, child, "--output", str(tmp_path / "found")]
    assert main(command) == 0
    assert json.loads((tmp_path / "found" / "record.json").read_text())["kind"] == "order-parameters"
    assert "I4/mcm" in (tmp_path / "found" / "report.html").read_text()
    assert main(command) == 2
    assert "--overwrite" in capsys.readouterr().err


def crowded():
    atoms = perovskite()
    atoms.positions[2] = atoms.positions[1] + 0.1
    return atoms


def iron():
    atoms = perovskite()
    atoms.symbols[1] = "Fe"
    return atoms


def stretched():
    atoms = perovskite()
    atoms.set_cell([3, 4, 8], scale_atoms=True)
    return atoms


REFUSED = {
    "another composition": (perovskite(), iron(), "composition"),
    "parent and child exchanged": (distorted(r=(0.1, 0.1, 0.1)), perovskite(), "exchange the two"),
    "overlapping atoms": (perovskite(), crowded(), "overlap"),
    "a molecule": (perovskite(), ase.Atoms("SrTiO3", positions=np.eye(5, 3) * 2), "repeats in three directions"),
    "another lattice": (perovskite(), stretched(), "strain"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_bad_input_is_one_line(name, files, capsys):
    parent, child, message = REFUSED[name]
    assert main(["order-parameters", *files(parent=parent, child=child)]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1


def test_a_parent_that_is_not_quite_symmetric_is_told_so(files, capsys):
    parent = perovskite()
    parent.positions[1, 2] += 0.01
    paths = files(parent=parent, child=distorted(r=(0, 0, 0.2)))
    assert main(["order-parameters", *paths]) == 2  # P4mm cannot tell the domains of the tilt apart
    assert "the parent is P4mm at 0.001 Å, but Pm-3m at 0.0" in capsys.readouterr().err
    assert main(["order-parameters", *paths, "--parent-tolerance", "0.05"]) == 0
    assert capsys.readouterr().err.startswith("Pm-3m breaks to I4/mcm by R4+(0,0,a)")


def test_an_incommensurate_modulation_is_refused(files, tmp_path, capsys):
    (parent,) = files(parent=perovskite())
    child = tmp_path / "modulated.cif"
    ase.io.write(child, perovskite())
    child.write_text(child.read_text() + "\nloop_\n_cell_wave_vector_seq_id\n_cell_wave_vector_x\n1 0.31\n")
    assert main(["order-parameters", parent, str(child)]) == 2
    assert "incommensurate" in capsys.readouterr().err


def test_frames_are_averaged_unless_one_is_chosen(files, tmp_path, capsys):
    (parent,) = files(parent=perovskite())
    generator, frames = np.random.default_rng(0), []
    for _ in range(12):
        frame = distorted(r=(0, 0, 0.2))
        frame.positions += 0.01 * generator.standard_normal(frame.positions.shape)
        frames.append(frame)
    child = str(tmp_path / "frames.extxyz")
    ase.io.write(child, frames)
    assert main(["order-parameters", parent, child, "--method", "group"]) == 0
    assert "mean of 12 frames" in capsys.readouterr().err
    assert main(["order-parameters", parent, child, "--method", "group", "--index", "-1"]) == 0
    assert "mean" not in capsys.readouterr().err
    assert main(["order-parameters", parent, child, "--index", "12"]) == 2
    assert "among 12" in capsys.readouterr().err
    ase.io.write(child, [*frames, perovskite()])
    assert main(["order-parameters", parent, child]) == 2
    assert "the same atoms in the same order" in capsys.readouterr().err


def test_a_tolerance_is_a_distance(files, capsys):
    assert main(["order-parameters", *files(parent=perovskite(), child=distorted()), "--tolerance", "much"]) == 2
    assert "expected a distance in Å" in capsys.readouterr().err


def test_a_network_learns_the_order_parameter(files, capsys):
    child = perovskite()
    child.positions[1, 2] += 0.1
    assert main(["order-parameters", *files(parent=perovskite(), child=child), "--method", "network", "--json"]) == 0
    printed = capsys.readouterr()
    network = json.loads(printed.out)["results"]["network"]
    learned = network["learned"]
    assert network["agrees"]
    assert learned["kept_by_order"] == 8
    assert learned["symmetric_loss"] == pytest.approx(learned["plateau"], rel=1e-4)
    assert learned["loss"] < 0.01 * learned["plateau"]
    lengths = learned["path"][learned["chosen"]]["blocks"]
    assert set(lengths) <= {"1o", "2e"}
    assert max(lengths, key=lambda name: lengths[name]) == "1o"
    assert "learned on" in printed.err
