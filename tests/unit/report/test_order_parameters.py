"""The page of order parameters: the crystal that it draws, the words and tables, and that it needs nothing else."""

import json
import re

import numpy as np
import pytest
import torch

from subduce.o3 import spherical_harmonics
from subduce.report import write_report
from subduce.report._crystal import viewer
from subduce.report._crystal_plots import harmonics, tree
from subduce.report._order_parameters import group_symbol, irrep, sentence, wave_vector
from tests.unit.report.tilts import EDGE, pnma, record, structure


@pytest.fixture(scope="module")
def results():
    return pnma()


@pytest.fixture(scope="module")
def drawn(results):
    return viewer(results)


def page(tmp_path, *records) -> str:
    write_report(records, tmp_path / "page.html")
    return (tmp_path / "page.html").read_text()


def test_the_page_carries_its_viewer_and_may_fetch_nothing(tmp_path):
    text = page(tmp_path, record())
    assert "default-src 'none'" in text
    assert text.count("$3Dmol.createViewer(") >= 1
    assert "University of Pittsburgh" in text  # the library's licence goes with it
    own = re.sub(r"<script>.*?</script>", "", text, flags=re.DOTALL)
    assert not re.search(r'(?:src|href)="(?!#|data:)', own)
    assert "url(" not in re.sub(r"url\(#", "", own)


def test_only_a_page_with_structures_carries_the_viewer(tmp_path):
    text = page(tmp_path, record(structures=None))
    assert "<script" not in text
    assert "R₄⁺" in text


def test_the_page_says_what_the_record_says(tmp_path):
    body = (
        page(tmp_path, record(warnings=["two <origins> fit"]))
        .split("</style>", 1)[1]
        .split("/*!")[0]
        .replace("\u00a0", " ")
    )
    for expected in (
        "R₄⁺ (0,a,a) (0.68 Å)", "0.6800 Å", "0.3111 Å", "(½, ½, ½)", "(0, ½, ½)", "0.3400 Å", "Imma (74)", "R₄⁺ → R₅⁻",
        "R₄⁺ M₃⁺ X₅⁺", "24 = 6 × 4", "10⁻⁵ to 0.05 Å", "two &lt;origins&gt; fit", "agrees",
        "Both structures were brought", 'data-domain="23"', 'tr data-field="2"',
    ):  # fmt: skip
        assert expected in body, expected
    assert body.count('<svg role="img"') == 3  # the path of subgroups, amplitudes, the order parameters on sites
    assert 'data-domain="24"' not in body


def test_the_data_of_the_page_cannot_end_its_script(tmp_path, results):
    bad = json.loads(json.dumps(results).replace('"Ca"', '"</script><b>"'))
    text = page(tmp_path, record(**bad))
    assert "</script><b>" not in text
    inside = re.search(r'<script type="application/json">(.*?)</script>', text, re.DOTALL)
    assert inside
    assert any(kind["name"] == "</script><b>" for kind in json.loads(inside[1])["kinds"])


def test_octahedra_are_whole_and_turn_without_bending(drawn):
    names = np.array([drawn["kinds"][kind]["name"] for kind in drawn["species"]])
    sites = np.array(drawn["sites"])
    assert len(drawn["faces"]) == 8 * (names == "Ti").sum() == 8 * 15
    assert len(drawn["edges"]) == 12 * 15
    edges = np.array(drawn["edges"])
    assert set(names[edges].ravel()) == {"O"}
    lengths = np.linalg.norm(sites[edges[:, 0]] - sites[edges[:, 1]], axis=1)
    assert np.allclose(lengths, EDGE / 2**0.5, atol=2e-3)
    moved = sites + np.reshape(drawn["fields"][0]["values"], (-1, 3)) / 1000
    after = np.linalg.norm(moved[edges[:, 0]] - moved[edges[:, 1]], axis=1)
    assert np.allclose(after, lengths, atol=0.03)  # 0.24 Å apart from what they were, but for the second order


def test_fields_are_those_of_the_record(drawn, results):
    whole, *parts = (np.reshape(field["values"], (-1, 3)) for field in drawn["fields"])
    assert np.abs(whole - sum(parts)).max() <= 1
    assert drawn["modes"] == [1, 2]
    for field in drawn["fields"]:
        longest = np.linalg.norm(np.reshape(field["values"], (-1, 3)), axis=1).max() / 1000
        assert 0.4 < field["factor"] * longest <= 1.3
    assert len(whole) == len(drawn["sites"]) == len(drawn["species"])


def test_every_domain_is_another_and_one_is_the_child(drawn):
    domains = [np.array(domain) for domain in drawn["domains"]]
    assert len({tuple(domain) for domain in domains}) == 24
    assert sum(np.abs(domain - drawn["fields"][0]["values"]).max() <= 1 for domain in domains) == 1
    sizes = [np.linalg.norm(domain.reshape(-1, 3), axis=1).max() for domain in domains]
    assert np.ptp(sizes) <= 1


def test_a_skewed_cell_is_drawn_as_a_right_angled_block(results):
    skewed = np.array([[-1, 1, 1], [1, -1, 1], [1, 1, -1]])
    one = structure(skewed, ["Po"] * 4, EDGE * np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1]]))
    moved = one | {"positions": (np.array(one["positions"]) + 0.1 * np.eye(4, 3)).tolist()}
    found = viewer({"structures": {"parent": one, "child": moved}})
    corners = np.array(found["corners"])
    assert np.allclose(abs(corners), EDGE)
    assert len(found["sites"]) == 27
    assert found["faces"] == []
    assert np.abs(found["fields"][0]["values"]).max() == 100


def test_a_hexagonal_cell_stays():
    cell = np.array([[1, 0, 0], [-0.5, 0.75**0.5, 0], [0, 0, 1.6]])
    one = structure(cell, ["Mg"], np.zeros((1, 3)))
    found = viewer({"structures": {"parent": one, "child": one}})
    assert len(found["sites"]) == 8
    assert found["fields"][0]["factor"] == 0
    assert found["domains"] == []


def test_moments_have_their_unit_and_do_not_move_atoms(tmp_path, results):
    spins = [[0.0, 0.0, 2.0 if name == "Ti" else 0.0] for name in results["structures"]["parent"]["species"]]
    mode = results["modes"][0] | {
        "irrep": "mGM4+",
        "k": [0, 0, 0],
        "kind": "magnetic",
        "field": spins,
        "amplitude": 4.0,
    }
    shown = viewer(results | {"modes": [mode]})
    assert shown["fields"][1]["kind"] == "magnetic"
    text = page(tmp_path, record(modes=[mode]))
    assert "mΓ₄⁺ (magnetic)" in text
    assert "4.0000\u00a0µB" in text


def test_the_sentence_is_printed_with_its_symbols(results):
    assert sentence(results).startswith("Pm3\u0305m breaks to Pnma by R₄⁺ (0,a,a) (0.68 Å) and M₃⁺ (a;0;0)")
    alike = {"parent": {"symbol": "I4/mmm"}, "child": {"symbol": "P1"}, "modes": [{"irrep": "P1"}]}
    assert sentence(alike | {"sentence": "I4/mmm breaks to P1 by P1(a)"}) == "I4/mmm breaks to P1 by P₁ (a)"
    assert sentence({"verdict": "unrelated"}) == "unrelated"


def test_the_path_has_a_level_for_each_further_mode():
    steps = [
        ("Pm3m", 1, ()),
        ("A", 6, "a"),
        ("B", 4, "b"),
        ("C", 2, "c"),
        ("D", 24, "ab"),
        ("E", 8, "bc"),
        ("F", 48, "abc"),
    ]
    drawn = tree([{"symbol": name, "index": index, "modes": tuple(modes)} for name, index, modes in steps]).svg
    edges = ["a  [6]", "b  [4]", "c  [2]", "b  [4]", "a  [6]", "c  [2]", "b  [4]", "c  [2]", "a  [6]"]
    for words in set(edges):
        assert drawn.count(f">{words}<") == edges.count(words), words


def test_a_record_with_gaps_is_shown_all_the_same(tmp_path):
    bare = {name: None for name in pnma() if name not in ("parent", "child", "verdict")}
    assert "Pnma" in page(tmp_path, record(**bare))
    assert "unrelated" in page(tmp_path, record(**bare, parent=None, child=None, verdict="unrelated"))
    unlabelled = pnma()["modes"][0] | {"irrep": "k=(0.25,0.25,0), dimension 4", "field": None, "interval": [0.67, 0.69]}
    text = page(tmp_path, record(modes=[unlabelled | {"characters": [[2.0, 0.0], [0.0, -1.0]]}]))
    for expected in ("k=(0.25,0.25,0), dimension 4", "(0.67 to 0.69)", "2  0-1i"):
        assert expected in text


def test_labels_symbols_and_wave_vectors_read_as_printed():
    assert irrep("GM2+GM3+") == "Γ₂⁺Γ₃⁺"
    assert irrep("SM2 R4+^2") == "Σ₂ (R₄⁺)²"
    assert group_symbol("P6_3/mmc") == "P6₃/mmc"
    assert wave_vector([1 / 3, 1 / 3, 0]) == "(⅓,\u00a0⅓,\u00a00)"


@pytest.mark.parametrize("degree", range(5))
def test_surfaces_use_the_harmonics_of_the_library(degree):
    way = torch.nn.functional.normalize(
        torch.randn(7, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    )
    wanted = spherical_harmonics(degree, way, normalize=True, normalization="component").numpy()
    assert np.allclose(harmonics(degree, way.numpy().T), wanted.T, atol=1e-12)
