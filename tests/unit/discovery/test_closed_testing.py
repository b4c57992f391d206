"""Which subgroup is kept, from tests of subgroups and of irreps that must not contradict each other."""

import numpy as np
import pytest

from subduce.discovery._significance import closed_testing
from subduce.groups import dihedral, point_group

SQUARE = dihedral(4)
NOTHING = dict.fromkeys(("A2", "B1", "B2", "E"), 0.5)


def test_an_irrep_takes_with_it_every_subgroup_that_forbids_it():
    found = closed_testing(SQUARE, lambda kept: 0.5, 0.05, NOTHING | {"B1": 0.01})
    assert [kept.setting for kept in found.kept] == ["D2(axes)"]


def test_no_subgroup_is_lost_without_an_irrep():
    found = closed_testing(SQUARE, lambda kept: 0.0, 0.05, NOTHING)
    assert [kept.name for kept in found.kept] == ["D4"]
    assert found.p_values[found.kept[0]] == 0.5
    without = closed_testing(SQUARE, lambda kept: 0.0, 0.05)
    assert [kept.order for kept in without.kept] == [1]


def test_where_an_irrep_leaves_the_choice_the_subgroups_own_tests_make_it():
    def test(kept):
        return 0.5 if kept.elements == ("e", "m_y") else 0.0

    found = closed_testing(SQUARE, test, 0.05, NOTHING | {"E": 0.001})
    assert [kept.elements for kept in found.kept] == [("e", "m_y")]


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("group", [SQUARE, point_group("D2h"), point_group("O")], ids=str)
def test_subgroups_and_irreps_never_contradict_each_other(group, seed):
    rng = np.random.default_rng(seed)
    absent = {irrep.name: float(rng.choice([0.001, 0.5])) for irrep in group.irreps[1:]}
    found = closed_testing(group, lambda kept: float(rng.choice([0.001, 0.5])), 0.05, absent)
    broken = [group.irrep(name) for name, p in absent.items() if p < 0.05]
    for kept in found.kept:
        assert all(kept.fixed_dimension(irrep.character) for irrep in broken)
    for kept, p in found.p_values.items():
        if p < 0.05:
            assert any(kept.fixed_dimension(irrep.character) < irrep.dim for irrep in broken)
            assert all(found.p_values[larger] <= p for larger in found.p_values if kept <= larger)
