"""Layers: what goes in, what comes out, and errors at the door."""

import pytest
import torch

from subduce.nn import Activation, ChannelwiseTensorProduct, EquivariantNorm, Gate, Linear
from subduce.o3 import Irreps


def test_linear_refuses_features_of_other_irreps():
    with pytest.raises(ValueError, match=r"built for features of 2x0e\+1x1o .*got\s+shape \(3, 4\)"):
        Linear("2x0e + 1x1o", "0e")(torch.zeros(3, 4))


def test_linear_wants_species_exactly_when_built_for_them():
    with pytest.raises(ValueError, match="species"):
        Linear("2x0e", "0e", num_species=2)(torch.zeros(3, 2))
    with pytest.raises(ValueError, match="species"):
        Linear("2x0e", "0e")(torch.zeros(3, 2), torch.zeros(3, dtype=torch.long))


def test_linear_gives_zero_where_nothing_can_reach():
    x = torch.randn(4, 2, generator=torch.Generator().manual_seed(0))
    out = Linear("2x0e", "3x0e + 2x1o")(x)
    assert out.shape == (4, 9)
    assert torch.all(out[:, 3:] == 0)
    assert torch.any(out[:, :3] != 0)


@pytest.mark.parametrize("num_species", [1, 3, 8, 9, 20])
def test_each_species_has_a_linear_map_of_its_own(num_species):
    generator = torch.Generator().manual_seed(0)
    layer = Linear("3x0e + 2x1o", "2x0e + 4x1o", num_species=num_species, generator=generator, dtype=torch.float64)
    x = torch.randn(30, layer.irreps_in.dim, generator=generator, dtype=torch.float64)
    species = torch.randint(num_species, (30,), generator=generator)
    found = layer(x, species)
    for one in species.unique():
        alone = Linear("3x0e + 2x1o", "2x0e + 4x1o", dtype=torch.float64)
        alone.load_state_dict({name: value[one] for name, value in layer.state_dict().items()})
        torch.testing.assert_close(found[species == one], alone(x[species == one]))


def test_linear_agrees_with_e3nn():
    o3 = pytest.importorskip("e3nn.o3")
    irreps_in, irreps_out = Irreps("3x0e + 2x1o + 1x2e"), Irreps("2x0e + 3x1o + 2x2e")
    theirs = o3.Linear(str(irreps_in), str(irreps_out)).double()
    ours = Linear(irreps_in, irreps_out, dtype=torch.float64)
    blocks = theirs.weight.split([w.numel() for w in ours.weights.values()])
    with torch.no_grad():
        for weight, block in zip(ours.weights.values(), blocks, strict=True):
            weight.copy_(block.view_as(weight))
    x = torch.randn(5, irreps_in.dim, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(irreps_out.to_e3nn(ours(irreps_in.from_e3nn(x))), theirs(x))


def test_activations_have_unit_second_moment():
    z = torch.randn(400_000, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    for name in ("silu", "tanh", "gelu", "softplus", "sigmoid"):
        assert abs(Activation(name)(z).square().mean() - 1) < 0.01, name


def test_an_activation_that_nobody_knows_is_named():
    with pytest.raises(ValueError, match="'swoosh'; known: silu"):
        Activation("swoosh")


def test_a_gate_refuses_a_function_that_breaks_the_parity_of_odd_scalars():
    with pytest.raises(ValueError, match="odd"):
        Gate("2x0o + 2x0e", odd="silu")


def test_a_gate_asks_for_one_scalar_for_each_channel():
    gate = Gate("4x0e + 2x0o + 3x1o + 2x2e")
    assert str(gate.irreps_in) == "4x0e+2x0o+5x0e+3x1o+2x2e"
    assert str(gate.irreps_out) == "4x0e+2x0o+3x1o+2x2e"


@pytest.mark.parametrize("kind", ["rms", "layer"])
def test_a_norm_makes_every_irrep_of_unit_size_whatever_its_size_was(kind):
    norm = EquivariantNorm("8x0e + 4x0o + 6x1o + 3x2e", kind=kind, dtype=torch.float64)
    x = 1e3 * torch.randn(50, norm.irreps_in.dim, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    out = norm(x)
    for place in norm.irreps_in.slices():
        torch.testing.assert_close(out[:, place].square().mean(-1), torch.ones(50, dtype=torch.float64))
    zero = torch.zeros(1, norm.irreps_in.dim, dtype=torch.float64, requires_grad=True)
    (slope,) = torch.autograd.grad(norm(zero).sum(), zero)
    assert torch.isfinite(slope).all()


def test_a_joint_norm_keeps_the_ratios_between_irreps():
    norm = EquivariantNorm("2x0e + 2x0e + 3x1o", kind="joint", eps=1e-12, dtype=torch.float64)
    x = torch.tensor([[1.0, 1, 3, 3, *[2.0] * 9]], dtype=torch.float64)
    size = ((1 + 1 + 9 + 9) / 4 + 4) / 2
    torch.testing.assert_close(norm(x), x / size**0.5)


def test_a_norm_is_of_a_known_kind():
    with pytest.raises(ValueError, match="rms, layer, joint; got 'batch'"):
        EquivariantNorm("0e", kind="batch")


def test_a_tensor_product_wants_weights_exactly_when_it_has_none():
    product = ChannelwiseTensorProduct("2x1o", "1x1o", "0e + 1e", shared_weights=False)
    x, y = torch.randn(3, 6), torch.randn(3, 3)
    assert product(x, y, torch.randn(3, product.num_weights)).shape == (3, product.irreps_out.dim)
    with pytest.raises(ValueError, match="weights"):
        product(x, y)
