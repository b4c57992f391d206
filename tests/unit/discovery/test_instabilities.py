"""From an objective to its unstable irreps and the children below: cases with known answers, and what is refused."""

import numpy as np
import pytest
import torch
from ase import Atoms

from subduce.crystals import crystal
from subduce.discovery import group_space, instabilities, site_space
from subduce.groups import dihedral, point_group


def ground(record):
    return record.results["children"][record.results["ground_state"]]


def jahn_teller(q):
    """E ⊗ e with a linear coupling: a cone, warped into three valleys."""
    rho = torch.sqrt(q @ q)
    return 0.5 * rho**2 - 0.5 * rho - 0.1 * (q[0] ** 3 - 3 * q[0] * q[1] ** 2) + 0.01 * rho**6


def test_a_jahn_teller_cone_has_three_tetragonal_valleys():
    record = instabilities(jahn_teller, group_space(point_group("Oh"), "Eg"))
    (found,) = record.results["unstable"]
    assert found["irrep"] == "Eg"
    assert found["cusp"]
    assert found["eigenvalue"] is None
    child = ground(record)
    assert child["energy"] == pytest.approx(-0.141142, abs=1e-6)
    assert child["subgroup"]["name"] == "D4h"
    assert child["domains"] == 3
    assert child["stable"]
    (mode,) = child["components"]
    assert mode["amplitude"] == pytest.approx(0.6049, abs=1e-4)
    assert mode["direction_symbol"] == "(a,0)"
    assert mode["direction"] == pytest.approx([1, 0], abs=1e-6)
    assert mode["primary"]
    other = next(c for c in record.results["children"] if c is not child)  # the saddle between two valleys
    assert not other["stable"]
    assert other["energy"] > child["energy"]
    assert other["domains"] == 3


def landau(b1, b2, g):
    def energy(p):
        x, y, z = p**2
        return (
            -0.5 * (x + y + z) + 0.25 * b1 * (x**2 + y**2 + z**2) + 0.5 * b2 * (x * y + y * z + z * x) + g * x * y * z
        )

    return energy


@pytest.mark.parametrize(
    ("terms", "energy", "size", "symbol", "domains", "kept"),
    [
        ((1, 2, 0), -0.25, 1.0, "(0,0,a)", 6, "C4v"),
        ((1, 0.5, 0), -0.375, 0.70711, "(a,a,a)", 8, "C3v"),
        ((1, 0.8, 10), -0.277778, 0.74536, "(0,a,a)", 12, "C2v"),
    ],
)
@pytest.mark.parametrize("numbers", ["torch", "numpy"])
def test_a_landau_energy_of_a_polar_mode(terms, energy, size, symbol, domains, kept, numbers):
    function = landau(*terms)
    if numbers == "numpy":
        function = lambda p, of=function: float(of(np.asarray(p)))  # noqa: E731
    record = instabilities(function, group_space(point_group("Oh"), "T1u"))
    (unstable,) = record.results["unstable"]
    assert unstable["irrep"] == "T1u"
    assert unstable["eigenvalue"] == pytest.approx(-1, abs=1e-5)
    child = ground(record)
    assert child["energy"] == pytest.approx(energy, abs=1e-6)
    assert child["domains"] == domains
    assert child["subgroup"]["name"] == kept
    assert child["stable"]
    (mode,) = child["components"]
    assert mode["direction_symbol"] == symbol
    largest = np.abs(mode["direction"]).max() * mode["amplitude"]
    assert largest == pytest.approx(size, abs=1e-4)


def improper(x):
    """Q of two components, P driven by its cube."""
    q2, p = x[0] ** 2 + x[1] ** 2, x[2]
    cos3 = x[0] ** 3 - 3 * x[0] * x[1] ** 2  # Q³ cos 3Φ
    cos6 = 2 * cos3**2 - q2**3
    energy = -2.626 * q2 / 2 + 3.375 * q2**2 / 4 + (0.117 * q2**3 + 0.108 * cos6) / 6
    return energy - 1.945 * cos3 * p + 9.931 * q2 * p**2 / 2 + 0.866 * p**2 / 2


def odd_in_cos3(group):
    """The one-dimensional irrep of cos 3Φ."""
    turned = group.matrices[:, :, 0]
    sign = np.rint(turned[:, 0] ** 3 - 3 * turned[:, 0] * turned[:, 1] ** 2)
    return next(irrep.name for irrep in group.irreps if irrep.dim == 1 and (irrep.character == sign).all())


def test_an_improper_mode_follows_with_the_cube():
    group = dihedral(6)
    second = odd_in_cos3(group)
    record = instabilities(improper, group_space(group, ["E1", second]))
    assert [row["irrep"] for row in record.results["unstable"]] == ["E1"]
    child = ground(record)
    assert child["energy"] == pytest.approx(-0.611862, abs=1e-6)
    assert child["domains"] == 6
    assert child["stable"]
    first, follows = child["components"]
    assert first["irrep"] == "E1"
    assert first["primary"]
    assert first["amplitude"] == pytest.approx(0.95891, abs=1e-5)
    assert follows["irrep"] == second
    assert not follows["primary"]
    assert follows["amplitude"] == pytest.approx(0.17154, abs=1e-5)
    assert follows["exponent"] == pytest.approx(3, abs=0.05)
    angle = np.arctan2(first["direction"][1], first["direction"][0])
    vector = child["vector"]
    assert np.cos(6 * angle) == pytest.approx(1)
    assert np.sign(vector[2]) == np.sign(np.cos(3 * angle))


def simple_cubic():
    return crystal(Atoms("Po", cell=[4.0] * 3, pbc=True))


class EffectiveHamiltonian:
    """A vector on each site of a 2 × 2 × 2 lattice: a local well, and bonds along and across their direction."""

    def __init__(self, space, along, across, mixed):
        places = np.rint(space.sites.positions / 4.0).astype(int) % 2
        order = np.lexsort(places.T[::-1])
        self.grid = torch.from_numpy(order.copy())
        self.along, self.across, self.mixed = along, across, mixed

    def __call__(self, u):
        field = u[self.grid].reshape(2, 2, 2, 3)
        local = -0.5 * (u**2).sum() + 0.25 * (u**4).sum()
        x, y, z = (u**2).T
        local = local + 0.5 * self.mixed * (x * y + y * z + z * x).sum()
        bonds = 0.0
        for axis in range(3):
            pairs = field * torch.roll(field, -1, axis)
            strength = torch.full((3,), self.across, dtype=u.dtype)
            strength[axis] = self.along
            bonds = bonds + (pairs * strength).sum()
        return local + bonds


# couplings, irrep's number, wave vector of the lowest, one component, three components: (number, per site)
HAMILTONIANS = [
    ((-0.05, -0.05), "GM4", [0, 0, 0], {False: (99, 160), True: (83, 148)}),
    ((0.05, 0.05), "R4", [0.5, 0.5, 0.5], {False: (139, 166), True: (140, 167)}),
    ((-0.05, 0.05), "M3", [0.5, 0.5, 0], {False: (129, 217), True: (127, 204)}),
    ((0.05, -0.05), "X3", [0, 0, 0.5], {False: (123, 221), True: (124, 222)}),
]


@pytest.mark.parametrize("axial", [False, True])
@pytest.mark.parametrize("mixed", [2.0, 0.5])
@pytest.mark.parametrize(("couplings", "name", "k", "groups"), HAMILTONIANS)
def test_an_effective_hamiltonian_condenses_at_the_wave_vector_that_its_bonds_ask_for(
    couplings, name, k, groups, mixed, axial
):
    space = site_space(simple_cubic(), 2, axial=axial)
    record = instabilities(EffectiveHamiltonian(space, *couplings, mixed), space, dimensions=1)
    lowest = record.results["unstable"][0]
    assert lowest["irrep"] == name + ("+" if axial else "-")
    assert sorted(abs(x) for x in lowest["k"]) == sorted(k)
    assert lowest["dimension"] == 3
    assert lowest["eigenvalue"] == pytest.approx(-1.3)
    child = ground(record)
    assert child["energy"] / 8 == pytest.approx(-0.4225 if mixed == 2.0 else -0.63375, abs=1e-6)
    assert child["stable"]
    assert child["subgroup"]["number"] == groups[axial][mixed < 1]
    (mode,) = child["components"]
    assert mode["irrep"] == lowest["irrep"]
    assert mode["primary"]
    assert np.abs(np.asarray(child["vector"])).max() == pytest.approx(1.1402 if mixed == 2.0 else 0.806, abs=1e-3)
