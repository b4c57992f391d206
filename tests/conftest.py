"""What every test shares: reproducible random numbers, and shapes checked while tests run."""

import pytest
import torch
from hypothesis import HealthCheck, settings
from jaxtyping import config as jaxtyping_config
from jaxtyping import install_import_hook

CHECKED_PACKAGES = ["subduce.o3", "subduce.nn", "subduce.models"]
"""Packages whose jaxtyping signatures beartype checks at every call of a test run."""

collect_ignore = [
    "golden/from_nequip.py",  # runs in an environment that has nequip
    "unit/kernels/interpreted.py",  # run in processes of their own by test_triton.py
    "unit/kernels/compiled.py",
]

install_import_hook(CHECKED_PACKAGES, "beartype.beartype")

settings.register_profile(
    "subduce",
    derandomize=True,
    deadline=None,
    max_examples=25,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
settings.load_profile("subduce")


@pytest.fixture
def generator() -> torch.Generator:
    """A source of random numbers that starts the same way in every test."""
    return torch.Generator().manual_seed(0)


@pytest.fixture
def unchecked():
    """For tests of arguments of a wrong type: none is checked at run time, as outside of tests."""
    jaxtyping_config.update("jaxtyping_disable", True)
    yield
    jaxtyping_config.update("jaxtyping_disable", False)


@pytest.fixture
def compiling(unchecked):
    """For tests of `torch.compile`: nothing compiled before, and no shape checks in what is compiled."""
    torch._dynamo.reset()
    yield
    torch._dynamo.reset()
