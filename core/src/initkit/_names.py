"""Qualified names without the prefixes that wrappers add."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

_WRAPPER_ATTRIBUTES = ("_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module")
_PARALLEL = (nn.DataParallel, nn.parallel.DistributedDataParallel)


def unwrapped(model: Any) -> Any:
    """The model inside its outer wrappers: DDP, torch.compile, FSDP, activation checkpointing."""
    while isinstance(model, nn.Module):
        inner = _wrapped_attribute(model)
        if inner is None:
            break
        model = model._modules[inner]
    return model


def walk(model: nn.Module) -> list[tuple[str, str, nn.Module]]:
    """Every module, depth first: name as torch has it, name without wrappers' parts, the module."""
    found: list[tuple[str, str, nn.Module]] = []

    def visit(module: nn.Module, raw: str, clean: str, above: frozenset[int]) -> None:
        if id(module) in above:
            return
        found.append((raw, clean, module))
        wrapped = _wrapped_attribute(module)
        for name, child in module._modules.items():
            if child is None:
                continue
            below = clean if name == wrapped else joined(clean, name)
            visit(child, joined(raw, name), below, above | {id(module)})

    visit(model, "", "", frozenset())
    return found


def without_wrappers(path: str) -> str:
    """A dotted path without the parts that wrappers add below the top."""
    return ".".join(part for part in path.split(".") if part not in _WRAPPER_ATTRIBUTES)


def joined(prefix: str, name: str) -> str:
    """``prefix.name``, or ``name`` at the top."""
    return f"{prefix}.{name}" if prefix else name


def _wrapped_attribute(module: nn.Module) -> str | None:
    if isinstance(module, _PARALLEL):
        return "module"
    if isinstance(module, torch.jit.ScriptModule):  # its parts are no Python objects
        return None
    return next((name for name in _WRAPPER_ATTRIBUTES if isinstance(module._modules.get(name), nn.Module)), None)
