"""The command: how it answers, what it refuses in one line, and which code it ends with."""

import argparse
import errno
import json
import subprocess
import sys
import types
import warnings

import pytest

from subduce.cli import _main, main
from subduce.config import InputError
from subduce.records import Record


@pytest.fixture
def verb(monkeypatch):
    """Puts a verb in place of `check` that does what the test says."""

    def install(action, *arguments):
        def add_arguments(parser: argparse.ArgumentParser) -> None:
            parser.add_argument("words", nargs="*")
            parser.add_argument("--output")

        module = types.SimpleNamespace(__doc__="A verb.", add_arguments=add_arguments, run=action)
        monkeypatch.setattr(_main.importlib, "import_module", lambda *_: module)
        return main(["check", *arguments])

    return install


def record(**results) -> Record:
    return Record("check", {}, {}, results, 0.1)


def raising(error: BaseException):
    def action(options):
        raise error

    return action


def test_help_answers_without_heavy_imports():
    """Start-up stays fast exactly as long as nothing heavy is imported."""
    script = (
        "import sys; from subduce.cli import main; main(sys.argv[1:]);"
        "sys.exit(bool({'torch', 'ase', 'pydantic', 'numpy'} & set(sys.modules)))"
    )
    for arguments in (["--help"], ["--version"], *([verb, "--help"] for verb in _main.VERBS)):
        done = subprocess.run([sys.executable, "-c", script, *arguments], capture_output=True, text=True, check=False)
        assert done.returncode == 0, (arguments, done.stderr)
        assert done.stdout


def test_every_verb_is_in_the_overview(capsys):
    assert main(["--help"]) == 0
    text = capsys.readouterr().out
    assert all(verb in text for verb in _main.VERBS)


def test_no_verb_at_all_is_wrong_usage(capsys):
    assert main([]) == 2
    assert "usage" in capsys.readouterr().err


def test_an_unknown_verb_gets_the_nearest_one(capsys):
    assert main(["trian"]) == 2
    assert capsys.readouterr().err == "subduce: no verb 'trian'; did you mean train?\n"


@pytest.mark.parametrize("arguments", [["--stepz", "3"], ["--threads", "none"], ["--threads", "0"]])
def test_wrong_usage_is_one_line_and_2(verb, capsys, arguments):
    assert verb(lambda options: record(), *arguments) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_json_is_the_only_thing_on_stdout(verb, capsys):
    assert verb(lambda options: record(findings=[]), "--json") == 0
    assert json.loads(capsys.readouterr().out)["kind"] == "check"


def test_without_json_stdout_is_empty(verb, capsys):
    assert verb(lambda options: record()) == 0
    assert capsys.readouterr().out == ""


def test_only_the_first_of_many_processes_prints_its_record(verb, capsys, monkeypatch):
    monkeypatch.setenv("RANK", "1")
    assert verb(lambda options: record(), "--json") == 0
    assert capsys.readouterr().out == ""


def test_options_and_words_may_be_mixed(verb):
    seen = {}

    def action(options):
        seen.update(vars(options))
        return record()

    assert verb(action, "a=1", "--output", "there", "b=2") == 0
    assert seen["words"] == ["a=1", "b=2"]


@pytest.mark.parametrize(
    ("error", "code", "text"),
    [
        (InputError("file.xyz: no\nenergy"), 2, "subduce check: file.xyz: no energy"),
        (OSError(errno.ENOSPC, "No space left on device", "x"), 2, "x: cannot be written, no space left on device"),
        (OSError(errno.EROFS, "Read-only file system", "x"), 2, "x: cannot be written, read-only file system"),
        (PermissionError(errno.EACCES, "Permission denied", "x"), 2, "x: cannot be written, permission denied"),
        (FileNotFoundError(errno.ENOENT, "No such file or directory", "x"), 2, "x: no such file or directory"),
        (RuntimeError("I/O error: No space left on device (os error 28)"), 2, "no space left on the disk"),
        (RuntimeError("went wrong"), 3, "failed: RuntimeError: went wrong"),
        (RuntimeError("CUDA out of memory"), 3, "smaller batch"),
        (KeyboardInterrupt(), 130, "interrupted"),
        (KeyboardInterrupt("after 7 steps"), 130, "interrupted: after 7 steps"),
    ],
)
def test_each_error_is_one_line_with_its_code(verb, capsys, error, code, text):
    assert verb(raising(error)) == code
    said = capsys.readouterr()
    assert text in said.err
    assert said.err.count("\n") == 1
    assert said.out == ""


def test_a_failure_says_where_what_was_done_lies(verb, capsys, tmp_path):
    assert verb(raising(RuntimeError("went wrong")), "--output", str(tmp_path)) == 3
    assert str(tmp_path) in capsys.readouterr().err


def test_debug_shows_the_traceback(verb, capsys):
    assert verb(raising(RuntimeError("went wrong")), "--debug") == 3
    assert "Traceback" in capsys.readouterr().err


def test_what_stopped_early_is_said_and_3_but_still_a_record(verb, capsys):
    assert verb(lambda options: record(stopped="atoms flew apart"), "--json") == 3
    said = capsys.readouterr()
    assert "stopped: atoms flew apart" in said.err
    assert json.loads(said.out)["results"]["stopped"] == "atoms flew apart"


def test_a_warning_is_one_line_without_the_place_in_the_code(verb, capsys):
    def action(options):
        warnings.warn("look at\nthis", stacklevel=1)
        return record()

    assert verb(action) == 0
    assert capsys.readouterr().err == "warning: look at this\n"
