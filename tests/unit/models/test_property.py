"""Targets and property models: what fits together, what is refused, and one file that rebuilds them."""

import pytest
import torch
from ase import Atoms
from ase.build import bulk, molecule

from subduce.config import InputError, build
from subduce.data import graph_from_structure, structure_from_atoms
from subduce.models import PropertyConfig, PropertyModel, TargetConfig, load, read_header, save

TRUNK = {
    "type_names": ("H", "C", "O"),
    "num_layers": 2,
    "num_features": 4,
    "l_max": 1,
    "avg_num_neighbors": 4.0,
    "seed": 3,
}
TARGETS = {
    "alpha": {"irreps": "0e+2e", "unit": "bohr^3", "scale": 3.0, "shifts": {"H": (1.0,), "C": (2.0,), "O": (3.0,)}},
    "mu": {"irreps": "1o", "norm": True, "charges": True, "unit": "D"},
}


def model(targets=TARGETS, **trunk) -> PropertyModel:
    settings = {"model": {**TRUNK, **trunk}, "targets": targets, "num_atoms": 9.0}
    return PropertyModel(build(PropertyConfig, settings, source="test"))


def graph(atoms: Atoms):
    return graph_from_structure(structure_from_atoms(atoms), 5.0).graph


@pytest.mark.parametrize(
    ("settings", "shape"),
    [
        ({}, ()),
        ({"irreps": "4x0e"}, (4,)),
        ({"irreps": "1o"}, (3,)),
        ({"irreps": "1o", "norm": True}, ()),
        ({"norm": True, "charges": True}, ()),
        ({"irreps": "2e + 0e"}, (6,)),
        ({"irreps": "0e + 2e"}, (3, 3)),
        ({"symmetry": "ijkl=jikl=klij"}, (3, 3, 3, 3)),
        ({"symmetry": "ij=ji", "irreps": "0e+2e"}, (3, 3)),
    ],
)
def test_a_target_has_the_shape_of_its_irreps(settings, shape):
    assert TargetConfig(**settings).shape == shape


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"irreps": "1q"}, "1q"),
        ({"irreps": ""}, "one component at least"),
        ({"symmetry": "ij=ji", "irreps": "1o"}, "irreps 1o are not those of ij=ji, 1x0e[+]1x2e"),
        ({"irreps": "0e+1o", "norm": True}, "a length is that of one irrep"),
        ({"irreps": "0e", "charges": True}, "a dipole has irreps 1o"),
        ({"irreps": "1o", "charges": True, "pool": "mean"}, "a dipole has irreps 1o, per structure, pool sum"),
        ({"irreps": "1o", "charges": True, "unit": "eV"}, "cannot be converted into eV"),
        ({"pol": "sum"}, "did you mean pool"),
    ],
)
def test_what_does_not_fit_together_is_refused_in_one_line(settings, message):
    with pytest.raises(InputError, match=message) as error:
        build(TargetConfig, settings, source="targets.x")
    assert "\n" not in str(error.value)
    assert len(str(error.value)) < 200


def test_what_features_cannot_make_is_refused():
    with pytest.raises(ValueError, match=r"targets\.alpha: no feature is 2e"):
        model(l_max=0)
    with pytest.raises(ValueError, match=r"targets\.spin: no feature is 0o"):
        model({"spin": {"irreps": "0o"}})
    model({"spin": {"irreps": "0o"}}, num_layers=3)
    with pytest.raises(InputError, match=r"model\.zbl is a part of an energy"):
        model(zbl=True)
    with pytest.raises(InputError, match="forces is predicted by a potential"):
        model({"forces": {"irreps": "1o", "per": "atom"}})


def test_what_is_saved_comes_back(tmp_path):
    path, one = tmp_path / "model.safetensors", model()
    save(one, path, provenance={"data": "some"})
    back, header = load(path), read_header(path)
    assert isinstance(back, PropertyModel)
    assert back.config == one.config
    assert (header["kind"], header["targets"]) == ("property", ["alpha", "mu"])
    assert header["units"] == {"alpha": "bohr^3", "mu": "D"}
    structure = graph(molecule("CH3CH2OH"))
    for name, values in one(structure).items():
        assert values.dtype == torch.float64
        torch.testing.assert_close(back(structure)[name], values, rtol=0, atol=0)
    exact = load(path, dtype="float64")
    assert exact.dtype == torch.float64
    torch.testing.assert_close(exact(structure)["alpha"], one(structure)["alpha"], rtol=1e-4, atol=1e-4)


def test_shifts_are_the_mean_of_a_matrix_and_nothing_of_its_shape():
    """What elements add to 0e of a matrix is isotropic: its trace grows by √3 times their numbers."""
    bare = model({"alpha": {"irreps": "0e+2e", "unit": "bohr^3", "scale": 3.0}})
    shifted, structure = model({"alpha": TARGETS["alpha"]}), graph(molecule("CH3CH2OH"))
    added = (shifted(structure)["alpha"] - bare(structure)["alpha"])[0]
    torch.testing.assert_close(added, (6 * 1 + 2 * 2 + 3) / 3**0.5 * torch.eye(3, dtype=torch.float64))


def test_a_crystal_has_no_dipole():
    with pytest.raises(InputError, match="the dipole of a periodic structure is not defined"):
        model()(graph(bulk("C")))
    model({"alpha": TARGETS["alpha"]})(graph(bulk("C")))
