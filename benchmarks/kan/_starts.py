"""The starts that are compared, by label, and how their spread is written down."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
from torch import nn

import initkit

STARTS: dict[str, initkit.Recipe] = {
    "default": initkit.recipe("kan/default"),
    "baseline": initkit.recipe("kan/default", scheme="baseline"),
    "lecun": initkit.recipe("kan/lecun"),
    "glorot": initkit.recipe("kan/glorot"),
    "glorot_fine": initkit.recipe("kan/glorot_fine"),
    "power": initkit.recipe("kan/power"),
    "iso": initkit.recipe("kan/iso"),
    "iso 0.1": initkit.recipe("kan/iso", share=0.1),
}


def start(model: nn.Module, recipe: initkit.Recipe, seed: int) -> nn.Module:
    """Set every layer; a remark on depth is no news here."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        initkit.apply(model, recipe, seed=seed)
    return model


def spread(values: Sequence[float], digits: int = 4) -> dict[str, Any]:
    """Geometric mean, smallest and largest of numbers from 0 on; None where one is not finite."""
    found = np.asarray(values, float)
    if not np.isfinite(found).all():
        return {"middle": None, "low": None, "high": None}
    with np.errstate(divide="ignore"):
        middle = float(np.exp(np.log(found).mean()))
    return {
        key: float(f"{value:.{digits}g}")
        for key, value in (("middle", middle), ("low", float(found.min())), ("high", float(found.max())))
    }
