"""Weights of nequip in our layers, so that both compute one function and their numbers can be compared."""

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from ..models import Potential, PotentialConfig
from ..nn import Linear
from ..o3 import Irreps

CONSTANTS = {"silu": 1.6791767923989418, "tanh": 1.5937334472592695}
"""e3nn's, from samples."""


def nequip_config(settings: Mapping[str, Any]) -> PotentialConfig:
    """nequip's very architecture: even irreps first, and its constants."""
    f, parity = settings["num_features"], settings["parity"]
    letters = [("e", "o") if parity else ("eo"[l % 2],) for l in range(settings["l_max"] + 1)]
    hidden = "+".join(f"{f}x{l}{p}" for l, found in enumerate(letters) for p in found)
    layers = (*[hidden] * (settings["num_layers"] - 1), f"{f}x0e")
    return PotentialConfig(**settings, irreps=layers, activation_constants=CONSTANTS, radial_constant=math.sqrt(2))


@torch.no_grad()
def copy_nequip(potential: Potential, theirs: Mapping[str, Tensor]) -> None:
    """Fill a potential of `nequip_config` with a state of nequip 0.19."""
    embedding = theirs["type_embed.embed_module.weight"]
    potential.embedding.copy_(embedding)
    layers: Any = potential.layers
    for i, layer in enumerate(layers):
        name, convolution = f"layer{i}_convnet.conv.", layer.convolution
        _fill(convolution.before, theirs[f"{name}linear_1.weight"], convolution.irreps_in)
        _fill(convolution.after, theirs[f"{name}linear_2.weight"], Irreps(convolution.after.irreps_in))
        for j, weight in enumerate(convolution.radial.weights):
            weight.copy_(theirs[f"{name}edge_mlp.mlp.{2 * j}.weight"])
        if layer.self_connection is not None:
            _fill_species(layer.self_connection, theirs[f"{name}sc.weight"], embedding)
    readout: Any = potential.readout
    readout.weights[0].copy_(theirs["per_atom_energy_readout.mlp_module.mlp.0.weight"])


def _fill(layer: Linear, flat: Tensor, order: Irreps) -> None:
    """e3nn's flat weights, blocks in the order of the irreps that go in."""
    blocks = [str(ir) for _, ir in order if str(ir) in layer.weights]
    sizes = [layer.weights[name].numel() for name in blocks]
    for name, block in zip(blocks, flat.split(sizes), strict=True):
        layer.weights[name].copy_(block.view_as(layer.weights[name]))


def _fill_species(layer: Linear, flat: Tensor, embedding: Tensor) -> None:
    """Weights for products with an embedding of the element, contracted to one matrix for each element."""
    blocks = [str(ir) for _, ir in layer.irreps_in if str(ir) in layer.weights]
    width = embedding.shape[1]
    shapes = [layer.weights[name].shape[1:] for name in blocks]
    parts = flat.split([width * shape.numel() for shape in shapes])
    for name, shape, part in zip(blocks, shapes, parts, strict=True):
        weights = part.view(shape[0], width, shape[1])
        layer.weights[name].copy_(torch.einsum("sv,uvw->suw", embedding, weights) / math.sqrt(width))
