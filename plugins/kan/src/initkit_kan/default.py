"""What each library starts its layers with."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
import torch
from annotated_types import Ge
from torch import Tensor, nn

from initkit import Blocks, Fill, Item, Job, JobContext, Keep, Normal, PlanError, TruncatedNormal, Uniform, Values
from initkit_kan.base import LayerRecipe
from initkit_kan.bases import BSpline
from initkit_kan.layers import Layer, tensor
from initkit_kan.power import STUDY

NOISE = {"pykan": 0.3, "efficient_kan": 0.1}
"""Amplitude of the noise that splines are fitted to: what pykan's KAN hands its layers, and efficient-kan's own."""
TRUNCATED = 0.1


@dataclass(frozen=True)
class Default(LayerRecipe):
    """What each library starts its layers with, from reproducible streams: resets, and the baseline of comparisons.

    ::

        pykan          splines fitted to (U(0,1) - ½) noise/G at the knots, scale_base U(±base/√n), scale_sp 1/√n
        efficient-kan  the same fit, base_weight U(±√(6/((1 + 5 base²) n))), spline_scaler likewise
        flashkan, inKAN   N(0, 0.1²) cut to [-2, 2] for both branches
        fastkan        splines N(0, 0.1²) cut to [-2, 2], base_linear as nn.Linear
        ChebyKAN       N(0, 1/(n (degree+1))), that number being the standard deviation

    A module's own attributes (efficient-kan's ``scale_noise``, ``scale_base`` and ``scale_spline``, fastkan's
    ``init_scale``) win over the libraries' defaults. The fit takes the coefficients of least norm. In efficient-kan
    the scale enters as a leaky slope: a larger ``base`` gives smaller weights.

    Args:
        scheme: ``library``, or ``baseline``, that of Rigas et al.: residual branch Glorot-uniform, basis N(0, 0.1²).
        noise: amplitude of the noise; None is the library's.
        base: scale of the residual branch in pykan and efficient-kan; None is the library's, 1.
        keep_scale: leaves pykan's ``scale_sp`` and efficient-kan's ``spline_scaler``.

    Source: the libraries' code: pykan 0.2.8, efficient-kan, flashkan 0.2.0, inKAN 0.5.2, fastkan, ChebyKAN; the
    baseline: Rigas, Verma, Alexandridis, Wang, 2025 (arXiv 2509.03417).
    """

    bibtex: ClassVar[str] = STUDY

    scheme: Literal["library", "baseline"] = "library"
    noise: Annotated[float, Ge(0)] | None = None
    base: Annotated[float, Ge(0)] | None = None

    def plan(self, model: nn.Module) -> Iterator[Item]:
        """Yield the fills of each layer in the order of registration.

        Args:
            model: with spline, RBF or Chebyshev layers.

        Raises:
            PlanError: there are none, or one has a family's names but not its shapes.
        """
        found = self.found(model)
        for layer in found.layers:
            yield from self._baseline(layer) if self.scheme == "baseline" else self._library(layer)
            for name, why in layer.keeps.items():
                yield Keep(layer.full(name), why)
        yield from self.closing([], self.remarks(model, found, []))

    def _baseline(self, layer: Layer) -> Iterator[Item]:
        bound = math.sqrt(6 / (layer.n + layer.o))
        if layer.packed:
            why = f"basis N(0, 0.1²); residual branch U(±√(6/(n+o))), n = {layer.n}, o = {layer.o}"
            columns = layer.count if layer.surface else layer.n * layer.count
            basis, residual = (slice(None), slice(0, columns)), (slice(None), slice(columns, columns + layer.n))
            packed = Blocks([(basis, Normal(0.1)), (residual, Uniform(-bound, bound))])
            yield Fill(layer.full(layer.coefficients), packed, why=why)
        else:
            yield Fill(layer.full(layer.coefficients), Normal(0.1), why="baseline: the same for every width")
            if layer.residual_weights is not None:
                why = f"Glorot-uniform: √(6/(n+o)), n = {layer.n}, o = {layer.o}"
                yield Fill(layer.full(layer.residual_weights), Uniform(-bound, bound), why=why)
        for item in self.around(layer):
            if isinstance(item, Fill):
                yield item

    def _library(self, layer: Layer) -> Iterator[Item]:
        if layer.family == "pykan":
            yield from self._fitted(layer, 1.0)
            yield from self._pykan(layer)
        elif layer.family == "efficient_kan":
            yield from self._efficient_kan(layer)
        elif layer.family in ("flashkan", "inkan"):
            for name in dict.fromkeys((layer.coefficients, layer.residual_weights)):
                assert name is not None
                yield Fill(layer.full(name), _truncated(TRUNCATED), why=f"{layer.family}: std 0.1 at every width")
        elif layer.family == "fastkan":
            yield from self._fastkan(layer)
        else:
            std = 1 / (layer.n * layer.count)
            why = f"ChebyKAN: std 1/(n (degree+1)), n = {layer.n}, degree {layer.count - 1}"
            yield Fill(layer.full(layer.coefficients), Normal(std), why=why)

    def _pykan(self, layer: Layer) -> Iterator[Item]:
        width = (1.0 if self.base is None else self.base) / math.sqrt(layer.n)
        assert layer.residual_weights is not None
        why = f"pykan: ±{1.0 if self.base is None else self.base:g}/√n, n = {layer.n}"
        name = layer.full(layer.residual_weights)
        yield Fill(name, Uniform(-width, width), why=why) if width else Keep(name, "base is 0")
        mask = np.ones((layer.n, layer.o)) if layer.mask is None else layer.mask
        for scale in layer.scales:
            if self.keep_scale:
                yield Keep(layer.full(scale), "keep_scale")
                continue
            values = torch.from_numpy(mask / math.sqrt(layer.n))
            why = f"pykan: 1/√n where there is a connection, n = {layer.n}"
            yield Fill(layer.full(scale), Values(values, "1/√n"), why=why)

    def _efficient_kan(self, layer: Layer) -> Iterator[Item]:
        module: Any = layer.module
        base = self.base if self.base is not None else float(getattr(module, "scale_base", 1.0))
        spline = float(getattr(module, "scale_spline", 1.0))
        assert layer.residual_weights is not None
        bound = math.sqrt(6 / ((1 + 5 * base**2) * layer.n))
        why = f"efficient-kan: √(6/((1 + 5·{base:g}²) n)), n = {layer.n}"
        yield Fill(layer.full(layer.residual_weights), Uniform(-bound, bound), why=why)
        yield from self._fitted(layer, 1.0 if layer.scales else spline)
        for name in layer.scales:
            if self.keep_scale:
                yield Keep(layer.full(name), "keep_scale")
                continue
            bound = math.sqrt(6 / ((1 + 5 * spline**2) * layer.n))
            why = f"efficient-kan: √(6/((1 + 5·{spline:g}²) n)), n = {layer.n}"
            yield Fill(layer.full(name), Uniform(-bound, bound), why=why)

    def _fastkan(self, layer: Layer) -> Iterator[Item]:
        linear: Any = layer.module.get_submodule("spline_linear")
        std = float(getattr(linear, "init_scale", TRUNCATED))
        yield Fill(layer.full(layer.coefficients), _truncated(std), why=f"fastkan: std {std:g} at every width")
        bound = 1 / math.sqrt(layer.n)
        for name in (layer.residual_weights, *layer.zeros):
            if name is not None:
                fan = bound if name.startswith("base_linear") else 1 / math.sqrt(layer.n * layer.count)
                yield Fill(layer.full(name), Uniform(-fan, fan), why=f"nn.Linear: 1/√fan_in = {fan:.4g}")

    def _fitted(self, layer: Layer, factor: float) -> Iterator[Item]:
        """Splines of least norm through noise at the knots of the grid."""
        own = getattr(layer.module, "scale_noise", NOISE[layer.family])
        noise = (float(own) if self.noise is None else self.noise) * factor
        name = layer.full(layer.coefficients)
        basis = layer.make_basis()
        assert isinstance(basis, BSpline)
        if noise == 0:
            yield Keep(name, "noise is 0")
            return
        job = Job(
            f"fit {name}",
            lambda ctx: {"coefficients": fitted(ctx, layer, basis, noise)},
            f"fits splines to noise of ±{noise / 2:g}/G at the knots",
        )
        yield job
        why = f"splines of least norm through (U(0,1) - ½)·{noise:g}/G at the {layer.count - layer.order + 1} knots"
        yield Fill(name, job["coefficients"], why=why)


def fitted(ctx: JobContext, layer: Layer, basis: BSpline, noise: float) -> Tensor:
    """Coefficients of the splines of least norm that take noise values at the knots, in the tensor's layout.

    Args:
        ctx: of the job.
        layer: whose coefficients.
        basis: its splines.
        noise: amplitude times G.

    Raises:
        PlanError: the splines are 0 at the knots.
    """
    k, intervals = basis.order, basis.count - basis.order
    points = torch.from_numpy(basis.knots[:, k : k + intervals + 1].copy())
    values, _ = basis.evaluate(points)
    inverse = torch.linalg.pinv(values)  # (1 or n, M, G+1)
    if not bool(inverse.abs().sum() > 0):
        raise PlanError(f"{layer.title}: its splines are 0 at its knots")
    half = noise / 2 / intervals
    name = layer.full(layer.coefficients)
    drawn = ctx.sample(Uniform(-half, half), f"{name}#noise", (layer.n, layer.o, intervals + 1), torch.float64)
    coefficients = torch.einsum("img,iog->iom", inverse.to(drawn.device).expand(layer.n, -1, -1), drawn)
    found = torch.from_numpy(layer.arrange(coefficients.cpu().numpy()).copy())
    return found.to(tensor(layer.name, layer.module, layer.coefficients).dtype)


def _truncated(std: float) -> TruncatedNormal:
    """torch's trunc_normal_ cuts at ±2, whatever the scale."""
    return TruncatedNormal(std, low=-2 / std, high=2 / std) if std >= 2 / 30 else TruncatedNormal(std, low=-30, high=30)
