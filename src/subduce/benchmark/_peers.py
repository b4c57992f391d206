"""Other programs: where they are, and how they are started."""

import importlib.util
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from ._measure import Program, memory_gb

HERE = Path(__file__).parent
PACKAGES = {
    "e3nn": "e3nn",
    "nequip": "nequip",
    "mace": "mace",
    "sevenn": "sevenn",
    "nequix": "nequix",
    "cuequivariance": "cuequivariance_torch",
    "sphericart": "sphericart.torch",
}
"""The module that each peer is known by."""


@dataclass(frozen=True)
class Installed:
    """A peer's Python, and the folder of what was made for it beforehand, if there is one."""

    python: Path
    made: Path | None


def find_peers(folder: Path | None) -> dict[str, Installed]:
    """Peers with an environment `folder/NAME`, and those that are installed beside us."""
    found = {}
    for name, package in PACKAGES.items():
        python = folder / name / "bin" / "python" if folder else None
        if python and python.exists():
            found[name] = Installed(python.absolute(), python.parent.parent.absolute() / "made")
        elif _importable(package):
            found[name] = Installed(Path(sys.executable), None)
    return found


def start_peer(name: str, installed: Mapping[str, Installed], threads: int) -> Program:
    """The peer's program, asleep until it is asked."""
    command = [str(installed[name].python), str(HERE / "peers" / f"{name}_peer.py")]
    return Program(command, threads=threads, path=str(HERE))


def start_ours(threads: int, *, limited: bool = False) -> Program:
    """Our own; where it is limited, to 24 GiB or to nine tenths of what there is, and to five minutes."""
    limits = {"limit_mb": 1024 * min(24.0, 0.9 * (memory_gb() or 24.0)), "limit_s": 300.0} if limited else {}
    path = os.pathsep.join(filter(None, [str(HERE.parent.parent), os.environ.get("PYTHONPATH")]))
    command = [sys.executable, "-m", "subduce.benchmark._ours"]
    return Program(command, threads=threads, path=path, **limits)


def _importable(package: str) -> bool:
    try:
        return importlib.util.find_spec(package) is not None
    except ModuleNotFoundError:
        return False
