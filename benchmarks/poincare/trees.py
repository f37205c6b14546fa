"""Distortion and mean average precision of embedded trees, before any training.

``d_avg``: mean of |D - h|/h, ``d_wc``: max(D/h)/min(D/h), over all pairs of nodes; MAP of each node's neighbours. Seeds
turn the directions of more than two dimensions. ``float32`` and ``float64`` tables have the projection of geoopt and
hypll; the largest τ is the recipe's default. ``uniform`` is the usual start of Poincaré embeddings.
"""

from __future__ import annotations

import statistics
import time
from typing import Any

import torch
from torch import nn

import initkit
from benchmarks.poincare import _trees
from initkit_poincare import Tree, largest_scale, measured
from initkit_poincare.planning import ROOM
from initkit_poincare.tree_embedding import embed_tree

SEEDS = [0, 1, 2, 3, 4]
CHOSEN = [
    ("3-ary, depth 6", 2, 1.0, "center", "a small scale"),
    ("3-ary, depth 6", 2, 2.0335, "center", "float64 projection"),
    ("3-ary, depth 6", 2, 4.0, "center", ""),
    ("3-ary, depth 6", 2, 6.0, "center", "float64 limit"),
    ("3-ary, depth 6", 3, 2.0335, "center", "float64 projection"),
    ("3-ary, depth 6", 3, 4.0, "center", ""),
    ("3-ary, depth 6", 10, 2.0335, "center", "float64 projection"),
    ("mammals", 2, 1.525, "center", "float64 projection"),
    ("mammals", 2, 4.08, "first", "root mammal"),
    ("mammals", 10, 0.775, "center", "float32 projection"),
    ("mammals", 10, 1.525, "center", "float64 projection"),
    ("mammals", 40, 0.775, "center", "float32 projection"),
    ("mammals", 40, 4.588, "center", "float64 limit"),
]


class Points(nn.Module):
    """A table of points."""

    def __init__(self, rows: int, dim: int, dtype: torch.dtype) -> None:
        super().__init__()
        self.table = nn.Embedding(rows, dim, dtype=dtype)


def run() -> dict[str, Any]:
    torch.set_num_threads(1)
    trees = {"3-ary, depth 6": Tree.of(_trees.complete(3, 6))}
    rooted = dict(trees)
    edges = _trees.mammals()
    if edges is not None:
        trees["mammals"] = Tree.of(edges, cycles="first_parent")
        rooted["mammals"] = Tree.of(edges, cycles="first_parent", root=_trees.MAMMAL)
    rows = []
    for name, dim, tau, root, words in CHOSEN:
        if name in trees:
            tree = (trees if root == "center" else rooted)[name]
            rows.append({"tree": name, "dim": dim, "tau": tau, "at": words, "root": root, **_scale(tree, dim, tau)})
    for name, tree in trees.items():
        for dim in (10, 40):
            rows.append({"tree": name, **_table(tree, dim)})
            rows.append({"tree": name, **_uniform(tree, dim)})
    facts = [
        {"tree": name, "nodes": len(tree), "height": tree.height, "degree": int(tree.degrees.max())}
        for name, tree in trees.items()
    ]
    return {"seeds": SEEDS, "trees": facts, "rows": rows}


def _scale(tree: Tree, dim: int, tau: float) -> dict[str, Any]:
    found, seconds, words = [], [], ""
    for seed in SEEDS if dim > 2 else SEEDS[:1]:
        start = time.perf_counter()
        points, used = embed_tree(tree, dim, tau, seed=seed)
        seconds.append(time.perf_counter() - start)
        found.append(measured(tree, points, tau))
        words = used.words
    return {"computed_with": words, "seconds": round(min(seconds), 3), **_spread(found)}


def _table(tree: Tree, dim: int) -> dict[str, Any]:
    """The recipe itself, into a float32 table under the projection of geoopt and hypll."""
    found = []
    tau = ROOM * largest_scale(tree, torch.float32)
    for seed in SEEDS:
        model = Points(len(tree), dim, torch.float32)
        sarkar = initkit.recipe("poincare/sarkar", table="table.weight", clamp=4e-3)
        initkit.apply(model, sarkar, tree=tree, nodes=list(tree.nodes), seed=seed)
        found.append(measured(tree, model.table.weight, tau))
    return {"dim": dim, "tau": float(f"{tau:.5g}"), "at": "float32 table, default", "root": "center", **_spread(found)}


def _uniform(tree: Tree, dim: int) -> dict[str, Any]:
    found = []
    for seed in SEEDS:
        model = Points(len(tree), dim, torch.float32)
        initkit.apply(model, initkit.recipe("poincare/embedding_uniform", table="table.weight"), seed=seed)
        found.append(measured(tree, model.table.weight, 1.0))
    return {"dim": dim, "tau": None, "at": "uniform ±0.001", "root": "", **_spread(found, only_map=True)}


def _spread(found: list[Any], *, only_map: bool = False) -> dict[str, Any]:
    made: dict[str, Any] = {}
    for key, name in (("average", "d_avg"), ("worst", "d_wc"), ("map", "map")):
        values = [getattr(one, key) for one in found]
        if only_map and key != "map":
            continue
        made[name] = {
            "mean": float(f"{statistics.fmean(values):.6g}"),
            "low": float(f"{min(values):.6g}"),
            "high": float(f"{max(values):.6g}"),
        }
    return made
