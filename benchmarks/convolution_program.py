"""One of the programs that group_convolution.py measures: `plain`, `subduce`, or `escnn` in an environment of its own.

A call is a layer's forward and backward pass in training mode: derivatives of the input, the weights and the bias.
"""

import importlib
import os
import sys
import time

import torch
from _serve import serve

GROUPS = {"C4": 2, "D4": 2, "O": 3, "Oh": 3}
PADDED = {"zero": "zeros", "circular": "circular"}


def ours(task):
    """Our layer, its size, and the channels that come in."""
    layers, groups = importlib.import_module("subduce.nn"), importlib.import_module("subduce.groups")
    group, channels = groups.named_group(task["group"], GROUPS[task["group"]]), task["channels"]
    kind = layers.LiftingConvolution if task["layer"] == "lifting" else layers.GroupConvolution
    relaxed = "elements" if task["relaxed"] else "none"
    layer = kind(group, channels, channels, kernel_size=task["kernel_size"], padding=task["padding"], relaxed=relaxed)
    return layer, layer, channels * (1 if task["layer"] == "lifting" else group.order)


def plain(task):
    """The ordinary convolution with the filter of our layer, already expanded, as its weight."""
    group, _, incoming = ours(task)
    size = (task["kernel_size"],) * GROUPS[task["group"]]
    kind = {2: torch.nn.Conv2d, 3: torch.nn.Conv3d}[len(size)]
    layer = kind(
        incoming, group.group.order * task["channels"], size, padding=task["kernel_size"] // 2,
        padding_mode=PADDED[task["padding"]],
    )  # fmt: skip
    return layer, layer, incoming


def escnn(task):
    """The layer of escnn from the regular (lifting: the trivial) to the regular representation."""
    gspaces, layers = importlib.import_module("escnn.gspaces"), importlib.import_module("escnn.nn")
    space = {
        "C4": lambda: gspaces.rot2dOnR2(4),
        "D4": lambda: gspaces.flipRot2dOnR2(4),
        "O": gspaces.octaOnR3,
        "Oh": gspaces.fullOctaOnR3,
    }[task["group"]]()
    regular = layers.FieldType(space, task["channels"] * [space.regular_repr])
    trivial = layers.FieldType(space, task["channels"] * [space.trivial_repr])
    incoming = trivial if task["layer"] == "lifting" else regular
    kind = {2: layers.R2Conv, 3: layers.R3Conv}[GROUPS[task["group"]]]
    layer = kind(
        incoming, regular, kernel_size=task["kernel_size"], padding=task["kernel_size"] // 2,
        padding_mode=PADDED[task["padding"]],
    )  # fmt: skip
    return layer, lambda x: layer(layers.GeometricTensor(x, incoming)).tensor, incoming.size


def prepare(task):
    """What is timed: derivatives with a fixed slope of the output."""
    torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
    generator = torch.Generator().manual_seed(0)
    layer, call, incoming = {"ours": ours, "plain": plain, "escnn": escnn}[task["program"]](task)
    layer.train()
    size = (task["points"],) * GROUPS[task["group"]]
    field = torch.randn(task["batch"], incoming, *size, generator=generator).requires_grad_()
    weights = [weight for weight in layer.parameters() if weight.requires_grad]
    with torch.no_grad():
        slope = torch.randn(call(field).shape, generator=generator)

    def once():
        return torch.autograd.grad(call(field), [field, *weights], slope)

    facts = {"weights": sum(weight.numel() for weight in weights), "out": list(slope.shape), "torch": torch.__version__}
    return once, dict, facts


if __name__ == "__main__":
    name, package = sys.argv[1:]
    serve(
        lambda task: prepare({**task, "program": name}),
        importlib.import_module(package).__version__,
        time.process_time if os.environ["OMP_NUM_THREADS"] == "1" else time.perf_counter,
    )
