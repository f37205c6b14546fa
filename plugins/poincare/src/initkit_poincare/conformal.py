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
from initkit_poincare.layers import Layer
from initkit_poincare.manifold_slots import inner
from initkit_poincare.substitute import substituted

Finding = Literal["exact", "old", "unknown"]
PROBED_RADIUS = 2.0


def conformal_factor(layer: Layer) -> Finding:
    """Send a point of radius 2 through a copy of a linear layer with Z = ½I and offsets 0.

    Returns:
        ``exact``: it comes back; ``old``: it comes back where 2(1 - c‖x‖²) puts it; ``unknown``: neither, or the layer
        cannot be called with a batch of one (a convolution, a layer on the meta device).
    """
    if layer.kind != "linear" or any(inner(p).is_meta for p in layer.module.parameters()):
        return "unknown"
    c = curvature_of(layer.ball, layer.label).c
    width = min(layer.n, layer.m)
    x = torch.zeros(1, layer.n, dtype=torch.float64)
    x[0, :width] = torch.tensor([(-1.0) ** i * (1 + i % 3) for i in range(width)])
    x *= math.tanh(PROBED_RADIUS / 2) / math.sqrt(c) / x.norm()
    out = _through(layer, x)
    if out is None or out.numel() != layer.m:
        return "unknown"
    got, wanted = out.reshape(-1)[:width].to(torch.float64), x[0, :width]
    if torch.allclose(got, wanted, rtol=1e-3, atol=1e-4 / math.sqrt(c)):
        return "exact"
    as_point, as_tangent = _old(wanted, c), log0(_old(exp0(wanted, c), c), c)
    if any(torch.allclose(got, old, rtol=1e-3, atol=1e-4 / math.sqrt(c)) for old in (as_point, as_tangent)):
        return "old"
    return "unknown"


def refuse_old(layers: list[Layer], recipe: str) -> None:
    """Refuse layers of released code in which no matrix can be an isometry.

    Raises:
        PlanError: a layer computes with λ = 2(1 - c‖x‖²).
    """
    checked: set[type] = set()
    for layer in layers:
        if type(layer.module) in checked or layer.kind != "linear":
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


def _through(layer: Layer, x: Tensor) -> Tensor | None:
    """The layer's answer to a point with Z = ½I and offsets 0; None where it cannot be called so."""
    like = inner(next(p for p in layer.module._parameters.values() if p is not None))
    half = (0.5 * torch.eye(layer.n, layer.m, dtype=torch.float64)).to(like.device, like.dtype)
    values = {"z": half} if layer.gain is None else {"weight_v": half, "weight_g": half.norm(dim=0)}
    if layer.bias is not None:
        values["bias"] = torch.zeros(layer.m, dtype=like.dtype, device=like.device)
    point: Any = x.to(like.device, like.dtype)
    kind = next((k for k in type(layer.module._parameters.get("z")).__mro__ if k.__name__ == "ManifoldTensor"), None)
    if kind is not None:
        point = kind(point, layer.ball, -1)
    # A stranger's layer may want anything; one that cannot take a batch of one is not judged.
    with contextlib.suppress(Exception), torch.no_grad(), random_state():
        out = substituted(layer.module, values)(point)
        out = getattr(out, "tensor", out)
        return out if isinstance(out, Tensor) else None
    return None
