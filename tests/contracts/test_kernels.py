"""The contract of every backend of the edge product. The oracle here shares no code with any of them."""

import e3nn.o3
import pytest
import torch

from subduce import kernels
from subduce.o3 import Irreps, clebsch_gordan
from subduce.testing import assert_equivariant, check_product

BACKENDS = [name for name in kernels.available() if name != "triton"] + [pytest.param("triton", marks=pytest.mark.gpu)]
WHERE = {"device": "cpu"}
"""Where tensors lie: the backend's device."""

PLANS = {
    "one parity": ("4x0e+4x1o+4x2e", "0e+1o+2e", "0e+1o+2e"),
    "both parities, mixed multiplicities": ("5x0e+3x0o+2x1o+4x1e+1x2e", "0e+1o+2e", "0e+0o+1o+1e+2e+2o"),
    "even labels on the edge": ("3x0e+2x1o", "0e+1e+2e", "0e+1o+1e+2o"),
    "a term twice, an empty one, unsorted": ("2x1o+0x0e+3x0e+2x1o", "1o+0e", "1o+0e+1e"),
    "scalars": ("6x0e", "0e", "0e"),
    "no path": ("4x1o", "1o", "3e"),
}


def oracle(plan, x, edge, weights, sender, receiver, num_receivers):
    """The formula of the operator, written down: one einsum a path, every edge apart."""
    blocks = [x.new_zeros(num_receivers, ir.dim, mul) for mul, ir in plan.irreps_out]
    first_weight = 0
    used = [0] * len(blocks)
    for (mul, ir_in), place_in in zip(plan.irreps_in, plan.irreps_in.slices(), strict=True):
        features = x[:, place_in].reshape(len(x), ir_in.dim, mul)[sender]
        for (_, ir_edge), place_edge in zip(plan.irreps_edge, plan.irreps_edge.slices(), strict=True):
            for ir in ir_in * ir_edge:
                if not mul or ir not in plan.irreps_keep:
                    continue
                coupling = clebsch_gordan(ir_in.l, ir_edge.l, ir.l).to(x) * ir.dim**0.5
                w = weights[:, first_weight : first_weight + mul]
                messages = torch.einsum("emc,en,mnk,ec->ekc", features, edge[:, place_edge], coupling, w)
                k = [term.ir for term in plan.irreps_out].index(ir)
                summed = torch.zeros_like(blocks[k][..., :mul]).index_add(0, receiver, messages)
                before, after = used[k], blocks[k].shape[-1] - used[k] - mul
                blocks[k] = blocks[k] + torch.nn.functional.pad(summed, (before, after))
                first_weight, used[k] = first_weight + mul, used[k] + mul
    out = torch.cat([block.flatten(1) for block in blocks], 1) if blocks else x.new_zeros(num_receivers, 0)
    return out + 0.0 * (x.sum() + edge.sum() + weights.sum())  # so that there are derivatives without any path


def problem(plan, *, nodes=5, edges=14, receivers=6, dtype=torch.float64, seed=0):
    """Random tensors, and a graph in which the first and the last receiver have no edge."""
    generator = torch.Generator().manual_seed(seed)
    shapes = [(nodes, plan.irreps_in.dim), (edges, plan.irreps_edge.dim), (edges, plan.num_weights)]
    tensors = [torch.randn(shape, generator=generator, dtype=torch.float64).to(dtype) for shape in shapes]
    sender = torch.randint(max(nodes, 1), (edges,), generator=generator)
    receiver = torch.randint(1, max(receivers - 1, 2), (edges,), generator=generator).sort().values
    tensors = [tensor.to(WHERE["device"]).requires_grad_() for tensor in tensors]
    return tensors, (sender.to(WHERE["device"]), receiver.to(WHERE["device"]), receivers)


def derivatives(run, tensors, graph, orders=2):
    """The value and its derivatives up to an order, along random directions."""
    generator = torch.Generator().manual_seed(7)
    found, outputs = [], [run(*tensors, *graph)]
    for _ in range(orders):
        found += outputs
        directions = [torch.randn(o.shape, generator=generator, dtype=torch.float64).to(o) for o in outputs]
        along = sum((o * d).sum() + (o**2 * d).sum() for o, d in zip(outputs, directions, strict=True))
        outputs = list(torch.autograd.grad(along, tensors, create_graph=True))
    return found + outputs


def assert_same(found, expected, **tolerance):
    for one, other in zip(found, expected, strict=True):
        scale = other.abs().max().clamp_min(1e-30) if other.numel() else 1.0
        torch.testing.assert_close(one / scale, other / scale, **tolerance)


@pytest.fixture(params=BACKENDS)
def backend(request, monkeypatch):
    if request.param == "triton":
        if not torch.cuda.is_available() or "triton" not in kernels.available():
            pytest.fail("the GPU backend was asked for, and there is no CUDA device, no Triton or no C compiler")
        monkeypatch.setitem(WHERE, "device", "cuda")
    return request.param


@pytest.mark.parametrize("name", PLANS)
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_value_and_two_derivatives_are_the_oracles(backend, name, dtype):
    plan = kernels.channelwise_plan(*PLANS[name])
    tensors, graph = problem(plan, dtype=dtype)
    run = kernels.bind(plan, backend)
    expected = derivatives(lambda *a: oracle(plan, *a), [t.detach().double().requires_grad_() for t in tensors], graph)
    tolerance = 1e-12 if dtype == torch.float64 else 2e-5
    found = derivatives(run, tensors, graph)
    assert all(value.dtype == dtype for value in found)
    assert_same([value.double() for value in found], expected, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("l_max", range(5))
def test_degrees_to_four(backend, l_max):
    irreps = Irreps("+".join(f"2x{l}{'eo'[l % 2]}" for l in range(l_max + 1)))
    plan = kernels.channelwise_plan(irreps, Irreps.spherical_harmonics(l_max), irreps)
    tensors, graph = problem(plan, edges=9)
    expected = derivatives(lambda *a: oracle(plan, *a), tensors, graph)
    assert_same(derivatives(kernels.bind(plan, backend), tensors, graph), expected, rtol=1e-12, atol=1e-12)


def test_it_is_e3nns_product_with_e3nns_weights(backend):
    ours = kernels.channelwise_plan("4x0e+3x1o+2x2e", "0e+1o+2e", "0e+1o+1e+2e")
    irreps, edge, outputs, instructions = e3nn.o3.Irreps("4x0e+3x1o+2x2e"), e3nn.o3.Irreps("0e+1o+2e"), [], []
    for i, (mul, ir_in) in enumerate(irreps):
        for j, (_, ir_edge) in enumerate(edge):
            for ir in ir_in * ir_edge:
                if ir in e3nn.o3.Irreps("0e+1o+1e+2e"):
                    instructions.append((i, j, len(outputs), "uvu", True))
                    outputs.append((mul, ir))
    sorted_outputs, places, _ = e3nn.o3.Irreps(outputs).sort()
    instructions = [(i, j, places[k], mode, train) for i, j, k, mode, train in instructions]
    default = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)  # e3nn rounds its couplings to the default dtype
    try:
        product = e3nn.o3.TensorProduct(
            irreps, edge, sorted_outputs, instructions, shared_weights=False, internal_weights=False
        )
    finally:
        torch.set_default_dtype(default)
    (x, y, w), (sender, receiver, n) = problem(ours)
    product = product.to(x.device)
    messages = product(ours.irreps_in.to_e3nn(x)[sender], y, w)
    expected = messages.new_zeros(n, messages.shape[1]).index_add(0, receiver, messages)
    found = kernels.bind(ours, backend)(x, y, w, sender, receiver, n)
    assert str(sorted_outputs.simplify()) == str(ours.irreps_out)
    torch.testing.assert_close(ours.irreps_out.to_e3nn(found), expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("name", ["one parity", "even labels on the edge"])
def test_gradcheck_and_gradgradcheck(backend, name):
    irreps_in, irreps_edge, keep = PLANS[name]
    small = Irreps([(min(mul, 2), ir) for mul, ir in Irreps(irreps_in)])
    plan = kernels.channelwise_plan(small, irreps_edge, keep)
    tensors, graph = problem(plan, nodes=2, edges=3, receivers=3)
    run = kernels.bind(plan, backend)
    assert torch.autograd.gradcheck(lambda *a: run(*a, *graph), tensors)
    assert torch.autograd.gradgradcheck(lambda *a: run(*a, *graph), tensors)


def test_third_and_fourth_derivatives(backend):
    plan = kernels.channelwise_plan("2x0e+2x1o", "0e+1o", "0e+1o")
    tensors, graph = problem(plan, edges=6)
    expected = derivatives(lambda *a: oracle(plan, *a), tensors, graph, orders=4)
    assert_same(derivatives(kernels.bind(plan, backend), tensors, graph, orders=4), expected, rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize("subset", ["x", "y", "w", "xy", "xw", "yw"])
def test_only_the_gradients_that_are_needed(backend, subset):
    plan = kernels.channelwise_plan(*PLANS["one parity"])
    tensors, graph = problem(plan)
    for slot, tensor in zip("xyw", tensors, strict=True):
        tensor.requires_grad_(slot in subset)
    leaves = [tensor for tensor in tensors if tensor.requires_grad]
    first, second = (
        torch.autograd.grad((run(*tensors, *graph) ** 2).sum(), leaves)
        for run in (kernels.bind(plan, backend), lambda *a: oracle(plan, *a))
    )
    assert_same(first, second, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(
    ("nodes", "edges", "receivers"), [(4, 0, 3), (0, 0, 3), (0, 0, 0), (3, 0, 0), (1, 1, 3), (2, 40, 3), (30, 2, 50)]
)
def test_odd_sizes(backend, nodes, edges, receivers):
    plan = kernels.channelwise_plan(*PLANS["one parity"])
    tensors, graph = problem(plan, nodes=nodes, edges=edges, receivers=receivers)
    expected = derivatives(lambda *a: oracle(plan, *a), tensors, graph)
    found = derivatives(kernels.bind(plan, backend), tensors, graph)
    assert found[0].shape == (receivers, plan.irreps_out.dim)
    assert_same(found, expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("shift", [0, 1, 4])
def test_isolated_receivers_get_zero(backend, shift):
    plan = kernels.channelwise_plan(*PLANS["one parity"])
    (x, y, w), (sender, _, _) = problem(plan)
    receiver = torch.full_like(sender, shift)
    out = kernels.bind(plan, backend)(x, y, w, sender, receiver, 5)
    assert [row for row in range(5) if out[row].any()] == [shift]


def test_more_edges_than_one_block(backend):
    plan = kernels.channelwise_plan("16x0e+16x1o", "0e+1o", "0e+1o")
    (x, y, w), (sender, receiver, n) = problem(plan, nodes=30, edges=9000, receivers=40, dtype=torch.float64)
    receiver = torch.where(receiver < 20, 3, receiver)  # one receiver has thousands, others none
    expected = derivatives(lambda *a: oracle(plan, *a), (x, y, w), (sender, receiver, n), orders=1)
    found = derivatives(kernels.bind(plan, backend), (x, y, w), (sender, receiver, n), orders=1)
    assert_same(found, expected, rtol=1e-12, atol=1e-12)


def test_any_strides(backend):
    plan = kernels.channelwise_plan(*PLANS["both parities, mixed multiplicities"])
    (x, y, w), graph = problem(plan)
    run = kernels.bind(plan, backend)
    strange = [
        x.detach().mT.contiguous().mT,
        torch.stack([y.detach(), y.detach()], -1)[..., 0],
        w.detach()[:1].expand(w.shape[0], -1),
    ]
    plain = [t.contiguous().requires_grad_() for t in strange]
    assert not any(t.is_contiguous() for t in strange)
    strange = [t.requires_grad_() for t in strange]
    assert_same(derivatives(run, strange, graph), derivatives(run, plain, graph), rtol=1e-14, atol=1e-14)


def test_short_indices(backend):
    plan = kernels.channelwise_plan(*PLANS["one parity"])
    tensors, (sender, receiver, n) = problem(plan)
    run = kernels.bind(plan, backend)
    expected = derivatives(run, tensors, (sender, receiver, n))
    assert_same(derivatives(run, tensors, (sender.int(), receiver.int(), n)), expected, rtol=0, atol=0)


def test_the_number_of_threads_changes_nothing(backend):
    plan = kernels.channelwise_plan("32x0e+32x1o", "0e+1o", "0e+1o")
    tensors, graph = problem(plan, nodes=40, edges=2000, receivers=50, dtype=torch.float32)
    threads, found = torch.get_num_threads(), []
    try:
        for number in (1, 2, 3):
            torch.set_num_threads(number)
            found.append(derivatives(kernels.bind(plan, backend), tensors, graph))
    finally:
        torch.set_num_threads(threads)
    for other in found[1:]:
        assert all(torch.equal(a, b) for a, b in zip(found[0], other, strict=True))


@pytest.mark.parametrize("name", ["both parities, mixed multiplicities", "a term twice, an empty one, unsorted"])
def test_equivariance_with_inversion(backend, name, generator):
    plan = kernels.channelwise_plan(*PLANS[name])
    run = kernels.bind(plan, backend)
    joined = plan.irreps_in + plan.irreps_edge
    weights = torch.randn(7, plan.num_weights, dtype=torch.float64, generator=generator).to(WHERE["device"])
    rows = torch.arange(7, device=WHERE["device"])

    def product(features):
        x, edge = features.to(WHERE["device"]).split([plan.irreps_in.dim, plan.irreps_edge.dim], dim=1)
        return run(x, edge, weights, rows, rows, 7).to(features.device)

    assert_equivariant(product, joined, plan.irreps_out, generator=generator, rtol=1e-12)


def test_compiled_is_eager(backend, compiling):
    plan = kernels.channelwise_plan("4x0e+4x1o", "0e+1o", "0e+1o")
    tensors, graph = problem(plan)
    run = kernels.bind(plan, backend)
    compiled = torch.compile(run, fullgraph=True, backend="aot_eager")
    assert_same(derivatives(compiled, tensors, graph, 1), derivatives(run, tensors, graph, 1), rtol=1e-14, atol=1e-14)
    bigger, graph = problem(plan, nodes=9, edges=31, receivers=12)
    assert_same(derivatives(compiled, bigger, graph, 1), derivatives(run, bigger, graph, 1), rtol=1e-14, atol=1e-14)


def test_the_fake_kernel_promises_what_comes(backend):
    plan = kernels.channelwise_plan("2x0e+2x1o", "0e+1o", "0e+1o")
    (x, y, w), (sender, receiver, n) = problem(plan, edges=5)
    torch.library.opcheck(
        torch.ops.subduce.edge_product.default,
        (plan.key, backend, "g", None, x, y, w, None, sender, receiver, n),
        test_utils=("test_schema", "test_faketensor", "test_autograd_registration"),
    )
    g = torch.randn(n, plan.irreps_out.dim, dtype=torch.float64, device=x.device, requires_grad=True)
    for wanted in ("xyw", "gy", "w"):
        torch.library.opcheck(
            torch.ops.subduce.edge_product.default,
            (plan.key, backend, wanted, g, x, y, w, None, sender, receiver, n),
            test_utils=("test_schema", "test_faketensor", "test_autograd_registration"),
        )


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_edges_that_share_weights_are_as_edges_with_copies_of_them(backend, dtype):
    plan = kernels.channelwise_plan(*PLANS["both parities, mixed multiplicities"])
    (x, edge, weights), graph = problem(plan, dtype=dtype)
    row = torch.randint(5, (14,), generator=torch.Generator().manual_seed(3))
    shared = weights[:6].detach().requires_grad_()  # the last row is nobody's
    product = kernels.bind(plan, backend)
    found = derivatives(lambda x, y, w, *graph: product(x, y, w, *graph, row), [x, edge, shared], graph)
    expected = derivatives(lambda x, y, w, *graph: product(x, y, w[row], *graph), [x, edge, shared], graph)
    assert_same(found, expected, rtol=0, atol={torch.float64: 1e-12, torch.float32: 1e-5}[dtype])
    with pytest.raises(ValueError, match="row holds one number for each edge"):
        product(x, edge, shared, *graph, row[:3])
    with pytest.raises((IndexError, RuntimeError), match="out of range"):
        product(x, edge, shared, *graph, row + 4)


def test_the_check_for_users_passes(backend):
    check_product(backend, device=WHERE["device"])


@pytest.mark.parametrize("wrong", ["value", "derivative", "empty"])
def test_the_check_for_users_finds_a_wrong_backend(monkeypatch, wrong):
    def broken(plan, name):
        run = kernels.bind(plan, "reference")

        def product(x, edge, weights, sender, *graph):
            if wrong == "value":
                weights = weights * 1.001
            elif wrong == "derivative":
                edge = edge + 0.001 * (edge - edge.detach())
            elif not len(sender):
                return run(x, edge, weights, sender, *graph) + 1e-3
            return run(x, edge, weights, sender, *graph)

        return product

    monkeypatch.setattr("subduce.testing._product.bind", broken)
    expected = {"value": "the product is off", "derivative": "the derivative by edge is off", "empty": "for 0 edges"}
    with pytest.raises(AssertionError, match=expected[wrong]):
        check_product("broken")
