"""Records of `order-parameters` made by hand: perovskite tilts from their generator."""

from itertools import product

import numpy as np

from subduce.records import Record

EDGE = 4.0  # Å
BASIS = (("Ca", (0.5, 0.5, 0.5)), ("Ti", (0, 0, 0)), ("O", (0.5, 0, 0)), ("O", (0, 0.5, 0)), ("O", (0, 0, 0.5)))


def sites(cell: np.ndarray) -> tuple[list[str], np.ndarray, np.ndarray]:
    """Species, positions (Å) and cubic cell of each site of a supercell of the perovskite, titanium at the origin."""
    rows = []
    for n in product(range(-3, 4), repeat=3):
        if np.all((inside := np.round(n @ np.linalg.inv(cell), 6)) >= 0) and np.all(inside < 1):
            rows += [(name, EDGE * (np.array(n) + at), np.array(n)) for name, at in BASIS]
    return [row[0] for row in rows], np.array([row[1] for row in rows]), np.array([row[2] for row in rows])


def tilt(positions: np.ndarray, cells: np.ndarray, r=(0.0, 0, 0), m=(0.0, 0, 0)) -> np.ndarray:
    """Displacements by tilts: the +e_i anion of octahedron n moves by w(n) x e_i."""
    moved = np.zeros_like(positions)
    for i in range(5):
        for row in range(i, len(positions), 5):
            n = cells[row]
            w = np.array([m[k] * (-1.0) ** (n.sum() - n[k]) + r[k] * (-1.0) ** n.sum() for k in range(3)])
            moved[row] = np.cross(w, np.eye(3)[i - 2]) if i >= 2 else 0
    return moved


def structure(cell: np.ndarray, species: list[str], positions: np.ndarray) -> dict:
    return {
        "cell": (EDGE * cell).tolist(),
        "species": species,
        "positions": np.round(positions, 4).tolist(),
    }


def pnma() -> dict:
    """Results for a+b-b- (Pm-3m to Pnma) with r = (0, 0.17, 0.17), m = (0.11, 0, 0), as contract and generator say."""
    cell = np.array([[2, 0, 0], [0, 1, 1], [0, -1, 1]])
    species, positions, cells = sites(cell)
    fields = {"R4+": tilt(positions, cells, r=(0, 0.17, 0.17)), "M3+": tilt(positions, cells, m=(0.11, 0, 0))}
    moved = sum(fields.values())
    domains = []
    for axis, signs in product(range(3), product((1, -1), repeat=3)):
        order = [axis, *(k for k in range(3) if k != axis)]
        turn = np.eye(3)[:, np.argsort(order)]
        own = np.round(cell @ turn.T).astype(int)
        names, at, n = sites(own)
        r, m = np.zeros(3), np.zeros(3)
        m[order[0]], r[order[1]], r[order[2]] = 0.11 * signs[0], 0.17 * signs[1], 0.17 * signs[2]
        domains.append(structure(own, names, at + tilt(at, n, r, m)))
    imma, mbm = {"number": 74, "symbol": "Imma"}, {"number": 127, "symbol": "P4/mbm"}
    half = np.sqrt(0.5)
    return {
        "parent": {"number": 221, "symbol": "Pm-3m"}, "child": {"number": 62, "symbol": "Pnma"},
        "sentence": "Pm-3m breaks to Pnma by R4+(0,a,a) (0.68 Å) and M3+(a;0;0) (0.311 Å): one in 6 of the point "
                    "operations and one in 4 of the translations is left, 24 domain states.",
        "index": 24, "cell_size": 4, "domains": 24, "verdict": "broken", "lost": {"point": 6, "translations": 4},
        "origin": {"site": "Ti", "wyckoff": "a", "shift": [0, 0, 0]},
        "tolerance": {"used": 0.001, "stable": [1e-5, 0.05]},
        "strain": [{"irrep": "GM3+", "amplitude": 0.0, "voigt": [0.0] * 6},
                   {"irrep": "GM5+", "amplitude": 0.0, "voigt": [0.0] * 6}],
        "modes": [
            {"irrep": "R4+", "k": [0.5, 0.5, 0.5], "dimension": 3, "direction": [0, half, half], "kind": "displacement",
             "direction_symbol": "(0,a,a)", "amplitude": float(np.linalg.norm(fields["R4+"])),
             "amplitude_parent": float(np.linalg.norm(fields["R4+"])) / 2, "interval": None, "isotropy_subgroup": imma,
             "primary": True, "field": np.round(fields["R4+"], 4).tolist()},
            {"irrep": "M3+", "k": [0, 0.5, 0.5], "dimension": 3, "direction": [1, 0, 0], "kind": "displacement",
             "direction_symbol": "(a;0;0)", "amplitude": float(np.linalg.norm(fields["M3+"])),
             "amplitude_parent": float(np.linalg.norm(fields["M3+"])) / 2, "interval": None, "isotropy_subgroup": mbm,
             "primary": True, "field": np.round(fields["M3+"], 4).tolist()},
        ],
        "secondary": [{"irrep": "X5+", "amplitude": 0.0, "coupling": "R4+ M3+ X5+"},
                      {"irrep": "R5+", "amplitude": 0.0, "coupling": None},
                      {"irrep": "M2+", "amplitude": 0.0, "coupling": None}],
        "alternative_origin": [{"origin": {"site": "Ca", "wyckoff": "b", "shift": [0.5, 0.5, 0.5]},
                                "labels": {"R4+": "R5-", "M3+": "M2+"}}],
        "sites": [{"wyckoff": "a", "species": "Ti", "irreps": ["1e"]}],
        "network": {"admissible": ["R4+", "M3+", "X5+", "R5+", "M2+"], "forbidden_max": 1.2e-14,
                    "found": ["R4+", "M3+"], "agrees": True,
                    "sites": [{"name": f"Ti {i + 1}", "coefficients": {"1e": w}} for i, w in enumerate(
                        [[0.11, 0.17, 0.17], [0.11, -0.17, -0.17], [-0.11, 0.17, 0.17], [-0.11, -0.17, -0.17]])]},
        "structures": {"parent": structure(cell, species, positions),
                       "child": structure(cell, species, positions + moved), "domains": domains,
                       "displacements": np.round(moved, 4).tolist()},
                "subgroups": [imma | {"index": 12, "modes": ["R4+"]}, mbm | {"index": 6, "modes": ["M3+"]},
                      {"number": 62, "symbol": "Pnma", "index": 24, "modes": ["R4+", "M3+"]}],
        "methods": "Both structures were brought to one lattice; the displacements were projected on every irrep of "
                   "Pm-3m at the wave vectors of the child's cell.",
        "warnings": [],
    }  # fmt: skip


def record(**more) -> Record:
    return Record("order-parameters", {"parent.cif": "0" * 64, "child.cif": "1" * 64}, {"tolerance": 0.001},
                  pnma() | more, 1.4)  # fmt: skip
