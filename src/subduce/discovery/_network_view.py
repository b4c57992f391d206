"""What an equivariant network says of a transition: which inputs it misses, by irrep of the parent's space group."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch.nn.functional import mse_loss

from subduce.crystals import field_images, intertwiners
from subduce.data import Graph, graph_from_structure, structure_from_atoms
from subduce.groups import invariant_basis
from subduce.models import EuclideanNetwork, EuclideanNetworkConfig
from subduce.o3 import Irreps, irrep_matrix

from ._transition import Transition, label

_ORDER = "0e + 0o + 1o + 1e + 2e + 2o"
_REACH = 1.7  # cutoff over the cube root of the volume of a site: some twelve neighbours
_SEEN = 1e-7  # of the largest part of the gradient
_ROUND_OFF = 1e-9


def network_view(found: Transition, *, seed: int = 0) -> dict[str, Any]:
    """Whether a network with random weights misses just the irreps that group theory finds.

    The network maps the parent to the displacements and has inputs of every degree up to 2 and both parities at every
    site, at zero. Its gradient by them names what is missing (Smidt, Geiger and Miller 2021, arXiv:2007.02005), here
    irrep by irrep of the space group, on each orbit of sites. `forbidden_max` is the largest component that an
    operation of the child would change, over the largest of all: round-off, if all is right.
    """
    crystal, kept = found.crystal, found.kept
    gradient = _gradient(found, seed)
    turns = torch.from_numpy(crystal.crystal.group.cartesian)
    whole = max(float(np.abs(gradient).max()), np.finfo(float).tiny)
    stray, sizes, places = 0.0, dict[str, float](), dict[tuple[str, tuple[int, ...]], set[str]]()
    for term, where in zip(Irreps(_ORDER), Irreps(_ORDER).slices(), strict=True):
        images = irrep_matrix(term.ir, turns).numpy()[crystal.operations[0]]
        field = gradient[:, where]
        mean = np.mean([crystal.apply([g], field, images)[0] for g in kept], axis=0)
        stray = max(stray, float(np.abs(field - mean).max()))
        for name, orbit, size in _parts(found, field, images):
            sizes[name] = float(np.hypot(sizes.get(name, 0.0), size))
            if size > _SEEN * whole:
                places.setdefault((str(term.ir), orbit), set()).add(name)
    seen = [name for name, size in sizes.items() if size > _SEEN * max(sizes.values())]
    admissible = list(sizes)
    needed = {label(mode) for mode in found.present if mode.kind == "displacement" and not np.allclose(mode.matrices, 1)}
    return {
        "inputs": _ORDER,
        "admissible": admissible,
        "forbidden_max": stray / whole,
        "found": seen,
        "sites": [_site(found, irrep, orbit, sorted(names)) for (irrep, orbit), names in places.items()],
        "agrees": bool(needed <= set(seen) and stray / whole < _ROUND_OFF),
    }


def _gradient(found: Transition, seed: int) -> np.ndarray:
    """The gradient of the squared error by inputs that are zero, on all sites of the periodic crystal."""
    crystal, ideal = found.crystal, found.crystal.crystal
    atoms = ideal.atoms[[]]
    lattice = crystal.superlattice @ ideal.group.lattice
    atoms.set_cell(lattice)
    for cell in crystal.cells:
        moved = ideal.atoms
        moved.positions += cell @ ideal.group.lattice
        atoms += moved
    volume = abs(np.linalg.det(ideal.group.lattice)) / len(ideal.numbers)
    names = tuple(dict.fromkeys(ideal.atoms.get_chemical_symbols()))
    reach = float(_REACH * volume ** (1 / 3))
    graph: Graph = graph_from_structure(structure_from_atoms(atoms), reach).graph
    degree = len(graph.sender) / len(atoms)
    config = EuclideanNetworkConfig(
        type_names=names, order=_ORDER, r_max=reach, l_max=2, num_features=4, avg_num_neighbors=degree, seed=seed
    )
    order = torch.zeros(len(atoms), Irreps(_ORDER).dim, dtype=torch.float64, requires_grad=True)
    target = torch.from_numpy(found.fields["displacement"])
    loss = mse_loss(EuclideanNetwork(config)(graph, order), target)
    return torch.autograd.grad(loss, order)[0].numpy()


def _parts(
    found: Transition, field: np.ndarray, images: np.ndarray
) -> Iterator[tuple[str, tuple[int, ...], float]]:
    """What a field holds of every irrep that the child allows, orbit by orbit, apart from the trivial one."""
    for mode in found.admissible:
        for orbit in found.crystal.orbits:
            copies = intertwiners(found.crystal, mode.matrices, images, [orbit])
            if len(copies):
                yield label(mode), orbit, float(np.linalg.norm(np.einsum("csaj,sa->cj", copies, field)))


def _site(found: Transition, irrep: str, orbit: tuple[int, ...], names: list[str]) -> dict[str, Any]:
    ideal = found.crystal.crystal
    symbol = ideal.atoms.get_chemical_symbols()[orbit[0]]
    return {"wyckoff": ideal.wyckoffs[orbit[0]], "species": symbol, "input": irrep, "irreps": names}
