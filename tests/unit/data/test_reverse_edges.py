"""Reverses of edges: the same two atoms, the opposite shift."""

import numpy as np
import torch
from ase import Atoms
from ase.build import bulk, molecule

from subduce.data import Batch, graph_from_structure, structure_from_atoms


def graph_of(*atoms: Atoms, cutoff: float = 4.0):
    return Batch.collate([graph_from_structure(structure_from_atoms(one), cutoff) for one in atoms]).graph


def test_an_edge_and_its_reverse_are_opposite_vectors():
    skewed = bulk("Si", "fcc", a=3.0)
    skew = np.array([[0, 0, 0.3], [0.1, 0, 0], [0, 0, 0]])
    skewed.set_cell(skewed.cell.array + skew, scale_atoms=True)
    graph = graph_of(molecule("CH3CH2OH"), skewed, Atoms("H"), bulk("NaCl", "rocksalt", a=5.6))
    reverse = graph.reverse_edges()
    assert torch.equal(reverse[reverse], torch.arange(graph.num_edges))
    assert not torch.equal(reverse, torch.arange(graph.num_edges))
    assert torch.equal(graph.sender[reverse], graph.receiver)
    assert torch.equal(graph.shifts[reverse], -graph.shifts)
    vectors = graph.edge_vectors()
    assert torch.equal(vectors[reverse], -vectors)


def test_the_order_of_edges_does_not_matter_but_each_needs_its_reverse():
    graph = graph_of(molecule("CH4"))
    order = torch.randperm(graph.num_edges, generator=torch.Generator().manual_seed(0))
    mixed = graph.replace(sender=graph.sender[order], receiver=graph.receiver[order], shifts=graph.shifts[order])
    assert torch.equal(mixed.sender[mixed.reverse_edges()], mixed.receiver)
    alone = graph.replace(sender=graph.sender[1:], receiver=graph.receiver[1:], shifts=graph.shifts[1:])
    assert alone.reverse_edges() is None
    none = graph.replace(sender=graph.sender[:0], receiver=graph.receiver[:0], shifts=graph.shifts[:0])
    assert none.reverse_edges().shape == (0,)
