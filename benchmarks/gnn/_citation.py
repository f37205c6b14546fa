"""Citation graphs with a split for the evidence: the real ones where they are at hand, else made ones of their size."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from benchmarks.gnn import _data

# name: (nodes, undirected edges, features, words in a row, classes) of the real graph
SIZES = {
    "cora": (2708, 5278, 1433, 18, 7),
    "citeseer": (3327, 4552, 3703, 32, 6),
    "pubmed": (19717, 44324, 500, 50, 3),
}


@dataclass(frozen=True)
class Citation:
    """A graph with row-normalised features and the public split (20 a class, 500, 1000)."""

    name: str
    source: str
    edge_index: Tensor
    x: Tensor
    y: Tensor
    train: Tensor
    val: Tensor
    test: Tensor

    @property
    def num_nodes(self) -> int:
        return self.x.shape[0]

    @property
    def num_classes(self) -> int:
        return int(self.y.max()) + 1


def load(name: str) -> Citation:
    """Read ``name``; where the data folder does not have it, make a graph of its size and say so in ``source``."""
    real = _data.load(name, row_normalised=True)
    if real is None:
        return generated(name)
    assert real.x is not None
    assert real.y is not None
    assert real.train is not None
    assert real.val is not None
    assert real.test is not None
    return Citation(name, "real", real.edge_index, real.x, real.y, real.train, real.val, real.test)


def generated(name: str, seed: int = 0) -> Citation:
    """Make a graph of communities: four of five edges stay within a class, a third of the words belong to it."""
    nodes, edges, features, words, classes = SIZES[name]
    rng = np.random.default_rng(seed)
    y = rng.integers(classes, size=nodes)
    weight = rng.pareto(2.5, nodes) + 0.2
    order = np.argsort(y, kind="stable")
    bounds = np.searchsorted(y[order], np.arange(classes + 1))
    source = rng.choice(nodes, edges, p=weight / weight.sum())
    target = rng.choice(nodes, edges, p=weight / weight.sum())
    for c in range(classes):
        members = order[bounds[c] : bounds[c + 1]]
        at = np.flatnonzero((y[source] == c) & (rng.random(edges) < 0.8))
        target[at] = rng.choice(members, len(at), p=weight[members] / weight[members].sum())
    half = np.stack((source, target))[:, source != target]
    half = np.unique(np.sort(half, axis=0), axis=1)
    edge_index = np.concatenate((half, half[::-1]), axis=1)
    own = rng.integers(features // classes, size=(nodes, words)) + (y * (features // classes))[:, None]
    word = np.where(rng.random((nodes, words)) < 1 / 3, own, rng.integers(features, size=(nodes, words)))
    x = np.zeros((nodes, features), np.float32)
    x[np.arange(nodes)[:, None], word] = 1
    x /= x.sum(axis=1, keepdims=True)
    shuffled = rng.permutation(nodes)
    train = np.concatenate([shuffled[y[shuffled] == c][:20] for c in range(classes)])
    rest = np.setdiff1d(shuffled, train, assume_unique=True)
    rest = rest[rng.permutation(len(rest))]
    tensors = (torch.from_numpy(a) for a in (edge_index, x, y, train, rest[:500], rest[500:1500]))
    return Citation(name, "generated", *tensors)
