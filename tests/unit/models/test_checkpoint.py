"""One file that rebuilds a potential, and refuses everything else in one line."""

import pickle
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from subduce.config import InputError
from subduce.models import Potential, PotentialConfig, load, read_header, save

CONFIG = PotentialConfig(
    type_names=("H", "O"),
    num_layers=1,
    num_features=4,
    l_max=1,
    avg_num_neighbors=2.5,
    per_type_energy_shifts={"O": -3.0},
)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    save(Potential(CONFIG), tmp_path / "model.safetensors", provenance={"data": "water.extxyz"})
    return tmp_path / "model.safetensors"


def test_what_is_saved_comes_back(path):
    back = load(path)
    assert back.config == CONFIG
    for name, value in Potential(CONFIG).state_dict().items():
        assert torch.equal(back.state_dict()[name], value)
    header = read_header(path)
    assert header["provenance"] == {"data": "water.extxyz"}
    assert header["units"]["energy"] == "eV"


def test_another_dtype_on_request(path):
    assert load(path, dtype="float64").dtype == torch.float64
    with pytest.raises(InputError, match="float16"):
        load(path, dtype="float16")


def _truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-100])


def _flip_a_weight(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[-5] ^= 1
    path.write_bytes(bytes(data))


def _newer(path: Path) -> None:
    path.write_bytes(path.read_bytes().replace(b'\\"format\\": 1', b'\\"format\\": 9'))


def _other_width(path: Path) -> None:
    path.write_bytes(path.read_bytes().replace(b'\\"num_features\\": 4', b'\\"num_features\\": 5'))


def _unknown_setting(path: Path) -> None:
    path.write_bytes(path.read_bytes().replace(b'\\"num_layers\\"', b'\\"num_lay3rs\\"'))


def _pickle(path: Path) -> None:
    path.write_bytes(pickle.dumps({"weights": [1, 2, 3]}))


def _text(path: Path) -> None:
    path.write_text("not a model")


def _foreign(path: Path) -> None:
    save_file({"a": torch.zeros(3)}, path)


def _empty(path: Path) -> None:
    path.write_bytes(b"")


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (_truncate, "not a whole safetensors file"),
        (_flip_a_weight, "checksum"),
        (_newer, "newer version"),
        (_other_width, "do not fit"),
        (_unknown_setting, "did you mean num_layers"),
        (_pickle, "pickles are never loaded"),
        (_text, "not a whole safetensors file"),
        (_foreign, "without subduce's header"),
        (_empty, "not a whole safetensors file"),
        (Path.unlink, "no such model file"),
    ],
)
def test_a_file_that_is_no_model_is_refused_in_one_line(path, damage, says):
    damage(path)
    with pytest.raises(InputError, match=says) as caught:
        load(path)
    assert "\n" not in str(caught.value)
    assert str(path) in str(caught.value)


def test_a_failed_save_leaves_the_old_file(path, monkeypatch):
    before = path.read_bytes()

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="No space"):
        save(Potential(CONFIG.replace(seed=1)), path)
    assert path.read_bytes() == before
    assert [file.name for file in path.parent.iterdir()] == [path.name]
