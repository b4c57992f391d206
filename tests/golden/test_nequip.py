"""nequip's weights in our layers give nequip's energies, forces and stress: the config makes its very architecture."""

import math
from pathlib import Path

import ase
import pytest
import torch
from safetensors.torch import load_file

from subduce.data import graph_from_structure, structure_from_atoms
from subduce.models import Potential, PotentialConfig, forces_and_stress
from subduce.nn import Linear
from subduce.o3 import Irreps

NEQUIP = load_file(Path(__file__).with_name("nequip.safetensors"))
HIDDEN = "4x0e+4x0o+4x1e+4x1o+4x2e+4x2o"  # nequip's order: even first
CONFIG = PotentialConfig(
    type_names=("H", "C", "O"),
    r_max=4.0,
    num_layers=3,
    num_features=4,
    radial_mlp_width=8,
    avg_num_neighbors=7.5,
    irreps=(HIDDEN, HIDDEN, "4x0e"),
    activation_constants={"silu": 1.6791767923989418, "tanh": 1.5937334472592695},
    radial_constant=math.sqrt(2),
    per_type_energy_shifts={"H": -1.0, "C": -2.0, "O": -3.0},
    per_type_energy_scales=dict.fromkeys(("H", "C", "O"), 1.5),
    model_dtype="float64",
)


def fill(layer: Linear, flat: torch.Tensor, order: Irreps) -> None:
    """Copy e3nn's flat weights, blocks in the order of the irreps that go in, into a linear layer."""
    blocks = [str(ir) for _, ir in order if str(ir) in layer.weights]
    sizes = [layer.weights[name].numel() for name in blocks]
    for name, block in zip(blocks, flat.split(sizes), strict=True):
        layer.weights[name].copy_(block.view_as(layer.weights[name]))


@pytest.fixture(scope="module")
def potential() -> Potential:
    potential = Potential(CONFIG)
    embedding = NEQUIP["type_embed.embed_module.weight"]
    with torch.no_grad():
        potential.embedding.copy_(embedding)
        for i, layer in enumerate(potential.layers):
            theirs = f"layer{i}_convnet.conv."
            convolution = layer.convolution
            fill(convolution.before, NEQUIP[f"{theirs}linear_1.weight"], convolution.irreps_in)
            fill(convolution.after, NEQUIP[f"{theirs}linear_2.weight"], Irreps(convolution.after.irreps_in))
            for j, weight in enumerate(convolution.radial.weights):
                weight.copy_(NEQUIP[f"{theirs}edge_mlp.mlp.{2 * j}.weight"])
            if layer.self_connection is not None:
                fill_species(layer.self_connection, NEQUIP[f"{theirs}sc.weight"], embedding)
        potential.readout.weights[0].copy_(NEQUIP["per_atom_energy_readout.mlp_module.mlp.0.weight"])
    return potential


def fill_species(layer: Linear, flat: torch.Tensor, embedding: torch.Tensor) -> None:
    """Contract weights for products with an embedding of the element to one matrix for each element."""
    blocks = [str(ir) for _, ir in layer.irreps_in if str(ir) in layer.weights]
    width = embedding.shape[1]
    shapes = [layer.weights[name].shape[1:] for name in blocks]
    parts = flat.split([width * shape.numel() for shape in shapes])
    for name, shape, part in zip(blocks, shapes, parts, strict=True):
        weights = part.view(shape[0], width, shape[1])
        layer.weights[name].copy_(torch.einsum("sv,uvw->suw", embedding, weights) / math.sqrt(width))


def test_energies_forces_and_stress_are_those_of_nequip(potential):
    atoms = ase.Atoms(
        *(NEQUIP[name].numpy() for name in ("atomic_numbers", "positions")), cell=NEQUIP["cell"].numpy(), pbc=True
    )
    found = forces_and_stress(potential, graph_from_structure(structure_from_atoms(atoms), 4.0).graph)
    torch.testing.assert_close(found.energies, NEQUIP["energies"], rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(found.forces, NEQUIP["forces"], rtol=1e-11, atol=1e-12)
    torch.testing.assert_close(found.stress[0], NEQUIP["stress"], rtol=1e-11, atol=1e-12)
