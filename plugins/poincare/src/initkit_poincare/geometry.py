"""The Poincaré ball of curvature -c in float64: what the plugin measures and draws with.

Points x (..., d) with ‖x‖ < 1/√c. The radius of a point is its distance from the origin, ρ(x) = (2/√c) artanh(√c‖x‖),
so that ρ(exp0(v)) = 2‖v‖.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor


def norms(x: Tensor, dim: int = -1) -> Tensor:
    """Euclidean norms with that dimension kept, never 0."""
    found: Tensor = x.norm(dim=dim, keepdim=True).clamp_min(torch.finfo(x.dtype).tiny)
    return found


def exp0(v: Tensor, c: float, dim: int = -1) -> Tensor:
    """exp0(v) = tanh(√c‖v‖) v/(√c‖v‖)."""
    size = math.sqrt(c) * norms(v, dim)
    return torch.tanh(size) / size * v


def log0(x: Tensor, c: float, dim: int = -1) -> Tensor:
    """The inverse of :func:`exp0`."""
    size = math.sqrt(c) * norms(x, dim)
    return torch.atanh(size) / size * x


def mobius_add(x: Tensor, y: Tensor, c: float) -> Tensor:
    """x ⊕ y over the last dimension."""
    xy, x2, y2 = (x * y).sum(-1, keepdim=True), x.square().sum(-1, keepdim=True), y.square().sum(-1, keepdim=True)
    return ((1 + 2 * c * xy + c * y2) * x + (1 - c * x2) * y) / (1 + 2 * c * xy + c * c * x2 * y2)


def expmap(x: Tensor, v: Tensor, c: float) -> Tensor:
    """exp_x(v) for a tangent vector v in coordinates of the ball."""
    conformal = 2 / (1 - c * x.square().sum(-1, keepdim=True))
    size = norms(v)
    root = math.sqrt(c)
    return mobius_add(x, torch.tanh(root * conformal * size / 2) / (root * size) * v, c)


def distance(x: Tensor, y: Tensor, c: float) -> Tensor:
    """2 asinh(√c‖x-y‖/√((1-c‖x‖²)(1-c‖y‖²)))/√c, which keeps its digits for near points."""
    root = math.sqrt(c)
    gap = (x - y).norm(dim=-1)
    room = (1 - c * x.square().sum(-1)) * (1 - c * y.square().sum(-1))
    return 2 / root * torch.asinh(root * gap / room.sqrt())


def distances(x: Tensor, y: Tensor, c: float) -> Tensor:
    """All distances between points x (n, d) and y (m, d), as (n, m), in float64."""
    x, y = x.to(torch.float64), y.to(torch.float64)
    root = math.sqrt(c)
    gap = torch.cdist(x, y, compute_mode="donot_use_mm_for_euclid_dist")
    room = (1 - c * x.square().sum(-1)).unsqueeze(1) * (1 - c * y.square().sum(-1)).unsqueeze(0)
    return 2 / root * torch.asinh(root * gap / room.sqrt())


def radius(x: Tensor, c: float, dim: int = -1) -> Tensor:
    """ρ(x), in float64."""
    size = math.sqrt(c) * x.to(torch.float64).norm(dim=dim)
    return 2 / math.sqrt(c) * torch.atanh(size)


def radius_of_norm(norm: float, c: float = 1.0) -> float:
    """ρ of a point of a Euclidean norm below 1/√c."""
    return 2 / math.sqrt(c) * math.atanh(math.sqrt(c) * norm)


def concatenation(channels: int, taps: int) -> float:
    """r_β = B(k²C/2, ½)/B(C/2, ½), by which β-concatenation scales the parts of a patch."""
    n = channels * taps
    log_b = [math.lgamma(a / 2) - math.lgamma((a + 1) / 2) for a in (n, channels)]
    return math.exp(log_b[0] - log_b[1])
