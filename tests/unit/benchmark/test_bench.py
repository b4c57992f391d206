"""The verb: its record is what other programs rely on."""

import json

import pytest

from subduce.benchmark import bench
from subduce.benchmark._bench import _slopes
from subduce.cli import main
from subduce.config import InputError
from subduce.kernels import available
from subduce.records import Record
from subduce.report import speed_line, speed_table, write_report

KEYS = {"case", "backend", "peer", "median_ms", "spread", "ratio", "peak_mb", "atoms", "edges"}


@pytest.fixture(scope="module")
def record(tmp_path_factory) -> Record:
    """One small case, beside our own reference backend alone."""
    return bench(quick=True, peers=tmp_path_factory.mktemp("peers"), cases=["ethanol"])


def test_the_verb_prints_one_record(record, monkeypatch, capsys, tmp_path):
    monkeypatch.setattr("subduce.benchmark.bench", lambda **_: record)
    assert main(["bench", "--quick", "--json", "--output", str(tmp_path)]) == 0
    out, err = capsys.readouterr()
    found = json.loads(out)
    assert found["kind"] == "bench"
    assert found["results"] == json.loads(record.to_json())["results"]
    assert "ethanol" in err
    assert (tmp_path / "record.json").exists()
    assert main(["info", str(tmp_path / "record.json")]) == 0


def test_rows_have_what_is_promised(record):
    assert record.results
    for row in record.results:
        assert row.keys() >= KEYS
        assert (row["atoms"], row["edges"]) == (9, 72)
        assert row["backend"] == available()[0]
        assert row["median_ms"] > 0
    assert {"machine", "commit", "threads", "peers"} <= record.settings.keys()


@pytest.mark.skipif(len(available()) < 2, reason="only the reference backend is here")
def test_backends_are_measured_against_each_other_and_agree(record):
    row = next(row for row in record.results if row["peer"] == "subduce, reference")
    assert row["ratio"] == pytest.approx(row["peer_median_ms"] / row["median_ms"])
    assert row["agreement"].keys() == {"energy", "forces"}
    assert max(row["agreement"].values()) < 1e-5


def test_an_unknown_case_is_wrong_usage(tmp_path, capsys):
    with pytest.raises(InputError, match="no case is named like nothing; there are: product"):
        bench(quick=True, peers=tmp_path, cases=["nothing"])
    assert main(["bench", "--list", "--quick"]) == 0
    assert "ethanol" in capsys.readouterr().err


def test_the_slope_is_that_of_log_time_over_log_atoms():
    common = {"backend": "cpu", "threads": 1, "l_max": 2}
    rows = [
        common | {"case": f"l 2, {n:,} atoms", "atoms": n, "median_ms": ms}
        for n, ms in ((8, 9.0), (1000, 2.0), (10_000, 20.0), (100_000, 200.0))
    ]
    (slope,) = _slopes(rows)
    assert slope["value"] == pytest.approx(1.0)
    assert slope["met"] == "aim"
    assert "100,000" in slope["case"]
    assert _slopes(rows[:2]) == []


def test_people_can_read_it(record, tmp_path):
    sizes = [
        {"case": f"l {l}, {n} atoms", "l_max": l, "atoms": n, "median_ms": 0.1 * n, "spread": 0.0, "peer": None}
        for l in (1, 2)
        for n in (8, 64)
    ]
    missed = {"case": "water", "peer": "nequip, eager", "median_ms": 100.0, "spread": 0.02, "ratio": 5.0}
    missed |= {"peer_median_ms": 500.0, "must": 25.0, "aim": 40.0, "met": "missed by a factor of 5"}
    text = speed_table([missed, *sizes])
    assert "≥ 25 (aim 40)" in text
    assert "missed by a factor of 5" in text
    assert speed_line(missed).startswith("water   100 ms ±2%   nequip, eager 500 ms   5 times")
    write_report([Record("bench", {}, {}, [missed, *sizes], 1.0)], tmp_path / "page.html")
    page = (tmp_path / "page.html").read_text()
    assert page.count("<svg") == 1
    assert "0 of 1" in page
