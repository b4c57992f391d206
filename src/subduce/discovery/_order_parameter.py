"""From two structures to a record of what breaks one into the other: what the verb `order-parameters` does."""

import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

import ase
import numpy as np
from ase.data import chemical_symbols

from subduce import __version__
from subduce.config import InputError
from subduce.crystals import (
    TOLERANCE,
    Crystal,
    Mode,
    SpaceGroup,
    ToleranceScan,
    crystal,
    equivalent_origins,
    irreps_at,
    match,
    scan_tolerances,
)
from subduce.data import read_frames
from subduce.records import Record, fingerprint

from ._frames import Frames, with_evidence, with_uncertainty
from ._network_view import network_view
from ._transition import Transition, child_cells, child_sites, joint, site_irreps, transition

_WHOLE = 1e-9  # Å: no translation holds for atoms that move, so that each of a mean stays one of its frames
_UNITS = {"displacement": "Å", "magnetic": "µB", "occupation": "", "strain": ""}
_LOOSE = 0.1  # Å; at more a parent is not taken for another
_DOMAINS = 96  # structures that a record holds at most
_VOIGT = ((0, 0), (1, 1), (2, 2), (1, 2), (0, 2), (0, 1))


def order_parameters(
    parent: str | Path | ase.Atoms,
    child: str | Path | ase.Atoms | Sequence[ase.Atoms],
    *,
    tolerance: float | None = None,
    parent_tolerance: float | None = None,
    index: int | None = None,
    sigma: float | None = None,
    level: float = 0.05,
    method: Literal["group", "network", "both"] = "both",
    seed: int = 0,
) -> Record:
    """Which irreps break a parent structure into a child: k, label, direction, amplitude, isotropy subgroup, couplings.

    Both are files that ASE reads, or `Atoms`; the child may be in any cell, origin, orientation and order of atoms. An
    operation counts as kept when it moves no atom of the child by more than `tolerance` (Å) from where one is; without
    it the first wide gap above 10⁻³ Å decides. `parent_tolerance` is that of the parent's own group (10⁻³ Å). Of a
    child with many frames, such as molecular dynamics, the mean is analysed, or the frame `index`; of a mean, modes
    count where they are significant at `level`, the chance that any of them is there by accident, and have 95 %
    intervals. So do those of one structure whose coordinates have the standard uncertainty `sigma` (Å). Unless `method`
    is "group", an equivariant network with random weights (`seed`) is asked which inputs it misses; `network` holds its
    answer and whether the two agree. With "network" it also learns the order parameter, in half a minute or more.

    Amplitudes are norms over the child's primitive cell (A_s), Å of the strain-free parent. Raises `InputError`, one
    line, for structures that are not related, or not structures.
    """
    began = time.monotonic()
    parent_atoms, children = _read(parent)[0], _read(child)
    children = children if index is None else [_chosen(children, index)]
    scan = scan_tolerances(parent_atoms)
    ideal = crystal(parent_atoms, tolerance=parent_tolerance)
    doubts = list(_parent_warnings(ideal.group, scan, parent_tolerance or TOLERANCE))
    try:
        if len(children) == 1:
            found = transition(match(ideal, children[0], tolerance=tolerance), tolerance)
            found = found if sigma is None else with_uncertainty(found, sigma, level)
        else:
            frames = Frames.of(children)
            mapped = match(ideal, frames.mean, tolerance=_WHOLE)
            found = with_evidence(transition(mapped, tolerance), mapped, frames, level)
    except InputError as error:
        raise InputError("; ".join([str(error), *doubts])) from None
    results = _results(found, scan, parent_tolerance)
    moves = any(mode.kind == "displacement" and len(mode.isotropy) < found.crystal.order for mode in found.present)
    if method != "group" and moves:
        results["network"] = network_view(found, learn=method == "network", seed=seed)
        if not results["network"]["agrees"]:
            doubts.append("group theory and the network disagree; please report this structure")
    results |= {"frames": len(children), "warnings": [*doubts, *results["warnings"]]}
    inputs = {str(path): fingerprint(path) for path in (parent, child) if isinstance(path, str | Path)}
    settings = {
        "tolerance": tolerance,
        "parent_tolerance": parent_tolerance,
        "index": index,
        "sigma": sigma,
        "level": level,
    }
    settings |= {"method": method, "seed": seed}
    return Record("order-parameters", inputs, settings, results, time.monotonic() - began)


def _chosen(children: list[ase.Atoms], index: int) -> ase.Atoms:
    if not -len(children) <= index < len(children):
        raise InputError(f"no structure number {index} among {len(children)}; count from 0, or from the end with -1")
    return children[index]


def _read(structure: str | Path | ase.Atoms | Sequence[ase.Atoms]) -> list[ase.Atoms]:
    if isinstance(structure, ase.Atoms):
        return [structure]
    if not isinstance(structure, str | Path):
        return list(structure)
    found = read_frames(structure)
    if Path(structure).suffix == ".cif" and "_cell_wave_vector_" in Path(structure).read_text(errors="replace"):
        raise InputError(
            f"{structure}: an incommensurate modulation, of which only the mean structure could be read; give a "
            "commensurate supercell that comes close"
        )
    return found


def _results(found: Transition, scan: ToleranceScan, parent_tolerance: float | None) -> dict[str, Any]:
    group = found.crystal.crystal.group
    number, symbol = found.crystal.type_of(found.kept)
    below, above = found.residuals[found.kept].max(), np.delete(found.residuals, found.kept).min(initial=np.inf)
    primary = {id(mode) for mode in found.primary}
    shown = [*found.present, *(mode for mode in found.primary if mode.kind == "strain")]
    results = {
        "verdict": "broken" if found.index > 1 else "unbroken",
        "parent": {"number": group.number, "symbol": group.symbol},
        "child": {"number": number, "symbol": symbol, **_magnetic(found)},
        "index": found.index,
        "cell_size": found.cell_size,
        "domains": found.index,
        "lost": {"point": found.index // found.cell_size, "translations": found.cell_size},
        "origin": _origin(found.crystal.crystal, np.zeros(3)),
        "tolerance": {"used": found.tolerance, "stable": [float(below), float(above) if np.isfinite(above) else None]},
        "parent_tolerance": {
            "used": parent_tolerance or TOLERANCE,
            "scan": [{"tolerance": t, "number": n, "symbol": s} for t, n, s in _steps(scan)],
        },
        "noise": found.noise,
        "strain": [_strain(mode) for mode in found.strains],
        "modes": [_mode(found, mode, id(mode) in primary) for mode in shown],
        "secondary": list(_secondary(found)),
        "alternative_origin": list(_alternatives(found, shown)),
        "sites": [
            {"wyckoff": wyckoff, "species": species, "irreps": irreps}
            for (wyckoff, species), irreps in zip(_orbits(found), site_irreps(found), strict=True)
            if irreps
        ],
        "subgroups": _path(found, number, symbol),
        "structures": _structures(found),
        "warnings": list(_warnings(found)),
    }
    return {"sentence": sentence(results), **results, "methods": methods(results)}


def _magnetic(found: Transition) -> dict[str, str]:
    """The child's magnetic group, where it has moments."""
    return {"magnetic": found.crystal.magnetic_type_of(found.kept)} if found.crystal.grey else {}


def _steps(scan: ToleranceScan) -> Iterator[tuple[float, int, str]]:
    """The rows of a scan at which the group changes."""
    before = None
    for tolerance, number, symbol in scan.rows:
        if number != before:
            yield tolerance, number, symbol
        before = number


def _mode(found: Transition, mode: Mode, primary: bool) -> dict[str, Any]:
    number, symbol = found.crystal.type_of(mode.isotropy)
    cells = found.cell_size
    strain = mode.kind == "strain"
    proof = found.evidence_for(mode)
    entry = {
        "irrep": mode.name,
        "kind": mode.kind,
        "k": _rounded(mode.irrep.k_standard),
        "dimension": mode.irrep.dim,
        "direction": _rounded(mode.direction),
        "direction_symbol": mode.direction_symbol,
        "amplitude": mode.amplitude,
        "unit": _UNITS[mode.kind],
        "amplitude_parent": mode.amplitude if strain else float(mode.amplitude / np.sqrt(cells)),
        "interval": None if proof is None else list(proof.interval),
        "p_value": None if proof is None else proof.p_value,
        "isotropy_subgroup": {"number": number, "symbol": symbol},
        "index": found.crystal.order // len(mode.isotropy),
        "primary": primary,
    }
    if not mode.irrep.label:
        entry["characters"] = [[float(c.real), float(c.imag)] for c in np.round(mode.irrep.small_characters, 6) + 0.0]
    if not strain:
        squares = (mode.field**2).sum(axis=1).reshape(-1, len(found.crystal.crystal.numbers)).sum(axis=0)
        scale = cells / len(found.crystal.cells)
        entry["sites"] = [
            {"wyckoff": wyckoff, "species": species, "amplitude": float(np.sqrt(squares[list(orbit)].sum() * scale))}
            for (wyckoff, species), orbit in zip(_orbits(found), found.crystal.orbits, strict=True)
        ]
        entry["field"] = _rounded(mode.field[child_sites(found)])
    return entry


def _secondary(found: Transition) -> Iterator[dict[str, Any]]:
    present = {id(mode) for mode in found.present}
    names = [mode.name for mode in found.primary]
    for mode, drive in found.secondary:
        amplitude = mode.amplitude if id(mode) in present or mode.kind == "strain" else 0.0
        yield {
            "irrep": mode.name,
            "kind": mode.kind,
            "amplitude": amplitude,
            "p_value": proof.p_value if (proof := found.evidence_for(mode)) else None,
            "coupling": drive.text(names, mode.name) if drive else None,
        }


def _strain(mode: Mode) -> dict[str, Any]:
    xx, yy, zz, yz, xz, xy = mode.field[0] * np.array([1, 1, 1, *(3 * [np.sqrt(2)])])  # shears as Voigt's, 2 ε
    return {"irrep": mode.name, "amplitude": mode.amplitude, "voigt": _rounded(np.array([xx, yy, zz, yz, xz, xy]))}


def _orbits(found: Transition) -> list[tuple[str, str]]:
    """Wyckoff letter and species of each orbit of the parent's sites."""
    ideal = found.crystal.crystal
    return [(ideal.wyckoffs[orbit[0]], chemical_symbols[ideal.numbers[orbit[0]]]) for orbit in found.crystal.orbits]


def _origin(ideal: Crystal, shift: np.ndarray) -> dict[str, Any]:
    """An origin of the standard setting: the atom there, if any, its Wyckoff letter, and where it is in the input."""
    basis, offset = ideal.group.to_standard
    place = shift - np.linalg.solve(basis, offset)  # of the standard origin, fractional in the primitive cell
    away = ideal.positions - place
    there = np.flatnonzero(np.abs(away - np.rint(away)).max(axis=1) < 1e-4)
    atom = int(there[0]) if len(there) else None
    return {
        "site": None if atom is None else chemical_symbols[ideal.numbers[atom]],
        "wyckoff": None if atom is None else ideal.wyckoffs[atom],
        "shift": _rounded(basis @ place),
    }


def _alternatives(found: Transition, modes: Sequence[Mode]) -> Iterator[dict[str, Any]]:
    """Other origins from which the group looks the same, but some irrep has another label."""
    ideal = found.crystal.crystal
    for shift in equivalent_origins(ideal.group):
        shifted = ideal.group.shifted(shift)
        labels = {mode.name: _label_from(ideal.group, shifted, shift, mode) for mode in modes if mode.irrep.label}
        changed = {old: new for old, new in labels.items() if new != old}
        if changed:
            yield {"origin": _origin(ideal, shift), "labels": changed}


def _label_from(group: SpaceGroup, shifted: SpaceGroup, shift: np.ndarray, mode: Mode) -> str:
    """What the same irrep is called from another origin."""
    places = np.arange(len(group.rotations))
    full = group.translations + group.rotations @ shift - shift
    cells = np.rint(full - shifted.translations).astype(np.int64)
    character = np.trace(mode.irrep.matrices(places, np.zeros_like(cells)), axis1=1, axis2=2)
    for other in irreps_at(shifted, mode.irrep.k):
        if np.allclose(np.trace(other.matrices(places, cells), axis1=1, axis2=2), character, atol=1e-6):
            return other.label
    return ""


def _path(found: Transition, number: int, symbol: str) -> list[dict[str, Any]]:
    """The subgroups between parent and child: of each primary mode, of pairs of them, and the child."""
    rows = []
    chosen = [mode for mode in found.primary if mode.kind != "strain"] or list(found.primary)
    for count in range(1, len(chosen)):
        for first in range(len(chosen) - count + 1):
            some = chosen[first : first + count]
            kept = np.array(joint(found.crystal, some))
            rows.append((*found.crystal.type_of(kept), found.crystal.order // len(kept), some))
    rows.append((number, symbol, found.index, chosen))
    return [
        {"number": number, "symbol": symbol, "index": index, "modes": [mode.name for mode in some]}
        for number, symbol, index, some in rows
    ]


def _structures(found: Transition) -> dict[str, Any]:
    """Parent, child and all domains in the child's cell of the strain-free parent, sites in the same order."""
    ideal = found.crystal.crystal
    lattice = found.supercell @ ideal.group.lattice
    cells = child_cells(found)
    sites = ((cells[:, None] + ideal.positions).reshape(-1, 3)) @ ideal.group.lattice
    inside = sites @ np.linalg.inv(lattice)
    sites = sites - np.floor(inside + 1e-6) @ lattice
    moved = found.fields["displacement"][child_sites(found)]
    species = [chemical_symbols[n] for n in np.tile(ideal.numbers, len(cells))]

    def structure(cell: np.ndarray, positions: np.ndarray) -> dict[str, Any]:
        return {"cell": _rounded(cell), "species": species, "positions": _rounded(positions)}

    domains = []
    for operation in found.domains()[:_DOMAINS]:
        turned = found.turned(operation)
        cell = turned.supercell @ ideal.group.lattice
        own = child_cells(turned)
        places = ((own[:, None] + ideal.positions).reshape(-1, 3)) @ ideal.group.lattice
        places = places - np.floor(places @ np.linalg.inv(cell) + 1e-6) @ cell
        domains.append(structure(cell, places + turned.fields["displacement"][child_sites(turned)]))
    return {
        "parent": structure(lattice, sites),
        "child": structure(lattice, sites + moved),
        "displacements": _rounded(moved),
        "domains": domains,
    }


def _parent_warnings(group: SpaceGroup, scan: ToleranceScan, used: float) -> Iterator[str]:
    """Where the parent would have another group if its atoms were allowed to miss it by a little more."""
    others = [f"{s} at {t:.2g} Å" for t, n, s in _steps(scan) if used < t <= _LOOSE and n not in (0, group.number)]
    if others:
        yield (
            f"the parent is {group.symbol} at {used:g} Å, but {', '.join(others)}; if that is meant, give "
            "--parent-tolerance"
        )


def _warnings(found: Transition) -> Iterator[str]:
    below, above = found.residuals[found.kept].max(), np.delete(found.residuals, found.kept).min(initial=np.inf)
    if above < 3 * max(below, 1e-4):
        yield (
            f"the child's group is uncertain: its operations hold to {below:.2g} Å, the next one to {above:.2g} Å; "
            "try --tolerance"
        )
    if found.index > _DOMAINS:
        yield f"{found.index} domain states, of which the record holds {_DOMAINS}"
    if any(not mode.irrep.label for mode in found.present):
        yield "some irreps have no certain label: their wave vectors and characters are given instead"


def _rounded(values: np.ndarray) -> list:
    """Numbers for a record, to 10⁻⁶."""
    return (np.round(np.asarray(values, dtype=np.float64), 6) + 0.0).tolist()


def sentence(results: dict[str, Any]) -> str:
    """The findings of `order-parameters` in one sentence."""
    parent, child = results["parent"]["symbol"], results["child"]["symbol"]
    if results["verdict"] == "unbroken":
        return f"No symmetry is broken: the child keeps all of {parent}."
    primary = [mode for mode in results["modes"] if mode["primary"]]
    driving = " and ".join(
        f"{m['irrep']}{m['direction_symbol']} ({m['amplitude']:.3g}{m['unit'] and ' ' + m['unit']})" for m in primary
    )
    lost = results["lost"]
    parts = [f"{lost['point']} of the point operations"] if lost["point"] > 1 else []
    parts += [f"{lost['translations']} of the translations"] if lost["translations"] > 1 else []
    counted = " and one in ".join(parts)
    return (
        f"{parent} breaks to {child} by {driving}: one in {counted} is left, {results['domains']} domain states."
        if counted
        else f"{parent} breaks to {child} by {driving}."
    )


def methods(results: dict[str, Any]) -> str:
    """How it was found, in words that a paper can use."""
    return (
        f"The child was mapped onto a supercell of the parent ({results['parent']['symbol']}), its displacements "
        "measured in the strain-free metric of the parent with their mean removed, and projected onto the real "
        "irreducible representations of the parent's space group at every wave vector that the child's lattice allows. "
        "Labels are those of Cracknell, Davies, Miller and Love in the standard setting with the origin stated. "
        "Amplitudes are norms over the child's primitive cell. Operations were taken as kept when they move no atom by "
        f"more than {results['tolerance']['used']:.2g} Å. Primary modes are the smallest set whose joint isotropy "
        "subgroup is the child's group; a secondary mode is driven by the lowest invariant that is linear in it. "
        f"Computed with subduce {__version__}."
    )
