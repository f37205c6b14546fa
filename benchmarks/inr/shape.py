"""The distance field of a torus fitted by sine networks, from several starts.

3 -> 64 x 4 -> 1, ω = 30; Adam 1e-3, 500 steps of 2048 points drawn anew: half in [-1, 1]³, half about the surface. The
error is the mean of |output - distance| over 20000 points within 0.05 of the surface.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

import initkit
from benchmarks.inr import _fit

STEPS = 500
RING, TUBE, NEAR = 0.6, 0.25, 0.05
STARTS: dict[str, tuple[str, dict[str, Any]]] = {
    "siren": ("inr/siren", {}),
    "vi3nr": ("inr/vi3nr", {}),
    "sine_gradient": ("inr/sine_gradient", {}),
    "weight_scaling 1.5": ("inr/weight_scaling", {}),
    "winner, S0 = 5": ("inr/winner", {"s0": 5.0, "s1": 0.02}),
    "winner, S0 = 30": ("inr/winner", {"s0": 30.0, "s1": 0.1}),
}


def run() -> dict[str, Any]:
    return _fit.one_thread(_run)


def _run() -> dict[str, Any]:
    rows = []
    for label, (name, options) in STARTS.items():
        errors = [_error(initkit.recipe(name, **options), seed) for seed in _fit.SEEDS]
        rows.append({"label": label, "error": [float(f"{1000 * one:.4g}") for one in errors]})
        print(label, rows[-1]["error"], flush=True)
    return {"seeds": _fit.SEEDS, "steps": STEPS, "data": "torus", "near": NEAR, "rows": rows}


def _error(recipe: Any, seed: int) -> float:
    model = _fit.network(3, 4, _fit.Sine)
    _fit.start(model, recipe, seed, {})
    _train(model, seed)
    near = _about_surface(20_000, torch.Generator().manual_seed(1000), NEAR)
    with torch.no_grad():
        return float((model(near)[:, 0] - _distance(near)).abs().mean())


def _train(model: nn.Module, seed: int) -> None:
    numbers = torch.Generator().manual_seed(seed)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    for _ in range(STEPS):
        points = torch.cat([2 * torch.rand(1024, 3, generator=numbers) - 1, _about_surface(1024, numbers, 0.1)])
        loss = functional.mse_loss(model(points)[:, 0], _distance(points))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()


def _distance(points: Tensor) -> Tensor:
    """Signed distance to the torus about the z axis."""
    along = points[:, :2].norm(dim=1) - RING
    return torch.hypot(along, points[:, 2]) - TUBE


def _about_surface(count: int, numbers: torch.Generator, reach: float) -> Tensor:
    """Points within ``reach`` of the surface."""
    u, v, d = torch.rand(3, count, generator=numbers)
    tube = TUBE + reach * (2 * d - 1)
    ring = RING + tube * torch.cos(2 * math.pi * v)
    angle = 2 * math.pi * u
    return torch.stack([ring * torch.cos(angle), ring * torch.sin(angle), tube * torch.sin(2 * math.pi * v)], 1)
