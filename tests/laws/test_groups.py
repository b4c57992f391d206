"""Finite groups as mathematics has them, for groups of every kind of irrep."""

import re
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from subduce.groups import (
    FiniteGroup,
    Subgroup,
    adapted_basis,
    cyclic,
    dihedral,
    grid_action,
    invariant_basis,
    isotropy_of,
    isotropy_subgroups,
    o3_matrices,
    permutations,
    point_group,
    projector,
    reduction,
    subduce,
    subgroups,
    symmetric_power,
    time_reversal,
    translations,
)

POINT_GROUPS = re.findall(
    r"\w+",
    """C1 Ci C2 Cs C2h D2 C2v D2h C4 S4 C4h D4 C4v D2d D4h C3 S6 D3 C3v D3d C6 C3h C6h D6 C6v D3h D6h T Th O Td Oh I Ih
    D5d S8 D4d C5v D5h""",
)
QUATERNIONS = FiniteGroup.from_matrices(
    {"i": np.kron([[0, -1], [1, 0]], np.eye(2)), "j": np.kron([[1, 0], [0, -1]], [[0, -1], [1, 0]])}, name="Q8"
)
GROUPS = [
    *map(point_group, POINT_GROUPS),
    *(cyclic(5), cyclic(8), dihedral(4), dihedral(6), permutations(4), translations((3, 4)), QUATERNIONS),
    *(dihedral(4) * time_reversal(), cyclic(4) * cyclic(3), point_group("D3d") * time_reversal()),
]
SMALL = [group for group in GROUPS if group.order <= 48]
every_group = pytest.mark.parametrize("group", GROUPS, ids=lambda group: group.name)
every_small_group = pytest.mark.parametrize("group", SMALL, ids=lambda group: group.name)
seeds = st.integers(0, 2**32 - 1)
groups = st.sampled_from(SMALL)
spatial = st.sampled_from([point_group(name) for name in POINT_GROUPS if name not in ("I", "Ih")])
IRREPS_OF_O3 = "0e+0o+1o+1e+2e+2o+3o+3e"


def close(found, expected, tolerance=1e-9):
    np.testing.assert_allclose(found, expected, atol=tolerance)


def random_rotation(seed):
    return np.linalg.qr(np.random.default_rng(seed).standard_normal((3, 3)))[0]


@every_group
def test_group_axioms(group):
    table, elements = group.table, np.arange(group.order)
    assert (table[0] == elements).all()
    assert (table[:, 0] == elements).all()
    assert (table[elements, group.inverse] == 0).all()
    assert (table[group.inverse, elements] == 0).all()
    assert (np.sort(table, axis=0) == elements[:, None]).all()
    assert (np.sort(table, axis=1) == elements).all()
    for g in group.generators:
        assert (table[table[:, g]] == table[:, table[g]]).all()  # (a g) b = a (g b)
        close(group.matrices[g] @ group.matrices, group.matrices[table[g]], 1e-12)
    assert sorted(sum(group.classes, ())) == elements.tolist()


@every_group
def test_irreps_are_orthogonal_and_multiply_as_the_group(group):
    for irrep in group.irreps:
        close(irrep.matrices @ irrep.matrices.transpose(0, 2, 1), [np.eye(irrep.dim)] * group.order)
        for g in group.generators:
            close(irrep.matrices[g] @ irrep.matrices, irrep.matrices[group.table[g]])


@every_group
def test_characters_are_orthogonal_and_complete(group):
    characters = np.stack([irrep.character for irrep in group.irreps])
    close(characters @ characters.T / group.order, np.diag([irrep.commutant for irrep in group.irreps]))
    assert sum(irrep.dim**2 // irrep.commutant for irrep in group.irreps) == group.order
    for irrep in group.irreps:
        for members in group.classes:
            close(irrep.character[list(members)], irrep.character[members[0]])
    real_classes = {frozenset((*members, *group.inverse[list(members)].tolist())) for members in group.classes}
    assert len(group.irreps) == len(real_classes)  # g and g⁻¹ have the same real character


@every_group
def test_types_are_what_commutes(group):
    """Frobenius and Schur: the mean of χ(g²) is 1, 0, −2 for the three types of real irreps."""
    squares = np.diagonal(group.table)
    for irrep in group.irreps:
        expected = {"real": 1, "complex": 0, "quaternionic": -2}[irrep.type]
        close(irrep.character[squares].mean(), expected)


@every_small_group
def test_the_regular_representation_holds_every_irrep(group):
    regular = group.regular
    for g in group.generators:
        close(regular[g] @ regular, regular[group.table[g]], 0)
    found = reduction(group, np.trace(regular, axis1=1, axis2=2))
    assert found == {irrep.name: irrep.dim // irrep.commutant for irrep in group.irreps}


@every_small_group
def test_projectors_of_the_regular_representation(group):
    projectors = [projector(irrep, group.regular) for irrep in group.irreps]
    close(sum(projectors), np.eye(group.order))
    for place, one in enumerate(projectors):
        close(one, one.T)
        for other, two in enumerate(projectors):
            close(one @ two, one if place == other else np.zeros_like(one))


@every_small_group
def test_adapted_vectors_turn_as_they_say(group):
    regular, total = group.regular, 0
    for irrep in group.irreps:
        copies = irrep.dim // irrep.commutant
        found = adapted_basis(irrep, lambda k: regular[:, :, k], group.order, copies)
        assert len(found) == copies
        for vectors in found:
            close(regular @ vectors, np.einsum("ni,gij->gnj", vectors, irrep.matrices))
        flat = found.transpose(1, 0, 2).reshape(group.order, -1)
        close(flat.T @ flat, np.eye(flat.shape[1]))
        total += flat.shape[1]
    assert total == group.order


@given(groups, seeds)
def test_adapted_vectors_are_all_found_in_any_basis(group, seed):
    """Three copies of an irrep and one trivial one, mixed by a random rotation."""
    random = np.random.default_rng(seed)
    irrep = group.irreps[int(random.integers(1, len(group.irreps)))] if len(group.irreps) > 1 else group.irreps[0]
    n = 3 * irrep.dim + 1
    mixed = np.linalg.qr(random.standard_normal((n, n)))[0]
    matrices = np.zeros((group.order, n, n))
    for copy in range(3):
        where = slice(copy * irrep.dim, (copy + 1) * irrep.dim)
        matrices[:, where, where] = irrep.matrices
    matrices[:, -1, -1] = 1
    matrices = mixed @ matrices @ mixed.T
    found = adapted_basis(irrep, lambda k: matrices[:, :, k], n, 3)
    assert len(found) == 3
    for vectors in found:
        close(matrices @ vectors, np.einsum("ni,gij->gnj", vectors, irrep.matrices))


@given(groups, seeds)
def test_cosets_hold_an_irrep_as_often_as_its_vectors_are_kept(group, seed):
    """Frobenius: counted on the permutation of cosets, against the dimension that the subgroup fixes."""
    everything = subgroups(group)
    kept = everything[seed % len(everything)]
    cosets = kept.cosets()
    place = np.empty(group.order, dtype=int)
    for number, members in enumerate(cosets):
        place[list(members)] = number
    first = np.array([members[0] for members in cosets])
    fixed = (place[group.table[:, first]] == np.arange(len(cosets))).sum(axis=1)
    assert reduction(group, fixed.astype(float)) == kept.coset_irreps
    assert sum(group.irrep(name).dim * times for name, times in kept.coset_irreps.items()) == kept.index
    for irrep in group.irreps:
        basis = invariant_basis(irrep.matrices[list(kept.members)])
        assert basis.shape[1] == kept.coset_irreps.get(irrep.name, 0) * irrep.commutant


@given(groups, seeds)
def test_restriction_to_a_subgroup_keeps_dimensions(group, seed):
    everything = subgroups(group)
    kept = everything[seed % len(everything)]
    for irrep in group.irreps:
        found = subduce(irrep, kept)
        assert sum(kept.group.irrep(name).dim * times for name, times in found.items()) == irrep.dim


@given(groups, seeds)
def test_isotropy_subgroups_keep_their_direction_and_nothing_else_does(group, seed):
    random = np.random.default_rng(seed)
    irrep = group.irreps[int(random.integers(len(group.irreps)))]
    orders = []
    for way in isotropy_subgroups(group, irrep):
        vector = way.basis @ random.standard_normal(way.dimension)
        assert isotropy_of(group, irrep, vector, 1e-7).members == (
            way.subgroup.members if way.dimension else tuple(range(group.order))
        )
        orders.append(way.subgroup.order)
    assert orders == sorted(orders, reverse=True)


@given(groups, st.integers(0, 4), seeds)
def test_symmetric_powers_are_those_of_polynomials(group, degree, seed):
    """The character of the symmetric power is the sum of monomials in the eigenvalues."""
    irrep = group.irreps[seed % len(group.irreps)]
    found = symmetric_power(group, irrep, degree)
    parts = [1.0 + 0j] * group.order
    for g, matrix in enumerate(irrep.matrices):
        series = np.zeros(degree + 1, dtype=complex)
        series[0] = 1
        for value in np.linalg.eigvals(matrix):  # divide the series by 1 − value·t
            for k in range(1, degree + 1):
                series[k] += value * series[k - 1]
        parts[g] = series[degree]
    assert found == reduction(group, np.real(parts))


@pytest.mark.parametrize("name", POINT_GROUPS)
@pytest.mark.parametrize("seed", range(4))
def test_names_and_labels_do_not_depend_on_how_a_group_lies(name, seed):
    """Subductions of O(3) too, but for which of B1, B2, B3 is which: that is a choice of axes."""
    group, turn = point_group(name), random_rotation(seed)
    found = FiniteGroup.from_matrices([turn @ group.matrices[g] @ turn.T for g in group.generators])
    assert found.name == group.name
    assert {irrep.name for irrep in found.irreps} == {irrep.name for irrep in group.irreps}
    for irrep in IRREPS_OF_O3.split("+"):
        assert without_axes(subduce(irrep, found)) == without_axes(subduce(irrep, group))


def without_axes(found):
    return Counter(re.sub(r"B\d", "B", name) for name, times in found.items() for _ in range(times))


@given(spatial, seeds)
def test_features_turn_as_a_representation(group, seed):
    matrices = o3_matrices(group, IRREPS_OF_O3)
    g = seed % group.order
    close(matrices[g] @ matrices, matrices[group.table[g]])
    assert sum(group.irrep(name).dim * times for name, times in subduce(IRREPS_OF_O3, group).items()) == 32


@given(st.integers(1, 5), st.integers(1, 5), seeds)
def test_grid_actions_compose(n, m, seed):
    group = point_group("D4h")
    action = grid_action(group.matrices, (n, n, m))
    g, h = np.random.default_rng(seed).integers(group.order, size=2)
    np.testing.assert_array_equal(action[group.table[g, h]], action[g][action[h]])
    assert (np.sort(action, axis=1) == np.arange(n * n * m)).all()


@given(seeds)
def test_a_subgroup_is_a_group_of_its_own(seed):
    parent = point_group("Oh")
    everything = subgroups(parent)
    kept = everything[seed % len(everything)]
    assert isinstance(kept, Subgroup)
    again = FiniteGroup.from_matrices(parent.matrices[list(kept.members)])
    assert (again.name, again.order) == (kept.name, kept.order)
    assert set(again.elements) == set(kept.elements)
