"""The verb `discover`: its record and page, what it says, and every bad input in one line."""

import json

import numpy as np
import pytest

from subduce.cli import main
from subduce.records import Record, fingerprint

KEYS = {
    "verdict", "group", "order", "kind", "preserved", "proven", "elements", "irreps", "classes", "detectable_effect",
    "level", "delta", "correction", "estimator", "units", "explained", "lack_of_fit", "warnings", "methods",
}  # fmt: skip
VECTORS = '{"name": "V4", "generators": {"P": {"input": [[-1, 0], [0, -1]], "target": [[-1]]}}}'


def fields(count: int = 40, x: float = 0.12, y: float = 0.08) -> dict[str, np.ndarray]:
    """Fields on 12 x 12 points a step of diffusion apart, faster along x where x > y."""
    rng = np.random.default_rng(0)
    field = rng.normal(size=(count, 12, 12))
    along = [np.roll(field, 1, a) + np.roll(field, -1, a) - 2 * field for a in (1, 2)]
    later = field + x * along[0] + y * along[1] + 0.05 * rng.normal(size=field.shape)
    return {"input": field, "target": later}


@pytest.fixture
def save(tmp_path):
    def save(**arrays):
        np.savez(tmp_path / "pairs.npz", **arrays)
        return tmp_path / "pairs.npz"

    return save


@pytest.fixture
def run(capsys):
    """Runs the verb; returns its code, its record if it printed one, and what it said."""

    def call(*arguments):
        code = main(["discover", *map(str, arguments), "--json"])
        said = capsys.readouterr()
        return code, json.loads(said.out) if said.out else None, said.err

    return call


def test_the_record_has_what_it_promises_and_the_page_tells_it(run, save, tmp_path):
    data, out = save(**fields()), tmp_path / "out"
    code, record, said = run(data, "--group", "D4", "--no-channels", "--output", out, "--seed", 3)
    assert code == 0
    assert record["results"].keys() >= KEYS
    assert (record["kind"], record["inputs"]) == ("discover", {str(data): fingerprint(data)})
    assert record["settings"]["seed"] == 3
    assert record["settings"]["axes"] == record["settings"]["periodic"] == "x y"
    results = record["results"]
    assert results["preserved"]["conjugacy"] == "D2(axes)"
    assert set(results["preserved"]["elements"]) == {"e", "C2", "m_x", "m_y"}
    assert {row["irrep"]: row["verdict"] for row in results["irreps"]}["B1"] == "broken"
    assert [set(c["elements"]) for c in results["classes"]] == [
        {"e", "C2", "m_x", "m_y"},
        {"C4", "C4^3", "m_diag", "m_antidiag"},
    ]
    assert said.startswith("The law breaks D4 down to D2(axes): B1 (")
    kept = Record.from_json((out / "record.json").read_text())
    assert json.loads(kept.to_json()) == record
    page = (out / "report.html").read_text()
    assert results["verdict"] in page
    assert "40 exchangeable units (sample)" in page


def test_the_page_of_a_record_is_the_same_through_report(run, save, tmp_path):
    _, record, _ = run(save(**fields()), "--group", "D4", "--no-channels", "--output", tmp_path / "out")
    assert main(["report", str(tmp_path / "out"), "--output", str(tmp_path / "again.html")]) == 0
    text = (tmp_path / "again.html").read_text()
    assert record["results"]["verdict"] in text
    assert text.count("<svg") == 2
    assert "Units: eV" not in text


def test_a_law_that_is_kept_is_never_called_broken_nor_preserved_without_proof(run, save):
    _, record, said = run(save(**fields(x=0.1, y=0.1)), "--group", "D4", "--no-channels", "--delta", "1e-6")
    assert record["results"]["preserved"]["name"] == "D4"
    assert said.startswith("Undetermined: the data do not reject D4")
    assert {row["verdict"] for row in record["results"]["elements"] if row["name"] != "e"} == {"undetermined"}
    _, record, said = run(save(**fields(x=0.1, y=0.1)), "--group", "D4", "--no-channels", "--delta", "0.5")
    assert said.startswith("The law keeps D4 to within 0.5.")


def test_vectors_take_a_group_as_text_or_file_and_irreps_by_either_name(run, save, tmp_path):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(60, 2))
    data = save(input=x, target=x[:, :1] + x[:, :1] ** 2 + 0.1 * rng.normal(size=(60, 1)))
    file = tmp_path / "group.json"
    file.write_text(VECTORS)
    _, first, _ = run(data, "--group", VECTORS)
    _, second, _ = run(data, "--group", file)
    assert first["results"]["irreps"] == second["results"]["irreps"]
    assert first["results"]["irreps"][0]["verdict"] == "broken"
    assert second["inputs"][str(file)] == fingerprint(file)
    v = rng.normal(size=(60, 3))
    data = save(input=v, target=2 * v + 0.1 * rng.normal(size=v.shape))
    _, third, _ = run(data, "--group", "D2", "--input-irreps", "1o", "--target-irreps", "1o")
    _, fourth, _ = run(data, "--group", "D2", "--channels", "1o")
    assert third["results"]["elements"] == fourth["results"]["elements"]


def test_time_reversal_that_reaches_no_variable_is_warned_of(run, save):
    arrays = fields()
    _, record, said = run(save(**arrays), "--group", "D2xT", "--no-channels")
    assert "T: act on nothing in these data" in said
    _, record, said = run(save(**arrays), "--group", "D2xT", "--no-channels", "--time-odd", "input,target")
    assert "act on nothing" not in said
    assert record["settings"]["time_odd"] == ["input", "target"]


def test_nothing_is_written_over(run, save, tmp_path):
    data = save(**fields())
    assert run(data, "--group", "D4", "--no-channels", "--output", tmp_path / "out")[0] == 0
    code, _, said = run(data, "--group", "D4", "--no-channels", "--output", tmp_path / "out")
    assert code == 2
    assert "--overwrite" in said


def test_where_when_and_scales_are_told_and_shown(run, save, tmp_path):
    options = ["--no-channels", "--where", "--when", "--scales", "1,3", "--output", tmp_path / "out"]
    code, _, said = run(save(**fields()), "--group", "D4", *options)
    assert code == 0
    assert "where: B1 in " in said
    assert "when: B1 " in said
    assert "wavenumber 1 to 3: the law keeps " in said
    assert (tmp_path / "out" / "where.npz").exists()
    page = (tmp_path / "out" / "report.html").read_text()
    assert "Where: share of B1" in page
    assert "Bands of wavenumber" in page


def test_one_array_alone(run, save):
    code, record, said = run(save(input=fields()["input"]), "--group", "D4", "--no-channels", "--distribution")
    assert (code, record["results"]["kind"]) == (0, "distributional")
    assert said.startswith("The distribution of the inputs")
    assert "moment" in said


def test_an_interruption_keeps_the_parts_that_are_done(run, save, monkeypatch, tmp_path):
    def stop(*arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr("subduce.discovery._study.onsets", stop)
    options = ["--no-channels", "--where", "--when", "--output", tmp_path / "out"]
    code, record, said = run(save(**fields()), "--group", "D4", *options)
    assert (code, record) == (130, None)
    assert f"what was done is in {tmp_path / 'out'}" in said
    kept = Record.from_json((tmp_path / "out" / "record.json").read_text()).results
    assert "where" in kept
    assert "when" not in kept


@pytest.mark.parametrize("enough", [True, False])
def test_an_interrupted_pass_tells_what_was_read_where_that_is_enough(run, save, monkeypatch, tmp_path, enough):
    class Bar:
        def __enter__(self):
            return self.advance

        def __exit__(self, *_):
            pass

        def advance(self, done, total):
            if done == (25 if enough else 5):
                raise KeyboardInterrupt

    monkeypatch.setattr("subduce.cli.discover.progress", lambda unit: Bar())
    out = tmp_path / "out"
    code, record, said = run(save(**fields()), "--group", "D4", "--no-channels", "--output", out)
    assert (code, record) == (130, None)
    assert "subduce discover: interrupted" in said
    assert (out / "report.html").exists() == (out / "record.json").exists() == enough
    if enough:
        assert "interrupted after 25 of 40 pairs" in said
        monkeypatch.undo()
        part = {name: array[:25] for name, array in fields().items()}
        _, alone, _ = run(save(**part), "--group", "D4", "--no-channels")
        kept = Record.from_json((out / "record.json").read_text()).results
        assert kept["units"] == 25
        assert kept["preserved"] == alone["results"]["preserved"]


def nan(arrays):
    arrays["input"][3, 2, 1] = np.nan
    return arrays


BAD_ARRAYS = {
    "lengths": (lambda a: {**a, "target": a["target"][:10]}, "40 samples in input and 10 in target"),
    "shapes": (lambda a: {**a, "target": a["target"][:, :9]}, "expected [sample, channel, *space] with one space"),
    "nan": (nan, "NaN at sample 3"),
    "constant": (lambda a: {**a, "input": np.ones_like(a["input"])}, "a constant field"),
    "few": (lambda a: {name: array[:5] for name, array in a.items()}, "at least 8 are needed"),
    "identity": (lambda a: {**a, "target": a["input"]}, "--distribution"),
    "no target": (lambda a: {"input": a["input"]}, "name one with --target"),
}


@pytest.mark.parametrize("name", BAD_ARRAYS)
def test_bad_arrays_end_with_2_and_one_line(run, save, name):
    change, expected = BAD_ARRAYS[name]
    code, record, said = run(save(**change(fields())), "--group", "D4", "--no-channels")
    assert (code, record) == (2, None)
    assert expected in said
    assert said.count("\n") == 1


BAD_OPTIONS = [
    (["--group", "C3"], "does not act on a grid of 2 axes", "what does: C2, C4, Cs, D2, D4"),
    (["--group", "Oh"], "does not act on a plane", "Dn (with mirrors)"),
    (["--group", "S99"], "does not act on a plane", "square grid C2, C4"),
    (["--group", "xD4"], "'xD4': expected a group such as D4", "D4xT"),
    (["--group", "D4x"], "'D4x': expected a group such as D4", "D4xT"),
    (["--group", "d4"], "'d4' does not act on a plane", "did you mean D4?"),
    (["--group", "T"], "'T' does not act on a plane", "Cn, Dn"),
    (["--group", "D4xC2"], "acts on space by D4 and C2", "FiniteGroup.from_matrices"),
    (["--group", "D4", "--axes", "x z"], "does not act on the axes x z", "--axes"),
    (["--group", "C4", "--spacing", "1 2"], "exchanges the axes x and y", "spacings are 1 and 2"),
    (["--group", "C4", "--periodic", "x"], "exchanges the axes x and y", "--periodic"),
    (["--group", "Q8"], "'Q8' does not act on a plane", "Cn, Dn"),
    (["--group", "C0"], "'C0' does not act on a plane", "Cn, Dn"),
    (["--group", "D9999"], "more than 4096 elements", ""),
    (["--group", ""], "expected a name such as D4", ""),
    (["--group", "{"], "not JSON", "line 1"),
    (["--group", "[1]"], "expected an object", "list"),
    (["--group", "absent.json"], "absent.json: cannot be read", ""),
    (["--group", VECTORS], "generator P: expected a matrix of 1 × 1 for the input", "(2, 2)"),
    (["--group", VECTORS, "--time-odd", "input"], "time_odd", "in them"),
    (["--group", "D4", "--channels", "velocity=1o"], "1 channel", "velocity=1o"),
    (["--group", "D4", "--channels", "speed=5q"], "cannot read", "velocity=1o"),
    (["--group", "D4", "--estimator", "magic"], "estimator 'magic'", "stencil"),
    (["--group", "D4", "--level", "1.5"], "level 1.5", "between 0 and 1"),
    (["--group", "D4", "--level", "nan"], "level nan", "between 0 and 1"),
    (["--group", "D4", "--delta", "0"], "delta 0", "positive"),
    (["--group", "D4", "--units", "day"], "units 'day'", "block:N"),
    (["--group", "D4", "--units", "block:9"], "5 exchangeable units are too few", "at least 8"),
    (["--group", "D4", "--axes", "a b"], "axes 'a b'", "x, y, z, t"),
    (["--group", "D4", "--spacing", "wide"], "--spacing 'wide'", "1 1 0.5"),
    (["--group", "D4", "--lag", "90"], "lag 90 for 40 times", ""),
    (["--group", "D4", "--lag", "soon"], "--lag", "int"),
    (["--group", "D4", "--seed", "-1"], "seed -1", "from 0 up"),
    (["--group", "D4", "--time-odd", "velocity"], "no variable 'velocity'", "input, target"),
    (["--group", "D4", "--time-odd", "input"], "D4 does not turn time around", "D4xT"),
    (["--group", "D4", "--target", "input", "--distribution"], "--target and --distribution", "give one"),
    (["--group", "D4", "--distribution", "--where"], "--where: of a law", "--distribution"),
    (["--group", "D4", "--scales", ""], "--scales ''", "numbers"),
    (["--group", "D4", "--scales", "4,1"], "--scales 4, 1: expected ascending wavenumbers", "below 8.485"),
    (["--group", "D4", "--scales", "1,9"], "--scales 1, 9: expected ascending wavenumbers", "below 8.485"),
    (["--group", "D2", "--scales", "1", "--periodic", "x"], "y do not repeat", "--periodic"),
    (["--group", "D4", "--scales", "large"], "--scales 'large'", "numbers"),
    (["--group", "D4", "--seeds", "2", "--estimator", "stencil"], "--seeds", "leave it out"),
    (["--group", "O(3)"], "does not act on a grid", "take Oh"),
    ([], "--group", "required"),
]


@pytest.mark.parametrize(("options", "wanted", "way_out"), BAD_OPTIONS, ids=lambda o: " ".join(o) if o else "none")
def test_bad_options_end_with_2_and_one_line(run, save, options, wanted, way_out):
    code, record, said = run(save(**fields()), "--no-channels", *options)
    assert (code, record) == (2, None)
    assert wanted in said
    assert way_out in said
    assert said.count("\n") == 1


def test_bands_that_cannot_be_had_are_refused_before_the_pass(run, save, monkeypatch):
    monkeypatch.setattr("subduce.discovery._ladder.gather", lambda *_, **__: pytest.fail("a pass was made"))
    code, _, said = run(save(**fields()), "--group", "D2", "--no-channels", "--scales", "1", "--periodic", "")
    assert code == 2
    assert "x and y do not repeat" in said


def test_a_missing_channel_axis_is_noticed_before_the_group_is_read(run, save):
    code, _, said = run(save(**fields()), "--group", "D4")
    assert code == 2
    assert "12 channels, and nothing says how they turn" in said
    assert "[sample, y, x]" in said
    assert "--no-channels" in said
    assert said.count("\n") == 1


def test_a_channel_axis_that_is_taken_for_space_is_noticed(run, save):
    arrays = {name: array[:, None] for name, array in fields().items()}
    code, _, said = run(save(**arrays), "--group", "Oh", "--no-channels")
    assert code == 2
    assert "exchanges the axes x and y, of 1 and 12 points" in said
    assert "--no-channels too much?" in said
    assert said.count("\n") == 1


def test_groups_of_space_by_names_that_are_nearly_theirs(run, save):
    rng = np.random.default_rng(0)
    field = rng.normal(size=(12, 6, 6, 6))
    data = save(input=field, target=field + rng.normal(size=field.shape))
    for wrong, meant in (("O_h", "Oh"), ("d4h", "D4h"), ("OH", "Oh"), ("C_4v", "C4v")):
        code, _, said = run(data, "--group", wrong, "--no-channels")
        assert (code, said.count("\n")) == (2, 1)
        assert f"did you mean {meant}?" in said
    code, _, said = run(data, "--group", "S99", "--no-channels")
    assert "S2n" in said
    assert "did you mean" not in said


def test_a_group_larger_than_the_data_can_test_is_refused_with_what_is_needed(run, save):
    rng = np.random.default_rng(0)
    field = rng.normal(size=(8, 6, 6, 6))
    data = save(input=field, target=field + 0.1 * rng.normal(size=field.shape))
    code, _, said = run(data, "--group", "Oh", "--no-channels")
    assert code == 2
    assert "9 irreps at level 0.05 need 9 units" in said
    assert run(data, "--group", "D2", "--no-channels")[0] == 0


@pytest.mark.parametrize("path", ["absent.npz", "folder", "junk.npz"])
def test_files_that_cannot_be_read_are_named(run, tmp_path, path):
    (tmp_path / "folder").mkdir()
    (tmp_path / "junk.npz").write_text("hello")
    code, _, said = run(tmp_path / path, "--group", "D4")
    assert code == 2
    assert path in said
    assert said.count("\n") == 1
    assert run("--group", "D4")[2].startswith("subduce discover: no data given")
