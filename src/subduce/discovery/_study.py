"""From a file, or arrays, and the name of a group to a record: what the verb `discover` does."""

import hashlib
import json
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from io import BytesIO
from pathlib import Path
from typing import Any, get_args

import numpy as np

from subduce import __version__
from subduce.config import InputError
from subduce.data import Pairs, open_clouds, open_pairs
from subduce.groups import FiniteGroup, subgroup, subgroups
from subduce.records import Record, fingerprint, write_whole

from ._actions import Action, action_on
from ._broken_symmetry import Estimator, Investigation, check_pairs
from ._continuous import Continuous
from ._distribution import distribution as distribution_of
from ._places import check_bands
from ._places import scales as bands
from ._places import when as onsets
from ._places import where as places
from ._words import methods, verdict

_CONTINUOUS = {"O(3)": "O(3)", "O3": "O(3)", "SO(3)": "SO(3)", "SO3": "SO(3)"}
_CLOUDS = (".extxyz", ".xyz")
_ONSET = 16  # units
_BY_SIGNS = 13  # units: with fewer, p-values come from the signs of the units and have a least value


def discover_symmetries(
    data: str | Path | Mapping[str, np.ndarray] | Pairs,
    group: str | Mapping[str, Any] | FiniteGroup,
    *,
    time_odd: Sequence[str] = (),
    level: float = 0.05,
    delta: float = 0.01,
    estimator: Estimator = "auto",
    distribution: bool = False,
    where: bool = False,
    when: bool = False,
    scales: Sequence[float] = (),
    seeds: int | None = None,
    seed: int = 0,
    output: str | Path | None = None,
    on_part: Callable[[Record], None] = lambda record: None,
    progress: Callable[[int, int], None] = lambda done, total: None,
    **reading: Any,
) -> Record:
    """Which elements and irreps of a group the law in some data breaks, the subgroup it keeps, how large, how sure.

    `data` is a file (or arrays by name, or pairs that are open) with `input` and `target` of shape `[sample,
    channel, *space]`, or `[sample, channel]` for vectors; `reading` holds the keywords of `subduce.data.open_pairs`
    (`lag`, `channels`, `no_channels`, `axes`, `periodic`, `units`, …), or for a file of structures (.extxyz) those of
    `subduce.data.open_clouds` (`target`, `cutoff`, …). `group` is a name (`D4`, `Oh`, `OhxT`), a JSON
    text or the path of a `.json` file with a group's generators, a mapping like it, or a group. Elements whose effect
    lies below `delta` with 95 % confidence are preserved; `level` is the chance of any false rejection. The record's
    `results` hold also the `verdict` in one sentence, the `classes` of elements that act alike on a law that keeps the
    preserved subgroup, and the `methods` for a paper.

    `distribution` tests the inputs alone, without a law. `where`, `when` and `scales` (edges of bands of wavenumber)
    add maps, onsets and bands; the maps go into `where.npz` in the folder `output` too. `on_part` takes the record as
    it stands after each of these, so that what is done can be kept; an interruption of the pass over the data,
    or of the training of networks, has it take what is known by then, and goes on as `KeyboardInterrupt`.

    Raises `InputError`, one line, for data or options that cannot be used.

    >>> import numpy as np
    >>> x = np.random.default_rng(0).normal(size=(40, 16, 16))
    >>> y = x + 0.1 * (np.roll(x, 1, 1) + np.roll(x, -1, 1)) + 0.01 * np.random.default_rng(1).normal(size=x.shape)
    >>> record = discover_symmetries({"input": x, "target": y}, "D4", no_channels=True)
    >>> record.results["preserved"]["conjugacy"]
    'D2(axes)'
    """
    began = time.monotonic()
    _check_options(level, delta, estimator, seed, seeds)
    inputs = _inputs(data, group, reading.get("target"))
    whole = _group(group)
    if distribution and not isinstance(data, Pairs):
        reading["distribution"] = True
    pairs = data if isinstance(data, Pairs) else _open(data, reading)
    pairs = pairs.without_target() if distribution else pairs
    unit = str(reading.get("units", "sample"))
    settings = {
        "group": whole.name if isinstance(whole, FiniteGroup) else whole,
        "time_odd": list(time_odd),
        **{"level": level, "delta": delta, "estimator": estimator, "seed": seed, "seeds": seeds or 1},
        **_described(pairs),
        "units": unit,
        "reading": {
            key: str(value) if isinstance(value, Path) else value
            for key, value in reading.items()
            if value is not None and key != "units"
        },
    }

    def told(found: dict[str, Any]) -> Record:
        results = {"verdict": verdict(found), **found}
        results["methods"] = methods(results, unit=unit, version=__version__)
        return Record("discover", inputs, settings, results, time.monotonic() - began)

    asked = {"distribution": pairs.target_channels is None, "where": where, "when": when, "scales": tuple(scales)}
    if isinstance(whole, str) and whole in _CONTINUOUS:
        every = Continuous(pairs, _CONTINUOUS[whole], level, delta, estimator, seed, progress)
        parts = _continuous(every, asked)
    else:
        about = Investigation(pairs, _action(pairs, whole, time_odd, level), level, delta, estimator, seed, progress,
                              seeds or 1)  # fmt: skip
        parts = _findings(about, asked, None if output is None else Path(output))
    record: Record | None = None
    for found in parts:
        record = told(found)
        on_part(record)
    assert record is not None
    return record


def _action(pairs: Pairs, group: Any, time_odd: Sequence[str], level: float) -> Action:
    """How the group acts; raises `InputError` for one that does not, or that is too large for tests."""
    try:
        action = action_on(pairs, group, time_odd=time_odd)
        subgroups(action.group)
    except InputError:
        raise
    except ValueError as error:  # a name that is none, vectors that leave their space, too many subgroups
        raise InputError(str(error)) from None
    _check_testable(action.group, pairs, level)
    return action


def _findings(about: Investigation, asked: Mapping[str, Any], output: Path | None) -> Iterator[dict[str, Any]]:
    """The results, again after every part that was asked for."""
    _check_asked(about.pairs, asked)
    if about.estimator == "network" and (asked["where"] or asked["when"] or asked["scales"]):
        raise InputError("maps, onsets and bands are read from stencils and polynomials; leave out --estimator network")
    if asked["distribution"]:
        found = _of_distribution(about)
    else:
        check_pairs(about.pairs)
        found = about.results()
        found |= {"classes": _classes(about.action, found), "warnings": [*found["warnings"], *_idle(about.action)]}
    yield from _interrupted(found, about)
    if asked["where"]:
        found = found | {"where": _map(about, output)}
        yield found
    if asked["when"]:
        found = found | {"when": onsets(about)}
        yield found
    if asked["scales"]:
        yield found | {"scales": bands(about, asked["scales"])}


def _check_asked(pairs: Pairs, asked: Mapping[str, Any]) -> None:
    """Raise where a part that is asked for cannot be had, before the others are computed."""
    named = [f"--{name}" for name in ("where", "when") if asked[name]]
    if asked["distribution"] and named:
        raise InputError(f"{' and '.join(named)}: of a law, which needs a target; --distribution has none")
    if not pairs.shape and (asked["where"] or asked["scales"]):
        raise InputError("--where and --scales need fields on a grid; these are vectors without space")
    if asked["scales"]:
        check_bands(pairs, asked["scales"])
    units = len(np.unique(pairs.units))
    if asked["when"] and units < _ONSET:
        raise InputError(f"--when: {units} exchangeable units are too few for an onset; at least {_ONSET} are needed")


def _of_distribution(about: Investigation) -> dict[str, Any]:
    """The results where there is one array alone."""
    found = distribution_of(about.pairs, about.action, level=about.level, seed=about.seed, progress=about.progress)
    return {
        "group": about.group.name,
        "order": about.group.order,
        "kind": "distributional",
        "distribution": found,
        "level": about.level,
        "correction": "closed testing",
        "units": len(np.unique(about.pairs.units)),
        "warnings": _idle(about.action),
    }


def _interrupted(found: dict[str, Any], about: Investigation | Continuous) -> Iterator[dict[str, Any]]:
    """The results; where an interruption left a part of them, that it did, and the interruption after them."""
    if not about.interruption:
        yield found
        return
    yield found | {"warnings": [about.interruption, *found["warnings"]]}
    raise KeyboardInterrupt


def _continuous(about: Continuous, asked: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """The results for O(3) and SO(3), which act on vectors."""
    if more := [f"--{name}" for name, given in asked.items() if given]:
        raise InputError(
            f"{', '.join(more)}: needs a finite group; {about.group} is tested on vectors with a target alone"
        )
    check_pairs(about.pairs)
    units = len(np.unique(about.pairs.units))
    if units < _BY_SIGNS:
        raise InputError(f"{units} exchangeable units are too few for {about.group}: at least {_BY_SIGNS} are needed")
    yield from _interrupted(about.results(), about)


def _map(about: Investigation, output: Path | None) -> dict[str, Any]:
    """Where: verdicts by irrep, with the maps; these go into a file too where there is a folder for it."""
    found = places(about)
    p_values = np.array(found["p_values"])
    broken = p_values < about.level
    rows = [
        {"irrep": name, "verdict": "broken" if b.any() else "undetermined", "boxes": int(b.sum())}
        for name, b in zip(found["irreps"], broken, strict=True)
    ]
    result = found | {"irreps": rows, "file": None}
    if output is not None:
        stream = BytesIO()
        names = np.array([row["irrep"] for row in rows])
        np.savez(stream, irreps=names, p_values=p_values, energy_fractions=found["energy_fractions"], broken=broken)
        write_whole(output / "where.npz", stream.getvalue())
        result["file"] = "where.npz"
    return result


def _check_options(level: float, delta: float, estimator: str, seed: int, seeds: int | None) -> None:
    if not 0 < level < 1:
        raise InputError(f"level {level:g}: expected a chance of error between 0 and 1, such as 0.05")
    if not 0 < delta < math.inf:
        raise InputError(f"delta {delta:g}: expected a positive effect, such as 0.01")
    if seed < 0:
        raise InputError(f"seed {seed}: expected a whole number from 0 up")
    known = get_args(Estimator)
    if estimator not in known:
        raise InputError(f"estimator {estimator!r}: expected one of {', '.join(known)}")
    if seeds is not None and seeds < 1:
        raise InputError(f"--seeds {seeds}: expected the number of networks to train, from 1 up")
    if seeds is not None and estimator not in ("auto", "network"):
        raise InputError(f"--seeds: networks to train, which --estimator {estimator} has none of; leave it out")


def _open(data: Any, reading: Mapping[str, Any]) -> Pairs:
    """The pairs of a file of arrays, or of one or two of structures."""
    given = {key: value for key, value in reading.items() if value is not None}
    if isinstance(data, str | Path) and str(data).endswith(_CLOUDS):
        return open_clouds(data, **given)
    if "cutoff" in given:
        raise InputError(f"cutoff {given['cutoff']:g}: of point clouds, and {data} holds arrays; leave it out")
    return open_pairs(data, **given)


def _group(group: Any) -> str | Mapping[str, Any] | FiniteGroup:
    """A group given as JSON, as text or in a file, read; any other as it is."""
    if not isinstance(group, str):
        return group
    text, source = group.strip(), "group"
    if text.endswith(".json"):
        text, source = _text(text), text
    elif not text.startswith(("{", "[")):
        if not text:
            raise InputError("group: expected a name such as D4 or Oh, JSON, or a .json file")
        return text
    try:
        found = json.loads(text)
    except json.JSONDecodeError as error:
        raise InputError(f"{source}, line {error.lineno}, column {error.colno}: not JSON ({error.msg})") from None
    if not isinstance(found, dict):
        raise InputError(f"{source}: expected an object with name and generators, found {type(found).__name__}")
    return found


def _text(path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise InputError(f"{path}: not a text file; expected a group as JSON") from None
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({(error.strerror or 'unknown').lower()})") from None


def _check_testable(group: FiniteGroup, pairs: Pairs, level: float) -> None:
    """Whether so few units can reject anything: the least p-value that signs give, corrected for all irreps."""
    units, tests = len(np.unique(pairs.units)), max(1, len(group.irreps) - 1)
    needed = min(_BY_SIGNS, 1 + math.ceil(math.log2(tests / level)))
    if 8 <= units < needed:
        raise InputError(
            f"{group.name} is larger than the data can test: {units} exchangeable units give no p-value below "
            f"{2.0 ** (1 - units):.2g}, and its {tests} irreps at level {level:g} need {needed} units; take a subgroup"
        )


def _idle(action: Action) -> list[str]:
    """A warning of elements that act on nothing here, so that any data keep them."""
    still = np.ones(action.group.order, dtype=bool)
    for matrices in (action.grid, action.input, action.target):
        still &= np.abs(matrices - np.eye(matrices.shape[-1])).max(axis=(1, 2), initial=0.0) < 1e-9
    names = [action.group.elements[g] for g in np.flatnonzero(still) if g]
    if not names:
        return []
    shown = ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
    way = "; variables that time turns around need --time-odd" if "T" in names else ""
    return [f"{shown}: act on nothing in these data, which keep them whatever the law is{way}"]


def _classes(action: Action, found: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Elements that do the same to every law that keeps the preserved subgroup: its left cosets, with their effect."""
    kept = subgroup(action.group, found["preserved"]["elements"])
    rows = {row["name"]: row for row in found["elements"]}
    classes = []
    for coset in kept.cosets():
        names = [action.group.elements[g] for g in coset]
        known = [rows[name] for name in names if name in rows]  # large groups list classes of elements only
        effects = [row["effect"] for row in known]
        classes.append(
            {
                "elements": names,
                "effect": [min(effects), max(effects)] if effects else None,
                "verdicts": sorted({row["verdict"] for row in known}),
            }
        )
    return classes


def _described(pairs: Pairs) -> dict[str, Any]:
    """How the data were read, in the end."""
    sides = {"input": pairs.input_channels, "target": pairs.target_channels}
    return {
        "channels": {
            side: dict(zip(c.names, map(str, c.terms), strict=True)) if c.terms else c.count
            for side, c in sides.items()
            if c is not None
        },
        "samples": len(pairs),
        "shape": list(pairs.shape),
        "axes": " ".join(pairs.axes),
        "periodic": " ".join(axis for axis, repeats in zip(pairs.axes, pairs.periodic, strict=True) if repeats),
        "spacing": list(pairs.spacing),
    }


def _inputs(data: Any, group: Any, target: Any = None) -> dict[str, str]:
    """What went in, with sha256: files, or arrays by name."""
    found = {}
    if isinstance(data, str | Path):
        if not Path(data).exists():
            raise InputError(f"{data}: no such file")
        found[str(data)] = fingerprint(data)
    elif isinstance(data, Mapping):
        for name, array in data.items():
            found[name] = hashlib.sha256(np.ascontiguousarray(array).tobytes()).hexdigest()
    more = [str(group).strip()] if str(group).strip().endswith(".json") else []
    more += [str(target)] if str(target).endswith(_CLOUDS) else []
    return found | {name: fingerprint(name) for name in more if Path(name).is_file()}
