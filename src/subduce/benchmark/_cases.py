"""What is timed, beside whom, and how much faster it must be."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import ase
import numpy as np
from ase.build import bulk, molecule

TYPE_NAMES = ("H", "C", "O", "Si")
NETWORK: dict[str, Any] = {
    "type_names": TYPE_NAMES,
    "r_max": 5.0,
    "num_layers": 4,
    "l_max": 2,
    "parity": True,
    "num_features": 32,
    "num_bessels": 8,
    "radial_mlp_depth": 1,
    "radial_mlp_width": 128,
    "avg_num_neighbors": 20.0,
    "per_type_energy_shifts": dict.fromkeys(TYPE_NAMES, 0.0),
    "per_type_energy_scales": dict.fromkeys(TYPE_NAMES, 1.0),
    "model_dtype": "float32",
    "seed": 0,
}
"""One network for all: nequip's own defaults but for the degree."""

ANOTHER_MODEL = "same task, another model"


@dataclass(frozen=True)
class Target:
    """What a number must reach, and what it should: at least, at most, or within so much of one."""

    must: float
    aim: float | None = None
    sense: Literal["at least", "at most", "near one"] = "at least"

    def met(self, value: float) -> str:
        """`aim`, `yes`, or by how much it is missed."""
        if self.aim is not None and self._reached(value, self.aim):
            return "aim"
        if self._reached(value, self.must):
            return "yes"
        distance = abs(value - 1) if self.sense == "near one" else value
        return f"missed by a factor of {max(distance, self.must) / max(min(distance, self.must), 1e-12):.2g}"

    def _reached(self, value: float, limit: float) -> bool:
        if self.sense == "near one":
            return abs(value - 1) <= limit
        return value >= limit if self.sense == "at least" else value <= limit


@dataclass(frozen=True)
class Rival:
    """Another program beside ours, in one of its modes, with the ratios of time and of memory that we must reach."""

    peer: str
    mode: str = ""
    time: Target | None = None
    memory: Target | None = None
    note: str = ""


@dataclass(frozen=True)
class Case:
    """A task, as programs are told it, with rivals, and about how many seconds it may take."""

    name: str
    task: Mapping[str, Any]
    rivals: Sequence[Rival] = ()
    seconds: float = 20.0
    targets: Mapping[str, Target] = field(default_factory=dict)
    rounds: tuple[int, int] = (3, 15)
    memory: bool = True


def aspirin() -> ase.Atoms:
    """One molecule of 21 atoms, from molecular dynamics at 300 K."""
    return ase.Atoms(
        "CCOOCCCCCCCOOHHHHHHHH",
        [
            (-3.098, 1.430, -0.330),
            (-1.678, 0.943, -0.617),
            (-0.859, 1.421, -1.425),
            (-1.468, -0.092, 0.228),
            (-0.206, -0.651, 0.257),
            (-0.110, -2.020, 0.143),
            (1.048, -2.746, 0.155),
            (2.230, -2.029, 0.167),
            (2.202, -0.652, 0.203),
            (1.023, 0.075, 0.209),
            (1.053, 1.474, 0.451),
            (0.565, 1.972, 1.453),
            (1.652, 2.185, -0.536),
            (-3.099, 2.105, 0.561),
            (-3.707, 0.566, -0.055),
            (-3.560, 2.004, -1.181),
            (-0.972, -2.586, 0.116),
            (1.022, -3.804, 0.141),
            (3.193, -2.566, 0.153),
            (3.163, -0.170, 0.174),
            (1.607, 3.141, -0.268),
        ],
    )


def water(side: int = 4, *, seed: int = 0) -> ase.Atoms:
    """A box of side³ water molecules at 0.997 g/cm³, each turned at random on a simple cubic lattice."""
    generator = np.random.default_rng(seed)
    spacing = (18.015 / (0.997 * 0.602214)) ** (1 / 3)
    box = ase.Atoms(cell=[side * spacing] * 3, pbc=True)
    for place in np.ndindex(side, side, side):
        one = molecule("H2O")
        q, r = np.linalg.qr(generator.normal(size=(3, 3)))
        one.positions = (one.positions - one.positions[0]) @ (q * np.sign(np.diag(r))) + spacing * np.array(place)
        box += one
    return box


def silicon(cells: tuple[int, int, int], *, seed: int = 0) -> ase.Atoms:
    """A crystal of 8 atoms a cell, displaced at random by 0.05 Å."""
    atoms = bulk("Si", "diamond", a=5.431, cubic=True).repeat(cells)
    atoms.positions += np.random.default_rng(seed).normal(scale=0.05, size=atoms.positions.shape)
    return atoms


def plain(atoms: ase.Atoms) -> dict[str, Any]:
    """A structure as plain numbers, as every program reads it."""
    return {
        "numbers": atoms.numbers.tolist(),
        "positions": atoms.positions.tolist(),
        "cell": atoms.cell.array.tolist(),
        "pbc": atoms.pbc.tolist(),
    }


def _model(*structures: ase.Atoms, kind: str = "model", through: str = "graph", **settings: Any) -> dict[str, Any]:
    return {
        "kind": kind,
        "through": through,
        "settings": NETWORK | settings,
        "structures": [plain(atoms) for atoms in structures],
    }


def _product(derivatives: int, atoms: int = 192, neighbours: int = 40) -> dict[str, Any]:
    irreps = "+".join(f"32x{l}{p}" for l in range(3) for p in "eo")
    return {
        "kind": "product",
        "irreps": irreps,
        "l_edge": 2,
        "atoms": atoms,
        "neighbours": neighbours,
        "derivatives": derivatives,
    }


_REFERENCE = Rival("reference", note="our own reference backend")
_SIZES = {8: (1, 1, 1), 64: (2, 2, 2), 216: (3, 3, 3), 1000: (5, 5, 5), 3200: (10, 8, 5), 10000: (25, 10, 5)}
_LARGE = {32000: (20, 20, 10), 100000: (25, 25, 20)}


def sizes(l_max: int) -> list[Case]:
    """Silicon crystals of 8 to 10,000 atoms; of up to 100,000 at degree 2. Each in a fresh process."""
    cells = _SIZES | (_LARGE if l_max == 2 else {})
    found = []
    for atoms, repeat in cells.items():
        limits = {"peak_gb": Target(24.0, sense="at most")} if atoms == 100_000 else {}
        task = _model(silicon(repeat), l_max=l_max) | {"kind": "size", "l_max": l_max}
        calls = (1, 1) if atoms > 10_000 else (2, 5)
        found.append(
            Case(f"l {l_max}, {atoms:,} atoms", task, seconds=10.0, targets=limits, rounds=calls, memory=False)
        )
    return found


def quick_cases() -> list[Case]:
    """Seconds, not minutes."""
    beside = [_REFERENCE, Rival("e3nn")]
    eager = Rival("nequip", "eager")
    return [
        Case("product, 21 atoms, forward + backward", _product(1, 21, 10), beside, seconds=1.0),
        Case("ethanol, 9 atoms", _model(molecule("CH3CH2OH")), [_REFERENCE, eager], seconds=1.0),
    ]


def all_cases() -> list[Case]:
    """Every row of the table of targets, and what they leave open."""
    return [*_kernels(), *_models(), *_ourselves(), *(case for l_max in (1, 2, 3) for case in sizes(l_max))]


def _kernels() -> list[Case]:
    found = []
    rows = (("forward", 60, 100), ("+ backward", 50, 80), ("+ double backward", 70, 110))
    for derivatives, (name, must, aim) in enumerate(rows):
        rivals = [Rival("e3nn", "", Target(must, aim), Target(20)), Rival("cuequivariance"), _REFERENCE]
        found.append(Case(f"product l ≤ 2, {name}", _product(derivatives), rivals, seconds=30.0))
    harmonics = {"kind": "harmonics", "l_max": 3, "vectors": 100_000}
    rivals = [Rival("sphericart", "", Target(2, 3)), Rival("e3nn")]
    return [*found, Case("harmonics l ≤ 3, 100,000 vectors, forward + backward", harmonics, rivals)]


def _models() -> list[Case]:

    def nequip(eager: Target | None = None, compiled: Target | None = None) -> list[Rival]:
        return [Rival("nequip", "eager", eager), Rival("nequip", "compiled", compiled)]

    small, large = Target(3, 6), Target(10, 20)
    mace = [
        Rival("mace", "32x0e+32x1o", small, note=ANOTHER_MODEL),
        Rival("mace", "32x0e+32x1o, compiled", small, note=ANOTHER_MODEL),
        Rival("mace", "128x0e", large, note=ANOTHER_MODEL),  # compiled, it was slower
    ]
    others = [Rival("sevenn", note=ANOTHER_MODEL), Rival("nequix", note=f"{ANOTHER_MODEL}: polar parities only")]
    step = [Rival("nequip", "eager", Target(8, 15), Target(3, 5)), _REFERENCE]
    eight = [_moved(aspirin(), seed) for seed in range(8)]
    return [
        Case("ethanol, 9 atoms", _model(molecule("CH3CH2OH")), [*nequip(), _REFERENCE]),
        Case(
            "aspirin, 21 atoms, ASE calculator",
            _model(aspirin(), through="calculator"),
            nequip(Target(10, 20), Target(5, 9)),
        ),
        Case("water, 192 atoms", _model(water()), [*nequip(Target(25, 40), Target(18, 30)), *mace, *others], 80.0),
        Case("silicon, 1,000 atoms", _model(silicon((5, 5, 5))), nequip(Target(30, 50), Target(15, 25)), 80.0),
        Case("training step, 8 × 21 atoms", _model(*eight, kind="training"), step, 30.0),
        Case(
            "training step, 8 × 21 atoms, through 256 knots",
            _model(*eight, kind="training") | {"knots": 256},
            [Rival("nequip", "eager", note="our radial networks as splines")],
            20.0,
        ),
    ]


def _ourselves() -> list[Case]:
    crystal = _model(silicon((5, 5, 5)))
    return [
        Case(
            "silicon, 1,000 atoms, two threads",
            crystal | {"threads": 2},
            [Rival("one thread", "", Target(1.7, 1.9), note="ourselves")],
        ),
        Case(
            "MD step, 1,000 atoms: share of neighbours and conversion",
            _model(silicon((5, 5, 5)), kind="md"),
            targets={"share": Target(0.05, 0.01, sense="at most")},
        ),
    ]


def _moved(atoms: ase.Atoms, seed: int) -> ase.Atoms:
    atoms.positions += np.random.default_rng(seed).normal(scale=0.03, size=atoms.positions.shape)
    return atoms
