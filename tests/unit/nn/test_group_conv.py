"""Layers of group convolution: shapes, starts, and what they refuse."""

import numpy as np
import pytest
import torch

from subduce.groups import FiniteGroup, cyclic, dihedral, named_group, permutations, point_group, reflection
from subduce.nn import (
    GroupConvolution,
    GroupPooling,
    GroupProjection,
    LiftingConvolution,
    RadialBasis,
    RelaxedHarmonics,
    equal_set,
    spectrum,
)

LAYERS = [LiftingConvolution, GroupConvolution]
both_layers = pytest.mark.parametrize("kind", LAYERS)


@both_layers
@pytest.mark.parametrize("group", [cyclic(3), cyclic(8), dihedral(6), permutations(4), point_group("C3v")])
def test_refuses_groups_that_do_not_act_on_a_grid(kind, group):
    with pytest.raises(ValueError, match=r"does not send the points of a grid of . axes to such points; what does: "):
        kind(group, 1, 1)


@both_layers
@pytest.mark.parametrize("size", [0, 2, 4, -1])
def test_refuses_kernels_without_a_centre(kind, size):
    with pytest.raises(ValueError, match=f"kernel_size must be odd.*got {size}"):
        kind(cyclic(4), 1, 1, kernel_size=size)


@both_layers
@pytest.mark.parametrize("shape", [None, (5,), (5, 5, 5)])
def test_weights_on_positions_want_their_shape(kind, shape):
    with pytest.raises(ValueError, match="weights on positions need the shape of the output, 2 numbers"):
        kind(cyclic(4), 1, 1, relaxed="positions", shape=shape)


def test_weights_on_positions_refuse_another_grid():
    layer = LiftingConvolution(cyclic(4), 1, 1, relaxed="positions", shape=(5, 5))
    with pytest.raises(ValueError, match=r"made for a grid of \(5, 5\), got \(6, 6\)"):
        layer(torch.zeros(1, 1, 6, 6))


@pytest.mark.parametrize(
    ("build", "says"),
    [
        (lambda: LiftingConvolution(cyclic(4), 1, 1, padding="zeros"), "padding is one of circular, zero, valid"),
        (lambda: LiftingConvolution(cyclic(4), 1, 1, relaxed="element"), "relaxed is one of none, elements, positions"),
        (lambda: GroupConvolution(cyclic(4), 1, 1, relaxed="all"), "relaxed is one of none, elements, positions"),
        (lambda: GroupConvolution(cyclic(4), 1, 1, weights_on="inputs"), "weights_on is one of output, input"),
        (lambda: GroupPooling(cyclic(4), "average"), "kind is one of mean, max; got 'average'"),
        (lambda: RadialBasis(4, 5.0, kind="bessels"), "kind is one of bessel, gaussian, bernstein"),
        (lambda: RadialBasis(4, 5.0, cutoff="cos"), "cutoff is one of polynomial, xplor, cosine"),
        (lambda: FiniteGroup.from_matrices([np.eye(2)], elements="word"), "elements is one of geometry, words"),
    ],
)
def test_misspelt_options_are_told_what_there_is(build, says, unchecked):
    with pytest.raises(ValueError, match=says):
        build()


@pytest.mark.parametrize("relaxed", ["none", "elements"])
@pytest.mark.parametrize("separable", [False, True])
def test_derivatives_of_every_sample_at_once(relaxed, separable, generator):
    """vmap over gradients, and derivatives forwards, are those of one sample at a time."""
    group = dihedral(4)
    options = {"generator": generator, "dtype": torch.float64}
    lifting = LiftingConvolution(group, 1, 2, relaxed=relaxed, **options)
    layer = GroupConvolution(group, 2, 1, relaxed=relaxed, separable=separable, **options)
    network = torch.nn.Sequential(lifting, torch.nn.Tanh(), layer)
    weights = dict(network.named_parameters())
    fields = torch.randn(3, 1, 5, 5, generator=generator, dtype=torch.float64)

    def loss(weights, field):
        return (torch.func.functional_call(network, weights, (field[None],)) ** 2).sum()

    together = torch.func.vmap(torch.func.grad(loss), in_dims=(None, 0))(weights, fields)
    for row, field in enumerate(fields):
        alone = torch.autograd.grad(loss(weights, field), [w for w in weights.values() if w.requires_grad])
        wanted = dict(zip([name for name, w in weights.items() if w.requires_grad], alone, strict=True))
        for name, slope in wanted.items():
            torch.testing.assert_close(together[name][row], slope)
    along = {name: torch.randn(w.shape, generator=generator, dtype=torch.float64) for name, w in weights.items()}
    _, forwards = torch.func.jvp(lambda w: loss(w, fields[0]), (weights,), (along,))
    slopes = {name: slope[0] for name, slope in together.items()}
    torch.testing.assert_close(forwards, sum((slopes[name] * along[name]).sum() for name in slopes))


@pytest.mark.parametrize(
    ("group", "grid", "smaller"),
    [
        (reflection(), (7,), (5,)),
        (cyclic(1), (4, 6), (2, 4)),
        (dihedral(4), (5, 6), (3, 4)),
        (point_group("D4h"), (3, 4, 5), (1, 2, 3)),
    ],
)
@pytest.mark.parametrize("separable", [False, True])
def test_shapes(group, grid, smaller, separable):
    for padding, left in (("circular", grid), ("zero", grid), ("valid", smaller)):
        lifted = LiftingConvolution(group, 2, 3, padding=padding)(torch.zeros(2, 2, *grid))
        assert lifted.shape == (2, 3 * group.order, *left)
        inner = GroupConvolution(group, 3, 4, padding=padding, separable=separable)
        functions = inner(torch.zeros(2, 3 * group.order, *grid))
        assert functions.shape == (2, 4 * group.order, *left)
        assert GroupPooling(group)(functions).shape == (2, 4, *left)
        turned = GroupProjection(group, 4, group.matrices)(functions)
        assert turned.shape == (2, len(grid), *left)


def test_a_kernel_of_one_point_mixes_without_neighbours(generator):
    layer = GroupConvolution(cyclic(4), 1, 1, kernel_size=1, bias=False, generator=generator)
    point = torch.zeros(1, 4, 3, 3)
    point[:, :, 1, 1] = 1
    out = layer(point)
    assert torch.count_nonzero(out) == 4
    assert torch.count_nonzero(out[..., 1, 1]) == 4


@both_layers
def test_the_bias_is_one_number_a_channel(kind):
    layer = kind(dihedral(4), 1, 2)
    assert layer.bias.shape == (2,)
    layer.bias.data = torch.tensor([1.0, -2.0])
    out = layer(torch.zeros(1, 1 if kind is LiftingConvolution else 8, 3, 3))
    assert torch.equal(out, torch.tensor([1.0] * 8 + [-2.0] * 8)[None, :, None, None].expand_as(out))
    assert kind(dihedral(4), 1, 2, bias=False).bias is None


@both_layers
def test_the_generator_alone_decides_the_start(kind):
    drawn = [kind(cyclic(4), 2, 2, generator=torch.Generator().manual_seed(seed)).weight for seed in (1, 1, 2)]
    assert torch.equal(drawn[0], drawn[1])
    assert not torch.equal(drawn[0], drawn[2])


@both_layers
def test_relaxed_weights_start_equal_and_learn_only_when_asked(kind):
    plain, relaxed = kind(cyclic(4), 1, 1, banks=3), kind(cyclic(4), 1, 1, banks=3, relaxed="elements")
    assert not plain.relaxed_weight.requires_grad
    assert relaxed.relaxed_weight.requires_grad
    assert torch.equal(relaxed.relaxed_weight, torch.ones(3, 4))


@both_layers
def test_banks_add_up(kind, generator):
    layer = kind(cyclic(4), 1, 1, banks=2, relaxed="elements", generator=generator, dtype=torch.float64)
    x = torch.randn(1, 1 if kind is LiftingConvolution else 4, 5, 5, generator=generator, dtype=torch.float64)
    whole, parts = layer(x), []
    for bank in range(2):
        layer.relaxed_weight.data = torch.eye(2, dtype=torch.float64)[bank][:, None].expand(2, 4).clone()
        parts.append(layer(x))
    torch.testing.assert_close(parts[0] + parts[1], whole, rtol=1e-12, atol=1e-12)


def test_lifting_without_a_group_is_an_ordinary_convolution(generator):
    layer = LiftingConvolution(cyclic(1), 2, 3, generator=generator, padding="zero")
    x = torch.randn(2, 2, 5, 6, generator=generator)
    expected = torch.nn.functional.conv2d(x, layer.weight[0].unflatten(-1, (3, 3)), padding=1)
    torch.testing.assert_close(layer(x), expected)


def test_what_a_group_moves_is_no_part_of_the_state():
    assert set(GroupConvolution(cyclic(4), 1, 1).state_dict()) == {"weight", "relaxed_weight", "bias"}


def test_the_spectrum_of_weights_adds_up_to_their_squares(generator):
    for group in (cyclic(4), dihedral(4), point_group("O")):
        weights = torch.randn(3, group.order, generator=generator, dtype=torch.float64)
        assert sum(spectrum(weights, group).values()) == pytest.approx(float(weights.square().sum()))
        alike = spectrum(torch.ones(1, group.order), group)
        first = group.irreps[0].name
        assert alike.pop(first) == pytest.approx(group.order)
        assert max(alike.values()) < 1e-20


def test_the_irreps_of_a_rectangle():
    """Of a weight that differs by quarter turns alone, one irrep: the one that a half turn keeps."""
    group = cyclic(4)
    found = spectrum(torch.tensor([[1.0, -1.0, 1.0, -1.0]]), group)
    kept = [irrep.name for irrep in group.irreps if np.allclose(np.trace(irrep.matrices[1]), -1)]
    assert {name for name, share in found.items() if share > 1e-12} == set(kept)


def test_the_equal_set_is_within_a_tolerance_of_the_identity():
    group = named_group("C4", 2)
    weights = torch.tensor([[1.0, 1.2, 1.0 + 1e-7, 1.2], [1.0, 1.0, 1.0, 1.0]])
    assert equal_set(weights, group) == (group.elements[0], group.elements[2])
    assert equal_set(weights, group, tolerance=0.5) == group.elements


@pytest.mark.parametrize(
    ("irreps", "theta", "why"),
    [
        ("2x0e", "0e", "one channel"),
        ("0e", "0e+2x1o", "one channel"),
        ("1o", "1o", "even scalar"),
        ("1o", "", "scalar"),
    ],
)
def test_harmonics_refuse(irreps, theta, why):
    with pytest.raises(ValueError, match=why):
        RelaxedHarmonics(irreps, theta)
