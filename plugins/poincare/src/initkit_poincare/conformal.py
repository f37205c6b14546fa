"""Which λ_x a layer computes with: 2/(1 - c‖x‖²), or 2(1 - c‖x‖²) as in some released code."""

from __future__ import annotations

import contextlib
import math
from typing import Any, Literal

import torch
from torch import Tensor

from initkit import PlanError
from initkit._guard import random_state
from initkit_poincare.curvature import curvature_of
from initkit_poincare.geometry import exp0, log0
from initkit_poincare.layers import GYROPLANE, Layer
from initkit_poincare.manifold_slots import inner
from initkit_poincare.radii import Gauge
from initkit_poincare.rules import centre_tap
from initkit_poincare.substitute import substituted

Finding = Literal["exact", "old", "unknown"]
PROBED_RADIUS = 2.0


def conformal_factor(layer: Layer) -> Finding:
    """Send a point through a copy of a layer with Z = ½I (at the centre tap of a convolution) and offsets 0.

    Returns:
        ``exact``: it comes back, for convolutions as the concatenation scales it; ``old``: it comes back where
        2(1 - c‖x‖²) puts it; ``unknown``: neither, or the layer cannot be called so (on the meta device, for one).
    """
    if layer.kind not in GYROPLANE or any(inner(p).is_meta for p in layer.module.parameters()):
        return "unknown"
    c = curvature_of(layer.ball, layer.label).c
    return _conv_finding(layer, c) if layer.taps else _linear_finding(layer, c)


def _linear_finding(layer: Layer, c: float) -> Finding:
    width = min(layer.n, layer.m)
    x = torch.zeros(1, layer.n, dtype=torch.float64)
    x[0, :width] = _pattern(width) * math.tanh(PROBED_RADIUS / 2) / math.sqrt(c)
    out = _through(layer, x, 0.5 * torch.eye(layer.n, layer.m, dtype=torch.float64), -1)
    if out is None or out.numel() != layer.m:
        return "unknown"
    wanted = x[0, :width]
    # Points, or tangent vectors at the origin: the identity is one either way.
    olds = (_old(wanted, c), log0(_old(exp0(wanted, c), c), c))
    return _judged(out.reshape(-1)[:width], wanted, olds, c)


def _conv_finding(layer: Layer, c: float) -> Finding:
    """A kernel-sized image with one pixel in the middle, which only the centre tap of one patch sees."""
    gauge = Gauge.of(layer)
    width, centre = min(layer.channels, layer.m), tuple((k - 1) // 2 for k in layer.taps)
    v = torch.zeros(layer.channels, dtype=torch.float64)
    v[:width] = _pattern(width) * PROBED_RADIUS / math.sqrt(c)  # at radius 4, which the concatenation shortens
    if gauge.dim == 1:
        image = torch.zeros(1, layer.channels, *layer.taps, dtype=torch.float64)
        image[0].movedim(0, -1)[centre] = v
    else:
        image = torch.zeros(*layer.taps, 1, layer.channels, dtype=torch.float64)
        image[..., 0, :][centre] = v
    dim = 1 if gauge.dim == 1 else image.ndim - 1
    z = torch.zeros(layer.n, layer.m, dtype=torch.float64)
    z[layer.rows(centre_tap(layer)), :width] = 0.5 * torch.eye(layer.channels, width, dtype=torch.float64)
    out = _through(layer, exp0(image, c, dim) if gauge.space == "ball" else image, z, dim)
    if out is None or out.ndim != image.ndim or out.shape[dim] != layer.m:
        return "unknown"
    out = out.to(torch.float64)
    tangents = log0(out, c, dim) if gauge.space == "ball" else out
    got = tangents.movedim(dim, 0).reshape(layer.m, -1).sum(1)[:width]
    wanted = layer.beta_factor * v[:width]
    return _judged(got, wanted, (log0(_old(exp0(wanted, c), c), c),), c)


def _pattern(width: int) -> Tensor:
    """A vector of length one without zeros."""
    found = torch.tensor([(-1.0) ** i * (1 + i % 3) for i in range(width)], dtype=torch.float64)
    unit: Tensor = found / found.norm()
    return unit


def _judged(got: Tensor, exact: Tensor, olds: tuple[Tensor, ...], c: float) -> Finding:
    def near(other: Tensor) -> bool:
        return torch.allclose(got.to("cpu", torch.float64), other, rtol=1e-3, atol=1e-3 / math.sqrt(c))

    return "exact" if near(exact) else "old" if any(near(one) for one in olds) else "unknown"


def refuse_old(layers: list[Layer], recipe: str) -> None:
    """Refuse layers of released code in which no matrix can be an isometry.

    Raises:
        PlanError: a layer computes with λ = 2(1 - c‖x‖²).
    """
    checked: set[type] = set()
    for layer in sorted(layers, key=lambda layer: layer.n * layer.m):  # the smallest of each class is run
        if type(layer.module) in checked:
            continue
        finding = conformal_factor(layer)
        checked.add(type(layer.module))
        if finding == "old":
            raise PlanError(
                f"recipe {recipe}, {layer.label}: it computes with λ = 2(1 - c‖x‖²) in place of 2/(1 - c‖x‖²), as the "
                "released Poincaré ResNet code does, so no weights make it an isometry (radius 4.0 becomes 0.14 in one "
                "layer); correct that line (hypll has it right since 2023-09), or keep the radius by measuring it, "
                "with poincare/calibrated"
            )


def _old(x: Tensor, c: float) -> Tensor:
    """What Z = ½I gives with the old λ."""
    w = 2 * (1 - c * x.square().sum()) * x
    return w / (1 + torch.sqrt(1 + c * w.square().sum()))


def _through(layer: Layer, x: Tensor, z: Tensor, dim: int) -> Tensor | None:
    """The layer's answer with a matrix Z and offsets 0; None where it cannot be called so."""
    held = layer.module._parameters
    like = inner(next(p for p in held.values() if p is not None))
    z = z.to(like.device, like.dtype)
    own = layer.weight.rpartition(".")[2]
    values = {own: z} if layer.gain is None else {"weight_v": z, "weight_g": z.norm(dim=0)}
    if layer.bias is not None:
        values["bias"] = torch.zeros(layer.m, dtype=like.dtype, device=like.device)
    point: Any = x.to(like.device, like.dtype)
    kind = next((k for k in type(held[own]).__mro__ if k.__name__ == "ManifoldTensor"), None)
    if kind is not None:
        point = kind(point, layer.ball, dim)
    # A stranger's layer may want anything; one that cannot be called so is not judged.
    with contextlib.suppress(Exception), torch.no_grad(), random_state():
        out = substituted(layer.module, values)(point)
        out = getattr(out, "tensor", out)
        return out if isinstance(out, Tensor) else None
    return None
