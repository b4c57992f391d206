"""The page: everything inside, everything escaped, and it shows what each kind of record says."""

import math
import re

import pytest

from subduce.records import Record
from subduce.report import write_report
from subduce.report._plots import bars
from subduce.report._units import duration, number, plain, quantity

PARITY = {"reference": [0.1, 0.2, -0.3, 0.4], "predicted": [0.12, 0.18, -0.33, 0.41]}


def record(kind: str, **results) -> Record:
    return Record(kind, {"data.extxyz": "0" * 64}, {"model": {"r_max": 4.0}, "tags": ["a", "b"]}, results, 75.0)


def page(tmp_path, *records, **options) -> str:
    write_report(records, tmp_path / "page.html", **options)
    return (tmp_path / "page.html").read_text()


def history(epochs: int) -> list[dict]:
    return [
        {"epoch": n, "train_loss": 1 / n, "val_loss": 1.1 / n, "forces_mae": 0.3 / n, "learning_rate": 0.01 / n}
        for n in range(1, epochs + 1)
    ]


def test_the_page_fetches_nothing(tmp_path):
    text = page(
        tmp_path, record("train", history=history(5)), record("evaluate", forces_mae=0.03, parity={"forces": PARITY})
    )
    assert not re.search(r'(?:src|href)="(?!#|data:)', text)
    assert "<script" not in text
    assert "@import" not in text
    assert "url(" not in re.sub(r"url\(#", "", text)


def test_what_records_bring_is_escaped(tmp_path):
    text = page(tmp_path, record("md", stopped="<b>boom</b>"), title="<script>x</script>")
    assert "<b>boom" not in text
    assert "<script>" not in text


def test_training_shows_learning_curves_and_errors_of_the_test_part(tmp_path):
    test = {"forces_mae": 0.03, "forces_mae_H": 0.02, "forces_mae_O": 0.05, "parity": {"forces": PARITY}}
    text = page(tmp_path, record("train", history=history(5), num_parameters=12345, test=test))
    assert text.count("<svg") == 5  # loss, force error, learning rate, parity, species
    assert "12 345" in text
    assert "30 meV/Å" in text
    assert "1 min 15 s" in text
    assert "model.r_max" in text


@pytest.mark.parametrize("epochs", [0, 1])
def test_a_short_or_absent_history_is_no_obstacle(tmp_path, epochs):
    assert page(tmp_path, record("train", history=history(epochs))).count("<svg") == 2 * epochs


def test_an_evaluation_shows_what_it_has_and_nothing_else(tmp_path):
    groups = {"bulk": {"n_structures": 3, "forces_mae": 0.02}, "slab": {"n_structures": 2, "forces_mae": 0.05}}
    text = page(tmp_path, record("evaluate", forces_mae=0.03, forces_rmse=0.04, by_config_type=groups))
    assert "slab" in text
    assert "50 meV/Å" in text
    assert "stress" not in text.split("</style>")[1].split("<details>")[0]
    assert "<svg" not in text


def test_dynamics_shows_energies_and_temperature(tmp_path):
    trace = {"time_fs": [0.0, 1.0, 2.0], "total_energy": [-1.0, -1.001, -0.999], "temperature": [300.0, 310.0, 290.0]}
    text = page(
        tmp_path, record("md", ensemble="nve", n_atoms=2, energy_drift=0.5, temperature_mean=300.0, trace=trace)
    )
    assert text.count("<svg") == 2
    assert "0.5 meV/atom/ps" in text


def test_relaxation_check_and_unknown_kinds(tmp_path):
    trace = {"step": [0, 1], "potential_energy": [1.0, 0.5], "fmax": [2.0, 0.004]}
    relaxed = record("relax", converged=True, steps=1, fmax=0.004, trace=trace)
    finding = {"severity": "error", "what": "duplicates", "where": "data.extxyz", "hint": "remove them"}
    text = page(tmp_path, relaxed, record("check", findings=[finding]), record("other", answer={"deep": 42}))
    assert "duplicates" in text
    assert "answer.deep" in text
    assert "4 meV/Å" in text
    assert text.count('<a href="#part') == 3


def discovered(**more) -> dict:
    """What `discover` finds of D2 that is broken to one mirror."""
    elements = [
        {"name": name, "verdict": kind, "effect": size, "interval": [0.9 * size, 1.1 * size], "p_value": p}
        for name, kind, size, p in [("e", "preserved", 0.0, 1.0), ("m_x", "broken", 0.2, 1e-20),
                                    ("m_y", "preserved", 0.001, 0.5), ("C2", "broken", 0.2, 1e-20)]
    ]  # fmt: skip
    unseen = dict.fromkeys(("direction", "direction_symbol", "p_value", "interval", "upper"))
    irreps = [
        {"irrep": "B1", "dimension": 1, "verdict": "broken", "energy_fraction": 0.01, "interval": [0.009, 0.011],
         "direction": [-1.0], "direction_symbol": "(a)", "p_value": 1e-21},
        {"irrep": "B2", "dimension": 1, "verdict": "undetermined", "energy_fraction": 0.0, **unseen},
    ]  # fmt: skip
    kept = {"name": "Cs", "order": 2, "elements": ["e", "m_y"], "conjugacy": "Cs(m_y)", "generators": ["m_y"]}
    return {
        "verdict": "The law breaks D2 <down> to Cs(m_y).", "group": "D2", "order": 4, "preserved": kept, "proven": kept,
        "elements": elements, "irreps": irreps, "detectable_effect": 0.004, "delta": 0.01, "units": 60,
        "estimator": "stencil of radius 1", "explained": 0.9, "lack_of_fit": {"p_value": 0.3, "flag": False},
        "classes": [{"elements": ["e", "m_y"], "effect": [0.0, 0.001], "verdicts": ["preserved"]},
                    {"elements": ["m_x", "C2"], "effect": [0.2, 0.2], "verdicts": ["broken"]}],
        "warnings": ["B2 cannot be seen"], "methods": "It was tested on 60 units.",
    } | more  # fmt: skip


def test_discovery_shows_verdict_irreps_elements_and_classes(tmp_path):
    text = page(tmp_path, record("discover", **discovered()))
    body = text.split("</style>", 1)[1]
    assert "The law breaks D2 &lt;down&gt; to Cs(m_y)." in body
    assert body.count("<svg") == 2
    for expected in ("Cs(m_y)", "B2 cannot be seen", "m_x, C2", "0.01 (0.009 to 0.011)", "(−1.00)", "delta",
                     "1e−20", "It was tested on 60 units.", "0.3", "90 %", "0.004"):  # fmt: skip
        assert expected in body, expected
    assert "Units: eV" not in body
    assert page(tmp_path, record("discover", **discovered())) == text


def test_discovery_shows_the_distribution_and_stands_without_it_or_a_law(tmp_path):
    rows = [{"irrep": "B1", "moment": 2, "verdict": "broken", "effect": 0.1, "interval": [0.05, 0.15], "p_value": 0.01}]
    found = {"preserved": {"name": "Cs", "order": 2, "conjugacy": "Cs(m_y)"}, "p_value": 0.01, "irreps": rows}
    assert page(tmp_path, record("discover", **discovered(distribution=found))).count("<svg") == 3
    alone = {"group": "D2", "order": 4, "verdict": "Broken.", "distribution": found, "warnings": []}
    text = page(tmp_path, record("discover", **alone))
    assert text.count("<svg") == 1
    assert "B1, moment 2" in text


def test_discovery_with_gaps_is_drawn_all_the_same(tmp_path):
    irreps = [{"irrep": "B1", "dimension": 1, "verdict": "undetermined", "energy_fraction": None, "p_value": None,
               "interval": [None, None]}]  # fmt: skip
    assert page(tmp_path, record("discover", **discovered(irreps=irreps, detectable_effect=None))).count("<svg") == 2


def test_numbers_that_are_missing_or_not_finite_are_dashes_and_gaps(tmp_path):
    trace = {"time_fs": [0.0, 1.0], "total_energy": [1.0, None], "temperature": [300.0, None]}
    text = page(
        tmp_path, record("md", energy_drift=None, trace=trace), record("evaluate", forces_mae=None, stress_mae=0.1)
    )
    assert "nan" not in text.lower().replace("finance", "")
    pairs = {"reference": [1.0, None, 2.0], "predicted": [1.0, 2.0, math.nan]}
    assert "<svg" in page(tmp_path, record("evaluate", forces_mae=0.0, parity={"forces": pairs}))


def test_the_same_records_give_the_same_page(tmp_path):
    records = [record("evaluate", forces_mae=0.03, parity={"forces": PARITY})]
    assert page(tmp_path, *records) == page(tmp_path, *records)


def test_bars_of_thousands_have_their_whole_number_beside_them():
    drawn = bars(["A1", "E"], [12.0, 3116.4], unit="", caption="parts", colour="C0")
    assert ">3 116<" in drawn.svg


def test_numbers_read_well():
    assert number(-0.00012) == "−0.00012"
    assert quantity(1.5, "eV") == "1.5 eV"
    assert quantity(math.nan, "eV") == "–"
    assert duration(3.14159) == "3.1 s"
    assert plain([True, None, 2, "x"]) == "yes, –, 2, x"
