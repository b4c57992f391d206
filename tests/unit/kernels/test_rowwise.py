"""Gates and norms: every derivative is that of torch's own operators, and each row is a row by itself."""

import pytest
import torch

from subduce.kernels import GateBlock, GateMap, NormBlock, NormMap, _library, _rowwise

CHANNELS = (37, 1, 16, 3)  # more than a register, one, a register or two, and a part of one


def gate(functions=("silu", "tanh", "sigmoid", "identity")):
    even, odd, first, second = functions
    blocks = ((0, 37, even, 1.5), (0, 1, odd, 1.2), (3, 16, first, 0.7), (5, 3, first, 0.7), (1, 5, second, 2.0))
    return GateMap([GateBlock(*block) for block in blocks])


def norm(kind, eps=1e-3):
    blocks, total = [], sum(CHANNELS)
    for components, channels in zip((1, 1, 3, 5), CHANNELS, strict=True):
        share = 1 / (components * (total if kind == "joint" else channels))
        blocks.append(NormBlock(components, channels, kind == "layer" and components == 1, share))
    return NormMap(blocks, eps, joint=kind == "joint")


MAPS = {"gate": gate(), "another gate": gate(("tanh", "identity", "silu", "silu"))}
MAPS |= {f"{kind} norm": norm(kind) for kind in ("rms", "layer", "joint")}
ONE_CHANNEL = {
    "gate": GateMap([GateBlock(0, 1, "tanh", 1.0), GateBlock(3, 1, "silu", 1.5)]),
    "norm": NormMap([NormBlock(1, 1, False, 1.0), NormBlock(3, 1, False, 1 / 3)], 0.1, joint=False),
    "centred norm": NormMap([NormBlock(1, 1, True, 1.0), NormBlock(1, 2, True, 0.5)], 0.1, joint=False),
}


@pytest.fixture(autouse=True, params=["plain torch", "compiled"])
def way(request, monkeypatch):
    """Every test by both ways of computing; without compiled code both are plain torch."""
    if request.param != "compiled":
        monkeypatch.setattr("subduce.kernels._library.library", lambda: None)
    return request.param


def problem(map_, rows, dtype=torch.float64):
    generator = torch.Generator().manual_seed(rows)
    shapes = [(rows, map_.dim_in), *((count,) for count in (map_.num_weights, map_.num_biases) if count)]
    return [torch.randn(shape, generator=generator, dtype=dtype).requires_grad_() for shape in shapes]


def derivatives(run, given, orders, *, fused=True):
    """Value and derivatives along random directions; of the last no further derivative can be asked, if `fused`."""
    generator, found, outputs = torch.Generator().manual_seed(1), [], [run(*given)]
    for order in range(orders):
        found += outputs
        directions = [torch.randn(o.shape, generator=generator, dtype=torch.float64).to(o) for o in outputs]
        along = sum((o**2 * d).sum() for o, d in zip(outputs, directions, strict=True))
        create_graph = not (fused and order == orders - 1)
        outputs = list(torch.autograd.grad(along, given, create_graph=create_graph))
    return [*found, *outputs]


def assert_same(found, expected, tolerance):
    for one, other in zip(found, expected, strict=True):
        scale = other.abs().max().clamp_min(1.0) if other.numel() else 1.0
        torch.testing.assert_close(one / scale, other / scale, rtol=0, atol=tolerance)


@pytest.mark.parametrize("rows", [0, 1, 17, 150])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize("name", MAPS)
def test_value_and_two_derivatives_are_torchs(name, rows, dtype):
    map_, tolerance = MAPS[name], {torch.float64: 1e-13, torch.float32: 2e-5}[dtype]
    given = problem(map_, rows, dtype)
    found, expected = derivatives(map_, given, 2), derivatives(map_.by_torch, given, 2)
    assert_same(found, expected, tolerance)
    assert rows == 0 or all(value.abs().max() > 0.01 for value in expected)


@pytest.mark.parametrize("name", MAPS)
def test_derivatives_beyond_the_second_are_torchs(name):
    given = problem(MAPS[name], 3)
    found, expected = (derivatives(run, given, 3, fused=False) for run in (MAPS[name], MAPS[name].by_torch))
    assert_same(found, expected, 1e-12)


@pytest.mark.parametrize("name", ONE_CHANNEL)
def test_one_channel_and_all_derivatives_against_differences(name):
    map_ = ONE_CHANNEL[name]
    given = problem(map_, 3)
    assert torch.autograd.gradcheck(map_, given)
    assert torch.autograd.gradgradcheck(map_, given, atol=1e-6)
    assert_same(derivatives(map_, given, 2), derivatives(map_.by_torch, given, 2), 1e-11)


@pytest.mark.parametrize("name", MAPS)
def test_second_derivatives_in_one_pass_are_differences_of_first_ones(name):
    map_, given = MAPS[name], problem(MAPS[name], 2)
    generator = torch.Generator().manual_seed(3)
    outputs = [map_(*given)]
    g = torch.randn(outputs[0].shape, generator=generator, dtype=torch.float64).requires_grad_()
    along = [torch.randn(value.shape, generator=generator, dtype=torch.float64) for value in given]

    def slope(*changed):
        """The first derivatives times what is along each."""
        slopes = torch.autograd.grad(map_(*changed[1:]), changed[1:], changed[0], create_graph=True)
        return sum((one * other).sum() for one, other in zip(slopes, along, strict=True))

    inputs = (g, *given)
    found = torch.autograd.grad(slope(*inputs), inputs, materialize_grads=True)
    steps = [torch.randn(value.shape, generator=generator, dtype=torch.float64) for value in inputs]
    ends = []
    for sign in (1e-5, -1e-5):
        moved = [(value + sign * step).detach() for value, step in zip(inputs, steps, strict=True)]
        ends.append(slope(*(value.requires_grad_() for value in moved)))
    expected = ((ends[0] - ends[1]) / 2e-5).detach()
    along_steps = sum((one * step).sum() for one, step in zip(found, steps, strict=True))
    torch.testing.assert_close(along_steps, expected, rtol=1e-7, atol=1e-7)


@pytest.mark.parametrize(
    ("name", "wanted"),
    [("gate", "x"), *((f"{kind} norm", slots) for kind in ("rms", "joint") for slots in "xw")]
    + [("layer norm", slots) for slots in ("x", "w", "b", "xb", "wb", "xw")],
)
def test_only_some_of_the_derivatives(name, wanted):
    given = problem(MAPS[name], 5)
    wanted = [value for slot, value in zip("xwb", given, strict=False) if slot in wanted]
    for value in given:
        value.requires_grad_(any(value is one for one in wanted))

    def second(run):
        first = torch.autograd.grad((run(*given) ** 2).sum(), wanted, create_graph=True)
        loss = (first[-1] ** 3).sum()
        return [*first, *torch.autograd.grad(loss, wanted, materialize_grads=True)] if loss.requires_grad else first

    assert_same(second(MAPS[name]), second(MAPS[name].by_torch), 1e-12)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize("name", MAPS)
def test_rows_that_do_not_follow_one_another_and_threads(name, dtype):
    map_, given = MAPS[name], problem(MAPS[name], 1700, dtype)
    assert given[0].numel() > _rowwise._FEW
    wide = torch.stack([given[0].detach(), torch.zeros_like(given[0])], dim=-1)[..., 0].requires_grad_()
    assert not wide.is_contiguous()
    before, found = torch.get_num_threads(), []
    try:
        for threads in (1, 3, 5):
            torch.set_num_threads(threads)
            found.append(derivatives(map_, [wide, *given[1:]], 2))
    finally:
        torch.set_num_threads(before)
    contiguous = derivatives(map_, given, 2)
    if _library.fits(wide):
        for other in (*found[1:], contiguous):
            assert all(torch.equal(one, value) for one, value in zip(found[0], other, strict=True))
    assert_same(found[0], derivatives(map_.by_torch, given, 2), {torch.float64: 1e-12, torch.float32: 1e-4}[dtype])


@pytest.mark.parametrize("name", MAPS)
@pytest.mark.parametrize("bad", [torch.nan, torch.inf])
def test_what_is_no_number_stays_in_its_row(name, bad):
    map_, given = MAPS[name], problem(MAPS[name], 4)
    x, weights = given[0], [value.detach() for value in given[1:]]

    def along_x(run):  # sums over rows are another matter
        return derivatives(lambda x: run(x, *weights), [x], 2)

    clean = along_x(map_)
    with torch.no_grad():
        x[2, map_.dim_in - 1] = bad
    found, expected = along_x(map_), along_x(map_.by_torch)
    rows = [0, 1, 3]
    for values, others, before in zip(found, expected, clean, strict=True):
        assert torch.equal(values[rows], before[rows])
        assert torch.equal(values[2].isnan().any(), others[2].isnan().any())
    assert torch.equal(found[0].isnan(), expected[0].isnan())


def test_zero_features_have_finite_derivatives():
    for kind in ("rms", "layer", "joint"):
        map_ = norm(kind, eps=1e-12)
        given = problem(map_, 3, torch.float32)
        given[0] = torch.zeros_like(given[0]).requires_grad_()
        assert all(value.isfinite().all() for value in derivatives(map_, given, 2))


def test_other_dtypes_and_functions_are_torchs():
    map_ = gate(("gelu", "abs", "relu", "mish"))
    (x,) = problem(map_, 4)
    assert torch.equal(map_(x), map_.by_torch(x))
    half, scales = problem(MAPS["rms norm"], 4, torch.bfloat16)
    assert MAPS["rms norm"](half, scales).dtype == torch.bfloat16
    assert MAPS["rms norm"](half, scales.double()).dtype == torch.float64


def test_rows_and_scales_of_other_widths_are_refused():
    x, scales, biases = problem(MAPS["layer norm"], 4)
    with pytest.raises(ValueError, match=r"rows of 101 numbers are wanted, got shape \(4, 100\)"):
        MAPS["layer norm"](x[:, 1:], scales, biases)
    with pytest.raises(ValueError, match="a norm of 57 channels, 38 of them centred, got scales of shape"):
        MAPS["layer norm"](x, scales[1:], biases)
    with pytest.raises(ValueError, match="rows of"):
        MAPS["gate"](x[0])


@pytest.mark.filterwarnings("ignore:There is a performance drop")
@pytest.mark.parametrize("name", MAPS)
def test_under_vmap_and_torch_compile(name):
    map_, given = MAPS[name], [value.detach() for value in problem(MAPS[name], 6)]
    batches = given[0].view(2, 3, -1)
    found = torch.vmap(lambda x: map_(x, *given[1:]))(batches)
    torch.testing.assert_close(found.flatten(0, 1), map_(*given), rtol=1e-13, atol=1e-13)
    compiled = torch.compile(map_.__call__, backend="aot_eager", fullgraph=True)
    torch.testing.assert_close(compiled(*given), map_(*given), rtol=1e-13, atol=1e-13)


@pytest.mark.parametrize("name", MAPS)
def test_it_is_what_the_fakes_promise(name, way):
    if way == "plain torch":
        pytest.skip("operators are C's alone")
    map_, (x, *weights) = MAPS[name], problem(MAPS[name], 5)
    w, b = (*weights, None, None)[:2]
    g = torch.randn(5, map_.dim_out, dtype=torch.float64, requires_grad=True)
    utils = ("test_schema", "test_faketensor", "test_autograd_registration")
    torch.library.opcheck(torch.ops.subduce.rows.default, (map_.key, x, w, b), test_utils=utils)
    for summed in (False, True):
        torch.library.opcheck(torch.ops.subduce.rows_slopes.default, (map_.key, g, x, w, summed), test_utils=utils)
