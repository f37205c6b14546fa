"""initkit's recipes for state space models and linear recurrences."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from initkit_ssm.layers import Adapter, Found, Layer, Site, Steps, Stored, find_layers, register

__version__ = "0.1.0"
__all__ = ["Adapter", "Found", "Layer", "Site", "Steps", "Stored", "find_layers", "register"]

_HOMES: dict[str, str] = {}


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'initkit_ssm' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES.get(name, "initkit_ssm.layers")), name)
