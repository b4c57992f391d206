"""The engine gives the numbers of the potential that it was made from, whatever the system and the architecture."""

import dataclasses
import multiprocessing

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.build import bulk, molecule

from subduce import kernels
from subduce.data import Batch, SkinList, graph_from_structure, neighbor_list, structure_from_atoms
from subduce.models import Engine, Potential, PotentialConfig, forces_and_stress, tabulated
from subduce.testing import assert_conservative

needs_cpu = pytest.mark.skipif("cpu" not in kernels.available(), reason="the package was installed without a compiler")
pytestmark = needs_cpu

CONFIG = {
    "type_names": ("H", "C", "O", "Si"),
    "r_max": 3.5,
    "num_layers": 3,
    "num_features": 4,
    "radial_mlp_width": 8,
    "avg_num_neighbors": 9.0,
    "per_type_energy_shifts": {"H": -1.5, "C": -3.0, "O": 0.25, "Si": 2.0},
    "per_type_energy_scales": {"H": 0.5, "C": 1.0, "O": 2.0, "Si": 3.0},
    "model_dtype": "float64",
}
ARCHITECTURES = {
    "both parities": {},
    "one parity": {"parity": False},
    "distances alone": {"l_max": 0},
    "degree 3": {"l_max": 3, "num_layers": 2},
    "degree 4": {"l_max": 4, "num_layers": 2, "parity": False},
    "channels by degree, more than a register": {"num_features": (37, 19, 5)},
    "one layer": {"num_layers": 1},
    "linear self-connection, also first": {"self_connection": "linear", "first_self_connection": True},
    "self-connection by species, also first": {"first_self_connection": True},
    "no self-connection": {"self_connection": "none"},
    "hidden scalars at the end": {"readout_widths": (7, 5)},
    "other functions": {"activation": "tanh", "odd_activation": "identity", "gate_activation": "sigmoid"},
    "biases and a cosine": {"radial_bias": True, "cutoff_function": "cosine"},
    "repulsion of nuclei": {"zbl": True},
    "another embedding": {"type_embed_num_features": 3},
}


def crystal(seed: int = 0) -> Atoms:
    atoms = bulk("Si", "diamond", a=5.431, cubic=True)
    atoms.rattle(0.1, seed=seed)
    return atoms


def small_cell() -> Atoms:
    return bulk("Si", "fcc", a=2.4)


SYSTEMS = {
    "molecule": lambda: [molecule("CH3CH2OH")],
    "crystal": lambda: [crystal()],
    "cell smaller than the cutoff": lambda: [small_cell()],
    "one atom": lambda: [Atoms("O")],
    "atoms out of reach": lambda: [Atoms("HO", [(0, 0, 0), (0, 0, 9)])],
    "a batch": lambda: [molecule("H2O"), crystal(1), Atoms("C"), molecule("CH4"), small_cell()],
}


def graph_of(atoms: list[Atoms], cutoff: float = 3.5):
    return Batch.collate([graph_from_structure(structure_from_atoms(one), cutoff) for one in atoms]).graph


def assert_same(found, expected, tolerance):
    for name in ("energy", "energies", "forces", "stress"):
        one, other = getattr(found, name), getattr(expected, name)
        scale = max(1.0, other.nan_to_num().abs().max().item())
        torch.testing.assert_close(one, other, rtol=0, atol=tolerance * scale, equal_nan=True)


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_every_architecture_gives_its_own_numbers(name):
    potential = Potential(PotentialConfig(**CONFIG | ARCHITECTURES[name]))
    engine, graph = Engine(potential), graph_of(SYSTEMS["a batch"]())
    assert engine.is_compiled
    expected = forces_and_stress(tabulated(potential), graph)
    assert expected.forces.abs().max() > 1e-3
    assert_same(engine(graph), expected, 1e-11)


@pytest.mark.parametrize("name", SYSTEMS)
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_every_system_gives_its_own_numbers(name, dtype):
    potential = Potential(PotentialConfig(**CONFIG | {"model_dtype": dtype}))
    graph, tolerance = graph_of(SYSTEMS[name]()), {"float64": 1e-11, "float32": 1e-5}[dtype]
    expected = forces_and_stress(tabulated(potential), graph)
    assert_same(Engine(potential)(graph), expected, tolerance)
    exact = forces_and_stress(potential, graph)
    assert_same(Engine(potential, radial="exact")(graph), exact, 1e-14)
    torch.testing.assert_close(expected.forces, exact.forces, rtol=0, atol=1e-5 * max(1.0, exact.forces.abs().max()))


NORMS = {
    "of each irrep, with channels by degree, more than a register": {"norm": "rms", "num_features": (37, 19, 5)},
    "that centres": {"norm": "layer"},
    "that centres, in front of gates": {"norm": "layer", "norm_place": "gate"},
    "of all irreps together": {"norm": "joint", "norm_eps": 1e-3},
    "of one channel, in front of gates": {"norm": "joint", "norm_place": "gate", "num_features": 1},
    "without self-connection, in one layer": {"norm": "layer", "self_connection": "none", "num_layers": 1},
}


def normed(name, dtype):
    """A potential with norms, and atoms without symmetry, which would leave norms errors alone to enlarge."""
    potential = Potential(PotentialConfig(**CONFIG | NORMS[name] | {"model_dtype": dtype}))
    with torch.no_grad():
        for layer in potential.layers:
            for weight in layer.norm.parameters():
                weight += torch.linspace(-0.5, 0.5, len(weight))
    atoms = SYSTEMS["a batch"]()
    for seed, one in enumerate(atoms):
        one.rattle(0.1, seed=seed)
    return potential, graph_of(atoms)


@pytest.mark.parametrize("name", NORMS)
def test_norms_give_their_own_numbers(name):
    potential, graph = normed(name, "float64")
    engine, expected = Engine(potential), forces_and_stress(tabulated(potential), graph)
    assert engine.is_compiled
    assert expected.forces.abs().max() > 1e-2
    found = engine(graph)
    assert_same(found, expected, 1e-11)
    assert torch.equal(engine(graph, derivatives=False).energies, found.energies)


@pytest.mark.parametrize("name", NORMS)
def test_norms_in_single_precision_err_no_more_than_torch_does(name):
    potential, graph = normed(name, "float32")
    with kernels.reference_only():
        true = forces_and_stress(tabulated(potential).double(), graph).forces
        error = (forces_and_stress(tabulated(potential), graph).forces - true).abs().max()
    assert (Engine(potential)(graph).forces - true).abs().max() < max(2 * error, 1e-5 * true.abs().max())
    assert error < 1e-3 * true.abs().max()


def test_one_engine_serves_one_system_after_another_large_and_small():
    potential = Potential(PotentialConfig(**CONFIG))
    engine = Engine(potential)
    for name in ("molecule", "a batch", "one atom", "crystal", "atoms out of reach", "a batch"):
        graph = graph_of(SYSTEMS[name]())
        assert_same(engine(graph), forces_and_stress(tabulated(potential), graph), 1e-11)
    energies = engine(graph, derivatives=False)
    assert energies.forces is None
    assert energies.stress is None
    assert torch.equal(energies.energies, engine(graph).energies)


def test_two_atoms_in_one_place():
    potential, graph = Potential(PotentialConfig(**CONFIG)), graph_of(SYSTEMS["molecule"]())
    positions = graph.positions.clone()
    positions[1] = positions[0]
    graph = graph.replace(positions=positions)
    expected = forces_and_stress(tabulated(potential), graph)
    assert expected.forces.isfinite().all()
    assert_same(Engine(potential)(graph), expected, 1e-11)


def test_edges_beyond_the_cutoff_change_no_bit():
    potential, atoms = Potential(PotentialConfig(**CONFIG | {"model_dtype": "float32"})), crystal()
    neighbors = SkinList(3.5, skin=0.8)
    given = (atoms.numbers, atoms.positions, atoms.cell.array, atoms.pbc)
    near, pairs = neighbors.graph(*given), neighbors.pairs(*given)
    assert pairs.num_edges > near.num_edges
    one, other = Engine(potential)(near), Engine(potential)(pairs)
    assert torch.equal(one.forces, other.forces)
    assert torch.equal(one.stress, other.stress)


def test_moved_atoms_with_the_edges_of_before():
    potential, atoms = Potential(PotentialConfig(**CONFIG)), crystal()
    engine, neighbors = Engine(potential), SkinList(3.5, skin=1.0)
    for step in range(3):
        atoms.rattle(0.05, seed=step)
        atoms.set_cell(atoms.cell.array * 1.002, scale_atoms=True)
        given = (atoms.numbers, atoms.positions, atoms.cell.array, atoms.pbc)
        expected = forces_and_stress(tabulated(potential), neighbors.graph(*given))
        assert_same(engine(neighbors.pairs(*given)), expected, 1e-11)
    assert neighbors.searches == 1


def test_other_weights_are_noticed():
    potential, graph = Potential(PotentialConfig(**CONFIG)), graph_of(SYSTEMS["molecule"]())
    engine = Engine(potential)
    before = engine(graph)
    with torch.no_grad():
        potential.layers[0].convolution.after.weights["0e"].mul_(1.5)
    after = engine(graph)
    assert not torch.equal(before.energies, after.energies)
    assert_same(after, forces_and_stress(tabulated(potential), graph), 1e-11)


def in_threads(potential, graph, threads):
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(threads)
        return Engine(potential)(graph)
    finally:
        torch.set_num_threads(before)


def large():
    return graph_of([crystal(seed) * (3, 3, 3) for seed in range(2)])


@pytest.mark.parametrize("norm", ["none", "layer", "joint"])
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_threads_change_no_bit(dtype, norm):
    potential, graph = Potential(PotentialConfig(**CONFIG | {"model_dtype": dtype, "norm": norm})), large()
    assert graph.num_edges > 1500
    one = in_threads(potential, graph, 1)
    for threads in (2, 3, 5):
        other = in_threads(potential, graph, threads)
        for name in ("energies", "forces", "stress"):
            assert torch.equal(getattr(one, name), getattr(other, name))


def in_child(queue):
    torch.set_num_threads(1)  # torch's own threads do not survive a fork
    queue.put(Engine(Potential(PotentialConfig(**CONFIG)))(large()).forces.tolist())


def test_it_works_after_a_fork():
    expected = in_threads(Potential(PotentialConfig(**CONFIG)), large(), 2).forces
    context = multiprocessing.get_context("fork")
    queue = context.Queue()
    child = context.Process(target=in_child, args=(queue,), daemon=True)
    child.start()
    found = torch.tensor(queue.get(timeout=60), dtype=torch.float64)
    child.join(timeout=30)
    assert torch.equal(found, expected)


def test_what_a_program_cannot_hold_is_evaluated_all_the_same():
    graph = graph_of(SYSTEMS["molecule"]())
    others = (
        {"readout_widths": (3,), "readout_activation": "softplus"},
        {"activation": "gelu"},
        {"l_max": 5, "num_layers": 1, "parity": False},
    )
    for settings in others:
        potential = Potential(PotentialConfig(**CONFIG | settings))
        engine = Engine(potential)
        assert not engine.is_compiled
        assert_same(engine(graph), forces_and_stress(potential, graph), 1e-14)
    assert not Engine(Potential(PotentialConfig(**CONFIG), backend="reference")).is_compiled


def test_radial_functions_too_steep_for_a_table_are_computed_exactly():
    potential, graph = Potential(PotentialConfig(**CONFIG)), graph_of(SYSTEMS["molecule"]())
    with torch.no_grad():
        potential.layers[0].convolution.radial.weights[0].mul_(1e4)
    with pytest.warns(UserWarning, match="too steep"):
        found = Engine(potential)(graph)
    assert_same(found, forces_and_stress(potential, graph), 1e-14)


def first_edges(graph, edges: int):
    return graph.replace(sender=graph.sender[:edges], receiver=graph.receiver[:edges], shifts=graph.shifts[:edges])


def no_atoms():
    graph = graph_of([Atoms("O")])
    nobody = {name: getattr(graph, name)[:0] for name in ("atomic_numbers", "positions", "structure")}
    return graph.replace(**nobody)


FEW = {
    "one edge, without its reverse": lambda: first_edges(graph_of([molecule("H2O")]), 1),
    "an atom without edges between others": lambda: graph_of([molecule("H2O"), Atoms("C"), molecule("CH4")]),
    "one atom alone": lambda: graph_of([Atoms("O")]),
    "no atom": no_atoms,
}


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("name", FEW)
def test_few_edges_or_none_are_the_references(name, dtype):
    graph, tolerance = FEW[name](), {"float64": 1e-11, "float32": 1e-5}[dtype]
    potential = Potential(PotentialConfig(**CONFIG | {"model_dtype": dtype}))
    with kernels.reference_only():
        exact = forces_and_stress(potential, graph)
        with_splines = forces_and_stress(tabulated(potential).double(), graph)
    found = forces_and_stress(potential, graph), Engine(potential)(graph)
    for one, expected in zip(found, (exact, with_splines), strict=True):
        for quantity in ("energy", "energies", "forces"):
            values, wanted = getattr(one, quantity), getattr(expected, quantity)
            scale = max([1.0, *wanted.abs().flatten().tolist()])
            torch.testing.assert_close(values, wanted, rtol=0, atol=tolerance * scale)


def rattled_small_cell() -> Atoms:
    atoms = bulk("Si", "diamond", a=3.9)
    atoms.rattle(0.1, seed=0)
    return atoms


@pytest.mark.parametrize(
    "atoms", [molecule("CH3CH2OH"), crystal(), rattled_small_cell()], ids=lambda atoms: str(atoms.symbols)
)
def test_forces_are_the_slopes_of_the_energy_of_the_engine_itself(atoms):
    engine, graph = Engine(Potential(PotentialConfig(**CONFIG))), graph_of([atoms])
    found = engine(graph)
    assert found.forces.abs().max() > 1e-2
    assert_conservative(lambda at: engine(graph.replace(positions=at)).energy.sum(), graph.positions, found.forces)


def test_stress_is_the_slope_of_the_energy_of_the_engine_itself():
    graph, engine, step = graph_of([crystal()]), Engine(Potential(PotentialConfig(**CONFIG))), 1e-5
    found, volume = engine(graph).stress[0], torch.linalg.det(graph.cell[0])
    for i, j in ((0, 0), (1, 1), (2, 2), (0, 1), (0, 2), (1, 2)):
        energies = []
        for sign in (1, -1):
            strain = torch.eye(3, dtype=torch.float64)
            strain[i, j] += sign * step / 2
            strain[j, i] += sign * step / 2
            strained = graph.replace(positions=graph.positions @ strain, cell=graph.cell @ strain)
            energies.append(engine(strained).energy.item())
        slope = (energies[0] - energies[1]) / (2 * step) / volume
        torch.testing.assert_close(found[i, j], slope, rtol=1e-6, atol=1e-6 * found.abs().max().item())


def test_wrong_graphs_are_refused():
    engine, graph = Engine(Potential(PotentialConfig(**CONFIG))), graph_of(SYSTEMS["molecule"]())
    with pytest.raises(ValueError, match="sorted by receiver"):
        engine(graph.replace(receiver=graph.receiver.flip(0)))
    with pytest.raises(IndexError, match="sender is out of range"):
        engine(graph.replace(sender=graph.sender + 5))
    with pytest.raises(ValueError, match="exact or table"):
        Engine(engine.model, radial="spline")


def random_system(seed: int):
    """A batch of one to three random structures: periodic in some directions or in none, with cells of any size."""
    random, graphs = np.random.default_rng(seed), []
    for _ in range(1 + seed % 3):
        count, pbc = int(random.integers(1, 9)), random.random(3) < 0.5
        side = random.uniform(2.2, 6.0, 3)  # often smaller than the cutoff
        cell = np.diag(side) + random.uniform(-0.4, 0.4, (3, 3))
        atoms = Atoms(random.choice([1, 6, 8, 14], count), random.uniform(0, 1, (count, 3)) @ cell, cell=cell, pbc=pbc)
        place = structure_from_atoms(atoms)
        edges = neighbor_list(place.positions, place.cell, place.pbc, 3.5)
        vectors = place.positions[edges[0]] - place.positions[edges[1]] + edges[2] @ place.cell
        if (np.linalg.norm(vectors, axis=1) > 0.6).all():  # not on top of each other
            graphs.append(graph_from_structure(place, 3.5))
    return Batch.collate(graphs).graph if graphs else None


def scattered(graph):
    """The same numbers in tensors that are not contiguous."""
    found = {}
    for field in dataclasses.fields(graph):
        values = getattr(graph, field.name)
        found[field.name] = torch.stack([values, torch.zeros_like(values)], -1)[..., 0]
    return graph.replace(**found)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_a_hundred_random_systems_are_the_references(dtype):
    """Energies, forces and stress of the CPU backend and of the engine, beside the reference backend."""
    tolerance, models, edges, systems = {"float64": 1e-11, "float32": 1e-5}[dtype], [], [], 0
    for l_max in (1, 2):
        config = PotentialConfig(**CONFIG | {"model_dtype": dtype, "l_max": l_max, "num_layers": 2})
        mine, table = Potential(config, backend="cpu"), tabulated(Potential(config, backend="reference"))
        table = table.double()  # in float32 the reference's splines err by more than the engine's
        models.append((mine, Potential(config, backend="reference"), Engine(mine), table))
    seed = 0
    while systems < 100:
        graph, (mine, reference, engine, table) = random_system(seed), models[seed % 2]
        seed += 1
        if graph is None:
            continue
        with kernels.reference_only():  # linear maps, harmonics and splines too
            expected, with_splines = forces_and_stress(reference, graph), forces_and_stress(table, graph)
        assert_same(forces_and_stress(mine, scattered(graph)), expected, tolerance)
        assert_same(engine(scattered(graph)), with_splines, tolerance)
        systems += 1
        edges.append(graph.num_edges)
    assert min(edges) == 0
    assert max(edges) > 100


def test_thirty_thousand_edges_are_the_references():
    potential, graph = Potential(PotentialConfig(**CONFIG | {"num_layers": 2})), graph_of([crystal() * (6, 5, 5)], 5.0)
    wide = Potential(PotentialConfig(**CONFIG | {"num_layers": 2, "r_max": 5.0}))
    assert graph.num_edges > 30_000
    reference = Potential(wide.config, backend="reference")
    with kernels.reference_only():
        expected, with_splines = forces_and_stress(reference, graph), forces_and_stress(tabulated(reference), graph)
    assert_same(forces_and_stress(wide, graph), expected, 1e-11)
    assert_same(Engine(wide)(graph), with_splines, 1e-11)
    assert_same(Engine(potential)(graph), forces_and_stress(tabulated(potential), graph), 1e-11)  # a shorter cutoff


def test_forces_are_the_slopes_of_the_engines_energy():
    engine, graph = Engine(Potential(PotentialConfig(**CONFIG))), graph_of(SYSTEMS["molecule"]())

    def energy(positions):
        return engine(graph.replace(positions=positions), derivatives=False).energy.sum()

    assert_conservative(energy, graph.positions, engine(graph).forces)
