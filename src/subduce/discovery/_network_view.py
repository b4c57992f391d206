"""What an equivariant network says of a transition: which inputs it misses, by irrep of the parent's space group."""

from typing import Any

import numpy as np
import torch
from torch.nn.functional import mse_loss

from subduce.crystals import PeriodicCrystal, candidates, intertwiners, irrep_name
from subduce.data import Graph, graph_from_structure, structure_from_atoms
from subduce.groups import SiteSymmetry, invariant_basis
from subduce.models import EuclideanNetwork, EuclideanNetworkConfig, Modulation
from subduce.o3 import Irreps, irrep_matrix

from ._network_order_parameter import INPUTS, network_order_parameter
from ._transition import Transition, averaged, child_sites

_REACH = 1.7  # cutoff over the cube root of the volume of a site: some twelve neighbours
_SEEN = 1e-7  # of the largest part of the gradient
_ROUND_OFF = 1e-9


def network_view(found: Transition, *, learn: bool = False, seed: int = 0) -> dict[str, Any]:
    """Whether a network with random weights misses just the irreps that group theory finds.

    The network maps the parent to the displacements and has inputs of every degree up to 2 and both parities at every
    site, at zero. Its gradient by them names what is missing (Smidt, Geiger and Miller 2021, arXiv:2007.02005), here
    irrep by irrep of the space group, on each orbit of sites. `forbidden_max` is the largest component that an
    operation of the child would change, over the largest of all: round-off, if all is right. To `learn` is to train
    network and inputs together, on the orbit of the largest gradient that can hold every primary irrep: half a minute.
    """
    crystal = found.crystal
    gradient = _gradient(found, seed)
    turns = torch.from_numpy(crystal.crystal.group.cartesian)
    whole = max(float(np.abs(gradient).max()), np.finfo(float).tiny)
    irreps = [(irrep_name(one), one.matrices(*crystal.operations)) for one in candidates(crystal)]
    allowed = [(n, m) for n, m in irreps if invariant_basis(m[found.kept]).shape[1] and not np.allclose(m, 1.0)]
    stray, sizes, rows = 0.0, dict.fromkeys((n for n, _ in allowed), 0.0), []
    primary = {mode.name for mode in found.primary if mode.kind == "displacement"}
    for term, where in zip(Irreps(INPUTS), Irreps(INPUTS).slices(), strict=True):
        images = irrep_matrix(term.ir, turns).numpy()[crystal.operations[0]]
        field = gradient[:, where]
        stray = max(stray, float(np.abs(field - averaged(crystal, field, images, found.kept)).max()))
        for orbit in crystal.orbits:
            parts = {n: _size(crystal, field, m, images, orbit) for n, m in allowed}
            sizes = {n: float(np.hypot(sizes[n], parts[n])) for n in sizes}
            there = [n for n in parts if parts[n] > _SEEN * whole]
            if there:
                rows.append((str(term.ir), orbit, there, field))
    seen = [n for n in sizes if sizes[n] > _SEEN * max(sizes.values())]
    needed = {m.name for m in found.present if m.kind == "displacement" and not np.allclose(m.matrices, 1.0)}
    holding = [row for row in rows if primary and primary <= set(row[2])]
    where = max(holding, key=lambda row: _strength(found, row))[1] if learn and holding else ()
    learned = _learned(found, where, seed) if where else None
    view = {
        "inputs": INPUTS,
        "admissible": [n for n, _ in allowed],
        "forbidden_max": stray / whole,
        "found": seen,
        "where": [{**_place(found, orbit), "input": term, "irreps": there} for term, orbit, there, _ in rows],
        "sites": _coefficients(found, holding),
        "agrees": needed <= set(seen) and stray / whole < _ROUND_OFF,
    }
    if learned is not None:
        same = learned.get("kept_by_order") == len(found.kept)
        view |= {"learned": learned, "agrees": view["agrees"] and same}
    return view


def _strength(found: Transition, row: tuple[str, tuple[int, ...], list[str], np.ndarray]) -> float:
    """The gradient at a site of an orbit."""
    count = len(found.crystal.crystal.numbers)
    return float(np.linalg.norm(row[3].reshape(-1, count, row[3].shape[1])[:, list(row[1])]) / len(row[1]) ** 0.5)


def _learned(found: Transition, orbit: tuple[int, ...], seed: int) -> dict[str, Any]:
    """An order parameter that a network learned on an orbit of sites, with its path and checks."""
    crystal = found.crystal
    symmetry = SiteSymmetry(crystal.crystal.group.cartesian[crystal.operations[0]], crystal.permutations)
    places = [place for place in range(crystal.sites) if place % len(crystal.crystal.numbers) in orbit]
    inputs = Modulation.on(crystal.sites, places)
    settings = {"num_features": 4, "num_layers": 2, "radial_mlp_width": 16, "seed": seed}
    learned = network_order_parameter(
        crystal.atoms, found.fields["displacement"], symmetry, inputs, network=settings, tolerance=found.tolerance
    )
    return {**_place(found, orbit), **learned.results()}


def _size(
    crystal: PeriodicCrystal, field: np.ndarray, matrices: np.ndarray, images: np.ndarray, orbit: tuple[int, ...]
) -> float:
    """The length of what a field holds of an irrep on an orbit of sites."""
    copies = intertwiners(crystal, matrices, images, [orbit])
    return float(np.linalg.norm(np.einsum("csaj,sa->cj", copies, field)))


def _coefficients(found: Transition, rows: list[tuple[str, tuple[int, ...], list[str], np.ndarray]]) -> list[dict]:
    """The gradient on sites, for each orbit by the input of lowest degree that holds every primary irrep."""
    symbols, best = found.crystal.crystal.atoms.get_chemical_symbols(), dict[tuple[int, ...], tuple]()
    for row in sorted(rows, key=lambda row: row[0]):
        best.setdefault(row[1], row)
    count, entries = len(symbols), []
    for term, orbit, _, field in best.values():
        places = [place for place in child_sites(found) if place % count in orbit]
        largest = max(float(np.abs(field[places]).max()), np.finfo(float).tiny)
        for number, place in enumerate(places, start=1):
            values = (np.round(field[place] / largest, 6) + 0.0).tolist()
            entries.append({"name": f"{symbols[place % count]} {number}", "coefficients": {term: values}})
    return entries


def _gradient(found: Transition, seed: int) -> np.ndarray:
    """The gradient of the squared error by inputs that are zero, on all sites of the periodic crystal."""
    crystal, ideal = found.crystal, found.crystal.crystal
    atoms = crystal.atoms
    volume = atoms.get_volume() / len(atoms)
    names = tuple(dict.fromkeys(ideal.atoms.get_chemical_symbols()))
    reach = float(_REACH * volume ** (1 / 3))
    graph: Graph = graph_from_structure(structure_from_atoms(atoms), reach).graph
    degree = len(graph.sender) / len(atoms)
    settings = {"type_names": names, "order": INPUTS, "r_max": reach, "avg_num_neighbors": degree, "seed": seed}
    config = EuclideanNetworkConfig.model_validate({**settings, "num_features": 4})
    order = torch.zeros(len(atoms), Irreps(INPUTS).dim, dtype=torch.float64, requires_grad=True)
    target = torch.from_numpy(found.fields["displacement"])
    loss = mse_loss(EuclideanNetwork(config)(graph, order), target)
    return torch.autograd.grad(loss, order)[0].numpy()


def _place(found: Transition, orbit: tuple[int, ...]) -> dict[str, str]:
    ideal = found.crystal.crystal
    return {"wyckoff": ideal.wyckoffs[orbit[0]], "species": ideal.atoms.get_chemical_symbols()[orbit[0]]}
