"""Extended XYZ in its dialects, read frame by frame as ASE reads it, and cut-off files named by frame."""

from pathlib import Path

import ase.io
import numpy as np
import pytest

from subduce.config import InputError
from subduce.data import LabelKeys, open_structures, structure_from_atoms
from subduce.data import _extxyz as extxyz

DATA = Path(__file__).parents[2] / "data"
FRAME = """2
Lattice="4 0 0 0 4 0 0 0 4" Properties=species:S:1:pos:R:3:forces:R:3 energy=-1.5
H 0 0 0 0.1 0 0
H 0 0 0.75 -0.1 0 0
"""


@pytest.mark.parametrize("name", ["ethanol_gfn2", "batio3_lda", "emt_alloys", "formats/dialects"])
def test_the_same_as_ase(name):
    path = DATA / f"{name}.extxyz"
    frames, structures = ase.io.read(path, index=":"), open_structures(path)
    assert len(frames) == len(structures)
    for atoms, found in zip(frames, structures, strict=True):
        wanted = structure_from_atoms(atoms)
        for field in ("atomic_numbers", "positions", "cell", "pbc", "energy", "forces"):
            np.testing.assert_array_equal(getattr(found, field), getattr(wanted, field))
        np.testing.assert_allclose(found.stress, wanted.stress, rtol=1e-12, atol=1e-15)


def test_dialects():
    first, second, third = structures = open_structures(DATA / "formats" / "dialects.extxyz")
    assert (first.energy, second.energy, third.energy) == (-10.5, -10.4, -10.29)
    np.testing.assert_allclose(second.stress, np.eye(3) * 0.4 / second.volume)
    assert third.pbc.tolist() == [True, True, False]
    assert first.config_type == "bulk"
    assert structures.labels_used["energy"] == ("energy", "REF_energy")
    other = open_structures(DATA / "formats" / "dialects.extxyz", keys=LabelKeys(energy="free_energy"))
    assert [one.has("energy") for one in other] == [False, False, True]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ('a="1 2 3"', [1.0, 2.0, 3.0]),
        ("a={1 2 3}", [1.0, 2.0, 3.0]),
        ("a=[1,2,3]", [1.0, 2.0, 3.0]),
        ("a = 1.5e-3", 1.5e-3),
        ("a=-7", -7),
        ("a='x y'", "x y"),
        ("a", True),
        ("a=F b=1", False),
        ('a="T F T"', [True, False, True]),
        (r'a="say \"hi\""', 'say "hi"'),
        ('a="_JSON [[1, 2], [3, 4]]"', [[1, 2], [3, 4]]),
        ("a=x=y", "x=y"),
        ('b="c=1" a=2', 2),
    ],
)
def test_values_of_a_comment(text, value):
    found = extxyz.parse_comment(text)["a"]
    assert type(found) is type(value) or isinstance(value, list)
    np.testing.assert_array_equal(found, value)


def test_plain_xyz_and_blank_lines(tmp_path):
    (tmp_path / "plain.xyz").write_text("2\r\n\r\nO 0 0 0\r\nH 0 0 1\r\n\r\n1\nwords alone\n8 1 2 3 0.5\n\n\n")
    first, second = open_structures(tmp_path / "plain.xyz")
    assert (first.formula, second.formula) == ("HO", "O")
    assert second.positions.tolist() == [[1, 2, 3]]
    assert not first.pbc.any()


def test_frames_that_span_the_pieces_read(tmp_path, monkeypatch):
    (tmp_path / "many.xyz").write_text("".join(FRAME.replace("-1.5", str(k)) for k in range(50)))
    for size in (7, 64, 1000):
        monkeypatch.setattr(extxyz, "_CHUNK", size)
        assert [one.energy for one in open_structures(tmp_path / "many.xyz")] == list(range(50))


@pytest.mark.parametrize("lines", [1, 2, 3])
def test_a_truncated_file_names_the_frame(lines, tmp_path):
    short = FRAME * 2 + "\n".join(FRAME.split("\n")[:lines]) + "\n"
    (tmp_path / "short.xyz").write_text(short)
    with pytest.raises(InputError, match=rf"structure 2: the file ends in the middle of it, {4 - lines} lines short"):
        open_structures(tmp_path / "short.xyz")


def test_a_file_cut_within_a_line_names_the_frame(tmp_path):
    (tmp_path / "short.xyz").write_text((FRAME * 3)[:-10])
    with pytest.raises(InputError, match="structure 2: atom 1 has 4 columns, expected 7"):
        open_structures(tmp_path / "short.xyz")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("H 0 0 0 ", "Xx 0 0 0 ", "structure 0: 'Xx' is no chemical element"),
        ("0.75", "near", "structure 0: pos holds a word that is no number"),
        ("2\n", "two\n", "structure 0: expected the number of atoms, found 'two'"),
        ("forces:R:3", "forces:R:2", "structure 0: atom 0 has 7 columns, expected 6"),
        ("species:S:1:", "", "structure 0: atom 0 has 7 columns, expected 6"),
        ("pos:R:3:forces:R:3", "pos:R", "Properties=species:S:1:pos:R is not of the form"),
        ("4 0 0 0 4 0 0 0 4", "4 0 0", "Lattice=.* is not 9 numbers"),
        ("4 0 0 0 4 0 0 0 4", "4 0 0 8 0 0 0 0 4", "no volume"),
        ("-1.5", "nan", "energy is nan"),
        ("-0.1", "inf", "forces is inf at atom 1"),
    ],
)
def test_damage_is_named(old, new, message, tmp_path):
    (tmp_path / "bad.xyz").write_text(FRAME.replace(old, new))
    with pytest.raises(InputError, match=message):
        list(open_structures(tmp_path / "bad.xyz"))


def test_opening_does_not_hold_the_text(tmp_path):
    (tmp_path / "many.xyz").write_text(FRAME * 2000)
    structures = open_structures(tmp_path / "many.xyz")
    (tmp_path / "many.xyz").write_text(FRAME.replace("-1.5", "-2.5") * 2000)
    assert structures[1500].energy == -2.5
