"""An eight-layer GCN on Zachary's karate club, a real graph that ships with torch_geometric.

initkit apply --plugin gnn example.py
"""

from __future__ import annotations

import itertools

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch_geometric.datasets import KarateClub
from torch_geometric.nn import GCNConv

graph = KarateClub()[0]  # 34 people, 156 directed edges, 4 communities, one-hot features


class GCN(nn.Module):
    """A deep graph convolutional network with ReLU between its layers."""

    def __init__(self, in_channels: int, hidden: int, classes: int, layers: int) -> None:
        super().__init__()
        widths = [in_channels, *[hidden] * (layers - 1), classes]
        self.convs = nn.ModuleList(GCNConv(a, b) for a, b in itertools.pairwise(widths))

    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        """Return logits, (nodes, classes)."""
        for conv in self.convs[:-1]:
            x = torch.relu(conv(x, edge_index))
        logits: Tensor = self.convs[-1](x, edge_index)
        return logits


def model(hidden: int = 64, layers: int = 8) -> GCN:
    """Build the network; ``--set-model layers=16`` makes it deeper."""
    return GCN(graph.num_features, hidden, classes=4, layers=layers)


inputs = (graph.x, graph.edge_index)  # what the model is called with, for inspect


known = torch.arange(graph.num_nodes) % 2 == 0  # every second person's community is known


def loss(model: GCN) -> Tensor:
    """Cross-entropy over the people whose community is known; for compare."""
    return functional.cross_entropy(model(*inputs)[known], graph.y[known])


def score(model: GCN) -> float:
    """Share of the others whose community is found."""
    right = model(*inputs).argmax(dim=1) == graph.y
    return float(right[~known].float().mean())
