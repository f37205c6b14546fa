"""Radius by depth of Möbius and Lorentz layers, against the starts that their code has.

Möbius: W ⊗ x by geoopt, width 64, 20 layers, points at radius 2: torch's default for linear layers, geoopt's example
(the identity and uniform noise of 0.001), poincare/mobius_orthogonal. Lorentz: y_space = (Wx)_1.., 64 space
coordinates, 20 layers: uniform ±0.02 as published, torch's default, poincare/lorentz_identity. c = 1, float32.
"""

from __future__ import annotations

from typing import Any

import geoopt
import torch
from torch import Tensor, nn

import initkit
from benchmarks.poincare import _stacks
from initkit_poincare.geometry import radius

SEEDS = [0, 1, 2, 3, 4]
WIDTH, DEPTH, POINTS, RADIUS = 64, 20, 256, 2.0
MOBIUS = ["nn.Linear", "geoopt example", "poincare/mobius_orthogonal"]
LORENTZ = ["nn.Linear", "published", "poincare/lorentz_identity"]


class MobiusLinear(nn.Linear):
    """W ⊗ x."""

    def __init__(self, width: int, ball: geoopt.PoincareBall) -> None:
        super().__init__(width, width, bias=False)
        self.ball = ball

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.ball.mobius_matvec(self.weight, x)
        return out


class LorentzFullyConnected(nn.Module):
    """y_space = (Wx)_1.., time anew."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.manifold = geoopt.Lorentz(1.0)
        self.weight = nn.Linear(width, width, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return with_time(self.weight(x)[..., 1:])


def with_time(space: Tensor) -> Tensor:
    return torch.cat([(space.square().sum(-1, keepdim=True) + 1).sqrt(), space], dim=-1)


def run() -> dict[str, Any]:
    torch.set_num_threads(1)
    rows = [{"layers": "Möbius", "label": label, **_stacks.over_seeds(SEEDS, _mobius(label))} for label in MOBIUS]
    rows += [{"layers": "Lorentz", "label": label, **_stacks.over_seeds(SEEDS, _lorentz(label))} for label in LORENTZ]
    return {"seeds": SEEDS, "width": WIDTH, "depth": DEPTH, "points": POINTS, "start": RADIUS, "rows": rows}


def _mobius(label: str) -> Any:
    def one(seed: int) -> dict[str, list[float]]:
        x = _stacks.points(POINTS, WIDTH, RADIUS, torch.Generator().manual_seed(seed))
        torch.manual_seed(seed)
        ball = geoopt.PoincareBall(1.0)
        layers = nn.ModuleList(MobiusLinear(WIDTH, ball) for _ in range(DEPTH))
        if label.startswith("poincare/"):
            initkit.apply(layers, label, seed=seed)
        elif label == "geoopt example":
            with torch.no_grad():
                for layer in layers:
                    layer.weight.copy_(torch.eye(WIDTH) + 1e-3 * torch.rand(WIDTH, WIDTH))  # type: ignore[operator]
        found = [float(radius(x, 1.0).mean())]
        with torch.no_grad():
            for layer in layers:
                x = layer(x)
                found.append(float(radius(x, 1.0).mean()))
        return {"radius": found}

    return one


def _lorentz(label: str) -> Any:
    def one(seed: int) -> dict[str, list[float]]:
        generator = torch.Generator().manual_seed(seed)
        v = torch.randn(POINTS, WIDTH, generator=generator)
        x = with_time(v / v.norm(dim=1, keepdim=True) * torch.sinh(torch.tensor(RADIUS)))
        torch.manual_seed(seed)
        layers = nn.ModuleList(LorentzFullyConnected(WIDTH + 1) for _ in range(DEPTH))
        if label.startswith("poincare/"):
            initkit.apply(layers, label, seed=seed)
        elif label == "published":
            for layer in layers:
                nn.init.uniform_(layer.weight.weight, -0.02, 0.02)  # type: ignore[union-attr, arg-type]
        found = [_reach(x)]
        with torch.no_grad():
            for layer in layers:
                x = layer(x)
                found.append(_reach(x))
        return {"radius": found}

    return one


def _reach(x: Tensor) -> float:
    return float(torch.asinh(x[..., 1:].double().norm(dim=-1)).mean())
