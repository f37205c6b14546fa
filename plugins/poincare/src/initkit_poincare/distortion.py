"""How well a table of points holds a tree: distortion and mean average precision."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from initkit import Stream
from initkit_poincare.geometry import distances
from initkit_poincare.trees import Tree

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
EXACT = 3000
"""Trees of up to this many nodes are measured on all pairs, larger ones from a sample of nodes to all others."""
SAMPLE = 200
CHUNK = 1 << 22
TIES = 1e-9
"""Relative difference of distances that rounding alone makes; such points count as equally far, which lowers MAP."""


@dataclass(frozen=True)
class Distortion:
    """Distances D of the ball over τ, against distances h of the tree.

    Attributes:
        average: mean of |D - h|/h over pairs.
        worst: max(D/h)/min(D/h).
        map: mean over nodes of the average precision of a node's neighbours in the tree among the nearest points.
        nodes: how many nodes distances were measured from; all of them for small trees.
    """

    average: float
    worst: float
    map: float
    nodes: int

    def row(self) -> dict[str, Any]:
        """As a row of a table."""
        return {
            "d_avg": float(f"{self.average:.7g}"),
            "d_wc": float(f"{self.worst:.7g}"),
            "map": float(f"{self.map:.7g}"),
            "measured_from": self.nodes,
        }


def measured(
    tree: Tree,
    points: torch.Tensor | Floats,
    tau: float = 1.0,
    c: float = 1.0,
    *,
    seed: int = 0,
    device: torch.device | None = None,
) -> Distortion:
    """Measure a table in float64, whatever its dtype is.

    Args:
        tree: of n nodes.
        points: (n, d), a row for each node.
        tau: by which distances are divided, with √c: an edge of length 1 has length τ/√c.
        c: the ball has curvature -c.
        seed: of the sample that trees of more than 3000 nodes are measured on.
        device: where distances are computed.
    """
    table = torch.as_tensor(points).detach().to(device or "cpu", torch.float64)
    n = len(tree)
    real = np.flatnonzero(np.arange(n) != tree.virtual)
    if len(real) < 2:
        return Distortion(0.0, 1.0, 1.0, len(real))
    chosen = real
    if len(real) > EXACT:
        chosen = np.sort(real[Stream(seed, "distortion").permutation(len(real))[:SAMPLE]])
    near = _neighbours(tree)
    scale = tau / c**0.5
    total, pairs, high, low, precision = 0.0, 0, 0.0, np.inf, 0.0
    step = max(1, CHUNK // max(n, 1))
    for start in range(0, len(chosen), step):
        sources = chosen[start : start + step]
        found = (distances(table[torch.from_numpy(sources)], table, c) / scale).cpu().numpy()
        wanted = tree_distances(tree, sources)
        others = np.ones_like(wanted, dtype=bool)
        others[np.arange(len(sources)), sources] = False
        if tree.virtual >= 0:
            others[:, tree.virtual] = False
        ratio = found[others] / wanted[others]
        total += float(np.abs(ratio - 1).sum())
        pairs += int(others.sum())
        high, low = max(high, float(ratio.max())), min(low, float(ratio.min()))
        precision += sum(_average_precision(found[i], others[i], near[int(s)]) for i, s in enumerate(sources))
    worst = high / low if low > 0 else np.inf
    return Distortion(total / pairs, worst, precision / len(chosen), len(chosen))


def tree_distances(tree: Tree, sources: Ints) -> Floats:
    """Distances in the tree from some nodes to all, (sources, nodes)."""
    n = len(tree)
    found = np.full((len(sources), n), np.nan)
    above, lengths = tree.parent.tolist(), tree.length.tolist()
    for i, source in enumerate(sources.tolist()):
        node, so_far = source, 0.0
        while node >= 0:
            found[i, node] = so_far
            so_far += lengths[node]
            node = above[node]
    cuts = np.flatnonzero(np.diff(tree.level[tree.order])) + 1
    for nodes in np.split(tree.order, cuts)[1:]:
        known = found[:, nodes]
        reached = found[:, tree.parent[nodes]] + tree.length[nodes]
        found[:, nodes] = np.where(np.isnan(known), reached, known)
    return found


def _neighbours(tree: Tree) -> list[list[int]]:
    near: list[list[int]] = [[] for _ in range(len(tree))]
    for child, parent in enumerate(tree.parent.tolist()):
        if parent >= 0 and parent != tree.virtual:
            near[child].append(parent)
            near[parent].append(child)
    return near


def _average_precision(found: Floats, others: npt.NDArray[np.bool_], near: list[int]) -> float:
    """Mean over neighbours, the nearest first, of i/(i + number of other points no farther than the i-th)."""
    if not near:
        return 1.0
    strangers = others.copy()
    strangers[near] = False
    before = np.searchsorted(np.sort(found[strangers]), np.sort(found[near]) * (1 + TIES), side="right")
    place = np.arange(1, len(near) + 1)
    return float((place / (place + before)).mean())
