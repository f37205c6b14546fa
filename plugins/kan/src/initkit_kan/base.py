"""What the recipes for spline, RBF and Chebyshev layers share: where scales go, and what is said of them."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from initkit import Constant, Draw, Fill, Item, Job, JobContext, Keep, Normal, PlanError, Recipe, Values
from initkit_kan.bases import Array
from initkit_kan.layers import Found, Layer, find_layers, needed_layers, values
from initkit_kan.scales import Gains, Scales

FLUSHED = 0.01
"""A share of draws that a dtype turns into 0 above which a remark is made."""


@dataclass(frozen=True)
class LayerRecipe(Recipe):
    """A recipe that sets every spline, RBF and Chebyshev layer.

    Args:
        keep_scale: leaves the tensors that multiply the splines (pykan's ``scale_sp``, efficient-kan's
            ``spline_scaler``) and divides the coefficients' scale by them; otherwise they become 1.
    """

    keep_scale: bool = False

    @classmethod
    def claims(cls, model: Any) -> list[str]:
        """Names of coefficients and residual weights."""
        if not isinstance(model, nn.Module):
            return []
        try:
            layers = find_layers(model).layers
        except PlanError:
            return []
        names = [layer.full(name) for layer in layers for name in (layer.coefficients, layer.residual_weights) if name]
        return list(dict.fromkeys(names))

    def found(self, model: Any) -> Found:
        """The layers; PlanError where there are none."""
        return needed_layers(model, self.id)

    def around(self, layer: Layer) -> Iterator[Item]:
        """Yield what stands beside weights: scales of splines become 1, offsets 0, grids stay."""
        for name in layer.scales:
            if self.keep_scale:
                yield Keep(layer.full(name), "keep_scale: the coefficients' scale is divided by it")
            elif layer.mask is None:
                yield Fill(layer.full(name), Constant(1.0), why="the coefficients alone carry the splines' scale")
            else:
                ones = torch.from_numpy(layer.scales[name](layer.mask).copy())
                yield Fill(layer.full(name), Values(ones, "the mask"), why="1 where there is a connection")
        for name in layer.zeros:
            yield Fill(layer.full(name), Constant(0.0), why="no offset")
        if layer.residual is None and layer.residual_weights is not None and not layer.packed:
            yield Keep(layer.full(layer.residual_weights), "the residual branch is zero everywhere")
        for name, why in layer.keeps.items():
            yield Keep(layer.full(name), why)

    def draws(self, layer: Layer, scales: Scales) -> dict[str, Draw]:
        """The draws of the layer's weights, by name of the tensor within the module."""
        basis, residual = scales.basis, scales.residual
        if self.keep_scale:
            for name, arrange in layer.scales.items():
                factor = np.abs(arrange(values(layer.name, layer.module, name)))
                there = factor if layer.mask is None else factor[layer.mask > 0]
                if bool((there == 0).any()):
                    raise PlanError(
                        f"{layer.title}: {name} holds 0, so keep_scale has nothing to divide by; leave keep_scale out, "
                        "and it becomes 1"
                    )
                basis = basis / np.where(factor > 0, factor, 1.0)[..., None]
        if layer.mask is not None:
            basis = basis * layer.mask[..., None]
            residual = None if residual is None else residual * layer.mask
        arranged = layer.arrange(basis)
        if layer.packed:
            columns = layer.arrange_residual(np.zeros((1, 1)) if residual is None else residual)
            return {layer.coefficients: _normal(np.concatenate([arranged, columns], axis=1))}
        if residual is None or layer.residual_weights is None:
            return {layer.coefficients: _normal(arranged)}
        return {
            layer.residual_weights: _normal(layer.arrange_residual(residual)),
            layer.coefficients: _normal(arranged),
        }

    def fills(self, layer: Layer, scales: Scales, residual_why: str, basis_why: str) -> Iterator[Fill]:
        """Yield the fills of the layer's weights, with the numbers behind them."""
        residual = "" if scales.residual is None else f"σ_r = {_rms(scales.residual):.4g}: {residual_why}"
        basis = f"σ_b = {_rms(scales.basis):.4g}: {basis_why}"
        for name, draw in self.draws(layer, scales).items():
            if layer.packed:
                why = f"{residual}; {basis}" if residual else f"{basis}; the residual branch is zero everywhere"
            else:
                why = residual if name == layer.residual_weights else basis
            yield Fill(layer.full(name), draw, why=why)

    def closing(self, rows: list[dict[str, Any]], remarks: Sequence[str]) -> Iterator[Item]:
        """Warn of the remarks, and yield the job that adds them and the table of layers to the report."""
        for remark in remarks:
            warnings.warn(f"{self.id}: {remark}", stacklevel=2)
        if rows or remarks:
            yield Job("layers", lambda ctx: note(ctx, self.id, rows, remarks), "adds scales and gains to the report")

    def remarks(self, model: nn.Module, found: Found, fills: Sequence[Fill]) -> list[str]:
        """What a user should know: unsupported layers, and scales that the dtype cannot hold."""
        said = [f"{words}: left as it is" for words in found.unsupported]
        for fill in fills:
            dtype, std = model.get_parameter(fill.name).dtype, fill.draw.std
            share = flushed(std, dtype)
            if share > FLUSHED:
                said.append(
                    f"{fill.name}: {100 * share:.0f} % of the draws are 0 in {str(dtype).removeprefix('torch.')} "
                    f"(std {std:.2g}); apply the recipe in float32, or choose larger scales"
                )
        return said


def flushed(std: float, dtype: torch.dtype) -> float:
    """Share of draws from N(0, std²) that are rounded to 0: those below half the smallest number of the dtype."""
    info = torch.finfo(dtype)
    if std == 0:
        return 0.0
    return math.erf(info.tiny * info.eps / 2 / (std * math.sqrt(2)))


def row(layer: Layer, scales: Scales, gains: Gains | None) -> dict[str, Any]:
    """A line of the report's table."""
    found: dict[str, Any] = {
        "layer": layer.name or "model",
        "family": layer.family,
        "inputs": layer.n,
        "outputs": layer.o,
        "basis": layer.count,
        "sigma_r": None if scales.residual is None else seven(_rms(scales.residual)),
        "sigma_b": seven(_rms(scales.basis)),
    }
    if gains is not None:
        found |= {
            "output_rms": seven(gains.output),
            "forward_gain": seven(gains.forward),
            "backward_gain": seven(gains.backward),
            "spline_share": seven(gains.spline_share),
        }
    return found


def note(ctx: JobContext, recipe: str, rows: list[dict[str, Any]], remarks: Sequence[str]) -> dict[str, Tensor]:
    """Add the tables to the report."""
    if rows:
        ctx.note(f"{recipe} layers", rows)
    if remarks:
        ctx.note(f"{recipe} remarks", [{"remark": remark} for remark in remarks])
    return {}


def seven(value: float) -> float:
    """A number rounded to seven significant digits, so that the last bits of a sum do not matter."""
    return float(f"{value:.7g}")


def _normal(scales: Array) -> Draw:
    """Normal numbers with these standard deviations; 0 where every connection is cut."""
    if not scales.any():
        return Constant(0.0)
    different, place = np.unique(scales, return_inverse=True)
    rounded = np.array([seven(float(value)) for value in different])
    if len(set(rounded)) == 1:
        return Normal(float(rounded[0]))
    return Normal(torch.from_numpy(rounded[place].reshape(scales.shape)))


def _rms(scales: Array) -> float:
    return float(np.sqrt(np.mean(np.square(scales))))
