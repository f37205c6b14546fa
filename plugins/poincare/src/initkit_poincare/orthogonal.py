"""Random isometries: half an orthogonal matrix."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar

from annotated_types import Gt

from initkit_poincare.identity import POINCARE_RESNET
from initkit_poincare.layers import Layer
from initkit_poincare.recipe import GyroplaneRecipe
from initkit_poincare.rules import Kernel, Rule, isometry


@dataclass(frozen=True)
class Orthogonal(GyroplaneRecipe):
    """Random isometries of the ball: half a random orthogonal matrix in each hyperbolic layer.

    As ``poincare/identity`` with a random orthogonal Q in place of the unit matrix, so that units start apart:
    ½ Q (n = m, exact for every curvature and point), ½ [Q 0] (n < m, exact), ½ √(n/m) Q (n > m, keeps the mean radius
    of isotropic points to first order; far from the origin it overshoots, there ``poincare/calibrated`` measures).

    Args:
        kernel: of convolutions, see ``poincare/identity``.
        gain: 1 keeps the radius; √2 makes up, near the origin, for a ReLU before the layer, which halves squares.

    Source: our extension of van Spengler, Berkhout, Mettes, Poincaré ResNet, ICCV 2023 (arXiv 2303.14027).
    """

    bibtex: ClassVar[str] = POINCARE_RESNET

    kernel: Kernel = "dirac"
    gain: Annotated[float, Gt(0)] = 1.0

    def rule(self, layer: Layer) -> Rule:
        """½ of an orthogonal matrix, by shape."""
        return isometry(layer, self.kernel, mixed=True, gain=self.gain)
