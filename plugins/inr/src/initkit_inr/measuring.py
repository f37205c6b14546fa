"""What ``initkit inspect`` measures of a network of coordinates."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import nn

from initkit import NeedError, NotMeasured, PlanError, Plot, Scene, Table, Verdict
from initkit_inr.activations import Activation
from initkit_inr.layers import LayerPlan, find_layers
from initkit_inr.prediction import condition, from_variances
from initkit_inr.recipe import FIELD_KINDS, mean_square, significant, thinned
from initkit_inr.spectra import Sampled

FAR = 1.5
"""A preactivation this many times off what its weights predict."""

MISPLACED = 4.0
"""How much nearer weights must be to another placement of the frequency than to the model's."""

BANDS = 16


def preactivations(scene: Scene) -> Iterator[Table | Verdict]:
    """Yield each layer's preactivation size: measured on the inputs, and predicted from the sizes of its weights.

    Predicted is √(n_in Var[w] E[h²] + Var[b]) with z taken as normal in every layer, h the activation before. Also the
    condition s² E[φ'²]/E[φ²], what an activation does to a gradient's variance where the signal keeps its own.

    Args:
        scene: of a network of coordinates, with inputs.
    """
    layers = _field(scene)
    if layers is None:
        return
    yield from _misplaced(scene, layers)
    given = scene.given_inputs()
    inputs: Any = given.kwargs or (thinned(given.args[0]) if len(given.args) == 1 else given.args)
    try:
        measured = layers.measured(inputs)
        x2 = mean_square(layers, inputs)
    except NeedError as error:
        raise NotMeasured(str(error)) from error
    if measured is None:
        raise NotMeasured("the forward pass cannot be followed")
    expected = from_variances(layers, lambda name: _variance(scene, name), x2)
    rows = []
    for layer, size, wanted in zip(layers, measured, expected, strict=True):
        rows.append(
            {
                "layer": layer.label,
                "activation": "none" if layer.activation is None else str(layer.activation),
                "measured": significant(size, 4),
                "predicted": None if wanted is None else significant(wanted, 4),
                "condition": condition(layer, size),
            }
        )
    yield Table(
        "preactivations",
        rows,
        words="standard deviation of z = Wx + b, measured and predicted from the sizes of weights and biases",
        plot=Plot("line", "layer", ("measured", "predicted"), log=("y",), labels={"measured": "std of z"}),
        compare=("measured", "condition"),
    )
    yield from _sizes(layers, rows)
    yield from _gradients(layers, rows)


def spectrum(scene: Scene, *, coords: Any, signal: Any) -> Iterator[Table | Verdict]:
    """Yield the spectrum of the network's output on the signal's grid beside that of the signal, along the last axis.

    Args:
        scene: of a network of coordinates.
        coords: the points of the grid, (..., d).
        signal: on its grid, channels last.
    """
    if _field(scene) is None:
        return
    points = torch.as_tensor(coords).detach().to(scene.device, torch.float32)
    axes = points.shape[-1]
    sampled = Sampled.of(signal, axes)
    points = points.reshape(-1, axes)
    if len(points) != math.prod(sampled.grid):
        raise NeedError(f"coords: {len(points)} points, but the signal's grid is {sampled.grid}")
    out = scene.forward(points)
    out = out[0] if isinstance(out, (tuple, list)) else out
    if not isinstance(out, torch.Tensor) or len(out.reshape(-1)) % len(points):
        raise NotMeasured("the output has not one value for each point")
    out = out.real if out.is_complex() else out
    theirs, ours = _power(sampled.values), _power(out.reshape(*sampled.grid, -1).double().cpu().numpy())
    rows = [
        {
            "cycles a sample": round((k + 0.5) / (2 * len(theirs)), 4),
            "signal": float(theirs[k]),
            "output": float(ours[k]),
        }
        for k in range(len(theirs))
    ]
    yield Table(
        "spectrum",
        rows,
        words="share of power by frequency along the last axis, without the constant part",
        plot=Plot("line", "cycles a sample", ("signal", "output"), log=("y",)),
        compare=("output",),
    )
    target, found = _centre(theirs), _centre(ours)
    words = f"the untrained output has its power about {found:.3g} cycles a sample, the signal about {target:.3g}"
    if not math.isfinite(found):
        yield Verdict("WARN", "the untrained output is constant")
    elif found < target / 8:
        yield Verdict("NOTE", f"{words}: high frequencies will come late; inr/winner and inr/fresh look at the signal")
    elif found > 3 * target:
        yield Verdict(
            "WARN", f"{words}: it begins far above the signal's spectrum, which fits noise between the samples"
        )
    else:
        yield Verdict("PASS", words)


def _field(scene: Scene) -> LayerPlan | None:
    """The layer plan of a network of coordinates; None for another model."""
    if not isinstance(scene.model, nn.Module):
        return None
    try:
        layers = find_layers(scene.model)
    except PlanError:
        return None
    kinds = {layer.activation.kind for layer in layers if layer.activation is not None}
    return layers if kinds & set(FIELD_KINDS) else None


def _misplaced(scene: Scene, layers: LayerPlan) -> Iterator[Verdict]:
    """Say where the weights are those of another placement of the frequency than the model's."""
    hidden = [layer for layer in layers.periodic if not layer.first]
    # The second layer may hold noise on purpose (inr/winner), so others decide where there are some.
    for layer in hidden[1:] or hidden:
        activation = layer.activation
        if activation is None or activation.omega < MISPLACED:
            continue
        size = math.sqrt(_variance(scene, layer.weight) * layer.n_in)
        right = math.sqrt(2) / activation.omega * activation.fold  # of a hidden SIREN layer
        for wrong, words in _mistakes(activation, right):
            if _near(size, wrong) < math.log(MISPLACED) < _near(size, right):
                yield Verdict("FAIL", f"√(n_in Var[w]) is {size:.3g}, {words}", layer.label)


def _mistakes(activation: Activation, right: float) -> Iterator[tuple[float, str]]:
    """Sizes of weights that were drawn for another placement, in words."""
    omega = activation.omega
    if activation.placement == "folded":
        yield (
            right / omega,
            f"that of weights for sin({omega:g}(Wx + b)), but the model computes sin(Wx + b): multiply the weights by "
            f"{omega:g}, or the argument of the sine",
        )
    else:
        yield (
            right * omega,
            f"that of torch's default, or of weights which hold the frequency already, but the model multiplies by "
            f"{omega:g} once more: inr/siren draws them for the placement that it has",
        )
        yield right / omega, f"{omega:g} times below what sines of this frequency want: divided by it twice"


def _near(one: float, other: float) -> float:
    return math.inf if one <= 0 else abs(math.log(one / other))


def _variance(scene: Scene, name: str) -> float:
    values = scene.slots[name].read().detach()
    return float(values.abs().double().square().mean())


def _sizes(layers: LayerPlan, rows: list[dict[str, Any]]) -> Iterator[Verdict]:
    """Whether preactivations have the size that the weights predict."""
    off = []
    for layer, row in zip(layers, rows, strict=True):
        wide = layer.last and layer.n_out < 8  # a few units have a size of their own
        if row["predicted"] and not wide and _near(row["measured"], row["predicted"]) > math.log(FAR):
            off.append(row)
    if off:
        first = off[0]
        yield Verdict(
            "WARN",
            f"preactivations measure {first['measured']:.3g} where the sizes of the weights predict "
            f"{first['predicted']:.3g}: their inputs are not what the theory takes them for",
            str(first["layer"]),
        )
    elif any(row["predicted"] for row in rows):
        yield Verdict("PASS", f"preactivations are within {FAR:g}x of what the sizes of the weights predict")


def _gradients(layers: LayerPlan, rows: list[dict[str, Any]]) -> Iterator[Verdict]:
    """What the conditions of all hidden layers make of a gradient's size."""
    hidden = [row["condition"] for layer, row in zip(layers, rows, strict=True) if not layer.last and not layer.first]
    conditions = [one for one in hidden if one]
    if not conditions:
        return
    log = 0.5 * math.fsum(math.log(one) for one in conditions)
    size = math.exp(min(max(log, -300), 300))
    words = f"{len(conditions)} hidden layers change a gradient's size {size:.3g} times where they keep the signal's"
    if abs(log) > math.log(100):
        yield Verdict("FAIL", f"{words}; inr/vi3nr takes a size of preactivations that keeps both")
    elif abs(log) > math.log(5):
        yield Verdict("WARN", f"{words}; inr/vi3nr takes a size of preactivations that keeps both")
    else:
        yield Verdict("PASS", words)


def _power(values: Any) -> Any:
    """Shares of power in bands of frequency along the last spatial axis."""
    # Without its mean and under a window, so that the ends of a slope do not count as high frequencies.
    centred = values - values.mean(axis=-2, keepdims=True)
    power = np.square(np.abs(np.fft.rfft(centred * np.hanning(values.shape[-2])[:, None], axis=-2)))
    line = power.reshape(-1, *power.shape[-2:]).sum(axis=(0, 2))[1:]
    bands = np.array([part.sum() for part in np.array_split(line, min(BANDS, len(line)))])
    return bands / bands.sum() if bands.sum() > 0 else bands


def _centre(bands: Any) -> float:
    at = (np.arange(len(bands)) + 0.5) / (2 * len(bands))
    return float((at * bands).sum()) if bands.sum() > 0 else math.nan
