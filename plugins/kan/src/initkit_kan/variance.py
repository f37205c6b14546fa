"""LeCun's and Glorot's rules for basis functions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar

from annotated_types import Gt

from initkit_kan import scales
from initkit_kan.layers import Layer
from initkit_kan.moment_recipe import MomentRecipe
from initkit_kan.moments import Moments
from initkit_kan.power import STUDY

RARELY = 1e-3
"""What a basis function that hardly any sample of a batch reaches counts for, as part of the mean of all."""


@dataclass(frozen=True)
class Lecun(MomentRecipe):
    """LeCun's rule for basis functions: every term gets an equal share of the input's variance.

    With n inputs, K terms a connection (M basis functions, and the residual branch R where there is one)::

        σ_r = g/√(n K R0)      R0 = E[R(x)²]
        σ_b = g/√(n K μ̄0)      μ̄0 = mean over m of E[B_m(x)²]

    so that the output's mean square is g². It knows nothing of gradients: at large grids, where splines are steep,
    they explode with depth.

    Args:
        input: what each layer is assumed to see: ``uniform`` on (-1, 1), ``normal`` (0, 1), ``grid`` (uniform on each
            feature's own grid), or ``batch``: what ``inputs`` make of it, layer after layer (then the bits are one
            machine's).
        gain: g; None takes the standard deviation of that input (1/√3 for ``uniform``).
        per_feature: whether each input has scales of its own, where grids or inputs differ.
        keep_scale: leaves the tensors that multiply the splines (pykan's ``scale_sp``, efficient-kan's
            ``spline_scaler``) and divides σ_b by them; otherwise they become 1.

    Source: Rigas, Verma, Alexandridis, Wang, Initialization Schemes for Kolmogorov-Arnold Networks: An Empirical Study,
    2025 (arXiv 2509.03417); moments are exact here, not sampled.
    """

    bibtex: ClassVar[str] = STUDY

    def formula(self, layer: Layer, moments: Moments) -> scales.Scales:
        """:func:`initkit_kan.scales.lecun`."""
        return scales.lecun(layer.fans, moments)

    def words(self, layer: Layer, moments: Moments) -> tuple[str, str]:
        """The formulas and their numbers."""
        numbers = f"g = {moments.g:.4g}, n = {layer.n}, K = {layer.fans.k:g}"
        return f"g/√(n K R0), {numbers}{r0(moments)}", f"g/√(n K μ̄0), {numbers}, μ̄0 = {moments.mu0.mean():.4g}"


@dataclass(frozen=True)
class Glorot(MomentRecipe):
    """Glorot's rule for basis functions: a compromise between signals and gradients, one scale for all functions.

    With n inputs, o outputs, K terms a connection::

        σ_r = g √(2/(K (n R0 + o R1)))      R0 = E[R(x)²],  R1 = E[R'(x)²]
        σ_b = g √(2/(K (n μ̄0 + o μ̄1)))      μ̄0, μ̄1 = means over m of E[B_m(x)²], E[B'_m(x)²]

    Args:
        input: what each layer is assumed to see: ``uniform`` on (-1, 1), ``normal`` (0, 1), ``grid`` (uniform on each
            feature's own grid), or ``batch``: what ``inputs`` make of it, layer after layer (then the bits are one
            machine's).
        gain: g; None takes the standard deviation of that input (1/√3 for ``uniform``).
        per_feature: whether each input has scales of its own, where grids or inputs differ.
        keep_scale: leaves the tensors that multiply the splines (pykan's ``scale_sp``, efficient-kan's
            ``spline_scaler``) and divides σ_b by them; otherwise they become 1.

    Source: Rigas, Verma, Alexandridis, Wang, Initialization Schemes for Kolmogorov-Arnold Networks: An Empirical Study,
    2025 (arXiv 2509.03417); moments are exact here, not sampled.
    """

    bibtex: ClassVar[str] = STUDY

    def formula(self, layer: Layer, moments: Moments) -> scales.Scales:
        """:func:`initkit_kan.scales.glorot`."""
        return scales.glorot(layer.fans, moments)

    def words(self, layer: Layer, moments: Moments) -> tuple[str, str]:
        """The formulas and their numbers."""
        numbers = sizes(layer, moments)
        return (
            f"g √(2/(K (n R0 + o R1))), {numbers}{r0(moments)}{r1(moments)}",
            f"g √(2/(K (n μ̄0 + o μ̄1))), {numbers}, μ̄0 = {moments.mu0.mean():.4g}, μ̄1 = {moments.mu1.mean():.4g}",
        )


@dataclass(frozen=True)
class GlorotFine(MomentRecipe):
    """Glorot's rule for each basis function of its own: functions that are rarely active get larger coefficients.

    The residual branch as in ``kan/glorot``; with μ0_m = E[B_m(x)²] and μ1_m = E[B'_m(x)²]::

        σ_(b,m) = g √(c/(K (n μ0_m + o μ1_m)))

    With ``input="batch"`` a function that hardly any sample reaches counts for a thousandth of the mean at least.

    Args:
        factor: c: 1 as in the authors' code; 2 is what the derivation gives, and what the residual branch uses.
        input: what each layer is assumed to see: ``uniform`` on (-1, 1), ``normal`` (0, 1), ``grid`` (uniform on each
            feature's own grid), or ``batch``: what ``inputs`` make of it, layer after layer (then the bits are one
            machine's).
        gain: g; None takes the standard deviation of that input (1/√3 for ``uniform``).
        per_feature: whether each input has scales of its own, where grids or inputs differ.
        keep_scale: leaves the tensors that multiply the splines (pykan's ``scale_sp``, efficient-kan's
            ``spline_scaler``) and divides σ_b by them; otherwise they become 1.

    Source: Rigas, Anagnostopoulos, Papachristou, Alexandridis, Training Deep Physics-Informed Kolmogorov-Arnold
    Networks, 2025 (arXiv 2510.23501); moments are exact here, not sampled.
    """

    bibtex: ClassVar[str] = """@article{rigas2025training,
  title = {Training Deep Physics-Informed Kolmogorov-Arnold Networks},
  author = {Rigas, Spyros and Anagnostopoulos, Fotios and Papachristou, Michalis and Alexandridis, Georgios},
  year = {2025},
  eprint = {2510.23501},
  archivePrefix = {arXiv}
}"""

    factor: Annotated[float, Gt(0)] = 1.0

    def formula(self, layer: Layer, moments: Moments) -> scales.Scales:
        """:func:`initkit_kan.scales.glorot_fine`."""
        return scales.glorot_fine(layer.fans, moments, self.factor, RARELY if self.input == "batch" else 0.0)

    def words(self, layer: Layer, moments: Moments) -> tuple[str, str]:
        """The formulas and their numbers."""
        numbers = sizes(layer, moments)
        return (
            f"g √(2/(K (n R0 + o R1))), {numbers}{r0(moments)}{r1(moments)}",
            f"root mean square of g √({self.factor:g}/(K (n μ0_m + o μ1_m))), {numbers}",
        )


def sizes(layer: Layer, moments: Moments) -> str:
    """The numbers that both formulas of a layer share."""
    return f"g = {moments.g:.4g}, n = {layer.n}, o = {layer.o}, K = {layer.fans.k:g}"


def r0(moments: Moments) -> str:
    """R0 in words; nothing without a residual branch."""
    return f", R0 = {moments.r0.mean():.4g}" if moments.r0.size else ""


def r1(moments: Moments) -> str:
    """R1 likewise."""
    return f", R1 = {moments.r1.mean():.4g}" if moments.r1.size else ""
