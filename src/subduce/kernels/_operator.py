"""Operators of torch from plain functions, which load torch's compiler only where something is compiled.

`torch.library.custom_op` imports it, in more than a second, at the first call of any operator.
"""

import sys
from collections.abc import Callable
from functools import wraps
from typing import Any

import torch

_LIBRARY = torch.library.Library("subduce", "FRAGMENT")


class Operator:
    """An operator `subduce::NAME` that mutates nothing; its result must share no memory with what it is given."""

    def __init__(self, name: str, function: Callable) -> None:
        self._name = f"subduce::{name}"
        _LIBRARY.define(name + torch.library.infer_schema(function, mutates_args=()))
        _LIBRARY.impl(name, _opaque(function), "CompositeExplicitAutograd")
        self._overload = getattr(torch.ops.subduce, name).default

    def __call__(self, *arguments: Any) -> Any:
        """What the function gives, with its derivative."""
        return self._overload(*arguments)

    def register_fake(self, function: Callable) -> Callable:
        """How large the result is, for tensors without numbers."""
        torch.library.register_fake(self._name, function, lib=_LIBRARY)
        return function

    def register_autograd(self, backward: Callable, *, setup_context: Callable) -> None:
        """The derivative."""
        torch.library.register_autograd(self._name, backward, setup_context=setup_context, lib=_LIBRARY)


def operator(name: str) -> Callable[[Callable], Operator]:
    """Make a function with annotated arguments the operator `subduce::NAME`."""
    return lambda function: Operator(name, function)


def _opaque(function: Callable) -> Callable:
    """The function, into which torch's compiler does not look when compiled code calls it."""
    hidden: list[Callable] = []

    @wraps(function)
    def call(*arguments: Any) -> Any:
        if "torch._dynamo" not in sys.modules:
            return function(*arguments)
        if not hidden:
            hidden.append(torch.compiler.disable(function))
        return hidden[0](*arguments)

    return call
