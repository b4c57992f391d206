"""Neighbour lists are those of ASE, for any cell and any mix of boundary conditions."""

from collections import Counter

import numpy as np
from ase.neighborlist import primitive_neighbor_list
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from subduce.data import SkinList, neighbor_list


@st.composite
def crystals(draw):
    """Positions, cell, pbc and cutoff: skewed, small and left-handed cells, atoms far outside of them."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    pbc = np.array(draw(st.tuples(st.booleans(), st.booleans(), st.booleans())))
    lengths = np.array(draw(st.tuples(*[st.sampled_from([1.5, 3.0, 8.0])] * 3)))
    directions, _ = np.linalg.qr(rng.normal(size=(3, 3)))
    shear = np.eye(3) + draw(st.sampled_from([0.0, 0.3, 0.8])) * np.tril(rng.uniform(-1, 1, (3, 3)), -1)
    cell = (shear @ directions) * lengths[:, None] * draw(st.sampled_from([1, -1]))
    assume(abs(np.linalg.det(cell)) > 0.05 * np.linalg.norm(cell, axis=1).prod())
    atoms = draw(st.integers(1, 6))
    positions = rng.uniform(-1, 2, (atoms, 3)) * draw(st.sampled_from([0.3, 1.0, 6.0])) @ cell
    return positions, cell, pbc, draw(st.floats(0.5, 5.0))


@given(crystals())
@settings(max_examples=150)
def test_edges_are_those_of_ase(crystal):
    positions, cell, pbc, cutoff = crystal
    sender, receiver, shifts = neighbor_list(positions, cell, pbc, cutoff)
    assert edges(sender, receiver, shifts) == ase_edges(positions, cell, pbc, cutoff)
    assert (np.diff(receiver) >= 0).all()


@given(crystals())
def test_vectors_that_do_not_repeat_may_be_zero(crystal):
    positions, cell, pbc, cutoff = crystal
    with_zeros = np.where(pbc[:, None], cell, 0.0)
    found = neighbor_list(positions, with_zeros, pbc, cutoff)
    for one, other in zip(found, neighbor_list(positions, cell, pbc, cutoff), strict=True):
        np.testing.assert_array_equal(one, other)


@given(crystals(), st.integers(0, 2**32 - 1))
def test_edges_with_a_skin_are_those_without(crystal, seed):
    positions, cell, pbc, cutoff = crystal
    rng, kept = np.random.default_rng(seed), SkinList(cutoff, skin=0.6)
    numbers = np.ones(len(positions), dtype=int)
    steps = 8
    for _ in range(steps):
        positions = positions + rng.uniform(-0.03, 0.03, positions.shape)
        deform = np.eye(3) + rng.uniform(-0.01, 0.01, (3, 3))
        positions, cell = positions @ deform, cell @ deform
        graph = kept.graph(numbers, positions, cell, pbc)
        shifts = graph.shifts.numpy().astype(int)
        found = edges(graph.sender.numpy(), graph.receiver.numpy(), shifts)
        assert found == edges(*neighbor_list(positions, cell, pbc, cutoff))
    assert kept.searches <= steps


def edges(sender, receiver, shifts) -> Counter:
    return Counter(zip(receiver.tolist(), sender.tolist(), map(tuple, shifts.tolist()), strict=True))


def ase_edges(positions, cell, pbc, cutoff) -> Counter:
    i, j, shifts = primitive_neighbor_list("ijS", pbc, cell, positions, cutoff)
    return edges(j, i, shifts)
