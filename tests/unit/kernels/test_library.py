"""The compiled code by itself: every set of instructions that this machine has, and places beyond 2^31."""

import ctypes

import pytest
import torch

from subduce import kernels
from subduce.config import InputError
from subduce.kernels import _cpu, _library, _reference, _table
from subduce.kernels._linear import LinearMap, Part
from subduce.kernels._tables import tables
from subduce.o3 import Irreps, spherical_harmonics

needs_cpu = pytest.mark.skipif("cpu" not in kernels.available(), reason="installed without a C compiler")
INSTRUCTIONS = ("plain", "avx2", "avx512")
ROWS_BEYOND = 2**31 + 2**20  # numbers


def code():
    found = _library.library()
    assert found is not None
    return found


@pytest.fixture
def use():
    """Chooses instructions for a test; others are not on this machine."""
    before = code().subduce_instructions()

    def choose(name):
        if name not in _library.iter_instructions(code()):
            pytest.skip(f"this machine has no {name}")
        assert code().subduce_use(name.encode())
        assert kernels.cpu_instructions() == name

    yield choose
    code().subduce_use(before)


@pytest.fixture
def fresh():
    """The library is looked for anew, in the environment of the test, and afterwards again."""
    _library.library.cache_clear()
    yield
    _library.library.cache_clear()


def close(found, expected, dtype):
    tolerance = 2e-5 if dtype == torch.float32 else 1e-12
    return torch.allclose(found, expected, rtol=0, atol=tolerance * max(1.0, expected.abs().max().item()))


@needs_cpu
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("name", INSTRUCTIONS)
def test_all_instructions_give_the_references_products(use, name, dtype):
    use(name)
    plan = kernels.channelwise_plan("35x0e+17x1o+3x2e", "0e+1o+2e", "0e+1o+2e")
    generator = torch.Generator().manual_seed(0)
    shapes = ((5, plan.irreps_in.dim), (40, plan.irreps_edge.dim), (40, plan.num_weights), (6, plan.irreps_out.dim))
    x, y, w, g = (torch.randn(shape, generator=generator, dtype=dtype) for shape in shapes)
    tangents = {"x": torch.ones_like(x), "w": w.flip(0)}
    graph = (torch.randint(5, (40,), generator=generator), torch.arange(40) * 6 // 40, 6)
    expected = _reference.partials(plan, "gxyw", g, x, y, w, *graph)
    assert all(
        close(value, expected[slot], dtype) for slot, value in _cpu.partials(plan, "gxyw", g, x, y, w, *graph).items()
    )
    along = _cpu.partials(plan, "gxyw", g, x, y, w, *graph, tangents)
    parts = [
        _reference.partials(plan, "gxyw", g, *new, *graph) for new in ((tangents["x"], y, w), (x, y, tangents["w"]))
    ]
    assert close(along["g"], parts[0]["g"] + parts[1]["g"], dtype)
    assert close(along["y"], parts[0]["y"] + parts[1]["y"], dtype)
    assert close(along["x"], parts[1]["x"], dtype)
    assert close(along["w"], parts[0]["w"], dtype)


@needs_cpu
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("name", INSTRUCTIONS)
def test_all_instructions_give_the_same_harmonics_maps_and_splines(use, name, dtype):
    use(name)
    generator = torch.Generator().manual_seed(1)
    vectors = torch.randn(71, 3, generator=generator, dtype=dtype)
    harmonics = kernels.harmonics(Irreps("0e+1o+2e+3o+4e"), vectors)
    assert close(harmonics, spherical_harmonics(range(5), vectors), dtype)
    x, w = (torch.randn(shape, generator=generator, dtype=dtype) for shape in ((9, 21), (1, 7 * 19)))
    mapped = LinearMap(21, 57, [Part(0, 0, 3, 7, 19, 0, 19)])(x, w)
    assert close(mapped, (x.view(9, 3, 7) @ w.view(7, 19)).flatten(1), dtype)
    for map_ in rowwise_maps():
        given = [torch.randn(count, generator=generator, dtype=dtype) for count in (map_.num_weights, map_.num_biases)]
        given = [torch.randn(9, map_.dim_in, generator=generator, dtype=dtype), *(one for one in given if len(one))]
        ways = second_order(map_, given), second_order(map_.by_torch, given)
        assert all(close(one, other, dtype) for one, other in zip(*ways, strict=True))
    coefficients = torch.randn(13, 37, generator=generator, dtype=dtype)
    r = torch.linspace(0, 5.2, 29, dtype=dtype)
    values = _cpu.spline(r, coefficients, 0.5, 1)
    assert values is not None
    rows, factors = _table._located(r, coefficients, 0.5, 1)
    assert close(values, torch.einsum("ep,epf->ef", factors, coefficients[rows]), dtype)


@needs_cpu
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("name", INSTRUCTIONS)
@pytest.mark.parametrize("function", ["silu", "sigmoid", "tanh"])
def test_gates_take_what_is_huge_or_no_number(use, name, dtype, function):
    use(name)
    x = torch.tensor([0.0, -1.0, 3.0, 90.0, -90.0, 1e30, -1e30, torch.inf, torch.nan, -torch.nan] * 4, dtype=dtype)
    out = torch.empty_like(x)
    kind = ("identity", "silu", "sigmoid", "tanh").index(function)
    block = _library.GateBlock(0, 0, 0, 0, len(x), kind, 1.0)
    task = _library.Gate(ctypes.addressof(block), 1, len(x), len(x), x.data_ptr(), out.data_ptr())
    run_step(4, task, dtype)
    expected = {"silu": torch.nn.functional.silu, "sigmoid": torch.sigmoid, "tanh": torch.tanh}[function](x)
    assert torch.equal(out.isnan(), expected.isnan())
    assert torch.allclose(out, expected, rtol=1e-5, atol=1e-5, equal_nan=True)


def rowwise_maps():
    functions = ("silu", "tanh", "sigmoid", "identity")
    yield kernels.GateMap([kernels.GateBlock(l, 5 + 7 * l, name, 1.5) for l, name in enumerate(functions)])
    for joint in (False, True):
        blocks = [kernels.NormBlock(2 * l + 1, 5 + 7 * l, l == 0 and not joint, 0.02) for l in range(4)]
        yield kernels.NormMap(blocks, 1e-2, joint=joint)


def second_order(run, given):
    """A value, its derivatives, and those of a sum of their squares."""
    given = [value.clone().requires_grad_() for value in given]
    value = run(*given)
    slopes = torch.autograd.grad((value**2).sum(), given, create_graph=True)
    return value, *slopes, *torch.autograd.grad(sum((slope**2).mean() for slope in slopes), given)


def run_step(kind, task, dtype):
    """One step of a program, for one atom."""
    step = _library.Step(kind, ctypes.addressof(task))
    meeting, failed = (ctypes.c_int64 * 2)(), (ctypes.c_int64 * 1)()
    double = dtype == torch.float64
    assert code().subduce_run(ctypes.byref(step), 1, double, meeting, 0, 1, 1, failed) == 0


class Sparse:
    """Tensors of more numbers than memory could hold, zero except where something is written."""

    def __init__(self, folder):
        self.folder, self.made = folder, 0

    def __call__(self, rows, width, dtype=torch.float32):
        self.made += 1
        name = str(self.folder / f"{self.made}")
        return torch.from_file(name, shared=True, size=rows * width, dtype=dtype).view(rows, width)


@needs_cpu
@pytest.mark.parametrize("tangent", [False, True])
def test_places_beyond_two_to_the_31_are_found(tmp_path, tangent):
    """Rows at the end of features, weights and results of more than 2^31 numbers each: all that is read or written."""
    plan = kernels.channelwise_plan("35x0e+35x1o", "0e+1o", "0e+1o")
    sparse, edges, generator = Sparse(tmp_path), 7, torch.Generator().manual_seed(0)
    widths = {"g": plan.irreps_out.dim, "x": plan.irreps_in.dim, "y": plan.irreps_edge.dim, "w": plan.num_weights}
    nodes, receivers, all_edges = (ROWS_BEYOND // widths[slot] + 1 for slot in "xgw")
    rows = {"g": receivers, "x": nodes, "y": all_edges, "w": all_edges}
    used = {"g": 2, "x": 3, "y": edges, "w": edges}
    small = {slot: torch.randn(used[slot], widths[slot], generator=generator) for slot in "gxyw"}
    along = {slot: torch.randn(used[slot], widths[slot], generator=generator) for slot in "xyw"} if tangent else None
    sender, receiver = torch.tensor([0, 2, 1, 1, 0, 2, 2]), torch.tensor([0, 0, 0, 1, 1, 1, 1])
    g, x, y, w = small.values()
    expected = _cpu.partials(plan, "gxyw", g, x, y, w, sender, receiver, 2, along)

    def large(slot, values=None):
        made = sparse(rows[slot], widths[slot])
        if values is not None:
            made[-used[slot] :] = values
        return made

    given, found = {slot: large(slot, small[slot]) for slot in "gxyw"}, {slot: large(slot) for slot in "gxyw"}
    tangents = {slot: large(slot, along[slot]) for slot in "xyw"} if along else {}
    senders = sparse(all_edges, 1, torch.int64)
    senders[-edges:, 0] = sender + nodes - 3
    first = torch.full((receivers + 1,), all_edges - edges)
    first[-2:] = torch.tensor([all_edges - 4, all_edges])
    table = tables(plan, torch.float32)
    problem = _library.Problem(
        *(part.data_ptr() for part in table[:3]),
        *(len(plan.paths), table.most_pairs, receivers, *(widths[slot] for slot in "xywg")),
        *(first.data_ptr(), first.data_ptr() + 8, senders.data_ptr()),
        *(given[slot].data_ptr() for slot in "gxyw"),
        *(tangents[slot].data_ptr() if tangents else None for slot in "xyw"),
        *(found[slot].data_ptr() for slot in "gxyw"),
        *(None, True),
    )
    _library.share("subduce_edge_product", problem, (False, True), [receivers - 2, receivers])
    _library.share("subduce_edge_product", problem, (False, False), [nodes - 3, nodes])
    for slot in "gxyw":
        assert torch.equal(found[slot][-used[slot] :], expected[slot]), slot
        assert expected[slot].count_nonzero() > expected[slot].numel() / 2


@needs_cpu
def test_linear_maps_of_more_than_two_to_the_31_numbers(tmp_path):
    sparse, weights = Sparse(tmp_path), torch.randn(7, 9)
    rows = ROWS_BEYOND // 7 + 1
    x, out = sparse(rows, 7), sparse(rows, 9)
    x[-3:] = torch.randn(3, 7)
    block = _library.Block(0, 0, 1, 7, 9, 0, 0, 9)
    pointers = (None, weights.data_ptr(), x.data_ptr(), out.data_ptr())
    task = _library.Linear(ctypes.addressof(block), 1, 7, 9, weights.numel(), *pointers)
    _library.share("subduce_linear", task, (False, False), [rows - 3, rows])
    assert close(out[-3:], x[-3:] @ weights, torch.float32)


@needs_cpu
def test_gates_and_norms_of_more_than_two_to_the_31_numbers(tmp_path):
    for map_ in rowwise_maps():
        sparse, rows = Sparse(tmp_path), ROWS_BEYOND // map_.dim_in + 1
        given = [torch.randn(count) for count in (map_.num_weights, map_.num_biases)]
        x, out, task = sparse(rows, map_.dim_in), sparse(rows, map_.dim_out), map_.task()
        x[-3:] = torch.randn(3, map_.dim_in)
        task.x, task.out = x.data_ptr(), out.data_ptr()
        if map_.num_weights:
            task.weights, task.bias = (values.data_ptr() for values in given)
        name = "subduce_norm" if map_.num_weights else "subduce_gate"
        _library.share(name, task, (False,), [rows - 3, rows])
        assert close(out[-3:], map_.by_torch(x[-3:], *(values for values in given if len(values))), torch.float32)


@needs_cpu
def test_features_of_more_than_two_to_the_31_numbers(tmp_path):
    plan = kernels.channelwise_plan("32x0e+32x1o", "0e+1o", "0e+1o")
    x = Sparse(tmp_path)(ROWS_BEYOND // plan.irreps_in.dim + 1, plan.irreps_in.dim)
    x[-4:] = torch.randn(4, plan.irreps_in.dim)
    y, w = torch.randn(6, plan.irreps_edge.dim), torch.randn(6, plan.num_weights)
    sender, receiver = torch.tensor([0, 1, 2, 3, 3, 0]), torch.tensor([0, 0, 1, 1, 2, 2])
    found = kernels.bind(plan, "cpu")(x, y, w, sender + len(x) - 4, receiver, 3)
    assert torch.equal(found, kernels.bind(plan, "cpu")(x[-4:], y, w, sender, receiver, 3))
    assert found.count_nonzero() > found.numel() / 2


@needs_cpu
def test_the_environment_chooses_instructions(fresh, monkeypatch):
    for name in list(_library.iter_instructions(code())):
        monkeypatch.setenv("SUBDUCE_INSTRUCTIONS", name)
        _library.library.cache_clear()
        assert kernels.cpu_instructions() == name


@needs_cpu
def test_instructions_and_libraries_that_there_are_not(fresh, monkeypatch, tmp_path):
    monkeypatch.setenv("SUBDUCE_INSTRUCTIONS", "sse9")
    with pytest.raises(InputError, match="SUBDUCE_INSTRUCTIONS=sse9: not on this machine, which has plain"):
        kernels.cpu_instructions()
    monkeypatch.setenv("SUBDUCE_KERNELS", str(tmp_path / "none.so"))
    with pytest.raises(InputError, match=r"SUBDUCE_KERNELS=.*none\.so: cannot be loaded"):
        kernels.cpu_instructions()


@needs_cpu
def test_what_a_cpu_lacks_is_not_used():
    assert next(_library.iter_instructions(code())) == "plain"  # what every machine has
    assert not code().subduce_use(b"sse9")
    assert kernels.cpu_instructions() in list(_library.iter_instructions(code()))
