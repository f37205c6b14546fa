"""Deep stacks of hypll's layers, and radii along them."""

from __future__ import annotations

import itertools
import statistics
from collections.abc import Callable, Sequence
from typing import Any

import torch
from hypll.manifolds.poincare_ball import Curvature, PoincareBall
from hypll.nn import HConvolution2d, HLinear
from hypll.tensors import ManifoldTensor
from torch import Tensor, nn
from torch.nn import functional

from initkit_poincare.geometry import exp0, log0, radius


def ball(c: float = 1.0) -> PoincareBall:
    """A ball of curvature -c, without the softplus that hypll's default applies."""
    return PoincareBall(Curvature(c, constraining_strategy=lambda value: value))


class Stack(nn.Module):
    """Layers one after another, without anything between them."""

    def __init__(self, layers: Sequence[nn.Module], manifold: PoincareBall) -> None:
        super().__init__()
        self.layers = nn.ModuleList(layers)
        self.manifold = manifold

    def forward(self, x: ManifoldTensor) -> ManifoldTensor:
        for layer in self.layers:
            x = layer(x)
        return x


def linear_stack(widths: Sequence[int]) -> Stack:
    manifold = ball()
    return Stack([HLinear(n, m, manifold) for n, m in itertools.pairwise(widths)], manifold)


def conv_stack(channels: int, layers: int) -> Stack:
    manifold = ball()
    return Stack([HConvolution2d(channels, channels, 3, manifold, padding=1) for _ in range(layers)], manifold)


def points(count: int, dim: int, rho: float, generator: torch.Generator) -> Tensor:
    """Points at radius ρ in random directions."""
    v = torch.randn(count, dim, generator=generator, dtype=torch.float64)
    return exp0(v / v.norm(dim=1, keepdim=True) * rho / 2, 1.0).float()


def images(count: int, channels: int, side: int, rho: float, generator: torch.Generator) -> Tensor:
    """Images of points with mean radius ρ, smoothed noise over pixels."""
    v = torch.randn(count, channels, side, side, generator=generator, dtype=torch.float64)
    v = functional.avg_pool2d(v, 5, stride=1, padding=2)
    return exp0(v * (rho / 2) / v.norm(dim=1).mean(), 1.0, dim=1).float()


def along(stack: Stack, x: Tensor, man_dim: int) -> dict[str, list[float]]:
    """Mean radius of what goes in and of what each layer gives, and its cosine with the input's tangent vectors."""
    found: dict[str, list[float]] = {"radius": [], "cosine": []}
    start = log0(x.double(), 1.0, dim=man_dim)
    with torch.no_grad():
        value = ManifoldTensor(x, stack.manifold, man_dim)
        for layer in [nn.Identity(), *stack.layers]:
            value = layer(value)
            out = value.tensor.double()
            found["radius"].append(float(radius(out, 1.0, man_dim).mean()))
            if out.shape == start.shape:
                cosine = functional.cosine_similarity(log0(out, 1.0, dim=man_dim), start, dim=man_dim)
                found["cosine"].append(float(cosine.mean()))
    return found


def spread(rows: Sequence[dict[str, list[float]]], key: str, digits: int = 5) -> list[dict[str, float]]:
    """Mean, smallest and largest of each place over seeds."""

    def short(value: float) -> float:
        return float(f"{value:.{digits}g}")

    return [
        {"mean": short(statistics.fmean(values)), "low": short(min(values)), "high": short(max(values))}
        for values in zip(*(row[key] for row in rows), strict=True)
    ]


def over_seeds(seeds: Sequence[int], one: Callable[[int], dict[str, list[float]]]) -> dict[str, Any]:
    rows = [one(seed) for seed in seeds]
    return {key: spread(rows, key) for key in rows[0] if rows[0][key]}
