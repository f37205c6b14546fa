"""The calibrating job: each layer is scaled by the moments of what reaches it, then the batch goes on."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from initkit import CommitError, JobContext, NeedError
from initkit.errors import listed
from initkit.probing.inputs import Inputs
from initkit_kan import scales
from initkit_kan.base import row, seven
from initkit_kan.coverage import OUTSIDE, shares
from initkit_kan.layers import Layer
from initkit_kan.moments import Moments, evaluate

if TYPE_CHECKING:
    from initkit_kan.moment_recipe import MomentRecipe

CHUNK = 64 * 2**20
"""Bytes that the values of basis functions may take at once."""
_COPIES = 8
"""How many tensors of that size the recursion holds."""


class Calibration:
    """Scales layers in the order of execution, in one pass.

    Args:
        recipe: with the formula.
        layers: of the model.
        inputs: what the model is called with.
        ctx: of the job.
    """

    def __init__(self, recipe: MomentRecipe, layers: Sequence[Layer], inputs: Any, ctx: JobContext) -> None:
        self._recipe, self._layers, self._ctx = recipe, layers, ctx
        self._inputs = inputs
        self._names = first_names(ctx.model, layers)
        self._weights: dict[str, Tensor] = {}
        self._rows: dict[str, dict[str, Any]] = {}

    def run(self) -> dict[str, Tensor]:
        """Return the weights by full name; notes scales and gains."""
        handles = []
        for layer in self._layers:
            module = self._ctx.model.get_submodule(layer.name)

            def scale(m: nn.Module, args: Any, kwargs: Any, layer: Layer = layer) -> None:
                if layer.name not in self._rows:
                    self._scale(layer, m, next(iter((*args, *kwargs.values())), None))

            handles.append(module.register_forward_pre_hook(scale, with_kwargs=True))
        try:
            inputs = Inputs.of(self._inputs, self._ctx.device)
            with self._ctx.undisturbed() as model:
                model(*inputs.args, **inputs.kwargs)
        finally:
            for handle in handles:
                handle.remove()
        missing = [layer.title for layer in self._layers if layer.name not in self._rows]
        if missing:
            raise CommitError(f"recipe {self._recipe.id}: {listed(missing)} was not called with the inputs given")
        self._ctx.note(f"{self._recipe.id} layers", [self._rows[layer.name] for layer in self._layers])
        self._remark()
        return self._weights

    def _scale(self, layer: Layer, module: nn.Module, x: Any) -> None:
        if not isinstance(x, Tensor) or x.ndim == 0 or x.shape[-1] != layer.n:
            shape = tuple(x.shape) if isinstance(x, Tensor) else type(x).__name__
            raise CommitError(
                f"recipe {self._recipe.id}, {layer.title}: called with {shape}, expected (..., {layer.n})"
            )
        moments = batch_moments(layer, x.reshape(-1, layer.n), self._recipe.id)
        chosen = self._recipe.chosen(layer, moments)
        for name, draw in self._recipe.draws(layer, chosen).items():
            full = self._names[layer.full(name)]
            if full not in self._weights:
                self._weights[full] = self._ctx.sample(draw, full)
                self._ctx.write(full, self._weights[full])
        gains = scales.gains(layer.fans, moments, chosen)
        found = {**row(layer, chosen, gains), "input_std": seven(moments.g)}
        if layer.family != "chebykan":
            found["outside_grid"] = seven(shares(layer.make_basis(), as_seen(layer, x.reshape(-1, layer.n)))["outside"])
        self._rows[layer.name] = found

    def _remark(self) -> None:
        """Say where inputs are not where splines are."""
        far = [name for name, found in self._rows.items() if found.get("outside_grid", 0.0) > OUTSIDE]
        if far:
            words = (
                f"more than {100 * OUTSIDE:.0f} % of the batch are outside the grid of {listed(far)}, where splines "
                "fade: scale the inputs, or move the grid (update_grid)"
            )
            warnings.warn(f"{self._recipe.id}: {words}", stacklevel=2)
            self._ctx.note(f"{self._recipe.id} remarks", [{"remark": words}])


def first_names(model: nn.Module, layers: Sequence[Layer]) -> dict[str, str]:
    """The weights of all layers; a tied one with the name that it bears first, by whose layer it is scaled."""
    seen: dict[int, str] = {}
    found = {}
    for layer in layers:
        residual = layer.residual_weights if layer.residual is not None else None
        for name in dict.fromkeys((residual, layer.coefficients)):
            if name is not None:
                full = layer.full(name)
                found[full] = seen.setdefault(id(model.get_parameter(full)), full)
    return found


def batch_moments(layer: Layer, x: Tensor, recipe: str) -> Moments:
    """Moments of a layer's functions over a batch, a row a feature.

    Args:
        layer: of the model.
        x: (samples, n), of any dtype.
        recipe: for messages.

    Raises:
        NeedError: the batch holds NaN or infinite values there, or all samples are alike.
    """
    if not bool(torch.isfinite(x).all()):
        raise NeedError(f"recipe {recipe}: NaN or infinite values of the batch reach {layer.title}")
    basis = layer.make_basis()
    seen = as_seen(layer, x)
    mu0, mu1 = np.zeros((layer.n, basis.count)), np.zeros((layer.n, basis.count))
    r0, r1 = np.zeros(layer.n), np.zeros(layer.n)
    for part, after in _chunks(x, seen, layer.n * basis.count):
        values, slopes = basis.evaluate(after.T)
        mu0 += values.square().sum(1).cpu().numpy()
        mu1 += slopes.square().sum(1).cpu().numpy()
        if layer.residual is not None:
            value, slope = evaluate(layer.residual, part)
            r0 += value.square().sum(0).cpu().numpy()
            r1 += slope.square().sum(0).cpu().numpy()
    # Over all features at once: what differs between them is signal to the layer too.
    g = float(x.to(torch.float64).std(unbiased=False))
    if not g > 0:
        raise NeedError(f"recipe {recipe}: all samples of the batch are alike at {layer.title}")
    count = len(x)
    residual = (r0 / count, r1 / count) if layer.residual is not None else (np.empty(0), np.empty(0))
    return Moments(mu0 / count, mu1 / count, *residual, g)


def as_seen(layer: Layer, x: Tensor) -> Tensor:
    """The batch as the basis sees it: after the layer norm, where there is one."""
    norm = layer.module._modules.get("layernorm")
    if not layer.normalised or norm is None:
        return x
    with torch.no_grad():
        normalised: Tensor = norm(x)
    return normalised


def _chunks(x: Tensor, seen: Tensor, row: int) -> Iterable[tuple[Tensor, Tensor]]:
    size = max(1, CHUNK // (8 * _COPIES * row))
    for start in range(0, len(x), size):
        yield x[start : start + size].to(torch.float64), seen[start : start + size].to(torch.float64)
