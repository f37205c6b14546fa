"""Heavy work on a GPU gives the CPU's results; on an emulated device it is seen to run there."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import initkit

with warnings.catch_warnings():  # PyG's import meets deprecations of torch
    warnings.simplefilter("ignore")
    pytest.importorskip("torch_geometric")
    from torch_geometric.data import Data
    from torch_geometric.nn import GCNConv
    from torch_geometric.utils import to_undirected

NODES = 400


def graph() -> Data:
    """Four classes that features and edges show."""
    generator = torch.Generator().manual_seed(0)
    y = torch.randint(4, (NODES,), generator=generator)
    edges = torch.randint(NODES, (2, 6 * NODES), generator=generator)
    edges = to_undirected(edges[:, (y[edges[0]] == y[edges[1]]) | (torch.rand(6 * NODES, generator=generator) < 0.3)])
    x = torch.randn(NODES, 16, generator=generator) + 2 * torch.eye(4, 16)[y]
    part = torch.rand(NODES, generator=generator)
    return Data(x=x, edge_index=edges, y=y, num_nodes=NODES, train_mask=part < 0.5, val_mask=part > 0.7)


class Gcn(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = GCNConv(16, 32, bias=False), GCNConv(32, 4)

    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        return self.second(self.first(x, edge_index).relu(), edge_index)


class Normalised(Gcn):
    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(32)

    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        return self.second(self.norm(self.first(x, edge_index)).relu(), edge_index)


class SkipGram(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(NODES, 8)

    def forward(self, nodes: Tensor) -> Tensor:
        return self.embedding(nodes)


@pytest.mark.parametrize("mode", ["forward", "backward"])
def test_calibrated(alike: Callable[..., None], mode: str) -> None:
    alike(Gcn, initkit.recipe("gnn/calibrated", mode=mode), rtol=1e-4, there=("mm",), graph=graph())


def test_mlpinit(alike: Callable[..., None]) -> None:
    recipe = initkit.recipe("gnn/mlpinit", epochs=30, patience=30)
    alike(Normalised, recipe, rtol=1e-2, atol=1e-3, there=("mm", "native_batch_norm_backward"), graph=graph())


@pytest.mark.parametrize("options", [{}, {"norm": "l2"}, {"filter": "chebyshev"}], ids=["qr", "l2", "chebyshev"])
def test_rfp(alike: Callable[..., None], options: dict[str, Any]) -> None:
    alike(Gcn, initkit.recipe("gnn/rfp", width=8, **options), rtol=1e-3, atol=1e-4, graph=graph())


def test_graph_partition(alike: Callable[..., None]) -> None:
    alike(SkipGram, initkit.recipe("gnn/graph_partition", blocks=8), rtol=1e-4, atol=1e-5, graph=graph())
