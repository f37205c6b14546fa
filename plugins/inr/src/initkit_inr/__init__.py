"""initkit's recipes for implicit neural representations."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from initkit_inr.activations import Activation
    from initkit_inr.layers import Layer, LayerPlan, find_layers

__version__ = "0.1.0"

_HOMES = {
    "Activation": "initkit_inr.activations",
    "Layer": "initkit_inr.layers",
    "LayerPlan": "initkit_inr.layers",
    "find_layers": "initkit_inr.layers",
}
__all__ = ["Activation", "Layer", "LayerPlan", "find_layers"]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'initkit_inr' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)
