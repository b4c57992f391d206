"""Has a number moved? `python tests/golden/regenerate.py` says by how much, and stores the new ones."""

import importlib.util
import json
from pathlib import Path

import numpy as np
import pytest

HERE = Path(__file__).parent
STORED = json.loads((HERE / "numbers.json").read_text())
_spec = importlib.util.spec_from_file_location("regenerate", HERE / "regenerate.py")
regenerate = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(regenerate)


@pytest.fixture(scope="module")
def found():
    return regenerate.numbers()


@pytest.mark.parametrize("name", STORED)
def test_numbers_have_not_moved(found, name):
    np.testing.assert_allclose(found[name], STORED[name], rtol=1e-9, atol=1e-10)


def test_every_number_is_stored(found):
    assert set(found) == set(STORED)
