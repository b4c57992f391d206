"""Programs measured in turn: on the same machine, at the same time, each in a process of its own.

Timings are only compared where one call of each program follows one of the other, so that whatever
else the machine does hits all of them.
"""

import contextlib
import json
import os
import platform
import statistics
import subprocess
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

_TURN = 0.2  # seconds of calls of one program before it is the next one's turn
_MOST_CALLS, _ROUNDS = 20, (3, 15)


@dataclass(frozen=True)
class Sample:
    """Repeated measurements of one thing, in one unit."""

    values: tuple[float, ...]

    @property
    def median(self) -> float:
        """The middle value."""
        return statistics.median(self.values)

    @property
    def spread(self) -> float:
        """Half of the distance between the quartiles, as a part of the median."""
        if len(self.values) < 2:
            return 0.0
        low, _, high = statistics.quantiles(self.values, n=4, method="inclusive")
        return (high - low) / 2 / self.median if self.median else 0.0


class Program:
    """A program in a process of its own that is asked, and answers, in lines of JSON.

    `limit_mb` bounds its memory: beyond, it fails, and not the machine; it is ended after `limit_s`.
    """

    def __init__(
        self,
        command: Sequence[str],
        *,
        threads: int = 1,
        limit_mb: float | None = None,
        limit_s: float = 900.0,
        path: str = "",
    ) -> None:
        names = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
        # Threads that wait sleep: where anything else runs, those that spin take the time of those they wait for.
        environment = {"OMP_WAIT_POLICY": "PASSIVE"} | os.environ
        environment |= {**dict.fromkeys(names, str(threads)), "PYTHONPATH": path}
        self._process = subprocess.Popen(
            _limited(command, limit_mb),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env=environment,
        )
        self._ask, self._answers = self._process.stdin, self._process.stdout
        self._late = ""
        self._timer = threading.Timer(limit_s, self._end, [f"took longer than {limit_s:g} s"])
        self._timer.daemon = True
        self._timer.start()

    def ask(self, do: str, **request: Any) -> dict[str, Any]:
        """The answer to one request; `refused` says why there is none."""
        try:
            print(json.dumps({"do": do, **request}), file=self._ask, flush=True)
            for answer in self._answers:  # type: ignore[union-attr]
                if answer.startswith("{"):  # some packages print greetings
                    return json.loads(answer)
        except BrokenPipeError:
            pass
        code = self._process.wait()
        return {"refused": self._late or f"ended with exit code {code}"}

    def _end(self, why: str) -> None:
        self._late = why
        self._process.kill()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._timer.cancel()
        with contextlib.suppress(BrokenPipeError):
            self._ask.close()  # type: ignore[union-attr]
        try:
            self._process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._answers.close()  # type: ignore[union-attr]


@dataclass(frozen=True)
class Measured:
    """What one program took: milliseconds of a call, and memory in MB.

    `peak_mb` is the most that its process held, `added_mb` what one call needs beyond what is there
    before and after it, where that was asked for and can be known.
    """

    sample: Sample
    peak_mb: float
    added_mb: float | None


def alternately(
    programs: Mapping[str, Program], seconds: float, *, rounds: tuple[int, int] = _ROUNDS, memory: bool = True
) -> tuple[dict[str, Measured], dict[str, str]]:
    """Each program in turn, each round in the opposite order, for about so many seconds; and why some failed.

    The slow ones have one call a turn, the fast ones as many as fit into a fifth of a second, of
    which the median counts. One call of each, two of those under two seconds, come first and do not
    count; with `memory`, one more comes last.
    """
    calls, failed, cost = {}, {}, 0.0
    for name, program in programs.items():
        took = _turn(program, 1)
        if isinstance(took, dict) and took["ms"][0] < 2000:
            took = _turn(program, 1)
        if isinstance(took, str):
            failed[name] = took
        else:
            one = took["ms"][0] / 1e3
            calls[name] = max(1, min(_MOST_CALLS, int(_TURN / max(one, 1e-6))))
            cost += calls[name] * one
    values: dict[str, list[float]] = {name: [] for name in calls}
    last: dict[str, dict[str, Any]] = {}
    for i in range(max(rounds[0], min(rounds[1], int(seconds / max(cost, 1e-6))))):
        for name in list(calls)[:: 1 if i % 2 else -1]:
            took = _turn(programs[name], calls[name]) if name not in failed else ""
            if isinstance(took, dict):
                values[name].append(statistics.median(took["ms"]))
                last[name] = took
            elif took:
                failed[name] = took
    found = {}
    for name in calls:
        if name not in failed:
            added = programs[name].ask("memory").get("added_mb") if memory else None
            found[name] = Measured(Sample(tuple(values[name])), last[name]["peak_mb"], added)
    return found, failed


def memory_gb() -> float | None:
    """What the machine has, GiB."""
    if not hasattr(os, "sysconf"):
        return None
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30


def machine() -> dict[str, Any]:
    """Processor, cores, memory, load and versions."""
    processor, info = platform.processor() or platform.machine(), Path("/proc/cpuinfo")
    for line in info.read_text().splitlines() if info.exists() else ():
        if line.startswith("model name"):
            processor = line.partition(":")[2].strip()
            break
    memory = memory_gb()
    return {
        "processor": processor,
        "cores": os.cpu_count(),
        "memory_gb": memory and round(memory, 1),
        "load": round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None,
        "system": platform.platform(),
        "python": platform.python_version(),
    }


def commit(folder: str | Path) -> str | None:
    """The commit of a working tree, with `-dirty` where files differ from it; None where there is no such tree."""
    command = ["git", "describe", "--always", "--dirty", "--abbrev=12"]
    try:
        found = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    except OSError:
        return None
    return found.stdout.strip() or None


def _turn(program: Program, calls: int) -> dict[str, Any] | str:
    answer = program.ask("run", calls=calls)
    return answer.get("refused") or answer


def _limited(command: Sequence[str], limit_mb: float | None) -> list[str]:
    if limit_mb is None or os.name != "posix":
        return list(command)
    return ["sh", "-c", f'ulimit -d {int(1024 * limit_mb)}; exec "$@"', "sh", *command]
