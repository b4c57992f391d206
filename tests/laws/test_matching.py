"""Space groups and matches as crystals have them: no frame, cell, order or origin of a file changes what is found."""

import numpy as np
from ase.build import bulk, make_supercell
from hypothesis import given
from hypothesis import strategies as st

from subduce.crystals import crystal, identify, match
from tests.unit.crystals.structures import norms, perovskite, presented

PARENTS = {
    "perovskite": perovskite(),
    "rock salt": bulk("NaCl", "rocksalt", 5.6),
    "wurtzite": bulk("ZnS", "wurtzite", 3.8, 6.2),
    "hexagonal metal": bulk("Mg"),
    "diamond": bulk("Si"),
}
parents = st.sampled_from(sorted(PARENTS))
seeds = st.integers(0, 2**32 - 1)


def cell_of(generator, size):
    while True:
        cell = generator.integers(-2, 3, (3, 3))
        if round(np.linalg.det(cell)) == size:
            return cell


@given(name=parents, seed=seeds)
def test_a_group_is_that_of_the_crystal_and_not_of_its_file(name, seed):
    plain, shown = crystal(PARENTS[name]), crystal(presented(PARENTS[name], np.random.default_rng(seed), cells=4))
    assert (plain.group.number, plain.group.symbol) == (shown.group.number, shown.group.symbol)
    assert abs(np.linalg.det(plain.group.lattice) - np.linalg.det(shown.group.lattice)) < 1e-6
    assert sorted(plain.site_symmetries) == sorted(shown.site_symmetries)


@given(name=parents, seed=seeds, shift=st.tuples(*[st.floats(-1, 1)] * 3))
def test_a_shift_of_the_origin_changes_no_group(name, seed, shift):
    group = crystal(presented(PARENTS[name], np.random.default_rng(seed))).group
    moved = group.shifted(shift)
    assert identify(moved.lattice, moved.rotations, moved.translations) == (group.number, group.symbol)
    point = np.random.default_rng(seed).random(3)
    images = group.rotations @ point + group.translations
    others = moved.rotations @ (point - shift) + moved.translations + shift
    assert np.abs(images - others - np.rint(images - others)).max() < 1e-9


@given(name=parents, size=st.integers(1, 4), spread=st.floats(0.0, 0.1), seed=seeds)
def test_a_match_is_that_of_the_child_and_not_of_its_file(name, size, spread, seed):
    generator = np.random.default_rng(seed)
    ideal = crystal(PARENTS[name])
    child = make_supercell(ideal.atoms, cell_of(generator, size))
    child.positions += spread * generator.uniform(-1, 1, child.positions.shape)
    strain = 0.02 * generator.uniform(-1, 1, (3, 3))
    child.set_cell(child.cell.array @ (np.eye(3) + strain + strain.T), scale_atoms=True)
    found = match(ideal, child, tolerance=1e-6)
    shown = match(ideal, presented(child, generator), tolerance=1e-6)
    np.testing.assert_allclose(norms(shown), norms(found), atol=1e-8)
    np.testing.assert_allclose(np.linalg.eigvalsh(shown.strain), np.linalg.eigvalsh(found.strain), atol=1e-8)
    assert found.rms <= spread * np.sqrt(3) + 1e-9
