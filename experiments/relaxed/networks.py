"""Networks of the experiment: how they are trained on one set, and what their relaxed weights say."""

import numpy as np
import torch

from subduce.config import build
from subduce.models import RelaxedCNN, RelaxedCNNConfig
from subduce.nn import equal_set, spectrum

CLOSE = 1e-8  # of the largest weight: what round-off may leave between weights that are equal


def fitted(settings, inputs, targets):
    """A network trained by Adam on mean squares, and its last loss."""
    train = settings["train"]
    network = RelaxedCNN(build(RelaxedCNNConfig, settings["model"], source="config.yaml"))
    optimiser = torch.optim.Adam(network.parameters(), lr=train["learning_rate"])
    schedule = torch.optim.lr_scheduler.ExponentialLR(optimiser, train.get("decay", 1.0))
    x, y = (torch.tensor(np.ascontiguousarray(array)) for array in (inputs, targets))
    network.warn_of_edges(x, y)
    shuffle, size = torch.Generator().manual_seed(settings["model"]["seed"]), train.get("batch") or len(x)
    for _ in range(train["epochs"]):
        order = torch.arange(len(x)) if size == len(x) else torch.randperm(len(x), generator=shuffle)
        for rows in order.split(size):
            optimiser.zero_grad()
            torch.nn.functional.mse_loss(network(x[rows]), y[rows]).backward()
            optimiser.step()
        schedule.step()
    with torch.no_grad():
        return network, float(torch.nn.functional.mse_loss(network(x), y))


def weights_of(network):
    """What the relaxed weights of all layers say, each layer a bank."""
    weights = torch.cat(list(network.relaxed_weights().values()))
    parts = {name: part**0.5 for name, part in spectrum(weights, network.group).items()}
    return {
        "elements": list(network.group.elements),
        "weights": weights.tolist(),
        "spread": float((weights - weights[:, :1]).abs().max()),
        "equal": list(equal_set(weights, network.group, tolerance=CLOSE)),
        "spectrum": {name: part / max(parts.values()) for name, part in parts.items()},
    }


def polar_direction(network):
    """The direction v of space that Σ_g w(g) R(g) maps onto, R the rotations and mirrors themselves; None if it is 0.

    What keeps the weights keeps v, which turns as the polar vector does: so it tells T1u from irreps like it without
    any label.
    """
    weights = torch.cat(list(network.relaxed_weights().values())).numpy()
    mapped = np.einsum("lg,gij->ilj", weights, network.group.matrices).reshape(3, -1)
    directions, sizes, _ = np.linalg.svd(mapped, full_matrices=False)
    if sizes[0] < CLOSE * np.abs(weights).max():
        return None
    return (directions[:, 0] * np.sign(directions[:, 0].sum())).tolist()
