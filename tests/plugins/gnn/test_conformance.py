"""Every recipe of the plugin passes the battery that strangers' recipes must pass."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch_geometric.datasets import KarateClub
from torch_geometric.nn import GATConv, GCNConv, GINConv

import initkit
from initkit.testing import Case, parametrize_with_checks

graph = KarateClub()[0]


class Mixed(nn.Module):
    """Layers of several kinds, tied weights and a buffer."""

    def __init__(self) -> None:
        super().__init__()
        self.a = GCNConv(34, 16)
        self.b = GATConv(16, 8, heads=2)
        self.c = GINConv(nn.Sequential(nn.Linear(16, 16), nn.ReLU(), nn.Linear(16, 16)))
        self.d = GCNConv(16, 4)
        self.shared = nn.Linear(16, 16)
        self.shared.weight = self.c.nn[2].weight

    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        for conv in (self.a, self.b, self.c):
            x = torch.relu(conv(x, edge_index))
        return self.d(x, edge_index)


def cases() -> list[Case]:
    recipes: list[Any] = [card.id for card in initkit.recipes() if card.plugin == "gnn"]
    recipes += [
        initkit.recipe("gnn/virgo", variant="harmonic", distribution="normal", operator="gcn", bias="keep"),
        initkit.recipe("gnn/calibrated", mode="backward", start="orthogonal"),
    ]
    needing = {card.id for card in initkit.recipes() if any(need.name == "graph" for need in card.needs)}
    return [
        Case(one, Mixed, {"graph": graph} if (one if isinstance(one, str) else one.id) in needing else {})
        for one in recipes
    ]


@pytest.mark.filterwarnings("ignore::UserWarning")
@parametrize_with_checks(cases())
def test_conformance(check: Any, case: Case) -> None:
    check(case)
