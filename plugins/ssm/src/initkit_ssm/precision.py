"""Dynamics in full precision inside a model of half types."""

from __future__ import annotations

import torch
from torch import nn

from initkit.slots import slots_of
from initkit_ssm.auditing import LOW, dynamics
from initkit_ssm.layers import find_layers


def promote_fp32(model: nn.Module) -> list[str]:
    """Turn the dynamics of a model's recurrent layers to float32 where they are stored in bfloat16 or float16.

    Rounded to bfloat16, steps dt shift by up to 1.6 % and rates A by up to 0.8 %. Parameters stay the same objects;
    their gradients, which are of the other type, are dropped. Call it before a recipe is applied and before an
    optimizer is made; a later ``model.to(...)`` undoes it.

    Args:
        model: with recurrent layers that an adapter knows.

    Returns:
        Names of the tensors that were turned.
    """
    slots = slots_of(model)
    names = sorted({name for layer in find_layers(model, strict=False).layers for name in dynamics(layer)})
    turned = [name for name in names if slots[name].dtype in LOW and getattr(slots[name], "tensor", None) is not None]
    for name in turned:
        tensor: torch.Tensor = slots[name].tensor  # type: ignore[attr-defined]
        tensor.grad = None
        tensor.data = tensor.data.to(torch.float32)
    return turned
