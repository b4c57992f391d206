"""Where on the grid, at which scale and from when on a symmetry is broken; whether the law is the same everywhere."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from subduce.config import InputError
from subduce.data import Pairs, open_pairs
from subduce.groups import GroupIrrep

from ._broken_symmetry import Investigation
from ._distribution import Distribution
from ._laws import Evidence
from ._moments import Moments, gather
from ._significance import benjamini_yekutieli, holm, mean_is_zero, whitening

_BOXES, _MODES, _DRAWS = 8, 2, 200
_IN_MEMORY = 1 << 28  # numbers


def where(found: Investigation) -> dict[str, Any]:
    """Maps of every irrep over boxes of the grid, and whether translation along each axis is kept.

    A map holds p-values adjusted over all boxes and irreps (Benjamini and Yekutieli), and the parts' energy fractions.
    """
    pairs, rung = found.pairs, found.local[0]
    if not pairs.shape:
        raise InputError("a map of where needs fields on a grid; these are vectors without space")
    counts = tuple(min(_BOXES, n // 2) for n in pairs.shape)
    labels = np.ravel_multi_index(
        np.ix_(*(np.arange(n) * c // n for n, c in zip(pairs.shape, counts, strict=True))), counts
    )
    moments = _divided(found, labels)
    irreps = [irrep for irrep in found.group.irreps[1:] if len(found.local_evidence.laws.bases[irrep.name])]
    total = int(np.prod(counts))
    p_values, shares = np.ones((len(irreps), total)), np.zeros((len(irreps), total))
    for box in range(total):
        evidence = Evidence(found.laws_of(rung.functions), moments.at(box, total), seed=found.seed)
        for row, irrep in enumerate(irreps):
            p_values[row, box] = evidence.absent(irrep).p_value
            shares[row, box] = evidence.part_of(irrep).over(evidence.size.value).value ** 2
    adjusted = np.array(benjamini_yekutieli(p_values.reshape(-1).tolist())).reshape(len(irreps), *counts)
    axes = [axis for axis, c in zip(pairs.axes, counts, strict=True) if c > 1]
    tests = [_translation(found, axis) for axis in range(len(pairs.shape))]
    kept = {
        pairs.axes[axis]: {"p_value": p, "verdict": "broken" if p < found.level else "undetermined"}
        for axis, p in enumerate(holm(tests))
    }
    return {
        "axes": " ".join(axes),
        "boxes": list(counts),
        "irreps": [irrep.name for irrep in irreps],
        "p_values": adjusted.tolist(),
        "energy_fractions": shares.reshape(len(irreps), *counts).tolist(),
        "translations": kept,
    }


def _divided(found: Investigation, labels: np.ndarray) -> Moments:
    """The moments of the class of laws that fits, divided by places, in the scales of the whole."""
    raw = gather(
        found.pairs, found.everything, scale_input=found.input_scale, scale_target=found.target_scale,
        increments=found.same_quantity, places=labels, progress=found.progress,
    )  # fmt: skip
    return raw.restricted(found.local[0].functions)


def _translation(found: Investigation, axis: int) -> float:
    """The p-value of the law being the same all along an axis, against its first Fourier modes along it."""
    shape = found.pairs.shape
    slabs = min(_BOXES, shape[axis])
    along = np.arange(shape[axis]) * slabs // shape[axis]
    labels = np.broadcast_to(along.reshape([-1 if a == axis else 1 for a in range(len(shape))]), shape)
    moments = _divided(found, labels)
    law = found.local_evidence.law
    units, (m, q) = moments.units // slabs, law.shape
    slopes = moments.gradients(law).reshape(units, slabs, m, q)
    grams = moments.gram.reshape(units, slabs, m, m).sum(axis=0)
    inverse = np.linalg.pinv(grams.sum(axis=0), rcond=1e-9, hermitian=True)
    modes = _modes(slabs, found.pairs.periodic[axis])
    weighted = [np.einsum("s,sab->ab", mode, grams) for mode in modes]
    scores, information = [], np.zeros((len(modes), m, len(modes), m))
    for k, mode in enumerate(modes):
        scores.append(np.einsum("s,usaq->uaq", mode, slopes) - weighted[k] @ inverse @ slopes.sum(axis=1))
        for j, other in enumerate(modes):
            information[k, :, j] = np.einsum("s,sab->ab", mode * other, grams) - weighted[k] @ inverse @ weighted[j]
    whole = np.kron(information.reshape(len(modes) * m, -1), np.eye(q))
    stacked = np.stack(scores, axis=1).reshape(units, -1)
    return mean_is_zero(stacked, whitener=whitening(whole)).p_value


def _modes(slabs: int, periodic: bool) -> list[np.ndarray]:
    """The slowest functions along an axis: of its Fourier series, or cosines where it does not repeat."""
    at = np.arange(slabs) + 0.5
    if not periodic:
        return [np.cos(np.pi * k * at / slabs) for k in range(1, _MODES + 1)]
    turns = [2 * np.pi * k * at / slabs for k in range(1, _MODES + 1)]
    return [wave(turn) for turn in turns for wave in (np.cos, np.sin) if np.abs(wave(turn)).max() > 1e-9]


def when(found: Investigation) -> dict[str, Any]:
    """From which pair on each broken irrep is broken: the change point of its scores, with a 95 % bootstrap interval.

    Units must be in the order of time. `onset` counts from 0 and is null where nothing changes.
    """
    if found.moments.units < 16:
        raise InputError(f"{found.moments.units} units are too few to find an onset: at least 16 are needed")
    first = np.array([np.flatnonzero(found.pairs.units == unit)[0] for unit in np.unique(found.pairs.units)])
    rows = []
    for irrep in found.group.irreps[1:]:
        evidence = found.local_evidence
        if len(evidence.laws.bases[irrep.name]) and evidence.absent(irrep).p_value < found.level:
            rows.append({"irrep": irrep.name} | _onset(found, irrep, first))
    onsets = [row for row in rows if row["onset"] is not None]
    earliest = min(onsets, key=lambda row: row["onset"], default={"onset": None, "interval": None})
    return {"onset": earliest["onset"], "interval": earliest["interval"], "irreps": rows}


def _onset(found: Investigation, irrep: GroupIrrep, first: np.ndarray) -> dict[str, Any]:
    """The change point of one irrep's scores along the direction in which they are largest."""
    scores = found.local_evidence.scores_of(irrep)
    series = scores @ scores.mean(axis=0)
    at, gain = _change(series)
    generator = np.random.default_rng(found.seed)
    shuffled = [_change(generator.permutation(series))[1] for _ in range(_DRAWS)]
    if (1 + sum(other >= gain for other in shuffled)) / (_DRAWS + 1) >= found.level:
        return {"onset": None, "interval": None}
    fitted = np.where(np.arange(len(series)) < at, series[:at].mean(), series[at:].mean())
    left = series - fitted
    drawn = [_change(fitted + generator.choice(left, size=len(left)))[0] for _ in range(_DRAWS)]
    low, high = np.quantile(drawn, [0.025, 0.975])
    return {"onset": int(first[at]), "interval": [int(first[int(low)]), int(first[int(np.ceil(high))])]}


def _change(series: np.ndarray) -> tuple[int, float]:
    """Where two means describe a series best, and by how much the squares fall."""
    n = len(series)
    sums = np.cumsum(series)[:-1]
    before = np.arange(1, n)
    gains = (sums - before * series.mean()) ** 2 * n / (before * (n - before))
    best = int(np.argmax(gains))
    return best + 1, float(gains[best] / max(series.var(), 1e-300))


def check_bands(pairs: Pairs, edges: Sequence[float]) -> None:
    """Raise `InputError` where fields have no bands of wavenumber, or not these."""
    open_axes = [axis for axis, repeats in zip(pairs.axes, pairs.periodic, strict=True) if not repeats]
    if not pairs.shape or open_axes:
        along = f"; {' and '.join(open_axes)} do not repeat (--periodic)" if open_axes else ""
        raise InputError(f"--scales: bands of wavenumber need fields on a grid that repeats{along}")
    largest = sum((n // 2) ** 2 for n in pairs.shape) ** 0.5
    if not all(a < b for a, b in pairwise((-1e-9, *edges, largest))):
        given = ", ".join(f"{edge:g}" for edge in edges)
        raise InputError(
            f"--scales {given}: expected ascending wavenumbers from 0 to below {largest:.4g}, the largest here"
        )
    if len(pairs) * pairs.input_channels.count * int(np.prod(pairs.shape)) > _IN_MEMORY:
        raise InputError("--scales: bands are taken in memory, and these fields are too large; take fewer samples")


def scales(found: Investigation, edges: tuple[float, ...]) -> list[dict[str, Any]]:
    """Law and distribution in bands of the wavenumber |k| (in turns of the box), low ≤ |k| < high; the last is open."""
    pairs = found.pairs
    check_bands(pairs, edges)
    rows = []
    for low, high in zip(edges, (*edges[1:], np.inf), strict=True):
        band = _filtered(pairs, low, high)
        row: dict[str, Any] = {"band": [low, None if np.isinf(high) else high]}
        row["distribution"] = Distribution(band, found.action, found.level, found.seed).results()
        if pairs.target_channels is not None:
            inside = Investigation(band, found.action, found.level, found.delta, "stencil", found.seed)
            row |= {"irreps": inside.results()["irreps"], "preserved": inside.results()["preserved"]}
        rows.append(row)
    return rows


def _filtered(pairs: Pairs, low: float, high: float) -> Pairs:
    """The pairs with all but one band of wavenumbers taken out."""
    turns = np.meshgrid(*(np.fft.fftfreq(n) * n for n in pairs.shape), indexing="ij")
    length = np.sqrt(sum(k * k for k in turns))
    inside = (length >= low) & (length < high)
    axes = tuple(range(1, 1 + len(pairs.shape)))

    def passed(field: np.ndarray) -> np.ndarray:
        return np.fft.ifftn(np.fft.fftn(field, axes=axes) * inside, axes=axes).real

    arrays = {"input": np.stack([passed(x) for x, _ in pairs])}
    if pairs.target_channels is not None:
        arrays["target"] = np.stack([passed(y) for _, y in pairs if y is not None])
    return pairs.holding(open_pairs(arrays, axes=pairs.axes, distribution=pairs.target_channels is None))
