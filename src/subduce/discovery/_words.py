"""What findings say in words: a verdict in one sentence, and the methods as a paper states them."""

from collections.abc import Mapping, Sequence
from typing import Any

_SUBGROUPS = {
    "closed testing": "Subgroups were judged by closed testing",
    "largest first among closed subgroups, Holm over irreps": "Closed subgroups were judged from the largest down",
}
_PLAIN = str.maketrans("", "", "()")  # O(3) is the subgroup O3
Results = Mapping[str, Any]


def verdict(results: Results) -> str:
    """The findings of `discover` in one sentence; what was not rejected is never called preserved.

    >>> kept = {"name": "C1", "conjugacy": "C1", "order": 1}
    >>> whole = {"name": "D4", "conjugacy": "D4", "order": 8}
    >>> none = {"irreps": [], "level": 0.05, "delta": 0.01, "lack_of_fit": {"p_value": 0.3, "flag": False}}
    >>> verdict({"group": "D4", "order": 8, "preserved": whole, "proven": kept, **none})
    'Undetermined: the data do not reject D4, but prove no part of it to within 0.01.'
    """
    parts = [_law(results)] if results.get("lack_of_fit") else []
    if results.get("distribution"):
        parts.append(_distribution(results["distribution"], results))
    return " ".join(parts)


def methods(results: Results, *, unit: str, version: str) -> str:
    """How it was tested, in words that a paper can use; `unit` says what was taken as exchangeable."""
    text = []
    if results.get("lack_of_fit"):
        text.append(
            f"Whether the law from input to target keeps {results['group']} was tested on {results['units']} "
            f"exchangeable units ({unit}) with score tests of every irrep and every subgroup, within the laws of the "
            f"class “{results['estimator']}” fitted by least squares; coefficients that a hypothesis leaves free were "
            "fitted and projected out. "
            f"{_SUBGROUPS.get(results['correction'], results['correction'])} at a family-wise error rate of "
            f"{results['level']:g}, irreps with Holm's correction; effects are root mean squares over the data "
            "relative to those of the fitted law, with 95 % bootstrap intervals over units, and “preserved” means that "
            f"the upper 95 % bound of the effect lies below {results['delta']:g}. "
            f"The class explains {100 * results['explained']:.3g} % of the target's mean square (lack of fit: "
            f"{_p(results['lack_of_fit']['p_value'])}); {_detectable(results)}."
        )
        if results.get("calibration"):
            text.append(
                "As the class does not fit, every p-value is no smaller than its rank among placebos: targets that the "
                "best symmetric law of a larger class, which fits, makes of the same inputs, with this law's residuals "
                "under random signs of the units."
            )
        if results.get("seeds"):
            text.append(_networks(len(results["seeds"])))
    if results.get("distribution"):
        text.append(
            "Whether the inputs themselves are distributed symmetrically was tested on their first and second moments, "
            f"unit by unit ({unit}), by irrep and by closed testing over the subgroups."
        )
    if results.get("where"):
        text.append(
            "Maps of where were tested in boxes of the grid, with the correction of Benjamini and Yekutieli over boxes "
            "and irreps."
        )
    if results.get("when"):
        text.append("Onsets are change points of the scores, with bootstrap intervals.")
    return " ".join([*text, f"Computed with subduce {version}."])


def _networks(number: int) -> str:
    several = f" Of {number} such sets from different seeds, sizes are means and p-values twice the median."
    alone = " p-values were doubled, as those of symmetric laws are somewhat too small."
    return (
        "Networks were trained on every other unit and tested on the rest. There, the last functions of equivariant "
        "networks and symmetric polynomials were fitted and projected out; tested were the derivatives by relaxed "
        "weights and the images of an unconstrained network under the group. The lack of fit is that of one more "
        "equivariant network trained on what was left. Irreps in which the inputs themselves break the group were not "
        "judged." + (several if number > 1 else alone)
    )


def _law(results: Results) -> str:
    group, kept, proven = results["group"], results["preserved"], results.get("proven")
    if results["lack_of_fit"].get("flag"):
        return (
            f"Undetermined: the law is beyond the class that was fitted (lack of fit, "
            f"{_p(results['lack_of_fit']['p_value'])}), so nothing is called broken in {group}."
        )
    within = f"to within {results['delta']:g}"
    shown = proven["conjugacy"] if proven and proven["order"] != 1 else None
    if kept["name"] == group.translate(_PLAIN):
        if _all_proven(results):
            return f"The law keeps {group} {within}."
        some = f"prove only {shown} {within}" if shown else f"prove no part of it {within}"
        return f"Undetermined: the data do not reject {group}, but {some}."
    broken = [row for row in results["irreps"] if row["verdict"] == "broken"]
    why = f": {_listed([_broken(row) for row in broken])} {_is(broken)} broken" if broken else ""
    left = kept.get("conjugacy") or kept["name"]
    to = f"down to {left}"
    sure = ""
    if kept["order"] == 1:  # what is broken may be smaller than delta
        to = "and keeps nothing of it" + (" exactly" if shown else "")
        sure = f"; {shown} is proven {within}" if shown else ""
    elif proven and proven["conjugacy"] == kept.get("conjugacy"):
        sure = f"; {left} is proven {within}"
    else:
        sure = f"; of what is not rejected, {shown or 'nothing'} is proven {within}"
    return f"The law breaks {group} {to}{why}{sure}."


def _all_proven(results: Results) -> bool:
    proven = results.get("proven")
    if proven:
        return proven["name"] == results["group"].translate(_PLAIN)
    return all(row["verdict"] == "preserved" for row in results["elements"])


def _broken(row: Results) -> str:
    share = 100 * (row.get("energy_fraction") or 0.0)
    shown = f"{share:.0f}" if share >= 10 else f"{share:.2g}"
    where = row.get("direction_symbol")
    direction = f", along {(where or '').removeprefix('along ')}" if where and row.get("dimension", 1) > 1 else ""
    return f"{row['irrep']} ({shown} % of the law{direction}, {_p(row['p_value'])})"


def _distribution(found: Results, results: Results) -> str:
    kept, group = found["preserved"], results["group"]
    if kept["name"] == group:
        return f"The distribution of the inputs shows no breaking of {group} ({_p(found['p_value'])})."
    broken = list(dict.fromkeys(r["irrep"] for r in found.get("irreps") or [] if r.get("verdict") == "broken"))
    why = f" in {_listed(broken)}" if broken else ""
    left = kept.get("conjugacy") or kept["name"]
    to = "and keeps nothing of it" if kept.get("order") == 1 else f"down to {left}"
    return f"The distribution of the inputs breaks {group} {to}{why} ({_p(found['p_value'])})."


def _detectable(results: Results) -> str:
    value = results.get("detectable_effect")
    if value is None or value != value:
        return "no smallest detectable effect can be stated"
    return f"an effect of {value:.2g} would be found with a probability of 0.8"


def _p(value: float | None) -> str:
    if value is None:
        return "p not known"
    return "p < 1e-300" if value < 1e-300 else f"p = {value:.1g}" if value < 0.001 else f"p = {value:.2g}"


def _listed(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def _is(rows: Sequence[Any]) -> str:
    return "is" if len(rows) == 1 else "are"
