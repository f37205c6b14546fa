"""Call a user's model, or one layer, with a graph: which argument takes what."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from torch_geometric.nn import Sequential

from initkit import NeedError

_WHOLE = ("data", "graph", "batch_data", "g")


def call_model(model: nn.Module, data: Any) -> Any:
    """Call ``model`` with a PyG ``Data``, as :func:`arguments_of` says."""
    args, kwargs = arguments_of(model, data)
    return model(*args, **kwargs)


def arguments_of(model: nn.Module, data: Any) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Return what ``model`` is to be called with: a PyG ``Data`` whole, or by the names of its arguments.

    ``forward(data)`` gets the object; otherwise each argument gets the attribute of its name (``x``,
    ``edge_index``, ``edge_weight``, ``batch``...), the first two ``x`` and ``edge_index`` whatever their names.

    Raises:
        NeedError: a required argument has no counterpart in the graph.
    """
    asked = _asked(model)
    required = [name for name, optional in asked if not optional]
    if len(required) == 1 and _takes_whole(model, required[0]):
        return (data,), {}
    arguments: dict[str, Any] = {}
    for i, (name, optional) in enumerate(asked):
        value = getattr(data, name, None)
        if value is None and i < 2 and not optional:
            value = (data.x, data.edge_index)[i]
        if value is not None:
            arguments[name] = value
        elif not optional:
            raise NeedError(
                f"graph: {type(model).__name__}.forward asks for {name!r}, which the graph does not have; "
                f"give a PyG Data with the attribute {name!r}"
            )
    return (), arguments


def _asked(model: nn.Module) -> list[tuple[str, bool]]:
    """The arguments of the model's forward, and whether each may be left out."""
    if isinstance(model, Sequential):  # its forward takes *args; the names are in its signature
        return [(name, False) for name in model.signature.param_dict]
    parameters = inspect.signature(model.forward).parameters.values()
    return [
        (p.name, p.default is not p.empty) for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)
    ]


def _takes_whole(model: nn.Module, name: str) -> bool:
    if isinstance(model, Sequential):
        return name in _WHOLE
    note = inspect.signature(model.forward).parameters[name].annotation
    words = note if isinstance(note, str) else getattr(note, "__name__", "")
    return name in _WHOLE or words.rpartition(".")[2] in ("Data", "Batch")


def call_layer(
    forward: Callable[..., Any], x: torch.Tensor, edge_index: torch.Tensor, weight: torch.Tensor | None
) -> torch.Tensor:
    """Call a message-passing layer's forward on node features, with edge weights where it takes them."""
    arguments = {}
    if weight is not None and "edge_weight" in inspect.signature(forward).parameters:
        arguments["edge_weight"] = weight
    found = forward(x, edge_index, **arguments)
    out: torch.Tensor = found[0] if isinstance(found, tuple) else found
    return out
