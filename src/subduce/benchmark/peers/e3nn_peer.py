"""e3nn: the edge product as TensorProduct with gather and index_add, and spherical harmonics."""

import os

import e3nn
import numpy as np
import torch
from _serve import Refusal, serve
from e3nn import o3


def inputs(task, *names, gradient=False):
    with np.load(task["inputs"]) as file:
        return [torch.from_numpy(file[name]).requires_grad_(gradient) for name in names]


def prepare(task):
    if task["kind"] == "harmonics":
        return harmonics(task)
    if task["kind"] == "product":
        return product(task)
    raise Refusal("has no models")


def harmonics(task):
    (vectors,), degrees = inputs(task, "vectors", gradient=True), list(range(task["l_max"] + 1))

    def call():
        found = o3.spherical_harmonics(degrees, vectors, True, "component")
        return found, torch.autograd.grad(found.sum(), (vectors,))[0]

    def values():
        found, gradient = call()
        return {"harmonics": found[:20].flatten().tolist(), "gradient": gradient[:20].flatten().tolist()}

    return call, values, {"edges": task["vectors"]}


def product(task):
    irreps, edge = o3.Irreps(task["irreps"]), o3.Irreps.spherical_harmonics(task["l_edge"])
    outputs, instructions = [], []
    for i, (mul, ir_in) in enumerate(irreps):
        for j, (_, ir_edge) in enumerate(edge):
            for ir in ir_in * ir_edge:
                if ir in irreps:
                    instructions.append((i, j, len(outputs), "uvu", True))
                    outputs.append((mul, ir))
    tensor_product = o3.TensorProduct(irreps, edge, outputs, instructions, shared_weights=False, internal_weights=False)
    x, y, w = inputs(task, "x", "y", "w")
    sender, receiver = inputs(task, "sender", "receiver")
    # Channels run last in the file, and first in e3nn.
    parts = x.split([mul * ir.dim for mul, ir in irreps], dim=1)
    x = torch.cat([part.unflatten(1, (-1, mul)).mT.flatten(1) for part, (mul, _) in zip(parts, irreps)], 1)
    tensors = [tensor.contiguous().requires_grad_() for tensor in (x, y, w)]

    def forward():
        messages = tensor_product(tensors[0][sender], tensors[1], tensors[2])
        return messages.new_zeros(task["atoms"], messages.shape[1]).index_add(0, receiver, messages)

    def call():
        order = task["derivatives"]
        if order == 0:
            with torch.no_grad():
                return [forward()]
        result = forward()
        cotangent = result.detach().requires_grad_(order == 2)
        first = torch.autograd.grad(result, tensors, cotangent, create_graph=order == 2)
        if order == 1:
            return first
        return torch.autograd.grad(first, [*tensors, cotangent], [part.detach() for part in first])

    def values():
        found = call()
        if task["derivatives"]:
            return {"gradients": [part.norm().item() for part in found]}
        blocks = found[0].split([mul * ir.dim for mul, ir in tensor_product.irreps_out], dim=1)
        return {"paths": [block.norm().item() for block in blocks]}

    return call, values, {"edges": len(sender)}


if __name__ == "__main__":
    torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
    serve(prepare, f"e3nn {e3nn.__version__}, torch {torch.__version__}")
