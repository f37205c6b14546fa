"""A model's modules without its numbers, as they were before anything was spread over processes."""

from __future__ import annotations

import contextlib
import copy
import functools
from collections import OrderedDict
from collections.abc import Iterator
from typing import Any

import torch
from torch import nn

from initkit.ranks.find import fsdp_modules, is_spread, plain_kind

_HOOKS = ("_forward_pre_hooks", "_forward_hooks", "_backward_pre_hooks", "_backward_hooks")


def structural_copy(model: nn.Module) -> nn.Module:
    """A copy of the modules, for looking at how a model runs; writing to it is not allowed.

    A model in one piece shares its tensors with the copy. Of one that is spread over processes the copy has whole
    tensors on the meta device, buffers too, so that it runs on meta tensors alone, without any other process; classes
    and hooks of FSDP and tensor parallelism are gone.

    Args:
        model: as a recipe gets it.
    """
    tensors = [*model.parameters(), *model.buffers()]
    if not is_spread(model):
        return copy.deepcopy(model, {id(tensor): tensor for tensor in tensors})
    memo: dict[int, Any] = {id(tensor): _hollow(tensor) for tensor in tensors}
    for module in model.modules():
        for name, value in vars(module).items():
            if name in _HOOKS:
                memo[id(value)] = OrderedDict((key, hook) for key, hook in value.items() if not _is_torchs(hook))
            elif name.startswith("__composable_api") or _is_torchs(value):
                memo[id(value)] = None
    with _plain_classes(model):
        return copy.deepcopy(model, memo)


def _hollow(tensor: torch.Tensor) -> torch.Tensor:
    made = torch.empty(tensor.shape, dtype=tensor.dtype, device="meta")
    return nn.Parameter(made, requires_grad=tensor.requires_grad) if isinstance(tensor, nn.Parameter) else made


def _is_torchs(value: Any) -> bool:
    """Whether it is an object or a function of torch.distributed."""
    while isinstance(value, functools.partial):
        value = value.func
    value = getattr(value, "__self__", value)
    home = getattr(value, "__module__", None) if callable(value) else None
    return str(home or type(value).__module__).startswith("torch.distributed")


@contextlib.contextmanager
def _plain_classes(model: nn.Module) -> Iterator[None]:
    """FSDP's classes refuse to be copied."""
    before = [(module, type(module)) for module in fsdp_modules(model)]
    try:
        for module, kind in before:
            module.__class__ = plain_kind(kind)
        yield
    finally:
        for module, kind in before:
            module.__class__ = kind
