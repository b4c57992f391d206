"""The check for users passes what is right, and finds each operator that is wrong, on both ways to compute."""

import dataclasses

import pytest
import torch
from ase.build import bulk

from subduce import kernels
from subduce.data import graph_from_structure, structure_from_atoms
from subduce.models import ZBL, Engine, Potential, PotentialConfig, Prediction, forces_and_stress, tabulated
from subduce.testing import check_backend
from tests.toys import Springs

needs_cpu = pytest.mark.skipif("cpu" not in kernels.available(), reason="the package was installed without a compiler")
CONFIG = {
    "type_names": ("Si",),
    "r_max": 3.5,
    "num_layers": 2,
    "num_features": 4,
    "avg_num_neighbors": 4.0,
    "per_type_energy_scales": {"Si": 20.0},
}


@pytest.fixture
def graph():
    atoms = bulk("Si", "diamond", a=5.431, cubic=True)
    atoms.rattle(0.1, seed=0)
    return graph_from_structure(structure_from_atoms(atoms), 3.5).graph


def potential(**settings) -> Potential:
    return Potential(PotentialConfig(**CONFIG | settings))


@needs_cpu
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_potential_is_checked_in_all_it_gives(graph, dtype):
    check = check_backend(potential(model_dtype=dtype), graph)
    assert all(getattr(check, field.name) is not None for field in dataclasses.fields(check))
    assert 0 < check.largest <= 1e-5
    assert check.engine_forces > 0
    assert check.gradient <= {"float32": 1e-5, "float64": 1e-11}[dtype]


def test_of_other_models_there_is_less_to_compare(graph):
    springs = check_backend(Springs(cutoff=3.5), graph)
    assert (springs.forces, springs.gradient, springs.engine_forces) == (0, None, None)
    assert check_backend(ZBL(3.0), graph.replace(pbc=graph.pbc & False)).stress is None


@needs_cpu
@pytest.mark.parametrize("name", ["product", "linear", "harmonics", "spline"])
def test_every_wrong_operator_is_found(graph, monkeypatch, name):
    exact = potential(model_dtype="float64")
    model = tabulated(exact) if name == "spline" else exact
    place, function = {
        "product": ("_cpu", "partials"),
        "linear": ("_linear", "_by_c"),
        "harmonics": ("_harmonics", "_run"),
        "spline": ("_cpu", "spline"),
    }[name]
    module = getattr(kernels, place)
    right = getattr(module, function)

    def wrong(*given, **more):
        found = right(*given, **more)
        if isinstance(found, dict):
            return {slot: 1.0001 * values for slot, values in found.items()}
        if found is None and "y" in more:
            more["y"].mul_(1.0001)
        return found if found is None else 1.0001 * found

    check_backend(model, graph)
    monkeypatch.setattr(module, function, wrong)
    with pytest.raises(AssertionError, match=r"energies in torch.float64, by the model's own backend, differ"):
        check_backend(model, graph)


@needs_cpu
@pytest.mark.parametrize("name", ["energies", "forces", "stress"])
def test_a_wrong_engine_is_found(graph, monkeypatch, name):
    right = Engine.__call__

    def wrong(self, graph, **more) -> Prediction:
        found = right(self, graph, **more)
        return dataclasses.replace(found, **{name: 1.0001 * getattr(found, name)})

    monkeypatch.setattr(Engine, "__call__", wrong)
    with pytest.raises(AssertionError, match=f"{name} in torch.float32, by the engine with splines"):
        check_backend(potential(), graph)


@needs_cpu
def test_within_reference_only_nothing_compiled_runs(graph, monkeypatch):
    model = tabulated(potential(model_dtype="float64"))
    bound = Potential(model.config, backend="cpu")
    expected = forces_and_stress(Potential(model.config, backend="reference"), graph)
    with kernels.reference_only(), monkeypatch.context() as without:
        for module in (kernels._cpu, kernels._linear.c, kernels._harmonics.c):
            without.setattr(module, "share", None)
        forces_and_stress(model, graph)
        found = forces_and_stress(bound, graph)
    torch.testing.assert_close(found.forces, expected.forces, rtol=1e-11, atol=1e-11)
