"""The graph a recipe works on, from whatever form the user has it in."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar, cast

import numpy as np
import torch
from torch import Tensor

from initkit.errors import NeedError
from initkit_gnn.checks import check_edges, check_features, check_shape, check_size, checked_weights
from initkit_gnn.csr import Csr, compress
from initkit_gnn.features import row_moments
from initkit_gnn.reading import as_tensor, is_list_of_graphs, parts_of

_T = TypeVar("_T")


@dataclass(frozen=True, eq=False)
class Graph:
    """A directed graph of ``num_nodes`` nodes; an undirected one holds both directions of every edge.

    Make one with :meth:`Graph.of`. Edges that occur more than once count as often as they occur, as in PyG.
    Sparse matrices made from a graph are kept in it, so the tensors given must not be changed afterwards.

    Attributes:
        num_nodes: N >= 1, isolated nodes included.
        edge_index: integer tensor (2, E), row 0 = source, row 1 = target; E = 0 is allowed.
        edge_weight: None, or a floating tensor (E,), finite and >= 0.
        x: None, or the node features, N rows, as they were given.

    Raises:
        NeedError: whatever of this does not hold; the message names the argument and says what to do.
    """

    num_nodes: int
    edge_index: Tensor
    edge_weight: Tensor | None = None
    x: Tensor | None = None
    _cache: dict[Hashable, Any] = field(default_factory=dict, init=False, repr=False)

    def __post_init__(self) -> None:
        check_size(self.num_nodes)
        check_edges(self.edge_index, self.num_nodes)
        if self.edge_weight is not None:
            object.__setattr__(self, "edge_weight", checked_weights(self.edge_weight, self.edge_index))
        if self.x is not None:
            check_features(self.x, self.num_nodes)

    def __repr__(self) -> str:
        weighted = "weighted" if self.edge_weight is not None else "unweighted"
        features = "no features" if self.x is None else f"features {tuple(self.x.shape)}"
        return f"Graph({self.num_nodes} nodes, {self.num_edges} edges, {weighted}, {features})"

    @classmethod
    def of(
        cls,
        given: Any,
        *,
        x: Any = None,
        edge_weight: Any = None,
        num_nodes: int | None = None,
        edge_type: tuple[str, str, str] | None = None,
    ) -> Graph:
        """Read a graph.

        Args:
            given: one of
                a Graph;
                a PyG ``Data`` or ``Batch`` (``x``, ``edge_index`` or ``adj_t``, ``edge_weight``), or a
                ``HeteroData`` together with ``edge_type``;
                an ``edge_index`` (2, E) as tensor or array, or the pair ``(edge_index, edge_weight)``;
                a SciPy or torch sparse adjacency matrix with A[target, source];
                a mapping with the key ``edge_index`` and, where present, ``edge_weight``, ``x``, ``num_nodes``;
                a networkx graph (weights are ignored);
                a list or tuple of such graphs, which become one block-diagonal graph.
            x: node features, in place of those of ``given``.
            edge_weight: weights in the order of the edges, or the name of the attribute of ``given`` that holds
                them, such as ``"edge_attr"``; ``edge_attr`` is not read unless it is named here.
            num_nodes: number of nodes; without it, as in PyG, the rows of the features or else the largest index + 1.
            edge_type: which edges of a ``HeteroData``.

        Raises:
            NeedError: the graph cannot be read or is not valid.
        """
        if isinstance(given, Graph):
            if x is None and edge_weight is None and num_nodes is None:
                return given
            given = {
                "edge_index": given.edge_index,
                "edge_weight": given.edge_weight,
                "x": given.x,
                "num_nodes": given.num_nodes,
            }
        if is_list_of_graphs(given):
            if x is not None or num_nodes is not None or not isinstance(edge_weight, str | None):
                raise NeedError("graph: x, edge_weight and num_nodes go into each graph of a list, not beside the list")
            return _joined([cls.of(one, edge_weight=edge_weight, edge_type=edge_type) for one in given])
        parts = parts_of(given, edge_weight if isinstance(edge_weight, str) else None, edge_type)
        if edge_weight is not None and not isinstance(edge_weight, str):
            parts["edge_weight"] = edge_weight
        if x is not None:
            parts["x"] = x
        if num_nodes is not None:
            parts["num_nodes"] = num_nodes
        return _built(**parts)

    @property
    def num_edges(self) -> int:
        """E, the number of stored directed edges."""
        return self.edge_index.shape[1]

    @property
    def device(self) -> torch.device:
        """Where the sparse products run: the edges' device if it knows float64, else the CPU."""
        device = self.edge_index.device
        return torch.device("cpu") if device.type == "mps" else device

    @property
    def symmetric(self) -> bool:
        """Whether the weighted adjacency matrix equals its transpose (found once, by two products)."""
        return self.once("symmetric", lambda: self.matrix().symmetric())

    def matrix(self, *, weighted: bool = True) -> Csr:
        """Return the adjacency matrix A[target, source], multi-edges summed; built once.

        Args:
            weighted: False ignores the edge weights.
        """
        weight = self.edge_weight if weighted else None
        if weight is not None:
            weight = weight.detach().to(self.device)
        key = ("matrix", weight is not None)
        return self.once(key, lambda: compress(*self._ends(), weight, self.num_nodes))

    def in_counts(self) -> Tensor:
        """Return the number of edges that end in each node, multi-edges and self-loops included: float64 (N,)."""
        target = self._ends()[1]
        return self.once("counts", lambda: torch.bincount(target.long(), minlength=self.num_nodes).double())

    def self_loops(self, *, weighted: bool = True) -> tuple[Tensor, Tensor]:
        """Return the nodes that have a self-loop and its weight (of several, the last), float64."""
        return self.once(("loops", weighted), lambda: self._self_loops(weighted))

    def _self_loops(self, weighted: bool) -> tuple[Tensor, Tensor]:
        source, target = self._ends()
        at = torch.nonzero(source == target).flatten()
        nodes = source[at].long()
        if self.edge_weight is None or not weighted or not len(at):
            nodes = torch.unique(nodes)
            return nodes, torch.ones(len(nodes), dtype=torch.float64, device=nodes.device)
        last = np.full(self.num_nodes, -1.0)
        last[nodes.cpu().numpy()] = self.edge_weight.detach().to(self.device)[at].double().cpu().numpy()
        nodes = torch.unique(nodes)
        return nodes, torch.from_numpy(last).to(nodes.device)[nodes]

    def feature_rows(self) -> tuple[Tensor, Tensor] | None:
        """Return the mean and the mean square of every feature row: float64 (N,) on :attr:`device`.

        None for a graph without features or with rows of width 0.
        """
        x = self.x
        if x is None or x.numel() == 0:
            return None
        return self.once("rows", lambda: row_moments(x.detach(), self.device))

    def _ends(self) -> tuple[Tensor, Tensor]:
        edges = self.edge_index.to(self.device)
        return edges[0], edges[1]

    def once(self, key: Hashable, make: Callable[[], _T]) -> _T:
        """Return what ``make()`` gave the first time it was asked for under this key."""
        if key not in self._cache:
            self._cache[key] = make()
        return cast(_T, self._cache[key])


def _built(
    edge_index: Any,
    edge_weight: Any = None,
    x: Any = None,
    num_nodes: int | None = None,
    weight_name: str = "edge_weight",
) -> Graph:
    edges = as_tensor(edge_index, "edge_index")
    if not edges.numel() or edges.dtype in (torch.uint8, torch.int8, torch.int16, torch.uint16, torch.uint32):
        edges = edges.long()  # torch.empty(2, 0) is a float tensor
    check_shape(edges)
    weight = None if edge_weight is None else as_tensor(edge_weight, weight_name)
    features = None if x is None else as_tensor(x, "x")
    if num_nodes is None:
        if features is not None and features.dim() > 0:
            num_nodes = features.shape[0]
        else:
            num_nodes = int(edges.max()) + 1 if edges.numel() else 0
    return Graph(int(num_nodes), edges, weight, features)


def _joined(graphs: Sequence[Graph]) -> Graph:
    """Put graphs side by side as the blocks of one."""
    if not graphs:
        raise NeedError("graph: the list of graphs is empty; give at least one graph")
    if len(graphs) == 1:
        return graphs[0]
    for what, parts in (("x", [g.x for g in graphs]), ("edge_weight", [g.edge_weight for g in graphs])):
        without = [i for i, part in enumerate(parts) if part is None]
        if without and len(without) < len(parts):
            raise NeedError(f"graph: graph {without[0]} of the list has no {what}, others have; give all or none")
    features = [g.x for g in graphs if g.x is not None]
    widths = [tuple(x.shape[1:]) for x in features]
    for i, width in enumerate(widths):
        if width != widths[0]:
            raise NeedError(
                f"graph: the features of graph {i} of the list have width {width}, those of graph 0 {widths[0]}"
            )
    weights = [g.edge_weight for g in graphs if g.edge_weight is not None]
    first = 0
    edges = []
    for g in graphs:
        edges.append(g.edge_index.long() + first)
        first += g.num_nodes
    return Graph(
        first,
        torch.cat(edges, dim=1),
        torch.cat(weights) if weights else None,
        torch.cat(features) if features else None,
    )
