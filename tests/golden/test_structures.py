"""Published structures: what each breaks, as stored and as the literature has it."""

import json

import numpy as np
import pytest

from subduce.discovery import order_parameters
from tests.distortions import presented
from tests.golden import regenerate_structures as structures

STORED = json.loads(structures.FILE.read_text())

# Primary irreps with the A site at the origin (R5- and M2+ are R4+ and M3+ from the B site), as published for these
# transitions: BaTiO3 (Cowley, Adv. Phys. 29, 1, 1980), tilts (Howard and Stokes, Acta Cryst. B 54, 782, 1998), YMnO3
# (Fennie and Rabe, Phys. Rev. B 72, 100103, 2005).
PUBLISHED = {
    "BaTiO3_tetragonal": ["GM4-"],
    "BaTiO3_orthorhombic": ["GM4-"],
    "BaTiO3_rhombohedral": ["GM4-"],
    "SrTiO3_I4mcm": ["R5-"],
    "CaTiO3_Pnma": ["M2+", "R5-"],
    "GdFeO3_Pnma": ["M3+", "R4+"],
    "LaAlO3_R-3c": ["R5-"],
    "NaNbO3_P4mbm": ["M2+"],
    "NaNbO3_R3c": ["GM4-", "R5-"],
    "YMnO3_P63cm": ["K3"],
}


@pytest.fixture(scope="module")
def found():
    return structures.answers()


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_transitions(found, name):
    assert found[name]["primary"] == PUBLISHED[name]
    assert found[name]["child"][0] == structures.pairs()[name][1].info["spacegroup"]


@pytest.mark.parametrize("name", PUBLISHED)
def test_answers_have_not_moved(found, name):
    stored = STORED[name]
    for irrep, (symbol, amplitude, number) in stored["modes"].items():
        assert found[name]["modes"][irrep][::2] == [symbol, number]
        assert found[name]["modes"][irrep][1] == pytest.approx(amplitude, abs=2e-5)
    assert found[name]["strain"] == pytest.approx(stored["strain"], abs=2e-5)
    rest = ("source", "origin", "child", "index", "couplings")
    assert {key: found[name][key] for key in rest} == {key: stored[key] for key in rest}
    assert set(found[name]["modes"]) == set(stored["modes"])


def test_group_theory_and_the_network_agree(found):
    assert all(answer["agrees"] for answer in found.values())


@pytest.mark.parametrize("name", ["BaTiO3_orthorhombic", "CaTiO3_Pnma", "NaNbO3_P4mbm", "YMnO3_P63cm"])
def test_noise_in_another_presentation_changes_no_verdict(name):
    generator = np.random.default_rng(0)
    parent, child = structures.pairs()[name]
    for _ in range(3):
        results = order_parameters(parent, presented(child, generator, noise=0.003), method="group").results
        assert results["child"]["number"] == STORED[name]["child"][0]
        assert sorted(mode["irrep"] for mode in results["modes"] if mode["primary"]) == PUBLISHED[name]
        for mode in results["modes"]:
            assert mode["amplitude"] == pytest.approx(STORED[name]["modes"][mode["irrep"]][1], abs=0.012)


@pytest.mark.parametrize("name", PUBLISHED)
def test_spglib_finds_the_same_group_in_the_child_alone(name):
    parent, child = structures.pairs()[name]
    results = order_parameters(parent, child, method="group").results
    assert results["child"]["number"] in {row["number"] for row in results["tolerance"]["scan"][:3]}


def test_an_improper_ferroelectric_is_named(found):
    assert found["YMnO3_P63cm"]["couplings"]["GM2-"] == "K3^3 GM2-"


def test_every_child_is_stored(found):
    assert set(found) == set(STORED) == set(PUBLISHED)
