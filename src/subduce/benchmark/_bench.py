"""Every case beside its rivals, as a record: rows with ratios, memory, agreement, and whether targets are met."""

import contextlib
import math
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..config import InputError
from ..kernels import available, channelwise_plan
from ..o3 import Irreps
from ..records import Record
from ._cases import ANOTHER_MODEL, Case, Rival, Target, all_cases, quick_cases
from ._measure import Measured, Program, alternately, commit, machine
from ._peers import PACKAGES, Installed, find_peers, start_ours, start_peer

Row = dict[str, Any]
_SLOPE = Target(0.05, 0.02, sense="near one")


def bench(
    *,
    quick: bool = False,
    peers: str | Path | None = ".peers",
    threads: int = 1,
    cases: Sequence[str] | None = None,
    progress: Callable[[int, int], None] | None = None,
    tell: Callable[[Row], None] | None = None,
) -> Record:
    """Measure this program beside others, each in a process of its own, one call of each in turn.

    Peers are taken from environments `peers/NAME` and from our own. `quick` takes cases that need
    seconds; `cases` takes those whose names hold one of the given words. `tell` is called with each row as
    it is found, `progress` with the number of cases done and in all. A row has `case`, `backend` (ours),
    `peer`, `median_ms`, `spread` (half the distance between the quartiles, as a part of the median),
    `ratio` (how many times faster than the peer), `peak_mb` (the most that our process held), `added_mb`
    (how much of that came with the calls), `atoms`, `edges`, the peer's own numbers, `agreement`
    (largest difference over largest value), and for numbers with a target `quantity`, `value`, `must`,
    `aim` and `met`. Raises `InputError` where no case has such a name.
    """
    began = time.perf_counter()
    installed = find_peers(Path(peers) if peers is not None else None)
    chosen = _chosen(quick_cases() if quick else all_cases(), cases)
    rows: list[Row] = []
    for done, case in enumerate(chosen):
        for row in measure(case, installed, threads):
            rows.append(row)
            if tell:
                tell(row)
        if progress:
            progress(done + 1, len(chosen))
    for row in _slopes(rows):
        rows.append(row)
        if tell:
            tell(row)
    settings = {
        "quick": quick,
        "threads": threads,
        "cases": cases and list(cases),
        "dtype": "float32",
        "backends": list(available()),
        "peers": {name: name in installed for name in PACKAGES},
        "machine": machine(),
        "commit": commit(Path(__file__).parent),
    }
    return Record("bench", {}, settings, rows, round(time.perf_counter() - began, 1))


def case_names(*, quick: bool = False) -> list[str]:
    """The names of the cases."""
    return [case.name for case in (quick_cases() if quick else all_cases())]


def measure(case: Case, installed: Mapping[str, Installed], threads: int) -> list[Row]:
    """Rows of one case: one for each rival that is installed and one for each further target; or one without rival."""
    threads, backends = case.task.get("threads", threads), available()
    rivals = [rival for rival in case.rivals if _present(rival, installed, backends)]
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        task = {**case.task, "backend": backends[0], "inputs": _inputs(case.task, folder)}
        weights = folder / "weights.npz"
        programs, facts, failed = {}, {}, {}
        # Peers first: one of them may have the weights, which ours then takes.
        order = [*sorted(rivals, key=lambda rival: rival.peer not in installed), None]
        for rival in order:
            started = _start(rival, installed, threads, case.task["kind"] == "size")
            programs[_name(rival)] = stack.enter_context(started)
        for rival in order:
            name, told = _name(rival), {"mode": rival.mode, "weights_to": str(weights)} if rival else {}
            if weights.exists() and (rival is None or rival.peer not in installed):
                told = {"weights": str(weights)}
            facts[name] = programs[name].ask("prepare", task=task | told | _ours_as_rival(rival))
            if "refused" in facts[name]:
                failed[name] = facts[name]["refused"]
        ready = {name: program for name, program in programs.items() if name not in failed}
        found, stopped = alternately(ready, case.seconds, rounds=case.rounds, memory=case.memory)
        values = {name: ready[name].ask("values").get("values") or {} for name in found}
    failed |= stopped
    return _rows(case, rivals, threads, backends[0], found, failed, facts, values)


def _rows(
    case: Case,
    rivals: Sequence[Rival],
    threads: int,
    backend: str,
    found: Mapping[str, Measured],
    failed: Mapping[str, str],
    facts: Mapping[str, Row],
    values: Mapping[str, Mapping[str, list[float]]],
) -> list[Row]:
    name, us = _name(None), found.get(_name(None))
    common: Row = {"case": case.name, "backend": backend, "peer": None, "threads": threads}
    common |= {"median_ms": us and us.sample.median, "spread": us and us.sample.spread, "ratio": None}
    common |= {"peak_mb": us and us.peak_mb, "added_mb": us and us.added_mb}
    common |= {key: facts[name].get(key) for key in ("atoms", "edges")}
    common |= {"l_max": case.task.get("l_max")} if case.task["kind"] == "size" else {}
    if us is None:
        common["note"] = failed[name]
        missed = [common | {"quantity": key} | _unknown(target) for key, target in case.targets.items()]
        missed += [common | {"peer": _name(rival)} | _unknown(rival.time) for rival in rivals if rival.time]
        return missed or [common]
    rows = [_beside(common, rival, us, found, failed, facts, values) for rival in rivals]
    for rival, row in zip(rivals, list(rows), strict=True):
        them = found.get(_name(rival))
        if rival.memory and them and us.added_mb is not None and them.added_mb is not None:
            ratio = them.added_mb / max(us.added_mb, 0.1)
            rows.append(row | {"quantity": "memory", "ratio": ratio} | _judged(rival.memory, ratio))
    measured = {key: found[0] for key, found in values[name].items() if key in case.targets}
    measured |= {"peak_gb": us.peak_mb / 1024} if "peak_gb" in case.targets else {}
    for quantity, value in measured.items():
        rows.append(common | {"quantity": quantity} | _judged(case.targets[quantity], value))
    return rows or [common]


def _beside(
    common: Row,
    rival: Rival,
    us: Measured,
    found: Mapping[str, Measured],
    failed: Mapping[str, str],
    facts: Mapping[str, Row],
    values: Mapping[str, Mapping[str, list[float]]],
) -> Row:
    name, ours = _name(rival), _name(None)
    row = common | {"peer": name, "peer_version": facts[name].get("version"), "quantity": "time"}
    if rival.note:
        row["note"] = rival.note
    if name in failed:
        return row | {"note": failed[name]} | (_unknown(rival.time) if rival.time else {})
    edges = facts[name].get("edges")
    if edges not in (common["edges"], None):
        raise RuntimeError(f"{row['case']}: we have {common['edges']} edges, {name} has {edges}")
    them = found[name]
    row["ratio"] = them.sample.median / us.sample.median
    row |= {"peer_median_ms": them.sample.median, "peer_spread": them.sample.spread}
    row |= {"peer_peak_mb": them.peak_mb, "peer_added_mb": them.added_mb}
    if not rival.note.startswith(ANOTHER_MODEL):
        row["agreement"] = _agreement(values[ours], values[name])
    return row | (_judged(rival.time, row["ratio"]) if rival.time else {})


def _judged(target: Target, value: float) -> Row:
    return {
        "value": value,
        "sense": target.sense,
        "must": target.must,
        "aim": target.aim,
        "met": target.met(value),
    }


def _unknown(target: Target) -> Row:
    return {"value": None, "sense": target.sense, "must": target.must, "aim": target.aim, "met": "not measured"}


def _agreement(ours: Mapping[str, list[float]], theirs: Mapping[str, list[float]]) -> dict[str, float]:
    """Largest difference over largest value, of everything that both found."""
    found = {}
    for key in ours.keys() & theirs.keys():
        a, b = np.asarray(ours[key]), np.asarray(theirs[key])
        if a.shape != b.shape:
            raise RuntimeError(f"{key}: {a.shape} numbers beside {b.shape}")
        found[key] = float(abs(a - b).max() / max(abs(b).max(), 1e-300))
    return dict(sorted(found.items()))


def _slopes(rows: Sequence[Row]) -> list[Row]:
    """The slope of log time against log atoms from 1,000 atoms up, where there are such sizes."""
    sizes = [row for row in rows if row.get("l_max") == 2 and row["median_ms"] and row["atoms"] >= 1000]
    sizes = [row for row in sizes if row.get("quantity", "time") == "time" or row["case"].endswith("100,000 atoms")]
    if len(sizes) < 2:
        return []
    atoms, times = ([math.log(row[key]) for row in sizes] for key in ("atoms", "median_ms"))
    slope = float(np.polyfit(atoms, times, 1)[0])
    empty = dict.fromkeys(("peer", "median_ms", "spread", "ratio", "peak_mb", "edges"))
    largest = {"case": f"cost per atom, 1,000 → {sizes[-1]['atoms']:,} atoms", "atoms": sizes[-1]["atoms"]}
    common = {key: sizes[-1][key] for key in ("backend", "threads")}
    return [empty | largest | common | {"quantity": "slope"} | _judged(_SLOPE, slope)]


def _chosen(cases: Sequence[Case], words: Sequence[str] | None) -> list[Case]:
    found = [case for case in cases if words is None or any(word in case.name for word in words)]
    if not found:
        names = "; ".join(case.name for case in cases)
        raise InputError(f"no case is named like {', '.join(words or ())}; there are: {names}")
    return found


def _present(rival: Rival, installed: Mapping[str, Installed], backends: Sequence[str]) -> bool:
    return rival.peer in installed or rival.peer == "one thread" or (rival.peer == "reference" and len(backends) > 1)


def _name(rival: Rival | None) -> str:
    if rival is None:
        return "subduce"
    if rival.peer in ("reference", "one thread"):
        return f"subduce, {rival.peer}"
    return f"{rival.peer}, {rival.mode}" if rival.mode else rival.peer


def _start(rival: Rival | None, installed: Mapping[str, Installed], threads: int, limited: bool) -> Program:
    if rival and rival.peer in installed:
        return start_peer(rival.peer, installed, threads)
    return start_ours(1 if rival and rival.peer == "one thread" else threads, limited=limited)


def _ours_as_rival(rival: Rival | None) -> Row:
    return {"backend": "reference"} if rival and rival.peer == "reference" else {}


def _inputs(task: Mapping[str, Any], folder: Path) -> str | None:
    """A file with the numbers that kernels work on, the same for all programs."""
    generator, path = np.random.default_rng(0), folder / "inputs.npz"
    if task["kind"] == "harmonics":
        np.savez(path, vectors=generator.normal(size=(task["vectors"], 3)).astype(np.float32))
    elif task["kind"] == "product":
        irreps, edge = Irreps(task["irreps"]), Irreps.spherical_harmonics(task["l_edge"])
        plan, edges = channelwise_plan(irreps, edge, irreps), task["atoms"] * task["neighbours"]
        shapes = {"x": (task["atoms"], irreps.dim), "y": (edges, edge.dim), "w": (edges, plan.num_weights)}
        arrays: dict[str, Any] = {n: generator.normal(size=size).astype(np.float32) for n, size in shapes.items()}
        arrays["receiver"] = np.repeat(np.arange(task["atoms"]), task["neighbours"])
        np.savez(path, **arrays, sender=generator.integers(task["atoms"], size=edges))
    return str(path) if path.exists() else None
