"""Writes src/subduce/crystals/labels.json: labels and characters of small irreps at the special points of some groups.

    SUBDUCE_CRYSTOD=/path/to/a/python/with/crystod python -m tests.golden.irrep_labels

Characters are computed by spgrep in the standard setting; CrystOD, asked from outside, says which label belongs to
which. Nothing is written unless the two agree on every character of every irrep.
"""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
from spgrep import get_spacegroup_irreps_from_primitive_symmetry

from subduce.crystals import SpaceGroup
from subduce.crystals._products import Products
from tests.unit.crystals.groups import standard_group

NUMBERS = (62, 63, 99, 123, 127, 129, 136, 139, 140, 141, 160, 161, 164, 166, 167, 185, 186, 187, 191, 193, 194, 198,
           205, 215, 216, 221, 223, 225, 227, 229, 230)  # fmt: skip
TABLE = Path(__file__).parents[2] / "src/subduce/crystals/labels.json"
DIGITS = 1e-3  # to which CrystOD prints its characters; different ones differ by more than 0.1
_ASK = """
import json, sys
from crystod.irreptables_compat import IsoIrrepTable
found = {}
for number in map(int, sys.argv[1:]):
    table = IsoIrrepTable(number, False)
    rows = [{"point": i.kpname, "k": list(map(float, i.k)), "label": i.name,
             "characters": [[int(j) - 1, complex(c).real, complex(c).imag] for j, c in i.characters.items()]}
            for i in table.irreps]
    found[number] = {"rotations": [s.R.tolist() for s in table.symmetries],
                     "translations": [list(map(float, s.t)) for s in table.symmetries], "irreps": rows}
json.dump(found, sys.stdout)
"""


def oracle(numbers: tuple[int, ...]) -> dict[str, Any]:
    """What CrystOD says: operations, and for each irrep its point, k, label and characters (of exp(+2πi k·t))."""
    command = [os.environ["SUBDUCE_CRYSTOD"], "-c", _ASK, *map(str, numbers)]
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def points(answer: dict[str, Any]) -> dict[str, tuple[np.ndarray, dict[str, dict[int, complex]]]]:
    """By point: its wave vector, and for each label the characters (of exp(−2πi k·t)) by operation."""
    found: dict[str, tuple[np.ndarray, dict[str, dict[int, complex]]]] = {}
    for row in answer["irreps"]:
        _, labels = found.setdefault(row["point"], (np.array(row["k"]), {}))
        labels[row["label"]] = {place: complex(real, -imaginary) for place, real, imaginary in row["characters"]}
    return found


def placed(group: SpaceGroup, answer: dict[str, Any]) -> tuple[np.ndarray, np.ndarray]:
    """CrystOD's operations as the group's own, each followed by a translation in primitive vectors."""
    basis = group.to_standard[0]
    ours = np.rint(basis @ group.rotations @ np.linalg.inv(basis)).reshape(-1, 9)
    theirs = np.array(answer["rotations"]).reshape(-1, 9)
    places = np.array([int(np.flatnonzero((ours == row).all(axis=1))[0]) for row in theirs])
    apart = (np.array(answer["translations"]) - group.translations[places] @ basis.T) @ np.linalg.inv(basis).T
    assert np.abs(apart - np.rint(apart)).max() < 1e-6, f"{group.number}: another setting"
    return places, np.rint(apart)


def small_characters(group: SpaceGroup, k: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Operations that keep a primitive k, and the characters of the small irreps, by spgrep."""
    irreps, little = get_spacegroup_irreps_from_primitive_symmetry(group.rotations, group.translations, k)
    return np.asarray(little), np.stack([np.trace(irrep, axis1=1, axis2=2) for irrep in irreps])


def rows_of(number: int, answer: dict[str, Any]) -> dict[str, Any]:
    """The part of the table that is about one space group."""
    group = standard_group(number)
    products, basis = Products.of(group), group.to_standard[0]
    where, cells = placed(group, answer)
    found = {}
    for name, (k, labels) in points(answer).items():
        primitive = basis.T @ k
        little, characters = small_characters(group, primitive)
        assert len(characters) == len(labels), f"{number} {name}: {len(characters)} irreps, {len(labels)} labels"
        rows, taken = {}, set()
        for label, theirs in labels.items():
            at = [int(np.flatnonzero(little == where[place])[0]) for place in theirs]
            ours = characters[:, at] * np.exp(-2j * np.pi * cells[list(theirs)] @ primitive)
            fits = np.flatnonzero(np.abs(ours - np.array(list(theirs.values()))).max(axis=1) < DIGITS)
            assert len(fits) == 1, f"{number} {label}: {len(fits)} characters fit"
            assert len(theirs) == len(little), f"{number} {label}: another group of k"
            taken.add(int(fits[0]))
            rows[label] = characters[fits[0]]
        assert len(taken) == len(rows)
        kept = classes(products, little)
        irreps = {label: [plain(value) for value in row[np.searchsorted(little, kept)]] for label, row in rows.items()}
        found[name] = {"k": [plain(float(x)) for x in k], "at": kept, "irreps": irreps}
    rotations = np.rint(basis @ group.rotations @ np.linalg.inv(basis)).astype(int).reshape(-1, 9)
    translations = np.rint(24 * group.translations @ basis.T).astype(int)
    return {"operations": np.concatenate([rotations, translations], axis=1).tolist(), "points": found}


def classes(products: Products, little: np.ndarray) -> list[int]:
    """An operation of each class of the point group of some operations."""
    left, found = set(little.tolist()), []
    while left:
        found.append(min(left))
        left -= set(products.carried(little, found[-1], little)[0].tolist())
    return found


def plain(value: complex) -> Any:
    """A whole number, a float, or a pair of these."""
    parts = [round(x) if abs(x - round(x)) < 1e-9 else round(x, 9) for x in (value.real, value.imag)]
    return parts if parts[1] else parts[0]


def plainly(value: Any) -> str:
    """JSON without spaces."""
    return json.dumps(value, separators=(",", ":"))


def text(table: dict[str, Any]) -> str:
    """JSON with a line for each point of each group."""

    def lines(group: dict[str, Any]) -> str:
        inner = [
            f"  {json.dumps(name)}: {json.dumps(row, separators=(',', ':'))}" for name, row in group["points"].items()
        ]
        operations = json.dumps(group["operations"], separators=(",", ":"))
        return f'{{"operations": {operations}, "points": {{\n' + ",\n".join(inner) + "\n}}"

    return "{\n" + ",\n".join(f'"{number}": {lines(group)}' for number, group in table.items()) + "\n}\n"


if __name__ == "__main__":
    answers = oracle(NUMBERS)
    TABLE.write_text(text({number: rows_of(int(number), answer) for number, answer in answers.items()}))
    sys.stdout.write(f"{TABLE}: {TABLE.stat().st_size} bytes\n")
