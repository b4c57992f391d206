"""Every reader keeps the interface: random access, labels in eV and Å, copies for other processes."""

import pickle
import shutil
from pathlib import Path

import ase.io
import ase.units
import h5py
import numpy as np
import pytest
from ase.db import connect

from subduce.config import InputError
from subduce.data import atoms_from_structure, open_structures

DATA = Path(__file__).parent.parent / "data"
FORMATS = DATA / "formats"
KCAL = ase.units.kcal / ase.units.mol


@pytest.fixture(
    params=[
        *("extxyz", "extxyz by another name", "rmd17", "md17", "spice", "aselmdb", "folder", "db", "traj", "poscar"),
        *("qm9pack", "dsgdb9nsd", "dsgdb9nsd.xyz.tar.bz2", "gdb9.sdf", "gdb9.sdf.csv"),
    ]
)
def path(request, tmp_path):
    match request.param:
        case "extxyz":
            return FORMATS / "dialects.extxyz"
        case "extxyz by another name":
            return shutil.copy(FORMATS / "dialects.extxyz", tmp_path / "train.txt")
        case "rmd17":
            return FORMATS / "rmd17_ethanol.npz"
        case "md17":
            return FORMATS / "md17_ethanol.npz"
        case "spice":
            return FORMATS / "SPICE-sample.hdf5"
        case "aselmdb":
            return FORMATS / "omat24" / "data.0000.aselmdb"
        case "folder":
            return FORMATS / "omol25"
        case "db":
            return database(tmp_path / "few.db")
        case "traj":
            ase.io.write(tmp_path / "few.traj", few())
            return tmp_path / "few.traj"
        case "qm9pack":
            return FORMATS / "qm9" / "pack" / "qm9_part1.csv"
        case "dsgdb9nsd" | "dsgdb9nsd.xyz.tar.bz2" | "gdb9.sdf" | "gdb9.sdf.csv":
            return FORMATS / "qm9" / request.param
        case "poscar":
            ase.io.write(tmp_path / "POSCAR", few()[0], format="vasp")
            return tmp_path / "POSCAR"


def few():
    return [atoms_from_structure(one) for one in open_structures(DATA / "batio3_lda.extxyz")[:4]]


def database(path):
    with connect(path) as db:
        for atoms in few():
            db.write(atoms, config_type="bulk")
        db.write(few()[0])
        del db[2]  # ids may have gaps
    return path


def test_random_access_is_sequential_access(path):
    structures = open_structures(path)
    in_order = list(structures)
    assert len(in_order) == len(structures) > 0
    for index in reversed(range(len(structures))):
        assert_same(structures[index], in_order[index])
    assert_same(structures[-1], in_order[-1])


def test_subsets_and_slices_keep_the_order_given(path):
    structures = open_structures(path)
    rows = [len(structures) - 1, 0]
    for index, one in enumerate(structures.subset(rows)):
        assert_same(one, structures[rows[index]])
    assert len(structures[1:]) == len(structures) - 1


def test_a_copy_in_another_process_reads_the_same(path):
    structures = open_structures(path)
    structures[0]
    assert_same(pickle.loads(pickle.dumps(structures))[0], structures[0])


def test_identity_depends_on_file_rows_and_settings(path):
    structures = open_structures(path)
    assert structures.identity == open_structures(path).identity
    assert structures.identity != open_structures(path, energy_units_to_eV=2.0).identity
    assert structures.identity != structures.subset([0, 0]).identity


def test_units_multiply(path):
    plain, other = open_structures(path)[0], open_structures(path, energy_units_to_eV=2.0, length_units_to_A=0.5)[0]
    np.testing.assert_allclose(other.positions, plain.positions / 2, rtol=1e-12)
    np.testing.assert_allclose(other.cell, plain.cell / 2, rtol=1e-12)
    np.testing.assert_allclose(other.energy, plain.energy * 2, rtol=1e-12)
    np.testing.assert_allclose(other.forces, plain.forces * 4, rtol=1e-12)
    np.testing.assert_allclose(other.stress, plain.stress * 16, rtol=1e-12)


def test_sources_name_the_file_and_the_place(path):
    structures = open_structures(path)
    assert structures[0].source == structures.source(0)
    assert structures.source(0).startswith(f"{structures.paths[0]}, structure 0")


def test_a_missing_file_is_said_in_one_line(path, tmp_path):
    gone = tmp_path / f"gone{Path(path).suffix}"
    with pytest.raises(InputError, match=r"gone.*: no such file") as caught:
        open_structures(gone)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["a.extxyz", "a.npz", "a.hdf5", "a.db", "a.aselmdb", "a.traj", "a.cif", "a"])
@pytest.mark.parametrize("content", [b"", b"\x00\x01nonsense\xff\n" * 3])
def test_what_is_no_structure_file_is_refused(name, content, tmp_path):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=str(tmp_path / name)) as caught:
        open_structures(tmp_path / name)
    assert "\n" not in str(caught.value)


def test_rmd17_is_kcal_per_mol():
    raw = np.load(FORMATS / "rmd17_ethanol.npz")
    one = open_structures(FORMATS / "rmd17_ethanol.npz")[3]
    assert one.energy == pytest.approx(raw["energies"][3] * 0.0433641, rel=1e-6)
    np.testing.assert_allclose(one.forces, raw["forces"][3] * KCAL, rtol=1e-12)
    np.testing.assert_array_equal(one.atomic_numbers, raw["nuclear_charges"])


def test_spice_is_hartree_and_bohr_and_its_gradient_is_minus_the_force():
    one = open_structures(FORMATS / "SPICE-sample.hdf5")[5]
    with h5py.File(FORMATS / "SPICE-sample.hdf5") as file:
        group = file["ethanol-sample"]
        gradient, place = group["dft_total_gradient"][1], group["conformations"][1]
        energy = group["dft_total_energy"][1]
    np.testing.assert_allclose(one.positions, place * 0.529177210903, rtol=1e-6)
    np.testing.assert_allclose(one.forces, -gradient * 27.211386 / 0.529177210903, rtol=1e-6)
    assert one.energy == pytest.approx(energy * 27.211386, rel=1e-7)
    assert "ethanol-sample, conformation 1" in one.source


def test_omat24_and_omol25_labels():
    bulk = open_structures(FORMATS / "omat24")
    assert bulk[0].energy == -40.0
    assert bulk[0].config_type == "rattled-300"
    assert bulk[0].has("stress")
    assert bulk.labels_used == {"energy": ("energy",), "forces": ("forces",), "stress": ("stress",)}
    molecule = open_structures(FORMATS / "omol25")[0]
    assert (molecule.charge, molecule.spin, molecule.has("stress")) == (0.0, 1.0, False)


def test_database_rows_keep_labels_and_key_value_pairs(tmp_path):
    structures = open_structures(database(tmp_path / "few.db"))
    assert len(structures) == 4
    wanted = open_structures(DATA / "batio3_lda.extxyz")[2]
    np.testing.assert_allclose(structures[1].stress, wanted.stress, rtol=1e-12)
    assert structures[1].energy == wanted.energy
    assert structures[1].config_type == "bulk"
    assert structures.source(1).endswith("structure 1 (id 3)")


def test_several_files_are_one_sequence():
    both = open_structures([DATA / "ethanol_gfn2.extxyz", DATA / "batio3_lda.extxyz"])
    assert len(both) == 40 + 29
    assert both[40].formula == "BaO3Ti"
    assert both.source(41).endswith("batio3_lda.extxyz, structure 1")


def assert_same(one, other):
    for name in ("atomic_numbers", "positions", "cell", "pbc", "energy", "forces", "stress", "charge", "spin"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name))
    assert (one.source.split(", ")[-1], one.config_type) == (other.source.split(", ")[-1], other.config_type)
