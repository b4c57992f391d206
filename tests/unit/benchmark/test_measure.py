"""Programs in turn: the order, the number of calls, and what happens to one that fails."""

import sys

import pytest

from subduce.benchmark import Sample
from subduce.benchmark._measure import Program, alternately

SCRIPT = """
print("greetings from a package", flush=True)
from _serve import Refusal, serve

def prepare(task):
    if task["wanted"] == "refusal":
        raise Refusal("cannot do that")
    held = []
    def call():
        print("noise of a library")
        held[:] = [bytearray(b"x" * (task["wanted"] * 2**20))]
        held.clear()
    return call, lambda: {"answer": [42]}, {"edges": 7}

serve(prepare, "script 1")
"""


class Fake:
    """A program of a known speed that writes down when it is called."""

    def __init__(self, name, ms, log, fails_after=10**9):
        self.name, self.ms, self.log, self.left = name, ms, log, fails_after

    def ask(self, do, calls=1):
        if do == "memory":
            return {"added_mb": 3.0}
        self.log.append(self.name)
        self.left -= 1
        return {"ms": [self.ms] * calls, "peak_mb": 1.0} if self.left >= 0 else {"refused": "is gone"}


def test_spread_is_half_the_distance_of_quartiles_over_the_median():
    assert Sample((1.0, 2.0, 3.0, 4.0, 5.0)).spread == pytest.approx(1 / 3)
    assert Sample((2.0,)).spread == 0.0


def test_turns_alternate_and_each_round_turns_the_order():
    log = []
    found, failed = alternately({"a": Fake("a", 5000, log), "b": Fake("b", 5000, log)}, 1.0)
    assert log == ["a", "b", "b", "a", "a", "b", "b", "a"]
    assert not failed
    assert len(found["a"].sample.values) == 3
    assert (found["a"].sample.median, found["a"].peak_mb, found["a"].added_mb) == (5000, 1.0, 3.0)


def test_a_program_that_fails_does_not_stop_the_others():
    log = []
    found, failed = alternately({"a": Fake("a", 5000, log), "b": Fake("b", 5000, log, fails_after=2)}, 1.0)
    assert list(found) == ["a"]
    assert failed == {"b": "is gone"}


@pytest.fixture
def program(tmp_path):
    from subduce.benchmark._peers import HERE

    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    with Program([sys.executable, str(script)], path=str(HERE)) as started:
        yield started


def test_a_script_answers_whatever_it_prints(program):
    assert program.ask("prepare", task={"wanted": 64}) == {"version": "script 1", "edges": 7}
    assert len(program.ask("run", calls=3)["ms"]) == 3
    assert program.ask("values") == {"values": {"answer": [42]}}


@pytest.mark.skipif(sys.platform != "linux", reason="peaks are counted anew on Linux only")
def test_memory_is_what_a_call_needs_for_a_while(program):
    program.ask("prepare", task={"wanted": 64})
    program.ask("run", calls=1)
    assert 60 < program.ask("memory")["added_mb"] < 140


def test_refusals_and_errors_are_told(program):
    assert program.ask("prepare", task={"wanted": "refusal"}) == {"refused": "cannot do that"}
    assert "KeyError" in program.ask("prepare", task={})["refused"]


def test_a_program_that_is_gone_says_so():
    with Program([sys.executable, "-c", "raise SystemExit(3)"]) as gone:
        assert gone.ask("prepare", task={}) == {"refused": "ended with exit code 3"}


def test_a_program_that_takes_too_long_is_ended():
    with Program([sys.executable, "-c", "import time; time.sleep(60)"], limit_s=0.3) as slow:
        assert slow.ask("prepare", task={}) == {"refused": "took longer than 0.3 s"}
