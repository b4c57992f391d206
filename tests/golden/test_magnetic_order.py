"""Magnetic and chemical order whose groups are known (numbers of Belov, Neronova and Smirnova, by spglib)."""

import ase
import numpy as np
import pytest
from ase.build import bulk
from ase.spacegroup import crystal

from subduce.discovery import order_parameters
from tests.distortions import perovskite

IRON = bulk("Fe", a=2.87, cubic=True)
FLUORIDE = crystal(["Mn", "F"], [(0, 0, 0), (0.305, 0.305, 0)], spacegroup=136, cellpar=[4.87, 4.87, 3.31, 90, 90, 90])
CHROMIA = crystal(
    ["Cr", "O"], [(0, 0, 0.3475), (0.3058, 0, 0.25)], spacegroup=167, cellpar=[4.96, 4.96, 13.59, 90, 90, 120]
)
ARSENIDE = crystal(
    ["Cr", "Sb"], [(0, 0, 0), (1 / 3, 2 / 3, 0.25)], spacegroup=194, cellpar=[4.1, 4.1, 5.4, 90, 90, 120]
)
CENTRING = np.array([[0, 0, 0], [2, 1, 1], [1, 2, 2]]) / 3


def moments(atoms: ase.Atoms, symbol: str, values) -> ase.Atoms:
    """The atoms of a species with one moment each, in the order of the file."""
    found = np.zeros((len(atoms), 3))
    found[[i for i, atom in enumerate(atoms) if atom.symbol == symbol]] = values
    child = atoms.copy()
    child.arrays.pop("initial_magmoms", None)
    child.set_initial_magnetic_moments(found)
    return child


def along_the_chain(signs: str) -> np.ndarray:
    """Moments along c of the four Cr on a threefold axis of Cr2O3, from below, and so on all axes."""
    heights = np.array([0.1525, 0.3475, 0.6525, 0.8475])
    found = []
    for place in CHROMIA.get_scaled_positions()[CHROMIA.symbols == "Cr"]:
        on_axis = (place - CENTRING) % 1.0
        own = on_axis[np.abs(on_axis[:, :2] - np.rint(on_axis[:, :2])).max(axis=1) < 1e-3][0]
        found.append([0, 0, 1 if signs[np.abs(heights - own[2]).argmin()] == "+" else -1])
    return np.array(found)


def checkerboard(direction) -> ase.Atoms:
    """A perovskite whose B sites alternate in all directions."""
    big = perovskite().repeat(2)
    steps = np.rint(big.positions[big.symbols == "Ti"].sum(axis=1) / 4.0)
    return moments(big, "Ti", (-1.0) ** steps[:, None] * np.array(direction))


CASES = {
    "iron [001]": (IRON, moments(IRON, "Fe", [(0, 0, 1)] * 2), "139.537"),
    "iron [110]": (IRON, moments(IRON, "Fe", [(1, 1, 0)] * 2), "69.524"),
    "iron [111]": (IRON, moments(IRON, "Fe", [(1, 1, 1)] * 2), "166.101"),
    "iron in a plane": (IRON, moments(IRON, "Fe", [(1, 0.3, 0)] * 2), "12.62"),
    "iron, general": (IRON, moments(IRON, "Fe", [(1, 0.3, 0.7)] * 2), "2.4"),
    "MnF2 along z": (FLUORIDE, moments(FLUORIDE, "Mn", [(0, 0, 1), (0, 0, -1)]), "136.499"),
    "MnF2 along x": (FLUORIDE, moments(FLUORIDE, "Mn", [(1, 0, 0), (-1, 0, 0)]), "58.398"),
    "MnF2 along [110]": (FLUORIDE, moments(FLUORIDE, "Mn", [(1, 1, 0), (-1, -1, 0)]), "65.486"),
    "MnF2, ferromagnetic": (FLUORIDE, moments(FLUORIDE, "Mn", [(0, 0, 1), (0, 0, 1)]), "136.501"),
    "Cr2O3 +-+-": (CHROMIA, moments(CHROMIA, "Cr", along_the_chain("+-+-")), "167.106"),
    "Cr2O3 +--+": (CHROMIA, moments(CHROMIA, "Cr", along_the_chain("+--+")), "167.103"),
    "Cr2O3 ++--": (CHROMIA, moments(CHROMIA, "Cr", along_the_chain("++--")), "167.105"),
    "Cr2O3 ++++": (CHROMIA, moments(CHROMIA, "Cr", along_the_chain("++++")), "167.107"),
    "CrSb": (ARSENIDE, moments(ARSENIDE, "Cr", [(0, 0, 1), (0, 0, -1)]), "194.268"),
    "G-type along [001]": (perovskite(), checkerboard((0, 0, 1)), "140.550"),
    "G-type along [111]": (perovskite(), checkerboard((1, 1, 1)), "167.108"),
}


@pytest.mark.parametrize("name", CASES)
def test_magnetic_groups(name):
    parent, child, group = CASES[name]
    results = order_parameters(parent, child, method="group").results
    assert results["child"]["magnetic"] == group
    (mode,) = results["modes"]
    assert (mode["kind"], mode["primary"]) == ("magnetic", True)
    assert mode["irrep"].startswith("m")


def test_a_ferromagnet_breaks_an_axial_irrep_that_is_odd_in_time():
    results = order_parameters(IRON, CASES["iron [001]"][1]).results
    assert results["modes"][0]["irrep"] == "mGM4+"
    assert "network" not in results
    strain = {entry["irrep"]: entry["coupling"] for entry in results["secondary"]}
    assert strain["GM3+"] == "mGM4+^2 GM3+"


def test_order_of_two_species():
    child = perovskite().repeat(2)
    steps = np.rint(child.positions.sum(axis=1) / 4.0)
    child.symbols[(child.symbols == "Ti") & (steps % 2 == 1)] = "Zr"
    results = order_parameters(perovskite(), child, method="group").results
    assert results["child"]["symbol"] == "Fm-3m"
    (mode,) = results["modes"]
    assert (mode["irrep"], mode["kind"], mode["direction_symbol"]) == ("R1+", "occupation", "(a)")
