"""Linear maps: every derivative is that of the formula, whichever way it is computed."""

import pytest
import torch

from subduce.kernels import LinearMap, Part

# Two irreps, of which one is read in two places and one written in two, beside numbers that no part touches.
PARTS = (
    Part(0, 0, 1, 3, 40, 0, 45),
    Part(0, 49, 1, 3, 5, 40, 45),
    Part(4, 40, 3, 7, 3, 135, 3),
    Part(25, 40, 3, 2, 3, 156, 3),
)
MAP = LinearMap(33, 55, PARTS)
NUM_WEIGHTS = 162


@pytest.fixture(autouse=True, params=["plain torch", "a matrix for each row", "compiled"])
def way(request, monkeypatch):
    """Every test by all ways of computing; without compiled code the last is plain torch."""
    if request.param != "compiled":
        monkeypatch.setattr("subduce.kernels._library.library", lambda: None)
    if request.param == "a matrix for each row":  # as on GPUs
        monkeypatch.setattr("subduce.kernels._linear._HOSTS", ())


def formula(x, w, species):
    out = x.new_zeros(len(x), MAP.dim_out)
    for start_in, start_out, components, channels_in, channels_out, begin, width in PARTS:
        place = begin + width * torch.arange(channels_in)[:, None] + torch.arange(channels_out)
        matrices = w[:, place][species if species is not None else torch.zeros(len(x), dtype=torch.int64)]
        block = x[:, start_in : start_in + components * channels_in].reshape(len(x), components, channels_in)
        there = slice(start_out, start_out + components * channels_out)
        out[:, there] = out[:, there] + torch.einsum("rmi,rio->rmo", block, matrices).flatten(1)
    return out


def problem(rows, copies, dtype):
    generator = torch.Generator().manual_seed(rows)
    x, w = (torch.randn(shape, generator=generator, dtype=dtype) for shape in ((rows, 33), (copies, NUM_WEIGHTS)))
    species = torch.randint(copies, (rows,), generator=generator) if copies > 1 else None
    return x.requires_grad_(), w.requires_grad_(), species


def derivatives(run, x, w, species):
    """Value and derivatives to second order along random directions."""
    generator, found, outputs = torch.Generator().manual_seed(1), [], [run(x, w, species)]
    for _ in range(2):
        found += outputs
        directions = [torch.randn(o.shape, generator=generator, dtype=torch.float64).to(o) for o in outputs]
        along = sum((o**2 * d).sum() for o, d in zip(outputs, directions, strict=True))
        outputs = torch.autograd.grad(along, (x, w), create_graph=True)
    return [*found, *outputs]


@pytest.mark.parametrize("rows", [0, 1, 17])
@pytest.mark.parametrize("copies", [1, 3])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_value_and_two_derivatives_are_the_formulas(rows, copies, dtype):
    given = problem(rows, copies, dtype)
    for one, other in zip(derivatives(MAP, *given), derivatives(formula, *given), strict=True):
        scale = other.abs().max().clamp_min(1e-30) if other.numel() else 1.0
        tolerance = {torch.float64: 1e-13, torch.float32: 1e-5}[dtype]
        torch.testing.assert_close(one / scale, other / scale, rtol=0, atol=tolerance)


def test_rows_that_do_not_follow_one_another_and_threads():
    x, w, species = problem(900, 2, torch.float64)
    wide = torch.stack([x.detach(), torch.zeros_like(x)], dim=-1)[..., 0].requires_grad_()
    assert not wide.is_contiguous()
    before, found = torch.get_num_threads(), []
    try:
        for threads in (1, 3):
            torch.set_num_threads(threads)
            out = MAP(wide, w, species)
            found.append((out.detach(), *torch.autograd.grad((out**2).sum(), (wide, w))))
    finally:
        torch.set_num_threads(before)
    torch.testing.assert_close(found[0][0], formula(x, w, species), rtol=1e-12, atol=1e-12)
    assert all(torch.equal(one, other) for one, other in zip(*found, strict=True))


def test_a_species_that_is_none_is_refused(way):
    x, w, _ = problem(4, 3, torch.float64)
    with pytest.raises(IndexError, match="species is out of range: it holds 0 to 3"):
        MAP(x, w, torch.arange(4))


def test_it_is_what_the_fake_promises():
    x, w, species = problem(5, 3, torch.float64)
    g = torch.randn(5, MAP.dim_out, dtype=torch.float64, requires_grad=True)
    for wanted in ("g", "xw", "w"):
        torch.library.opcheck(
            torch.ops.subduce.linear.default,
            (MAP._key, wanted, None if wanted == "g" else g, x, w, species),
            test_utils=("test_schema", "test_faketensor", "test_autograd_registration"),
        )
