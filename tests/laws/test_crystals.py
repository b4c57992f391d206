"""What holds for the irreps of every space group at every wave vector."""

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from subduce.crystals import SpaceGroup, commensurate_wave_vectors, irreps_at, star, stars
from subduce.crystals._products import Products
from tests.unit.crystals.groups import standard_group

NUMBERS = st.integers(1, 230)
WAVES = st.tuples(*[st.sampled_from([0, 1 / 2, 1 / 3, 1 / 4, 2 / 3, 3 / 4, 0.21])] * 3).map(np.array)
SHIFTS = st.tuples(*[st.sampled_from([0, 1 / 2, 1 / 4, 0.137])] * 3).map(np.array)


@given(NUMBERS, WAVES, SHIFTS, st.integers(0, 2**32 - 1))
@settings(max_examples=150, deadline=None)
def test_irreps_are_orthogonal_homomorphisms(number, k, shift, seed):
    group = standard_group(number)
    group = SpaceGroup(
        group.lattice, group.rotations, group.translations + group.rotations @ shift - shift, number, group.symbol,
        (group.to_standard[0], group.to_standard[0] @ shift),
    )  # fmt: skip
    products, rng = Products.of(group), np.random.default_rng(seed)
    left, right = rng.integers(len(group.rotations), size=(2, 20))
    before, after = rng.integers(-3, 4, size=(2, 20, 3))
    cells = products.cells[left, right] + after + np.einsum("gij,gj->gi", group.rotations[left], before)
    for irrep in irreps_at(group, k):
        first, second = irrep.matrices(left, after), irrep.matrices(right, before)
        assert np.allclose(first @ second, irrep.matrices(products.table[left, right], cells), atol=1e-8)
        assert np.allclose(first @ first.transpose(0, 2, 1), np.eye(irrep.dim), atol=1e-8)


@given(NUMBERS, st.sampled_from([2, 2, 3]))
@settings(max_examples=40, deadline=None)
def test_characters_are_orthonormal_and_the_irreps_of_a_supercell_complete(number, size):
    """Over the finite group of operations modulo a lattice that it keeps: Schur, and Burnside's sum of squares."""
    group = standard_group(number)
    supercell = np.diag([size] * 3)
    cells = np.array(list(product(range(size), repeat=3)))
    operations = np.repeat(np.arange(len(group.rotations)), len(cells))
    shifts = np.tile(cells, (len(group.rotations), 1))
    characters, commutants, dims = [], [], []
    for k in stars(group, supercell):
        for irrep in irreps_at(group, k):
            characters.append(np.trace(irrep.matrices(operations, shifts), axis1=1, axis2=2))
            commutants.append({"real": 1, "complex": 2, "quaternionic": 4}[irrep.type])
            dims.append(irrep.dim)
    table = np.stack(characters)
    assert np.allclose(table @ table.T / len(operations), np.diag(commutants), atol=1e-7)
    assert sum(dim**2 / times for dim, times in zip(dims, commutants, strict=True)) == pytest.approx(len(operations))


@given(NUMBERS, WAVES)
@settings(max_examples=100, deadline=None)
def test_a_star_is_an_orbit(number, k):
    group = standard_group(number)
    arms = star(group, k)
    assert len(group.rotations) % len(arms) == 0
    for arm in arms:
        assert np.allclose(star(group, arm), arms)


@given(st.lists(st.integers(-3, 3), min_size=9, max_size=9).map(lambda rows: np.array(rows).reshape(3, 3)))
@settings(max_examples=100, deadline=None)
def test_wave_vectors_of_a_supercell_repeat_with_it(supercell):
    size = round(abs(float(np.linalg.det(supercell))))
    if size == 0:
        return
    found = commensurate_wave_vectors(supercell)
    phases = found @ supercell.T
    assert len(np.unique(np.round(found, 9), axis=0)) == size
    assert np.allclose(phases, np.rint(phases), atol=1e-9)


@given(NUMBERS, WAVES, st.integers(0, 2**32 - 1))
@settings(max_examples=60, deadline=None)
def test_irreps_do_not_depend_on_how_the_crystal_lies_in_space(number, k, seed):
    group = standard_group(number)
    turn = np.linalg.qr(np.random.default_rng(seed).standard_normal((3, 3)))[0]
    turned = SpaceGroup(
        group.lattice @ turn.T, group.rotations, group.translations, number, group.symbol, group.to_standard
    )
    for here, there in zip(irreps_at(group, k), irreps_at(turned, k), strict=True):
        assert here.label == there.label
        assert np.allclose(here.base, there.base, atol=1e-8)
