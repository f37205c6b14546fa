"""The graph on which a calibration runs."""

from __future__ import annotations

from typing import Any

import torch
from torch_geometric.data import Data

from initkit import JobContext, NeedError
from initkit_gnn.graph import Graph


def sampled(given: Any, graph: Graph, max_nodes: int, ctx: JobContext) -> Data:
    """Return the graph as a PyG ``Data``; a larger one as the subgraph that random nodes induce, with a note.

    Args:
        given: the graph as the user gave it; a ``Data`` keeps its further attributes.
        graph: the graph as read.
        max_nodes: size above which nodes are sampled.
        ctx: of the job.

    Raises:
        NeedError: there are no features.
    """
    data = given.clone() if isinstance(given, Data) else _plain(graph)
    if data.x is None and not isinstance(given, Data):
        raise NeedError("graph: this recipe runs the model, so the graph needs features x (a PyG Data with x)")
    if data.edge_index is None:
        data.edge_index = graph.edge_index
    data.num_nodes = graph.num_nodes
    if graph.num_nodes > max_nodes:
        nodes = torch.from_numpy(ctx.stream("nodes").permutation(graph.num_nodes)[:max_nodes]).sort().values
        data = data.subgraph(nodes.to(data.edge_index.device))
        ctx.note("gnn/calibrated sample", [{"nodes": max_nodes, "of": graph.num_nodes, "edges": data.num_edges}])
    if getattr(data, "batch", None) is None:
        data.batch = torch.zeros(data.num_nodes, dtype=torch.long, device=data.edge_index.device)
    return data.to(ctx.device)


def _plain(graph: Graph) -> Data:
    data = Data(x=graph.x, edge_index=graph.edge_index, num_nodes=graph.num_nodes)
    if graph.edge_weight is not None:
        data.edge_weight = graph.edge_weight
    return data
