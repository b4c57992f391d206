"""Neighbour lists: refusals, and when the list with a skin searches anew."""

import numpy as np
import pytest

from subduce.data import SkinList, neighbor_list

CELL = np.eye(3) * 4.0
ALL = [True] * 3


def test_no_atoms_no_edges():
    assert [len(part) for part in neighbor_list(np.zeros((0, 3)), CELL, ALL, 3.0)] == [0, 0, 0]


@pytest.mark.parametrize(
    ("positions", "cell", "cutoff", "message"),
    [
        ([[0, 0, np.nan]], CELL, 3.0, "positions are not finite"),
        ([[0, 0, 0]], CELL, 0.0, "cutoff must be a positive length"),
        ([[0, 0, 0]], np.zeros((3, 3)), 3.0, "has no volume there"),
        ([[0, 0, 0]], [[1, 0, 0], [2, 0, 0], [0, 0, 1]], 3.0, "has no volume there"),
    ],
)
def test_refusals(positions, cell, cutoff, message):
    with pytest.raises(ValueError, match=message):
        neighbor_list(positions, cell, ALL, cutoff)


def test_the_list_is_kept_until_an_atom_moved_half_the_skin():
    kept, place = SkinList(3.0, skin=0.5), np.array([[0.0, 0, 0], [2.9, 0, 0]])
    kept.graph([1, 1], place, CELL, [False] * 3)
    for moved, searches in ((0.2, 1), (0.24, 1), (0.26, 2), (0.1, 2)):
        kept.graph([1, 1], place + np.array([[0, 0, 0], [0, moved, 0]]), CELL, [False] * 3)
        assert kept.searches == searches


def test_a_small_strain_keeps_the_list_and_a_large_one_does_not():
    kept, place = SkinList(3.0, skin=0.5), np.array([[0.0, 0, 0], [2.0, 2, 2]])
    for scale, searches in ((1.0, 1), (0.99, 1), (1.02, 1), (0.8, 2)):
        kept.graph([1, 1], place * scale, CELL * scale, ALL)
        assert kept.searches == searches


def test_other_atoms_or_boundaries_search_anew():
    kept, place = SkinList(3.0), np.zeros((1, 3))
    for numbers, pbc, searches in (([1], ALL, 1), ([2], ALL, 2), ([2], [True, True, False], 3)):
        graph = kept.graph(numbers, place, CELL, pbc)
        assert kept.searches == searches
        assert graph.atomic_numbers.tolist() == numbers


def test_graphs_do_not_share_memory_with_the_callers_arrays():
    kept, place = SkinList(3.0), np.zeros((2, 3))
    place[1] = 1.0
    graph = kept.graph([1, 1], place, CELL, ALL)
    place += 5.0
    assert graph.positions.max() == 1.0
