"""cuequivariance-torch: its kernels are for CUDA devices only, and it is not timed in what it falls back to."""

from importlib.metadata import version

import torch
from _serve import Refusal, serve


def prepare(task):
    raise Refusal("its kernels are for CUDA devices; on CPUs it has a fallback that it does not advise")


if __name__ == "__main__":
    serve(prepare, f"cuequivariance-torch {version('cuequivariance-torch')}, torch {torch.__version__}")
