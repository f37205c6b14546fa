"""Normal weights for deep networks with residual aggregation or residual connections."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

import torch
from annotated_types import Gt
from torch import nn
from torch_geometric.data import Data
from torch_geometric.nn.conv.gcn_conv import gcn_norm

from initkit import Constant, Fill, Item, Normal, OptionError, PlanError, Recipe
from initkit_gnn.graph import Graph
from initkit_gnn.layers import Layer, Matrix, claimed_matrices, find_layers
from initkit_gnn.offsets import offsets
from initkit_gnn.trace import trace
from initkit_gnn.variance import round_scale


@dataclass(frozen=True)
class ResidualAggregation(Recipe):
    """Normal weights of variance c_w/fan_in, for residual aggregation and residual connections.

    W ~ N(0, C_w/d_in), the critical scale of a deep ReLU network; slightly above 2 for a very deep one. It is meant for
    an aggregation (1-t) I + t P, which :func:`initkit_gnn.mixed_aggregation` makes of a graph on request, and for
    residual connections, whose branches ``zero_branches`` starts at zero: x + f(x) then starts as x. No start prevents
    oversmoothing at depth for ReLU networks with a fixed P.

    Args:
        c_w: C_w.
        zero_branches: whether the last matrix of every residual branch starts at 0; there must be one.

    Source: DeZoort, Hanin, Principles for Initialization and Architecture Selection in Graph Neural Networks with ReLU
    Activations, 2023 (arXiv 2306.11668); the zero start is that of Zhang, Dauphin, Ma, Fixup Initialization, ICLR 2019.
    """

    bibtex: ClassVar[str] = """@misc{dezoort2023principles,
  title = {Principles for Initialization and Architecture Selection in Graph Neural Networks with ReLU Activations},
  author = {DeZoort, Gage and Hanin, Boris},
  year = {2023},
  eprint = {2306.11668},
  archivePrefix = {arXiv}
}"""

    c_w: Annotated[float, Gt(0)] = 2.0
    zero_branches: bool = False

    @classmethod
    def claims(cls, model: Any) -> list[str]:
        """Weight matrices of message-passing layers."""
        return claimed_matrices(model)

    def plan(self, model: nn.Module, *, graph: Any = None) -> Iterator[Item]:
        """Yield a fill for each weight matrix of the message-passing layers.

        Args:
            model: with message-passing layers.
            graph: shown to the model where ``zero_branches`` has to find its residual connections; without it they
                are sought on four nodes with features of the first layer's width.
        """
        layers = find_layers(model)
        ends = self._branch_ends(model, layers, graph) if self.zero_branches else set()
        for layer in layers:
            zeros = _last(layer) if layer.name in ends else ()
            for matrix in layer.matrices:
                name = layer.full(matrix.name)
                if matrix in zeros:
                    yield Fill(name, Constant(0.0), why="ends a residual branch, which starts at 0")
                    continue
                v = round_scale(self.c_w / matrix.fan_in)
                yield Fill(name, Normal(math.sqrt(v)), why=f"Var[w] = {v:.4g}: C_w/fan_in, fan_in {matrix.fan_in}")
            yield from offsets(layer, "zero")

    def _branch_ends(self, model: nn.Module, layers: list[Layer], graph: Any) -> set[str]:
        if graph is None:
            nodes = torch.arange(4)
            graph = Data(x=torch.zeros(4, layers[0].d_in), edge_index=torch.stack((nodes, nodes.roll(1))))
        traced = trace(model, layers, Graph.of(graph), graph)
        if not traced.branch_ends:
            cause = "; ".join(traced.notes) or "each layer feeds the next alone"
            raise PlanError(
                f"zero_branches=True, but no residual connection was seen in {type(model).__name__} ({cause}); give "
                "the graph that it runs on, or leave zero_branches out"
            )
        for note in traced.notes:
            warnings.warn(f"gnn/residual_aggregation: {note}", stacklevel=2)
        return set(traced.branch_ends)


def _last(layer: Layer) -> tuple[Matrix, ...]:
    """The matrices that a layer's output passes last."""
    last = tuple(matrix for matrix in layer.matrices if matrix.role == "last")
    return last or tuple(matrix for matrix in layer.matrices if matrix.role == "message")


def mixed_aggregation(graph: Any, t: float) -> Data:
    """Return a copy of a graph whose edge weights are the entries of (1-t) I + t P, P = D^-1/2 (A+I) D^-1/2.

    For layers that take the weights as they are: ``GCNConv(a, b, normalize=False, add_self_loops=False)``, called with
    ``edge_weight``. It changes the model, so no recipe does it by itself.

    Args:
        graph: a PyG ``Data``, which keeps its further attributes, or whatever :meth:`initkit_gnn.Graph.of` reads.
        t: 0 leaves each node alone, 1 is GCN.

    Returns:
        A PyG ``Data`` with ``edge_index`` and ``edge_weight``, self-loops included; edge attributes are dropped.

    Raises:
        OptionError: ``t`` is outside 0..1.
        NeedError: the graph cannot be read.
    """
    if not 0 <= t <= 1:
        raise OptionError(f"t={t!r}: the aggregation (1-t) I + t P needs t from 0 to 1")
    read = Graph.of(graph)
    index, weight = gcn_norm(read.edge_index.long(), read.edge_weight, read.num_nodes, add_self_loops=True)
    weight = torch.where(index[0] == index[1], t * weight + (1 - t), t * weight)
    mixed = Data(edge_index=index, edge_weight=weight, num_nodes=read.num_nodes)
    if read.x is not None:
        mixed.x = read.x
    if isinstance(graph, Data):
        for name, value in graph.to_dict().items():
            if name not in mixed and name != "adj_t" and not graph.is_edge_attr(name):
                mixed[name] = value
    return mixed
