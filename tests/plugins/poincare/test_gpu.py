"""Heavy work on a GPU gives the CPU's results; on an emulated device it is seen to run there."""

from __future__ import annotations

from collections.abc import Callable

import poincare_layouts as layouts
import torch
from torch import Tensor, nn

import initkit
from initkit_poincare.geometry import exp0

TREE = [(i, (i - 1) // 3) for i in range(1, 121)]
BATCH = exp0(0.2 * torch.randn(64, 6, generator=torch.Generator().manual_seed(0)), 1.3133)


class Network(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        space = layouts.Ball()
        self.a = layouts.PoincareLinear(6, 6, space)
        self.wide = layouts.NormedLinear(6, 9, space)

    def forward(self, x: Tensor) -> Tensor:
        return self.wide(self.a(x))


class Points(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.points = nn.Embedding(121, 4)
        self.points.ball = layouts.Ball(raw=True)


def test_calibrated(alike: Callable[..., None]) -> None:
    alike(Network, initkit.recipe("poincare/calibrated"), rtol=1e-4, atol=1e-6, there=("mm",), inputs=BATCH)


def test_sarkar(alike: Callable[..., None]) -> None:
    alike(Points, initkit.recipe("poincare/sarkar"), rtol=1e-5, atol=1e-6, there=("_cdist_forward",), tree=TREE)
