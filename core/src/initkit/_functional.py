"""Calls of a model with other tensors in place of its own."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import nn
from torch.func import functional_call

from initkit._names import joined


def call_with(model: nn.Module, tensors: Mapping[str, torch.Tensor], *args: Any, **kwargs: Any) -> Any:
    """Call a model with other tensors; the model is as it was afterwards.

    As ``torch.func.functional_call``, which leaves the given tensors in a module that bears two names.

    Args:
        model: whose forward is called.
        tensors: by any name that the parameter or buffer bears; a shared one is replaced wherever it stands.
        args: of the forward.
        kwargs: of the forward.
    """
    wanted = {id(tensor): tensors[name] for name, tensor in _registered(model, once=False) if name in tensors}
    # Each module once, and its own tensors.
    state = {name: wanted[id(tensor)] for name, tensor in _registered(model, once=True) if id(tensor) in wanted}
    return functional_call(model, state, args, kwargs, tie_weights=False)


def _registered(model: nn.Module, once: bool) -> Iterator[tuple[str, torch.Tensor]]:
    """Names and tensors of a model's modules, each module by one name or by all of them."""
    for prefix, module in model.named_modules(remove_duplicate=once):
        for name, tensor in (*module._parameters.items(), *module._buffers.items()):
            if tensor is not None:
                yield joined(prefix, name), tensor
