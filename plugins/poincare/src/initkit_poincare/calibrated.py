"""Radius calibration on a batch."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal

import torch
from annotated_types import Ge, Gt, Le
from torch import nn

from initkit import Constant, Fill, Item, Job, JobContext, Orthogonal
from initkit_poincare.calibration import Calibration
from initkit_poincare.conformal import conformal_factor
from initkit_poincare.identity import POINCARE_RESNET
from initkit_poincare.layers import GYROPLANE, Kind, Layer, find_layers
from initkit_poincare.lorentz_identity import centre_columns, lorentz_block
from initkit_poincare.placing import Placed, ScaledEye
from initkit_poincare.recipe import LayerRecipe
from initkit_poincare.rules import Kernel, Rule, directions, isometry, lengths
from initkit_poincare.variance import Variance

Start = Literal["identity", "orthogonal", "variance"]


@dataclass(frozen=True)
class Calibrated(LayerRecipe):
    """Radius calibration: scale each hyperbolic layer until the mean radius is what comes in, on a batch.

    Starts each layer from one of the other recipes. Then, in the order of execution and with the layers before it done,
    finds the gain γ of its matrix for which mean ρ(out) = mean ρ(in) on the batch: ρ̄_out grows with γ, so its
    logarithm is bisected, helped by secants, on [10⁻³, 10³]. For convolutions, tall layers, layers with activations
    inside, and code whose own scales are off. Where the radius that comes in lies beyond 0.95 of the projection
    boundary that is the target, with a warning.

    ``keep="network"`` takes the radius that comes into the first layer as every layer's target: that makes up for what
    activations between the layers take away.

    Args:
        start: ``identity``, ``orthogonal`` or ``variance``, as those recipes do.
        kernel: of convolutions, see ``poincare/identity``.
        keep: the radius that comes into each ``layer``, or into the ``network``.
        tolerance: on ρ̄_out over its target.
        max_tries: calls of one layer at most.

    Source: our recipe, after Mishkin, Matas, All you need is a good init, ICLR 2016, for the layers of van Spengler,
    Berkhout, Mettes, Poincaré ResNet, ICCV 2023 (arXiv 2303.14027).
    """

    bibtex: ClassVar[str] = POINCARE_RESNET
    kinds: ClassVar[Sequence[Kind]] = (*GYROPLANE, "mobius", "lorentz", "lorentz_conv")

    start: Start = "identity"
    kernel: Kernel = "dirac"
    keep: Literal["layer", "network"] = "layer"
    tolerance: Annotated[float, Gt(0), Le(1)] = 1e-3
    max_tries: Annotated[int, Ge(2)] = 40

    def plan(self, model: nn.Module, *, inputs: Any) -> Iterator[Item]:
        """Yield the offsets, the calibrating job and a fill for each layer's matrix.

        Args:
            model: with hyperbolic layers.
            inputs: a batch as the model's forward takes it.
        """
        layers = find_layers(model, self.kinds)
        for layer in layers:
            if conformal_factor(layer) == "old":
                warnings.warn(
                    f"{self.id}: {layer.label} computes with λ = 2(1 - c‖x‖²): its radius is kept on this batch, "
                    "but no weights make it an isometry",
                    stacklevel=2,
                )
        for layer in layers:
            if layer.bias is not None:
                yield Fill(layer.bias, Constant(0.0), why="no offset")

        def run(ctx: JobContext) -> dict[str, torch.Tensor]:
            starts = {layer.name: self._start(ctx, layer) for layer in layers}
            return Calibration(self, layers, starts, inputs, ctx).run()

        job = Job("calibrate", run, f"scales {len(layers)} layers on the batch: mean radius out = in")
        yield job
        for layer in layers:
            yield Fill(layer.weight, job[layer.weight], why=f"{self.start}, scaled until the mean radius is kept")
            if layer.gain is not None:
                yield Fill(layer.gain, job[layer.gain], why=f"lengths of {self.start}, scaled likewise")

    def _start(self, ctx: JobContext, layer: Layer) -> dict[str, torch.Tensor]:
        rule = self.rule(layer)
        if layer.gain is None:
            return {layer.weight: ctx.sample(rule.draw, layer.weight)}
        return {
            layer.weight: ctx.sample(directions(layer, rule), layer.weight),
            layer.gain: ctx.sample(lengths(layer, rule), layer.gain),
        }

    def rule(self, layer: Layer) -> Rule:
        """What a layer starts from."""
        if layer.kind == "mobius":
            return Rule(ScaledEye(1.0) if self.start == "identity" else Orthogonal(), self.start)
        if layer.kind in ("lorentz", "lorentz_conv"):
            block, why = lorentz_block(layer)
            columns = centre_columns(layer) if layer.taps else slice(1, None)
            return Rule(Placed(block, [slice(1, None)], columns), why)
        if self.start == "variance":
            return Variance().rule(layer)
        return isometry(layer, self.kernel, mixed=self.start == "orthogonal")
