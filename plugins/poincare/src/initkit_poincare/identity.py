"""The identity: half a unit matrix."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from initkit_poincare.layers import Layer
from initkit_poincare.recipe import GyroplaneRecipe
from initkit_poincare.rules import Kernel, Rule, isometry

POINCARE_RESNET = """@inproceedings{spengler2023poincare,
  title = {Poincar{\\'e} {ResNet}},
  author = {van Spengler, Max and Berkhout, Erwin and Mettes, Pascal},
  booktitle = {International Conference on Computer Vision},
  year = {2023},
  eprint = {2303.14027},
  archivePrefix = {arXiv}
}"""


@dataclass(frozen=True)
class Identity(GyroplaneRecipe):
    """Hyperbolic layers that start as the identity: half a unit matrix, an exact isometry of the ball.

    For layers of n inputs and m outputs, Z (n, m) and offsets 0:

        n = m    ½ I          y = x exactly, for every curvature and every point
        n < m    ½ [I 0]      an exact embedding
        n > m    ½ √(n/m) Q   Q (n, m) random with orthonormal columns: keeps the mean radius of isotropic points

    The ½ is the factor of the layer's distance formula. A convolution scales the parts of a patch by
    r = B(k²C/2, ½)/B(C/2, ½) before it joins them; ``kernel`` says what makes up for it. Weight-normalised layers get
    both parts; columns of zeros get length 0 and a random direction, since a direction of zeros could never learn.

    Args:
        kernel: of convolutions: ``dirac`` puts 1/(2r) I at the centre tap (keeps the radius to first order),
            ``dirac_half`` ½ I (keeps directions, contracts by r), ``mean`` 1/(2k) I at all k² taps.

    Source: van Spengler, Berkhout, Mettes, Poincaré ResNet, ICCV 2023 (arXiv 2303.14027); convolutions and n > m are
    our rules, see the page.
    """

    bibtex: ClassVar[str] = POINCARE_RESNET

    kernel: Kernel = "dirac"

    def rule(self, layer: Layer) -> Rule:
        """½ of a unit matrix, by shape."""
        return isometry(layer, self.kernel, mixed=False)
