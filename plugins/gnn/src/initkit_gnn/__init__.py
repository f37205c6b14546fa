"""initkit's recipes for graph neural networks."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from initkit_gnn.graph import Graph
    from initkit_gnn.layers import Description, Layer, Matrix, linear, register
    from initkit_gnn.residual_aggregation import mixed_aggregation
    from initkit_gnn.rfp import propagate_features
    from initkit_gnn.stability import DrawVariance, draw_variance
    from initkit_gnn.streaming import StreamedGraph
    from initkit_gnn.transforms import RandomFeaturePropagation, RandomNodeFeatures
    from initkit_gnn.wl import WLCheck, wl_check
    from initkit_gnn.wrapping import WithRandomFeatures

__version__ = "0.1.0"
__all__ = [
    "Description",
    "DrawVariance",
    "Graph",
    "Layer",
    "Matrix",
    "RandomFeaturePropagation",
    "RandomNodeFeatures",
    "StreamedGraph",
    "WLCheck",
    "WithRandomFeatures",
    "draw_variance",
    "linear",
    "mixed_aggregation",
    "propagate_features",
    "register",
    "wl_check",
]

_HOMES = {
    "DrawVariance": "initkit_gnn.stability",
    "Graph": "initkit_gnn.graph",
    "RandomFeaturePropagation": "initkit_gnn.transforms",
    "RandomNodeFeatures": "initkit_gnn.transforms",
    "StreamedGraph": "initkit_gnn.streaming",
    "WLCheck": "initkit_gnn.wl",
    "WithRandomFeatures": "initkit_gnn.wrapping",
    "draw_variance": "initkit_gnn.stability",
    "mixed_aggregation": "initkit_gnn.residual_aggregation",
    "propagate_features": "initkit_gnn.rfp",
    "wl_check": "initkit_gnn.wl",
}


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'initkit_gnn' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES.get(name, "initkit_gnn.layers")), name)
