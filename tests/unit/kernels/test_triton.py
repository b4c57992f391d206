"""The GPU backend without a GPU: its results in Triton's interpreter, and that its kernels compile for real devices.

On a device it keeps the contract of all backends: `tests/contracts/test_kernels.py` with `-m gpu`.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

linux = pytest.mark.skipif(sys.platform != "linux", reason="Triton is made for Linux")


def run(script, **environment):
    """What a script beside this one prints as JSON, in a process of its own."""
    names = {name: value for name, value in os.environ.items() if name != "TRITON_INTERPRET"}
    found = subprocess.run(
        [sys.executable, Path(__file__).with_name(script)],
        env={**names, "OMP_NUM_THREADS": "1", **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert found.returncode == 0, found.stderr
    return json.loads(found.stdout)


@linux
def test_its_results_in_the_interpreter():
    """One test, so that one process is enough: what is checked is in `interpreted.py`."""
    found = run("interpreted.py", TRITON_INTERPRET="1")
    assert "every_coupling_to_degree_four" in found
    assert not any(found.values()), "\n".join(f"{name}: {error}" for name, error in found.items() if error)


@linux
def test_kernels_compile_for_devices_and_keep_their_numbers_in_registers(tmp_path):
    """The interpreter takes more than the compiler does. Nothing here runs what was compiled."""
    found = run("compiled.py", TRITON_CACHE_DIR=str(tmp_path))
    assert {name.partition(",")[0] for name in found} == {"sm_80", "sm_90"}
    assert not {name: spilled for name, spilled in found.items() if spilled > 16}  # two numbers, once: no harm


def test_importing_kernels_does_not_import_triton():
    code = "import sys, subduce.kernels as k; k.available(); k.bind; print('triton' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "False\n"
