"""The paper's claims: our number for each, the limit, and whether it is kept."""

import statistics

import numpy as np
from training import METRICS

DRAWS = 2000  # of seeds, for intervals of 95 %
EQUIVARIANT, INVARIANT = ("l1", "l2"), ("l0", "l0_weights", "l0_features")


def row(claim, number, limit, interval=None):
    """One claim; with an interval all of it must keep the limit. Without a limit it is a finding and no claim."""
    found = {"claim": claim, "number": number} | ({"interval": interval} if interval else {})
    if limit is None:
        return found | {"limit": None, "kept": None}
    sign, bound = limit
    worst = number if interval is None else interval[0 if sign == ">=" else 1]
    kept = worst >= bound if sign == ">=" else worst <= bound
    return found | {"limit": f"{sign} {bound}", "kept": bool(kept)}


def verdicts(found, expected, peers):
    """Every claim that can be judged by the runs in `found`."""
    rows = []
    for part, judge in JUDGES.items():
        if part in found:
            rows += judge(found[part], peers)
    for part, runs in found.items():
        known = {name: run for name, run in runs.items() if name in expected.get(part, {})}
        ratios = [run[key] / expected[part][name][key] for name, run in known.items() for key in METRICS if key in run]
        if ratios:
            rows += [row(f"{part}: largest of our errors over that in expected.json", max(ratios), ("<=", 1.3))]
    return rows


def ladder(runs, peers):
    l0, l1, l2 = (runs[name]["forces_mae"] for name in ("l0", "l1", "l2"))
    return [
        row("ladder: force error of l=0 over that of l=1", l0 / l1, (">=", 2.0)),
        row("ladder: force error of l=1 over that of l=2", l1 / l2, (">=", 1.0)),
    ]


def batio3(runs, peers):
    ratio = runs["l0"]["forces_mae"] / runs["l1"]["forces_mae"]
    return [row("batio3: force error of l=0 over that of l=1", ratio, (">=", 2.0))]


def peer(runs, peers):
    rows = []
    for kind in EQUIVARIANT:
        ours, theirs = (
            statistics.mean(run["forces_mae"] for name, run in some.items() if name.startswith(kind))
            for some in (runs, peers["nequip"])
        )
        rows += [row(f"peer: our force error over nequip's, {kind}, mean of seeds", ours / theirs, ("<=", 1.05))]
    return rows


def transfer(runs, peers):
    hot, cold = ({name: run[f"{kelvin} K"]["forces_rmse"] for name, run in runs.items()} for kelvin in (500, 300))
    growth = {name: hot[name] / cold[name] for name in runs}
    return [
        row(
            "transfer: force error (RMSE) at 500 K over that at 300 K, l=2 trained at 300 K", growth["l2"], ("<=", 2.5)
        ),
        row(
            "transfer: force error at 500 K of l=0 over that of l=2, trained at 300 K", hot["l0"] / hot["l2"], (">=", 2)
        ),
        row("transfer: the first of these for l=0", growth["l0"], None),
    ]


def small(runs, peers):
    ours, soap = (
        statistics.mean(run["forces_mae"] for name, run in some.items() if name.startswith(kind))
        for some, kind in ((runs, "l2_n100"), (peers["soap"], "n1020"))
    )
    claim = "small: our force error with 100 frames over that of SOAP regression with 1,020"
    return [row(claim, ours / soap, ("<=", 1.0))]


def dynamics(runs, peers):
    ours, agreement = runs["ours"], runs.get("agreement")
    rows = [row("dynamics: ps until it stopped or was done", ours["time_ps"], (">=", ours["wanted_ps"]))]
    if agreement:
        worst, halves = (min(agreement[key].values()) for key in ("overlaps", "overlaps_of_halves"))
        rows += [
            row("dynamics: smallest overlap of a bond's or angle's distribution with GFN2-xTB's", worst, (">=", 0.95)),
            row("dynamics: the same of GFN2-xTB's two halves with each other", halves, None),
            row("dynamics: mean shift of the peaks of GFN2-xTB's spectrum, cm⁻¹", agreement["mean_shift"], ("<=", 10)),
        ]
    return rows


def curves(runs, peers):
    """Slopes of log error over log frames: those of l ≥ 1 less the steepest of l = 0, and beside angles alone."""
    rows = []
    for molecule, found in slopes(runs).items():
        flat = [name for name in INVARIANT if name in found]
        for name in EQUIVARIANT if flat else ():
            difference = found[name] - np.min([found[other] for other in flat], axis=0)
            claim = f"curves, {molecule}: slope of {name.replace('l', 'l=')} less the steepest of l=0"
            rows += [_difference(claim, difference, limit=0.0)]
        if "angles" in found and "l2" in found:
            difference = found["l2"] - found["angles"]
            rows += [_difference(f"curves, {molecule}: slope of l=2 less that of invariants with angles", difference)]
            rows += _gain(molecule, runs)
    return rows


def _difference(claim, values, limit=None):
    """A row for a difference of slopes, of which the first value is the measured one, the others drawn."""
    many = len(values) > 1
    interval = [float(bound) for bound in np.percentile(values[1:], (2.5, 97.5))] if many else None
    return row(claim, float(values[0]), None if limit is None else ("<=", limit), interval)


def _gain(molecule, runs):
    """Of the way from l = 0 to l = 2 at the largest size, in logarithms, the share that angles alone go."""
    table = errors(runs)[molecule]
    size = max(table["l2"])
    if not all(size in table.get(name, {}) for name in ("l0", "angles")):
        return []
    l0, angles, l2 = (np.mean(np.log(table[name][size])) for name in ("l0", "angles", "l2"))
    claim = f"curves, {molecule}: share of the gain from l=0 to l=2 that angles alone bring, n={size}"
    return [row(claim, float((l0 - angles) / (l0 - l2)), None)]


def errors(runs):
    """Force errors by molecule, network and size: a list over seeds."""
    table = {}
    for name, run in runs.items():
        molecule, network, size, _ = _parsed(name)
        table.setdefault(molecule, {}).setdefault(network, {}).setdefault(size, []).append(run["forces_mae"])
    return table


def _parsed(name):
    rest, seed = name.rsplit("_seed", 1)
    rest, size = rest.rsplit("_n", 1)
    molecule, network = rest.split("_", 1)
    return molecule, network, int(size), int(seed)


def slopes(runs):
    """By molecule and network: the slope of the mean log error, then slopes with seeds drawn anew at each size."""
    found = {}
    for molecule, networks in errors(runs).items():
        complete = max(len(sizes) for sizes in networks.values())
        for network, sizes in networks.items():
            if len(sizes) == complete and complete >= 3:
                found.setdefault(molecule, {})[network] = _slopes(sizes)
    return found


def _slopes(sizes):
    """Least squares over the logarithms, for the means over all seeds and over drawn ones (if there are several)."""
    draw = np.random.default_rng(0)
    logs = [np.log(sizes[size]) for size in sorted(sizes)]
    means = np.array([[values.mean()] for values in logs])
    if min(map(len, logs)) > 1:
        drawn = [draw.choice(values, (len(values), DRAWS)).mean(0) for values in logs]
        means = np.concatenate([means, drawn], axis=1)
    return np.polyfit(np.log(sorted(sizes)), means, 1)[0]


JUDGES = {
    "ladder": ladder,
    "batio3": batio3,
    "peer": peer,
    "curves": curves,
    "transfer": transfer,
    "dynamics": dynamics,
    "small": small,
}
