"""The runs of a part: which there are, and what relaxed weights a network has after training on one set."""

import copy
import json
import multiprocessing
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
import torch
from networks import fitted, polar_direction, weights_of
from predicted import smoke, smoke_jobs, superresolution, superresolution_jobs
from targets import GRAVITY, crystals, images, kept_by, motion, windows
from turbulent import flow, flow_jobs

from subduce.data import open_pairs
from subduce.discovery import action_on, discover
from subduce.groups import admissible_irreps
from subduce.records import write_whole

V4 = {
    "name": "V4",
    "generators": {
        "P": {"input": [[-1, 0], [0, -1]], "target": [[-1]]},
        "T": {"input": [[1, 0], [0, -1]], "target": [[1]]},
    },
}


def merged(settings, changes):
    """Settings with nested changes."""
    result = copy.deepcopy(settings)
    for key, value in changes.items():
        result[key] = merged(result.get(key, {}), value) if isinstance(value, dict) else value
    return result


def jobs(part, about, quick=False):
    """Names and settings of a part's runs."""
    about = merged(about, about["quick"]) if quick else about
    return _PARTS[part][0](about)


def _squares(about):
    return {
        f"{group}_{target}_seed{seed}": {
            "model": about["model"] | {"group": group, "seed": seed}, "train": about["train"], "target": target,
        }
        for group in about["groups"] for target in about["targets"] for seed in about["seeds"]
    }  # fmt: skip


def _crystals(about):
    return {
        f"{target}_seed{seed}": {
            "model": about["model"] | {"seed": seed}, "train": about["train"], "target": target, "size": about["size"],
        }
        for target in about["targets"] for seed in about["seeds"]
    }  # fmt: skip


def _pendulums(about):
    shared, found = {key: about[key] for key in ("frames", "window")}, {}
    for equation, dampings in about["damping"].items():
        for damping in dampings:
            name, system = f"{equation}_{damping}", {"equation": equation, "damping": damping}
            found[f"{name}_discovery"] = about["discovery"] | system
            for task in about["tasks"]:
                channels = {"input": "2x0e", "time_odd": [1]} if task == "law" else {"input": "1x0e"}
                for seed in about["seeds"]:
                    job = {"model": about["model"] | channels | {"seed": seed}, "task": task} | system | shared
                    found[f"{name}_{task}_seed{seed}"] = job | {"train": about["train"]}
                    if damping == 0:
                        found[f"{name}_{task}_exact_seed{seed}"] = job | {"train": about["exact"], "reversed_too": True}
                    if damping == 0 and equation in about["whole"]:
                        whole = {"train": about["train"], "frames": about["whole"][equation]}
                        found[f"{name}_{task}_whole_seed{seed}"] = job | whole
    return found


def run_all(part, wanted, output, workers=1, say=print):
    """Results by name, those that exist from their files; with many workers each computes on one thread."""
    tasks = [(part, name, settings, output) for name, settings in wanted.items()]
    if workers == 1:
        return _collected(wanted, (one_run(*task) for task in tasks), part, say)
    with ProcessPoolExecutor(workers, multiprocessing.get_context("spawn"), torch.set_num_threads, (1,)) as pool:
        try:
            return _collected(wanted, pool.map(one_run, *zip(*tasks, strict=True)), part, say)
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _collected(wanted, results, part, say):
    found = {}
    for name, result in zip(wanted, results, strict=True):
        found[name] = result
        what = f"spread of weights {result['spread']:.3g}" if "spread" in result else f"keeps {result.get('kept')}"
        what = f"error {result['errors']['test']['mae']:.3g}" if "errors" in result else what
        say(f"{part:8} {name:32} {what}")
    return found


def one_run(part, name, settings, output):
    """The result of a run, taken from its file where that exists and was made with these settings."""
    path = Path(output) / f"{part}_{name}.json"
    if path.exists():
        found = json.loads(path.read_text())
        if found["settings"] == settings:
            return found
    started = time.perf_counter()
    found = _PARTS[part][1](settings, Path(output))
    found |= {"seconds": time.perf_counter() - started, "settings": settings}
    write_whole(path, json.dumps(found, indent=1) + "\n")
    return found


def _pair(settings, _folder):
    """One pair of fields: what weights may come from it is known from the elements that keep both."""
    source, target = (
        crystals(settings["target"], settings["size"]) if "size" in settings else images(settings["target"])
    )
    network, loss = fitted(settings, source[None], target[None])
    kept = kept_by(network.group, source, target)
    allowed = [network.group.irreps[0].name, *(irrep.name for irrep in admissible_irreps(network.group, kept))]
    found = weights_of(network) | {"loss": loss, "kept": list(kept.elements), "allowed": allowed}
    return found | ({"direction": polar_direction(network)} if source.ndim == 4 else {})


def _pendulum(settings, _folder):
    """One trajectory in windows, or many for the statistics."""
    if "trajectories" in settings:
        return _discovered(settings)
    names = ("task", "equation", "damping", "frames", "window")
    pairs = windows(*(settings[name] for name in names), settings.get("reversed_too", False))
    network, loss = fitted(settings, *pairs)
    return weights_of(network) | {"loss": loss}


def _discovered(settings):
    """What the statistics say of the same law: trajectories from chance starts, accelerations with noise."""
    draw, times = np.random.default_rng(0), 0.01 * np.arange(settings["frames"])
    scale = np.array([1, GRAVITY**0.5, GRAVITY])
    reach = settings["reach"]  # radians, and of the velocity that a linear pendulum has with that amplitude
    starts = draw.uniform(-reach, reach, (settings["trajectories"], 2)) * scale[:2]
    paths = np.stack(
        [motion(settings["equation"], settings["damping"], times, start).T / scale for start in starts]
    )  # [trajectory, time, 3]
    states = paths.reshape(-1, 3)
    noisy = states[:, 2:] + settings["noise"] * draw.normal(size=(len(states), 1))
    pairs = open_pairs({"input": states[:, :2], "target": noisy}, units=f"block:{len(times)}")
    found = discover(pairs, action_on(pairs, V4))
    irreps = {row["irrep"]: {key: row[key] for key in ("verdict", "p_value")} for row in found["irreps"]}
    return {"kept": found["preserved"]["name"], "irreps": irreps}


_PARTS = {  # which runs there are, and what each does
    "square": (_squares, _pair),
    "batio3": (_crystals, _pair),
    "pendulum": (_pendulums, _pendulum),
    "flow": (flow_jobs, flow),
    "superresolution": (superresolution_jobs, superresolution),
    "smoke": (smoke_jobs, smoke),
}
