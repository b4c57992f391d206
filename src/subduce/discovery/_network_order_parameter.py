"""The network's way to an order parameter: what a symmetric network lacks to move some sites, learned and checked."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from ase import Atoms
from jaxtyping import Float

from ..data import Graph, SkinList
from ..groups import SiteSymmetry
from ..models import EuclideanNetwork, EuclideanNetworkConfig, Modulation
from ._learned_inputs import LearnConfig, LearnedInputs, fit_network, learn_order_parameter
from ._missing_inputs import MissingGradient, MissingInputs, missing_gradient, missing_inputs, plateau

INPUTS = "0e+0o+1e+1o+2e+2o"


@dataclass(frozen=True, eq=False)
class NetworkOrderParameter:
    """What a network found; `learned` is None where no input may break the symmetry."""

    network: EuclideanNetwork
    graph: Graph
    missing: MissingInputs
    gradient: MissingGradient
    plateau: float
    loss: float
    learned: LearnedInputs | None

    def output(self, amplitudes: Float[np.ndarray, "places dim"]) -> Float[np.ndarray, "sites dim_out"]:
        """What the network makes of some amplitudes: scaled ones, those of another domain, or some of the blocks."""
        with torch.no_grad():
            return self.network(self.graph, torch.from_numpy(self.missing.field(amplitudes))).numpy()

    def only(self, block: str) -> Float[np.ndarray, "places dim"]:
        """The learned amplitudes of one block, all others zero."""
        assert self.learned is not None
        found = np.zeros(self.learned.amplitudes.size)
        for one in self.missing.blocks:
            if one.name == block:
                found[one.where] = self.learned.amplitudes.ravel()[one.where]
        return found.reshape(self.missing.shape)

    def results(self) -> dict[str, Any]:
        """Everything as plain numbers: for a record."""
        symmetry, irreps = self.missing.symmetry, self.network.config.order
        found = {
            "order": symmetry.order,
            "kept": self.missing.kept.order,
            "dimensions": self.missing.dimensions(),
            "forbidden_max": self.gradient.forbidden_max,
            "gradient": {block.name: asdict(block) for block in self.gradient.blocks},
            "irreps": self.gradient.parts,
            "plateau": self.plateau,
            "loss": self.loss,
        }
        if self.learned is None:
            return found
        field = self.missing.field(self.learned.amplitudes)
        shape = field / np.abs(field).max()  # weights decide how long it is, so tolerances are on its shape
        keeping = symmetry.keeping(shape, irreps)
        mean = keeping.average(self.learned.target, self.network.config.output)
        return found | {
            "symmetric_loss": self.learned.symmetric_loss,
            "score": {block.name: asdict(block) for block in self.learned.gradient.blocks},
            "path": [asdict(point) for point in self.learned.path],
            "chosen": self.learned.chosen,
            "amplitudes": dict(zip(self.missing.modulation.names, self.learned.amplitudes.tolist(), strict=True)),
            "kept_by_order": keeping.order,
            "plateau_of_order": float(np.square(mean - self.learned.target).mean()),
            "domains": len(symmetry.domains(shape, irreps)),
            "variants_error": self._variants_error(field),
            "deviation": float(np.abs(self.learned.output - self.learned.target).mean()),
        }

    def _variants_error(self, field: np.ndarray) -> float:
        """How far f(x, g v) is from g f(x, v), over at most 32 operations."""
        symmetry, config = self.missing.symmetry, self.network.config
        some = slice(None, None, max(1, symmetry.order // 32))
        with torch.no_grad():
            inputs = symmetry.images(field, config.order)[some]
            outputs = [self.network(self.graph, torch.from_numpy(one)).numpy() for one in inputs]
            output = self.network(self.graph, torch.from_numpy(field)).numpy()
        return float(np.abs(np.stack(outputs) - symmetry.images(output, config.output)[some]).max())


def network_order_parameter(
    atoms: Atoms,
    target: Float[np.ndarray, "sites dim_out"],
    symmetry: SiteSymmetry,
    modulation: Modulation | None = None,
    *,
    network: Mapping[str, Any] | None = None,
    learn: LearnConfig | None = None,
    weights: Mapping[str, Float[np.ndarray, " order"]] | None = None,
    tolerance: float = 1e-6,
) -> NetworkOrderParameter:
    """Name and learn what an equivariant network lacks to send sites of high symmetry to a target (displacements).

    `symmetry` are the operations that keep `atoms`; those that keep the target too are found from it, within
    `tolerance`. Inputs stand at every site, or as `modulation` says. `network` overrides settings of the
    `EuclideanNetworkConfig`, whose cutoff is else 1.75 times the shortest distance; `weights` name the group's irreps,
    see `missing_inputs`. Raises `ValueError` where `symmetry` and `atoms`, or the sites of the inputs, do not fit.
    """
    modulation = modulation or Modulation.on(len(atoms), range(len(atoms)))
    apart = atoms.get_all_distances(mic=True)[~np.eye(len(atoms), dtype=bool)]
    near = 1.75 * float(min([*apart, *atoms.cell.lengths()[atoms.pbc]], default=1.0))
    given = {"type_names": tuple(dict.fromkeys(atoms.get_chemical_symbols())), "order": INPUTS, **(network or {})}
    cutoff = given.setdefault("r_max", near)
    graph = SkinList(cutoff).graph(atoms.numbers, atoms.positions, atoms.cell.array, atoms.pbc)
    given.setdefault("avg_num_neighbors", max(graph.num_edges / graph.num_atoms, 1.0))
    model = EuclideanNetwork(EuclideanNetworkConfig(**given))
    output = model.config.output
    missing = missing_inputs(
        symmetry, symmetry.keeping(target, output, tolerance), model.config.order, modulation, weights=weights
    )
    gradient, least = missing_gradient(model, graph, target, missing), plateau(symmetry, target, output)
    learned, learn = None, learn or LearnConfig()
    if any(missing.dimensions().values()):
        learned = learn_order_parameter(model, graph, target, missing, learn)
        loss = learned.loss
    else:
        loss = fit_network(model, graph, target, steps=learn.symmetric_steps)
    return NetworkOrderParameter(model, graph, missing, gradient, least, loss, learned)
