"""The page about groups says what is so."""

import doctest
from pathlib import Path

PAGE = Path(__file__).parents[3] / "docs" / "how-to" / "groups.md"


def test_the_page_prints_what_it_says():
    failed, tried = doctest.testfile(str(PAGE), module_relative=False, encoding="utf-8")
    assert failed == 0
    assert tried > 15
