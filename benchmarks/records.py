"""Where the records of benchmarks lie, and what each says about the machine."""

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from subduce.benchmark import commit, machine
from subduce.records import Record

RESULTS = Path(__file__).parent / "results"


def write_results(name: str, rows: Sequence[Mapping[str, Any]], settings: Mapping[str, Any], began: float) -> Path:
    """Write `results/NAME.json`; `began` is `time.time()` at the start."""
    about = {"name": name, **settings, "machine": machine(), "commit": commit(Path(__file__).parent)}
    record = Record("bench", {}, about, list(rows), round(time.time() - began, 1))
    path = RESULTS / f"{name}.json"
    path.parent.mkdir(exist_ok=True)
    path.write_text(record.to_json() + "\n")
    return path
