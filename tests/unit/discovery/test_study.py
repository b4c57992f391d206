"""From data and a group's name to a record: the door for Python, and what its words say."""

import numpy as np
import pytest

from subduce.config import InputError
from subduce.data import open_pairs
from subduce.discovery import discover_symmetries, verdict
from subduce.groups import dihedral

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


@pytest.mark.parametrize("options", [{"where": True}, {"when": True}, {"scales": [1, 4]}, {"seeds": 2}])
def test_what_is_not_there_is_refused_with_what_is(options):
    with pytest.raises(InputError, match="not known to this version; it tests the law"):
        discover_symmetries({"input": np.zeros((9, 4))}, "D4", **options)
