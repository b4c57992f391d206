"""What holds for the compiled backend beyond the contract of all: it is the reference, and nothing brings it down."""

import multiprocessing
import random
import shutil

import pytest
import torch

from subduce import kernels
from subduce.kernels import _cpu, _library
from subduce.o3 import Irreps

needs_cpu = pytest.mark.skipif("cpu" not in kernels.available(), reason="installed without a C compiler")


def test_the_kernels_were_built_where_there_is_a_compiler():
    """The build is optional, so a broken one would only make the tests below stand aside."""
    if shutil.which("cc") or shutil.which("gcc"):
        assert "cpu" in kernels.available()


def random_problem(seed, dtype):
    """A plan, its tensors and a graph, of sizes from nothing to hundreds of edges."""
    choose, generator = random.Random(seed), torch.Generator().manual_seed(seed)
    labels = [f"{l}{p}" for l in range(choose.choice([1, 2, 2, 3, 4]) + 1) for p in "eo"]
    irreps_in = Irreps([(choose.choice([0, 1, 3, 4, 8, 17, 32, 33]), ir) for ir in choose.sample(labels, 2)])
    plan = kernels.channelwise_plan(irreps_in, choose.sample(labels, 2), choose.sample(labels, min(4, len(labels))))
    nodes, edges, receivers = choose.randint(1, 9), choose.choice([0, 1, 5, 40, 300]), choose.randint(1, 9)
    shapes = [(nodes, irreps_in.dim), (edges, plan.irreps_edge.dim), (edges, plan.num_weights)]
    tensors = [torch.randn(shape, generator=generator, dtype=torch.float64).to(dtype) for shape in shapes]
    sender = torch.randint(nodes, (edges,), generator=generator)
    receiver = torch.randint(receivers, (edges,), generator=generator).sort().values
    return plan, tensors, (sender, receiver, receivers)


def two_derivatives(plan, backend, tensors, graph):
    leaves = [tensor.clone().requires_grad_() for tensor in tensors]
    value = kernels.bind(plan, backend)(*leaves, *graph)
    first = torch.autograd.grad(value.square().sum(), leaves, create_graph=True)
    second = torch.autograd.grad(sum(slope.square().sum() for slope in first), leaves)
    return [value.detach(), *(slope.detach() for slope in first), *second]


@needs_cpu
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-5), (torch.float64, 1e-11)])
def test_a_hundred_random_problems_are_the_references(dtype, tolerance):
    edges = 0
    for seed in range(100):
        plan, tensors, graph = random_problem(seed, dtype)
        pairs = zip(*(two_derivatives(plan, name, tensors, graph) for name in ("cpu", "reference")), strict=True)
        for found, expected in pairs:
            scale = expected.abs().max().item() if expected.numel() else 1.0
            assert torch.allclose(found, expected, rtol=0, atol=tolerance * max(scale, 1e-30)), (seed, plan.key)
        edges += len(graph[0]) * len(plan.paths)
    assert edges > 1000


@needs_cpu
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_bit_for_bit_the_same_for_any_number_of_threads(dtype):
    plan = kernels.channelwise_plan("32x0e+32x1o+32x2e", "0e+1o+2e", "0e+1o+2e")
    generator = torch.Generator().manual_seed(0)
    edges, nodes = 1500, 40
    tensors = [
        torch.randn(rows, width, generator=generator, dtype=dtype)
        for rows, width in ((nodes, plan.irreps_in.dim), (edges, plan.irreps_edge.dim), (edges, plan.num_weights))
    ]
    graph = (torch.randint(nodes, (edges,)), torch.randint(nodes, (edges,)).sort().values, nodes)
    threads, found = torch.get_num_threads(), []
    try:
        for number in (1, 2, 3, 7):
            torch.set_num_threads(number)
            found.append(two_derivatives(plan, "cpu", tensors, graph))
    finally:
        torch.set_num_threads(threads)
    assert all(torch.equal(a, b) for other in found[1:] for a, b in zip(found[0], other, strict=True))


@needs_cpu
@pytest.mark.parametrize("sender", [[0, 1, 9, 2], [-1, 0, 1, 2], [2**62, 0, 0, 0]])
@pytest.mark.parametrize("wanted", ["g", "x", "yw", "gxyw"])
def test_a_sender_out_of_range_is_an_error(sender, wanted):
    plan, (x, y, w), receiver, g = small()
    with pytest.raises(IndexError, match="sender is out of range"):
        torch.ops.subduce.edge_product(plan.key, "cpu", wanted, g, x, y, w, None, torch.tensor(sender), receiver, 3)


@needs_cpu
@pytest.mark.parametrize("receiver", [[2, 1, 0, 2], [-5, 0, 1, 99], [99, 99, 99, 99], [0, 2**62, -(2**62), 1]])
@pytest.mark.parametrize("wanted", ["x", "yw", "xyw"])
def test_receivers_that_only_a_direct_call_can_pass_do_no_harm(receiver, wanted):
    plan, (x, y, w), _, g = small()
    found = torch.ops.subduce.edge_product(
        plan.key, "cpu", wanted, g, x, y, w, None, torch.tensor([0, 1, 2, 3]), torch.tensor(receiver), 3
    )
    assert [tuple(value.shape) for slot, value in zip("gxyw", found, strict=True) if slot in wanted]


@needs_cpu
def test_nan_stays_where_it_comes_from():
    plan, (x, y, w), receiver, _ = small()
    x[0] = torch.nan
    out = kernels.bind(plan, "cpu")(x, y, w, torch.tensor([0, 1, 2, 3]), receiver, 3)
    assert out.isnan().any(1).tolist() == [True, False, False]


def small():
    plan = kernels.channelwise_plan("2x0e+2x1o", "0e+1o", "0e+1o")
    tensors = torch.randn(4, plan.irreps_in.dim), torch.randn(4, plan.irreps_edge.dim), torch.randn(4, plan.num_weights)
    return plan, tensors, torch.tensor([0, 1, 1, 2]), torch.randn(3, plan.irreps_out.dim)


def in_child(queue, plan, tensors, graph):
    torch.set_num_threads(1)  # as workers of a DataLoader do: torch's own threads do not survive a fork
    ours = _library.pool(1).submit(abs, -1).result(timeout=20)
    queue.put((ours, [value.tolist() for value in two_derivatives(plan, "cpu", tensors, graph)]))


@needs_cpu
def test_it_works_in_a_forked_process_that_has_none_of_the_parents_threads():
    plan = kernels.channelwise_plan("32x0e+32x1o", "0e+1o", "0e+1o")
    shapes = ((9, plan.irreps_in.dim), (50, plan.irreps_edge.dim), (50, plan.num_weights))
    tensors = [torch.randn(shape) for shape in shapes]
    graph = (torch.randint(9, (50,)), torch.randint(9, (50,)).sort().values, 9)
    assert _library.pool(1).submit(abs, -1).result() == 1
    expected = two_derivatives(plan, "cpu", tensors, graph)
    context = multiprocessing.get_context("fork")
    queue = context.Queue()
    child = context.Process(target=in_child, args=(queue, plan, tensors, graph), daemon=True)
    child.start()
    ours, found = queue.get(timeout=30)
    child.join(timeout=30)
    assert child.exitcode == 0
    assert ours == 1
    assert all(torch.equal(a, torch.tensor(b)) for a, b in zip(expected, found, strict=True))


@needs_cpu
def test_higher_degrees_are_left_to_the_reference():
    plan = kernels.channelwise_plan("2x5o+2x1o", "1o+5o", "0e+4e+5o")
    tensors = [torch.randn(6, width) for width in (plan.irreps_in.dim, plan.irreps_edge.dim, plan.num_weights)]
    graph = (torch.arange(6), torch.arange(6), 6)
    found, expected = (two_derivatives(plan, name, tensors, graph) for name in ("cpu", "reference"))
    assert all(torch.equal(a, b) for a, b in zip(found, expected, strict=True))


def test_without_compiled_code_there_is_the_reference(monkeypatch):
    monkeypatch.setattr("pathlib.Path.glob", lambda *_: [])
    monkeypatch.delenv("SUBDUCE_KERNELS", raising=False)
    _cpu.library.cache_clear()
    try:
        assert kernels.cpu_instructions() is None
    finally:
        monkeypatch.undo()
        _cpu.library.cache_clear()
