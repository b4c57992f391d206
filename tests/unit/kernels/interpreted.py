"""Runs checks of the Triton backend in Triton's interpreter, in a process of its own: see `test_triton`.

Prints JSON: what went wrong in each check, null where nothing did. Triton reads `TRITON_INTERPRET` when it is imported.
"""

import itertools
import json
import traceback
from unittest import mock

import torch

from subduce import kernels
from subduce.kernels import _reference, _triton

CHECKS = {}
GRAPH = (torch.tensor([1, 0, 1]), torch.tensor([0, 2, 2]), 3)
MIXED = ("3x0e+3x0o+2x1o+2x1e", "0e+1o", "0e+0o+1o+1e")


def check(function):
    CHECKS[function.__name__] = function
    return function


def problem(plan, graph=GRAPH, nodes=2, dtype=torch.float64):
    """Random g, x, y, w, and as many tangents of the last three."""
    generator = torch.Generator().manual_seed(0)
    edges = len(graph[0])
    widths = {
        "g": (graph[2], plan.irreps_out.dim),
        "x": (nodes, plan.irreps_in.dim),
        "y": (edges, plan.irreps_edge.dim),
        "w": (edges, plan.num_weights),
    }
    slots, more = ({s: torch.randn(size, generator=generator, dtype=dtype) for s, size in widths.items()} for _ in "12")
    return slots, {s: more[s] for s in "xyw"}


def along(plan, wanted, slots, tangents, graph):
    """The reference's sum over the slots exchanged."""
    total = {}
    for slot, tangent in tangents.items():
        others = wanted.replace(slot, "")
        found = _reference.partials(plan, others, *{**slots, slot: tangent}.values(), *graph)
        total |= {s: total.get(s, 0) + found[s] for s in found}
    return total


def compare(plan, wanted="gxyw", tangents="", *, graph=GRAPH, tolerance=1e-12, **sizes):
    slots, turned = problem(plan, graph, **sizes)
    turned = {s: turned[s] for s in tangents}
    assert _triton.computes(plan, slots["x"])
    found = _triton.partials(plan, wanted, *slots.values(), *graph, turned)
    if tangents:
        expected = along(plan, wanted, slots, turned, graph)
    else:
        expected = _reference.partials(plan, wanted, *slots.values(), *graph)
    assert set(found) == set(wanted)
    for slot in wanted:
        assert found[slot].shape == slots[slot].shape
        true = expected[slot] if slot in expected else torch.zeros_like(found[slot])
        scale = true.abs().max().clamp_min(1.0) if true.numel() else 1.0
        torch.testing.assert_close(found[slot] / scale, true / scale, rtol=tolerance, atol=tolerance, msg=slot)
    return found


@check
def every_coupling_to_degree_four():
    one_row = (torch.zeros(3, dtype=torch.int64), torch.zeros(3, dtype=torch.int64), 1)
    for l1, l2 in itertools.product(range(5), range(5)):
        plan = kernels.channelwise_plan(f"5x{l1}e", f"{l2}e", "0e+1e+2e+3e+4e")
        compare(plan, graph=one_row, nodes=1)
        compare(plan, tangents="xyw", graph=one_row, nodes=1)


@check
def single_precision():
    plan = kernels.channelwise_plan(*MIXED)
    compare(plan, dtype=torch.float32, tolerance=2e-6)
    found = compare(plan, tangents="xyw", dtype=torch.float32, tolerance=2e-6)
    assert all(tensor.dtype == torch.float32 for tensor in found.values())


@check
def any_slots_along_any_tangents():
    plan = kernels.channelwise_plan("2x1o", "0e+1o", "1o")
    wanted = ["g", "x", "y", "w", "gx", "xy", "yw", "gxw"]
    for some, tangents in itertools.product(wanted, ["", "x", "y", "w", "xy", "xw", "yw"]):
        compare(plan, some, tangents)


@check
def many_channels():
    """Blocks of 32 and of 64 channels, the last one not full; one edge at a time."""
    plan = kernels.channelwise_plan("70x0e+33x1o", "0e+1o", "0e+1o")
    compare(plan)
    with mock.patch.object(_triton, "_ENOUGH", 0):
        compare(plan)
        compare(plan, tangents="xyw")


@check
def terms_in_several_groups():
    plan = kernels.channelwise_plan("3x0e+3x1o", "0e+1o+2e", "0e+1o+2e")
    whole = len(_triton._groups(plan, torch.device("cpu")))
    with mock.patch.object(_triton, "_MOST_SUMS", 4):
        _triton._groups.cache_clear()
        assert len(_triton._groups(plan, torch.device("cpu"))) > whole
        compare(plan)
        compare(plan, tangents="xyw")
    _triton._groups.cache_clear()


@check
def odd_graphs():
    plan = kernels.channelwise_plan(*MIXED)
    none = torch.zeros(0, dtype=torch.int64)
    for graph, nodes in [
        ((none, none, 3), 2),
        ((none, none, 0), 0),
        ((torch.zeros(1, dtype=torch.int64), torch.tensor([3]), 5), 4),
        ((torch.arange(40) % 2, torch.full((40,), 1), 2), 3),
    ]:
        compare(plan, graph=graph, nodes=nodes)
        compare(plan, tangents="xyw", graph=graph, nodes=nodes)
    compare(kernels.channelwise_plan("4x1o", "1o", "3e"))
    compare(kernels.channelwise_plan("2x1o+0x0e+3x0e+2x1o+4x2o", "1o+0e", "0e"))


@check
def autograd_to_third_order_with_any_strides():
    plan = kernels.channelwise_plan("2x0e+2x1o", "0e+1o", "0e+1o")
    slots, _ = problem(plan)
    x, y, w = slots["x"].mT.contiguous().mT, slots["y"], slots["w"][:1].expand(3, -1)
    assert not any(tensor.is_contiguous() for tensor in (x, w))
    found = {}
    for backend in ("triton", "reference"):
        leaves = [tensor.detach().requires_grad_() for tensor in (x, y, w)]
        sender, receiver, n = GRAPH
        found[backend] = [kernels.bind(plan, backend)(*leaves, sender.int(), receiver.int(), n)]
        for order in range(3):
            value = sum((one**2).sum() for one in found[backend][-3:])
            found[backend] += torch.autograd.grad(value, leaves, create_graph=order < 2)
    for one, other in zip(*found.values(), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-10, atol=1e-10)


@check
def twice_the_same_bits():
    plan = kernels.channelwise_plan(*MIXED)
    once, again = (compare(plan, dtype=torch.float32, tolerance=1e-5) for _ in "12")
    assert all(torch.equal(once[slot], again[slot]) for slot in once)


@check
def an_edge_from_nowhere_is_not_a_number_and_touches_nothing_else():
    plan = kernels.channelwise_plan("2x0e+2x1o", "0e+1o", "0e+1o")
    slots, _ = problem(plan)
    g, x, y, w = slots.values()
    good = _triton.partials(plan, "g", None, x, y, w, *GRAPH)["g"]
    for far in (2, -1, 2**40):
        out = _triton.partials(plan, "g", None, x, y, w, torch.tensor([1, far, 1]), *GRAPH[1:])["g"]
        assert out[2].isnan().all()
        assert torch.equal(out[:2], good[:2])
    slopes = _triton.partials(plan, "xyw", g, x, y, w, GRAPH[0], torch.tensor([0, 2, 7]), 3)
    assert slopes["y"][2].isnan().all()
    assert not slopes["w"][:2].isnan().any()


@check
def auto_and_what_triton_does_not_know():
    plan = kernels.channelwise_plan("2x0e", "0e", "0e")
    assert "triton" in kernels.available()
    assert kernels.bind(plan).backend == "auto"
    with mock.patch.object(_triton, "partials", side_effect=AssertionError("auto gave CPU tensors to Triton")):
        kernels.bind(plan)(torch.ones(2, 2), torch.ones(3, 1), torch.ones(3, 2), *GRAPH)
    high = kernels.channelwise_plan("1x5o", "0e", "5o")
    assert not _triton.computes(high, torch.ones(1))
    assert not _triton.computes(plan, torch.ones(1, dtype=torch.bfloat16))
    assert not _triton.computes(plan, torch.ones(1, device="meta"))
    slots, _ = problem(high)
    found = _triton.partials(high, "g", None, *list(slots.values())[1:], *GRAPH)["g"]
    assert torch.equal(found, _reference.partials(high, "g", None, *list(slots.values())[1:], *GRAPH)["g"])


if __name__ == "__main__":
    failures = {}
    for name, run in CHECKS.items():
        try:
            failures[name] = run()
        except Exception:
            failures[name] = traceback.format_exc()
    print(json.dumps(failures))
