"""`check` finds what was put in, and calls sound data sound."""

from dataclasses import replace
from pathlib import Path

import ase.io
import ase.units
import numpy as np
import pytest

from subduce.config import InputError
from subduce.data import atoms_from_structure, check, open_structures

DATA = Path(__file__).parents[2] / "data"
ETHANOL, BATIO3 = DATA / "ethanol_gfn2.extxyz", DATA / "batio3_lda.extxyz"
KCAL = ase.units.kcal / ase.units.mol


@pytest.fixture
def spoiled(tmp_path):
    """Checks a file of structures after a change of each of them, and returns the findings as text."""

    def run(path, change, *, columns=None, keep=slice(None)):
        structures = [change(index, one) for index, one in enumerate(open_structures(path)[keep])]
        ase.io.write(tmp_path / "spoiled.extxyz", [atoms_from_structure(one) for one in structures], format="extxyz")
        return told(check(tmp_path / "spoiled.extxyz"))

    return run


def told(record, *severities):
    severities = severities or ("error", "warning", "info")
    return [
        f"{f['severity']}: {f['what']} @ {f['where']}"
        for f in record.results["findings"]
        if f["severity"] in severities
    ]


def one_matches(findings, text):
    return sum(text in finding for finding in findings) == 1


@pytest.mark.parametrize("path", [ETHANOL, DATA / "emt_alloys.extxyz"])
def test_sound_data_have_nothing_but_information(path):
    assert told(check(path), "error", "warning") == []


def test_sound_crystals():
    found = told(check(BATIO3))
    assert one_matches(found, "info: energies and stress agree")
    assert one_matches(found, "info: energies and forces agree")
    assert [line[:30] for line in found if not line.startswith("info")] == ["warning: forces exactly zero @"]


def test_summary():
    record = check([BATIO3, ETHANOL])
    summary = record.results["summary"]
    assert (summary["n_structures"], summary["n_atoms"]) == (69, 29 * 5 + 40 * 9)
    assert summary["elements"] == {"H": 240, "C": 80, "O": 127, "Ti": 29, "Ba": 29}
    assert summary["labels_used"]["stress"] == {"stress": 29}
    assert set(record.inputs) == {str(BATIO3), str(ETHANOL)}
    assert record.kind == "check"
    assert "NaN" not in record.to_json()


@pytest.mark.parametrize(
    ("path", "change", "text"),
    [
        (ETHANOL, lambda s: replace(s, forces=-s.forces), "error: forces have the wrong sign"),
        (ETHANOL, lambda s: replace(s, energy=s.energy / KCAL), "error: energies look like kcal/mol beside forces"),
        (ETHANOL, lambda s: replace(s, forces=s.forces / KCAL), "error: forces look like kcal/mol/Å beside energies"),
        (
            ETHANOL,
            lambda s: replace(s, energy=s.energy / ase.units.Hartree),
            "error: energies look like Hartree beside",
        ),
        (ETHANOL, lambda s: replace(s, positions=s.positions / ase.units.Bohr), "warning: nearest neighbours are"),
        (
            ETHANOL,
            lambda s: replace(s, energy=-154.9 * 627.5),
            "warning: energies look like all-electron totals in kcal/mol",
        ),
        (ETHANOL, lambda s: replace(s, energy=-154.9), "warning: energies look like all-electron totals in Hartree"),
        (ETHANOL, lambda s: replace(s, forces=s.forces / KCAL), "warning: half of the structures have forces above"),
        (ETHANOL, lambda s: replace(s, forces=s.forces + 0.3), "warning: forces do not add up to zero"),
        (ETHANOL, lambda s: replace(s, forces=s.forces * 0), "error: forces exactly zero"),
        (ETHANOL, lambda s: replace(s, forces=s.forces * np.nan), "warning: no forces @ all"),
        (ETHANOL, lambda s: replace(s, energy=np.nan), "error: no energy @ all"),
        (
            BATIO3,
            lambda s: replace(s, stress=-s.stress),
            "error: stress has the wrong sign, as VASP writes it: energies",
        ),
        (BATIO3, lambda s: replace(s, stress=-s.stress / ase.units.GPa * 10), "stress looks like kbar, expected eV/Å³"),
        (BATIO3, lambda s: replace(s, stress=s.stress / ase.units.GPa), "stress looks like GPa, expected eV/Å³"),
    ],
)
def test_wrong_units_and_signs(spoiled, path, change, text):
    assert one_matches(spoiled(path, lambda _, one: change(one)), text)


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (lambda s: replace(s, energy=s.energy + 30), "warning: energies up to 3.3"),
        (lambda s: replace(s, forces=s.forces * 60), "warning: forces up to"),
        (lambda s: replace(s, forces=s.forces * np.nan), "warning: forces missing"),
        (lambda s: replace(s, positions=s.positions * 0.02), "error: atoms on top of each other"),
        (lambda s: replace(s, positions=s.positions * 8), "atoms without a neighbour within 5 Å"),
    ],
)
def test_one_bad_structure_is_named(spoiled, change, text):
    found = spoiled(ETHANOL, lambda index, one: change(one) if index == 3 else one)
    (line,) = [line for line in found if text in line]
    assert "spoiled.extxyz, structure 3 (1 of 40 structures)" in line


def test_stress_sign_from_the_trend_alone(spoiled):
    def strained(index, one):
        rng = np.random.default_rng(index)
        stretch = 1 + rng.uniform(-0.03, 0.03)
        pull = 0.1 * (stretch - 1) * np.eye(3) + rng.normal(size=(3, 3)) * 1e-4
        return replace(
            one, cell=one.cell * stretch, positions=one.positions * stretch, stress=-(pull + pull.T), energy=0.0
        )

    found = spoiled(BATIO3, strained)
    assert one_matches(found, "warning: stretched cells push (correlation -")


def test_structures_that_cannot_be_read_are_findings(tmp_path):
    text = ETHANOL.read_text().split("\n")
    text[13] = text[13].replace("C ", "Xx ", 1)
    (tmp_path / "bad.extxyz").write_text("\n".join(text))
    record = check(tmp_path / "bad.extxyz")
    assert one_matches(told(record), "error: 'Xx' is no chemical element")
    assert record.results["summary"]["n_unusable"] == 1
    with pytest.raises(InputError, match="no such file"):
        check(tmp_path / "gone.extxyz")


def test_repeats_and_leakage(tmp_path):
    lines = ETHANOL.read_text().split("\n")
    (tmp_path / "train.extxyz").write_text("\n".join(lines[: 11 * 20] + lines[:11]) + "\n")
    (tmp_path / "test.extxyz").write_text("\n".join(lines[11 * 19 : 11 * 30]) + "\n")
    found = told(check([tmp_path / "train.extxyz", tmp_path / "test.extxyz"]))
    assert one_matches(found, "error: structures in two files at once")
    assert one_matches(found, "warning: structures that repeat within a file")
    assert one_matches(found, "train.extxyz, structure 0 = ")
    assert one_matches(found, "train.extxyz, structure 19 = ")


def test_elements_that_training_lacks():
    assert one_matches(told(check([ETHANOL, BATIO3])), "does not have: Ti, Ba")


def test_isolated_atoms_of_another_code(tmp_path):
    def write(energy):
        atoms = [atoms_from_structure(one) for one in open_structures(ETHANOL)[:5]]
        for symbol in "HCO":
            atom = ase.Atoms(symbol, info={"config_type": "IsolatedAtom", "REF_energy": energy})
            atoms.append(atom)
        ase.io.write(tmp_path / "set.extxyz", atoms)
        return told(check(tmp_path / "set.extxyz"), "error", "warning")

    assert one_matches(write(-1000.0), "error: energies lie")
    # all together -309.8 eV for nine atoms, near enough to be binding
    assert not any("energies lie" in line for line in write(-30.0))


def test_several_names_for_one_label():
    found = told(check(DATA / "formats" / "dialects.extxyz"))
    assert one_matches(found, "warning: energy under several names: energy (2), REF_energy (1)")
