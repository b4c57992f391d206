"""The common part of benchmarks: programs measured in turn, statistics, and a description of the machine.

Timings of two programs are only compared when both ran at the same time on the same machine, one
call of each in turn, so that whatever else the machine does hits both. A peer that needs another
environment runs as a child process and answers one line of JSON with one line of JSON.
"""

import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

RESULTS = Path(__file__).parent / "results"
"""Where the JSON of each benchmark lies."""


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


class Peer:
    """A program in another environment that is asked, and answers, in lines of JSON."""

    def __init__(self, command: Sequence[str], *, threads: int = 1) -> None:
        environment = {**os.environ, "OMP_NUM_THREADS": str(threads), "MKL_NUM_THREADS": str(threads)}
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
        )
        self._ask, self._answers = self._process.stdin, self._process.stdout

    def ask(self, **request: Any) -> dict[str, Any]:
        """The answer to one request; raises `RuntimeError` where the program has died."""
        print(json.dumps(request), file=self._ask, flush=True)
        answer = self._answers.readline()  # type: ignore[union-attr]
        if not answer:
            raise RuntimeError(f"{self._process.args} ended with {self._process.wait()} at {request}")
        return json.loads(answer)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._ask.close()  # type: ignore[union-attr]
        self._process.wait()


def serve(answer: Callable[..., Mapping[str, Any]]) -> None:
    """The other end of `Peer`: answers each line of stdin on stdout."""
    for line in sys.stdin:
        print(json.dumps(answer(**json.loads(line))), flush=True)


def alternately(measures: Mapping[str, Callable[[], float]], rounds: int, *, warmup: int = 1) -> dict[str, Sample]:
    """Each measure once a round, in turn and each round in the opposite order; the first rounds are not counted."""
    values: dict[str, list[float]] = {name: [] for name in measures}
    for i in range(warmup + rounds):
        order = list(measures) if i % 2 else list(measures)[::-1]
        for name in order:
            value = measures[name]()
            if i >= warmup:
                values[name].append(value)
    return {name: Sample(tuple(found)) for name, found in values.items()}


def milliseconds(call: Callable[[], Any]) -> float:
    """How long one call takes."""
    began = time.perf_counter()
    call()
    return 1e3 * (time.perf_counter() - began)


def peak_mb() -> float:
    """The most memory that this process has held so far, MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def machine() -> dict[str, Any]:
    """Processor, cores, memory and versions."""
    processor = platform.processor() or platform.machine()
    for line in Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else ():
        if line.startswith("model name"):
            processor = line.partition(":")[2].strip()
            break
    return {
        "processor": processor,
        "cores": os.cpu_count(),
        "memory_gb": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
        "load": round(os.getloadavg()[0], 2),
        "system": platform.platform(),
        "python": platform.python_version(),
    }


def commit() -> str:
    """The commit of the working tree, with `-dirty` where files differ from it."""
    found = subprocess.run(
        ["git", "describe", "--always", "--dirty", "--abbrev=12"],
        cwd=Path(__file__).parent,
        capture_output=True,
        text=True,
        check=False,
    )
    return found.stdout.strip() or "unknown"


def write_results(name: str, rows: Sequence[Mapping[str, Any]], settings: Mapping[str, Any], began: float) -> Path:
    """Write `results/NAME.json`, a record of kind `bench`; `began` is `time.time()` at the start."""
    record = {
        "kind": "bench",
        "inputs": {},
        "settings": {"name": name, **settings, "machine": machine(), "commit": commit()},
        "results": {"rows": list(rows)},
        "seconds": round(time.time() - began, 1),
        "version": 1,
    }
    path = RESULTS / f"{name}.json"
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(record, indent=1, ensure_ascii=False) + "\n")
    return path
