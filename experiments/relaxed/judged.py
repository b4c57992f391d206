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


def flow(runs):
    rows = []
    walls, even = ([run for name, run in runs.items() if name.startswith(f"{f}_weights")] for f in ("walls", "even"))
    if walls and even:
        by_wall, without = (
            statistics.median(run["by_y"][0] + run["by_y"][-1] for run in ones) for ones in (walls, even)
        )
        claim = "flow, walls: median |w(y) − w(middle)| by the walls, over that of fields without walls"
        rows.append(row(claim, by_wall / without, (">=", 3)))
    for name, run in runs.items():
        if "shifted" in name or "turned" in name:
            limit = ("<=", ROUND_OFF)
            rows.append(
                row(f"flow, {name.replace('_weights_seed0', ' everywhere')}: spread of weights", run["spread"], limit)
            )
        elif name.endswith("_law"):
            rows += _homogeneity(name.removesuffix("_law"), run)
        elif name.endswith("_scales"):
            rows += _isotropy(name.removesuffix("_scales"), run)
    return rows + _read_by_scale(runs)


def _homogeneity(name, run):
    rows = []
    for axis, about in run["translations"].items():
        limit = ("<=", 0.05) if (name, axis) == ("walls", "y") else (">=", 0.05)
        claim = f"flow, {name}: p-value of a tracer spreading alike all along {axis}"
        rows.append(row(claim, about["p_value"], limit))
    found, true = ([*run[key][0], *run[key][1]] for key in ("spreading", "true_spreading"))
    apart = statistics.mean((a - b) ** 2 for a, b in zip(found, true, strict=True)) ** 0.5
    claim = f"flow, {name}: root mean square error of diffusivities across the channel, over their mean"
    return [*rows, row(claim, apart / statistics.mean(true), ("<=", 0.2))]


BROKEN_IN = {"gaussian": [["B1"], ["B1"], [], []]}  # irreps of the fields' distribution, by band; others none


def _isotropy(name, run):
    bands = run["bands"]
    fields = [band["fields_broken"] for band in bands]
    if "law" not in bands[0]:
        right = fields == BROKEN_IN.get(name, [[]] * len(bands))
        said = "anisotropic below |k| = 8 and not above" if name in BROKEN_IN else "isotropic in every band"
        return [row(f"flow, {name}: fields found {said}", int(right), ("=", 1))]
    rows = [row(f"flow, {name}: bands in which the fields are found anisotropic", sum(map(bool, fields)), None)]
    shares = [band["law"]["E"] for band in bands]
    if name == "still":
        broken = sum(len(band["law_broken"]) for band in bands)
        rows.append(row("flow, still: irreps that the law breaks, over all bands", broken, ("=", 0)))
        low = max(share[1] for share in shares)
        return [*rows, row("flow, still: largest lower bound of the law's share in E", low, ("<=", 0.0))]
    right = int("E" in bands[0]["law_broken"])
    rows.append(row("flow, planet: the law breaks E at the largest scales", right, ("=", 1)))
    values = [share[0] for share in shares]
    least = min(before / after for before, after in itertools.pairwise(values))
    rows.append(row("flow, planet: least fall of the law's share in E from a band to the next", least, (">=", 1)))
    ratio = values[0] / values[-1]
    return [*rows, row("flow, planet: the law's share in E at the largest scales over the smallest", ratio, (">=", 2))]


def _read_by_scale(runs):
    """Relaxed weights by band, of networks that return the field: over those of the control, medians over seeds."""
    ones, others = (
        [run["parts"] for key, run in runs.items() if key.startswith(f"{name}_weights")]
        for name in ("gaussian", "isotropic")
    )
    if not (ones and others):
        return []
    pairs = zip(zip(*ones, strict=True), zip(*others, strict=True), strict=True)
    ratios = [statistics.median(a) / statistics.median(b) for a, b in pairs]
    claim = "flow, gaussian: part of relaxed weights over the control's, least of the bands below |k| = 8"
    return [row(claim, min(ratios[:2]), (">=", 2))]


KINDS = ("plain", "equivariant", "relaxed")


def _by_kind(runs, start, where, measure):
    """The errors of the seeds, by class of networks."""
    found = {}
    for kind in KINDS:
        ones = [run for name, run in runs.items() if name.startswith(f"{start}{kind}_")]
        found[kind] = [run["errors"][where][measure] for run in ones]
    return found


def _same_size(title, runs):
    sizes = [run["parameters"] for run in runs.values() if "parameters" in run]
    return row(f"{title}: largest number of parameters over the smallest", max(sizes) / min(sizes), ("<=", 1.03))


def superresolution(runs):
    rows = [_same_size("superresolution", runs)]
    for flow_name in ("isotropic", "magnetic"):
        title, errors = f"superresolution, {flow_name}", _by_kind(runs, f"{flow_name}_", "test", "mae")
        nothing = next(run["interpolation"] for name, run in runs.items() if name.startswith(flow_name))
        mean = {kind: statistics.mean(values) for kind, values in errors.items()}
        for kind in KINDS:
            rows.append(row(f"{title}, {kind}: error over that of interpolation", mean[kind] / nothing, None))
        rows.append(
            row(f"{title}: error of relaxed over equivariant", mean["relaxed"] / mean["equivariant"], ("<=", 1))
        )
        free = statistics.mean(
            run["tried"]["1"]["test"] for name, run in runs.items() if name.startswith(f"{flow_name}_relaxed_")
        )
        claim = f"{title}: error of relaxed over equivariant, weights as fast as kernels"
        rows.append(row(claim, free / mean["equivariant"], None))
        rows.append(row(f"{title}: error of equivariant over plain", mean["equivariant"] / mean["plain"], ("<=", 1)))
        rows.append(row(f"{title}: error of relaxed over plain", mean["relaxed"] / mean["plain"], ("<=", 1)))
        if flow_name == "magnetic":
            worst = max(errors["relaxed"]) / min(errors["equivariant"] + errors["plain"])
            rows.append(row(f"{title}: worst seed of relaxed over the best of the others", worst, ("<=", 1)))
    return rows


def smoke(runs):
    rows = [_same_size("smoke", runs)]
    for where, name in (("test", "other plumes"), ("future", "later times")):
        errors = _by_kind(runs, "", where, "rmse")
        mean = {kind: statistics.mean(values) for kind, values in errors.items()}
        for kind in KINDS:
            rows.append(row(f"smoke, {name}, {kind}: root mean square error, of a mean step", mean[kind], None))
        for other in ("equivariant", "plain"):
            claim = f"smoke, {name}: error of relaxed over {other}"
            rows.append(row(claim, mean["relaxed"] / mean[other], ("<=", 1)))
    for law, kept, broken in (("passive", "D4", set()), ("up", "Cs", {"E"})):
        run = runs.get(f"{law}_discovery")
        if run:
            said = {irrep for irrep, about in run["irreps"].items() if about["verdict"] == "broken"}
            claim = f"smoke, {law}: statistics keep {kept} and break {', '.join(broken) or 'nothing'}"
            rows.append(row(claim, int(run["kept"] == kept and said == broken), ("=", 1)))
    return rows


JUDGES = {
    "square": square, "batio3": batio3, "pendulum": pendulum,
    "flow": flow, "superresolution": superresolution, "smoke": smoke,
}  # fmt: skip
