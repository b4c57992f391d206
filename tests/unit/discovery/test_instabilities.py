"""From an objective to its unstable irreps and the children below: cases with known answers, and what is refused."""

import json
from functools import cache

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.build import bulk
from ase.calculators.calculator import Calculator, all_changes
from ase.calculators.lj import LennardJones
from ase.neighborlist import neighbor_list
from scipy.optimize import minimize

from subduce.config import InputError
from subduce.crystals import crystal
from subduce.discovery import group_space, instabilities, site_space
from subduce.discovery._descent import Search
from subduce.discovery._objective import SpaceIrrep, isotropy_spaces, of_calculator, of_function
from subduce.groups import FiniteGroup, dihedral, isotropy_subgroups, point_group


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


@cache
def simple_cubic(axial=False):
    """Vectors on the sites of a 2 × 2 × 2 lattice."""
    return site_space(crystal(Atoms("Po", cell=[4.0] * 3, pbc=True)), 2, axial=axial)


class EffectiveHamiltonian:
    """A vector on each site of a 2 × 2 × 2 lattice: a local well, and bonds along and across their direction."""

    def __init__(self, along, across, mixed):
        places = np.rint(simple_cubic().sites.positions / 4.0).astype(int) % 2
        self.order = torch.from_numpy(np.lexsort(places.T[::-1]).copy())
        self.strengths = (torch.eye(3, dtype=torch.float64) * (along - across) + across).reshape(3, 1, 1, 1, 3)
        self.mixed = mixed

    def __call__(self, u):
        field = u[self.order].reshape(2, 2, 2, 3)
        x, y, z = (u**2).T
        energy = -0.5 * (u**2).sum() + 0.25 * (u**4).sum() + 0.5 * self.mixed * (x * y + y * z + z * x).sum()
        return energy + sum((s * field * torch.roll(field, -1, a)).sum() for a, s in enumerate(self.strengths))


class Wells(Calculator):
    """The same as a calculator of eV and Å."""

    implemented_properties = ("energy", "forces")

    def __init__(self, hamiltonian):
        super().__init__()
        self.hamiltonian = hamiltonian

    def calculate(self, atoms=None, properties=("energy",), system_changes=all_changes):
        super().calculate(atoms, properties, system_changes)
        u = torch.tensor(atoms.positions - simple_cubic().sites.positions, requires_grad=True)
        energy = self.hamiltonian(u)
        (slope,) = torch.autograd.grad(energy, u)
        self.results = {"energy": float(energy.detach()), "forces": -slope.numpy()}


# bonds along and across, irrep, wave vector; space groups of polar and of axial vectors, one and three components
HAMILTONIANS = [
    ((-0.05, -0.05), "GM4", [0, 0, 0], (99, 160), (83, 148)),
    ((0.05, 0.05), "R4", [0.5, 0.5, 0.5], (139, 166), (140, 167)),
    ((-0.05, 0.05), "M3", [0, 0.5, 0.5], (129, 217), (127, 204)),
    ((0.05, -0.05), "X3", [0, 0, 0.5], (123, 221), (124, 222)),
]


def assert_condensed(record, name, k, energy, size):
    lowest = record.results["unstable"][0]
    assert lowest["irrep"] == name
    assert sorted(np.abs(lowest["k"])) == k
    assert lowest["dimension"] == 3
    assert lowest["eigenvalue"] == pytest.approx(-1.3, abs=1e-3)
    child = ground(record)
    assert child["energy"] / 8 == pytest.approx(energy, abs=1e-6)
    assert child["stable"]
    (mode,) = child["components"]
    assert mode["irrep"] == name
    assert mode["primary"]
    assert mode["amplitude_parent"] == pytest.approx(np.linalg.norm(child["vector"]) / 8**0.5)
    assert np.abs(child["vector"]).max() == pytest.approx(size, abs=1e-3)


@pytest.mark.parametrize(("mixed", "energy", "size"), [(2.0, -0.42250, 1.1402), (0.5, -0.63375, 0.806)])
@pytest.mark.parametrize(("bonds", "name", "k", "polar", "turns"), HAMILTONIANS)
def test_bonds_decide_at_which_wave_vector_a_field_condenses(bonds, name, k, polar, turns, mixed, energy, size):
    record = instabilities(EffectiveHamiltonian(*bonds, mixed), simple_cubic(), dimensions=1, threshold=1.25)
    assert_condensed(record, f"{name}-", k, energy, size)
    child = ground(record)
    three = mixed < 1
    assert child["subgroup"]["number"] == polar[three]
    assert child["space_group"]["number"] == (
        221 if name == "GM4" else polar[three]
    )  # a shift of the whole is no change
    assert child["domains"] == (8 if three else 6)
    axial = simple_cubic(axial=True)  # the energy is the same if each vector is a rotation, the subgroup is another
    vector = np.asarray(child["vector"]).ravel()
    assert axial.called(axial.keeping(vector, 1e-5))["number"] == turns[three]


def test_an_irrep_without_a_label_has_its_wave_vector_and_characters():
    space = site_space(crystal(Atoms("Po", cell=[4.0] * 3, pbc=True)), np.diag([1, 1, 3]))
    assert space.cells == 27
    line = next(one.label for one, _ in space.parts if not one.irrep.name.startswith("GM"))
    assert line["irrep"].startswith("k=(")
    assert line["characters"][0][0] * 6 == line["dimension"]


def test_axial_vectors_have_irreps_of_the_other_parity():
    record = instabilities(EffectiveHamiltonian(0.05, 0.05, 2.0), simple_cubic(axial=True), dimensions=1, threshold=1.0)
    assert_condensed(record, "R4+", [0.5, 0.5, 0.5], -0.42250, 1.1402)
    assert ground(record)["subgroup"] == {"number": 140, "symbol": "I4/mcm", "index": 6, "cell_size": 2}


def test_a_calculator_says_the_same_as_the_function_that_it_wraps():
    record = instabilities(Wells(EffectiveHamiltonian(-0.05, 0.05, 2.0)), simple_cubic(), dimensions=1, threshold=1.25)
    assert_condensed(record, "M3-", [0, 0.5, 0.5], -0.42250, 1.1402)
    assert ground(record)["subgroup"]["number"] == 129


def lennard_jones():
    return LennardJones(sigma=1.0, epsilon=1.0, rc=2.5, ro=2.0, smooth=True)


def test_a_simple_cubic_lennard_jones_crystal_lists_its_instabilities_and_finds_its_ground_state():
    space = site_space(crystal(Atoms("Ar", cell=[1.08] * 3, pbc=True)), 2)
    record = instabilities(lennard_jones(), space)
    objective = of_calculator(lennard_jones(), space.sites, None)
    nothing = np.zeros(space.dim)
    columns, _ = objective.columns(nothing, np.eye(space.dim))
    values = np.linalg.eigvalsh((columns + columns.T) / 2)
    listed = sorted(v for row in record.results["irreps"] for v in np.repeat(row["eigenvalues"], row["dimension"]))
    np.testing.assert_allclose(listed, values, atol=5e-3 * values.max())
    assert [(row["irrep"], row["dimension"]) for row in record.results["unstable"]] == [("M3-", 3), ("X5-", 6)]
    assert sum(row["dimension"] for row in record.results["unstable"]) == (values < -1).sum()
    lowest, random = ground(record), np.random.default_rng(0)
    for _ in range(3):
        start = 0.08 * random.normal(size=space.dim)
        found = minimize(objective.value, start, jac=True, method="BFGS", options={"gtol": 1e-4})
        assert lowest["energy"] <= found.fun - record.results["energy"] + 1e-3
    assert lowest["space_group"] == {"number": 148, "symbol": "R-3"}
    assert record.results["space_group"] == {"number": 221, "symbol": "Pm-3m"}
    assert record.results["parent"] == {"number": 221, "symbol": "Pm-3m", "index": 1, "cell_size": 1}
    moved = np.asarray(lowest["structure"]["positions"]) - record.results["structure"]["positions"]
    np.testing.assert_allclose(moved, lowest["vector"], atol=1e-12)
    for child in record.results["children"]:
        assert child["energy"] < 0
        assert child["domains"] == child["subgroup"]["index"]


def test_a_face_centred_lennard_jones_crystal_is_stable_and_its_shifts_are_no_instability():
    record = instabilities(lennard_jones(), site_space(crystal(bulk("Ar", "fcc", a=1.55)), 2))
    assert record.results["unstable"] == record.results["children"] == []
    assert record.results["ground_state"] is None
    assert record.results["verdict"].startswith("Stable")
    assert record.results["irreps"][0]["eigenvalues"] == pytest.approx([0.0], abs=1e-6)
    json.loads(record.to_json())


class Octahedra:
    """Stiff octahedra of anions, and a large cation that pulls at its twelve neighbours."""

    def __init__(self, sites, pull):
        first, second, self.apart = (torch.from_numpy(part) for part in neighbor_list("ijD", sites, 3.0))
        self.pairs, self.pull = (first, second), pull
        kinds = np.sort(sites.numbers[np.stack(self.pairs)], axis=0)
        self.cations = torch.from_numpy(np.flatnonzero(sites.numbers != 8))
        self.bonds = [torch.from_numpy((kinds == [[a], [b]]).all(axis=0)) for a, b in ((8, 22), (8, 8), (8, 38))]

    def __call__(self, u):
        first, second = self.pairs
        length = torch.linalg.norm(self.apart + u[second] - u[first], dim=1)
        centre, edge, cation = (length[bond] for bond in self.bonds)
        near = (2.3 / cation) ** 6
        stiff = 10 * ((centre - 2.0) ** 2).sum() + 2.5 * ((edge - 8**0.5) ** 2).sum()
        return (stiff + self.pull * (near**2 - 2 * near).sum()) / 2 + 3 * (u[self.cations] ** 2).sum()


def test_tilts_of_stiff_octahedra_drive_secondary_modes():
    sites = [[0.5, 0.5, 0.5], [0, 0, 0], [0.5, 0, 0], [0, 0.5, 0], [0, 0, 0.5]]
    space = site_space(crystal(Atoms("SrTiO3", cell=[4.0] * 3, pbc=True, scaled_positions=sites)), 2)
    record = instabilities(Octahedra(space.sites, 0.3), space, dimensions=1)
    assert {row["irrep"] for row in record.results["unstable"]} == {"R4+", "M3+"}
    found = {child["along"]: child for child in record.results["children"]}
    table = {"R4+ (0,0,a)": 140, "R4+ (a,a,a)": 167, "R4+ (0,a,a)": 74}  # Howard and Stokes 1998
    table |= {"M3+ (0;0;a)": 127, "M3+ (a;a;a)": 204, "M3+ (0;a;a)": 139}
    assert {way: found[way]["subgroup"]["number"] for way in table} == table
    for child in found.values():
        assert child["space_group"]["number"] == child["subgroup"]["number"]
    orthorhombic = next(child for child in found.values() if child["subgroup"]["symbol"] == "Pnma")
    assert orthorhombic["domains"] == 24
    modes = {mode["irrep"]: mode for mode in orthorhombic["components"]}
    assert [name for name, mode in modes.items() if mode["primary"]] == ["R4+", "M3+"]
    powers = {name: mode["exponent"] for name, mode in modes.items() if not mode["primary"]}
    assert powers == pytest.approx({"X5+": 2, "R5+": 3, "M2+": 3}, abs=0.01)  # R4+ M3+ X5+; R4+ M3+² R5+; R4+² M3+ M2+
    assert all(modes[name]["amplitude"] < 0.1 * modes["M3+"]["amplitude"] for name in powers)


@pytest.mark.parametrize("name", ["Oh", "D6h", "Td", "C4", "T"])
def test_isotropy_directions_are_those_of_the_lattice_of_subgroups(name):
    group = point_group(name)
    for irrep in group.irreps:
        known = {(way.dimension, way.direction) for way in isotropy_subgroups(group, irrep) if way.dimension}
        assert {(basis.shape[1], symbol) for basis, symbol in isotropy_spaces(SpaceIrrep(irrep), irrep.dim)} == known


QUATERNIONS = {
    "i": [[0, -1, 0, 0], [1, 0, 0, 0], [0, 0, 0, -1], [0, 0, 1, 0]],
    "j": [[0, 0, -1, 0], [0, 0, 0, 1], [1, 0, 0, 0], [0, -1, 0, 0]],
}


@pytest.mark.parametrize("group", [point_group("D3h"), point_group("C4"), point_group("T"), None], ids=str)
def test_multiplets_are_eigenvectors_that_turn_as_their_irreps(group):
    group = group or FiniteGroup.from_matrices(QUATERNIONS, elements="words")
    matrices = group.regular
    form = np.random.default_rng(0).normal(size=matrices.shape[1:])
    form = np.einsum("gij,jk,glk->il", matrices, form + form.T, matrices) / group.order
    space = group_space(group, matrices)
    quadratic = torch.from_numpy(form)
    about = of_function(lambda x: x @ quadratic @ x / 2, space.shape, None)
    search = Search(about, space, np.zeros(space.dim), 0.0, False, None, 1, 0, [], print)
    for multiplet in search.multiplets:
        np.testing.assert_allclose(form @ multiplet.vectors, multiplet.eigenvalue * multiplet.vectors, atol=1e-10)
        turned = np.einsum("nd,gde->gne", multiplet.vectors, multiplet.of.irrep.matrices)
        np.testing.assert_allclose(matrices @ multiplet.vectors, turned, atol=1e-10)
    values = np.concatenate([np.repeat(m.eigenvalue, m.of.irrep.dim) for m in search.multiplets])
    np.testing.assert_allclose(values, np.linalg.eigvalsh(form), atol=1e-10)


def test_what_a_group_changes_is_refused():
    with pytest.raises(InputError, match="not invariant under the group of T1u of Oh"):
        instabilities(lambda p: (p @ p) + 0.1 * p[0], group_space(point_group("Oh"), "T1u"))
    with pytest.raises(InputError, match="no point of high symmetry"):
        instabilities(landau(1, 2, 0), group_space(point_group("Oh"), "T1u"), at=[0.1, 0, 0])
    with pytest.raises(InputError, match="without end"):
        instabilities(lambda p: -p.sum(), group_space(point_group("Oh"), "A1g"))


def test_an_objective_without_a_lower_bound_has_warnings_in_place_of_children():
    results = instabilities(lambda p: -(p @ p), group_space(point_group("Oh"), "T1u")).results
    assert results["children"] == []
    assert results["ground_state"] is None
    assert any("falls without end" in text for text in results["warnings"])


def test_a_symmetric_point_is_first_moved_to_its_own_minimum():
    space = group_space(point_group("Oh"), ["A1g", "T1u"])
    record = instabilities(lambda x: (x[0] - 0.3) ** 2 - x[0] * (x[1:] ** 2).sum() + (x[1:] ** 4).sum(), space)
    assert record.results["origin"] == pytest.approx([0.3, 0, 0, 0], abs=1e-6)
    assert record.results["unstable"][0]["eigenvalue"] == pytest.approx(-0.6, abs=1e-5)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: group_space(point_group("Oh"), np.ones((3, 2, 2))), "a square matrix for each of 48"),
        (lambda: group_space(point_group("C4"), 2 * point_group("C4").matrices), "no orthogonal representation"),
        (lambda: instabilities(lennard_jones(), group_space(point_group("Oh"), "T1u")), "site_space"),
        (lambda: instabilities(lennard_jones(), simple_cubic(axial=True)), "displacements of all sites"),
        (lambda: instabilities(lambda x: x, group_space(point_group("Oh"), "T1u")), "one number"),
        (lambda: instabilities(landau(1, 2, 0), group_space(point_group("Oh"), "T1u"), at=[0.0]), "1 components"),
        (lambda: instabilities(landau(1, 2, 0), group_space(point_group("Oh"), "T1u"), dimensions=0), "at least 1"),
    ],
)
def test_misuse_is_named(call, words):
    with pytest.raises(ValueError, match=words):
        call()
