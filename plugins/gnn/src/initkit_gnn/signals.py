"""The input signal whose way through the layers is followed: one number for each node."""

from __future__ import annotations

from typing import Literal, get_args

import torch
from torch import Tensor

from initkit.errors import OptionError
from initkit_gnn.csr import total
from initkit_gnn.graph import Graph

Signal = Literal["mean", "rms", "ones"]

# Below this share of N mean(X^2), what is left of x_bar after one layer is rounding noise.
NOISE = 1e-12


def input_signal(graph: Graph, kind: Signal = "mean") -> tuple[Tensor, float, str | None]:
    """Return the signal x_bar of the node features.

    Args:
        graph: with features X of shape (N, ...).
        kind: ``mean``: x_bar_i = mean of row i (Virgo); ``rms``: the root of its mean square; ``ones``: 1.

    Returns:
        x_bar, float64 (N,) on the graph's device; mean(X^2), or 0.0 where X was not read; and a note where
        the graph has no features and ones were taken in their place.
    """
    if kind not in get_args(Signal):
        raise OptionError(f"signal={kind!r} is unknown; choose one of {', '.join(get_args(Signal))}")
    ones = torch.ones(graph.num_nodes, dtype=torch.float64, device=graph.device)
    if kind == "ones":
        return ones, 0.0, None
    rows = graph.feature_rows()
    if rows is None:
        return ones, 0.0, "the graph has no features: the constant signal 1 is used"
    mean, square = rows
    return mean if kind == "mean" else square.sqrt(), total(square) / graph.num_nodes, None
