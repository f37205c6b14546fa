"""Poincaré embeddings trained from a tree's embedding and from the usual tiny cube: MAP of the tree's edges by epoch.

The loss of Nickel & Kiela: for each edge, the neighbour's distance against those of 50 random nodes in a softmax;
Riemannian SGD, batches of 10, learning rate 0.3 and a tenth of it for the first 10 epochs ("burn-in"); 10 dimensions,
float32. Also from the embedding at a tenth of the rate throughout, since a good start wants small steps.
"""

from __future__ import annotations

import statistics
from typing import Any

import geoopt
import numpy as np
import torch
from torch import Tensor, nn

import initkit
from benchmarks.poincare import _trees
from initkit_poincare import Tree, measured

SEEDS = [0, 1, 2]
EPOCHS, BURN_IN, RATE, BATCH, NEGATIVES, DIM = 100, 10, 0.3, 10, 50, 10
MEASURED = [0, 1, 2, 5, 10, 15, 20, 30, 40, 60, 80, 100]
STARTS = {"uniform": RATE, "sarkar": RATE, "sarkar, rate/10": RATE / 10}


class Embedding(nn.Module):
    """Points of a ball."""

    def __init__(self, rows: int) -> None:
        super().__init__()
        self.ball = geoopt.PoincareBall(1.0)
        self.points = geoopt.ManifoldParameter(torch.zeros(rows, DIM), manifold=self.ball)


def run() -> dict[str, Any]:
    torch.set_num_threads(1)
    edges = _trees.mammals()
    name = "mammals" if edges is not None else "random recursive tree, 1000 nodes"
    tree = Tree.of(edges, cycles="first_parent") if edges is not None else Tree.of(_trees.recursive(1000, 0))
    pairs = np.array([(i, p) for i, p in enumerate(tree.parent.tolist()) if p >= 0])
    pairs = np.concatenate([pairs, pairs[:, ::-1]])
    rows = []
    for label, rate in STARTS.items():
        runs = [_trained(tree, pairs, label, rate, seed) for seed in SEEDS]
        curves = list(zip(*(run["map"] for run in runs), strict=True))
        rows.append(
            {
                "label": label,
                "map": [
                    {"mean": round(statistics.fmean(c), 5), "low": round(min(c), 5), "high": round(max(c), 5)}
                    for c in curves
                ],
                "loss": [round(statistics.fmean(c), 5) for c in zip(*(run["loss"] for run in runs), strict=True)],
            }
        )
    settings = {"epochs": EPOCHS, "burn_in": BURN_IN, "rate": RATE, "batch": BATCH, "negatives": NEGATIVES, "dim": DIM}
    return {"seeds": SEEDS, "tree": name, "nodes": len(tree), "at": MEASURED, "settings": settings, "rows": rows}


def _trained(tree: Tree, pairs: np.ndarray, label: str, rate: float, seed: int) -> dict[str, list[float]]:
    model = Embedding(len(tree))
    if label == "uniform":
        initkit.apply(model, "poincare/embedding_uniform", seed=seed)
    else:
        initkit.apply(model, "poincare/sarkar", tree=tree, nodes=list(tree.nodes), seed=seed)
    numbers = torch.Generator().manual_seed(seed)
    optimiser = geoopt.optim.RiemannianSGD(model.parameters(), lr=rate)
    edges = torch.from_numpy(pairs.copy())
    found: dict[str, list[float]] = {"map": [measured(tree, model.points).map], "loss": []}
    for epoch in range(1, EPOCHS + 1):
        optimiser.param_groups[0]["lr"] = rate / 10 if epoch <= BURN_IN and label != "sarkar, rate/10" else rate
        total = 0.0
        for batch in torch.randperm(len(edges), generator=numbers).split(BATCH):
            optimiser.zero_grad()
            loss = _loss(model.points, edges[batch], len(tree), numbers)
            loss.backward()
            optimiser.step()
            total += float(loss.detach()) * len(batch)
        if epoch in MEASURED:
            found["map"].append(measured(tree, model.points).map)
            found["loss"].append(total / len(edges))
    return found


def _loss(points: Tensor, edges: Tensor, nodes: int, numbers: torch.Generator) -> Tensor:
    others = torch.randint(nodes, (len(edges), NEGATIVES), generator=numbers)
    x, y = points[edges[:, :1]], points[torch.cat([edges[:, 1:], others], dim=1)]
    gap = (x - y).square().sum(-1)
    room = (1 - x.square().sum(-1)) * (1 - y.square().sum(-1))
    distance = torch.acosh(1 + 2 * (gap / room).clamp_min(1e-7))
    return nn.functional.cross_entropy(-distance, torch.zeros(len(edges), dtype=torch.long))
