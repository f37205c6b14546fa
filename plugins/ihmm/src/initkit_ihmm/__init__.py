"""initkit's recipes for hidden Markov models, and a beam sampler for infinite ones."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from initkit_ihmm.labels import LabelInit

__version__ = "0.1.0"

_HOMES = {
    "LabelInit": "initkit_ihmm.labels",
}
__all__ = ["LabelInit"]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'initkit_ihmm' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)
