"""What size preactivations will have, from the draws and the activations alone."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

from initkit import Draw, PlanError
from initkit_inr.layers import Layer, LayerPlan
from initkit_inr.moments import moments

UNIFORM = 1 / 3  # E[x²] of coordinates that fill [-1, 1]


def predicted(layers: LayerPlan, draws: Mapping[str, Draw], x2: float = UNIFORM) -> list[float | None]:
    """The standard deviation of each layer's z = Wx + b over random starts and inputs.

    A Gaussian z is assumed at every layer, as wide layers have it.

    Args:
        layers: the layer plan.
        draws: of weights and biases by name; the std of a complex tensor's draw is that of each part.
        x2: mean of x² over the entries of a first layer's input.

    Returns:
        One number a layer; None from where a draw has no scale, or an activation is dead.
    """
    return from_variances(layers, lambda name: _variance(draws.get(name), layers, name), x2)


def from_variances(layers: LayerPlan, variance: Callable[[str], float], x2: float = UNIFORM) -> list[float | None]:
    """As :func:`predicted`, from each tensor's mean square by name (not a number where it is unknown)."""
    found: list[float | None] = []
    for layer in layers:
        h2: float | None = 0.0
        for source in layer.sources:
            size = x2 if source.layer is None else _after(layers[source.layer], found[source.layer])
            h2 = None if h2 is None or size is None else h2 + source.width / layer.n_in * source.scale**2 * size
        weight, bias = variance(layer.weight), 0.0 if layer.bias is None else variance(layer.bias)
        found.append(None if h2 is None or math.isnan(weight + bias) else math.sqrt(weight * layer.n_in * h2 + bias))
    return found


def condition(layer: Layer, std: float | None) -> float | None:
    """s² E[φ'²]/E[φ²] of the activation after a layer, at preactivations of size s, to five digits.

    A layer which keeps the signal's variance multiplies the gradient's by it. None where there is no activation, or a
    dead one.
    """
    if layer.activation is None or std is None or not std > 0:
        return None
    try:
        found = moments(layer.activation, std, complex_input=layer.dtype.is_complex).condition
    except PlanError:
        return None
    return float(f"{found:.5g}")


def _after(layer: Layer, std: float | None) -> float | None:
    if std is None or std == 0 or layer.activation is None:
        return None
    try:
        return moments(layer.activation, std, complex_input=layer.dtype.is_complex).m2
    except PlanError:
        return None


def _variance(draw: Draw | None, layers: LayerPlan, name: str) -> float:
    try:
        std = math.nan if draw is None else draw.std
    except AttributeError:
        return math.nan
    parts = next(2 if layer.dtype.is_complex else 1 for layer in layers if name in (layer.weight, layer.bias))
    return std**2 * parts
