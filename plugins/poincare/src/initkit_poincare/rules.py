"""The matrices Z of HNN++-type layers that keep the radius, as draws.

Such a layer computes y = w/(1 + √(1 + c‖w‖²)) with w_k = sinh(√c v_k)/√c and
v_k = (2‖z_k‖/√c) asinh(√c λ_x ⟨x, z_k⟩/‖z_k‖) where the offsets are 0. With ‖z_k‖ = ½ this is w_k = λ_x⟨x, 2z_k⟩, so
that Z = ½Q gives y = xQ exactly for every orthogonal Q, every c and every x; near the origin y ≈ 2xZ for every Z.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from initkit import Blocks, Constant, Draw, Fill, Item, Orthogonal
from initkit_poincare.layers import Layer
from initkit_poincare.placing import ColumnLengths, Placed, ScaledEye, UnitColumns

Kernel = Literal["dirac", "dirac_half", "mean"]


@dataclass(frozen=True)
class Rule:
    """What a layer's Z (n, m) becomes.

    Attributes:
        draw: of Z.
        why: in words.
        length: of its columns, where they are all equally long but for those of zeros; else None.
        filled: number of columns that are not zeros, where ``length`` is given.
    """

    draw: Draw
    why: str
    length: float | None = None
    filled: int = 0


def isometry(layer: Layer, kernel: Kernel, *, mixed: bool, gain: float = 1.0) -> Rule:
    """The draw of Z (n, m) that makes a layer an isometry, and why.

    Args:
        layer: linear or conv.
        kernel: which taps of a convolution get it, and how large.
        mixed: a random orthogonal matrix in place of the unit matrix.
        gain: by which the matrix is multiplied besides.
    """
    scale, taps, words = _taps(layer, kernel)
    scale *= gain
    n, m = layer.channels, layer.m
    if n > m:
        tall = scale * math.sqrt(n / m)
        block: Draw = Orthogonal(tall)
        what = f"{tall:.4g}·Q with orthonormal columns keeps the mean radius of isotropic points"
    elif mixed:
        block = Orthogonal(scale)
        what = f"{scale:.4g}·{'Q' if n == m else '[Q 0]'}, Q orthogonal"
    else:
        block = ScaledEye(scale)
        what = f"{scale:.4g}·{'I' if n == m else '[I 0]'}"
    exact = not layer.taps and n <= m and gain == 1
    why = f"{what}{words}{': an exact isometry for every curvature' if exact else ''}"
    length = scale * (math.sqrt(n / m) if n > m else 1.0) * math.sqrt(len(taps or [0]))
    if taps is not None or (n < m and mixed):
        rows = [slice(None)] if taps is None else [layer.rows(tap) for tap in taps]
        block = Placed(block, rows, slice(0, min(n, m)))
    return Rule(block, why, length, min(n, m))


def directions(layer: Layer, rule: Rule) -> Draw:
    """The draw of weight_v: the directions of Z's columns."""
    return UnitColumns(rule.draw, rule.length is not None and rule.filled < layer.m)


def lengths(layer: Layer, rule: Rule) -> Draw:
    """The draw of weight_g: the lengths of Z's columns."""
    if rule.length is None:
        return ColumnLengths(rule.draw, layer.n, layer.weight)
    if rule.filled == layer.m:
        return Constant(rule.length)
    return Blocks([(slice(0, rule.filled), Constant(rule.length)), (slice(rule.filled, None), Constant(0.0))])


def fills(layer: Layer, rule: Rule) -> list[Item]:
    """The items of one layer: its matrix, both parts where it is weight-normalised, and offsets 0."""
    items: list[Item] = []
    if layer.gain is None:
        items.append(Fill(layer.weight, rule.draw, why=rule.why))
    else:
        empty = rule.length is not None and rule.filled < layer.m
        note = "; columns of zeros get a random direction and length 0" if empty else ""
        items.append(Fill(layer.weight, directions(layer, rule), why=f"directions of Z: {rule.why}{note}"))
        items.append(Fill(layer.gain, lengths(layer, rule), why=f"lengths of Z: {rule.why}"))
    if layer.bias is not None:
        items.append(Fill(layer.bias, Constant(0.0), why="hyperplanes through the origin"))
    return items


def centre_tap(layer: Layer) -> int:
    """The number of a convolution's centre tap; of even kernels the one before the middle."""
    tap = 0
    for side in layer.taps:
        tap = tap * side + (side - 1) // 2
    return tap


def _taps(layer: Layer, kernel: Kernel) -> tuple[float, list[int] | None, str]:
    """The scale of a block, the taps that get it (None: the layer is no convolution) and words about them."""
    if not layer.taps:
        return 0.5, None, ""
    size = math.prod(layer.taps)
    if kernel == "mean":
        return 0.5 / math.sqrt(size), list(range(size)), f" at all {size} taps"
    tap = centre_tap(layer)
    if kernel == "dirac_half":
        return 0.5, [tap], " at the centre tap"
    return (
        0.5 / layer.beta_factor,
        [tap],
        f" at the centre tap, 1/(2r) for the concatenation's r = {layer.beta_factor:.4g}",
    )
