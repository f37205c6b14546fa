"""Which nodes belong to which graph of a batch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from initkit import NeedError
from initkit_gnn.graph import Graph
from initkit_gnn.reading import is_list_of_graphs


@dataclass(frozen=True, eq=False)
class Segments:
    """The graphs of a batch of ``num_nodes`` nodes.

    Attributes:
        num_nodes: N.
        batch: the graph of each node, int64 (N,), or None for one graph.
    """

    num_nodes: int
    batch: Tensor | None = None

    @classmethod
    def of(cls, given: Any, num_nodes: int) -> Segments:
        """Read ``ptr`` or ``batch`` of a PyG ``Batch``, of a ``Data`` or of a mapping; else all is one graph.

        Raises:
            NeedError: ``batch`` is not an integer for each node.
        """

        def part(name: str) -> Any:
            return given.get(name) if isinstance(given, Mapping) else getattr(given, name, None)

        pointer = part("ptr")
        if isinstance(pointer, Tensor) and pointer.ndim == 1 and len(pointer) and int(pointer[-1]) == num_nodes:
            return cls._checked(torch.repeat_interleave(pointer.diff()), num_nodes)
        batch = part("batch")
        return cls(num_nodes) if batch is None else cls._checked(batch, num_nodes)

    @classmethod
    def _checked(cls, batch: Any, num_nodes: int) -> Segments:
        if not isinstance(batch, Tensor) or batch.is_floating_point() or tuple(batch.shape) != (num_nodes,):
            found = f"shape {tuple(batch.shape)}" if isinstance(batch, Tensor) else type(batch).__name__
            raise NeedError(f"graph: batch has {found}, expected the graph of each node: integers ({num_nodes},)")
        batch = batch.detach().long()
        if num_nodes and int(batch.min()) < 0:
            raise NeedError("graph: batch holds a negative number; graphs are numbered from 0")
        return cls(num_nodes, batch if num_nodes and int(batch.max()) > 0 else None)

    @property
    def count(self) -> int:
        """The number of graphs, the empty ones among them included."""
        return 1 if self.batch is None else len(self.sizes)

    @cached_property
    def sizes(self) -> Tensor:
        """The number of nodes of each graph, int64 (G,)."""
        return torch.tensor([self.num_nodes]) if self.batch is None else torch.bincount(self.batch)

    @cached_property
    def own_sizes(self) -> Tensor:
        """The number of nodes of each node's graph, int64 (N,)."""
        if self.batch is None:
            return torch.full((self.num_nodes,), self.num_nodes)
        return self.sizes[self.batch]

    @cached_property
    def order(self) -> Tensor | None:
        """Node numbers sorted by graph, in the given order within one; None where they are sorted already."""
        if self.batch is None or bool((self.batch.diff() >= 0).all()):
            return None
        return torch.sort(self.batch, stable=True).indices

    @cached_property
    def places(self) -> Tensor:
        """Each node's number within its graph, int64 (N,)."""
        if self.batch is None:
            return torch.arange(self.num_nodes)
        steps = torch.arange(self.num_nodes, device=self.batch.device)
        starts = self.sizes.cumsum(0) - self.sizes
        if self.order is None:
            return steps - starts[self.batch]
        found = torch.empty_like(steps)
        found[self.order] = steps - starts[self.batch[self.order]]
        return found

    def buckets(self) -> list[Tensor]:
        """Node numbers of graphs of similar size as tables (graphs, widest), -1 where a graph is smaller.

        Widths within a table differ by less than a factor of 2, so that padding costs little.
        """
        device = torch.device("cpu") if self.batch is None else self.batch.device
        nodes = torch.arange(self.num_nodes, device=device)
        if self.batch is None:
            return [nodes[None]]
        found = []
        level = torch.floor(torch.log2(self.sizes.clamp(min=1).double())).long()
        for one in torch.unique(level[self.sizes > 0]).tolist():
            chosen = (level == one) & (self.sizes > 0)
            row = torch.cumsum(chosen, 0) - 1
            table = torch.full((int(chosen.sum()), int(self.sizes[chosen].max())), -1, device=device)
            inside = chosen[self.batch]
            table[row[self.batch[inside]], self.places[inside]] = nodes[inside]
            found.append(table)
        return found

    def total(self, values: Tensor) -> Tensor:
        """Sum rows (N, ...) within each graph: (G, ...)."""
        if self.batch is None:
            return values.sum(dim=0, keepdim=True)
        zeros = torch.zeros((self.count, *values.shape[1:]), dtype=values.dtype, device=values.device)
        return zeros.index_add_(0, self.batch.to(values.device), values)

    def largest(self, values: Tensor) -> Tensor:
        """The largest entry of each column within each graph: (N, k) to (G, k); 0 or more."""
        if self.batch is None:
            return values.amax(dim=0, keepdim=True)
        zeros = torch.zeros((self.count, values.shape[1]), dtype=values.dtype, device=values.device)
        index = self.batch.to(values.device)[:, None].expand_as(values)
        return zeros.scatter_reduce_(0, index, values, "amax")

    def spread(self, values: Tensor) -> Tensor:
        """Give each node its graph's row: (G, ...) to (N, ...), or (1, ...) for one graph, which broadcasts."""
        return values if self.batch is None else values[self.batch.to(values.device)]


def read_graphs(given: Any) -> tuple[Graph, Segments]:
    """Read a graph, a batch or a list of graphs, and which nodes belong to which graph.

    Raises:
        NeedError: as :meth:`Graph.of` says.
    """
    if is_list_of_graphs(given):
        graphs = [Graph.of(one) for one in given]
        read = Graph.of(graphs)
        sizes = torch.tensor([one.num_nodes for one in graphs])
        return read, Segments(read.num_nodes, torch.repeat_interleave(sizes) if len(graphs) > 1 else None)
    read = Graph.of(given)
    return read, Segments.of(given, read.num_nodes)
