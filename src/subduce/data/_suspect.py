"""Are labels in the right units, with the right sign? Physics that can be asked of the data themselves."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import combinations

import ase.units
import numpy as np
from ase.data import covalent_radii

from ._structures import Structure

_HARTREE_IN_KCAL = ase.units.Hartree / (ase.units.kcal / ase.units.mol)
_HARTREE_IN_KJ = ase.units.Hartree / (ase.units.kJ / ase.units.mol)

# Non-relativistic energies of the free atoms, Hartree (Clementi & Roetti 1974, rounded): H to Ar.
_ATOM_ENERGIES = np.array([
    *(0, 0.5, 2.86, 7.43, 14.57, 24.53, 37.69, 54.40, 74.81, 99.41, 128.55),
    *(161.86, 199.61, 241.88, 288.85, 340.72, 397.50, 459.48, 526.82),
])  # fmt: skip

# What the change of energy over the work done is, if one of the two is in another unit.
_WORK_UNITS = {
    1.0: "",
    _HARTREE_IN_KCAL / ase.units.Hartree: "energies look like kcal/mol beside forces in eV/Å",
    ase.units.Hartree / _HARTREE_IN_KCAL: "forces look like kcal/mol/Å beside energies in eV",
    ase.units.Hartree / ase.units.Bohr: "forces look like Hartree/bohr beside energies in eV",
    ase.units.Hartree: "forces look like Hartree/Å beside energies in eV",
    1 / ase.units.Hartree: "energies look like Hartree beside forces in eV/Å",
}
_ENOUGH = 4  # pairs that make a verdict
_PAIRS = 5000  # structures compared two by two, at most
_STRESS_UNITS = {
    1.0: "",
    ase.units.GPa: "stress looks like GPa, expected eV/Å³",
    ase.units.GPa / 10: "stress looks like kbar, expected eV/Å³",
    ase.units.Hartree / ase.units.Bohr**3: "stress looks like Hartree/bohr³, expected eV/Å³",
}


@dataclass(frozen=True)
class Work:
    """Changes of energy between near structures, and the work that forces and stress say it took; eV."""

    energy: np.ndarray
    by_forces: np.ndarray
    by_stress: np.ndarray  # NaN without stress
    strained: np.ndarray  # whether the cell changed
    straight: np.ndarray  # whether the trapezoid is beyond doubt


@dataclass(frozen=True)
class Verdict:
    """What a comparison says: the slope of energy over work, from how many pairs, and what is wrong (or "")."""

    slope: float
    pairs: int
    wrong: str


def work_between(groups: Iterable[Sequence[Structure]]) -> Work:
    """Trapezoidal work between near structures of the same atoms.

    The rule is exact for harmonic forces, so that even frames of a trajectory some way apart can be used.
    """
    rows = []
    for group in groups:
        usable = [one for one in group if np.isfinite(one.energy) and np.isfinite(one.forces).all()]
        for first, second in combinations(usable, 2):
            if (row := _pair(first, second)) is not None:
                rows.append(row)
        if len(rows) > _PAIRS:
            break
    table = np.array(rows, dtype=np.float64).reshape(-1, 5)
    return Work(table[:, 0], table[:, 1], table[:, 2], table[:, 3] > 0, table[:, 4] > 0)


def judge_forces(work: Work) -> Verdict | None:
    """Whether forces are minus the slope of the energy; None where the data cannot tell."""
    use = _best(~work.strained, work.straight)
    return _judge(work.energy[use], work.by_forces[use], _WORK_UNITS, "forces have the wrong sign: they are gradients")


def judge_stress(work: Work) -> Verdict | None:
    """Whether the stress is the slope of the energy with strain; None where the data cannot tell."""
    use = work.strained & work.straight
    rest = work.energy[use] - work.by_forces[use]
    return _judge(rest, work.by_stress[use], _STRESS_UNITS, "stress has the wrong sign, as VASP writes it")


def stress_trend(volumes: np.ndarray, counts: np.ndarray, traces: np.ndarray) -> float | None:
    """Correlation of the trace of the stress with how stretched a cell is for its composition.

    Stretched cells pull, so it is positive; where nothing else can tell the sign, a clear negative
    one says that it is wrong. None with too few cells.
    """
    if len(volumes) < 20 or np.linalg.matrix_rank(counts) >= len(volumes) // 3:
        return None
    atoms = counts.sum(axis=1)
    shares = counts / atoms[:, None]
    stretch = volumes / atoms - shares @ np.linalg.lstsq(shares, volumes / atoms, rcond=None)[0]
    if stretch.std() < 1e-3 * (volumes / atoms).mean() or traces.std() == 0:
        return None
    return float(np.corrcoef(stretch, traces)[0, 1])


def energy_unit(numbers: np.ndarray, energy: float) -> str:
    """Hartree, kcal/mol or kJ/mol if an all-electron total energy is in that unit, else an empty text."""
    if numbers.max() >= len(_ATOM_ENERGIES) or not energy < 0:
        return ""
    ratio = -energy / _ATOM_ENERGIES[numbers].sum()
    for unit, factor in (("Hartree", 1.0), ("kcal/mol", _HARTREE_IN_KCAL), ("kJ/mol", _HARTREE_IN_KJ)):
        # Electron correlation, relativity and binding add a few per cent, most for hydrogen.
        if 0.99 < ratio / factor < 1.05 + 0.15 * (numbers == 1).mean():
            return unit
    return ""


def bond_ratio(numbers: np.ndarray, sender: np.ndarray, receiver: np.ndarray, distances: np.ndarray) -> float:
    """Median over atoms of the distance to the nearest neighbour over the sum of covalent radii; NaN without edges."""
    nearest = np.full(len(numbers), np.inf)
    np.minimum.at(nearest, receiver, distances / (covalent_radii[numbers[sender]] + covalent_radii[numbers[receiver]]))
    return float(np.median(nearest[np.isfinite(nearest)])) if np.isfinite(nearest).any() else float("nan")


def _pair(a: Structure, b: Structure) -> tuple[float, float, float, float, float] | None:
    """One row of `Work`, or None for a pair too far apart."""
    deform = np.eye(3)
    strained = not np.array_equal(a.cell, b.cell)
    if strained and not (a.pbc.all() and b.pbc.all()):
        return None
    if strained:
        deform = np.linalg.solve(a.cell, b.cell)
    moved = b.positions - a.positions @ deform
    strain = (deform + deform.T) / 2 - np.eye(3)
    if np.abs(strain).max() > 0.08 or np.square(moved).sum(axis=1).max() > 0.4**2:
        return None
    forces = -(a.forces * moved).sum(), -(b.forces * moved).sum()
    stress = (np.nan, np.nan)
    if a.pbc.all():
        stress = a.volume * (a.stress * strain).sum(), b.volume * (b.stress * strain).sum()
    if strained:  # elastic energies are nearly harmonic; what matters is that atoms did little of the work
        straight = abs(sum(forces)) < 0.6 * abs(b.energy - a.energy) and np.abs(moved).max() < 0.03
    else:
        straight = abs(forces[1] - forces[0]) <= abs(sum(forces)) / 2
    return b.energy - a.energy, sum(forces) / 2, sum(stress) / 2, float(strained), float(straight)


def _best(use: np.ndarray, straight: np.ndarray) -> np.ndarray:
    """The pairs beyond doubt if there are enough of them, else all."""
    return use & straight if (use & straight).sum() >= _ENOUGH else use


def _judge(energy: np.ndarray, work: np.ndarray, units: dict[float, str], sign: str) -> Verdict | None:
    """Slope of energy over work, if they are proportional, and what the slope means."""
    if len(work) < _ENOUGH or not (work @ work > 0 and energy @ energy > 0):
        return None
    if abs(energy @ work) < 0.9 * np.sqrt((energy @ energy) * (work @ work)):
        return None
    slope = float((energy @ work) / (work @ work))
    # Anharmonic forces bend the slope by tens of per cent, wrong units by far more.
    wrong, size = "", abs(slope)
    if not 0.3 < size < 3:
        near = min(units, key=lambda factor: abs(np.log(size / factor)))
        wrong = units[near] if abs(np.log(size / near)) < 0.4 else "energies are not in the unit of the work"
    if slope < 0:
        wrong = f"{sign}; {wrong}" if wrong else sign
    return Verdict(slope, len(work), wrong)
