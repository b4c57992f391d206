"""Compiles kernels of the Triton backend to machine code, which takes no device: see `test_triton`.

Prints JSON: for each kernel, how many bytes a thread has in memory for want of registers.
"""

import json
import re
import subprocess
import tempfile
from pathlib import Path

import torch
import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

from subduce import kernels
from subduce.kernels import _triton, _triton_source

TOOLS = Path(triton.__file__).parent / "backends" / "nvidia" / "bin"


def compiled(shape, wanted, tangents, number, capability, channels=32, warps=1):
    kernel = _triton_source.kernel(shape, wanted, tangents)
    missing = {f"{slot}2" for slot in "xyw" if slot not in tangents}
    missing |= {f"into_{slot}" for slot in "gxyw" if slot not in wanted}
    missing |= {"g", "order"} if wanted == "g" else set()
    signature, constants = {}, {"EDGES": warps * 32 // channels or 1, "CHANNELS": channels, **dict.fromkeys(missing)}
    for name in kernel.arg_names:
        if name in constants:
            signature[name] = "constexpr"
        elif name in ("first", "order", "others"):
            signature[name] = "*i64"
        elif name == "table":
            signature[name] = "*i32"
        else:
            signature[name] = f"*{number}" if re.fullmatch("[xywg]2?|into_.", name) else "i32"
    source = ASTSource(kernel, signature, {(kernel.arg_names.index(name),): value for name, value in constants.items()})
    return triton.compile(source, GPUTarget("cuda", capability, 32), {"num_warps": warps}).asm["cubin"]


def bytes_in_memory(code):
    with tempfile.NamedTemporaryFile(suffix=".cubin") as file:
        file.write(code)
        file.flush()
        report = subprocess.run([TOOLS / "cuobjdump", "-res-usage", file.name], capture_output=True, text=True)
    return sum(int(size) for size in re.search(r"STACK:(\d+).*LOCAL:(\d+)", report.stdout).groups())


if __name__ == "__main__":
    both = "32x0e+32x0o+32x1o+32x1e+32x2e+32x2o"
    plan = kernels.channelwise_plan(both, "0e+1o+2e", both)
    shape = max((group.shape for group in _triton._groups(plan, torch.device("cpu"))), key=lambda shape: shape.degree)
    found = {}
    for wanted, tangents in (("g", ""), ("yw", ""), ("g", "xyw"), ("xyw", "xyw")):
        found[f"sm_90, fp32, {wanted} along {tangents}"] = compiled(shape, wanted, tangents, "fp32", 90)
    for number, capability, channels, warps, wanted in (
        ("fp64", 90, 32, 1, "xyw"),
        ("fp32", 90, 64, 1, "xyw"),
        ("fp32", 80, 8, 4, "g"),
    ):
        name = f"sm_{capability}, {number}, {wanted}, {channels} channels, {warps} warps"
        found[name] = compiled(shape, wanted, "", number, capability, channels, warps)
    print(json.dumps({name: bytes_in_memory(code) for name, code in found.items()}))
