"""Records: JSON in and out, and files that appear whole."""

import json
import math
import os
from pathlib import Path

import numpy as np
import pytest

from subduce.config import InputError
from subduce.records import Record, appearing_whole, fingerprint, write_whole


def test_a_record_comes_back_from_its_json():
    record = Record("evaluate", {"a.xyz": "0f"}, {"path": Path("a")}, {"mae": np.float64(0.5), "n": np.arange(2)}, 1.5)
    back = Record.from_json(record.to_json())
    assert back == Record("evaluate", {"a.xyz": "0f"}, {"path": "a"}, {"mae": 0.5, "n": [0, 1]}, 1.5)


def test_numbers_that_are_not_finite_become_null():
    text = Record("x", {}, {}, {"a": math.nan, "b": [math.inf, 1.0]}, 0.0).to_json()
    assert json.loads(text)["results"] == {"a": None, "b": [None, 1.0]}


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("{", "line 1: not JSON"),
        ("[1]", "not a result record"),
        ('{"kind": "x"}', "not a result record"),
        ('{"kind":"x","inputs":{},"settings":{},"results":{},"seconds":1,"version":99}', "newer version"),
    ],
)
def test_texts_that_are_no_records_are_refused(text, says):
    with pytest.raises(InputError, match=f"r.json.*{says}"):
        Record.from_json(text, source="r.json")


def test_fingerprints_tell_contents_apart(tmp_path):
    a, b = tmp_path / "a", tmp_path / "b"
    a.write_text("1")
    b.write_text("1")
    assert fingerprint(a) == fingerprint(b)
    b.write_text("2")
    assert fingerprint(a) != fingerprint(b)
    before = fingerprint(tmp_path)
    (tmp_path / "c").write_text("3")
    assert fingerprint(tmp_path) != before


def test_a_file_appears_whole_or_not_at_all(tmp_path):
    path = tmp_path / "new" / "file"
    write_whole(path, "first")
    with pytest.raises(RuntimeError, match="stop"), appearing_whole(path) as stream:  # noqa: PT012
        stream.write(b"second")
        raise RuntimeError("stop")
    assert path.read_text() == "first"
    assert os.listdir(path.parent) == ["file"]
    assert path.stat().st_mode & 0o777 == 0o666 & ~_umask()


def _umask() -> int:
    umask = os.umask(0)
    os.umask(umask)
    return umask
