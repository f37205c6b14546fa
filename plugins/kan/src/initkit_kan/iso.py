"""The residual branch carries the variance; splines stay below a cap on gradients."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar

from annotated_types import Gt, Lt

from initkit import PlanError
from initkit_kan import scales
from initkit_kan.layers import Layer
from initkit_kan.moment_recipe import MomentRecipe
from initkit_kan.moments import Moments
from initkit_kan.power import STUDY
from initkit_kan.variance import r0


@dataclass(frozen=True)
class Iso(MomentRecipe):
    """The residual branch carries the variance; splines get a share that cannot blow up gradients.

    SiLU's forward and backward gains nearly agree, while the slopes of splines grow with the grid. So::

        σ_r = g √((1-s)/(n R0))                        R0 = E[R(x)²]
        σ_b = g √(s/(n M max(μ̄0, g² μ̄1)))              μ̄0, μ̄1 = means over m of E[B_m(x)²], E[B'_m(x)²]

    The output's mean square is at most g², and splines add at most the share s to it and to the gradient's. It keeps
    both bounded over many layers at any grid; its livelier start overfits small samples.

    Args:
        share: s, the splines' part of the variance.
        input: what each layer is assumed to see: ``uniform`` on (-1, 1), ``normal`` (0, 1), ``grid`` (uniform on each
            feature's own grid), or ``batch``: what ``inputs`` make of it, layer after layer (then the bits are one
            machine's).
        gain: g; None takes the standard deviation of that input (1/√3 for ``uniform``).
        per_feature: whether each input has scales of its own, where grids or inputs differ.
        keep_scale: leaves the tensors that multiply the splines (pykan's ``scale_sp``, efficient-kan's
            ``spline_scaler``) and divides σ_b by them; otherwise they become 1.

    Source: ours; it answers the gradients that Rigas, Verma, Alexandridis, Wang, Initialization Schemes for
    Kolmogorov-Arnold Networks: An Empirical Study, 2025 (arXiv 2509.03417) leave to grow at large grids.
    """

    bibtex: ClassVar[str] = STUDY

    share: Annotated[float, Gt(0), Lt(1)] = 0.01

    def formula(self, layer: Layer, moments: Moments) -> scales.Scales:
        """:func:`initkit_kan.scales.iso`.

        Raises:
            PlanError: the layer has no residual branch.
        """
        if layer.residual is None:
            raise PlanError(
                f"recipe {self.id}, {layer.title}: it has no residual branch to carry the variance; "
                "kan/glorot_fine is for such layers"
            )
        return scales.iso(layer.fans, moments, self.share)

    def words(self, layer: Layer, moments: Moments) -> tuple[str, str]:
        """The formulas and their numbers."""
        s = f"{self.share:g}"
        numbers = f"g = {moments.g:.4g}, n = {layer.n}"
        cap = max(moments.mu0.mean(), moments.g**2 * moments.mu1.mean())
        return (
            f"g √((1-{s})/(n R0)), {numbers}{r0(moments)}",
            f"g √({s}/(n M max(μ̄0, g² μ̄1))), {numbers}, M = {layer.count}, max = {cap:.4g}",
        )
