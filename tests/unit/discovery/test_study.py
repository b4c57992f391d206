"""From data and a group's name to a record: the door for Python, and what its words say."""

import numpy as np
import pytest

from subduce.config import InputError
from subduce.data import open_pairs
from subduce.discovery import discover_symmetries, verdict
from subduce.groups import dihedral
from tests.unit.discovery.cases import smooth, step

KEPT = {"name": "D2", "order": 4, "conjugacy": "D2(axes)", "elements": ["e", "C2", "m_x", "m_y"]}
TRIVIAL = {"name": "C1", "order": 1, "conjugacy": "C1", "elements": ["e"]}
WHOLE = {"name": "D4", "order": 8, "conjugacy": "D4", "elements": []}
BROKEN = {"irrep": "B1", "dimension": 1, "verdict": "broken", "energy_fraction": 0.02, "p_value": 1e-20}


def found(preserved, proven, irreps=(), *, flag=False, **more):
    fit = {"p_value": 1e-9 if flag else 0.4, "flag": flag}
    return {"group": "D4", "order": 8, "preserved": preserved, "proven": proven, "irreps": list(irreps),
            "level": 0.05, "delta": 0.01, "lack_of_fit": fit} | more  # fmt: skip


@pytest.mark.parametrize(
    ("results", "sentence"),
    [
        (found(WHOLE, WHOLE), "The law keeps D4 to within 0.01."),
        (found(WHOLE, KEPT), "Undetermined: the data do not reject D4, but prove only D2(axes) to within 0.01."),
        (
            found(KEPT, KEPT, [BROKEN]),
            "The law breaks D4 down to D2(axes): B1 (2 % of the law, p = 1e-20) is broken; "
            "D2(axes) is proven to within 0.01.",
        ),
        (
            found(KEPT, TRIVIAL, [BROKEN, {**BROKEN, "irrep": "E", "dimension": 2, "direction_symbol": "(a,0)"}]),
            "The law breaks D4 down to D2(axes): B1 (2 % of the law, p = 1e-20) and E (2 % of the law, along (a,0), "
            "p = 1e-20) are broken; of what is not rejected, nothing is proven to within 0.01.",
        ),
        (found(TRIVIAL, TRIVIAL), "The law breaks D4 and keeps nothing of it."),
        (
            found(TRIVIAL, KEPT),
            "The law breaks D4 and keeps nothing of it exactly; D2(axes) is proven to within 0.01.",
        ),
        (
            found(TRIVIAL, TRIVIAL, [{**BROKEN, "energy_fraction": 1.0}]),
            "The law breaks D4 and keeps nothing of it: B1 (100 % of the law, p = 1e-20) is broken.",
        ),
        (
            found(KEPT, TRIVIAL, [BROKEN], flag=True),
            "Undetermined: the law is beyond the class that was fitted (lack of fit, p = 1e-09), "
            "so nothing is called broken in D4.",
        ),
        (
            found(WHOLE, WHOLE, distribution={"preserved": WHOLE, "p_value": 0.4}),
            "The law keeps D4 to within 0.01. The distribution of the inputs shows no breaking of D4 (p = 0.4).",
        ),
    ],
)
def test_the_verdict_says_what_was_found_and_no_more(results, sentence):
    assert verdict(results) == sentence


def test_files_arrays_and_open_pairs_give_the_same_findings(tmp_path):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(20, 8, 8))
    arrays = {"input": x, "target": x + 0.1 * np.roll(x, 1, axis=1) + 0.01 * rng.normal(size=x.shape)}
    np.savez(tmp_path / "pairs.npz", **arrays)
    records = [
        discover_symmetries(tmp_path / "pairs.npz", "D4", no_channels=True),
        discover_symmetries(arrays, dihedral(4), no_channels=True),
        discover_symmetries(open_pairs(arrays, no_channels=True), "D4"),
    ]
    assert records[0].results == records[1].results == records[2].results
    assert [len(record.inputs) for record in records] == [1, 2, 0]
    assert all(len(digest) == 64 for digest in records[1].inputs.values())
    assert records[0].settings["group"] == records[1].settings["group"] == "D4"


def test_progress_counts_samples():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(10, 8, 8))
    seen = []
    discover_symmetries(
        {"input": x, "target": x + rng.normal(size=x.shape)},
        "C2",
        no_channels=True,
        progress=lambda done, total: seen.append((done, total)),
    )
    assert seen[-1] == (10, 10)


def spread(samples=40, size=12, late=0):
    """Fields that spread faster along x than along y, from a sample on."""
    rng = np.random.default_rng(0)
    field = smooth(rng, samples, size)
    there = (np.arange(samples) >= late)[:, None, None]
    target = np.where(there, step(field, 0.14, 0.06), step(field)) + 0.05 * rng.normal(size=field.shape)
    return {"input": field, "target": target}


def test_the_record_is_told_after_every_part_and_the_maps_go_into_a_file(tmp_path):
    told = []
    record = discover_symmetries(
        spread(late=20), "D4", no_channels=True, where=True, when=True, scales=(1, 4), output=tmp_path,
        on_part=told.append,
    )  # fmt: skip
    assert [{"where", "when", "scales"} & part.results.keys() for part in told] == [
        set(), {"where"}, {"where", "when"}, {"where", "when", "scales"},
    ]  # fmt: skip
    assert told[-1] == record
    broken = {row["irrep"]: row["verdict"] for row in record.results["where"]["irreps"]}
    assert broken["B1"] == "broken"
    maps = np.load(tmp_path / record.results["where"]["file"])
    assert maps["p_values"].shape == maps["broken"].shape == (len(broken), 6, 6)
    assert maps["irreps"].tolist() == list(broken)
    low, high = record.results["when"]["interval"]
    assert low <= 20 <= high
    assert [row["band"] for row in record.results["scales"]] == [[1, 4], [4, None]]
    assert "boxes of the grid" in record.results["methods"]


def test_one_array_alone_is_tested_for_its_distribution(tmp_path):
    field = smooth(np.random.default_rng(0), 60, stretch=(1, 4))
    record = discover_symmetries({"input": field}, "D4", no_channels=True, distribution=True)
    found = record.results
    assert (found["kind"], found["distribution"]["preserved"]["conjugacy"]) == ("distributional", "D2(axes)")
    assert found["verdict"].startswith("The distribution of the inputs breaks D4 down to D2(axes) in B1")
    assert "preserved" not in found
    both = open_pairs({"input": field, "target": field + 1}, no_channels=True)
    assert discover_symmetries(both, "D4", distribution=True).results == found
    with pytest.raises(InputError, match="--where: of a law, which needs a target"):
        discover_symmetries({"input": field}, "D4", no_channels=True, distribution=True, where=True)


@pytest.mark.parametrize("name", ["O(3)", "O3"])
def test_all_rotations_of_vectors_have_a_sentence_too(name):
    rng = np.random.default_rng(0)
    v = rng.normal(size=(100, 3))
    y = v + np.cross(v, (0, 1, 0)) + 0.02 * rng.normal(size=v.shape)
    found = discover_symmetries({"input": v, "target": y}, name, channels="1o").results
    assert found["verdict"].startswith("The law breaks O(3) down to Cinfh(y): 1e (")
    assert ", along +y, " in found["verdict"]
    y = 2 * v + 0.02 * rng.normal(size=v.shape)
    found = discover_symmetries({"input": v, "target": y}, name, channels="1o", delta=0.5).results
    assert found["verdict"] == "The law keeps O(3) to within 0.5."
    with pytest.raises(InputError, match="needs a finite group"):
        discover_symmetries({"input": v, "target": y}, name, channels="1o", when=True)
    with pytest.raises(InputError, match="at least 13 are needed"):
        discover_symmetries({"input": v[:9], "target": y[:9]}, name, channels="1o")


def test_parts_that_cannot_be_had_are_refused_before_anything_is_computed():
    x = np.random.default_rng(0).normal(size=(12, 3))
    pairs = {"input": x, "target": 2 * x}
    for options, message in (({"where": True}, "need fields on a grid"), ({"when": True}, "at least 16 are needed")):
        told = []
        with pytest.raises(InputError, match=message):
            discover_symmetries(pairs, "Cs", channels="1o", on_part=told.append, **options)
        assert not told


@pytest.mark.parametrize(("law", "verdict"), [("kepler", "preserved"), ("yukawa", "broken")])
def test_a_scaling_is_a_translation_of_the_logarithm(law, verdict):
    """G39: r → λr with t → λ^{3/2} t sends a to λ^{−2} a, so that a r² does not change along log r."""
    rng = np.random.default_rng(0)
    r = np.exp(np.linspace(-1, 1.5, 32))
    acceleration = r**-2.0 * (1 if law == "kepler" else np.exp(-r / 2))
    masses = 1 + 0.3 * rng.normal(size=(60, 32))
    target = masses * acceleration * r**2 + 0.05 * rng.normal(size=masses.shape)
    data = {"input": masses, "target": target}
    found = discover_symmetries(data, "m_x", no_channels=True, where=True, periodic="").results
    assert (found["where"]["translations"]["x"]["verdict"] == "broken") == (verdict == "broken")
