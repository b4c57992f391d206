"""The paper's claims: our number for each, the limit, and whether it is kept."""

import itertools
import statistics

ROUND_OFF = 1e-12  # of the largest: what sums in another order leave in float64
SEEN = 1e-6  # of the largest: a part above it is there
SIZES = {"cubic": 48, "P4mm": 8, "Amm2": 4, "R3m": 6, "strained": 16}
SUPPORTS = {
    "cubic": {"A1g"},
    "P4mm": {"A1g", "Eg", "T1u"},
    "Amm2": {"A1g", "Eg", "T2g", "T1u", "T2u"},
    "R3m": {"A1g", "T2g", "A2u", "T1u"},
    "strained": {"A1g", "Eg"},
}
DIRECTIONS = {"P4mm": (0, 0, 1), "Amm2": (0, 1, 1), "R3m": (1, 1, 1)}
BROKEN = {True: ("V4", set()), False: ("<P>", {"P+T-"})}  # of V4, without damping and with it


def row(claim, number, limit):
    """One claim; without a limit it is a finding."""
    if limit is None:
        return {"claim": claim, "number": number, "limit": None, "kept": None}
    sign, bound = limit
    kept = {">=": number >= bound, "<=": number <= bound, "=": number == bound}[sign]
    return {"claim": claim, "number": number, "limit": f"{sign} {bound:g}", "kept": bool(kept)}


def verdicts(found):
    """Every claim that can be judged by the runs in `found`."""
    return [one for part, judge in JUDGES.items() if part in found for one in judge(found[part])]


def square(runs):
    rows = []
    for group in ("C4", "D4"):
        some = {name: run for name, run in runs.items() if name.startswith(group)}
        for target in ("square", "rectangle", "asymmetric"):
            ones = [run for name, run in some.items() if name.split("_")[1] == target]
            if ones:
                rows += _images(f"square, {group}: square → {target}", target, ones)
    return rows


def _images(title, target, runs):
    rows = []
    if target == "square":
        spread = max(run["spread"] for run in runs)
        rows.append(row(f"{title}: largest spread of weights over seeds", spread, ("<=", ROUND_OFF)))
    if target == "rectangle":
        for one, other in (("e", "C2"), ("C4", "C4^3")):
            rows.append(row(f"{title}: largest |w({one}) − w({other})|", _apart(runs, one, other), ("<=", ROUND_OFF)))
        part = max(run["spectrum"]["E"] for run in runs)
        rows.append(row(f"{title}: largest part in E, over the trivial one", part, ("<=", ROUND_OFF)))
    if target != "square":
        rows.append(row(f"{title}: smallest allowed part, over the trivial one", _smallest(runs), (">=", SEEN)))
    same = statistics.mean(set(run["equal"]) == set(run["kept"]) for run in runs)
    rows.append(row(f"{title}: share of seeds whose equal set is what keeps both images", same, (">=", 1.0)))
    rows.append(row(f"{title}: mean square of what is left", statistics.mean(run["loss"] for run in runs), None))
    return rows


def _apart(runs, one, other):
    """The largest difference of the weights of two elements, in any layer and run."""
    return max(
        abs(layer[run["elements"].index(one)] - layer[run["elements"].index(other)])
        for run in runs
        for layer in run["weights"]
    )


def _smallest(runs):
    return min(run["spectrum"][name] for run in runs for name in run["allowed"])


def batio3(runs):
    rows = []
    for name, run in runs.items():
        phase = name.split("_")[0]
        title = f"batio3: cubic → {phase}"
        wanted = SUPPORTS[phase]
        rows.append(row(f"{title}: elements of equal weight", len(run["equal"]), ("=", SIZES[phase])))
        others = max(part for irrep, part in run["spectrum"].items() if irrep not in wanted)
        irreps = " + ".join(irrep for irrep in run["spectrum"] if irrep in wanted)
        rows.append(row(f"{title}: largest part outside {irreps}", others, ("<=", ROUND_OFF)))
        if phase != "cubic":
            smallest = min(run["spectrum"][irrep] for irrep in wanted)
            rows.append(row(f"{title}: smallest part in {irreps}", smallest, (">=", SEEN)))
        if phase in DIRECTIONS:
            wanted, found = DIRECTIONS[phase], run["direction"] or (0, 0, 0)
            cosine = abs(sum(a * b for a, b in zip(wanted, found, strict=True))) / sum(a * a for a in wanted) ** 0.5
            rows.append(row(f"{title}: sine² of polar direction to titanium's step", 1 - cosine**2, ("<=", ROUND_OFF)))
        allowed = set(run["allowed"]) == SUPPORTS[phase] and set(run["equal"]) == set(run["kept"])
        rows.append(row(f"{title}: the same follows from what keeps both structures", int(allowed), ("=", 1)))
    return rows


def pendulum(runs):
    rows = []
    trained = {name: run for name, run in runs.items() if "spread" in run}
    exact = [run["spread"] for name, run in trained.items() if "_exact_" in name]
    if exact:
        rows.append(row("pendulum, time-symmetric set: largest |w₊ − w₋|", max(exact), ("<=", ROUND_OFF)))
    for equation in ("linear", "sine"):
        for task in ("law", "window"):
            by_damping = separations(trained, equation, task)
            rows += _growth(equation, task, by_damping)
            whole = separations(trained, equation, task, "whole").get(0.0)
            if whole and 0.3 in by_damping:
                ratio = statistics.median(by_damping[0.3]) / statistics.median(whole)
                rows.append(row(f"pendulum, {equation}, {task}: the first of these, whole periods", ratio, None))
    return rows + _discovered(runs)


def separations(runs, equation, task, kind="plain"):
    """The largest |w₊ − w₋| of each seed, by damping; `whole` are runs over whole periods."""
    found = {}
    for name, run in runs.items():
        parts = [*name.split("_")[:3], name.split("_")[3] if name.count("_") == 4 else "plain"]
        if parts[0] == equation and parts[2] == task and parts[3] == kind:
            found.setdefault(float(parts[1]), []).append(run["spread"])
    return dict(sorted(found.items()))


def _growth(equation, task, by_damping):
    middle = {damping: statistics.median(values) for damping, values in by_damping.items()}
    if 0.0 not in middle or 0.3 not in middle:
        return []
    title = f"pendulum, {equation}, {task}"
    claim = f"{title}: median |w₊ − w₋| at β = 0.3 over that without damping"
    rows = [row(claim, middle[0.3] / middle[0.0], (">=", 100))]
    values = list(middle.values())
    least = min(after / before for before, after in itertools.pairwise(values))
    rows.append(row(f"{title}: least growth of the median from one damping to the next", least, (">=", 1.0)))
    return rows


def _discovered(runs):
    found = [(name, run) for name, run in runs.items() if name.endswith("discovery")]
    rows = []
    for name, run in found:
        equation, damping, _ = name.split("_")
        kept, broken = BROKEN[float(damping) == 0]
        said = {irrep for irrep, about in run["irreps"].items() if about["verdict"] == "broken"}
        right = run["kept"] == kept and said == broken
        claim = (
            f"pendulum, {equation}, β = {damping}: statistics keep {kept} and break {', '.join(broken) or 'nothing'}"
        )
        rows.append(row(claim, int(right), ("=", 1)))
    return rows


JUDGES = {"square": square, "batio3": batio3, "pendulum": pendulum}
