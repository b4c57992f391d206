"""One run: what the network lacks, what it learns in its place, and which space groups come out."""

import json
import time
from pathlib import Path

import numpy as np
import setups

from subduce.discovery import LearnConfig, fit_network, network_order_parameter, plateau
from subduce.models import EuclideanNetwork, EuclideanNetworkConfig
from subduce.records import write_whole

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
    names = about["quick"] if quick else list(about["runs"])
    return {name: {**shared, **about["runs"][name], "part": part} for name in names}


def one_run(output, part, name, settings):
    """The result of a run, taken from its file where that exists and was made with these settings."""
    path = Path(output) / f"{part}_{name}.json"
    if path.exists():
        found = json.loads(path.read_text())
        if found["settings"] == settings:
            return found
    started = time.perf_counter()
    found = solved(settings)
    found |= {"seconds": time.perf_counter() - started, "settings": settings}
    write_whole(path, json.dumps(found, indent=1) + "\n")
    return found


def solved(settings):
    """What is found, as plain numbers."""
    given = SETUPS[settings["part"]](*settings["setup"])
    model = {**settings["model"], **settings.get("model_of_run", {})}
    if "order_given" in settings:
        return with_order(given, model, settings)
    found = network_order_parameter(
        given.atoms,
        given.target,
        given.symmetry,
        given.modulation,
        network=model,
        learn=LearnConfig(**settings["learn"]),
        weights=given.weights,
    )
    results = found.results() | {"displacement": float(np.abs(given.target).mean())}
    if found.learned is not None and given.atoms.pbc.all():
        moved = [found.output(scale * found.learned.amplitudes) for scale in (0.0, 0.5, 1.0)]
        results["space_groups"] = [given.space_group(displacements) for displacements in (*moved, given.target)]
        names = [block.name for block in found.missing.blocks if found.only(block.name).any()]
        results["intermediate"] = {name: given.space_group(found.output(found.only(name))) for name in names}
    return results


def with_order(given, model, settings):
    """An order parameter by hand, the same at every site: the weights alone learn."""
    network = EuclideanNetwork(EuclideanNetworkConfig(**model))
    order = np.zeros((len(given.target), network.order.dim))
    for (_, irrep), place in zip(network.order, network.order.slices(), strict=True):
        order[:, place] = settings["order_given"].get(str(irrep), 0.0)
    graph = given.graph(network.config.r_max)
    loss = fit_network(network, graph, given.target, order=order, steps=settings["steps"])
    return {"plateau": plateau(given.symmetry, given.target, model["output"]), "loss": loss}
