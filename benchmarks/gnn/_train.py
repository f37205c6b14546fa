"""Training of deep GCNs on citation graphs, as fast as a single core allows."""

from __future__ import annotations

import ast
import hashlib
import itertools
import warnings
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch_geometric.data import Data
from torch_geometric.nn import GCNConv
from torch_geometric.nn.conv.gcn_conv import gcn_norm

from benchmarks.gnn._citation import Citation


@dataclass(frozen=True)
class Protocol:
    """How a network is trained; test accuracy is read at the first epoch of the best validation accuracy."""

    hidden: int = 64
    dropout: float = 0.5
    learning_rate: float = 0.01
    weight_decay: float = 5e-4
    epochs: int = 200
    patience: int = 100
    milestone: float = 0.6

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True)
class Outcome:
    """One training run; ``milestone`` is the first epoch (from 1) whose validation accuracy reaches it, or None."""

    test: float
    validation: float
    best_epoch: int
    epochs: int
    milestone: int | None


class Gcn(nn.Module):
    """GCN layers with ReLU between them; training adds dropout there."""

    def __init__(self, widths: Sequence[int]) -> None:
        super().__init__()
        self.convs = nn.ModuleList(GCNConv(a, b) for a, b in itertools.pairwise(widths))

    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        for conv in self.convs[:-1]:
            x = torch.relu(conv(x, edge_index))
        return self.convs[-1](x, edge_index)


class _Product(torch.autograd.Function):
    """matrix @ b for a constant sparse matrix, with its transpose at hand for the gradient."""

    @staticmethod
    def forward(ctx: Any, b: Tensor, matrix: Tensor, transposed: Tensor) -> Tensor:
        ctx.transposed = transposed
        return matrix @ b

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        return ctx.transposed @ gradient.contiguous(), None, None


class _ReluDropout(torch.autograd.Function):
    """max(z, 0) times a mask of 0 and 1/(1 - rate)."""

    @staticmethod
    def forward(ctx: Any, z: Tensor, mask: Tensor) -> Tensor:
        out = z.clamp_min(0).mul_(mask)
        ctx.save_for_backward(out)
        ctx.scale = float(mask.max())
        return out

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        (out,) = ctx.saved_tensors
        return torch.ops.aten.threshold_backward(gradient, out, 0).mul_(ctx.scale), None


class Masks:
    """Dropout masks at rate 0.5, one random bit an element: many times faster than a Bernoulli draw each."""

    def __init__(self, seed: int) -> None:
        self._bits = np.random.default_rng(seed)

    def __call__(self, shape: tuple[int, int]) -> Tensor:
        count = shape[0] * shape[1]
        keep = np.unpackbits(np.frombuffer(self._bits.bytes(-(-count // 8)), np.uint8), count=count)
        return torch.from_numpy(keep).view(shape).float().mul_(2.0)


class Workbench:
    """A citation graph with its matrices: GCN's P and the features, both sparse, with their transposes."""

    def __init__(self, data: Citation) -> None:
        self.data = data
        index, weight = gcn_norm(data.edge_index, None, data.num_nodes, add_self_loops=True)
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=".*[Ss]parse")
            shape = (data.num_nodes, data.num_nodes)
            self.p = torch.sparse_coo_tensor(index.flip(0), weight, shape).coalesce().to_sparse_csr()
            self.p_transposed = torch.sparse_coo_tensor(index, weight, shape).coalesce().to_sparse_csr()
            self.x = data.x.to_sparse_csr()
            self.x_transposed = data.x.T.contiguous().to_sparse_csr()

    def graph(self) -> Data:
        return Data(x=self.data.x, edge_index=self.data.edge_index)

    def first(self, model: Gcn) -> Tensor:
        """Return the first layer's output, which dropout does not touch."""
        return self._aggregated(
            _Product.apply(model.convs[0].lin.weight.T.contiguous(), self.x, self.x_transposed), 0, model
        )

    def logits(self, model: Gcn, first: Tensor | None = None, masks: Masks | None = None) -> Tensor:
        """Return what ``model(x, edge_index)`` does, by sparse products.

        Args:
            model: a GCN.
            first: what :meth:`first` gave for the present weights.
            masks: where the dropout's masks come from; None for evaluation.
        """
        z = self.first(model) if first is None else first
        for i, conv in enumerate(model.convs[1:], 1):
            h = torch.relu(z) if masks is None else _ReluDropout.apply(z, masks(tuple(z.shape)))
            z = self._aggregated(h @ conv.lin.weight.T, i, model)
        return z

    def _aggregated(self, h: Tensor, i: int, model: Gcn) -> Tensor:
        return _Product.apply(h, self.p, self.p_transposed) + model.convs[i].bias

    def train(self, model: Gcn, protocol: Protocol, seed: int) -> Outcome:
        """Train ``model`` in place; ``seed`` is of the dropout alone, so runs with one seed are paired."""
        data = self.data
        if protocol.dropout != 0.5:
            raise ValueError("the masks are made for a dropout of 0.5")
        masks = Masks(seed)
        optimiser = torch.optim.Adam(
            model.parameters(), lr=protocol.learning_rate, weight_decay=protocol.weight_decay, foreach=True
        )
        best, test, best_epoch, milestone, epoch = -1.0, 0.0, 0, None, 0
        first = self.first(model)
        for epoch in range(1, protocol.epochs + 1):
            optimiser.zero_grad()
            logits = self.logits(model, first, masks)
            functional.cross_entropy(logits[data.train], data.y[data.train]).backward()
            optimiser.step()
            first = self.first(model)  # serves the evaluation and the next epoch
            with torch.no_grad():
                right = self.logits(model, first).argmax(dim=1) == data.y
            validation = float(right[data.val].double().mean())
            if milestone is None and validation >= protocol.milestone:
                milestone = epoch
            if validation > best:
                best, test, best_epoch = validation, float(right[data.test].double().mean()), epoch
            elif epoch - best_epoch >= protocol.patience:
                break
        return Outcome(test, best, best_epoch, epoch, milestone)


def fingerprint(model: nn.Module, *more: Any) -> str:
    """Return a hash of the starting weights, of this file's code (not its layout) and of whatever else is given."""
    code = ast.dump(ast.parse(Path(__file__).read_text()))
    digest = hashlib.sha256(repr((code, torch.__version__, *more)).encode())
    for name, tensor in model.state_dict().items():
        digest.update(name.encode())
        digest.update(tensor.numpy().tobytes())
    return digest.hexdigest()[:32]
