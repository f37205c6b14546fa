"""Time to embed a random recursive tree, from a parent array to a table and its measured distortion.

Beside it, one epoch of gensim's Poincaré embeddings on the same edges, as much as a trained start costs at the least;
they need dozens. One run each of 10 000 nodes (both) and 100 000 nodes.
"""

from __future__ import annotations

import statistics
import time
from typing import Any

import torch
from gensim.models.poincare import PoincareModel
from torch import nn

import initkit
from benchmarks.poincare import _trees

SEEDS = [0, 1, 2]
DIM, TARGET = 10, 10.0


def run() -> dict[str, Any]:
    torch.set_num_threads(1)
    rows = []
    for nodes in (10_000, 100_000):
        seconds, maps = [], []
        for seed in SEEDS:
            parents = _trees.recursive(nodes, seed)
            model = nn.Embedding(nodes, DIM, dtype=torch.float64)
            start = time.perf_counter()
            report = initkit.apply(model, initkit.recipe("poincare/sarkar", table="weight"), tree=parents, seed=seed)
            seconds.append(time.perf_counter() - start)
            (row,) = report.notes["poincare/sarkar embedding"]
            maps.append(row["map"])
        rows.append({"label": "poincare/sarkar", "nodes": nodes, **_short(seconds), "map": maps})
    parents = _trees.recursive(10_000, 0)
    relations = [(str(i), str(p)) for i, p in enumerate(parents) if p >= 0]
    peer = PoincareModel(relations, size=DIM, negative=10, burn_in=0, seed=0)
    start = time.perf_counter()
    peer.train(epochs=1, batch_size=50, print_every=10**9)
    rows.append({"label": "gensim, one epoch", "nodes": 10_000, **_short([time.perf_counter() - start])})
    return {"seeds": SEEDS, "dim": DIM, "target_seconds": TARGET, "rows": rows}


def _short(seconds: list[float]) -> dict[str, Any]:
    return {
        "seconds": round(statistics.median(seconds), 3),
        "low": round(min(seconds), 3),
        "high": round(max(seconds), 3),
    }
