"""What one message-passing layer does to amplitudes: its linear operator, forward and transposed.

An amplitude a_i is the root of a node's mean squared state. A layer with the aggregation matrix M maps it to

    a'_i^2 = r (sum_j M_ij a_j)^2 + (1 - r) sum_j M_ij^2 a_j^2   (+ a_i^2 with a root weight),

where r is the correlation between neighbours' states: 1 for Virgo (a' = M a), 0 for independent neighbours.
A second, independent weight matrix for the node itself (``root_weight``) adds in quadrature.

Every M here is diag(left) A diag(right) + diag(own), so nothing but the adjacency matrix A is stored.
"""

from __future__ import annotations

import inspect
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

import numpy as np
import scipy.sparse as sp
import torch
from torch import Tensor

from initkit.errors import NeedError, OptionError, PlanError, listed
from initkit_gnn.csr import Csr, Multiply, compress, total
from initkit_gnn.graph import Graph

BAND = 32  # columns of one product with a block


class Operator(ABC):
    """The amplitude step of one layer on one graph of ``size`` nodes.

    Vectors are float64 tensors (N,) on the graph's device.
    """

    label: str
    size: int
    device: torch.device
    root: bool = False

    @abstractmethod
    def linear(self, a: Tensor, *, transposed: bool = False) -> Tensor:
        """Return a new tensor with ``M a``, or ``M^T a``."""

    @abstractmethod
    def squares(self, power: Tensor, *, transposed: bool = False) -> Tensor:
        """Return a new tensor with ``(M o M) power``, or with the transpose, M o M holding the squared entries."""

    @property
    def self_transposed(self) -> bool:
        """Whether M equals its transpose."""
        return False

    def many(self, block: Tensor) -> Tensor:
        """Return a new tensor ``M B`` for a float32 or float64 block (N, k), in its precision."""
        columns = [self.linear(column.double()).to(block.dtype) for column in block.unbind(1)]
        return torch.stack(columns, dim=1) if columns else block.clone()

    def step(self, a: Tensor, *, transposed: bool = False, correlation: float = 1.0) -> Tensor:
        """Return the amplitude after the layer; ``transposed`` for gradients, on their way back.

        Args:
            a: amplitudes before; with ``correlation=1`` and no root weight they may have signs.
            correlation: r in [0, 1].
        """
        if correlation == 1 and not self.root:
            return self.linear(a, transposed=transposed)
        power = torch.zeros_like(a)
        if correlation > 0:
            power.add_(self.linear(a, transposed=transposed).square_(), alpha=correlation)
        if correlation < 1:
            power.add_(self.squares(a.square(), transposed=transposed), alpha=1 - correlation)
        if self.root:
            power.addcmul_(a, a)
        return power.sqrt_()

    def frobenius_squared(self) -> float:
        """Return ||M||_F^2, the sum of squared entries (without the root weight)."""
        return total(self.squares(torch.ones(self.size, dtype=torch.float64, device=self.device)))


class Scaled(Operator):
    """M = diag(left) A diag(right) + diag(own); None stands for ones (left, right) and zeros (own)."""

    def __init__(
        self,
        label: str,
        matrix: Csr,
        *,
        left: Tensor | None = None,
        right: Tensor | None = None,
        own: Tensor | float | None = None,
        root: bool = False,
    ) -> None:
        self.label = label
        self.size = matrix.size
        self.device = matrix.device
        self.root = root
        self._matrix = matrix
        self._left, self._right, self._own = left, right, own
        self._squared: Scaled | None = None
        self._wide: dict[torch.dtype, Multiply] = {}

    def linear(self, a: Tensor, *, transposed: bool = False) -> Tensor:
        """Return ``M a``, or ``M^T a``."""
        before, after = (self._left, self._right) if transposed else (self._right, self._left)
        scaled = a if before is None else a * before
        result = self._matrix.dot_t(scaled) if transposed else self._matrix.dot(scaled)
        if after is not None:
            result.mul_(after)
        if isinstance(self._own, Tensor):
            result.addcmul_(self._own, a)
        elif self._own is not None:
            result.add_(a, alpha=self._own)
        return result

    def many(self, block: Tensor) -> Tensor:
        """Return ``M B``, in bands of columns that keep the memory of a product small."""
        if block.shape[1] > BAND:
            bands = (block[:, first : first + BAND] for first in range(0, block.shape[1], BAND))
            return torch.cat([self.many(band.contiguous()) for band in bands], dim=1)
        if block.dtype not in self._wide:
            self._wide[block.dtype] = self._matrix.wide(block.dtype, self._left, self._right)
        result = self._wide[block.dtype](block)
        if isinstance(self._own, Tensor):
            result.addcmul_(self._own.to(block.dtype)[:, None], block)
        elif self._own is not None:
            result.add_(block, alpha=self._own)
        return result

    def squares(self, power: Tensor, *, transposed: bool = False) -> Tensor:
        """Return ``(M o M) power``, or with the transpose."""
        if self._squared is None:
            self._squared = self._with_squared_entries()
        # Where entries of A and ``own`` cancel, rounding may leave a little less than zero.
        return self._squared.linear(power, transposed=transposed).clamp_(min=0)

    def _with_squared_entries(self) -> Scaled:
        left = None if self._left is None else self._left.square()
        right = None if self._right is None else self._right.square()
        own = None
        if self._own is not None:  # (l A_ii r + own)^2 - (l A_ii r)^2 beside the squared entries of A
            inside = self._matrix.diagonal()
            for side in (self._left, self._right):
                if side is not None:
                    inside = inside * side
            own = (2 * inside + self._own) * self._own
        return Scaled(self.label, self._matrix.squared(), left=left, right=right, own=own)

    @property
    def self_transposed(self) -> bool:
        """Whether M equals its transpose."""
        return self._left is self._right and self._matrix.symmetric()


class Pair(Operator):
    """A user's own operator, given as the functions ``M a`` and ``M^T a``."""

    def __init__(self, graph: Graph, forward: Callable[[Tensor], Any], backward: Callable[[Tensor], Any]) -> None:
        self.label = "user's operator"
        self.size = graph.num_nodes
        self.device = graph.device
        self._forward, self._backward = forward, backward

    def linear(self, a: Tensor, *, transposed: bool = False) -> Tensor:
        """Return ``M a``, or ``M^T a``."""
        name = "transposed" if transposed else "forward"
        found = (self._backward if transposed else self._forward)(a.clone())
        if isinstance(found, np.ndarray):
            found = torch.from_numpy(found)
        if not isinstance(found, Tensor) or tuple(found.shape) != (self.size,):
            got = f"shape {tuple(found.shape)}" if isinstance(found, Tensor) else type(found).__name__
            raise NeedError(f"operator: its {name} function returned {got}, expected a tensor of shape ({self.size},)")
        return found.detach().to(a.device, torch.float64, copy=True)

    def squares(self, power: Tensor, *, transposed: bool = False) -> Tensor:
        """Raise: functions do not show the entries of M."""
        raise NeedError(
            "operator: neighbour_correlation below 1 needs the squared entries, which a pair of functions does not "
            "show; give the operator as a sparse matrix"
        )


def gcn(
    graph: Graph,
    *,
    add_self_loops: bool = True,
    normalize: bool = True,
    improved: bool = False,
    weighted: bool = True,
) -> Operator:
    """D^-1/2 (A + I) D^-1/2 as in PyG's ``GCNConv``, D = in-degree with the loop (Kipf & Welling, 2017).

    A self-loop that is there keeps its weight; of several at one node, the last counts. ``normalize=False`` is A
    alone. ``improved=True`` gives added loops the weight 2 in a weighted graph; in an unweighted one PyG (2.3 and
    later) adds them with weight 1 all the same, and so does this.
    """
    matrix = graph.matrix(weighted=weighted)
    if not normalize:
        return Scaled("gcn, not normalised", matrix)
    own: Tensor | None = None
    degree = matrix.row_sums()
    if add_self_loops:
        fill = 2.0 if improved and weighted and graph.edge_weight is not None else 1.0
        nodes, weights = graph.self_loops(weighted=weighted)
        own = torch.full_like(degree, fill)
        if len(nodes):
            own[nodes] = weights
            own -= matrix.diagonal()
        degree += own
    scale = _inverse(degree).sqrt_()
    return Scaled("gcn", matrix, left=scale, right=scale, own=None if own is None else own.mul_(scale).mul_(scale))


def gat(graph: Graph, *, add_self_loops: bool = True, weighted: bool = True) -> Operator:
    """D_B^-1 B with uniform attention, B = A with each self-loop replaced by one of weight 1, as in ``GATConv``."""
    matrix = graph.matrix(weighted=weighted)
    degree = matrix.row_sums()
    if not add_self_loops:
        return Scaled("gat", matrix, left=_inverse(degree))
    own = 1 - matrix.diagonal()
    scale = _inverse(degree + own)
    return Scaled("gat", matrix, left=scale, own=own.mul_(scale))


def sage(graph: Graph, *, aggr: str = "mean", root_weight: bool = True, weighted: bool = True) -> Operator:
    """``SAGEConv``: row-normalised A, or A for ``aggr="sum"``; the root weight adds in quadrature."""
    matrix = graph.matrix(weighted=weighted)
    left = _inverse(matrix.row_sums()) if _is_mean("sage", aggr) else None
    return Scaled("sage", matrix, left=left, root=root_weight)


def gin(graph: Graph, *, eps: float = 0.0, aggr: str = "sum", weighted: bool = True) -> Operator:
    """``GINConv``: A + (1 + eps) I; for ``aggr="mean"`` A's rows are divided by their number of edges."""
    matrix = graph.matrix(weighted=weighted)
    left = _inverse(graph.in_counts().clone()) if _is_mean("gin", aggr) else None
    return Scaled("gin", matrix, left=left, own=1.0 + float(eps))


def graphconv(graph: Graph, *, aggr: str = "sum", root_weight: bool = True, weighted: bool = True) -> Operator:
    """``GraphConv``: A, the root weight in quadrature; for ``aggr="mean"`` rows are divided by their number of edges.

    PyG divides weighted messages by their number, not by the sum of their weights.
    """
    matrix = graph.matrix(weighted=weighted)
    left = _inverse(graph.in_counts().clone()) if _is_mean("graphconv", aggr) else None
    return Scaled("graphconv", matrix, left=left, root=root_weight)


def adjacency(graph: Graph, *, weighted: bool = True) -> Operator:
    """A itself."""
    return Scaled("adjacency", graph.matrix(weighted=weighted))


def rowwise(graph: Graph, *, weighted: bool = True) -> Operator:
    """D^-1 A: every row of A divided by its sum (a random walk's step)."""
    matrix = graph.matrix(weighted=weighted)
    return Scaled("rowwise", matrix, left=_inverse(matrix.row_sums()))


def lap_shift(graph: Graph, *, weighted: bool = True) -> Operator:
    """I - L/2 = (I + D^-1/2 A D^-1/2) / 2, L the normalised Laplacian; its spectrum is in [0, 1]."""
    matrix = graph.matrix(weighted=weighted)
    scale = _inverse(matrix.row_sums()).div_(2).sqrt_()
    return Scaled("lap_shift", matrix, left=scale, right=scale, own=0.5)


OPERATORS: dict[str, Callable[..., Operator]] = {
    made.__name__: made for made in (gcn, gat, sage, gin, graphconv, adjacency, rowwise, lap_shift)
}


def operator(graph: Graph, kind: Any, **options: Any) -> Operator:
    """Return the operator of a layer on a graph; the same one when asked for again.

    Args:
        graph: the graph.
        kind: a name of :data:`OPERATORS`, with that function's ``options``; or, without options, an
            :class:`Operator`, a SciPy or torch sparse (N, N) matrix M, or the pair of functions
            ``(a -> M a, a -> M^T a)`` on float64 tensors (N,).

    Raises:
        PlanError: an unknown name, or an aggregation that no matrix describes.
        OptionError: an unknown option.
        NeedError: the operator does not fit the graph.
    """
    if isinstance(kind, str):
        make = OPERATORS.get(kind)
        if make is None:
            raise PlanError(f"operator {kind!r} is unknown; there are {listed(OPERATORS)}")
        known = list(inspect.signature(make).parameters)[1:]
        for name in options:
            if name not in known:
                raise OptionError(f"operator {kind!r} has no option {name!r}; it has {listed(known)}")
        options = {name: float(value) if isinstance(value, Tensor) else value for name, value in options.items()}
        key = ("operator", kind, repr(sorted(options.items())))
        return graph.once(key, lambda: make(graph, **options))
    if options:
        raise OptionError(
            f"operator: options ({listed(options)}) go with an operator's name, not with one that is given"
        )
    if isinstance(kind, Operator):
        found = kind
    elif isinstance(kind, Tensor) or sp.issparse(kind):
        # The matrix is kept with its operator: its id stays its own.
        key = ("operator", "matrix", repr(id(kind)))
        found = graph.once(key, lambda: (kind, Scaled("user's matrix", _user_matrix(kind, graph))))[1]
    elif isinstance(kind, tuple | list) and len(kind) == 2 and all(callable(one) for one in kind):
        found = Pair(graph, kind[0], kind[1])
    else:
        raise PlanError(
            f"operator: cannot use a {type(kind).__name__}; give a name ({listed(OPERATORS)}), a sparse matrix or "
            "a pair of functions"
        )
    if found.size != graph.num_nodes:
        raise NeedError(f"operator: it is for {found.size} nodes, the graph has {graph.num_nodes}")
    return found


def _user_matrix(given: Any, graph: Graph) -> Csr:
    shape = tuple(given.shape)
    if shape != (graph.num_nodes, graph.num_nodes):
        raise NeedError(f"operator: the matrix has shape {shape}, expected ({graph.num_nodes}, {graph.num_nodes})")
    if isinstance(given, Tensor):
        coo = given.detach().to_sparse().coalesce().to(graph.device)
        row, column, value = *coo.indices(), coo.values()
    else:
        entries = sp.coo_array(given)
        row, column = (torch.from_numpy(ends).to(graph.device) for ends in entries.coords)
        value = torch.from_numpy(entries.data).to(graph.device)
    if value.is_complex() or not bool(torch.isfinite(value).all()):
        raise NeedError("operator: the matrix holds entries that are complex, NaN or infinite; expected finite numbers")
    return compress(column, row, value, graph.num_nodes)


def _inverse(v: Tensor) -> Tensor:
    """Return 1/v, in v's place, and 0 where v is 0: a node without incoming edges receives nothing."""
    none = v == 0
    return v.reciprocal_().masked_fill_(none, 0.0)


def _is_mean(kind: str, aggr: Any) -> bool:
    if aggr == "mean":
        return True
    if aggr in ("sum", "add"):
        return False
    raise PlanError(
        f"operator {kind!r}: aggr={aggr!r} is not linear, so it has no operator; use aggr 'mean' or 'sum', "
        "or calibrate this layer on data"
    )
