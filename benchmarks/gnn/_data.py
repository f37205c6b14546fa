"""Graphs for the benchmarks: the real ones of the data folder, and generated ones of any size."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
import torch
from torch import Tensor

from benchmarks.harness import data_folder

PLANETOID = ("cora", "citeseer", "pubmed")
OTHERS = ("coauthor_cs", "coauthor_physics", "amazon_photo", "amazon_computers", "blogcatalog", "ca_astroph")


@dataclass(frozen=True)
class Real:
    """A real graph, undirected, both directions stored.

    Attributes:
        x: features, float32 (N, d), or None.
        y: classes, int64 (N,), or None where there are none; ``labels`` has BlogCatalog's (node, group) pairs.
        train, val, test: node numbers of the public split, Planetoid only.
    """

    name: str
    edge_index: Tensor
    x: Tensor | None
    y: Tensor | None
    train: Tensor | None = None
    val: Tensor | None = None
    test: Tensor | None = None
    labels: Tensor | None = None
    num_nodes: int = 0

    @property
    def num_classes(self) -> int:
        return 0 if self.y is None else int(self.y.max()) + 1


def load(name: str, *, row_normalised: bool = False) -> Real | None:
    """Read a graph of the data folder; None where the folder does not have it.

    Args:
        name: one of PLANETOID and OTHERS.
        row_normalised: divide each row of the features by its sum.
    """
    folder = "planetoid" if name in PLANETOID else "gnn_graphs"
    path = data_folder() / folder / f"{name}.npz"
    if not path.is_file():
        return None
    with np.load(path, allow_pickle=False) as file:
        z = dict(file)
    if "edge_index" in z:
        edges = z["edge_index"].astype(np.int64)
    else:
        source = np.repeat(np.arange(len(z["indptr"]) - 1), np.diff(z["indptr"]))
        edges = np.stack((source, z["indices"].astype(np.int64)))
    tensors = {k: torch.from_numpy(z[f"{k}_idx"].astype(np.int64)) for k in ("train", "val", "test") if f"{k}_idx" in z}
    if "label_node" in z:
        tensors["labels"] = torch.from_numpy(np.stack((z["label_node"], z["label_group"])).astype(np.int64))
    x = _features(z, row_normalised)
    size = len(x) if x is not None else len(z["indptr"]) - 1
    y = torch.from_numpy(z["y"].astype(np.int64)) if "y" in z else None
    return Real(name, torch.from_numpy(edges), x, y, num_nodes=size, **tensors)


def _features(z: dict[str, np.ndarray], row_normalised: bool) -> Tensor | None:
    if "x_indptr" not in z:
        return None
    data = z.get("x_data", np.ones(len(z["x_indices"]), np.float32))
    x = sp.csr_array((data, z["x_indices"].astype(np.int32), z["x_indptr"]), shape=tuple(z["x_shape"])).toarray()
    if row_normalised:
        x /= np.maximum(x.sum(axis=1, keepdims=True), 1e-12)
    return torch.from_numpy(x)


def uniform(nodes: int, entries: int, seed: int) -> np.ndarray:
    """Return a symmetric graph of ``entries`` directed edges with uniform ends, in random order: int64 (2, E)."""
    rng = np.random.default_rng(seed)
    return _both_ways(rng.integers(0, nodes, (2, entries // 2)), rng)


def rmat(scale: int, edges: int, seed: int, abc: tuple[float, float, float] = (0.57, 0.19, 0.19)) -> np.ndarray:
    """Return an undirected R-MAT graph of 2**scale nodes: int64 (2, E), both directions, in random order.

    Args:
        scale: the number of halvings.
        edges: undirected edges drawn; loops and repetitions are dropped, so somewhat fewer remain.
        seed: of all draws.
        abc: chances of the first three quadrants (Chakrabarti, Zhan, Faloutsos, SDM 2004; values of Graph500).

    Node numbers are shuffled, as in Graph500, so that a number says nothing about a degree.
    """
    rng = np.random.default_rng(seed)
    a, b, c = abc
    row = np.zeros(edges, np.int64)
    column = np.zeros(edges, np.int64)
    for _ in range(scale):
        u = rng.random(edges, dtype=np.float32)
        row = 2 * row + (u >= a + b)
        column = 2 * column + (((u >= a) & (u < a + b)) | (u >= a + b + c))
    low, high = np.minimum(row, column), np.maximum(row, column)
    key = np.unique((low << scale | high)[low != high])
    number = rng.permutation(2**scale)
    return _both_ways(number[np.stack((key >> scale, key & (2**scale - 1)))], rng)


def _both_ways(half: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    both = np.concatenate((half, half[::-1]), axis=1)
    return np.ascontiguousarray(both[:, rng.permutation(both.shape[1])])
