"""The layer plan as the user says it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Annotated, Any, TypeAlias

import torch
from annotated_types import Len
from torch import Tensor, nn

from initkit import OptionError
from initkit_inr.activations import parse, recognise
from initkit_inr.structure import Layer, Source

Said: TypeAlias = str | Annotated[tuple[str, ...], Len(1)] | Callable[..., Any] | None
"""What a recipe's option ``activation`` may be."""


def as_said(layers: list[Layer], activation: Said) -> list[Layer]:
    """The layers with the activations that the user says.

    Raises:
        OptionError: there are not as many as layers, or a function is not elementwise.
    """
    inner = [layer for layer in layers if not layer.last]
    if isinstance(activation, str):
        each = [parse(activation)] * len(inner)
    elif isinstance(activation, tuple):
        each = [parse(one) for one in activation]
        if len(each) not in (len(inner), len(layers)):
            raise OptionError(
                f"activation lists {len(each)}; the model has {len(layers)} linear layers, {len(inner)} before the "
                f"read-out: {', '.join(layer.label for layer in layers)}"
            )
    else:
        assert activation is not None
        each = [recognise(_elementwise(activation))[0]] * len(inner)
    given = inner if len(each) == len(inner) else layers
    by_index = {layer.index: one for layer, one in zip(given, each, strict=True)}
    found = []
    for layer in layers:
        one = by_index.get(layer.index)
        sources = layer.sources
        if one is not None and one.placement == "input":
            sources = tuple(replace(source, scale=one.omega) for source in sources)
        found.append(replace(layer, activation=one, sources=sources))
    return found


def _elementwise(fn: Callable[..., Any]) -> Callable[[Tensor], Tensor]:
    probe = torch.linspace(-1, 1, 6, dtype=torch.float64)
    value = fn(probe)
    if not isinstance(value, Tensor) or value.shape != probe.shape:
        shape = tuple(value.shape) if isinstance(value, Tensor) else type(value).__name__
        raise OptionError(f"activation: the function is not elementwise: it makes {shape} of shape (6,)")
    return fn


def registered(model: nn.Module) -> list[Layer]:
    """The ``nn.Linear`` modules of a model as a chain, in the order they are registered in."""
    linears = [(name, module) for name, module in model.named_modules() if isinstance(module, nn.Linear)]
    found = []
    for i, (name, module) in enumerate(linears):
        prefix = f"{name}." if name else ""
        found.append(
            Layer(
                i,
                name,
                f"{prefix}weight",
                f"{prefix}bias" if module.bias is not None else None,
                module.in_features,
                module.out_features,
                module.weight.dtype,
                None,
                (Source(i - 1 if i else None, module.in_features),),
                i == len(linears) - 1,
            )
        )
    return found
