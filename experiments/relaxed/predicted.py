"""Networks that predict flows: plain, equivariant and relaxed ones of one size, finer fields and later frames."""

import copy
import hashlib
import io
import json

import numpy as np
import torch
from flows import plane_flow, random_fields, turbulence
from networks import weights_of

from subduce.config import build
from subduce.data import open_pairs
from subduce.discovery import action_on, discover
from subduce.models import RelaxedCNN, RelaxedCNNConfig
from subduce.nn import GroupProjection
from subduce.records import write_whole


def superresolution_jobs(about):
    """A training for each flow, class of networks and seed."""
    return {
        f"{flow}_{kind}_seed{seed}": _job(about, kind, seed)
        | {"flow": about["simulation"] | about["flows"][flow], "noise": about["noise"]}
        for flow in about["flows"] for kind in about["kinds"] for seed in about["seeds"]
    }  # fmt: skip


def smoke_jobs(about):
    """A training for each class of networks and seed, and what the statistics say of two laws."""
    found = {
        f"{kind}_seed{seed}": _job(about, kind, seed) | {"flow": about["simulation"]}
        for kind in about["kinds"] for seed in about["seeds"]
    }  # fmt: skip
    return found | {f"{law}_discovery": about["discovery"] | {"law": law} for law in about["laws"]}


def _job(about, kind, seed):
    own = about["kinds"][kind]
    return {
        "model": about["model"] | own["model"] | {"seed": seed},
        "train": about["train"] | own["train"],
    }


def superresolution(settings, folder):
    """Errors of finer fields in runs of the flow that no training has seen.

    Of the rates at which relaxed weights learn, relative to those of kernels, the best on `valid` counts.
    """
    sets = kept(folder / "data", settings["flow"], _snapshots)
    size = np.sqrt(np.mean(sets["train"] ** 2))
    sets = {name: torch.tensor(fields / size, dtype=torch.float32) for name, fields in sets.items()}
    draw = torch.Generator().manual_seed(0)
    seen = {name: coarse(fields) for name, fields in sets.items()}
    seen = {name: field + settings["noise"] * torch.randn(field.shape, generator=draw) for name, field in seen.items()}
    rest = {name: cells(fields - interpolated(seen[name])) for name, fields in sets.items()}
    unit = rest["train"].std()
    pairs = {name: (seen[name], missing / unit) for name, missing in rest.items()}
    trials = {}
    for rate in settings["train"].get("relaxed_rates", [1.0]):
        trials[rate] = _trained(finer(settings["model"]), pairs, settings["train"] | {"relaxed_rate": rate})
    found = min(trials.values(), key=lambda trial: trial["errors"]["valid"]["mae"])
    tried = {str(rate): {name: trial["errors"][name]["mae"] for name in pairs} for rate, trial in trials.items()}
    return found | {"tried": tried, "interpolation": float(pairs["test"][1].abs().mean()), "size": float(size)}


def finer(model):
    """A network from velocities of cells [batch, 3, x, y, z] to those of their eight points [batch, 24, x, y, z]."""
    network = RelaxedCNN(build(RelaxedCNNConfig, model, source="config.yaml"))
    group, draw = network.group, torch.Generator().manual_seed(network.config.seed + 1000)
    points = np.einsum("gab,gpq->gapbq", group.matrices, corner_action(group)).reshape(group.order, 24, 24)
    network.head = GroupProjection(group, network.config.num_features, points, generator=draw)
    return network


def _snapshots(flow):
    """Velocities by set, [sample, 3, x, y, z], each set from runs of its own."""
    simulation = {key: value for key, value in flow.items() if key not in ("train", "valid", "test")}
    found, first = {}, 0
    for name in ("train", "valid", "test"):
        runs = range(first, first := first + flow[name])
        found[name] = np.concatenate([turbulence(seed, **simulation) for seed in runs])
    return found


def coarse(fields):
    """Means over cells of two points along each axis."""
    return torch.nn.functional.avg_pool3d(fields, 2)


def interpolated(fields):
    """Twice as many points along each axis, linearly between the cells' centres."""
    wide = torch.nn.functional.pad(fields, (1,) * 6, mode="circular")
    return torch.nn.functional.interpolate(wide, scale_factor=2, mode="trilinear")[..., 2:-2, 2:-2, 2:-2]


def cells(fields):
    """[sample, 3, 2x, 2y, 2z] as channels of the cells: component by component the eight points of a cell."""
    n = fields.shape[-1] // 2
    apart = fields.reshape(len(fields), 3, n, 2, n, 2, n, 2).permute(0, 1, 3, 5, 7, 2, 4, 6)
    return apart.reshape(len(fields), 24, n, n, n)


def corner_action(group):
    """How a group permutes the eight points of a cell, [order, 8, 8]."""
    places = np.stack(np.meshgrid(*[(-1, 1)] * 3, indexing="ij")).reshape(3, 8)
    moved = np.rint(group.matrices).astype(int) @ places
    return (places[None, :, :, None] == moved[:, :, None, :]).all(axis=1).astype(float)


def smoke(settings, folder):
    """Errors of the next frame in runs with other plumes, and later in the runs of the training."""
    if "law" in settings:
        return _law_of_smoke(settings)
    flow = settings["flow"]
    frames = torch.tensor(kept(folder / "data", flow, _plumes)["frames"], dtype=torch.float32)
    seen, later = frames[: flow["train"], : flow["seen"]], frames[: flow["train"], flow["seen"] - 1 :]
    scale = torch.tensor([float(seen[:, :, :1].std()), *[float(seen[:, :, 1:].std())] * 2]).reshape(3, 1, 1)
    change = (seen[:, 1:] - seen[:, :-1]).reshape(-1, *seen.shape[2:])
    step = torch.tensor([float(change[:, :1].std()), *[float(change[:, 1:].std())] * 2]).reshape(3, 1, 1)

    def pairs(runs):
        return (runs[:, :-1] / scale).flatten(0, 1), ((runs[:, 1:] - runs[:, :-1]) / step).flatten(0, 1)

    rest = frames[flow["train"] :, : flow["seen"]]
    sets = {"train": seen, "valid": rest[: flow["valid"]], "test": rest[flow["valid"] :], "future": later}
    network = RelaxedCNN(build(RelaxedCNNConfig, settings["model"], source="config.yaml"))
    return _trained(network, {name: pairs(runs) for name, runs in sets.items()}, settings["train"])


def _plumes(flow):
    """Frames [run, frame, smoke and velocity, x, y] of plumes from the four sides; each side has its own buoyancy."""
    draw, size = np.random.default_rng(flow["seed"]), flow["size"]
    runs = flow["train"] + flow["valid"] + flow["test"]
    sides = np.arange(runs) % 4
    inwards = np.array([(1, 0), (0, 1), (-1, 0), (0, -1)])[sides]
    force = np.array(flow["buoyancy"])[sides][:, None] * inwards
    along, width = draw.uniform(-1.2, 1.2, runs), draw.uniform(0.35, 0.55, runs)
    places = np.pi - 1.8 * inwards + along[:, None] * inwards[:, ::-1]
    source = _blobs(size, places, width)
    start = random_fields(draw, runs, size, lambda k: (k**2).sum(axis=0) * np.exp(-(k**2).sum(axis=0) / 9.0))
    _, speed, density = plane_flow(
        flow["swirl"] * start, flow["frames"], flow["every"], step=flow["step"], viscosity=flow["viscosity"],
        smoke=source, source=0.6 * source, force=force,
    )  # fmt: skip
    return {"frames": np.concatenate([density[:, :, None], speed], axis=2)}


def _blobs(size, centres, widths):
    """One round blob in each run, in the periodic square."""
    axis = 2 * np.pi * np.arange(size) / size
    x, y = ((axis - centre[:, None] + np.pi) % (2 * np.pi) - np.pi for centre in centres.T)
    return np.exp(-(x[:, :, None] ** 2 + y[:, None, :] ** 2) / (2 * widths[:, None, None] ** 2))


def _law_of_smoke(settings):
    """What the statistics say of smoke that is carried by its flow, and of smoke that drives it along +y."""
    draw, size, runs = np.random.default_rng(1), settings["size"], settings["runs"]
    smooth = lambda k: (k**2).sum(axis=0) * np.exp(-(k**2).sum(axis=0) / settings["cut"] ** 2)  # noqa: E731
    start = settings["swirl"] * random_fields(draw, runs, size, smooth)
    density = random_fields(draw, runs, size, smooth)
    force = (0.0, settings["buoyancy"] if settings["law"] == "up" else 0.0)
    flow = {"step": settings["step"], "viscosity": settings["viscosity"], "smoke": density, "force": force}
    spins, _, density = plane_flow(start, 2, settings["every"], **flow)
    time = settings["every"] * settings["step"]
    change = (spins[:, 1] - spins[:, 0]) / time
    noisy = change + settings["noise"] * change.std() * draw.normal(size=change.shape)
    arrays = {"input": np.stack([density[:, 0], spins[:, 0]], axis=1), "target": noisy[:, None]}
    pairs = open_pairs(arrays, input_channels="smoke=0e,vorticity=0o", target_channels="vorticity=0o")
    found = discover(pairs, action_on(pairs, "D4"))
    irreps = {row["irrep"]: {key: row[key] for key in ("verdict", "p_value")} for row in found["irreps"]}
    return {
        "kept": found["preserved"]["name"], "irreps": irreps,
        "estimator": found["estimator"], "lack_of_fit": found["lack_of_fit"]["p_value"],
    }  # fmt: skip


def _trained(network, pairs, train):
    """Errors [mean of |error| and root mean square, targets' units] of the network that was best on `valid`."""
    free = [weight for name, weight in network.named_parameters() if name.endswith("relaxed_weight")]
    others = [weight for name, weight in network.named_parameters() if not name.endswith("relaxed_weight")]
    rate = train["learning_rate"]
    own = {"params": free, "lr": rate * train.get("relaxed_rate", 1.0)}
    optimiser = torch.optim.Adam([{"params": others}, own], lr=rate)
    steps = train["epochs"] * -(-len(pairs["train"][0]) // train["batch"])
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
    shuffle = torch.Generator().manual_seed(network.config.seed)
    best, state = float("inf"), {}
    for epoch in range(train["epochs"]):
        x, y = pairs["train"]
        for rows in torch.randperm(len(x), generator=shuffle).split(train["batch"]):
            optimiser.zero_grad()
            (network(x[rows]) - y[rows]).abs().mean().backward()
            optimiser.step()
            schedule.step()
        if epoch % 5 == 4 or epoch == train["epochs"] - 1:
            error = _errors(network, pairs["valid"])["mae"]
            if error < best:
                best, state = error, copy.deepcopy(network.state_dict())
    network.load_state_dict(state)
    found = {name: _errors(network, those) for name, those in pairs.items()}
    relaxed = network.config.relaxed == "elements"
    weights = {key: weights_of(network)[key] for key in ("spectrum", "spread")} if relaxed else {}
    return {"errors": found, "parameters": _count(network)} | weights


def _count(network):
    return sum(parameter.numel() for parameter in network.parameters() if parameter.requires_grad)


@torch.no_grad()
def _errors(network, pairs):
    apart = torch.cat([network(x) - y for x, y in zip(*(side.split(16) for side in pairs), strict=True)])
    return {"mae": float(apart.abs().mean()), "rmse": float((apart**2).mean().sqrt())}


def kept(folder, settings, make):
    """Arrays by name, from a file where these settings have been simulated before."""
    path = folder / f"{hashlib.sha256(json.dumps(settings).encode()).hexdigest()[:16]}.npz"
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        stream = io.BytesIO()
        np.savez(stream, **{name: array.astype(np.float32) for name, array in make(settings).items()})
        write_whole(path, stream.getvalue())
    with np.load(path) as stored:
        return {name: stored[name] for name in stored.files}
