"""What the 3D viewer draws: atoms of one block of crystal, the polyhedra in it, and displacement fields on them."""

from collections.abc import Mapping
from itertools import combinations, product
from typing import Any

import numpy as np
from scipy.spatial import ConvexHull, KDTree

Results = Mapping[str, Any]
_ANIONS = frozenset(["N", "O", "F", "P", "S", "Cl", "Se", "Br", "Te", "I"])
_CENTRE, _ANION, _OTHERS = "#2f5f8f", "#c4513b", ("#93a878", "#c79a3c", "#7d6b9d", "#6b7480")
_EDGE = 0.01  # of the block: atoms on its faces are drawn on both sides
# A shell of neighbours ends before a gap of this ratio, is no wider, and is little larger than the smallest.
_GAP, _SPREAD, _ALIKE = 1.2, 1.3, 1.12
_ARROW = 1.3  # Å: no arrow is longer
_MOST_DOMAINS = 48


def viewer(results: Results) -> dict[str, Any] | None:
    """Sites of the parent (Å, about the middle), their kinds, polyhedra and fields; None without structures.

    Fields hold thousandths of their unit, three a site: the child's whole displacement first, then one for each
    mode that moves something (`modes` gives the place of each mode's field, or None), and one a domain.
    """
    found = results.get("structures") or {}
    parent, child = found.get("parent"), found.get("child")
    if not parent or not child:
        return None
    cell, positions = np.asarray(parent["cell"], float), np.asarray(parent["positions"], float)
    species = list(parent["species"])
    moved = np.asarray(found.get("displacements") or np.subtract(child["positions"], positions), float)
    box = _block(cell)
    index, places = _images(cell, positions, box, _EDGE)
    kinds, faces, edges, index, places = _polyhedra(species, cell, positions, box, index, places)
    fields, modes = [_field("all", "displacement", moved[index])], []
    for mode in results.get("modes") or []:
        values = np.asarray(mode.get("field") or [], float)
        drawn = values.shape == positions.shape and np.abs(values).max(initial=0.0) > 0
        modes.append(len(fields) if drawn else None)
        if drawn:
            fields.append(_field(mode["irrep"], mode.get("kind") or "displacement", values[index]))
    domains = [_thousandths(_nearest(domain, places)) for domain in (found.get("domains") or [])[:_MOST_DOMAINS]]
    domains = domains if np.any(domains) else []
    middle = box.sum(0) / 2
    corners = np.array(list(product((0, 1), repeat=3))) @ box - middle
    return {
        "sites": np.round(places - middle, 3).tolist(),
        "species": [list(kinds).index(species[i]) for i in index],
        "kinds": [
            {"name": name, "colour": colour, "radius": radius, "inside": colour == _CENTRE}
            for name, (colour, radius) in kinds.items()
        ],
        "corners": np.round(corners, 3).tolist(),
        "faces": faces,
        "edges": edges,
        "fields": fields,
        "modes": modes,
        "domains": domains,
        "states": results.get("domains"),
    }


def _block(cell: np.ndarray) -> np.ndarray:
    """The block to draw: the cell where its angles are 90 or 120 degrees, else the smallest right-angled supercell."""
    unit = cell / np.linalg.norm(cell, axis=1, keepdims=True)
    angles = np.degrees(np.arccos(np.clip([unit[i] @ unit[j] for i, j in combinations(range(3), 2)], -1, 1)))
    if np.all(np.minimum(abs(angles - 90), abs(angles - 120)) < 2) and sum(abs(angles - 120) < 2) < 2:
        return cell
    steps = [n for n in product(range(-2, 3), repeat=3) if n > (0, 0, 0)]
    vectors = sorted(np.array(steps) @ cell, key=lambda v: (round(float(v @ v), 4), *np.round(-v, 4)))[:40]
    lengths = np.linalg.norm(vectors, axis=1)
    right = abs(np.array(vectors) @ np.transpose(vectors)) < 0.02 * np.outer(lengths, lengths)
    found = [
        (round(float(lengths[list(t)].prod()), 3), round(float(lengths[list(t)].sum()), 3), t)
        for t in combinations(range(len(vectors)), 3)
        if right[t[0], t[1]] and right[t[0], t[2]] and right[t[1], t[2]]
    ]
    if not found or min(found)[0] > 8.1 * abs(np.linalg.det(cell)):
        return cell
    box = np.array([vectors[i] for i in min(found)[2]])
    return box * np.sign(np.linalg.det(box))


def _images(cell: np.ndarray, positions: np.ndarray, box: np.ndarray, margin: float) -> tuple[np.ndarray, np.ndarray]:
    """Site and place of every periodic image within the block and `margin` of its sides about it."""
    corners = np.array(list(product((-margin, 1 + margin), repeat=3))) @ box @ np.linalg.inv(cell)
    low, high = np.floor(corners.min(0)).astype(int) - 1, np.ceil(corners.max(0)).astype(int) + 1
    shifts = np.array(list(product(*(range(a, b + 1) for a, b in zip(low, high, strict=True)))))
    places = (positions[None] + (shifts @ cell)[:, None]).reshape(-1, 3)
    inside = np.all(abs(places @ np.linalg.inv(box) - 0.5) <= 0.5 + margin, axis=1)
    return np.tile(np.arange(len(positions)), len(shifts))[inside], places[inside]


def _polyhedra(species: list[str], cell, positions, box, index, places) -> tuple[Any, ...]:
    """Kinds of atoms, and polyhedra of four to six anions about the cations that hold them closest.

    Triangles and edges are of places; anions that polyhedra need beyond the block are added to `index`, `places`.
    """
    anion = np.array([name in _ANIONS for name in species])
    kinds = {name: (_ANION, 0.3) for name in dict.fromkeys(species) if name in _ANIONS}
    others = [name for name in dict.fromkeys(species) if name not in _ANIONS]
    shells: list[tuple[float, str, np.ndarray]] = []
    around, spots = _images(cell, positions[anion], box, 1.0)
    if len(spots) > 12:
        at = np.flatnonzero(~anion[index])
        neighbours: Any = KDTree(spots).query(places[at], 7)
        for centre, distances, near in zip(at, *neighbours, strict=True):
            last = next((n for n in (3, 4, 5) if distances[n + 1] > _GAP * distances[n]), 0)
            if last and distances[last] < _SPREAD * distances[0]:
                shells.append((float(distances[: last + 1].mean()), species[index[centre]], near[: last + 1]))
    shells = [shell for shell in shells if shell[0] < _ALIKE * min(shells, key=lambda s: s[0])[0]]
    centres = {name for _, name, _ in shells}
    kinds |= {name: (_CENTRE, 0.34) for name in others if name in centres}
    kinds |= {name: (_OTHERS[i % 4], 0.55) for i, name in enumerate(n for n in others if n not in centres)}
    faces, edges = [], set()
    known = {tuple(np.round(place, 2)): i for i, place in enumerate(places)}
    sites, more = np.flatnonzero(anion), []
    for _, _, near in shells:
        corners = []
        for spot in near:
            key = tuple(np.round(spots[spot], 2))
            if key not in known:
                known[key] = len(places) + len(more)
                more.append(spot)
            corners.append(known[key])
        hull = ConvexHull(spots[near])
        for triangle, beside, plane in zip(hull.simplices, hull.neighbors, hull.equations, strict=True):
            a, b, c = spots[near[triangle]]
            faces.append([corners[i] for i in (triangle if np.cross(b - a, c - a) @ plane[:3] > 0 else triangle[::-1])])
            for k, other in enumerate(beside):
                if hull.equations[other][:3] @ plane[:3] < 0.999:  # not a diagonal of a flat face
                    edges.add(tuple(sorted(corners[i] for i in np.delete(triangle, k))))
    if more:
        index, places = np.append(index, sites[around[more]]), np.vstack([places, spots[more]])
    return kinds, faces, sorted(edges), index, places


def _nearest(domain: Results, places: np.ndarray) -> np.ndarray:
    """How far the domain's nearest atom lies from each place."""
    cell = np.asarray(domain["cell"], float)
    away = (np.asarray(domain["positions"], float)[None] - places[:, None]) @ np.linalg.inv(cell)
    away = (away - np.round(away)) @ cell
    return away[np.arange(len(places)), np.argmin((away**2).sum(-1), axis=1)]


def _field(label: str, kind: str, values: np.ndarray) -> dict[str, Any]:
    """A field with the factor that makes its longest arrow well visible: 1, 2 or 5 times a power of ten."""
    longest = float(np.linalg.norm(values, axis=1).max(initial=0.0))
    power = 10.0 ** np.floor(np.log10(_ARROW / longest)) if longest > 1e-4 else 0.0
    factor = power * max(digit for digit in (1, 2, 5) if digit * power * longest <= _ARROW)
    return {"label": label, "kind": kind, "factor": float(f"{factor:.6g}"), "values": _thousandths(values)}


def _thousandths(values: np.ndarray) -> list[int]:
    return np.round(1000 * values).astype(int).ravel().tolist()
