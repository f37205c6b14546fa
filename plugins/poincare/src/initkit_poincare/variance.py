"""Independent normal weights of the right variance."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated, ClassVar

from annotated_types import Gt

from initkit import Normal
from initkit_poincare.hnnpp import HNNPP
from initkit_poincare.layers import Layer
from initkit_poincare.recipe import GyroplaneRecipe
from initkit_poincare.rules import Rule


@dataclass(frozen=True)
class Variance(GyroplaneRecipe):
    """Normal weights of variance 1/(4·out) in hyperbolic layers: the radius is kept on average.

    Near the origin a layer computes y ≈ 2xZ, so that E‖y‖² = 4 m σ²‖x‖²: σ = 1/(2√m) keeps it. Products of independent
    normal matrices still lose length with depth where layers are narrow; ``poincare/orthogonal`` does not.

    Args:
        gain: 1 keeps the radius; √2 makes up, near the origin, for a ReLU before the layer, which halves squares.

    Source: our rule, for the layers of Shimizu, Mukuta, Harada, Hyperbolic Neural Networks++, ICLR 2021
    (arXiv 2006.08210).
    """

    bibtex: ClassVar[str] = HNNPP

    gain: Annotated[float, Gt(0)] = 1.0

    def rule(self, layer: Layer) -> Rule:
        """N(0, gain²/(4m))."""
        std = 0.5 * self.gain / math.sqrt(layer.m)
        kept = "1 keeps ‖y‖²" if self.gain == 1 else f"gain² = {self.gain**2:.4g}"
        return Rule(Normal(std), f"std = gain/(2√out) = {std:.4g}: 4·out·std² = {kept}, out {layer.m}")
