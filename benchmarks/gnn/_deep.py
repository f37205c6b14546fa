"""Deep GCNs of several shapes on a citation graph: trained by sparse products, for the time of a single core."""

from __future__ import annotations

import itertools
import statistics
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch_geometric.data import Data
from torch_geometric.nn import GCNConv
from torch_geometric.nn.conv.gcn_conv import gcn_norm

from benchmarks.gnn._citation import Citation
from benchmarks.gnn._train import Protocol, _Product
from initkit_gnn import mixed_aggregation

ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {"relu": torch.relu, "tanh": torch.tanh}


class Deep(nn.Module):
    """A GCN with dropout between its layers.

    Args:
        widths: of all states.
        activation: ``relu`` or ``tanh``.
        residual: whether each hidden layer after the first is added to what it started from.
        mixed: whether the operator comes with the edge weights.
        dropout: in training.
    """

    def __init__(
        self,
        widths: list[int],
        *,
        activation: str = "relu",
        residual: bool = False,
        mixed: bool = False,
        dropout: float = 0.5,
    ) -> None:
        super().__init__()
        self.convs = nn.ModuleList(
            GCNConv(a, b, normalize=not mixed, add_self_loops=not mixed) for a, b in itertools.pairwise(widths)
        )
        self._activation, self._residual, self._dropout = ACTIVATIONS[activation], residual, dropout
        self.states: list[Tensor] = []

    def forward(self, x: Tensor, edge_index: Tensor, edge_weight: Tensor | None = None) -> Tensor:
        return self.run(x, lambda conv, h: conv(h, edge_index, edge_weight))

    def run(self, x: Any, layer: Callable[[nn.Module, Any], Tensor]) -> Tensor:
        """Return the logits, with ``layer(conv, h)`` in place of a call of the layer; keeps the hidden states."""
        self.states = []
        for i, conv in enumerate(self.convs[:-1]):
            h = functional.dropout(self._activation(layer(conv, x)), self._dropout, self.training)
            x = x + h if self._residual and i else h
            self.states.append(x)
        return layer(self.convs[-1], x)


class Bench:
    """A citation graph with its operator and features as sparse matrices, each with its transpose.

    Args:
        data: with split.
        t: None for GCN's operator P, else (1-t) I + t P.
    """

    def __init__(self, data: Citation, t: float | None = None, dtype: torch.dtype = torch.float32) -> None:
        self.data = data
        self.graph = Data(x=data.x, edge_index=data.edge_index)
        if t is None:
            index, weight = gcn_norm(data.edge_index, None, data.num_nodes)
        else:
            self.graph = mixed_aggregation(self.graph, t)
            index, weight = self.graph.edge_index, self.graph.edge_weight
        size = (data.num_nodes, data.num_nodes)
        weight = weight.to(dtype)
        self.p = _csr(torch.sparse_coo_tensor(index.flip(0), weight, size, check_invariants=False))
        self._p_transposed = _csr(torch.sparse_coo_tensor(index, weight, size, check_invariants=False))
        self.x = _csr(data.x.to(dtype).to_sparse())
        self._x_transposed = _csr(data.x.to(dtype).T.to_sparse())

    def logits(self, model: Deep) -> Tensor:
        """What the model gives on the graph."""
        return model.run(self.x, self._layer)

    def _layer(self, conv: nn.Module, h: Tensor) -> Tensor:
        weight = conv.lin.weight.T.contiguous()
        mapped = _Product.apply(weight, self.x, self._x_transposed) if h is self.x else h @ weight
        return _Product.apply(mapped, self.p, self._p_transposed) + conv.bias

    def train(self, model: Deep, protocol: Protocol, seed: int) -> dict[str, Any]:
        """Train in place; ``seed`` is of the dropout, test is read at the first best validation accuracy."""
        data = self.data
        optimiser = torch.optim.Adam(
            model.parameters(), lr=protocol.learning_rate, weight_decay=protocol.weight_decay, foreach=True
        )
        best, test, best_epoch, epoch = -1.0, 0.0, 0, 0
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            for epoch in range(1, protocol.epochs + 1):
                model.train()
                optimiser.zero_grad()
                functional.cross_entropy(self.logits(model)[data.train], data.y[data.train]).backward()
                optimiser.step()
                model.eval()
                with torch.no_grad():
                    right = self.logits(model).argmax(1) == data.y
                validation = float(right[data.val].double().mean())
                if validation > best:
                    best, test, best_epoch = validation, float(right[data.test].double().mean()), epoch
                elif epoch - best_epoch >= protocol.patience:
                    break
        return {"test": test, "validation": best, "best_epoch": best_epoch, "epochs": epoch}


def _csr(matrix: Tensor) -> Tensor:
    return matrix.coalesce().to_sparse_csr()


def mean_std(values: list[float]) -> tuple[float, float]:
    """Mean and sample standard deviation, rounded for the record."""
    return round(statistics.fmean(values), 6), round(statistics.stdev(values), 6)


def diversity(h: Tensor) -> float:
    """1 minus the cosine between two nodes' states, averaged over all pairs."""
    directions = functional.normalize(h.detach().double(), dim=1)
    return 1 - float(directions.mean(dim=0).square().sum())
