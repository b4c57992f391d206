"""What results say of subgroups, and the scales that components share."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from subduce.groups import Subgroup


def described(kept: Subgroup) -> dict[str, Any]:
    """A subgroup by name, elements, setting and generators."""
    return {
        "name": kept.name,
        "order": kept.order,
        "elements": list(kept.elements),
        "conjugacy": kept.setting,
        "generators": [kept.parent.elements[g] for g in kept.generators],
    }


def scales_of(variance: np.ndarray, sets: Sequence[Sequence[int]]) -> np.ndarray:
    """One scale for every set of components that are mixed; 1 where they do not vary."""
    scale = np.ones(len(variance))
    for members in sets:
        mean = float(np.mean(variance[members]))
        scale[members] = mean**0.5 if mean > 0 else 1.0
    return scale
