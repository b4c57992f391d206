"""Every layer is equivariant with inversion, and starts with unit variance for every irrep."""

import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st

from subduce.nn import (
    ChannelwiseTensorProduct,
    Convolution,
    EquivariantNorm,
    FullyConnectedTensorProduct,
    Gate,
    Linear,
    reachable,
)
from subduce.o3 import Irrep, Irreps, random_rotations, spherical_harmonics
from subduce.testing import assert_equivariant

irreps = st.lists(
    st.tuples(st.integers(1, 3), st.builds(Irrep, st.integers(0, 3), st.sampled_from([-1, 1]))), min_size=1, max_size=4
).map(Irreps)
seeds = st.integers(0, 2**31 - 1)


@given(irreps, irreps, seeds)
def test_linear(a, b, seed):
    assume(any(ir in a for _, ir in b))
    generator = torch.Generator().manual_seed(seed)
    layer = Linear(a, b, bias=True, generator=generator, dtype=torch.float64)
    assert_equivariant(layer, layer.irreps_in, layer.irreps_out, generator=generator)


@given(irreps, seeds)
def test_gate(wanted, seed):
    gate = Gate(wanted)
    assert_equivariant(gate, gate.irreps_in, gate.irreps_out, generator=torch.Generator().manual_seed(seed))


@given(irreps, st.sampled_from(["rms", "layer", "joint"]), seeds)
def test_norm(wanted, kind, seed):
    generator = torch.Generator().manual_seed(seed)
    norm = EquivariantNorm(wanted, kind=kind, dtype=torch.float64)
    with torch.no_grad():
        for weight in norm.parameters():
            weight.copy_(torch.randn(weight.shape, generator=generator, dtype=torch.float64))
    assert_equivariant(norm, wanted, wanted, generator=generator)


@given(irreps, irreps, irreps, seeds)
def test_tensor_products(a, b, c, seed):
    generator = torch.Generator().manual_seed(seed)
    for layer, second in (
        (FullyConnectedTensorProduct(a, b, c, generator=generator, dtype=torch.float64), b),
        (
            ChannelwiseTensorProduct(a, Irreps([(1, ir) for _, ir in b]), c, generator=generator, dtype=torch.float64),
            None,
        ),
    ):
        assume(reachable(a, b, c))
        y_irreps = b if second is not None else layer.irreps_y
        together = Irreps([*a, *y_irreps])

        def product(both, layer=layer, split=a.dim):
            return layer(both[:, :split], both[:, split:])

        assert_equivariant(product, together, layer.irreps_out, generator=generator)


def _edges(num_nodes, num_edges, generator):
    receiver = torch.randint(num_nodes, (num_edges,), generator=generator).sort().values
    sender = torch.randint(num_nodes, (num_edges,), generator=generator)
    vectors = torch.randn(num_edges, 3, generator=generator, dtype=torch.float64)
    return sender, receiver, vectors


@given(irreps, irreps, seeds)
def test_convolution(a, b, seed):
    generator = torch.Generator().manual_seed(seed)
    edge = Irreps.spherical_harmonics(2)
    layer = Convolution(a, edge, b, num_radial=4, generator=generator, dtype=torch.float64, avg_num_neighbors=3.0)
    sender, receiver, vectors = _edges(5, 12, generator)
    radial = torch.randn(12, 4, generator=generator, dtype=torch.float64)
    x = torch.randn(5, a.dim, generator=generator, dtype=torch.float64)
    (rotation,) = random_rotations(1, generator=generator)
    for g in (rotation, -rotation):
        straight = layer(x, spherical_harmonics(edge, vectors), radial, sender, receiver)
        turned = layer(x @ a.D(g).mT, spherical_harmonics(edge, vectors @ g.mT), radial, sender, receiver)
        torch.testing.assert_close(turned, straight @ layer.irreps_out.D(g).mT, rtol=1e-10, atol=1e-10)


HIDDEN = Irreps("64x0o + 64x0e + 64x1o + 64x1e + 64x2o + 64x2e")


def _variance(features: torch.Tensor, irreps: Irreps) -> dict[str, float]:
    return {
        str(ir): features[:, place].square().mean().item()
        for (_, ir), place in zip(irreps, irreps.slices(), strict=True)
    }


@pytest.mark.parametrize("layer", ["linear", "gate", "norm", "channelwise", "full", "convolution"])
def test_unit_variance_at_initialisation_for_every_irrep(layer):
    """Inputs of unit variance leave every layer with unit variance, irrep by irrep (within sampling)."""
    generator = torch.Generator().manual_seed(3)

    def normal(*shape):
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    settings = {"generator": generator, "dtype": torch.float64}
    if layer == "linear":
        module = Linear(HIDDEN, HIDDEN, **settings)
        out = module(normal(300, HIDDEN.dim))
    elif layer == "gate":
        module = Gate(HIDDEN)
        out = module(normal(3000, module.irreps_in.dim))
    elif layer == "norm":
        module = EquivariantNorm(HIDDEN, dtype=torch.float64)
        out = module(5 * normal(300, HIDDEN.dim))
    elif layer == "channelwise":
        module = ChannelwiseTensorProduct(HIDDEN, "0e + 1o + 2e", HIDDEN, shared_weights=False)
        out = module(normal(300, HIDDEN.dim), normal(300, 9), normal(300, module.num_weights))
    elif layer == "full":
        module = FullyConnectedTensorProduct("8x0e + 8x1o", "8x0e + 8x1o", "8x0e + 8x1o + 8x1e + 8x2e", **settings)
        out = module(normal(2000, 32), normal(2000, 32))
    else:
        edges, neighbours = 6000, 20
        module = Convolution(
            HIDDEN, "0e + 1o + 2e", HIDDEN, num_radial=16, avg_num_neighbors=float(neighbours), **settings
        )
        receiver = torch.arange(edges) // neighbours
        sender = torch.randint(300, (edges,), generator=generator)
        harmonics = spherical_harmonics(Irreps("0e + 1o + 2e"), normal(edges, 3))
        out = module(normal(300, HIDDEN.dim), harmonics, normal(edges, 16), sender, receiver)
    with torch.no_grad():
        for irrep, variance in _variance(out, module.irreps_out).items():
            assert 0.75 < variance < 1.3, (layer, irrep, variance)
