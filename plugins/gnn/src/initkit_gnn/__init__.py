"""initkit's recipes for graph neural networks."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from initkit_gnn.graph import Graph
    from initkit_gnn.layers import Description, Layer, Matrix, linear, register
    from initkit_gnn.residual_aggregation import mixed_aggregation
    from initkit_gnn.transforms import RandomFeaturePropagation, RandomNodeFeatures
    from initkit_gnn.wl import WLCheck, wl_check
    from initkit_gnn.wrapping import WithRandomFeatures

__version__ = "0.1.0"
__all__ = [
    "Description",
    "Graph",
    "Layer",
    "Matrix",
    "RandomFeaturePropagation",
    "RandomNodeFeatures",
    "WLCheck",
    "WithRandomFeatures",
    "linear",
    "mixed_aggregation",
    "register",
    "wl_check",
]

_HOMES = {
    "Graph": "initkit_gnn.graph",
    "RandomFeaturePropagation": "initkit_gnn.transforms",
    "RandomNodeFeatures": "initkit_gnn.transforms",
    "WLCheck": "initkit_gnn.wl",
    "WithRandomFeatures": "initkit_gnn.wrapping",
    "mixed_aggregation": "initkit_gnn.residual_aggregation",
    "wl_check": "initkit_gnn.wl",
}


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'initkit_gnn' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES.get(name, "initkit_gnn.layers")), name)
