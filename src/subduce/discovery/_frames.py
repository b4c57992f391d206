"""How sure modes are: from many frames of one structure, or from the uncertainty of refined coordinates."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import ase
import numpy as np
from jaxtyping import Float
from scipy import stats

from subduce.config import InputError
from subduce.crystals import Match, Mode, field_images
from subduce.groups import invariant_basis

from ._significance import holm, mean_is_zero
from ._transition import Evidence, Transition, on_sites

_FEWEST = 8  # frames, or blocks of them
_BLOCK = 5  # correlation times in a block


@dataclass(frozen=True, eq=False)
class Frames:
    """The mean of some frames, without their drift, and what each adds to it, Å, in the frame of the file."""

    mean: ase.Atoms
    deviations: Float[np.ndarray, "frames atoms 3"]

    @classmethod
    def of(cls, structures: Sequence[ase.Atoms]) -> "Frames":
        """Frames with the same atoms in the same order; raises `InputError` where they have not."""
        first = structures[0]
        for place, one in enumerate(structures):
            if len(one) != len(first) or (one.numbers != first.numbers).any():
                raise InputError(
                    f"frame {place}: {one.get_chemical_formula()} where frame 0 has {first.get_chemical_formula()} in "
                    "another order or number; frames of one structure have the same atoms in the same order"
                )
        start = first.get_scaled_positions(wrap=False)
        moves = np.array([one.get_scaled_positions(wrap=False) - start for one in structures])
        moves -= np.rint(moves)
        moves -= moves.mean(axis=1, keepdims=True)
        cell = np.mean([one.cell.array for one in structures], axis=0)
        mean = first.copy()
        mean.set_cell(cell)
        mean.set_scaled_positions(start + moves.mean(axis=0))
        return cls(mean, (moves - moves.mean(axis=0)) @ cell)


def with_evidence(found: Transition, match: Match, frames: Frames, level: float) -> Transition:
    """The same transition with evidence for every displacement mode that the child allows.

    Frames, or blocks of five correlation times, are the exchangeable units; p-values carry Holm's correction over the
    irreps, intervals hold with 95 %.
    """
    crystal = found.crystal
    fields = np.array([on_sites(crystal, match, one[match.order] @ match.rotation) for one in frames.deviations])
    turn = field_images(crystal, "displacement")
    fields = np.array([crystal.apply([found.operation], field, turn)[0] for field in fields])

    def test(mode: Mode, free: np.ndarray) -> tuple[float, tuple[float, float]]:
        values = np.einsum("fsa,csaj,jk->fck", fields, mode.basis, free).reshape(len(fields), -1) / _scale(mode)
        units = _blocks(values) + (mode.components @ free).ravel()
        return mean_is_zero(units).p_value, _interval(units)

    return _with_tests(found, test, level)


def with_uncertainty(found: Transition, sigma: float, level: float) -> Transition:
    """The same transition with evidence from a standard uncertainty of the child's coordinates, Å, as refined.

    Atoms that operations of the child exchange are taken as refined together: their errors are the same, turned.
    """
    crystal = found.crystal
    orbits = np.sort(crystal.permutations[found.kept], axis=0)
    repeats = len(crystal.cells) // found.cell_size
    together = (1 + (np.diff(orbits, axis=0) > 0).sum(axis=0)) / repeats  # atoms of the child's cell, for each site

    def test(mode: Mode, free: np.ndarray) -> tuple[float, tuple[float, float]]:
        basis = np.einsum("csaj,jk->cksa", mode.basis, free).reshape(-1, crystal.sites, 3) / _scale(mode)
        covariance = sigma**2 * np.einsum("isa,jsa,s->ij", basis, basis, together * repeats)
        values = (mode.components @ free).ravel()
        size = float(np.linalg.norm(values))
        chi_square = float(values @ np.linalg.solve(covariance, values))
        along = values / size if size else np.eye(len(values))[0]
        half = float(stats.norm.ppf(0.975) * np.sqrt(along @ covariance @ along))
        return float(stats.chi2.sf(chi_square, len(values))), (max(size - half, 0.0), size + half)

    return _with_tests(found, test, level)


def _with_tests(found: Transition, test: Callable[[Mode, np.ndarray], tuple], level: float) -> Transition:
    """Evidence for all displacement modes that the child allows and that break something, with Holm's correction."""
    raw: list[tuple[float, tuple[float, float]] | None] = []
    for mode in found.modes:
        free = invariant_basis(mode.matrices[found.kept])
        tested = mode.kind == "displacement" and free.shape[1] and not np.allclose(mode.matrices, 1.0)
        raw.append(test(mode, free) if tested else None)
    corrected = iter(holm([one[0] for one in raw if one is not None]))
    evidence = tuple(None if one is None else Evidence(float(next(corrected)), one[1], level) for one in raw)
    return replace(found, evidence=evidence)


def _scale(mode: Mode) -> float:
    """How often the child's primitive cell is in the periodic crystal: a mode's basis has unit norm over one."""
    return float((mode.basis[0, ..., 0] ** 2).sum())


def _blocks(values: np.ndarray) -> np.ndarray:
    """Means over blocks of five correlation times; the values themselves where they are independent."""
    frames = len(values)
    spectrum = np.fft.rfft(values, 2 * frames, axis=0)
    lags = np.fft.irfft(np.abs(spectrum) ** 2, axis=0)[:frames].sum(axis=1) / np.arange(frames, 0, -1)
    falls = lags / max(lags[0], 1e-300)
    end = int(np.argmax(falls < 2 / np.sqrt(frames))) if (falls < 2 / np.sqrt(frames)).any() else frames // 2
    time = 1 + 2 * falls[1:end].sum()
    length = 1 if time < 1.5 else int(np.ceil(_BLOCK * time))
    count = max(frames // length, 1)
    if count < _FEWEST:
        raise InputError(
            f"{frames} frames with a correlation time of {time:.3g} frames are {count} independent blocks, fewer than "
            f"{_FEWEST}; give a longer run, or frames further apart"
        )
    return np.array([block.mean(axis=0) for block in np.array_split(values, count)])


def _interval(units: np.ndarray) -> tuple[float, float]:
    """95 % for the length of the mean, from the spread of the units along it."""
    mean = units.mean(axis=0)
    size = float(np.linalg.norm(mean))
    along = units @ mean / max(size, 1e-300)
    half = float(stats.t.ppf(0.975, len(units) - 1) * along.std(ddof=1) / np.sqrt(len(units)))
    return max(size - half, 0.0), size + half
