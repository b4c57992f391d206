"""The compiled code: where it is, what its functions and structures are, and how threads share a call.

The C code is in `csrc/` and knows neither Python nor torch: it takes addresses in structures, which are declared here
as `csrc/kernels.c` has them, field by field.
"""

import ctypes
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import cache
from itertools import pairwise
from pathlib import Path

import torch
from torch import Tensor

from ..config import InputError


def _structure(name: str, **fields: str) -> type[ctypes.Structure]:
    """A structure's fields by type, as `pointer="a b"`, in order; a type may come again with a line below its name."""
    types = {"pointer": ctypes.c_void_p, "int64": ctypes.c_int64, "int32": ctypes.c_int32, "double": ctypes.c_double}
    listed = [(field, types[kind.rstrip("_")]) for kind, fields_of in fields.items() for field in fields_of.split()]
    return type(name, (ctypes.Structure,), {"_fields_": listed})


Problem = _structure(
    "Problem",
    pointer="paths index coefficients",
    int64="num_paths most_pairs num_receivers x_width y_width w_width g_width",
    pointer_="first last sender g x y w x2 y2 w2 sum dx dy dw row",
    int64_="in_order",
    pointer__="table r dr",
)
Spline = _structure(
    "Spline",
    pointer="r coefficients a",
    double="spacing",
    int64="intervals functions",
    int32="order",
    pointer_="values dots sums",
    int64_="lengths",
)
Block = _structure("Block", int32="start_in start_out components channels_in channels_out add", int64="weights width")
Linear = _structure(
    "Linear",
    pointer="blocks",
    int64="num_blocks x_width out_width species_width",
    pointer_="species weights x out order first",
    int64_="num_species",
)
GateBlock = _structure("GateBlock", int32="start gate start_out components channels function", double="scale")
Gate = _structure("Gate", pointer="blocks", int64="num_blocks x_width out_width", pointer_="x out dx along change")
NormBlock = _structure("NormBlock", int32="start components channels start_weight start_bias reserved", double="share")
Norm = _structure(
    "Norm",
    pointer="blocks",
    int64="num_blocks width num_weights num_biases joint",
    double="eps",
    pointer_="x weights bias out dx along weights_along bias_along change dw db",
    int64_="together",
)
Embed = _structure("Embed", pointer="species rows out", int64="width")
Energies = _structure("Energies", pointer="species shifts scales output energies slopes")
Term = _structure("Term", int32="start to axis reserved", double="factor")
Harmonics = _structure("Harmonics", pointer="terms", int64="num_terms width", pointer_="vectors g along y dv")
Geometry = _structure(
    "Geometry",
    pointer="first other leaving_first leaving positions translations",
    double="cutoff",
    pointer_="terms",
    int64="num_terms y_width",
    pointer__="last sender pair vectors pulls u r y dy dr forces virials",
)
Step = _structure("Step", int64="kind", pointer="task")


@cache
def library() -> ctypes.CDLL | None:
    """The compiled code; None where the package was installed without a compiler.

    Raises `InputError` where the environment asks for instructions or a library that there are not.
    """
    named = os.environ.get("SUBDUCE_KERNELS")
    for file in [Path(named)] if named else sorted(Path(__file__).parent.glob("_cpu_kernels*.so")):
        try:
            code = ctypes.CDLL(str(file))
        except OSError as problem:
            if named:
                raise InputError(f"SUBDUCE_KERNELS={named}: cannot be loaded ({problem})") from None
            continue  # of another machine
        _declare(code)
        _choose(code, os.environ.get("SUBDUCE_INSTRUCTIONS"))
        return code
    return None


def _declare(code: ctypes.CDLL) -> None:
    flag, number, pointer = ctypes.c_int, ctypes.c_int64, ctypes.c_void_p
    code.subduce_edge_product.argtypes = (ctypes.POINTER(Problem), flag, flag, number, number)
    code.subduce_spline.argtypes = (ctypes.POINTER(Spline), flag, number, number)
    code.subduce_linear.argtypes = (ctypes.POINTER(Linear), flag, flag, number, number)
    code.subduce_run.argtypes = (pointer, number, flag, pointer, number, number, number, pointer)
    code.subduce_harmonics.argtypes = (ctypes.POINTER(Harmonics), flag, number, number)
    code.subduce_gate.argtypes = (ctypes.POINTER(Gate), flag, number, number)
    code.subduce_norm.argtypes = (ctypes.POINTER(Norm), flag, number, number)
    code.subduce_harmonics.restype = code.subduce_spline.restype = code.subduce_linear.restype = None
    code.subduce_gate.restype = code.subduce_norm.restype = None
    code.subduce_instructions.restype = code.subduce_supported.restype = ctypes.c_char_p
    code.subduce_use.argtypes = (ctypes.c_char_p,)


def _choose(code: ctypes.CDLL, name: str | None) -> None:
    """Have C use the instructions of this name, or, without one, the best that this machine has."""
    if not code.subduce_use(name.encode() if name else None):
        there_are = ", ".join(iter_instructions(code))
        raise InputError(f"SUBDUCE_INSTRUCTIONS={name}: not on this machine, which has {there_are}")


def iter_instructions(code: ctypes.CDLL) -> Iterator[str]:
    """Names of the instructions that the code was compiled for and this machine has, from the plainest on."""
    which = 0
    while (name := code.subduce_supported(which)) is not None:
        yield name.decode()
        which += 1


def cpu_instructions() -> str | None:
    """Which instructions the compiled code uses on this machine; None where there is no compiled code."""
    code = library()
    return code.subduce_instructions().decode() if code else None


_set_aside = [0]  # for all threads, since torch may run a backward pass in another one


@contextmanager
def reference_only() -> Iterator[None]:
    """Within, every operator of this package is computed by the reference, whatever backend it was bound to.

    For comparisons, of a whole process: derivatives are to be taken within it too, and no other thread should compute.
    """
    _set_aside[0] += 1
    try:
        yield
    finally:
        _set_aside[0] -= 1


def is_reference_only() -> bool:
    """Whether this is within `reference_only`."""
    return _set_aside[0] > 0


def fits(x: Tensor) -> bool:
    """Whether there is compiled code for numbers like these."""
    known = x.device.type == "cpu" and x.dtype in (torch.float32, torch.float64)
    return known and not is_reference_only() and library() is not None


def share(name: str, problem: ctypes.Structure, flags: tuple[bool, ...], cuts: list[int]) -> None:
    """Have C do each range between two cuts, each in a thread of its own; ctypes lets go of Python's lock."""
    function = getattr(library(), name)

    def work(begin: int, end: int) -> int | None:
        return function(problem, *flags, begin, end)

    *others, own = pairwise(cuts)
    waiting = [pool(len(others)).submit(work, *part) for part in others]
    if any([work(*own), *(one.result() for one in waiting)]):
        raise MemoryError("no memory to work in")


@cache
def pool(threads: int) -> ThreadPoolExecutor:
    """Threads for shares of the work, besides the caller's own."""
    return ThreadPoolExecutor(threads, thread_name_prefix="subduce")


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=pool.cache_clear)  # a child has none of its parent's threads


def check_rows(name: str, index: Tensor, num_rows: int) -> None:
    """Raise `IndexError` where an index points beyond the rows that there are: C trusts what it is given."""
    if index.numel():
        low, high = index.aminmax()
        if low < 0 or high >= num_rows:
            raise IndexError(
                f"{name} is out of range: it holds {int(low)} to {int(high)}, and there are {num_rows} rows, 0 to "
                f"{num_rows - 1}"
            )
