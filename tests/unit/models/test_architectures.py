"""By config alone: the architectures of nequip 0.19, SevenNet-0, SevenNet-l3i5 and nequix.

The numbers are those of the programs themselves: weights of an edge in each layer, and parameters.
"""

import pytest

from subduce.models import Potential, PotentialConfig

DATA = {"type_names": ("H", "C", "O"), "avg_num_neighbors": 8.0}
NEQUIP = {"num_features": 32, "radial_mlp_depth": 1, "radial_mlp_width": 128}
SEVENNET = {
    "type_embed_num_features": 128,
    "num_layers": 5,
    "radial_mlp_depth": 2,
    "radial_mlp_width": 64,
    "bessel_trainable": True,
    "self_connection": "linear",
    "first_self_connection": True,
    "readout_widths": (64,),
    "readout_activation": "identity",
    "activation_constants": {"silu": 1.6791767923989418, "tanh": 1.5937334472592695},
    "radial_constant": 1.6791767923989418,
}
ARCHITECTURES = {
    "nequip, both parities": ({**NEQUIP, "num_layers": 4, "l_max": 2}, [96, 480, 864, 96]),
    "nequip, natural parity": ({**NEQUIP, "num_layers": 4, "l_max": 2, "parity": False}, [96, 352, 352, 96]),
    "nequip, l = 1": ({**NEQUIP, "num_layers": 3, "l_max": 1}, [64, 160, 64]),
    "nequip, l = 0": ({**NEQUIP, "num_layers": 3, "l_max": 0}, [32, 32, 32]),
    "nequip, preset M": (
        {**NEQUIP, "num_features": (128, 64, 32), "type_embed_num_features": 32, "parity": False, "l_max": 2},
        None,
    ),
    "SevenNet-0": (
        {
            **SEVENNET,
            "irreps": ("128x0e+64x1e+32x2e",) * 4 + ("128x0e",),
            "edge_irreps": "0e+1e+2e",
            "cutoff_function": "xplor",
            "avg_num_neighbors": 35.98957**2,
        },
        [384, 960, 960, 960, 224],
    ),
    "SevenNet-l3i5": (
        {
            **SEVENNET,
            "irreps": ("128x0e+64x1e+32x2e+32x3e",) * 4 + ("128x0e",),
            "edge_irreps": "0e+1e+2e+3e",
            "avg_num_neighbors": 35.98472**2,
        },
        [512, 1760, 1760, 1760, 256],
    ),
    "nequix": (
        {
            "irreps": ("128x0e+128x1o+128x2e+128x3o",) * 3 + ("128x0e",),
            "edge_irreps": "0e+1o+2e+3o",
            "polynomial_cutoff_p": 2,
            "radial_mlp_depth": 3,
            "radial_constant": 1.0,
            "first_self_connection": True,
            "norm": "joint",
            "norm_place": "gate",
            "norm_eps": 1e-12,
            "type_embed_num_features": 3,
        },
        None,
    ),
}


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_the_config_makes_the_architecture(name):
    settings, weights = ARCHITECTURES[name]
    potential = Potential(PotentialConfig(**{**DATA, **settings}))
    found = [layer.convolution.product.plan.num_weights for layer in potential.layers]
    if weights is not None:
        assert found == weights
    assert len(found) == potential.config.num_layers


def test_sevennet_has_as_many_parameters_as_the_original():
    """842,440 with 89 elements, of which its shifts, scales and neighbour numbers are constants here."""
    settings, _ = ARCHITECTURES["SevenNet-0"]
    potential = Potential(PotentialConfig(**{**DATA, **settings}))
    elements = 86 * 128  # rows of the embedding that three elements lack
    assert sum(p.numel() for p in potential.parameters()) + elements == pytest.approx(842_440, abs=2 * 89 + 5)
