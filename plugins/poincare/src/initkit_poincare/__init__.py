"""initkit's recipes for hyperbolic networks and embeddings."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from initkit_poincare.distortion import Distortion, measured
    from initkit_poincare.planning import largest_radius, largest_scale, scale_for
    from initkit_poincare.tree_embedding import embed_tree
    from initkit_poincare.trees import Tree

__version__ = "0.1.0"
__all__ = ["Distortion", "Tree", "embed_tree", "largest_radius", "largest_scale", "measured", "scale_for"]

_HOMES = {
    "Distortion": "initkit_poincare.distortion",
    "Tree": "initkit_poincare.trees",
    "embed_tree": "initkit_poincare.tree_embedding",
    "measured": "initkit_poincare.distortion",
}


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'initkit_poincare' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES.get(name, "initkit_poincare.planning")), name)
