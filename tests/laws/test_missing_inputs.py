"""Curie's principle, the gradient at inputs that are zero, and what is learned from there, for any weights."""

from functools import cache

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from subduce.data import SkinList
from subduce.discovery import (
    LearnConfig,
    fit_network,
    learn_order_parameter,
    missing_gradient,
    missing_inputs,
    plateau,
)
from subduce.groups import (
    SiteSymmetry,
    admissible_irreps,
    isotropy_of_points,
    point_group,
    subduce,
    subgroup_classes,
    subgroups,
)
from subduce.models import EuclideanNetwork, EuclideanNetworkConfig, Modulation
from subduce.o3 import Irreps

SQUARE = np.array([[1.0, 1, 0], [-1, 1, 0], [-1, -1, 0], [1, -1, 0]])
CUBE = np.array([[x, y, z] for x in (-1.0, 1) for y in (-1.0, 1) for z in (-1.0, 1)])
CLOUDS = {
    "square": ("D4h", SQUARE),
    "cube": ("Oh", CUBE),
    "cube with a centre": ("Oh", np.concatenate([CUBE, [[0, 0, 0]]])),
}
INPUTS = "0o+0e+1o+1e+2o+2e"
OUTPUT = "0e+0o+1o+1e+2e"
seeds = st.integers(0, 2**31 - 1)
clouds = st.sampled_from(list(CLOUDS))


def network_of(seed, *, order=INPUTS, output=OUTPUT, names=("H",), **more):
    settings = {"r_max": 4.0, "num_layers": 2, "l_max": 2, "num_features": 2, "radial_mlp_width": 8} | more
    return EuclideanNetwork(EuclideanNetworkConfig(type_names=names, order=order, output=output, seed=seed, **settings))


def graph_of(points, numbers=None, cell=None, r_max=4.0):
    numbers = np.ones(len(points), dtype=int) if numbers is None else numbers
    periodic = cell is not None
    return SkinList(r_max).graph(numbers, points, cell if periodic else np.zeros((3, 3)), [periodic] * 3)


def cloud(name):
    group, points = CLOUDS[name]
    return points, point_group(group), SiteSymmetry.of_points(point_group(group), points)


@cache
def perovskite():
    """ABX3, 2 × 1 × 1: the cubic operations that keep the doubled axis, with the translation."""
    places = np.array([[0.5, 0.5, 0.5], [0, 0, 0], [0.5, 0, 0], [0, 0.5, 0], [0, 0, 0.5]])
    places = np.concatenate([places, places + np.array([1, 0, 0])])
    along_x = [m for m in np.rint(point_group("Oh").matrices).astype(int) if abs(m[0, 0]) == 1]
    scale = np.diag([2.0, 1, 1])
    rotations = [np.rint(np.linalg.inv(scale) @ m @ scale).astype(int) for m in along_x for _ in range(2)]
    shifts = np.array([[t, 0, 0] for _ in along_x for t in (0, 0.5)])
    cell, fractions = 4.0 * scale, places / [2, 1, 1]
    numbers = np.array([20, 22, 8, 8, 8] * 2)
    return places, fractions @ cell, numbers, cell, SiteSymmetry.of_cell(cell, fractions, np.array(rotations), shifts)


def run(network, graph, field=None):
    with torch.no_grad():
        return network(graph, None if field is None else torch.from_numpy(field)).numpy()


def target_of(symmetry, subgroup, seed, irreps=OUTPUT):
    """A field that a subgroup keeps, and nothing else but by chance."""
    field = np.random.default_rng(seed).standard_normal((symmetry.permutations.shape[1], Irreps(irreps).dim))
    members = list(subgroup.members)
    return SiteSymmetry(symmetry.rotations[members], symmetry.permutations[members]).average(field, irreps)


@settings(max_examples=10)
@given(clouds, seeds)
def test_the_output_has_the_symmetry_of_the_sites_whatever_the_weights(name, seed):
    points, _, symmetry = cloud(name)
    output = run(network_of(seed), graph_of(points))
    assert np.abs(output).max() > 1e-3
    everywhere = np.broadcast_to(output, (symmetry.order, *output.shape))
    np.testing.assert_allclose(symmetry.images(output, OUTPUT), everywhere, atol=1e-10)


@settings(max_examples=10)
@given(seeds)
def test_a_crystal_keeps_its_space_group_and_domains_come_for_free(seed):
    _, positions, numbers, cell, symmetry = perovskite()
    network, graph = network_of(seed, names=("Ca", "Ti", "O"), output="1o"), graph_of(positions, numbers, cell)
    assert symmetry.order == 32
    np.testing.assert_allclose(run(network, graph)[[0, 1, 5, 6]], 0, atol=1e-10)  # centres of inversion
    field = Modulation.on(10, [1, 6]).matrix @ np.random.default_rng(seed).standard_normal((2, 18))
    turned = np.stack([run(network, graph, image) for image in symmetry.images(field, INPUTS)])
    np.testing.assert_allclose(turned, symmetry.images(run(network, graph, field), "1o"), atol=1e-10)


@settings(max_examples=10)
@given(clouds, seeds, st.data())
def test_the_gradient_lies_in_what_input_and_target_have_in_common(name, seed, data):
    points, group, symmetry = cloud(name)
    kept = data.draw(st.sampled_from(subgroups(group)))
    target = target_of(symmetry, kept, seed)
    small = symmetry.keeping(target, OUTPUT)
    where = data.draw(st.sampled_from([Modulation.shared(len(points)), Modulation.on(len(points), range(len(points)))]))
    missing = missing_inputs(symmetry, small, INPUTS, where)
    found = missing_gradient(network_of(seed), graph_of(points), target, missing)
    assert found.forbidden_max < 1e-12
    for block in found.blocks:
        assert (block.breaking > 0) <= (block.dimension > 0)
    in_place = where.matrix @ found.gradient
    np.testing.assert_allclose(small.average(in_place, INPUTS), in_place, atol=1e-12 * np.abs(in_place).max())


@pytest.mark.parametrize(("name", "step"), [("square", 1), ("cube", 5)])
def test_the_irreps_of_the_gradient_are_those_of_the_coset_representation(name, step):
    points, group, symmetry = cloud(name)
    weights = {irrep.name: irrep.dim / irrep.commutant * irrep.character for irrep in group.irreps}
    inputs = set(subduce(INPUTS, group))
    graph, network = graph_of(points), network_of(3)
    seen = set()
    for kept in [conjugates[0] for conjugates in subgroup_classes(group)][::step]:
        target = target_of(symmetry, kept, 1)
        small = symmetry.keeping(target, OUTPUT)
        if small.order != kept.order:
            continue
        missing = missing_inputs(symmetry, small, INPUTS, Modulation.shared(len(points)), weights=weights)
        parts = missing_gradient(network, graph, target, missing).parts
        broken = {irrep for irrep, size in parts.items() if size > 1e-9 * max(parts.values())} - {group.irreps[0].name}
        assert broken == {irrep.name for irrep in admissible_irreps(group, kept)} & inputs
        seen |= broken
    assert seen >= ({"A2g", "B1g", "B2g"} if name == "square" else {"Eg", "T2g", "T1u"})


SHEARS = {"rhombus": [[1, 0.2], [0.2, 1]], "parallelogram": [[1.1, 0.3], [0.2, 1]]}
SHEARED = {name: np.concatenate([SQUARE[:, :2] @ np.array(m), 0 * SQUARE[:, :1]], axis=1) for name, m in SHEARS.items()}
STRETCHED = {  # moved points; irreps that may break the symmetry to theirs at first order, and those that only follow
    "rectangle": ("square", SQUARE * [1.25, 0.8, 1], {"B1g"}, set()),
    "rhombus": ("square", SHEARED["rhombus"], {"B2g"}, set()),
    "parallelogram": ("square", SHEARED["parallelogram"], {"A2g", "B1g", "B2g"}, set()),
    "tetragonal": ("cube", CUBE * [1, 1, 1.2], {"Eg"}, set()),
    "orthorhombic": ("cube", CUBE * [1, 1.1, 1.25], {"Eg"}, {"A2g"}),
    "rhombohedral": ("cube", CUBE + 0.1 * CUBE.sum(axis=1)[:, None], {"T2g"}, set()),
    "polar": ("cube with a centre", np.concatenate([CUBE, [[0, 0, 0.2]]]), {"T1u"}, {"Eg"}),
}


@pytest.mark.parametrize("case", STRETCHED)
def test_moved_points_break_what_the_tables_say(case):
    name, moved, first, following = STRETCHED[case]
    points, group, symmetry = cloud(name)
    weights = {irrep.name: irrep.dim / irrep.commutant * irrep.character for irrep in group.irreps}
    target = moved - points
    small = symmetry.keeping(target, "1o")
    assert {i.name for i in admissible_irreps(group, isotropy_of_points(group, moved))} == first | following
    missing = missing_inputs(symmetry, small, INPUTS + "+3e+3o", Modulation.shared(len(points)), weights=weights)
    network = network_of(0, order=missing.irreps, output="1o", l_max=3)
    found = missing_gradient(network, graph_of(points), target, missing)
    broken = {irrep for irrep, size in found.parts.items() if size > 1e-9 * max(found.parts.values())} - {"A1g"}
    assert broken == first
    assert found.forbidden_max < 1e-12


def test_square_to_rectangle_has_the_dimensions_of_the_tables():
    even, odd = [1, 0, 2, 1, 3, 2, 4], [0] * 7  # of what D2h leaves alone, by degree
    breaking = [0, 0, 1, 1, 1, 1, 2]  # less what D4h does
    irreps = "+".join(f"{l}{p}" for p in "eo" for l in range(7))
    symmetry = SiteSymmetry.of_points(point_group("D4h"), SQUARE)
    target = SQUARE * [0.25, -0.2, 0]
    missing = missing_inputs(symmetry, symmetry.keeping(target, "1o"), irreps, Modulation.shared(4))
    assert list(missing.dimensions().values()) == breaking + odd
    assert [round(np.trace(block.allowed)) for block in missing.blocks] == even + odd
    gradients = []
    for seed in range(5):  # they span all that is allowed, and stay in it
        network = network_of(seed, order=irreps, output="1o", l_max=6)
        found = missing_gradient(network, graph_of(SQUARE), target, missing)
        assert found.forbidden_max < 1e-12
        assert all(block.breaking > 0 for block in found.blocks if block.dimension)
        gradients.append(found.gradient.ravel() / np.abs(found.gradient).max())
    for block, number in zip(missing.blocks, even + odd, strict=True):
        sizes = np.linalg.svd(np.stack(gradients)[:, block.where], compute_uv=False)
        assert (sizes > 1e-12).sum() == number


def test_the_best_symmetric_loss_is_that_of_the_mean_over_the_orbit():
    symmetry = SiteSymmetry.of_points(point_group("D4h"), SQUARE)
    target = target_of(symmetry, subgroups(point_group("D4h"))[5], 2)
    least, network, graph = plateau(symmetry, target, OUTPUT), network_of(1), graph_of(SQUARE)
    reached = fit_network(network, graph, target, steps=150)
    assert least > 0.01
    assert least * (1 - 1e-12) <= reached <= least * (1 + 1e-6)
    missing = missing_inputs(symmetry, symmetry.keeping(target, OUTPUT), INPUTS, Modulation.shared(4))
    found = missing_gradient(network, graph, target, missing)
    assert max(block.symmetric for block in found.blocks) < 1e-3 * max(block.breaking for block in found.blocks)


@cache
def learned(turned=False):
    """A square to a rectangle, or to the same one turned by a quarter."""
    symmetry = SiteSymmetry.of_points(point_group("D4h"), SQUARE)
    target = SQUARE * ([-0.2, 0.25, 0] if turned else [0.25, -0.2, 0])
    missing = missing_inputs(symmetry, symmetry.keeping(target, "1o"), "1o+1e+2e+2o", Modulation.shared(4))
    network = network_of(0, order=missing.irreps, output="1o")
    config = LearnConfig(penalties=(1.5, 0.3, 0.0), symmetric_steps=30, weight_steps=30)
    return network, symmetry, missing, target, learn_order_parameter(network, graph_of(SQUARE), target, missing, config)


def test_the_order_parameter_is_learned_and_what_is_forbidden_stays_exactly_zero():
    *_, target, found = learned()
    assert found.plateau > 0.01
    assert found.symmetric_loss >= found.plateau * (1 - 1e-12)
    assert found.loss < LearnConfig().slack * found.plateau
    assert found.path[-1].loss < 1e-6
    score = {block.name: block for block in found.gradient.blocks}  # at the optimum without inputs
    assert max(block.symmetric for block in score.values()) < 1e-3 * score["2e"].breaking
    assert found.gradient.forbidden_max < 1e-12
    np.testing.assert_allclose(found.output, target, atol=0.02)
    vector = found.amplitudes[0]
    assert not vector[:6].any()
    assert not vector[11:].any()
    along = np.array([0, 0, 3**0.5, 0, 1]) / 2  # x² − y², with y as the polar axis
    assert abs(vector[6:11] @ along) == pytest.approx(np.linalg.norm(vector), rel=1e-12)
    assert [point.loss for point in found.path] == sorted((point.loss for point in found.path), reverse=True)
    assert not any(found.path[0].blocks.values())  # above the penalty at which anything enters
    assert all(point.blocks["2e"] > 0 for point in found.path[1:])


def test_scaling_the_order_parameter_is_a_path_of_one_symmetry_from_nothing():
    network, symmetry, missing, _, found = learned()
    field, graph = missing.field(found.amplitudes), graph_of(SQUARE)
    assert symmetry.keeping(field, missing.irreps).order == 8
    outputs = [run(network, graph, scale * field) for scale in (0.0, 0.01, 0.5, 1.0)]
    assert [symmetry.keeping(one, "1o", 1e-9).order for one in outputs] == [16, 8, 8, 8]
    np.testing.assert_allclose(outputs[-1], found.output, atol=1e-12)
    assert np.abs(outputs[1] - outputs[0]).max() < 0.05 * np.abs(outputs[3] - outputs[0]).max()
    two = symmetry.domains(field, missing.irreps)
    assert len(two) == 2
    np.testing.assert_allclose(two[1], -field, atol=1e-12)


def test_learning_commutes_with_the_group():
    """The other domain as the target: the other domain's order parameter, step for step."""
    first, other = learned()[4], learned(turned=True)[4]
    np.testing.assert_allclose(other.amplitudes, -first.amplitudes, rtol=1e-3)
    for one, same in zip(first.path, other.path, strict=True):
        assert one.loss == pytest.approx(same.loss, rel=1e-2, abs=1e-6)


def test_inputs_that_cannot_break_the_symmetry_are_refused():
    symmetry = SiteSymmetry.of_points(point_group("D4h"), SQUARE)
    target = SQUARE * [0.25, -0.2, 0]
    missing = missing_inputs(symmetry, symmetry.keeping(target, "1o"), "1o+1e", Modulation.shared(4))
    with pytest.raises(ValueError, match="higher degree or the other parity"):
        learn_order_parameter(network_of(0, order="1o+1e", output="1o"), graph_of(SQUARE), target, missing)


def test_half_a_star_is_refused_and_the_whole_one_is_one_block():
    places, _, _, _, symmetry = perovskite()
    with pytest.raises(ValueError, match="all sites of an orbit"):
        missing_inputs(symmetry, symmetry, "1e", Modulation.on(10, [1]))
    waves = Modulation.waves(places, {"G": [0, 0, 0], "X": [0.5, 0, 0]}, [1, 6])
    blocks = missing_inputs(symmetry, symmetry, "1e", waves).blocks
    assert [block.name for block in blocks] == ["1e at G", "1e at X"]
    sites = missing_inputs(symmetry, symmetry, "1e+1o", Modulation.on(10, [1, 6])).blocks
    assert [len(block.where) for block in sites] == [6, 6]
