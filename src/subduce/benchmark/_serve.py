"""How a program answers a benchmark: lines of JSON in, lines of JSON out.

The scripts of peers run where this package is not installed, so this file needs nothing but Python.
"""

import contextlib
import ctypes
import gc
import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

try:
    import resource
except ImportError:  # Windows has no such module
    resource = None

Prepared = tuple[Callable[[], Any], Callable[[], dict[str, Any]], dict[str, Any]]
"""What is timed; what it gives, for comparison with others; and facts about it."""


class Refusal(Exception):
    """Why a program does not do what it was asked."""


def serve(
    prepare: Callable[[dict[str, Any]], Prepared], version: str, clock: Callable[[], float] = time.perf_counter
) -> None:
    """Answer `prepare`, `run`, `memory` and `values` until no more is asked; `prepare` makes a call of a task.

    `clock` gives seconds: `time.process_time`, the processor's, is for one thread on a machine that others use too.
    """
    prepared: Any = None
    with _own_output() as answers:
        for line in sys.stdin:
            request = json.loads(line)
            try:
                if request["do"] == "prepare":
                    prepared = prepare(request["task"])
                    answer = {"version": version, **prepared[2]}
                elif request["do"] == "run":
                    times = [milliseconds(prepared[0], clock) for _ in range(request["calls"])]
                    answer = {"ms": times, "peak_mb": peak_mb()}
                elif request["do"] == "memory":
                    answer = {"added_mb": _added_mb(prepared[0])}
                else:
                    answer = {"values": prepared[1]()}
            except Exception as error:  # a benchmark says so and goes on with the others
                answer = {"refused": str(error) if isinstance(error, Refusal) else f"{type(error).__name__}: {error}"}
            print(json.dumps(answer), file=answers, flush=True)


def milliseconds(call: Callable[[], Any], clock: Callable[[], float] = time.perf_counter) -> float:
    """How long one call takes."""
    began = clock()
    call()
    return 1e3 * (clock() - began)


def peak_mb() -> float:
    """The most memory that this process has held so far, MB."""
    found = _peak()
    if found is None and resource is not None:
        found = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10)
    return found or 0.0


def _added_mb(call: Callable[[], Any]) -> float | None:
    """How much memory one more call needs for a while, MB; None where the system does not count peaks anew."""
    gc.collect()
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)  # what is free but kept would hide what the call needs
    try:
        with open("/proc/self/clear_refs", "w") as file:
            file.write("5")
    except OSError:
        return None
    before = peak_mb()
    call()
    return max(peak_mb() - before, 0.0)


def _peak() -> float | None:
    try:
        with open("/proc/self/status") as file:
            lines = [line for line in file if line.startswith("VmHWM")]
    except OSError:
        return None
    return int(lines[0].split()[1]) / 1024 if lines else None


@contextlib.contextmanager
def _own_output() -> Iterator[Any]:
    """The first stdout; whatever libraries print from now on goes to stderr."""
    with os.fdopen(os.dup(1), "w") as answers:
        os.dup2(2, 1)
        yield answers
