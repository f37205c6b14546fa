"""What a valid graph is; each check names the argument and says what to do."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from initkit.errors import NeedError
from initkit_gnn.csr import INDEX_LIMIT
from initkit_gnn.features import BLOCK, sparse_entries


def check_size(num_nodes: int) -> None:
    """Raise NeedError for N = 0, and for more nodes than 32 bits number."""
    if num_nodes < 1:
        raise NeedError("graph: it has no nodes (num_nodes = 0); give a graph with at least one node")
    if num_nodes >= INDEX_LIMIT:
        raise NeedError(f"graph: num_nodes = {num_nodes}; node numbers must be below 2^31")


def check_shape(edges: Tensor) -> None:
    """Raise NeedError unless ``edges`` is an int64 or int32 tensor of shape (2, E)."""
    shape = tuple(edges.shape)
    if len(shape) != 2 or shape[0] != 2:
        advice = ": transpose it (edge_index.t())" if len(shape) == 2 and shape[1] == 2 else ""
        raise NeedError(f"graph: edge_index has shape {shape}, expected (2, E){advice}")
    if edges.dtype not in (torch.int64, torch.int32):
        raise NeedError(
            f"graph: edge_index has dtype {edges.dtype}, expected integers; node numbers are indices: "
            "use edge_index.long()"
        )


def check_edges(edges: Tensor, num_nodes: int) -> None:
    """Raise NeedError unless every end of every edge is one of ``num_nodes`` nodes."""
    check_shape(edges)
    if edges.numel() == 0:
        return
    low, high = (int(end) for end in torch.aminmax(edges))
    if low < 0:
        raise NeedError(f"graph: edge_index holds the negative index {low}; nodes are numbered from 0")
    if high >= num_nodes:
        raise NeedError(
            f"graph: edge_index holds the index {high}, but there are {num_nodes} nodes (0 to {num_nodes - 1}); "
            f"pass num_nodes={high + 1} with as many feature rows, or correct the edges"
        )


def check_square(shape: Sequence[int]) -> None:
    """Raise NeedError unless this is the shape of an adjacency matrix."""
    if len(shape) != 2 or shape[0] != shape[1]:
        raise NeedError(f"graph: the adjacency matrix has shape {tuple(shape)}, expected (N, N)")


def checked_weights(weight: Tensor, edges: Tensor) -> Tensor:
    """Return the weights as a floating tensor (E,); NeedError for another shape, NaN, infinity or a sign."""
    count = edges.shape[1]
    if tuple(weight.shape) not in ((count,), (count, 1)):
        raise NeedError(
            f"graph: edge_weight has shape {tuple(weight.shape)}, expected ({count},): one weight for each edge"
        )
    if weight.is_complex():
        raise NeedError(f"graph: edge_weight has dtype {weight.dtype}, expected real numbers")
    weight = weight.reshape(count)
    if not weight.is_floating_point():
        weight = weight.to(torch.float64)
    if not count:
        return weight
    low, high = (float(end) for end in torch.aminmax(weight))
    if math.isnan(low) or math.isinf(low) or math.isinf(high):
        bad = torch.nonzero(~torch.isfinite(weight)).flatten()
        raise NeedError(
            f"graph: edge_weight holds {_times(len(bad), 'NaN or infinite value')}, the first at edge "
            f"{int(bad[0])}; clean the weights first"
        )
    if low < 0:
        bad = torch.nonzero(weight < 0).flatten()
        raise NeedError(
            f"graph: edge_weight holds {_times(len(bad), 'negative value')} (the lowest {low:.3g}), the first at "
            f"edge {int(bad[0])}; the variance formulas need weights >= 0"
        )
    return weight


def _times(count: int, noun: str) -> str:
    return f"{count} {noun}" + ("s" if count != 1 else "")


def check_features(x: Tensor, num_nodes: int) -> None:
    """Raise NeedError unless ``x`` has a row of finite real numbers for each node."""
    if x.dim() == 0 or x.shape[0] != num_nodes:
        found = "no rows" if x.dim() == 0 else f"{x.shape[0]} rows"
        raise NeedError(
            f"graph: x has {found}, but there are {num_nodes} nodes; give one row of features for each node"
        )
    if x.is_complex():
        raise NeedError(f"graph: x has dtype {x.dtype}, expected real numbers")
    values = x if x.layout == torch.strided else sparse_entries(x)[1]
    # The sum is finite almost always when all values are, and costs one pass without a copy.
    if not values.is_floating_point() or bool(torch.isfinite(values.sum())):
        return
    if x.layout == torch.strided:
        step = max(1, BLOCK * num_nodes // max(1, x.numel()))
        parts = [~torch.isfinite(x[i : i + step]).reshape(-1, x[0].numel()) for i in range(0, num_nodes, step)]
        count = sum(int(part.sum()) for part in parts)
        rows = torch.cat([part.any(dim=1) for part in parts])
    else:
        row, values = sparse_entries(x)
        bad = ~torch.isfinite(values)
        count = int(bad.sum())
        rows = torch.zeros(num_nodes, dtype=torch.bool, device=row.device).index_fill_(0, row[bad], True)
    if count:
        raise NeedError(
            f"graph: x holds {_times(count, 'NaN or infinite value')}, the first in row {int(rows.nonzero()[0])}; "
            "clean or impute the features first"
        )
