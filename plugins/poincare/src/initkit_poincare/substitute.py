"""Running a module with other tensors, without writing to it."""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import nn


def substituted(module: nn.Module, values: dict[str, Any]) -> nn.Module:
    """A copy of a module that shares everything but some tensors or submodules.

    Args:
        module: left as it is.
        values: by path within the module; a tensor takes the place of a parameter (wrapped as the parameter is), a
            module that of a submodule.
    """
    made = copy.copy(module)
    made.__dict__ = dict(module.__dict__)
    made._parameters, made._modules = dict(module._parameters), dict(module._modules)
    inner: dict[str, dict[str, Any]] = {}
    for path, value in values.items():
        head, _, rest = path.partition(".")
        if rest:
            inner.setdefault(head, {})[rest] = value
        elif isinstance(value, nn.Module):
            made._modules[head] = value
        else:
            made._parameters[head] = _wrapped(module._parameters[head], value)
    for head, below in inner.items():
        child = module._modules[head]
        assert child is not None
        made._modules[head] = substituted(child, below)
    return made


def _wrapped(parameter: Any, value: torch.Tensor) -> Any:
    held = getattr(parameter, "__dict__", {})
    if "tensor" in held:
        return type(parameter)(value, parameter.manifold, parameter.man_dim)
    made = nn.Parameter(value, requires_grad=False)
    if "manifold" in held:
        made.manifold = parameter.manifold  # type: ignore[attr-defined]
    return made
