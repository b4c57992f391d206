"""Laws of properties, for random weights: they turn as they should, what symmetry forbids is zero, sizes add up."""

from functools import cache

import pytest
import torch
from ase import Atoms
from ase.build import molecule
from hypothesis import given, settings
from hypothesis import strategies as st

from subduce.data import Batch, Graph, graph_from_structure, structure_from_atoms, unit_factor
from subduce.models import PropertyConfig, PropertyModel
from subduce.o3 import Irreps, random_rotations

TARGETS = {
    "heat": {"irreps": "0e"},
    "gap": {"irreps": "0e", "pool": "mean"},
    "homo": {"irreps": "0e", "pool": "attention"},
    "spectrum": {"irreps": "5x0e", "pool": "mean"},
    "mu": {"irreps": "1o", "norm": True, "charges": True, "unit": "D"},
    "dipole": {"irreps": "1o", "charges": True, "unit": "D"},
    "vector": {"irreps": "1o"},
    "alpha": {"irreps": "0e+2e", "unit": "Å^3"},
    "chirality": {"irreps": "0o"},
    "hyper": {"symmetry": "ijk=jik=ikj"},
    "elasticity": {"symmetry": "ijkl=jikl=klij", "pool": "mean"},
    "charges": {"irreps": "0e", "per": "atom"},
    "moments": {"irreps": "1e", "per": "atom"},
    "shieldings": {"symmetry": "ij=ji", "per": "atom"},
    "signal": {"irreps": "0e+1o+2e+3o", "per": "atom"},
    "mixed": {"irreps": "2x1o+2x0e", "per": "atom"},
}
ELEMENTS = ("H", "C", "N", "O", "F", "S")
RANKS = {"dipole": 1, "vector": 1, "alpha": 2, "hyper": 3, "elasticity": 4, "moments": 1, "shieldings": 2}
SHIFTED = {"heat", "gap", "homo", "charges"}


@cache
def model(seed: int = 0, widths: tuple[int, ...] = ()) -> PropertyModel:
    """A model of every kind of target with random weights and shifts."""
    shifts = {name: (0.1 * number - 0.2,) for number, name in enumerate(ELEMENTS)}
    targets = {
        name: {**one, "scale": 2.0} | ({"shifts": shifts} if name in SHIFTED else {}) for name, one in TARGETS.items()
    }
    trunk = {
        "type_names": ELEMENTS,
        "l_max": 3,
        "num_layers": 3,
        "num_features": 4,
        "num_bessels": 4,
        "avg_num_neighbors": 0.5,
        "model_dtype": "float64",
        "readout_widths": widths,
        "seed": seed,
    }
    return PropertyModel(PropertyConfig(model=trunk, targets=targets, num_atoms=9.0)).eval().requires_grad_(False)  # type: ignore[arg-type]


def graph(atoms: Atoms, cutoff: float = 5.0) -> Graph:
    return graph_from_structure(structure_from_atoms(atoms), cutoff).graph


def close(found: torch.Tensor, wanted: torch.Tensor, tolerance: float = 1e-9) -> None:
    torch.testing.assert_close(found, wanted, rtol=0, atol=tolerance * max(1.0, wanted.abs().max().item()))


def turned(name: str, values: torch.Tensor, turn: torch.Tensor) -> torch.Tensor:
    """What a property becomes when the structure is turned."""
    target = TARGETS[name]
    if name in ("mu",):
        return values
    if name in RANKS and name != "moments":
        for axis in range(RANKS[name]):
            values = torch.movedim(torch.movedim(values, 1 + axis, -1) @ turn.T, -1, 1 + axis)
        return values
    irreps = Irreps(target["irreps"])
    flat = irreps.from_e3nn(values.reshape(len(values), -1))
    return irreps.to_e3nn(flat @ irreps.D(turn).T).reshape(values.shape)


@pytest.mark.parametrize("widths", [(), (6,)])
@settings(max_examples=4)
@given(seed=st.integers(0, 10**6))
def test_properties_turn_with_the_structure(widths, seed):
    generator = torch.Generator().manual_seed(seed)
    network, ethanol = model(seed % 2, widths), molecule("CH3CH2OH")
    ethanol.rattle(0.1, seed=seed % 1000)
    before = graph(ethanol)
    turn = random_rotations(1, generator=generator)[0] * (-1) ** (seed % 2)
    shift = 5 * torch.randn(3, generator=generator, dtype=torch.float64)
    after = before.replace(positions=before.positions @ turn.T + shift)
    ours, theirs = network(before), network(after)
    for name in TARGETS:
        assert ours[name].abs().max() > 1e-6
        close(theirs[name], turned(name, ours[name], turn))


@pytest.mark.parametrize("widths", [(), (6,)])
@pytest.mark.parametrize("seed", range(3))
def test_what_symmetry_forbids_is_zero(seed, widths):
    """No vector where there is a centre of inversion; nothing but an isotropic matrix in a tetrahedral molecule."""
    network = model(seed, widths)
    centred = network(graph(Atoms("OCCO", [[0, 0, 3.2], [0, 0.3, 2.0], [0, -0.3, -2.0], [0, 0, -3.2]])))
    for name in ("dipole", "vector", "mu", "hyper", "chirality"):
        assert centred[name].abs().max() < 1e-12, name
    assert centred["alpha"].abs().max() > 1e-3
    methane = network(graph(molecule("CH4")))
    alpha = methane["alpha"][0]
    close(alpha, alpha.trace() / 3 * torch.eye(3, dtype=torch.float64))
    assert methane["dipole"].norm() < 1e-9
    assert methane["vector"].norm() < 1e-9
    mirrored = network(graph(molecule("H2O")))  # its plane is x = 0, its axis z
    assert mirrored["chirality"].abs().max() < 1e-12
    close(mirrored["dipole"][0, :2], torch.zeros(2, dtype=torch.float64))
    assert mirrored["dipole"][0, 2].abs() > 1e-6


def test_far_molecules_add_what_is_extensive_and_nothing_else():
    network, parts = model(), [molecule("CH3CH2OH"), molecule("NH3")]
    far = parts[1].copy()
    far.translate([100.0, 0, 0])
    apart, together = [network(graph(one)) for one in parts], network(graph(parts[0] + far))
    for name in ("heat", "vector", "alpha", "chirality", "hyper"):
        close(together[name], apart[0][name] + apart[1][name])
    for name in ("charges", "moments", "shieldings", "signal", "mixed"):
        close(together[name], torch.cat([apart[0][name], apart[1][name]]))
    for name in ("gap", "spectrum", "elasticity"):
        close(together[name], (9 * apart[0][name] + 4 * apart[1][name]) / 13)
    low, high = sorted([apart[0]["homo"].item(), apart[1]["homo"].item()])
    assert low < together["homo"].item() < high


def test_structures_of_a_batch_do_not_see_each_other():
    network, names = model(), ("CH3CH2OH", "NH3", "CH4")
    batches = [graph_from_structure(structure_from_atoms(molecule(name)), 5.0) for name in names]
    together = network(Batch.collate(batches).graph)
    for name, values in together.items():
        close(values, torch.cat([network(one.graph)[name] for one in batches]))


def test_a_dipole_depends_on_the_origin_by_the_net_charge_alone():
    network, before = model(), graph(molecule("CH3CH2OH"))
    ion = before.replace(charge=torch.ones(1, dtype=torch.float64))
    shift = torch.tensor([3.0, -2.0, 7.0], dtype=torch.float64)
    close(network(before.replace(positions=before.positions + shift))["dipole"], network(before)["dipole"])
    # Charged molecules are taken about their centre of mass, so that moving them changes nothing either.
    close(network(ion.replace(positions=ion.positions + shift))["dipole"], network(ion)["dipole"])
    # One more elementary charge, spread alike over the atoms, adds its centre's distance from that of mass.
    masses = torch.tensor(molecule("CH3CH2OH").get_masses())[:, None]
    centre = before.positions.mean(0) - (masses * before.positions).sum(0) / masses.sum()
    close(network(ion)["dipole"][0] - network(before)["dipole"][0], unit_factor("e*Å", "D") * centre)


def test_a_lone_atom_has_its_shifts_and_no_direction():
    found = model()(graph(Atoms("C")))
    for name in ("heat", "gap", "homo"):
        assert found[name].item() == pytest.approx(-0.1)
    for name in ("dipole", "vector", "mu", "hyper", "moments", "chirality"):
        assert found[name].abs().max() == 0
