"""Power-law scales."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

from annotated_types import Gt
from torch import nn

from initkit import Fill, Item
from initkit.errors import listed
from initkit_kan import scales
from initkit_kan.assumed import predicted_moments
from initkit_kan.base import LayerRecipe, row
from initkit_kan.layers import Layer

DEEPEST = 5
"""Layers up to which power-law scales were found to do well."""

STUDY = """@article{rigas2025initialization,
  title = {Initialization Schemes for Kolmogorov-Arnold Networks: An Empirical Study},
  author = {Rigas, Spyros and Verma, Dhruv and Alexandridis, Georgios and Wang, Yixuan},
  year = {2025},
  eprint = {2509.03417},
  archivePrefix = {arXiv}
}"""


@dataclass(frozen=True)
class Power(LayerRecipe):
    """Powers of the number of terms: small splines on a lively residual branch.

    With n inputs and K terms a connection (the M basis functions, and the residual branch where there is one)::

        σ_r = c_r (n K)^-α      α = 0.25
        σ_b = c_b (n K)^-β      β = 1.75

    Weights are normal with mean 0. Splines start so small that a layer is almost its residual branch; the signal
    shrinks with depth, so it is a recipe for up to four hidden layers; without a residual branch (ChebyKAN) it starts
    near 0, and ``kan/glorot`` does better.

    Args:
        residual_exponent: α, or two of them: for K and for n.
        basis_exponent: β, or two of them: for K and for n.
        residual_scale: c_r.
        basis_scale: c_b.
        keep_scale: leaves the tensors that multiply the splines (pykan's ``scale_sp``, efficient-kan's
            ``spline_scaler``) and divides σ_b by them; otherwise they become 1.

    Source: Rigas, Verma, Alexandridis, Wang, Initialization Schemes for Kolmogorov-Arnold Networks: An Empirical Study,
    2025 (arXiv 2509.03417); the exponents are those of its experiments with fixed ones.
    """

    bibtex: ClassVar[str] = STUDY

    residual_exponent: float | tuple[float, float] = 0.25
    basis_exponent: float | tuple[float, float] = 1.75
    residual_scale: Annotated[float, Gt(0)] = 1.0
    basis_scale: Annotated[float, Gt(0)] = 1.0

    def plan(self, model: nn.Module) -> Iterator[Item]:
        """Yield the fills of each layer in the order of registration.

        Args:
            model: with spline, RBF or Chebyshev layers.

        Raises:
            PlanError: there are none, or one has a family's names but not its shapes.
        """
        found = self.found(model)
        rows: list[dict[str, Any]] = []
        fills: list[Fill] = []
        for layer in found.layers:
            chosen = self._scales(layer)
            numbers = f"n = {layer.n}, K = {layer.fans.k:g}"
            residual = f"{_words(self.residual_scale, self.residual_exponent)}, {numbers}"
            basis = f"{_words(self.basis_scale, self.basis_exponent)}, {numbers}"
            yield from self.around(layer)
            here = list(self.fills(layer, chosen, residual, basis))
            yield from here
            fills += here
            moments = predicted_moments(layer)
            rows.append(row(layer, chosen, None if moments is None else scales.gains(layer.fans, moments, chosen)))
        remarks = self.remarks(model, found, fills)
        if len(found.layers) > DEEPEST:
            remarks.append(
                f"{len(found.layers)} layers: the signal of power-law scales shrinks with depth; kan/iso keeps it"
            )
        bare = [layer.title for layer in found.layers if layer.residual is None]
        if bare:
            remarks.append(
                f"{listed(bare, 3)} {'has' if len(bare) == 1 else 'have'} no residual branch: power-law splines alone "
                "start near 0; kan/glorot is for such layers"
            )
        yield from self.closing(rows, remarks)

    def _scales(self, layer: Layer) -> scales.Scales:
        return scales.power(
            layer.fans,
            residual=layer.residual is not None,
            residual_exponents=_pair(self.residual_exponent),
            basis_exponents=_pair(self.basis_exponent),
            residual_scale=self.residual_scale,
            basis_scale=self.basis_scale,
        )


def _pair(exponent: float | tuple[float, float]) -> tuple[float, float]:
    return exponent if isinstance(exponent, tuple) else (exponent, exponent)


def _words(value: float, exponent: float | tuple[float, float]) -> str:
    front = "" if value == 1 else f"{value:g} "
    if isinstance(exponent, tuple):
        return f"{front}K^-{exponent[0]:g} n^-{exponent[1]:g}"
    return f"{front}(n K)^-{exponent:g}"
