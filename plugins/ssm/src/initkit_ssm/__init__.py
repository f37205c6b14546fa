"""initkit's recipes for state space models and linear recurrences."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from initkit_ssm.auditing import Audit, audit
    from initkit_ssm.hippo import Spectrum, legs_eigenvectors, spectrum
    from initkit_ssm.layers import Adapter, Found, Layer, Site, Steps, Stored, find_layers, register
    from initkit_ssm.precision import promote_fp32
    from initkit_ssm.watching import Watched, watch

__version__ = "0.1.0"
__all__ = [
    "Adapter",
    "Audit",
    "Found",
    "Layer",
    "Site",
    "Spectrum",
    "Steps",
    "Stored",
    "Watched",
    "audit",
    "find_layers",
    "legs_eigenvectors",
    "promote_fp32",
    "register",
    "spectrum",
    "watch",
]

_HOMES = {
    "Audit": "initkit_ssm.auditing",
    "Spectrum": "initkit_ssm.hippo",
    "Watched": "initkit_ssm.watching",
    "audit": "initkit_ssm.auditing",
    "legs_eigenvectors": "initkit_ssm.hippo",
    "promote_fp32": "initkit_ssm.precision",
    "spectrum": "initkit_ssm.hippo",
    "watch": "initkit_ssm.watching",
}


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'initkit_ssm' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES.get(name, "initkit_ssm.layers")), name)
