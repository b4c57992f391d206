"""Packed sets: the same in memory, from the cache and from workers; caches that heal; labels that are required."""

import pickle
from dataclasses import replace
from itertools import product
from pathlib import Path

import ase
import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from subduce.config import InputError
from subduce.data import (
    Batch,
    EdgeBudgetSampler,
    GraphDataset,
    graph_from_structure,
    open_structures,
    structure_from_atoms,
)

DATA = Path(__file__).parents[2] / "data"
CUTOFF = 4.0


@pytest.fixture
def structures():
    return open_structures([DATA / "batio3_lda.extxyz", DATA / "formats" / "dialects.extxyz"])


@pytest.mark.parametrize("cached", [False, True])
def test_an_item_is_the_graph_of_its_structure(structures, cached, tmp_path):
    dataset = GraphDataset(structures, CUTOFF, cache=tmp_path / "cache" if cached else None)
    assert len(dataset) == len(structures)
    for index, one in enumerate(structures):
        wanted = graph_from_structure(one, CUTOFF)
        assert_same(dataset[index], replace(wanted, labels=wanted.labels.replace(index=torch.tensor([index]))))
        assert dataset.num_edges[index] == wanted.graph.num_edges
        assert dataset.num_atoms[index] == one.num_atoms


def test_a_batch_is_its_items_collated(structures):
    dataset = GraphDataset(structures, CUTOFF)
    rows = [31, 0, 7, 0]
    assert_same(dataset.batch(rows), Batch.collate([dataset[row] for row in rows]))
    assert dataset.batch([]).graph.num_structures == 0
    vectors = dataset.batch(rows).graph.edge_vectors()
    assert (vectors.norm(dim=1) < CUTOFF).all()


def test_workers_pack_the_same(tmp_path):
    structures = open_structures(DATA / "ethanol_gfn2.extxyz").subset(np.arange(600) % 40)
    one = GraphDataset(structures, CUTOFF)
    steps = []
    two = GraphDataset(structures, CUTOFF, cache=tmp_path, workers=1, progress=lambda done, total: steps.append(done))
    assert_same(one.batch(range(600)), two.batch(range(600)))
    assert steps == [256, 512, 600]


def test_the_cache_is_found_again(structures, tmp_path, monkeypatch):
    first = GraphDataset(structures, CUTOFF, cache=tmp_path)
    monkeypatch.setattr("subduce.data._packed.pack_some", None)
    assert_same(GraphDataset(structures, CUTOFF, cache=tmp_path)[3], first[3])
    with pytest.raises(TypeError):
        GraphDataset(structures, CUTOFF + 1, cache=tmp_path)
    with pytest.raises(TypeError):
        GraphDataset(structures[:5], CUTOFF, cache=tmp_path)


def test_a_changed_file_is_packed_anew(tmp_path):
    path, cache = tmp_path / "few.extxyz", tmp_path / "cache"
    text = (DATA / "batio3_lda.extxyz").read_text()
    path.write_text(text)
    before = GraphDataset(open_structures(path), CUTOFF, cache=cache)[0].labels.energy.item()
    path.write_text(text.replace("energy=-3632.9387721632424", "energy=-3600.0"))
    assert GraphDataset(open_structures(path), CUTOFF, cache=cache)[0].labels.energy.item() == -3600.0 != before


@pytest.mark.parametrize(
    ("file", "damage"),
    [
        *product(["layout.json", "positions", "num_edges", "sender"], ["gone", "cut"]),
        *product(["layout.json", "num_edges"], ["scrambled"]),  # the large arrays are not read on opening
    ],
)
def test_a_damaged_cache_is_rebuilt(structures, file, damage, tmp_path):
    whole = GraphDataset(structures, CUTOFF, cache=tmp_path)
    (folder,) = tmp_path.iterdir()
    content = (folder / file).read_bytes()
    (folder / file).unlink()
    if damage != "gone":
        (folder / file).write_bytes(content[:-8] if damage == "cut" else bytes(reversed(content)))
    assert_same(GraphDataset(structures, CUTOFF, cache=tmp_path).batch(range(5)), whole.batch(range(5)))
    assert [path.name for path in tmp_path.iterdir()] == [folder.name]


def test_a_failure_leaves_no_half_cache(tmp_path):
    bad = [structure_from_atoms(ase.Atoms("H2", [[0, 0, 0], [0, 0, 0.05]]), source="here")]
    with pytest.raises(InputError, match=r"here: atoms [01] and [01] are 0\.05 Å apart"):
        GraphDataset(bad, CUTOFF, cache=tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_cache_that_cannot_be_written(structures, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot hold the cache"):
        GraphDataset(structures, CUTOFF, cache=tmp_path / "file" / "cache")


def test_a_cached_set_travels_as_a_path(structures, tmp_path):
    cached, held = GraphDataset(structures, CUTOFF, cache=tmp_path), GraphDataset(structures, CUTOFF)
    assert len(pickle.dumps(cached)) < len(pickle.dumps(held)) / 10
    for dataset in (cached, held):
        assert_same(pickle.loads(pickle.dumps(dataset))[2], dataset[2])


def test_subsets_share_and_count_from_zero(structures):
    dataset = GraphDataset(structures, CUTOFF)
    part = dataset.subset([30, 4]).subset([1, 0])
    assert len(part) == 2
    assert torch.equal(part[0].graph.positions, dataset[4].graph.positions)
    assert part[0].labels.index.tolist() == [0]
    assert part.source(1) == structures.source(30)
    assert part.num_atoms.tolist() == dataset.num_atoms[[4, 30]].tolist()


def test_a_loader_yields_every_structure_once(structures):
    dataset = GraphDataset(structures, CUTOFF)
    sampler = EdgeBudgetSampler(dataset.num_edges, batch_size=5, max_edges=400, shuffle=True)
    batches = list(DataLoader(dataset, batch_sampler=sampler, collate_fn=Batch.collate))
    assert sorted(torch.cat([batch.labels.index for batch in batches]).tolist()) == list(range(len(structures)))
    assert len(batches) == len(sampler)


def test_an_empty_share_is_an_empty_batch(structures):
    dataset = GraphDataset(structures[:3], CUTOFF)
    sampler = EdgeBudgetSampler(dataset.num_edges, batch_size=1, rank=1, world=2)
    batches = list(DataLoader(dataset, batch_sampler=sampler, collate_fn=Batch.collate))
    assert [batch.graph.num_structures for batch in batches] == [0, 0, 0]


def test_missing_labels(structures):
    dataset = GraphDataset(structures, CUTOFF)
    assert dataset.missing("stress").tolist() == [31]
    assert dataset.require(["energy", "stress"]) == {"energy": 0, "stress": 1}
    ethanol = GraphDataset(open_structures(DATA / "ethanol_gfn2.extxyz")[:3], CUTOFF)
    with pytest.raises(InputError, match=r"structure 0 … .*structure 2: no stress in any of 3 structures, looked for"):
        ethanol.require(["stress"])


def test_config_types_and_lonely_atoms(structures):
    atoms = ase.Atoms("H3", [[0, 0, 0], [0, 0, 1], [0, 0, 20]])
    dataset = GraphDataset([structure_from_atoms(atoms), structure_from_atoms(atoms[:1])], CUTOFF)
    assert dataset.num_lonely.tolist() == [1, 0]
    assert GraphDataset(structures, CUTOFF).config_types[28:] == ["", "bulk", "", ""]


def assert_same(one: Batch, other: Batch) -> None:
    for part in ("graph", "labels"):
        for name in vars(getattr(one, part)):
            found, wanted = getattr(getattr(one, part), name), getattr(getattr(other, part), name)
            torch.testing.assert_close(found, wanted, rtol=0, atol=0, equal_nan=True, msg=f"{part}.{name} differ")
