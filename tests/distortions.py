"""Parents and children with answers that are known: tilted, polar and Jahn-Teller perovskites, hexagonal YMnO3."""

from itertools import product

import ase
import numpy as np

CUBE = 4.0  # Å
CELLS = np.array(list(product((0, 1), repeat=3)))
KINDS = ("A", "B", "X", "Y", "Z")  # the sites of a cell: X, Y, Z are the anions along x, y, z
BASIS = np.array([[0.5, 0.5, 0.5], [0, 0, 0], [0.5, 0, 0], [0, 0.5, 0], [0, 0, 0.5]])


def perovskite(origin: str = "B") -> ase.Atoms:
    """Cubic SrTiO3 with the B site, or the A site, at the origin."""
    shift = np.zeros(3) if origin == "B" else np.full(3, 0.5)
    return ase.Atoms("SrTiO3", cell=[CUBE] * 3, pbc=True, scaled_positions=(BASIS + shift) % 1.0)


def distorted(moves=(), r=(0, 0, 0), m=(0, 0, 0)) -> ase.Atoms:
    """A perovskite of 2 × 2 × 2 cells with out-of-phase tilts `r` and in-phase tilts `m` about x, y, z, Å of an anion.

    `moves` are (site, wave vector in halves, displacement in Å): the site of the cell n moves by cos(π q·n) times it.
    """
    atoms = []
    for n in CELLS:
        for kind, place in zip(KINDS, BASIS, strict=True):
            u = np.zeros(3)
            if kind in "XYZ":
                sign = np.array([(-1) ** (n.sum() - n[k]) for k in range(3)])
                tilt = np.array(m) * sign + np.array(r) * (-1) ** n.sum()
                u += np.cross(tilt, np.eye(3)["XYZ".index(kind)])
            for site, wave, step in moves:
                if site == kind:
                    u += np.cos(np.pi * np.dot(wave, n)) * np.array(step, dtype=float)
            atoms.append(({"A": "Sr", "B": "Ti"}.get(kind, "O"), (n + place) * CUBE + u))
    symbols, positions = zip(*atoms, strict=True)
    return ase.Atoms(symbols, positions=positions, cell=[2 * CUBE] * 3, pbc=True)


def breathing(size: float) -> list:
    """The anions of every other octahedron move outwards: R1+."""
    return [(kind, (1, 1, 1), size * np.eye(3)[i]) for i, kind in enumerate("XYZ")]


def jahn_teller(size: float, wave: tuple[int, int, int], third: bool = False) -> list:
    """Q2 of the octahedra (x longer, y shorter), or Q3 (z longer), with a wave vector in halves."""
    steps = np.array([-1, -1, 2]) if third else np.array([1, -1, 0])
    return [(kind, wave, size * steps[i] * np.eye(3)[i]) for i, kind in enumerate("XYZ")]


def polar(*vectors) -> list:
    """Every B site moves alike."""
    return [("B", (0, 0, 0), vector) for vector in vectors]


def manganite(moves=lambda x, y: 0.0, uniform: float = 0.0) -> tuple[ase.Atoms, ase.Atoms]:
    """YMnO3 in P6_3/mmc and its tripled cell, in which Y moves along z by `moves` of its cell and by `uniform`."""
    cell = np.array([[3.6, 0, 0], [-1.8, 1.8 * np.sqrt(3), 0], [0, 0, 11.4]])
    sites = [("Y", (0, 0, 0)), ("Y", (0, 0, 0.5)), ("Mn", (1 / 3, 2 / 3, 0.25)), ("Mn", (2 / 3, 1 / 3, 0.75))]
    sites += [("O", place) for place in ((1 / 3, 2 / 3, 0.085), (2 / 3, 1 / 3, 0.915), (2 / 3, 1 / 3, 0.585))]
    sites += [("O", (1 / 3, 2 / 3, 0.415)), ("O", (0, 0, 0.25)), ("O", (0, 0, 0.75))]
    symbols, places = zip(*sites, strict=True)
    parent = ase.Atoms(symbols, scaled_positions=places, cell=cell, pbc=True)
    wide = np.array([[2, 1, 0], [-1, 1, 0], [0, 0, 1]])
    child_symbols, child = [], []
    for corner in ((0, 0, 0), (1, 0, 0), (1, 1, 0)):
        for symbol, place in sites:
            spot = np.array(place) + corner
            lift = moves(spot[0], spot[1]) + uniform if symbol == "Y" else 0.0
            child_symbols.append(symbol)
            child.append(spot @ cell + np.array([0, 0, lift]))
    return parent, ase.Atoms(child_symbols, positions=child, cell=wide @ cell, pbc=True)


def presented(atoms: ase.Atoms, generator: np.random.Generator, noise: float = 0.0) -> ase.Atoms:
    """The same crystal turned, shifted, with its atoms in another order and another, skewed cell of the lattice."""
    turn, _ = np.linalg.qr(generator.standard_normal((3, 3)))
    steps = np.eye(3, dtype=int)
    for _ in range(3):
        i, j = generator.permutation(3)[:2]
        steps[i] += generator.integers(-1, 2) * steps[j]
    found = atoms.copy()
    found.set_cell(steps @ atoms.cell.array, scale_atoms=False)
    found = found[generator.permutation(len(found))]
    found.positions += generator.uniform(-5, 5, 3) + noise * generator.standard_normal(found.positions.shape)
    found.set_cell(found.cell.array @ turn, scale_atoms=True)
    found.wrap()
    return found
