"""Graphs larger than memory: the edges stay on disk, and every product is one pass over them."""

from __future__ import annotations

import warnings
from collections.abc import Hashable, Iterator
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp
import torch
from torch import Tensor

from initkit import NeedError, OptionError
from initkit_gnn.checks import check_features, check_size
from initkit_gnn.csr import INDEX_LIMIT, Csr, Multiply
from initkit_gnn.edge_files import EdgeFiles
from initkit_gnn.graph import Graph

CHUNK = 2**21


class StreamedGraph(Graph):
    """A graph whose edges are read from disk, a chunk at a time, at every product with its matrix.

    It goes wherever a recipe asks for a ``graph`` and reads no single edges: ``gnn/virgo`` takes L passes for a
    model of L layers, ``gnn/rfp`` one for each step, after one that checks the edges and one for the degrees. What
    is in memory are vectors of N numbers (or blocks of N × width), and one chunk. Recipes that run the model on the
    graph need its edges in memory and say so.

    Args:
        edges: a ``.npy`` file, array or ``np.memmap`` (2, E), row 0 = source, row 1 = target, in any order; a list of
            these; or a function that returns an iterator over arrays (2, e), or pairs of one with its weights.
        num_nodes: N; None takes the largest index + 1.
        edge_weight: as ``edges``, of shape (E,).
        x: features, an array, tensor, ``np.memmap`` or ``.npy`` file of N rows.
        chunk: edges in memory at a time; some 60 bytes each.

    Raises:
        NeedError: a file is missing, an index out of range, a weight negative or not finite.
    """

    def __init__(
        self,
        edges: Any,
        num_nodes: int | None = None,
        *,
        edge_weight: Any = None,
        x: Any = None,
        chunk: int = CHUNK,
    ) -> None:
        if chunk < 1:
            raise OptionError(f"chunk={chunk} is out of range; at least one edge is read at a time")
        files = EdgeFiles(edges, edge_weight, chunk)
        count, highest, weighted = _checked(files)
        features = None if x is None else _features(x)
        if num_nodes is None:
            num_nodes = highest + 1 if features is None else len(features)
        check_size(num_nodes)
        if highest >= num_nodes:
            raise NeedError(
                f"graph: edge_index holds the index {highest}, but there are {num_nodes} nodes (0 to {num_nodes - 1}); "
                f"pass num_nodes={highest + 1} with as many feature rows, or correct the edges"
            )
        if features is not None:
            check_features(features, num_nodes)
        cache: dict[Hashable, Any] = {}
        for name, value in {
            "num_nodes": int(num_nodes),
            # Readers ask whether there are weights; the numbers themselves are in the file.
            "edge_weight": torch.empty(0) if weighted else None,
            "x": features,
            "_cache": cache,
            "_files": files,
            "_count": count,
        }.items():
            object.__setattr__(self, name, value)

    @property
    def edge_index(self) -> NoReturn:
        """Raise: the edges are on disk.

        Raises:
            NeedError: always.
        """
        raise NeedError(
            "graph: the edges of a StreamedGraph are on disk, and this reads them one by one; load them into memory "
            "(a Data), or take a recipe that needs products alone (gnn/virgo, gnn/rfp, gnn/rni)"
        )

    @property
    def num_edges(self) -> int:
        """E, the number of stored directed edges."""
        return int(self._count)  # type: ignore[attr-defined]

    @property
    def device(self) -> torch.device:
        """The CPU."""
        return torch.device("cpu")

    def matrix(self, *, weighted: bool = True) -> Csr:
        """Return the adjacency matrix A[target, source] as a series of passes."""
        weighted = weighted and self.edge_weight is not None
        files = self._files  # type: ignore[attr-defined]
        return self.once(("matrix", weighted), lambda: StreamedMatrix(files, self.num_nodes, weighted))

    def in_counts(self) -> Tensor:
        """Return the number of edges that end in each node: float64 (N,)."""
        return self.matrix(weighted=False).row_sums()

    def _self_loops(self, weighted: bool) -> tuple[Tensor, Tensor]:
        last = np.zeros(self.num_nodes)
        there = np.zeros(self.num_nodes, bool)
        for edges, weights in self._files:  # type: ignore[attr-defined]
            loops = edges[0] == edges[1]
            nodes = edges[0][loops]
            there[nodes] = True
            last[nodes] = weights[loops] if weighted and weights is not None else 1.0
        found = np.flatnonzero(there)
        return torch.from_numpy(found), torch.from_numpy(last[found])


class StreamedMatrix:
    """A sparse matrix whose entries are read from disk at every product; repeated edges add up.

    ``squared`` squares each stored edge by itself, so there no edge may be stored twice.
    """

    def __init__(self, files: EdgeFiles, size: int, weighted: bool, power: int = 1) -> None:
        self.size = size
        self.device = torch.device("cpu")
        self._files, self._weighted, self._power = files, weighted, power
        self._sums: Tensor | None = None

    def _parts(self, dtype: Any = np.float64) -> Iterator[sp.coo_array]:
        ones: npt.NDArray[Any] = np.ones(0, dtype)
        for edges, weights in self._files:
            source, target = (np.ascontiguousarray(ends, dtype=np.int32) for ends in edges)
            if weights is None or not self._weighted:
                if len(ones) < len(source):
                    ones = np.ones(len(source), dtype)
                values = ones[: len(source)]
            else:
                values = np.ascontiguousarray(weights, dtype=dtype) ** self._power
            yield sp.coo_array((values, (target, source)), shape=(self.size, self.size))

    def dot(self, v: Tensor) -> Tensor:
        """Multiply: ``A v``, in one pass."""
        total = np.zeros(self.size)
        for part in self._parts():
            total += part @ v.numpy()
        return torch.from_numpy(total)

    def dot_t(self, v: Tensor) -> Tensor:
        """Multiply by the transpose: ``A^T v``, in one pass."""
        total = np.zeros(self.size)
        for part in self._parts():
            total += part.T @ v.numpy()
        return torch.from_numpy(total)

    def wide(self, dtype: torch.dtype, left: Tensor | None, right: Tensor | None) -> Multiply:
        """Return the product of diag(left) A diag(right) with blocks of columns: one pass each."""
        kind = np.float32 if dtype == torch.float32 else np.float64
        before, after = (None if side is None else side.numpy().astype(kind)[:, None] for side in (right, left))

        def multiply(block: Tensor) -> Tensor:
            values = block.numpy() if before is None else block.numpy() * before
            total = np.zeros_like(values)
            for part in self._parts(kind):
                total += part @ values
            if after is not None:
                total *= after
            return torch.from_numpy(total)

        return multiply

    def squared(self) -> StreamedMatrix:
        """Square every stored entry."""
        return StreamedMatrix(self._files, self.size, self._weighted, 2 * self._power)

    def diagonal(self) -> Tensor:
        """Return the diagonal, in one pass."""
        found = np.zeros(self.size)
        for part in self._parts():
            row, column = part.coords
            loops = row == column
            np.add.at(found, row[loops], part.data[loops])
        return torch.from_numpy(found)

    def row_sums(self) -> Tensor:
        """Return the sum of every row; one pass the first time."""
        if self._sums is None:
            self._sums = self.dot(torch.ones(self.size, dtype=torch.float64))
        return self._sums.clone()

    def symmetric(self) -> bool:
        """Compare ``A q`` with ``A^T q`` for one random vector of integers, as the matrix in memory does."""
        probe = torch.from_numpy(np.random.default_rng(0).integers(1, 2**20, self.size).astype(np.float64))
        return bool(torch.allclose(self.dot(probe), self.dot_t(probe), rtol=1e-9, atol=0.0))


def _checked(files: EdgeFiles) -> tuple[int, int, bool]:
    """Read all edges once: their number, the highest index, and whether they have weights."""
    count, highest, weighted = 0, -1, False
    for edges, weights in files:
        if edges.shape[1] == 0:
            continue
        low, high = int(edges.min()), int(edges.max())
        if low < 0:
            raise NeedError(f"graph: edge_index holds the negative index {low}; nodes are numbered from 0")
        if high >= INDEX_LIMIT:
            raise NeedError(f"graph: edge_index holds the index {high}; node numbers must be below 2^31")
        if weights is not None:
            weighted = True
            if weights.shape != (edges.shape[1],):
                raise NeedError(f"graph: edge_weight has shape {weights.shape}, expected ({edges.shape[1]},)")
            if not (np.isfinite(weights).all() and (weights >= 0).all()):
                raise NeedError("graph: edge_weight holds a value that is negative, NaN or infinite; clean the weights")
        count += edges.shape[1]
        highest = max(highest, high)
    return count, highest, weighted


def _features(x: Any) -> Tensor:
    if isinstance(x, Tensor):
        return x.detach()
    if isinstance(x, (str, Path)):
        if not Path(x).is_file():
            raise NeedError(f"graph: there is no file {x}")
        x = np.load(x, mmap_mode="r", allow_pickle=False)
    with warnings.catch_warnings():  # torch warns of arrays that cannot be written to; nobody writes
        warnings.simplefilter("ignore", UserWarning)
        return torch.from_numpy(np.asarray(x))
