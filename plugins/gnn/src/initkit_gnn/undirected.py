"""A graph as network embedding sees it: undirected, without self-loops, each pair of nodes once a direction."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

from initkit.errors import NeedError
from initkit_gnn.csr import ScipyCsr, compress
from initkit_gnn.graph import Graph


@dataclass(frozen=True, eq=False)
class Undirected:
    """A symmetric weighted graph in main memory.

    Attributes:
        matrix: SciPy CSR (N, N), entries > 0, nothing on the diagonal.
        ones: whether every entry is 1.
        notes: what was changed on the way, one sentence each.
    """

    matrix: sp.csr_array
    ones: bool
    notes: tuple[str, ...] = ()

    @property
    def num_nodes(self) -> int:
        """N."""
        return int(self.matrix.shape[0])

    @property
    def degrees(self) -> npt.NDArray[np.int64]:
        """The number of neighbours of each node, (N,)."""
        found: npt.NDArray[np.int64] = np.diff(self.matrix.indptr).astype(np.int64)
        return found


def undirected(graph: Graph) -> Undirected:
    """Read a graph as undirected: A + A^T where A is not symmetric; loops dropped, repeated edges summed.

    Raises:
        NeedError: no edge joins two different nodes.
    """
    notes = []
    made = graph.matrix()
    if not isinstance(made, ScipyCsr):
        edges, weight = graph.edge_index.cpu(), graph.edge_weight
        made = compress(edges[0], edges[1], None if weight is None else weight.detach().cpu(), graph.num_nodes)
    assert isinstance(made, ScipyCsr)
    matrix = made.matrix
    if not made.symmetric():
        matrix = (matrix + matrix.T).tocsr()
        notes.append("the graph is directed: an edge counts in both directions")
    elif not matrix.has_canonical_format:
        matrix = matrix.copy()  # the graph keeps the one it has
        matrix.sum_duplicates()
    diagonal = matrix.diagonal()
    if diagonal.any() or not matrix.data.all():
        matrix = _cleaned(matrix)
        if diagonal.any():
            notes.append(f"{int((diagonal > 0).sum())} self-loops are left out")
    if matrix.nnz == 0:
        raise NeedError("graph: it has no edges between different nodes; a start from its partition needs some")
    return Undirected(matrix, bool((matrix.data == 1).all()), tuple(notes))


def _cleaned(matrix: sp.csr_array) -> sp.csr_array:
    """Without entries on the diagonal and without entries of 0."""
    row = np.repeat(np.arange(matrix.shape[0], dtype=matrix.indices.dtype), np.diff(matrix.indptr))
    kept = (row != matrix.indices) & (matrix.data != 0)
    counts = np.bincount(row[kept], minlength=matrix.shape[0])
    indptr = np.concatenate(([0], np.cumsum(counts))).astype(matrix.indptr.dtype)
    return sp.csr_array((matrix.data[kept], matrix.indices[kept], indptr), shape=matrix.shape)
