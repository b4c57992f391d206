"""Labels of irreps (Cracknell, Davies, Miller and Love; as ISOTROPY writes them), from characters at special points.

`labels.json` holds, by space group in its standard setting, operations as nine whole numbers of the rotation and three
of the translation in 24ths; by point, its k, the place of one operation of each class that keeps it, and for each label
the characters of these. `tests/golden/irrep_labels.py` writes it.
"""

import json
import re
from collections.abc import Sequence
from functools import cache
from importlib.resources import files
from itertools import combinations_with_replacement
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from ._products import Products
from ._space_group import SpaceGroup

_CLOSE = 1e-6  # characters agree to this, or a label is not given
_LABEL = re.compile(r"([A-Z]+)(\d+)([+-]?)")


def labels_of(
    group: SpaceGroup,
    products: Products,
    k: Float[np.ndarray, "3"],
    little: Int[np.ndarray, " little"],
    characters: Sequence[np.ndarray],
) -> list[str]:
    """A label for each character of the operations `little` that leave `k` alone, empty where none fits exactly.

    A sum of two small irreps, where a real irrep joins them, has both labels: `GM2+GM3+`.
    """
    table = _tables().get(str(group.number))
    found = _carrier(group, table, k) if table else None
    if table is None or found is None:
        return [""] * len(characters)
    point, carrier = found
    operations, cells = _placed(group, np.array(table["operations"])[point["at"]])
    there = np.linalg.solve(group.rotations[carrier].T.astype(float), k)
    within, moved = products.carried(carrier, operations, carrier)
    phases = np.exp(-2j * np.pi * (cells @ there + moved @ k))
    places = np.searchsorted(little, within)
    known = {name: np.array([complex(*np.atleast_1d(c)) for c in row]) for name, row in point["irreps"].items()}
    return [_matched(phases * character[places], known) for character in characters]


def label_order(label: str) -> tuple:
    """Orders labels as tables do: even before odd, by number; unknown ones last."""
    found = _LABEL.match(label)
    return (0, found[3] == "-", int(found[2]), label) if found else (1, False, 0, "")


@cache
def _tables() -> dict[str, Any]:
    return json.loads(files("subduce.crystals").joinpath("labels.json").read_text())


def _carrier(group: SpaceGroup, table: dict[str, Any], k: np.ndarray) -> tuple[dict[str, Any], int] | None:
    """The special point that a wave vector is an arm of, and an operation that carries it there."""
    images = k @ np.rint(np.linalg.inv(group.rotations))
    for point in table["points"].values():
        away = images - group.to_standard[0].T @ np.array(point["k"])
        hits = np.flatnonzero((np.abs(away - np.rint(away)) < _CLOSE).all(axis=1))
        if len(hits):
            return point, int(hits[0])
    return None


def _placed(group: SpaceGroup, wanted: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Operations of the standard setting, twelve whole numbers each, as the group's own and lattice translations."""
    basis, origin = group.to_standard
    rotations = np.rint(basis @ group.rotations @ np.linalg.inv(basis)).astype(int)
    translations = group.translations @ basis.T + origin - rotations @ origin
    places = np.argmax((rotations.reshape(-1, 9)[None] == wanted[:, None, :9]).all(axis=2), axis=1)
    apart = (wanted[:, 9:] / 24 - translations[places]) @ np.linalg.inv(basis).T
    cells = np.rint(apart).astype(int)
    if (rotations[places].reshape(-1, 9) != wanted[:, :9]).any() or np.abs(apart - cells).max() > 1e-3:
        raise ValueError(f"the operations of {group.symbol} are not those of its standard setting")
    return places, cells


def _matched(character: np.ndarray, known: dict[str, np.ndarray]) -> str:
    """The one label, or the two, whose characters add up to this one."""
    fits = [(name,) for name, other in known.items() if np.abs(character - other).max() < _CLOSE]
    pairs = combinations_with_replacement(sorted(known, key=label_order), 2)
    fits += [pair for pair in pairs if np.abs(character - known[pair[0]] - known[pair[1]]).max() < _CLOSE]
    return "".join(fits[0]) if len(fits) == 1 else ""
