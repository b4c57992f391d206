"""Distortions whose irreps, amplitudes and space groups are known."""

import ase
import numpy as np
import pytest

from subduce.discovery import order_parameters
from tests.distortions import breathing, distorted, jahn_teller, manganite, perovskite, polar, presented

a, b, c = 0.11, 0.17, 0.23

# Tilts of Glazer (Acta Cryst. B 28, 3384, 1972); space groups as Howard and Stokes (Acta Cryst. B 54, 782, 1998) and
# spglib find them: out-of-phase r, in-phase m, space group, formula units of the primitive cell.
GLAZER = {
    "a+b+c+": ((0, 0, 0), (a, b, c), 71, 4),
    "a+b+b+": ((0, 0, 0), (a, b, b), 71, 4),
    "a+a+a+": ((0, 0, 0), (a, a, a), 204, 4),
    "a+b+c-": ((0, 0, c), (a, b, 0), 59, 8),
    "a+a+c-": ((0, 0, c), (a, a, 0), 137, 8),
    "a+b+b-": ((0, 0, b), (a, b, 0), 59, 8),
    "a+a+a-": ((0, 0, a), (a, a, 0), 137, 8),
    "a+b-c-": ((0, b, c), (a, 0, 0), 11, 4),
    "a+a-c-": ((0, a, c), (a, 0, 0), 11, 4),
    "a+b-b-": ((0, b, b), (a, 0, 0), 62, 4),
    "a+a-a-": ((0, a, a), (a, 0, 0), 62, 4),
    "a-b-c-": ((a, b, c), (0, 0, 0), 2, 2),
    "a-b-b-": ((a, b, b), (0, 0, 0), 15, 2),
    "a-a-a-": ((a, a, a), (0, 0, 0), 167, 2),
    "a0b+c+": ((0, 0, 0), (0, b, c), 71, 4),
    "a0b+b+": ((0, 0, 0), (0, b, b), 139, 4),
    "a0b+c-": ((0, 0, c), (0, b, 0), 63, 4),
    "a0b+b-": ((0, 0, b), (0, b, 0), 63, 4),
    "a0b-c-": ((0, b, c), (0, 0, 0), 12, 2),
    "a0b-b-": ((0, b, b), (0, 0, 0), 74, 2),
    "a0a0c+": ((0, 0, 0), (0, 0, c), 127, 2),
    "a0a0c-": ((0, 0, c), (0, 0, 0), 140, 2),
}
DOMAINS = {"a0a0c-": 6, "a-a-a-": 8, "a0b-b-": 12, "a0a0c+": 6, "a+a+a+": 8, "a+b-b-": 24}


def found(parent, child, method="group", **options):
    results = order_parameters(parent, child, method=method, **options).results
    return results, {mode["irrep"]: mode for mode in results["modes"] if mode["kind"] == "displacement"}


@pytest.mark.parametrize("name", GLAZER)
def test_all_tilt_systems(name):
    r, m, number, size = GLAZER[name]
    results, modes = found(perovskite(), distorted(r=r, m=m), method="both")
    assert (results["child"]["number"], results["cell_size"]) == (number, size)
    assert results["network"]["agrees"]
    assert results["network"]["forbidden_max"] < 1e-9
    assert set(results["network"]["found"]) == set(modes) <= set(results["network"]["admissible"])
    expected = {irrep: np.sqrt(2 * size) * np.linalg.norm(w) for irrep, w in (("R4+", r), ("M3+", m)) if np.any(w)}
    assert {irrep: mode["amplitude"] for irrep, mode in modes.items()} == pytest.approx(expected, abs=1e-6)
    assert all(mode["primary"] for mode in modes.values())
    for irrep, tilt in (("R4+", r), ("M3+", m)):
        if np.any(tilt):
            direction = np.sort(np.abs(modes[irrep]["direction"]))
            np.testing.assert_allclose(direction, np.sort(tilt) / np.linalg.norm(tilt), atol=1e-6)
    if name in DOMAINS:
        assert results["domains"] == DOMAINS[name]


def test_nothing_broken():
    results, modes = found(perovskite(), distorted())
    assert (results["verdict"], results["index"], modes) == ("unbroken", 1, {})


def test_pnma_as_known():
    results, modes = found(perovskite(), distorted(r=(0, b, b), m=(a, 0, 0)))
    assert modes["R4+"]["direction_symbol"] == "(0,a,a)"
    assert modes["M3+"]["direction_symbol"] == "(a;0;0)"
    assert modes["R4+"]["amplitude"] == pytest.approx(0.68, abs=1e-4)
    assert modes["M3+"]["amplitude"] == pytest.approx(0.3111, abs=1e-4)
    assert modes["R4+"]["amplitude_parent"] == pytest.approx(0.34, abs=1e-4)
    assert modes["R4+"]["isotropy_subgroup"]["number"] == 74
    assert modes["M3+"]["isotropy_subgroup"]["number"] == 127
    zero = {s["irrep"]: s["coupling"] for s in results["secondary"] if s["kind"] == "displacement"}
    assert set(zero) == {"X5+", "M2+", "R5+"}
    assert zero["X5+"] in ("R4+ M3+ X5+", "M3+ R4+ X5+")
    assert next(s["irreps"] for s in results["sites"] if s["species"] == "Ti") == ["1e"]
    assert results["lost"] == {"point": 6, "translations": 4}


def test_labels_move_with_the_origin():
    child = distorted(r=(0, b, b), m=(a, 0, 0))
    results, modes = found(perovskite("A"), child)
    assert set(modes) == {"R5-", "M2+"}
    assert modes["R5-"]["amplitude"] == pytest.approx(0.68, abs=1e-4)
    assert results["origin"]["site"] == "Sr"
    (other,) = results["alternative_origin"]
    assert other["labels"] == {"R5-": "R4+", "M2+": "M3+"}
    assert other["origin"]["site"] == "Ti"


CASES = {  # moves, r, m, space group, irreps with amplitudes where stated
    "polar [001]": (polar((0, 0, 0.1)), (0, 0, 0), (0, 0, 0), 99, {"GM4-": None}),
    "polar [011]": (polar((0, 0.1, 0.1)), (0, 0, 0), (0, 0, 0), 38, {"GM4-": None}),
    "polar [111]": (polar((0.1, 0.1, 0.1)), (0, 0, 0), (0, 0, 0), 160, {"GM4-": None}),
    "tilt and polar along": (polar((0, 0, 0.05)), (0, 0, a), (0, 0, 0), 108, {"R4+": None, "GM4-": None}),
    "tilt and polar across": (polar((0.05, 0, 0)), (0, 0, a), (0, 0, 0), 42, {"R4+": None, "GM4-": None}),
    "tilt and polar diagonal": (polar((0.05, 0.05, 0)), (0, 0, a), (0, 0, 0), 46, {"R4+": None, "GM4-": None}),
    "BiFeO3": (polar((0.05, 0.05, 0.05)), (a, a, a), (0, 0, 0), 161, {"R4+": None, "GM4-": None}),
    "Ima2": (polar((0, 0.05, 0.05)), (0, a, a), (0, 0, 0), 46, {"R4+": None, "GM4-": None}),
    "Imm2": (polar((0, 0.05, -0.05)), (0, a, a), (0, 0, 0), 44, {"R4+": None, "GM4-": None}),
    "Ima2 again": (polar((0.05, 0, 0)), (0, a, a), (0, 0, 0), 46, {"R4+": None, "GM4-": None}),
    "Pna2_1": (polar((0.05, 0, 0)), (0, b, b), (a, 0, 0), 33, {"R4+": None, "M3+": None, "GM4-": None}),
    "Pmc2_1": (polar((0, 0.05, 0.05)), (0, b, b), (a, 0, 0), 26, {"R4+": None, "M3+": None, "GM4-": None}),
    "Pmn2_1": (polar((0, 0.05, -0.05)), (0, b, b), (a, 0, 0), 31, {"R4+": None, "M3+": None, "GM4-": None}),
    "R3": (polar((0.05, 0.05, 0.05)), (0, 0, 0), (a, a, a), 146, {"M3+": None, "GM4-": None}),
    "Q2 at M": (jahn_teller(0.05, (1, 1, 0)), (0, 0, 0), (0, 0, 0), 127, {"M2+": 0.1}),
    "Q2 at R": (jahn_teller(0.05, (1, 1, 1)), (0, 0, 0), (0, 0, 0), 140, {"R3+": 0.1}),
    "Q3 at R": (jahn_teller(0.05, (1, 1, 1), third=True), (0, 0, 0), (0, 0, 0), 139, {"R3+": 0.1732}),
    "breathing": (breathing(0.05), (0, 0, 0), (0, 0, 0), 225, {"R1+": 0.1225}),
    "nickelate": (breathing(0.05), (b, b, 0), (0, 0, a), 14, {"R4+": 0.68, "M3+": 0.3111, "R1+": 0.1732}),
    "tilts, Q2 at M": (
        jahn_teller(0.05, (1, 1, 0)), (b, b, 0), (0, 0, a), 62, {"R4+": 0.68, "M3+": 0.3111, "M2+": 0.1414},
    ),
    "antipolar, one arm": ([("B", (0, 0, 1), (0, 0, 0.1))], (0, 0, 0), (0, 0, 0), 123, {"X3-": None}),
    "antipolar, three arms": (
        [("B", (0, 0, 1), (0, 0, 0.1)), ("B", (0, 1, 0), (0, 0.1, 0)), ("B", (1, 0, 0), (0.1, 0, 0))],
        (0, 0, 0), (0, 0, 0), 221, {"X3-": None},
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_distortions_as_known(name):
    moves, r, m, number, irreps = CASES[name]
    results, modes = found(perovskite(), distorted(moves, r, m))
    assert results["child"]["number"] == number
    assert results["verdict"] == "broken"
    assert set(modes) == set(irreps)
    for irrep, amplitude in irreps.items():
        if amplitude is not None:
            assert modes[irrep]["amplitude"] == pytest.approx(amplitude, abs=1e-4)


def test_same_symbol_but_translations_lost():
    results, _ = found(perovskite(), distorted(CASES["antipolar, three arms"][0]))
    assert results["parent"] == results["child"]
    assert results["lost"] == {"point": 1, "translations": 8}


def test_primary_and_secondary():
    _, modes = found(perovskite(), distorted(breathing(0.05), (b, b, 0), (0, 0, a)))
    assert modes["R1+"]["primary"]
    _, modes = found(perovskite(), distorted(jahn_teller(0.05, (1, 1, 0)), (b, b, 0), (0, 0, a)))
    assert not modes["M2+"]["primary"]
    assert modes["R4+"]["primary"]


@pytest.mark.parametrize(
    ("phase", "uniform", "number", "irreps"),
    [(0.0, 0.0, 185, {"K3": 0.5196}), (np.pi / 3, 0.0, 185, {"K3": 0.5196}), (0.2, 0.0, 158, {"K3": 0.5196}),
     (0.0, 0.1, 185, {"K3": 0.5196, "GM2-": 0.2191}), (None, 0.1, 186, {"GM2-": None})],
)  # fmt: skip
def test_improper_ferroelectric(phase, uniform, number, irreps):
    moves = (lambda x, y: 0.0) if phase is None else (lambda x, y: 0.3 * np.cos(2 * np.pi * (x + y) / 3 + phase))
    results, modes = found(*manganite(moves, uniform))
    assert results["child"]["number"] == number
    assert set(modes) == set(irreps)
    for irrep, amplitude in irreps.items():
        if amplitude is not None:
            assert modes[irrep]["amplitude"] == pytest.approx(amplitude, abs=1e-4)
    if number == 185:
        assert results["domains"] == 6
        coupling = {entry["irrep"]: entry["coupling"] for entry in results["secondary"]}
        assert coupling["GM2-"] == "K3^3 GM2-"
        assert modes["K3"]["primary"]


@pytest.mark.parametrize(("noise", "close"), [(0.0, 2e-3), (0.003, 1e-2)])
def test_presentation_does_not_matter(noise, close):
    """Any rotation, mirror, origin, order of atoms and cell gives the same answer."""
    generator = np.random.default_rng(0)
    child = distorted(r=(0, b, b), m=(a, 0, 0))
    for _ in range(5):
        results, modes = found(perovskite(), presented(child, generator, noise))
        assert results["child"]["number"] == 62
        assert set(modes) == {"R4+", "M3+"}
        assert modes["R4+"]["amplitude"] == pytest.approx(0.68, abs=close)
        assert modes["M3+"]["amplitude"] == pytest.approx(0.3111, abs=close)
        assert modes["R4+"]["direction_symbol"] == "(0,a,a)"


def test_many_frames_tell_what_is_significant():
    generator = np.random.default_rng(1)
    child = distorted(r=(0, b, b), m=(a, 0, 0))
    frames = [child.copy() for _ in range(50)]
    for frame in frames:
        frame.positions += 0.01 * generator.standard_normal(frame.positions.shape)
    results, modes = found(perovskite(), frames)
    assert results["child"]["number"] == 62
    assert set(modes) == {"R4+", "M3+"}
    for irrep, amplitude in (("R4+", 0.68), ("M3+", 0.3111)):
        low, high = modes[irrep]["interval"]
        assert modes[irrep]["p_value"] < 1e-20
        assert low < modes[irrep]["amplitude"] < high
        assert modes[irrep]["amplitude"] == pytest.approx(amplitude, abs=0.01)
        # a component of a mode is as uncertain as a coordinate of the file, averaged over the two cells that it holds
        assert high - low == pytest.approx(2 * 2.01 * 0.01 / np.sqrt(2 * 50), rel=0.4)
    absent = {s["irrep"]: s["p_value"] for s in results["secondary"] if s["kind"] == "displacement"}
    assert set(absent) == {"X5+", "M2+", "R5+"}
    assert min(absent.values()) > 0.05


# ICSD 63157 and 16688 as anonymous ABX3, as Smidt, Geiger and Miller (Phys. Rev. Research 3, L012002, 2021) use them.
ANONYMOUS = [
    (0.268, 0.732, 0.026), (0.732, 0.268, 0.974), (0.732, 0.268, 0.526), (0.268, 0.732, 0.474),
    (0.768, 0.768, 0.974), (0.232, 0.232, 0.026), (0.232, 0.232, 0.474), (0.768, 0.768, 0.526),
    (0.963, 0.518, 0.25), (0.537, 0.018, 0.25), (0.463, 0.982, 0.75), (0.037, 0.482, 0.75),
]  # fmt: skip


def test_the_perovskite_of_the_paper():
    edge = 4.05596
    cell = edge * np.array([[1, 1, 0], [-1, 1, 0], [0, 0, 2]])
    sites = [(0, 0, 0.25), (0.5, 0.5, 0.25), (0.5, 0.5, 0.75), (0, 0, 0.75)]
    octahedra = [(0, 0.5, 0), (0.5, 0, 0), (0.5, 0, 0.5), (0, 0.5, 0.5)]
    child = ase.Atoms("Sr4Ti4O12", scaled_positions=[*sites, *octahedra, *ANONYMOUS], cell=cell, pbc=True)
    parent = perovskite()
    parent.set_cell([edge] * 3, scale_atoms=True)
    results, modes = found(parent, child)
    assert results["child"]["number"] == 62
    expected = {"R4+": 0.7220, "M3+": 0.4130, "X5+": 0.2065, "R5+": 0.1217}
    assert {irrep: mode["amplitude"] for irrep, mode in modes.items()} == pytest.approx(expected, abs=1e-3)
    assert modes["R4+"]["direction_symbol"] == "(0,a,a)"
    assert modes["M3+"]["direction_symbol"] == "(a;0;0)"
    assert modes["R5+"]["direction_symbol"] == "(0,a,-a)"
    assert [modes[irrep]["primary"] for irrep in expected] == [True, True, False, False]
    assert np.linalg.norm(results["structures"]["displacements"], axis=1).max() == pytest.approx(0.2565, abs=1e-3)


def test_waves_on_a_line_without_a_label():
    """Antiparallel A sites with a wave vector on Σ, as in PbZrO3: given by wave vector and characters."""
    parent = perovskite()
    child = parent.repeat((4, 4, 1))
    lead = np.flatnonzero(child.symbols == "Sr")
    phase = np.pi / 2 * np.rint(child.positions[lead][:, :2] / 4.0 - 0.5).sum(axis=1) + np.pi / 4
    child.positions[lead] += 0.2 * np.cos(phase)[:, None] * np.array([1, -1, 0]) / np.sqrt(2)
    results, modes = found(parent, child)
    (mode,) = modes.values()
    assert mode["primary"]
    assert sorted(np.abs(mode["k"])) == [0, 0.25, 0.25] or sorted(mode["k"]) == [0, 0.25, 0.75]
    assert mode["irrep"].startswith("k=(")
    assert mode["characters"]
    assert results["cell_size"] == 4
    assert any("label" in text for text in results["warnings"])


def test_uncertain_coordinates_make_small_modes_insignificant():
    child = distorted(jahn_teller(0.001, (1, 1, 0)), r=(b, b, 0), m=(0, 0, a))
    results, modes = found(perovskite(), child, sigma=0.002)
    assert set(modes) == {"R4+", "M3+"}
    assert next(s["p_value"] for s in results["secondary"] if s["irrep"] == "M2+") > 0.05
    _, modes = found(perovskite(), child, sigma=0.0001)
    assert "M2+" in modes
    assert modes["R4+"]["interval"][0] < 0.68 < modes["R4+"]["interval"][1]


def test_intervals_from_uncertainties_are_those_of_structures_refined_again():
    """In a tetragonal phase every atom has one coordinate, and two anions share one."""
    child = distorted(polar((0, 0, 0.1)))
    _, modes = found(perovskite(), child, sigma=0.002)
    low, high = modes["GM4-"]["interval"]
    # Sr, Ti, O along z, and the two O of the plane, which are one parameter: errors σ, of what lies along the mode.
    along = np.array([-0.1, 0.4, -0.1, -0.1, -0.1]) / np.sqrt(0.2)
    sigma = 0.002 * np.sqrt(along[0] ** 2 + along[1] ** 2 + along[2] ** 2 + (along[3] + along[4]) ** 2)
    assert high - low == pytest.approx(2 * 1.96 * sigma, rel=1e-3)


@pytest.mark.parametrize(
    ("cell", "number", "irrep", "symbol"),
    [
        (np.diag([4, 4, 4.1]), 123, "GM3+", "(a,0)"),
        (np.diag([4, 4.05, 4.1]), 47, "GM3+", "(a,b)"),
        (np.array([[4, 0.05, 0.05], [0.05, 4, 0.05], [0.05, 0.05, 4]]), 166, "GM5+", "(a,a,a)"),
    ],
)
def test_strain_is_primary_where_nothing_else_breaks_the_symmetry(cell, number, irrep, symbol):
    child = perovskite()
    child.set_cell(cell, scale_atoms=True)
    results = order_parameters(perovskite(), child).results
    assert results["child"]["number"] == number
    (mode,) = results["modes"]
    assert (mode["irrep"], mode["kind"], mode["direction_symbol"], mode["primary"]) == (irrep, "strain", symbol, True)
    assert "network" not in results  # it moves atoms, and none moves
    assert results["warnings"] == []
