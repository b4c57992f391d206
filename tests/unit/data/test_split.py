"""Splits that are complete and repeatable, and structures found on both sides however they are turned."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from subduce.config import InputError
from subduce.data import GraphDataset, leakage, open_structures, split
from subduce.o3 import random_rotations

DATA = Path(__file__).parents[2] / "data"


@pytest.mark.parametrize("how", ["random", "time"])
@pytest.mark.parametrize(
    ("fractions", "sizes"), [((0.8, 0.1, 0.1), [80, 10, 10]), ((50, 7), [50, 7]), ((0.5, 0.25), [50, 25])]
)
def test_sizes(how, fractions, sizes):
    parts = split(100, fractions, how=how, seed=1)
    assert [len(part) for part in parts] == sizes
    assert len(set(np.concatenate(parts))) == sum(sizes)


def test_random_depends_on_the_seed_alone_and_time_keeps_blocks():
    one, two, other = (split(100, (0.5, 0.5), seed=seed)[0].tolist() for seed in (0, 0, 1))
    assert one == two != other
    assert split(10, (0.7, 0.3), how="time")[1].tolist() == [7, 8, 9]


def test_compositions_stay_together():
    structures = open_structures([DATA / "batio3_lda.extxyz", DATA / "ethanol_gfn2.extxyz", DATA / "emt_alloys.extxyz"])
    parts = split(structures, (0.5, 0.3, 0.2), how="composition", seed=2)
    formulas = [{structures[i].formula for i in part} for part in parts]
    assert sum(map(len, parts)) == len(structures)
    assert sum(map(len, formulas)) == len(set.union(*formulas))
    packed = split(GraphDataset(structures, 3.0), (0.5, 0.3, 0.2), how="composition", seed=2)
    assert [part.tolist() for part in packed] == [part.tolist() for part in parts]


@pytest.mark.parametrize("fractions", [(), (-0.1, 0.5), (0.8, 0.4), (90, 20)])
def test_impossible_shares(fractions):
    with pytest.raises(InputError, match="split: "):
        split(100, fractions)


def test_one_composition_cannot_be_split_by_it():
    with pytest.raises(InputError, match="1 compositions cannot fill 2 parts"):
        split(open_structures(DATA / "batio3_lda.extxyz"), (0.5, 0.5), how="composition")


@pytest.mark.parametrize("name", ["ethanol_gfn2", "batio3_lda"])
def test_a_turned_moved_and_shuffled_copy_is_found(name, generator):
    structures = list(open_structures(DATA / f"{name}.extxyz"))
    rotation = random_rotations(1, generator=generator)[0].numpy()
    rng = np.random.default_rng(0)

    def disguised(one):
        order = rng.permutation(one.num_atoms)
        positions = np.round(one.positions[order] @ rotation.T + [0.3, -2.0, 5.0], 8)
        cell = one.cell @ rotation.T
        return replace(one, atomic_numbers=one.atomic_numbers[order], positions=positions, cell=cell)

    found = leakage(structures[:12], [disguised(structures[7]), structures[20]])
    assert found == [(0, 7, 1, 0)]


def test_near_structures_are_not_the_same():
    one = open_structures(DATA / "batio3_lda.extxyz")[0]  # cubic, where displacements change distances least
    moved = one.positions.copy()
    moved[0] += 0.01
    assert leakage([one], [replace(one, positions=moved)]) == []
    apart = replace(one, cell=one.cell * 0, pbc=one.pbc & False, positions=one.positions * 10)
    assert leakage([apart], [replace(apart, positions=one.positions * 11)]) == []
