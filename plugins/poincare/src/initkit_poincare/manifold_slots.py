"""Manifold parameters that wrap their tensor, as hypll's do, as slots. The library itself is not imported."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from initkit._names import joined, walk
from initkit.slots import Slot, TensorSlot


def inner(parameter: Any) -> torch.Tensor:
    """The tensor that holds a parameter's numbers: its ``.tensor`` where it wraps one, else itself."""
    found = getattr(parameter, "__dict__", {}).get("tensor")
    return found if isinstance(found, torch.Tensor) else parameter


def manifold_slots(model: Any) -> list[Slot] | None:
    """Return a slot for each parameter that wraps its tensor, or None where the model has none."""
    if not isinstance(model, nn.Module):
        return None
    found: dict[int, ManifoldSlot] = {}
    for _, prefix, module in walk(model):
        for attribute, parameter in module._parameters.items():
            if parameter is None or inner(parameter) is parameter:
                continue
            name = joined(prefix, attribute)
            known = found.get(id(parameter))
            if known is None:
                found[id(parameter)] = ManifoldSlot(name, module, attribute, inner(parameter))
            elif name != known.name:
                known.aliases = (*known.aliases, name)
    return list(found.values()) or None


class ManifoldSlot(TensorSlot):
    """The tensor inside a manifold parameter; the parameter, its manifold and its dimension stay."""

    @property
    def tensor(self) -> torch.Tensor:
        """The live tensor."""
        return inner(self._owner._parameters[self._attribute])
