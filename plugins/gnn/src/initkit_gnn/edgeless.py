"""Graphs without edges, on which a message-passing model is an MLP that takes rows one by one.

Layers that add each node to its own neighbours (GCN, GAT, GIN) get no edges at all; layers with a weight of their own
for neighbours (SAGE, GraphConv...) would leave it untrained, so every node gets one self-loop and the two weights act
on the same row. GCN and GAT give the same either way.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any, Literal

import numpy as np
import scipy.sparse as sp
import torch
from torch import Tensor, nn
from torch_geometric.data import Data
from torch_geometric.nn import MessagePassing

from initkit import NeedError
from initkit_gnn.graph import Graph
from initkit_gnn.layers import Layer

Edges = Literal["none", "loops"]
_LEFT_OUT = ("x", "y", "edge_index", "edge_weight", "adj_t", "ptr", "num_nodes", "num_edges")


def edges_for(model: nn.Module, layers: Sequence[Layer]) -> tuple[Edges, tuple[str, ...]]:
    """Choose between no edges and self-loops by the kinds of the layers.

    Args:
        model: the user's model; its layers without weights (APPNP, LGConv) count too.
        layers: of :func:`initkit_gnn.layers.find_layers`.

    Returns:
        The choice, and the names of layers that wanted no edges where others need self-loops.
    """
    wants = {layer.name: _wants(layer.kind, layer.options, layer.module) for layer in layers}
    inside = tuple(f"{layer.name}." for layer in layers)
    for name, module in model.named_modules():
        if isinstance(module, MessagePassing) and name not in wants and not name.startswith(inside):
            wants[name] = _wants(None, {}, module)
    if "loops" in wants.values():
        return "loops", tuple(name for name, want in wants.items() if want == "none")
    return "none", ()


def _wants(kind: str | None, options: dict[str, Any], module: nn.Module) -> Literal["none", "loops", "either"]:
    if kind == "gin":
        return "none"
    own = options.get("add_self_loops", getattr(module, "add_self_loops", False))
    return "either" if own is True else "loops"


class EdgelessGraph:
    """Makes graphs without edges from rows of the user's.

    Node attributes go along row by row, edge attributes are 0 (weights 1), labels and masks are left out.

    Args:
        given: the graph as the user gave it.
        graph: the graph as read.
        edges: ``none``, or a self-loop for each node.
        dtype: of floating features.
        device: where the model runs.
    """

    def __init__(self, given: Any, graph: Graph, edges: Edges, dtype: torch.dtype, device: torch.device) -> None:
        if graph.x is None:
            raise NeedError("graph: it has no features x")
        self._edges, self._dtype, self._device = edges, dtype, device
        self._x = _SparseRows(graph.x) if graph.x.layout != torch.strided else _DenseRows(graph.x)
        self._given = given if isinstance(given, Data) else Data()
        self._adjacency = getattr(given, "adj_t", None) is not None
        self._nodes: dict[str, Tensor] = {}
        self._edge_rows: dict[str, Tensor] = {}
        self._others: dict[str, Any] = {}
        for name, value in self._given.to_dict().items():
            if name in _LEFT_OUT or name.endswith(("_mask", "_idx")):
                continue
            if isinstance(value, Tensor) and value.ndim and self._given.is_edge_attr(name):
                self._edge_rows[name] = value
            elif isinstance(value, Tensor) and value.ndim and len(value) == graph.num_nodes:
                self._nodes[name] = value
            else:
                self._others[name] = value

    def rows(self, nodes: Tensor) -> Data:
        """The edgeless graph of some nodes: a PyG ``Data`` on the device.

        Args:
            nodes: numbers, int64 (n,), on the CPU.
        """
        size = len(nodes)
        loops = torch.arange(size if self._edges == "loops" else 0, device=self._device)
        data = Data(x=self._cast(self._x.take(nodes)), edge_index=torch.stack((loops, loops)), num_nodes=size)
        data.edge_weight = torch.ones(len(loops), dtype=self._dtype, device=self._device)
        data.batch = torch.zeros(size, dtype=torch.long, device=self._device)
        for name, value in self._nodes.items():
            data[name] = self._cast(value[nodes.to(value.device)])
        for name, value in self._edge_rows.items():
            data[name] = self._cast(torch.zeros((len(loops), *value.shape[1:]), dtype=value.dtype))
        for name, value in self._others.items():
            data[name] = self._cast(value) if isinstance(value, Tensor) else value
        if self._adjacency:
            data.adj_t = torch.sparse_coo_tensor(
                data.edge_index, data.edge_weight, (size, size), check_invariants=False
            ).to_sparse_csr()
        return data

    def _cast(self, value: Tensor) -> Tensor:
        return value.to(self._device, self._dtype if value.is_floating_point() else value.dtype)


class _DenseRows:
    def __init__(self, x: Tensor) -> None:
        self._x = x

    def take(self, nodes: Tensor) -> Tensor:
        return self._x.index_select(0, nodes.to(self._x.device))


class _SparseRows:
    """Rows of a sparse matrix, in its own layout."""

    def __init__(self, x: Tensor) -> None:
        self._layout = x.layout
        coo = x.detach().to_sparse().coalesce().cpu()
        row, column = coo.indices().numpy()
        # SciPy has no half types; these come back as they were when they are cast to the model's.
        value = coo.values()
        value = value.float() if value.dtype in (torch.float16, torch.bfloat16) else value
        self._matrix = sp.csr_array((value.numpy(), (row, column)), shape=tuple(coo.shape))

    def take(self, nodes: Tensor) -> Tensor:
        part = self._matrix[nodes.numpy()]
        parts = part.indptr.astype(np.int64), part.indices.astype(np.int64), part.data
        crow, column, value = (torch.from_numpy(array) for array in parts)
        if self._layout == torch.sparse_csr:
            return torch.sparse_csr_tensor(crow, column, value, part.shape, check_invariants=False)
        row = torch.repeat_interleave(torch.arange(len(nodes)), crow.diff())
        return torch.sparse_coo_tensor(
            torch.stack((row, column)), value, part.shape, is_coalesced=True, check_invariants=False
        )


@contextlib.contextmanager
def uncached(model: nn.Module) -> Iterator[None]:
    """Layers that keep what they made of the first graph (``cached=True``) neither use nor keep it inside."""
    held: list[tuple[nn.Module, dict[str, Any]]] = []
    for module in model.modules():
        own = {name: value for name, value in vars(module).items() if name.startswith("_cached_") or name == "cached"}
        if own:
            held.append((module, own))
            vars(module).update({name: False if name == "cached" else None for name in own})
    try:
        yield
    finally:
        for module, own in held:
            vars(module).update(own)
