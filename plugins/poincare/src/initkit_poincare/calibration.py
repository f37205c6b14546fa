"""The calibrating job: find a gain for each layer, go on."""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from initkit import CommitError, JobContext
from initkit.probing.inputs import Inputs
from initkit_poincare.layers import Layer
from initkit_poincare.radii import Gauge, dtype_of
from initkit_poincare.substitute import substituted

if TYPE_CHECKING:
    from initkit_poincare.calibrated import Calibrated

LOWEST, HIGHEST = 1e-3, 1e3
SHARE = 0.95
"""Share of the projection boundary's radius beyond which no target lies."""


class Calibration:
    """Calibrates layers in the order of execution.

    Args:
        options: the recipe.
        layers: to calibrate.
        starts: tensors that each layer starts from, by layer and full name.
        inputs: what the model is called with.
        ctx: of the job.
    """

    def __init__(
        self,
        options: Calibrated,
        layers: Sequence[Layer],
        starts: Mapping[str, dict[str, torch.Tensor]],
        inputs: Any,
        ctx: JobContext,
    ) -> None:
        self._options, self._recipe, self._layers, self._ctx = options, options.id, layers, ctx
        self._inputs = Inputs.of(inputs, ctx.device)
        self._tensors = {name: tensor for one in starts.values() for name, tensor in one.items()}
        self._first: float | None = None
        self._rows: list[dict[str, Any]] = []

    def run(self) -> dict[str, torch.Tensor]:
        """Return the calibrated tensors by full name; notes radii and gains."""
        for name, tensor in self._tensors.items():
            self._ctx.write(name, tensor)
        done: set[str] = set()
        steps = iter(self._ctx.progress(self._layers, "calibrating layers", len(self._layers)))
        handles = []
        for layer in self._layers:

            def call(module: nn.Module, args: Any, kwargs: Any, out: Any, layer: Layer = layer) -> Any:
                if layer.name in done:
                    return None
                done.add(layer.name)
                next(steps, None)
                return self._calibrated(layer, module, args, kwargs, out)

            module = self._ctx.model.get_submodule(layer.name)
            handles.append(module.register_forward_hook(call, with_kwargs=True))
        try:
            self._ctx.forward(*self._inputs.args, **self._inputs.kwargs)
        finally:
            for handle in handles:
                handle.remove()
        missing = [layer.label for layer in self._layers if layer.name not in done]
        if missing:
            raise CommitError(f"{self._recipe}: {', '.join(missing)} was not called with these inputs")
        self._ctx.note(f"{self._recipe} layers", self._rows)
        return self._tensors

    def _calibrated(self, layer: Layer, module: nn.Module, args: Any, kwargs: Any, out: Any) -> Any:
        gauge = Gauge.of(layer)
        given = args[0] if args else next(iter(kwargs.values()))
        came = gauge.mean(given)
        if not 0 < came < math.inf:
            what = "0 for every point" if came == 0 else "not finite: points lie on or beyond the sphere"
            raise CommitError(f"{self._recipe}: the radius that comes into {layer.label} is {what}; check the inputs")
        self._first = came if self._first is None else self._first
        wanted = came if self._options.keep == "layer" else self._first
        target = min(wanted, SHARE * gauge.largest(dtype_of(out)))
        if target < wanted:
            warnings.warn(
                f"{self._recipe}: mean radius {wanted:.4g} is wanted of {layer.label}, near the projection boundary; "
                f"{target:.4g} is the target there",
                stacklevel=2,
            )
        scaled = layer.gain if layer.gain is not None else layer.weight
        start = self._tensors[scaled]

        def evaluated(gamma: float) -> tuple[float, Any]:
            inside = scaled.removeprefix(f"{layer.name}.") if layer.name else scaled
            found = substituted(module, {inside: start * gamma}).forward(*args, **kwargs)
            return gauge.mean(found), found

        gamma, before, after, found, tries = self._solve(layer, target, evaluated, (gauge.mean(out), out))
        self._tensors[scaled] = start * gamma
        self._ctx.write(scaled, self._tensors[scaled])
        self._rows.append(
            {
                "layer": layer.name,
                "type": type(module).__name__,
                "radius_in": _short(came),
                "radius_before": _short(before),
                "radius_after": _short(after),
                "gain": gamma,
                "calls": tries,
            }
        )
        return found

    def _solve(self, layer: Layer, target: float, evaluated: Any, first: tuple[float, Any]) -> Any:
        """Bisection of log γ, with secant steps while they stay inside the bracket."""
        low, high = math.log(LOWEST), math.log(HIGHEST)
        at, gamma, (size, out) = 0.0, 1.0, first
        before, tries = size, 1
        last: tuple[float, float] | None = None
        while (
            not (math.isfinite(size) and abs(size / target - 1) < self._options.tolerance)
            and tries < self._options.max_tries
        ):
            if not size > 0:
                raise CommitError(f"{self._recipe}: {layer.label} puts every point at the origin (a dead layer)")
            error = math.log(size / target) if math.isfinite(size) else math.inf
            low, high = (low, at) if error > 0 else (at, high)
            step = -error if math.isfinite(error) else -math.inf
            if last is not None and math.isfinite(error) and error != last[1]:
                step = -error * (at - last[0]) / (error - last[1])
            last = (at, error) if math.isfinite(error) else None
            at = at + step if low < at + step < high else (low + high) / 2
            gamma = float(f"{math.exp(at):.7g}")
            size, out = evaluated(gamma)
            tries += 1
        if not (math.isfinite(size) and abs(size / target - 1) < self._options.tolerance):
            raise CommitError(
                f"{self._recipe}: {layer.label} reaches mean radius {size:.4g} after {tries} calls, not "
                f"{target:.4g}; "
                "does it normalise its own output?"
            )
        return gamma, before, size, out, tries


def _short(value: float) -> float:
    return float(f"{value:.7g}")
