"""Mean hyperbolic radius by depth, linear and convolution, against hypll's own start.

Linear: 256 points at radius 2, 20 layers of one width. Convolution: 3x3, padding 1, on smoothed noise of mean radius 1
and 3. Funnel: widths 128, 64, 32, 16, 8 from radius 1 and 3. float32, c = 1. ``nn.Linear`` puts torch's default for
linear layers into hypll's; ``old`` is the identity in code with λ = 2(1 - c‖x‖²).
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

import initkit
from benchmarks.poincare import _stacks
from initkit_poincare.geometry import radius

SEEDS = [0, 1, 2, 3, 4]
WIDTHS, DEPTH, POINTS, RADIUS = [2, 8, 64], 20, 256, 2.0
CHANNELS, SIDE, IMAGES = [8, 32], 16, 4
FUNNEL = [128, 64, 32, 16, 8]
LINEAR = ["hypll", "hnnpp", "nn.Linear", "variance", "identity", "orthogonal", "old"]
CONV: dict[str, dict[str, Any] | None] = {
    "hypll": None,
    "identity, dirac_half": {"kernel": "dirac_half"},
    "identity, mean": {"kernel": "mean"},
    "identity": {},
    "orthogonal": {},
    "calibrated": {},
}


def run() -> dict[str, Any]:
    torch.set_num_threads(1)
    rows: list[dict[str, Any]] = []
    for width in WIDTHS:
        rows += [
            {"layers": "linear", "width": width, "start": RADIUS, "label": label, **_over("linear", label, width)}
            for label in LINEAR
        ]
    for channels in CHANNELS:
        for rho in (1.0, 3.0):
            rows += [
                {"layers": "conv", "width": channels, "start": rho, "label": label, **_conv(label, channels, rho)}
                for label in CONV
            ]
    for rho in (1.0, 3.0):
        rows += [
            {"layers": "funnel", "width": FUNNEL[0], "start": rho, "label": label, **_funnel(label, rho)}
            for label in ("hypll", "variance", "identity", "orthogonal", "calibrated")
        ]
    return {"seeds": SEEDS, "depth": DEPTH, "points": POINTS, "funnel": FUNNEL, "rows": rows}


def _over(_: str, label: str, width: int) -> dict[str, Any]:
    def one(seed: int) -> dict[str, list[float]]:
        generator = torch.Generator().manual_seed(seed)
        x = _stacks.points(POINTS, width, RADIUS, generator)
        if label == "old":
            return {"radius": _old(x)}
        torch.manual_seed(seed)
        stack = _stacks.linear_stack([width] * (DEPTH + 1))
        _start(stack, label, seed, x)
        return {"radius": _stacks.along(stack, x, 1)["radius"]}

    return _stacks.over_seeds(SEEDS, one)


def _start(stack: _stacks.Stack, label: str, seed: int, x: Tensor, options: dict[str, Any] | None = None) -> None:
    if label == "hypll":
        return
    if label == "nn.Linear":
        with torch.no_grad():
            for layer in stack.layers:
                z = layer.z.tensor  # type: ignore[union-attr]
                z.uniform_(-1 / math.sqrt(len(z)), 1 / math.sqrt(len(z)))  # type: ignore[arg-type, operator]
        return
    name = label.partition(",")[0]
    needs = {}
    if name == "calibrated":
        needs = {"inputs": _stacks.ManifoldTensor(x, stack.manifold, 1)}
    initkit.apply(stack, initkit.recipe(f"poincare/{name}", **(options or {})), seed=seed, **needs)


def _old(x: Tensor) -> list[float]:
    found = [float(radius(x, 1.0).mean())]
    for _ in range(DEPTH):
        w = 2 * (1 - x.square().sum(1, keepdim=True)) * x
        x = w / (1 + (1 + w.square().sum(1, keepdim=True)).sqrt())
        found.append(float(radius(x, 1.0).mean()))
    return found


def _conv(label: str, channels: int, rho: float) -> dict[str, Any]:
    def one(seed: int) -> dict[str, list[float]]:
        generator = torch.Generator().manual_seed(seed)
        x = _stacks.images(IMAGES, channels, SIDE, rho, generator)
        torch.manual_seed(seed)
        stack = _stacks.conv_stack(channels, DEPTH)
        _start(stack, label, seed, x, CONV[label])
        return _stacks.along(stack, x, 1)

    return _stacks.over_seeds(SEEDS, one)


def _funnel(label: str, rho: float) -> dict[str, Any]:
    def one(seed: int) -> dict[str, list[float]]:
        generator = torch.Generator().manual_seed(seed)
        x = _stacks.points(POINTS, FUNNEL[0], rho, generator)
        torch.manual_seed(seed)
        stack = _stacks.linear_stack(FUNNEL)
        _start(stack, label, seed, x)
        return {"radius": _stacks.along(stack, x, 1)["radius"]}

    return _stacks.over_seeds(SEEDS, one)
