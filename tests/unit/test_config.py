"""Settings: what is wrong is named, with the file, the key and the way out."""

import pytest

from subduce.config import Config, InputError, build, override, read_yaml


class Inner(Config):
    r_max: float = 5.0
    l_max: int = 2


class Outer(Config):
    model: Inner = Inner()
    name: str


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"name": "a", "model": {"rmax": 4.0}}, "run.yaml: model.rmax: no such setting; did you mean r_max?"),
        ({"name": "a", "colour": 1}, "run.yaml: colour: no such setting; known here: model, name"),
        ({"name": "a", "model": {"l_max": "two"}}, "run.yaml: model.l_max: .*integer.*, got 'two'"),
        ({}, "run.yaml: name: field required"),
        ({"name": "a", "model": 3}, "run.yaml: model: .*, got 3"),
    ],
)
def test_wrong_settings_are_named(settings, says):
    with pytest.raises(InputError, match=says) as caught:
        build(Outer, settings, source="run.yaml")
    assert "\n" not in str(caught.value)


def test_a_config_is_frozen_and_replace_checks_again():
    config = build(Outer, {"name": "a"}, source="run.yaml")
    with pytest.raises(ValueError, match="frozen"):
        config.name = "b"
    assert config.replace(name="b").name == "b"
    with pytest.raises(ValueError, match="extra"):
        config.replace(colour="red")


def test_overrides_make_sections_and_leave_the_original_alone():
    settings = {"model": {"r_max": 5.0}}
    assert override(settings, ["model.l_max=1", "train.rate=1e-3", "names=[H, O]", "note='true'"]) == {
        "model": {"r_max": 5.0, "l_max": 1},
        "train": {"rate": "1e-3"},  # YAML reads a number only with a point: pydantic converts it
        "names": ["H", "O"],
        "note": "true",
    }
    assert settings == {"model": {"r_max": 5.0}}


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ("model.r_max", "of the form key.sub=value"),
        ("=4", "of the form key.sub=value"),
        ("model.r_max.x=4", "r_max is a single value here"),
        ("model.r_max=[1", "not valid YAML"),
    ],
)
def test_overrides_that_say_nothing_are_refused(change, says):
    with pytest.raises(InputError, match=says):
        override({"model": {"r_max": 5.0}}, [change])


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"model: [1, 2", r"run.yaml, line 1: .*expected YAML"),
        (b"- 1\n- 2", "expected a mapping of settings, found list"),
        (b"\xff\xfe\x00", "not a text file|expected YAML"),
        (b"!!python/object/apply:os.system ['true']", "could not determine a constructor"),
        (None, "No such file"),
    ],
)
def test_files_that_hold_no_settings_are_refused(tmp_path, content, says):
    path = tmp_path / "run.yaml"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(InputError, match=says) as caught:
        read_yaml(path)
    assert str(path) in str(caught.value)
