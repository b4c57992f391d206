"""Batches within their limits, complete, repeatable, and the same for one process or several."""

from itertools import chain

import pytest
from hypothesis import given
from hypothesis import strategies as st

from subduce.data import EdgeBudgetSampler

edges = st.lists(st.integers(0, 100), max_size=40)


@given(edges, st.integers(1, 7), st.none() | st.integers(1, 150), st.booleans(), st.integers(0, 5))
def test_batches_are_complete_and_within_limits(num_edges, batch_size, max_edges, shuffle, epoch):
    sampler = EdgeBudgetSampler(num_edges, batch_size=batch_size, max_edges=max_edges, shuffle=shuffle)
    sampler.set_epoch(epoch)
    batches = list(sampler)
    assert sorted(index for batch in batches for index in batch) == list(range(len(num_edges)))
    assert len(batches) == len(sampler)
    for batch in batches:
        assert 1 <= len(batch) <= batch_size
        assert max_edges is None or len(batch) == 1 or sum(num_edges[i] for i in batch) <= max_edges


@given(edges, st.integers(1, 7), st.integers(1, 150), st.integers(2, 4))
def test_processes_share_the_batches_of_one(num_edges, batch_size, max_edges, world):
    def batches(rank, world):
        return list(
            EdgeBudgetSampler(
                num_edges, batch_size=batch_size, max_edges=max_edges, shuffle=True, seed=3, rank=rank, world=world
            )
        )

    shares = [batches(rank, world) for rank in range(world)]
    together = [sorted(chain.from_iterable(parts)) for parts in zip(*shares, strict=True)]
    assert together == [sorted(batch) for batch in batches(0, 1)]


def test_the_order_depends_on_seed_and_epoch_alone():
    def order(seed, epoch):
        sampler = EdgeBudgetSampler([1] * 50, batch_size=4, shuffle=True, seed=seed)
        sampler.set_epoch(epoch)
        return list(sampler)

    assert order(0, 1) == order(0, 1)
    assert order(0, 1) != order(0, 2) != order(1, 2)


@pytest.mark.parametrize(
    "wrong", [{"batch_size": 0}, {"batch_size": 1, "max_edges": 0}, {"batch_size": 1, "rank": 2, "world": 2}]
)
def test_refusals(wrong):
    with pytest.raises(ValueError, match="got"):
        EdgeBudgetSampler([1, 2], **wrong)
