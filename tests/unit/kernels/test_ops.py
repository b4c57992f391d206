import copy
import itertools

import pytest
import torch

from subduce.kernels import available, bind, channelwise_plan

PLAN = channelwise_plan("2x0e+2x1o", "0e+1o", "0e+1o")


def arguments(nodes=3, edges=4):
    x, edge = torch.randn(nodes, PLAN.irreps_in.dim), torch.randn(edges, PLAN.irreps_edge.dim)
    index = torch.arange(edges) % nodes
    return [x, edge, torch.randn(edges, PLAN.num_weights), index, index.sort().values, nodes]


def test_auto_is_chosen_when_called():
    assert bind(PLAN).backend == bind(PLAN, "auto").backend == "auto"
    assert "reference" in available()


def test_an_unknown_backend_is_named_with_those_there_are():
    with pytest.raises(ValueError, match=r"no backend 'fast'; available here: auto, .*reference"):
        bind(PLAN, "fast")


@pytest.mark.parametrize(
    ("place", "wrong", "message"),
    [
        (0, torch.zeros(3, 7), r"x has shape \(3, 7\), expected \(3, 8\)"),
        (0, torch.zeros(3, 2, 4), r"x has shape \(3, 2, 4\)"),
        (1, torch.zeros(4, 5), r"edge has shape \(4, 5\), expected \(4, 4\)"),
        (1, torch.zeros(3, 4), r"edge has shape \(3, 4\), expected \(4, 4\)"),
        (2, torch.zeros(4, 1), r"weights has shape \(4, 1\), expected \(4, 8\) for 4 edges"),
        (2, torch.zeros(4, 8, dtype=torch.float64), r"weights is torch.float64 and x is torch.float32"),
        (4, torch.zeros(5, dtype=torch.int64), r"sender and receiver hold one number for each edge"),
        (4, torch.tensor([0, 2, 1, 2]), "edges are sorted by receiver"),
        (4, torch.tensor([0, 1, 2, 3]), "receivers from 0 to 2"),
        (4, torch.tensor([-1, 1, 2, 2]), "receivers from 0 to 2"),
    ],
)
def test_wrong_arguments_are_refused_at_the_door(place, wrong, message):
    given = arguments()
    given[place] = wrong
    with pytest.raises(ValueError, match=message):
        bind(PLAN)(*given)


def test_a_sender_that_is_no_node_is_refused():
    given = arguments()
    given[3] = torch.tensor([0, 1, 2, 3])
    with pytest.raises((IndexError, RuntimeError), match="out of range"):
        bind(PLAN)(*given)


def test_the_form_is_linear_in_each_slot_and_its_derivatives_pair_to_it():
    """⟨s, ∂T/∂s⟩ is T itself, whichever slot s is asked."""
    x, y, w, sender, receiver, n = arguments()
    slots = dict(zip("gxyw", (torch.randn(n, PLAN.irreps_out.dim), x, y, w), strict=True))
    operator = torch.ops.subduce.edge_product
    for wanted in ("g", "x", "y", "w", "xyw", "gw"):
        found = operator(PLAN.key, "reference", wanted, *slots.values(), None, sender, receiver, n)
        values = [(slots[s] * d).sum() for s, d in zip("gxyw", found, strict=True) if s in wanted]
        expected = (slots["g"] * bind(PLAN)(x, y, w, sender, receiver, n)).sum()
        torch.testing.assert_close(torch.stack(values), expected.expand(len(wanted)), rtol=1e-5, atol=1e-5)


def test_what_is_not_wanted_is_not_computed():
    x, y, w, sender, receiver, n = arguments()
    g = torch.randn(n, PLAN.irreps_out.dim)
    for size in range(1, 4):
        for wanted in itertools.combinations("gxyw", size):
            found = torch.ops.subduce.edge_product(
                PLAN.key, "reference", "".join(wanted), g, x, y, w, None, sender, receiver, n
            )
            assert [slot for slot, tensor in zip("gxyw", found, strict=True) if tensor.numel()] == list(wanted)


def test_a_bound_product_can_be_copied():
    product = copy.deepcopy(bind(PLAN))
    given = arguments()
    assert torch.equal(product(*given), bind(PLAN)(*given))


def test_inference_mode_leaves_nothing_behind():
    plan = channelwise_plan("5x0e+5x1o", "0e+1o", "0e+1o")
    edge, index = torch.randn(1, plan.irreps_edge.dim), torch.tensor([0])
    x, weights = torch.randn(1, plan.irreps_in.dim), torch.randn(1, plan.num_weights)
    with torch.inference_mode():
        bind(plan)(x, edge, weights, index, index, 1)
    x.requires_grad_()
    assert torch.autograd.grad(bind(plan)(x, edge, weights, index, index, 1).sum(), x)[0].any()
