"""Call a user's model, or one layer, with a graph: which argument takes what."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import torch
from initkit import NeedError
from torch import nn

_WHOLE = ("data", "graph", "batch_data", "g")


def call_model(model: nn.Module, data: Any) -> Any:
    """Call ``model`` with a PyG ``Data``: whole, or by the names of its arguments.

    ``forward(data)`` gets the object; otherwise each argument gets the attribute of its name (``x``,
    ``edge_index``, ``edge_weight``, ``batch``...), the first two ``x`` and ``edge_index`` whatever their names.

    Raises:
        NeedError: a required argument has no counterpart in the graph.
    """
    parameters = [p for p in inspect.signature(model.forward).parameters.values() if _takes_position(p)]
    if len([p for p in parameters if p.default is p.empty]) == 1 and _takes_whole(parameters[0]):
        return model(data)
    arguments: dict[str, Any] = {}
    for i, parameter in enumerate(parameters):
        value = getattr(data, parameter.name, None)
        if value is None and i < 2 and parameter.default is parameter.empty:
            value = (data.x, data.edge_index)[i]
        if value is not None:
            arguments[parameter.name] = value
        elif parameter.default is parameter.empty:
            raise NeedError(
                f"graph: {type(model).__name__}.forward asks for {parameter.name!r}, which the graph does not have; "
                f"give a PyG Data with the attribute {parameter.name!r}"
            )
    return model(**arguments)


def call_layer(
    layer: nn.Module, x: torch.Tensor, edge_index: torch.Tensor, weight: torch.Tensor | None
) -> torch.Tensor:
    """Call one message-passing layer on node features, with edge weights where it takes them; return its output."""
    return call_with(layer.forward, x, edge_index, weight)


def call_with(
    forward: Callable[..., Any], x: torch.Tensor, edge_index: torch.Tensor, weight: torch.Tensor | None
) -> torch.Tensor:
    """As :func:`call_layer`, for its forward function."""
    arguments = {}
    if weight is not None and "edge_weight" in inspect.signature(forward).parameters:
        arguments["edge_weight"] = weight
    found = forward(x, edge_index, **arguments)
    return found[0] if isinstance(found, tuple) else found


def _takes_position(parameter: inspect.Parameter) -> bool:
    return parameter.kind in (parameter.POSITIONAL_ONLY, parameter.POSITIONAL_OR_KEYWORD)


def _takes_whole(parameter: inspect.Parameter) -> bool:
    note = parameter.annotation
    words = note if isinstance(note, str) else getattr(note, "__name__", "")
    return parameter.name in _WHOLE or words.rpartition(".")[2] in ("Data", "Batch")
