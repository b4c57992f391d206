"""Group convolution: equivariance, relaxed weights that move along, and what training on symmetric pairs keeps."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from subduce.groups import grid_action, named_group, o3_matrices, point_group, reflection, stabiliser
from subduce.models import RelaxedCNN, RelaxedCNNConfig
from subduce.nn import (
    GroupConvolution,
    GroupPooling,
    GroupProjection,
    LiftingConvolution,
    RelaxedHarmonics,
    equal_set,
    spectrum,
)
from subduce.o3 import Irreps, random_rotations

GRIDS = {
    **{name: (named_group(name, 2), 7) for name in ("C4", "D4", "D2", "Cs")},
    **{name: (named_group(name, 3), 5) for name in ("O", "Oh", "D4h", "C4v")},
    "m_x": (reflection(), 9),
}
every_group = pytest.mark.parametrize("name", GRIDS)
paddings = pytest.mark.parametrize("padding", ["circular", "zero", "valid"])
seeds = st.integers(0, 2**31 - 1)
small_groups = st.sampled_from(["C4", "D4", "D2", "Cs", "O", "C4v", "m_x"])
KINDS = ["polar", "axial"]
COMMON = {"dtype": torch.float64}


def action_on_channels(group, kind):
    """Vectors, and vectors that a mirror turns the other way too; with a scalar, which stays."""
    size = group.matrices.shape[-1]
    found = np.zeros((group.order, size + 1, size + 1))
    signs = np.linalg.det(group.matrices) if kind == "axial" else np.ones(group.order)
    found[:, :size, :size], found[:, size, size] = group.matrices * signs[:, None, None], 1
    return found


def moved(group, element, field, channels=None):
    """(g·f)(p) = D(g) f(g⁻¹p) about the centre of the grid."""
    target = torch.from_numpy(grid_action(group.matrices, field.shape[2:])[element])
    out = torch.empty_like(field)
    out.flatten(2)[:, :, target] = field.flatten(2)
    return out if channels is None else torch.einsum("ab,nb...->na...", torch.tensor(channels[element]), out)


def sources(group, element):
    """[g]: the place of u⁻¹g."""
    return group.table[group.inverse[element]].tolist()


def on_group(group, element, weights):
    """(u·w)(g) = w(u⁻¹g) along the last axis."""
    return weights[..., sources(group, element)]


def moved_functions(group, element, functions):
    """(u·f)(p, g) = f(u⁻¹p, u⁻¹g)."""
    apart = moved(group, element, functions).unflatten(1, (-1, group.order))
    return apart[:, :, sources(group, element)].flatten(1, 2)


def drawn(group, n, channels, generator, batch=2):
    return torch.randn(batch, channels, *(n,) * group.matrices.shape[-1], generator=generator, dtype=torch.float64)


def close(found, expected, tolerance=1e-12):
    found, expected = found.detach(), expected.detach()
    assert expected.abs().max() > 1e-3
    assert not torch.allclose(expected, expected.mean())  # a constant is equivariant to anything
    torch.testing.assert_close(found, expected, rtol=0, atol=tolerance * max(1.0, float(expected.abs().max())))


@every_group
@paddings
def test_networks_start_equivariant(name, padding, generator):
    group, n = GRIDS[name]
    come, go = action_on_channels(group, "polar"), action_on_channels(group, "axial")
    common = COMMON | {"padding": padding, "relaxed": "elements", "banks": 2, "generator": generator}
    lift = LiftingConvolution(group, come.shape[1], 2, action=come, **common)
    inner = GroupConvolution(group, 2, 2, separable=padding == "zero", **common)
    project = GroupProjection(group, 2, go, generator=generator, dtype=torch.float64)
    with torch.no_grad():
        lift.bias.normal_(generator=generator)
        inner.bias.normal_(generator=generator)

    def network(field):
        return project(torch.tanh(inner(torch.tanh(lift(field)))))

    field = drawn(group, n, come.shape[1], generator, batch=1)
    expected = network(field)
    for u in group.generators:
        close(network(moved(group, u, field, come)), moved(group, u, expected, go))


@pytest.mark.parametrize("kind", ["mean", "max"])
@pytest.mark.parametrize("name", ["D4", "C4v", "m_x"])
def test_pooling_gives_a_field_that_no_element_turns(name, kind, generator):
    group, n = GRIDS[name]
    lift, pool = LiftingConvolution(group, 1, 3, generator=generator, **COMMON), GroupPooling(group, kind)
    field = drawn(group, n, 1, generator)
    for u in range(group.order):
        close(pool(lift(moved(group, u, field))), moved(group, u, pool(lift(field))))


@given(small_groups, st.sampled_from(KINDS), st.sampled_from(["circular", "zero", "valid"]), seeds)
def test_lifted_fields_turn_with_their_relaxed_weights(name, kind, padding, seed):
    group, n = GRIDS[name]
    generator, action = torch.Generator().manual_seed(seed), action_on_channels(group, kind)
    layer = LiftingConvolution(
        group, action.shape[1], 2, action=action, banks=2, relaxed="elements", padding=padding, generator=generator,
        **COMMON,
    )  # fmt: skip
    weights = torch.randn(2, group.order, generator=generator, dtype=torch.float64)
    field, u = drawn(group, n, action.shape[1], generator, batch=1), seed % group.order
    layer.relaxed_weight.data = weights
    expected = moved_functions(group, u, layer(field))
    layer.relaxed_weight.data = on_group(group, u, weights)
    close(layer(moved(group, u, field, action)), expected)


@given(small_groups, st.sampled_from(["output", "input"]), st.booleans(), seeds)
def test_functions_turn_with_their_relaxed_weights(name, weights_on, separable, seed):
    group, n = GRIDS[name]
    generator = torch.Generator().manual_seed(seed)
    layer = GroupConvolution(
        group, 2, 1, banks=2, relaxed="elements", weights_on=weights_on, separable=separable, generator=generator,
        **COMMON,
    )  # fmt: skip
    weights = torch.randn(2, group.order, generator=generator, dtype=torch.float64)
    functions, u = drawn(group, n, 2 * group.order, generator, batch=1), seed % group.order
    layer.relaxed_weight.data = weights
    expected = moved_functions(group, u, layer(functions))
    layer.relaxed_weight.data = on_group(group, u, weights)
    close(layer(moved_functions(group, u, functions)), expected)


@pytest.mark.parametrize("name", ["D4", "O"])
def test_relaxed_weights_break_what_they_differ_on(name, generator):
    group, n = GRIDS[name]
    layer = LiftingConvolution(group, 1, 2, relaxed="elements", generator=generator, **COMMON)
    field = drawn(group, n, 1, generator)
    layer.relaxed_weight.data[:, 1] = 1.5
    errors = [
        float((layer(moved(group, u, field)) - moved_functions(group, u, layer(field))).detach().abs().max())
        for u in range(1, group.order)
    ]
    assert min(errors) > 1e-3


@given(small_groups, st.booleans(), st.sampled_from(["circular", "valid"]), seeds)
def test_weights_on_positions_move_with_the_field(name, lifting, padding, seed):
    group, n = GRIDS[name]
    generator = torch.Generator().manual_seed(seed)
    shape = (n if padding == "circular" else n - 2,) * group.matrices.shape[-1]
    kind = LiftingConvolution if lifting else GroupConvolution
    layer = kind(group, 1, 2, banks=2, relaxed="positions", shape=shape, padding=padding, generator=generator, **COMMON)
    u = seed % group.order
    weights = torch.randn(2, *shape, generator=generator, dtype=torch.float64)
    features = drawn(group, n, 1 if lifting else group.order, generator, batch=1)
    turn = moved if lifting else moved_functions
    layer.relaxed_weight.data = weights
    expected = moved_functions(group, u, layer(features))
    layer.relaxed_weight.data = moved(group, u, weights[None])[0]
    close(layer(turn(group, u, features)), expected)


def image(*ones):
    found = torch.zeros(1, 1, 9, 9, dtype=torch.float64)
    for row, column in ones:
        found[0, 0, row, column] = 1
    return found


SQUARE = image((2, 2), (2, 6), (6, 2), (6, 6))
TARGETS = {
    "square": SQUARE,
    "rectangle": image((1, 3), (1, 5), (7, 3), (7, 5)),
    "asymmetric": image((1, 3), (1, 7), (7, 3), (7, 5)),
}


def spread(weights):
    return float(weights.max() - weights.min())


def trained(network, fields, targets, optimiser):
    for _ in range(15):
        optimiser.zero_grad()
        torch.nn.functional.mse_loss(network(fields), targets).backward()
        optimiser.step()
    return network.relaxed_weights()


OPTIMISERS = {
    "gradient descent": lambda weights: torch.optim.SGD(weights, lr=0.1),
    "Adam": lambda weights: torch.optim.Adam(weights, lr=1e-2),
}


@pytest.mark.parametrize("optimiser", OPTIMISERS)
@pytest.mark.parametrize(("target", "kept"), [("square", {"C4": 4, "D4": 8}), ("rectangle", {"C4": 2, "D4": 4}),
                                              ("asymmetric", {"C4": 1, "D4": 1})])  # fmt: skip
@pytest.mark.parametrize("name", ["C4", "D4"])
def test_training_keeps_what_the_pair_keeps(name, target, kept, optimiser):
    config = {"group": name, "num_features": 3, "padding": "zero", "activation": "tanh", "model_dtype": "float64"}
    network = RelaxedCNN(RelaxedCNNConfig(**config, weights_on="input" if name == "C4" else "output"))
    group = network.group
    keeps = [
        torch.equal(moved(group, u, SQUARE), SQUARE) and torch.equal(moved(group, u, TARGETS[target]), TARGETS[target])
        for u in range(group.order)
    ]
    s = stabiliser(group, keeps)
    assert s.order == kept[name]
    start = network.relaxed_weights()["layer 1"].clone()
    found = trained(network, SQUARE, TARGETS[target], OPTIMISERS[optimiser](network.parameters()))
    for weights in found.values():
        for u in np.flatnonzero(keeps):
            torch.testing.assert_close(on_group(group, u, weights), weights, rtol=0, atol=1e-12)
    assert (found["layer 1"] - start).abs().max() > 1e-4  # it did train
    assert equal_set(found["layer 1"], group) == s.elements
    silent = {irrep.name for irrep in group.irreps} - set(s.coset_irreps)
    shares = spectrum(found["layer 1"], group)
    assert all(shares[irrep] < 1e-20 for irrep in silent)


def test_training_keeps_what_a_set_of_pairs_keeps_as_a_whole():
    network = RelaxedCNN(
        RelaxedCNNConfig(group="C4", num_features=3, padding="zero", activation="tanh", model_dtype="float64")
    )
    turns = range(4)
    fields = torch.cat([moved(network.group, u, TARGETS["asymmetric"]) for u in turns])
    targets = torch.cat([moved(network.group, u, TARGETS["rectangle"]) for u in turns])
    whole = trained(network, fields, targets, torch.optim.Adam(network.parameters(), lr=1e-2))
    assert max(map(spread, whole.values())) < 1e-12
    part = trained(network, fields[:2], targets[:2], torch.optim.Adam(network.parameters(), lr=1e-2))
    assert max(map(spread, part.values())) > 1e-4


def square_at(centre, size, reach=2):
    found = torch.zeros(1, 1, size, size, dtype=torch.float64)
    for row in (-reach, reach):
        for column in (-reach, reach):
            found[0, 0, centre + row, centre + column] = 1
    return found


@pytest.mark.parametrize(
    ("padding", "size", "centre", "exact"),
    [
        ("zero", 9, 4, True),  # an odd grid, the square in its middle
        ("zero", 10, 4, False),  # an even one, whose middle is between points
        ("zero", 11, 4, False),  # an odd one, the square beside its middle
        ("zero", 19, 8, True),  # beside it too, but farther from the edges than twice the network's reach of 3
        ("circular", 10, 4, True),  # no edges
    ],
)
def test_edges_break_what_is_symmetric_about_another_centre(padding, size, centre, exact, recwarn):
    """The square and its rotations do not break D4; seen from a grid with another centre, zero padding does."""
    network = RelaxedCNN(
        RelaxedCNNConfig(group="D4", num_features=3, padding=padding, activation="tanh", model_dtype="float64")
    )
    field, target = square_at(centre, size), square_at(centre, size, reach=1)
    told = network.warn_of_edges(field, target)
    assert bool(recwarn) == bool(told) == (not exact)
    if told:
        assert {"C4", "C2", "C4^3"} <= set(told)
        assert "take padding 'circular'" in str(recwarn.pop().message)
    for layer in network.layers:
        torch.nn.init.constant_(layer.bias, 0.1)  # so that the empty grid ends at its edges too
    found = trained(network, field, target, torch.optim.Adam(network.parameters(), lr=1e-2))
    apart = max(map(spread, found.values()))
    assert apart < 1e-12 if exact else apart > 1e-5


def test_a_pair_without_symmetry_is_not_warned_of(generator, recwarn):
    network = RelaxedCNN(RelaxedCNNConfig(group="D4", input="1o", output="0e", num_features=1, padding="zero"))
    field = torch.randn(2, 2, 6, 6, generator=generator)
    assert network.warn_of_edges(field, torch.randn(2, 1, 6, 6, generator=generator)) == ()
    assert network.warn_of_edges(torch.zeros(2, 2, 6, 6), torch.ones(2, 1, 6, 6)) == ()
    assert not recwarn


def test_vectors_are_turned_when_they_are_looked_at(recwarn):
    """A source is symmetric as a field of vectors, a uniform flow across it is not."""
    network = RelaxedCNN(RelaxedCNNConfig(group="C4", input="1o", output="0e", num_features=1, padding="zero"))
    field, target = torch.zeros(1, 2, 8, 8), torch.zeros(1, 1, 8, 8)
    for step in (-1, 1):
        field[0, 0, 3 + step, 3] = field[0, 1, 3, 3 + step] = step
    assert network.warn_of_edges(field, target) == ("C4", "C2", "C4^3")
    field[0, 0] = field[0, 0].abs()
    assert network.warn_of_edges(field, target) == ()


@pytest.mark.parametrize("relaxed", ["elements", "positions"])
@pytest.mark.parametrize("separable", [False, True])
def test_derivatives_of_derivatives(relaxed, separable, generator):
    group = named_group("D2", 2)
    common = COMMON | {"relaxed": relaxed, "shape": (3, 3), "banks": 2, "generator": generator}
    lift = LiftingConvolution(group, 2, 1, action=action_on_channels(group, "polar")[:, :2, :2], **common)
    inner = GroupConvolution(group, 1, 1, separable=separable, **common)
    names = [f"lift.{name}" for name, _ in lift.named_parameters()]
    names += [f"inner.{name}" for name, weight in inner.named_parameters() if weight.requires_grad]
    network = torch.nn.ModuleDict({"lift": lift, "inner": inner})
    values = [network.get_parameter(name).detach().clone().requires_grad_() for name in names]
    field = drawn(group, 3, 2, generator, batch=1).requires_grad_()

    def called(field, *values):
        given = dict(zip(names, values, strict=True))
        parts = [{name.partition(".")[2]: value for name, value in given.items() if name.startswith(part)}
                 for part in ("lift.", "inner.")]  # fmt: skip
        lifted = torch.tanh(torch.func.functional_call(lift, parts[0], (field,)))
        return torch.func.functional_call(inner, parts[1], (lifted,))

    assert torch.autograd.gradcheck(called, (field, *values), fast_mode=True)
    assert torch.autograd.gradgradcheck(called, (field, *values), fast_mode=True)


@given(seeds)
def test_harmonics_turn_with_their_weights(seed):
    generator = torch.Generator().manual_seed(seed)
    irreps, theta = Irreps("0e+0o+1o+1e+2e"), Irreps("0e+0o+1o+1e+2e+2o+3o")
    layer = RelaxedHarmonics(irreps, theta, dtype=torch.float64)
    with torch.no_grad():
        layer.theta.normal_(generator=generator)
        layer.weight.normal_(generator=generator)
    x = torch.randn(5, irreps.dim, generator=generator, dtype=torch.float64)
    start, plain = layer.theta.detach().clone(), layer(x)
    for sign in (1, -1):
        matrix = sign * random_rotations(1, generator=generator)[0].double()
        turn = irreps.D(matrix).double()
        layer.theta.data = theta.D(matrix).double() @ start
        close(layer(x @ turn.mT), plain @ turn.mT)


def test_harmonics_start_as_the_identity(generator):
    irreps = Irreps("0e+1o+2e+3o")
    x = torch.randn(4, irreps.dim, generator=generator, dtype=torch.float64)
    torch.testing.assert_close(RelaxedHarmonics(irreps, "0e+1o+2e", dtype=torch.float64)(x), x, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("name", ["C4v", "O"])
def test_networks_of_tensors_start_equivariant(name, generator):
    """Irreps beyond vectors, through the configuration: from a pseudovector and a scalar to a degree 2."""
    network = RelaxedCNN(
        RelaxedCNNConfig(group=name, dimension=3, input="0e+1e", output="2e", num_layers=2, num_features=2,
                         model_dtype="float64", activation="silu")
    )  # fmt: skip
    group = point_group(name)
    come, go = o3_matrices(group, "0e+1e"), o3_matrices(group, "2e")
    field = drawn(group, 5, 4, generator, batch=1)
    for u in group.generators:
        close(network(moved(group, u, field, come)), moved(group, u, network(field), go))
