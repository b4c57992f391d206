"""One run: gradients at zero, the best without inputs, the order parameter learned, and what it makes of the sites."""

import numpy as np
import setups
import torch

from subduce.discovery import (
    LearnConfig,
    fit_network,
    learn_order_parameter,
    missing_gradient,
    missing_inputs,
    plateau,
)
from subduce.models import EuclideanNetwork, EuclideanNetworkConfig

SETUPS = {
    "square": setups.points,
    "perovskite": setups.tilted,
    "tilts": setups.tilt_system,
    "batio3": setups.polar,
}


def jobs(part, about, quick):
    """The settings of every run of a part."""
    shared = {name: about[name] for name in ("model", "learn")}
    if quick:
        shared["learn"] = {**shared["learn"], "penalties": [0.0], "symmetric_steps": 5, "weight_steps": 5}
    names = about.get("quick", list(about["runs"])) if quick else list(about["runs"])
    return {name: {**shared, **about["runs"][name], "part": part} for name in names}


def solved(settings):
    """What is found, as plain numbers."""
    given = SETUPS[settings["part"]](*settings["setup"])
    config = EuclideanNetworkConfig(**{**settings["model"], **settings.get("model_of_run", {})})
    network, graph = EuclideanNetwork(config), given.graph(config.r_max)
    kept = given.symmetry.keeping(given.target, config.output)
    found = {
        "order": given.symmetry.order,
        "kept": kept.order,
        "plateau": plateau(given.symmetry, given.target, config.output),
        "displacement": float(np.abs(given.target).mean()),
    }
    if "order_given" in settings:  # by hand, the same at every site
        order = np.zeros((len(given.target), network.order.dim))
        order[:, :] = by_name(network.order, settings["order_given"])
        return found | {"loss": fit_network(network, graph, given.target, order=order, steps=settings["steps"])}
    missing = missing_inputs(given.symmetry, kept, config.order, given.modulation, weights=given.weights)
    found["dimensions"] = missing.dimensions()
    found["gradient"] = gradient_of(network, graph, given, missing)
    if not any(found["dimensions"].values()):
        return found | {"loss": fit_network(network, graph, given.target, steps=settings["learn"]["symmetric_steps"])}
    learned = learn_order_parameter(network, graph, given.target, missing, LearnConfig(**settings["learn"]))
    return found | outcome(learned, network, graph, given, missing)


def gradient_of(network, graph, given, missing):
    """The gradient at zero by block, and by irrep where these have names."""
    found = missing_gradient(network, graph, given.target, missing)
    return {
        "forbidden_max": found.forbidden_max,
        "breaking": {block.name: block.breaking for block in found.blocks},
        "symmetric": {block.name: block.symmetric for block in found.blocks},
        "irreps": found.parts,
    }


def outcome(learned, network, graph, given, missing):
    """The learned order parameter, its symmetry and domains, and how the output follows it."""
    irreps, output = network.config.order, network.config.output
    field = missing.field(learned.amplitudes)
    shape = field / np.abs(field).max()  # weights decide how long it is, so tolerances are on its shape
    symmetry = given.symmetry.keeping(shape, irreps)
    found = {
        "loss": learned.loss,
        "symmetric_loss": learned.symmetric_loss,
        "path": [[point.penalty, point.loss, point.blocks] for point in learned.path],
        "chosen": learned.chosen,
        "amplitudes": dict(zip(given.modulation.names, learned.amplitudes.tolist(), strict=True)),
        "kept_by_order": symmetry.order,
        "plateau_of_order": float(np.square(symmetry.average(given.target, output) - given.target).mean()),
        "domains": len(given.symmetry.domains(shape, irreps)),
        "deviation": float(np.abs(learned.output - given.target).mean()),
    }
    some = slice(None, None, max(1, given.symmetry.order // 32))
    with torch.no_grad():
        variants = given.symmetry.images(field, irreps)[some]
        outputs = np.stack([network(graph, torch.from_numpy(one)) for one in variants])
        halves = [network(graph, torch.from_numpy(scale * field)).numpy() for scale in (0.0, 0.5, 1.0)]
    found["variants_error"] = float(np.abs(outputs - given.symmetry.images(learned.output, output)[some]).max())
    if given.atoms.pbc.all():
        found["space_groups"] = [given.space_group(displacements) for displacements in (*halves, given.target)]
        found["intermediate"] = {
            block.name: given.space_group(output_of(network, graph, missing, only(block, learned.amplitudes)))
            for block in missing.blocks
            if learned.amplitudes.ravel()[block.where].any()
        }
    return found


def only(block, amplitudes):
    """What of some amplitudes is in one block."""
    found = np.zeros(amplitudes.size)
    found[block.where] = amplitudes.ravel()[block.where]
    return found.reshape(amplitudes.shape)


def output_of(network, graph, missing, amplitudes):
    """What the network makes of some amplitudes."""
    with torch.no_grad():
        return network(graph, torch.from_numpy(missing.field(amplitudes))).numpy()


def by_name(irreps, components):
    """A vector of irreps with some components set: {"2e": [...]}."""
    vector = np.zeros(irreps.dim)
    for (_, irrep), place in zip(irreps, irreps.slices(), strict=True):
        vector[place] = components.get(str(irrep), 0.0)
    return vector
