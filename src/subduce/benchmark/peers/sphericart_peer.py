"""sphericart: spherical harmonics, with its own derivatives."""

import math
import os
from importlib.metadata import version

import numpy as np
import torch
from _serve import Refusal, serve
from sphericart.torch import SphericalHarmonics


def prepare(task):
    if task["kind"] != "harmonics":
        raise Refusal("has spherical harmonics only")
    with np.load(task["inputs"]) as file:
        # It has z as polar axis, and (y, z, x) as order of degree 1: our x, y, z are its y, z, x.
        vectors = torch.from_numpy(file["vectors"])[:, [2, 0, 1]].contiguous().requires_grad_()
    harmonics = SphericalHarmonics(task["l_max"])

    def call():
        found = harmonics(vectors) if callable(harmonics) else harmonics.compute(vectors)
        return found, torch.autograd.grad(found.sum(), (vectors,))[0]

    def values():
        found, gradient = call()
        component = math.sqrt(4 * math.pi)  # its normalisation is `integral`
        return {
            "harmonics": (component * found[:20]).flatten().tolist(),
            "gradient": (component * gradient[:20][:, [1, 2, 0]]).flatten().tolist(),
        }

    return call, values, {"edges": task["vectors"]}


if __name__ == "__main__":
    torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
    serve(prepare, f"sphericart-torch {version('sphericart-torch')}, torch {torch.__version__}")
