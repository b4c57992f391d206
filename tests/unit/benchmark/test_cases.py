"""What is timed: complete, sendable, and judged as the targets say."""

import json
import math

import pytest

from subduce.benchmark._cases import Target, all_cases, quick_cases, silicon, sizes, water


@pytest.mark.parametrize(
    ("target", "value", "verdict"),
    [
        (Target(10, 20), 25.0, "aim"),
        (Target(10, 20), 12.0, "yes"),
        (Target(10, 20), 5.0, "missed by a factor of 2"),
        (Target(20), 400.0, "yes"),
        (Target(0.05, 0.01, sense="at most"), 0.005, "aim"),
        (Target(0.05, 0.01, sense="at most"), 0.1, "missed by a factor of 2"),
        (Target(0.05, 0.02, sense="near one"), 0.99, "aim"),
        (Target(0.05, 0.02, sense="near one"), 1.04, "yes"),
        (Target(0.05, 0.02, sense="near one"), 0.9, "missed by a factor of 2"),
    ],
)
def test_a_target_says_whether_and_by_how_much(target, value, verdict):
    assert target.met(value) == verdict


def test_every_target_of_the_table_is_there():
    cases = all_cases()
    times = [(rival.time.must, rival.time.aim) for case in cases for rival in case.rivals if rival.time]
    wanted = [(60, 100), (50, 80), (70, 110), (25, 40), (18, 30), (30, 50), (15, 25), (10, 20), (5, 9)]
    wanted += [(8, 15), (3, 6), (10, 20), (1.7, 1.9), (2, 3)]
    assert all(times.count(pair) >= wanted.count(pair) for pair in wanted)
    assert [rival.memory.must for case in cases for rival in case.rivals if rival.memory] == [20, 20, 20, 3]
    assert {key for case in cases for key in case.targets} == {"share", "peak_gb"}


def test_names_are_unique_and_tasks_are_plain():
    for cases in (all_cases(), quick_cases()):
        assert len({case.name for case in cases}) == len(cases)
        small = [case for case in cases if len(case.task.get("structures", [{"numbers": []}])[0]["numbers"]) < 2000]
        assert all(json.loads(json.dumps(case.task)) for case in small)


def test_sizes_are_those_they_are_named_by():
    found = {len(case.task["structures"][0]["numbers"]) for case in sizes(2)}
    assert {1000, 100_000} <= found
    assert all(f"{len(c.task['structures'][0]['numbers']):,} atoms" in c.name for c in sizes(1))


def test_structures_are_what_they_say():
    box, crystal = water(2), silicon((2, 2, 2))
    assert (len(box), box.get_chemical_formula()) == (24, "H16O8")
    assert math.isclose(box.get_masses().sum() / box.get_volume() / 0.602214, 0.997, rel_tol=1e-3)
    assert len(crystal) == 64
    assert crystal.get_all_distances(mic=True)[0, 1:].min() > 2.0
