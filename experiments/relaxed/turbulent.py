"""Homogeneity, and isotropy by scale: relaxed weights as in the paper, and statistics of fields and of their laws."""

import numpy as np
import torch
from flows import carried, near_walls, plane_flow, random_fields, scale_dependent
from networks import fitted

from subduce.data import open_pairs
from subduce.discovery import Investigation, action_on, scales, where
from subduce.nn import spectrum


def flow_jobs(about):
    """Fields near walls and fields that are everywhere alike; random fields and flows, each with its control."""
    walls, bands, found = about["walls"], about["bands"], {}
    for field in ("walls", "even"):
        own = walls["data"] | {"field": field}
        found |= {
            f"{field}_weights_seed{seed}": own | {"model": walls["model"] | {"seed": seed}, "train": walls["train"]}
            for seed in walls["seeds"]
        }
        found[f"{field}_law"] = own | walls["law"]
    shifted = {"model": walls["model"] | {"seed": 0}, "train": walls["exact"], "shifted_too": True}
    found["walls_shifted_weights_seed0"] = walls["data"] | {"field": "walls"} | shifted
    for name, data in bands["fields"].items():
        found[f"{name}_scales"] = {"data": data, "edges": bands["edges"]}
    for name in bands["weights"]:
        for seed in bands["seeds"]:
            model = {"model": bands["model"] | {"seed": seed}, "train": bands["train"]}
            found[f"{name}_weights_seed{seed}"] = found[f"{name}_scales"] | model
    first, model = bands["weights"][0], {"model": bands["model"] | {"seed": 0}, "train": bands["train"]}
    found[f"{first}_turned_weights_seed0"] = found[f"{first}_scales"] | model | {"turned_too": True}
    return found


def flow(settings, _folder):
    """One run: by position or by scale, of relaxed weights or of the statistics."""
    if "field" in settings:
        return _weights_by_position(settings) if "model" in settings else _law_by_position(settings)
    return _weights_by_scale(settings) if "model" in settings else _laws_by_scale(settings)


def _weights_by_position(settings):
    """Relaxed weights on positions of a network that returns its input, and how they vary across the channel."""
    draw = np.random.default_rng(settings["model"]["seed"])
    velocity, _ = near_walls(draw, settings["count"], settings["size"], settings["field"] == "walls")
    if settings.get("shifted_too"):
        both = [(i, j) for i in range(settings["size"]) for j in range(settings["size"])]
        velocity = np.concatenate([np.roll(velocity[:1], steps, (2, 3)) for steps in both])
    model = settings["model"] | {"shape": [settings["size"]] * 2}
    network, loss = fitted(settings | {"model": model}, velocity, velocity)
    weights = torch.cat(list(network.relaxed_weights().values()))
    across = weights.mean(dim=1)  # [layer, y]
    half = settings["size"] // 2
    apart = (across - across[:, half - 1 : half + 1].mean(dim=1, keepdim=True)).abs().mean(dim=0)
    return {"by_y": apart.tolist(), "spread": float((weights.amax((1, 2)) - weights.amin((1, 2))).max()), "loss": loss}


def _law_by_position(settings):
    """The law by which a tracer spreads in a flow that is not seen, along x and y and by distance from the walls."""
    draw, size = np.random.default_rng(0), settings["size"]
    velocity, squares = near_walls(draw, settings["samples"], size, settings["field"] == "walls")
    before, after = carried(draw, velocity, settings["time"])
    pairs = open_pairs({"input": before, "target": after}, no_channels=True)
    found = Investigation(pairs, action_on(pairs, "D4"))
    along = where(found)["translations"]
    curved = np.stack([sum(np.roll(before, s, a) for s in (-1, 1)) - 2 * before for a in (1, 2)])
    unit = (2 * np.pi / size) ** 2
    slopes = [
        np.linalg.lstsq(curved[..., y].reshape(2, -1).T / unit, (after - before)[..., y].reshape(-1), rcond=None)[0]
        for y in range(size)
    ]
    true = settings["time"] ** 2 / 2 * squares
    return {
        "kept": found.results()["preserved"]["name"],
        "lack_of_fit": found.fits[1],
        "translations": along,
        "spreading": np.transpose(slopes).tolist(),
        "true_spreading": true.tolist(),
    }


def fields_of(data):
    """Pairs of fields (scalars before and after; without a law, after is None), and how they turn."""
    draw = np.random.default_rng(1)
    if "anisotropy" in data:
        spectrum_of = scale_dependent(data["anisotropy"], data["below"])
        return random_fields(draw, data["count"], data["size"], spectrum_of), None
    start = random_fields(draw, data["count"], data["size"], lambda k: _ring(k, data["waves"]))
    timing = {key: data[key] for key in ("step", "viscosity", "drift")}
    old, _, _ = plane_flow(data["speed"] * start, 2, round(data["spin"] / data["step"]), **timing)
    spins, _, _ = plane_flow(old[:, 1], 2, data["every"], **timing)
    return spins[:, 0], spins[:, 1]


def _ring(k, waves):
    square = (k**2).sum(axis=0)
    return square**2 * np.exp(-square / waves**2)


def _laws_by_scale(settings):
    """What the statistics say, band by band, of the fields and, where there is one, of their law."""
    before, after = fields_of(settings["data"])
    arrays = {"input": before[:, None]} | ({} if after is None else {"target": after[:, None]})
    channels = "field=0e" if after is None else "vorticity=0o"
    pairs = open_pairs(arrays, distribution=after is None, channels=channels)
    rows = scales(Investigation(pairs, action_on(pairs, "D4")), tuple(settings["edges"]))
    return {"kept": rows[-1]["distribution"]["preserved"]["name"], "bands": [_brief(row) for row in rows]}


def _brief(row):
    fields = [irrep for irrep in row["distribution"]["irreps"] if irrep["moment"] == 2]
    brief = {
        "fields": {i["irrep"]: [i["effect"], *i["interval"]] for i in fields},
        "fields_broken": [i["irrep"] for i in row["distribution"]["irreps"] if i["verdict"] == "broken"],
    }
    if "irreps" not in row:
        return brief
    law = {i["irrep"]: [i["energy_fraction"], *(i["interval"] or (0, 0))] for i in row["irreps"]}
    broken = [i["irrep"] for i in row["irreps"] if i["verdict"] == "broken"]
    return brief | {"law": law, "law_broken": broken, "law_kept": row["preserved"]["name"]}


def _weights_by_scale(settings):
    """The part that is not trivial of the relaxed weights of a network for each band, which returns its input."""
    before, _ = fields_of(settings["data"])
    parts, spread = [], 0.0
    for low, high in zip(settings["edges"], (*settings["edges"][1:], np.inf), strict=True):
        band = _passed(before, low, high)[: settings["train"]["fields"], None]
        if settings.get("turned_too"):
            band = np.concatenate([np.rot90(band[::4], n, (2, 3)) for n in range(4)])
        network, _ = fitted(settings, band, band)
        weights = torch.cat(list(network.relaxed_weights().values()))
        power = spectrum(weights, network.group)
        first, *others = power.values()
        parts.append((sum(others) / first) ** 0.5)
        spread = max(spread, float((weights - weights[:, :1]).abs().max()))
    return {"parts": parts, "spread": spread}


def _passed(fields, low, high):
    """Fields of unit variance that hold the waves of one band."""
    turns = np.fft.fftfreq(fields.shape[-1], 1 / fields.shape[-1])
    length = np.hypot(turns[:, None], turns[None])
    band = np.fft.ifft2(np.fft.fft2(fields) * ((length >= low) & (length < high))).real
    return band / band.std()
