"""QM9 in all its forms, and molecules as SDF with a table beside it."""

import io
import os
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

import numpy as np
import pytest

from subduce.config import InputError
from subduce.data import GraphDataset, LabelKeys, Property, open_structures, unit_factor
from subduce.train import read_run, train

QM9 = Path(__file__).parent.parent.parent / "data" / "formats" / "qm9"
TARGETS = ("mu", "alpha", "homo", "lumo", "gap", "r2", "zpve", "U0", "U", "H", "G", "Cv")
ORIGINALS = ("dsgdb9nsd", "dsgdb9nsd.xyz.tar.bz2")
FORMS = (*ORIGINALS, "gdb9.sdf", "gdb9.sdf.csv", "pack/qm9_part1.csv")


@pytest.fixture
def installed(tmp_path, monkeypatch):
    """A package qm9pack with a few molecules, which fails when it is imported."""
    package = tmp_path / "site" / "qm9pack"
    shutil.copytree(QM9 / "pack", package / "data")
    (package / "__init__.py").write_text("raise ImportError('no pkg_resources')")
    monkeypatch.syspath_prepend(str(package.parent))
    return package / "data"


def keys(*properties):
    return LabelKeys(properties=properties)


@pytest.mark.parametrize("form", FORMS)
def test_methane_has_the_twelve_targets_in_every_form(form):
    frame = open_structures(QM9 / form).frame(0)
    found = [frame.values[name] for name in TARGETS]
    wanted = [
        0,
        13.21,
        -0.3877,
        0.1171,
        0.5048,
        35.3641,
        0.044749,
        -40.47893,
        -40.476062,
        -40.475117,
        -40.498597,
        6.469,
    ]
    assert found == wanted
    assert [frame.units[name] for name in TARGETS] == (
        ["D", "bohr^3", *["Hartree"] * 3, "bohr^2", *["Hartree"] * 5, "cal/(mol K)"]
    )
    for unit in frame.units.values():
        assert unit_factor(unit, unit) == 1
    np.testing.assert_array_equal(frame.atomic_numbers, [6, 1, 1, 1, 1])
    np.testing.assert_allclose(frame.positions[0], [-0.0127, 1.0858, 0.008], atol=1e-4)
    assert not frame.pbc.any()


@pytest.mark.parametrize("form", FORMS)
def test_energies_of_atomization_are_the_same_in_every_form_and_unit(form):
    (methane, *_) = open_structures(QM9 / form, keys=keys(*(Property(f"{n}_atom", unit="eV") for n in ("U0", "G"))))
    assert methane.properties["U0_atom"] == pytest.approx(-395.999595 * unit_factor("kcal/mol", "eV"), rel=1e-6)
    assert methane.properties["G_atom"] == pytest.approx(-372.471772 * unit_factor("kcal/mol", "eV"), rel=1e-6)


def test_targets_are_converted_to_the_unit_asked_for(installed):
    water = open_structures("qm9", keys=keys(Property("gap", unit="eV"), Property("mu", unit="e*Å"), Property("r2")))[2]
    assert water.properties["gap"] == pytest.approx(0.3615 * 27.211386, rel=1e-7)
    assert water.properties["mu"] == pytest.approx(1.8511 / 4.80320, rel=1e-5)
    assert water.properties["r2"] == pytest.approx(19.0002)
    with pytest.raises(InputError, match="gap: the unit Hartree cannot be converted into D"):
        open_structures("qm9", keys=keys(Property("gap", unit="D")))[0]


def test_the_installed_package_is_one_set_and_is_not_imported(installed):
    structures = open_structures("qm9")
    assert structures.paths == sorted(installed.glob("*.csv"))
    assert len(structures) == sum(len(path.read_text().splitlines()) - 1 for path in structures.paths)
    assert [structures[row].formula for row in (0, 7, -1)] == ["CH4", "CH4O", "C7H7NO"]
    last = structures.frame(len(structures) - 1)
    assert len(last.values["mulliken"]) == 16
    assert len(last.values["frequencies"]) == 3 * 16 - 6
    fluorine = [one for one in structures if 9 in one.atomic_numbers]
    assert len(fluorine) == 1


def test_a_package_that_is_not_installed_is_answered_with_the_pip_line(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("subduce.data._qm9.find_spec", lambda name: None)
    with pytest.raises(InputError, match=r"^qm9: .* not installed; pip install qm9pack==1\.0\.3$"):
        open_structures("qm9")
    shutil.copy(QM9.parent / "dialects.extxyz", "qm9")  # a file of that name comes first
    assert len(open_structures("qm9")) == 3


def test_an_unknown_target_is_answered_with_those_there_are_before_anything_is_read(installed):
    with pytest.raises(InputError, match=r"has no dipol; it has A \(GHz\), .*mu \(D\), .*Cv \(cal/\(mol K\)\)"):
        open_structures("qm9", keys=keys(Property("dipol")))
    with pytest.raises(InputError, match=r"gdb9.sdf: has no spread; it has mol_id, A \(GHz\)"):
        open_structures(QM9 / "gdb9.sdf", keys=keys(Property("spread")))


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("name", ["alpha", "polarizability"])
def test_tensors_are_refused_with_the_reason(form, name):
    with pytest.raises(InputError, match="Gaussian's standard orientation, not in the frame of its geometries"):
        open_structures(QM9 / form, keys=keys(Property(name, (3, 3))))
    with pytest.raises(InputError, match="only the length of the dipole"):
        open_structures(QM9 / form, keys=keys(Property("mu", (3,))))


@pytest.mark.parametrize("form", ORIGINALS)
def test_original_files_have_exponents_of_their_own_and_charges(form):
    structures = open_structures(QM9 / form)
    water = structures.frame(1)
    assert water.positions[1, 2] == 1.5346341e-6
    np.testing.assert_array_equal(water.values["mulliken"], [-0.003681, 0.383621, 0.281294])
    np.testing.assert_array_equal(water.values["frequencies"], [2099.7902, 2984.486, 3200.6436])
    assert structures.source(1) == f"{QM9 / form}, structure 1 (dsgdb9nsd_000003)"


def test_one_original_file_and_several_after_each_other(tmp_path):
    first, second = sorted((QM9 / "dsgdb9nsd").iterdir())
    assert open_structures(second)[0].formula == "H2O"
    (tmp_path / "both.xyz").write_text((first.read_text() + second.read_text()).replace("\n", "\r\n"))
    assert [one.formula for one in open_structures(tmp_path / "both.xyz")] == ["CH4", "H2O"]


def test_an_archive_is_unpacked_once_and_nothing_stays_when_the_process_ends(tmp_path):
    (tmp_path / "temporary").mkdir()
    code = f"""
import os
from subduce.data import open_structures
for _ in range(2):
    open_structures({str(QM9 / ORIGINALS[1])!r})
assert len(os.listdir(os.environ["TMPDIR"])) == 1
"""
    environment = {**os.environ, "TMPDIR": str(tmp_path / "temporary")}
    subprocess.run([sys.executable, "-c", code], check=True, env=environment)
    assert not list((tmp_path / "temporary").iterdir())


@pytest.mark.parametrize("change", ["cut", "text", "other"])
def test_a_bad_archive_is_refused_in_one_line(change, tmp_path):
    path = tmp_path / "dsgdb9nsd.xyz.tar.bz2"
    if change == "other":
        with tarfile.open(path, "w:bz2") as archive:
            archive.addfile(tarfile.TarInfo("readme.txt"), io.BytesIO())
    else:
        path.write_bytes((QM9 / path.name).read_bytes()[:400] if change == "cut" else b"nothing\n" * 99)
    with pytest.raises(InputError, match=str(path)) as caught:
        open_structures(path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("change", [("5\n", "6\n"), ("\t13.21\t", "\t"), ("0.055406", ""), ("C\t-", "Xx\t-")])
def test_a_damaged_original_file_is_named(change, tmp_path):
    path = tmp_path / "dsgdb9nsd_000001.xyz"
    path.write_text((QM9 / "dsgdb9nsd" / path.name).read_text().replace(*change, 1))
    with pytest.raises(InputError, match=r"structure 0 \(dsgdb9nsd_000001\): cannot be read"):
        open_structures(path)


@pytest.mark.parametrize("form", ["dsgdb9nsd", "dsgdb9nsd.xyz.tar.bz2"])
def test_uncharacterized_molecules_are_left_out(form, tmp_path):
    copy = shutil.copytree if (QM9 / form).is_dir() else shutil.copy
    copy(QM9 / form, tmp_path / form)
    (tmp_path / "uncharacterized.txt").write_text("3 header\n" * 9 + "     1  C  C  C  0.5\n" + "3 molecules in all\n")
    assert [one.formula for one in open_structures(tmp_path / form)] == ["H2O"]


def test_uncharacterized_molecules_of_the_sdf_are_left_out(tmp_path):
    sdf(tmp_path / "gdb9.sdf", "gdb_1", "gdb_2", "gdb_3")
    header, row = (QM9 / "gdb9.sdf.csv").read_text().splitlines()
    rows = [row.replace("gdb_1", f"gdb_{number}").replace("13.21", f"{number}") for number in (1, 2, 3)]
    (tmp_path / "gdb9.sdf.csv").write_text("\n".join([header, *rows]))
    (tmp_path / "uncharacterized.txt").write_text("header\n" * 9 + "2 C C\n" + "end\n")
    structures = open_structures(tmp_path / "gdb9.sdf", keys=keys(Property("alpha")))
    assert [one.properties["alpha"].item() for one in structures] == [1, 3]


# Sets of one's own: SDF and a table.


def sdf(path, *titles, ending="\n", charge=""):
    one = (QM9 / "gdb9.sdf").read_text()
    text = "".join(one.replace("gdb_1", title) for title in titles).replace("M  END", f"{charge}M  END")
    path.write_text(text.replace("\n", ending), newline="")
    return path


def test_a_table_beside_an_sdf_gives_labels_with_units_and_gaps(tmp_path):
    sdf(tmp_path / "mine.sdf", "a", "b", "c", ending="\r\n")
    table = tmp_path / "mine.csv"
    table.write_text(
        '\ufeffname,gap [eV],note,E (per atom)\r\na,1.5,"two\r\nlines, ""quoted""",1\r\nb,,x,nan\r\nc,2,,3\r\n\r\n'
    )
    wanted = keys(Property("gap", unit="meV"), Property("E (per atom)"))
    for path in (tmp_path / "mine.sdf", table):
        structures = open_structures(path, keys=wanted)
        np.testing.assert_array_equal([one.properties["gap"].item() for one in structures], [1500, np.nan, 2000])
        assert structures.frame(0).values["note"] == 'two\r\nlines, "quoted"'
    dataset = GraphDataset(structures, 3.0)
    assert dataset.require(["gap", "E (per atom)"]) == {"gap": 1, "E (per atom)": 1}


def test_labels_that_are_wholly_missing_are_refused(tmp_path):
    sdf(tmp_path / "mine.sdf", "a", "b")
    (tmp_path / "mine.csv").write_text("name;gap\na;NA\nb;\n")
    dataset = GraphDataset(open_structures(tmp_path / "mine.sdf", keys=keys(Property("gap"))), 3.0)
    with pytest.raises(InputError, match="no gap in any of 2 structures"):
        dataset.require(["gap"])


def test_data_fields_are_labels_and_charges_are_read(tmp_path):
    path = sdf(tmp_path / "ions.sdf", "a", "b", charge="M  CHG  2   1   2   3  -1\n")
    fields = ">  <gap>\n1.5\n\n> 25 <dipole> (1)\n1.0 2.0\n3.0\n\n>  <note>\nsome words\n\n"
    path.write_text(path.read_text().replace("M  END\n", f"M  END\n{fields}", 1))
    first, second = open_structures(path, keys=keys(Property("gap"), Property("dipole", (3,))))
    assert (first.charge, second.charge) == (1.0, 1.0)
    np.testing.assert_array_equal(first.properties["dipole"], [[1, 2, 3]])
    assert [one.has("gap") for one in (first, second)] == [True, False]
    codes = tmp_path / "codes.sdf"
    codes.write_text((QM9 / "gdb9.sdf").read_text().replace("C   0  0", "C   0  5", 1))
    assert open_structures(codes)[0].charge == -1.0


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (("V2000", "V3000"), "is written as V3000"),
        (("  5  4", "  x  4"), "no counts line"),
        (("  5  4", "  6  4"), "an atom's line cannot be read"),
        (("1.0858", "1.o858"), "an atom's line cannot be read"),
        ((" C   0", " R#  0"), "an atom's line cannot be read"),
        (("M  END", ""), "ends before its M  END"),
        (("  5  4", "  0  0"), "holds no atoms"),
    ],
)
def test_a_bad_molecule_is_named(change, reason, tmp_path):
    path = tmp_path / "bad.sdf"
    path.write_text((QM9 / "gdb9.sdf").read_text().replace(*change, 1))
    with pytest.raises(InputError, match=f"bad.sdf, structure 0: .*{reason}"):
        open_structures(path)[0]


def test_a_drawing_is_no_geometry(tmp_path):
    flat = (QM9 / "gdb9.sdf").read_text().splitlines()
    flat[1] = flat[1].replace("3D", "2D")
    flat[4:9] = [line[:20] + "    0.0000" + line[30:] for line in flat[4:9]]
    (tmp_path / "flat.sdf").write_text("\n".join(flat))
    with pytest.raises(InputError, match=r"structure 0: a drawing \(2D\), not a geometry"):
        open_structures(tmp_path / "flat.sdf")


@pytest.mark.parametrize(
    ("table", "reason"),
    [
        ("name,gap\na,1\n", "1 rows for the 2 molecules of mine.sdf"),
        ("name,gap\nb,1\na,2\n", "is called b, but row 1 of mine.csv a"),
        ("name,gap,mu\na,1,2\nb,1\n", "mine.csv, row 1: 2 columns, expected 3"),
        ("", "an empty table"),
    ],
)
def test_a_table_that_does_not_fit_is_refused(table, reason, tmp_path):
    sdf(tmp_path / "mine.sdf", "a", "b")
    (tmp_path / "mine.csv").write_text(table)
    with pytest.raises(InputError, match=reason):
        open_structures(tmp_path / "mine.sdf")


def test_a_table_without_geometries_says_what_is_needed(tmp_path):
    (tmp_path / "alone.csv").write_text("name,gap\na,1\n")
    with pytest.raises(InputError, match=r"a table without geometries; expected alone.sdf beside it"):
        open_structures(tmp_path / "alone.csv")


def test_a_changed_table_changes_the_identity(tmp_path):
    path, table = sdf(tmp_path / "mine.sdf", "a"), tmp_path / "mine.csv"
    table.write_text("name,gap\na,1\n")
    before = open_structures(path).identity
    table.write_text("name,gap\na,12\n")
    assert open_structures(path).identity != before


def test_a_model_is_trained_on_the_installed_package_in_one_line(installed, tmp_path):
    settings = [
        "target=mu",
        "data.val=2",
        "data.test=2",
        "train.max_epochs=1",
        "model.num_layers=1",
        "model.num_features=4",
    ]
    record = train(read_run("qm9", settings), folder=tmp_path / "run")
    assert record.results["test"]["mu_mae"] > 0
    assert list(record.inputs) == [str(path) for path in sorted(installed.glob("*.csv"))]
    with pytest.raises(
        InputError, match=r"qm9_part1.csv: no structure has a value called dipol; .*there are .*mu, alpha"
    ):
        train(read_run("qm9", ["target=dipol"]), folder=tmp_path / "other")
    assert not (tmp_path / "other").exists()
