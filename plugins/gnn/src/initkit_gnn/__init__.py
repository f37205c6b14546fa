"""initkit's recipes for graph neural networks."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from initkit_gnn.graph import Graph
    from initkit_gnn.layers import Description, Layer, Matrix, linear, register
    from initkit_gnn.residual_aggregation import mixed_aggregation

__version__ = "0.1.0"
__all__ = ["Description", "Graph", "Layer", "Matrix", "linear", "mixed_aggregation", "register"]

_HOMES = {"Graph": "initkit_gnn.graph", "mixed_aggregation": "initkit_gnn.residual_aggregation"}


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'initkit_gnn' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES.get(name, "initkit_gnn.layers")), name)
