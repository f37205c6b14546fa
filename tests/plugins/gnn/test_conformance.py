"""Every recipe of the plugin passes the battery that strangers' recipes must pass."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch_geometric.datasets import KarateClub
from torch_geometric.nn import GATConv, GCNConv, GINConv

import initkit
from initkit.testing import Case, parametrize_with_checks

graph = KarateClub()[0]


def with_labels() -> Any:
    """The same graph with features that tell the communities, and nodes to train and to validate on."""
    numbers = torch.Generator().manual_seed(0)
    told = graph.clone()
    told.x = 4 * torch.eye(4).repeat_interleave(9, 1)[:, :34][graph.y] + torch.rand(34, 34, generator=numbers)
    told.train_mask = torch.arange(34) % 3 > 0
    told.val_mask = ~told.train_mask
    return told


labelled = with_labels()


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


class Tables(nn.Module):
    """Vectors and context vectors of nodes."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(34, 8)
        self.context = nn.Embedding(34, 8)


def cases() -> list[Case]:
    quick = {"gnn/mlpinit": initkit.recipe("gnn/mlpinit", epochs=6, lr=3e-2)}
    recipes: list[Any] = [quick.get(card.id, card.id) for card in initkit.recipes() if card.plugin == "gnn"]
    recipes += [
        initkit.recipe("gnn/virgo", variant="harmonic", distribution="normal", operator="gcn", bias="keep"),
        initkit.recipe("gnn/calibrated", mode="backward", start="orthogonal"),
        initkit.recipe("gnn/rni", ratio=1.0, draws=2, distribution="xavier_uniform"),
        initkit.recipe("gnn/rfp", filter="chebyshev", trajectories=2),
        initkit.recipe("gnn/mlpinit", start="pyg_default", epochs=6, lr=3e-2, edges="loops"),
    ]
    recipes += [
        initkit.recipe("gnn/graph_partition", engine="label_propagation", context="none"),
        initkit.recipe("gnn/graph_partition", trained=30),
    ]
    needing = {card.id for card in initkit.recipes() if any(need.name == "graph" for need in card.needs)}
    found = []
    for one in recipes:
        name = one if isinstance(one, str) else one.id
        data = labelled if name == "gnn/mlpinit" else graph
        model = Tables if name == "gnn/graph_partition" else Mixed
        found.append(Case(one, model, {"graph": data} if name in needing else {}))
    return found


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    """Threads cost more than they give on tensors of this size."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.mark.filterwarnings("ignore::UserWarning")
@parametrize_with_checks(cases())
def test_conformance(check: Any, case: Case) -> None:
    check(case)
