"""Every recipe of the plugin passes the battery that strangers' recipes must pass."""

from __future__ import annotations

from typing import Any

import poincare_layouts as layouts
import torch
from torch import Tensor, nn

import initkit
from initkit.testing import Case, parametrize_with_checks
from initkit_poincare.geometry import exp0


class Network(nn.Module):
    """HNN++ layers of two layouts, one of them shared."""

    def __init__(self) -> None:
        super().__init__()
        self.space = layouts.Ball()
        self.a = layouts.PoincareLinear(6, 6, self.space)
        self.wide = layouts.NormedLinear(6, 9, self.space)
        self.tall = layouts.NormedLinear(9, 4, self.space)
        self.again = self.a
        self.plain = nn.Linear(4, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.plain(self.tall(self.wide(self.again(self.a(x)))))


class Tables(nn.Module):
    """Two plain tables, one of which is named."""

    def __init__(self) -> None:
        super().__init__()
        self.space = layouts.Ball(raw=True)
        self.points = nn.Embedding(13, 4)
        self.points.ball = self.space
        self.other = nn.Embedding(5, 4)


def mobius() -> nn.Module:
    space = layouts.Ball()
    return nn.ModuleDict({"a": layouts.MobiusLinear(6, 6, space), "b": layouts.MobiusLinear(6, 3, space)})


def lorentz() -> nn.Module:
    space = layouts.Hyperboloid()
    first = layouts.LorentzFullyConnected(space, 5, 8, bias=True)
    return nn.ModuleDict({"a": first, "b": layouts.LorentzFullyConnected(space, 8, 4)})


def batch() -> Tensor:
    return exp0(0.2 * torch.randn(16, 6, generator=torch.Generator().manual_seed(0)), 1.3133)


TREE = [(i, (i - 1) // 3) for i in range(1, 13)]


def cases() -> list[Case]:
    needs: dict[str, dict[str, Any]] = {"calibrated": {"inputs": batch()}, "sarkar": {"tree": TREE}}
    builders = {
        "mobius_orthogonal": mobius,
        "lorentz_identity": lorentz,
        "embedding_uniform": Tables,
        "wrapped_normal": Tables,
        "sarkar": Tables,
    }
    cards = [card for card in initkit.recipes() if card.plugin == "poincare"]
    return [Case(card.id, builders.get(card.name, Network), needs.get(card.name, {})) for card in cards]


@parametrize_with_checks(cases())
def test_conformance(check: Any, case: Case) -> None:
    check(case)


def test_every_recipe_is_here() -> None:
    assert len(cases()) == 10
