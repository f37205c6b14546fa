"""Vectors spread along edges: the refinement of a start from blocks, and the start of new nodes in a grown graph."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from initkit_gnn.undirected import Undirected

Ints = npt.NDArray[np.int64]
Progress = Callable[[Iterable[int], str, int], Iterable[int]]

_ROWS = 16384  # of a group, whose vectors stay in a core's cache between the passes over them
_REST = 0.1  # a group rests when its rows change by less than this share of delta
_WAKE = 8  # all groups are looked at again every so many steps


@dataclass(frozen=True, eq=False)
class Spread:
    """What spreading gave.

    Attributes:
        vectors: (N, d) in the order of the nodes.
        changes: mean Euclidean change of a row, step by step.
    """

    vectors: Tensor
    changes: tuple[float, ...]


@dataclass
class _Group:
    """Rows that are computed together."""

    start: int
    end: int
    matrix: Tensor
    change: float = float("inf")
    resting: int = 0  # steps since it went to rest


class Neighbourhood:
    """The rows of D^-1 A, ordered so that rows of one block are neighbours in memory.

    Args:
        graph: undirected.
        block: of each node; a product reads fewer cache lines when blocks are contiguous.
        device: where to multiply.
        dtype: float32 or float64.
    """

    def __init__(self, graph: Undirected, block: Ints, device: torch.device, dtype: torch.dtype) -> None:
        self.order = np.argsort(block, kind="stable")
        place = np.empty_like(self.order)
        place[self.order] = np.arange(len(place))
        matrix = graph.matrix[self.order]
        columns = place.astype(matrix.indices.dtype)[matrix.indices]
        size = graph.num_nodes
        degree = torch.from_numpy(np.diff(matrix.indptr) if graph.ones else matrix.sum(axis=1)).double()
        self._inverse = torch.where(degree > 0, 1 / degree, 0.0).to(device, dtype)[:, None]
        # Half of the way to the neighbours' mean; isolated nodes stay.
        self._half = torch.where(degree > 0, 0.5, 0.0).to(device, dtype)[:, None]
        self.dtype, self.device, self._size = dtype, device, size
        step = _ROWS if device.type == "cpu" else size
        self._groups = []
        for start in range(0, size, step):
            end = min(start + step, size)
            low, high = int(matrix.indptr[start]), int(matrix.indptr[end])
            values = torch.from_numpy(matrix.data[low:high]).to(device, dtype)
            rows = torch.from_numpy(matrix.indptr[start : end + 1] - low).to(device)
            sparse = _csr(rows, torch.from_numpy(columns[low:high]).to(device), values, (end - start, size))
            self._groups.append(_Group(start, end, sparse))

    def spread(
        self, vectors: Tensor, delta: float, max_iter: int, progress: Progress | None = None, words: str = ""
    ) -> Spread:
        """Repeat f_i <- (f_i + mean of the neighbours' f_j)/2, all rows at once, until rows change by delta or less.

        Groups of rows that change by less than a tenth of delta on average rest, and are looked at again every
        eighth step; their last change counts in the mean.

        Args:
            vectors: (N, d), in the order of the nodes.
            delta: on the mean Euclidean change of a row.
            max_iter: steps at most: without end, every component would collapse to one vector.
            progress: as :meth:`initkit.JobContext.progress`.
            words: for it.
        """
        at = torch.from_numpy(self.order).to(self.device)
        old = vectors.to(self.device, self.dtype)[at]
        new = torch.empty_like(old)
        changes: list[float] = []
        for group in self._groups:
            group.change, group.resting = float("inf"), 0
        steps: Iterable[int] = range(max_iter)
        for step in steps if progress is None else progress(steps, words, max_iter):
            for group in self._groups:
                self._step(group, old, new, delta, wake=step % _WAKE == _WAKE - 1)
            old, new = new, old
            changes.append(sum(group.change * (group.end - group.start) for group in self._groups) / self._size)
            if changes[-1] <= delta:
                break
        new[at] = old
        return Spread(new, tuple(changes))

    def _step(self, group: _Group, old: Tensor, new: Tensor, delta: float, *, wake: bool) -> None:
        rows = slice(group.start, group.end)
        if group.resting and not wake:
            if group.resting == 1:  # the other buffer holds the step before
                new[rows] = old[rows]
            group.resting += 1
            return
        change = group.matrix @ old
        change.mul_(self._inverse[rows]).sub_(old[rows]).mul_(self._half[rows])
        total = torch.linalg.vector_norm(change, dim=1).sum(dtype=torch.float64)
        torch.add(old[rows], change, out=new[rows])
        group.change = float(total) / (group.end - group.start)
        group.resting = 1 if group.change < _REST * delta else 0


def grown(
    graph: Undirected, trained: Tensor, known: npt.NDArray[np.bool_], delta: float, max_iter: int
) -> tuple[Tensor, npt.NDArray[np.bool_], int]:
    """Start the vectors of new nodes from those of trained ones, which stay.

    New nodes next to known ones take the weighted mean of these, ring by ring; then all new nodes take the steps of
    :meth:`Neighbourhood.spread` together, with the trained ones fixed.

    Args:
        graph: with the new nodes.
        trained: (N, d); rows of new nodes are not read.
        known: which nodes are trained, (N,).
        delta: on the mean change of a new row, in units of the trained rows' mean norm.
        max_iter: steps at most.

    Returns:
        The vectors (N, d), which nodes have one (others have no path to a trained node), and the number of steps.
    """
    new = np.flatnonzero(~known)
    f = trained.clone()
    f[torch.from_numpy(new)] = 0.0
    has = known.copy()
    part = graph.matrix[new]
    while True:
        ring = (part @ has.astype(np.float64) > 0) & ~has[new]
        if not ring.any():
            break
        rows = part[np.flatnonzero(ring)]
        weight = torch.from_numpy(rows @ has.astype(np.float64))[:, None]
        mean = torch.from_numpy(rows @ f.double().numpy()) / weight
        nodes = new[ring]
        f[torch.from_numpy(nodes)] = mean.to(f.dtype)
        has[nodes] = True
    reached = new[has[new]]
    if not len(reached):
        return f, has, 0
    rows = graph.matrix[reached]
    at = torch.from_numpy(reached)
    ends = torch.from_numpy(rows.indptr), torch.from_numpy(rows.indices)
    matrix = _csr(*ends, torch.from_numpy(rows.data.astype(np.float64)), rows.shape)
    wide = f.double()
    degree = torch.from_numpy(rows.sum(axis=1))[:, None]
    scale = float(torch.linalg.vector_norm(wide[torch.from_numpy(known)], dim=1).mean())
    steps = 0
    while steps < max_iter:
        steps += 1
        change = ((matrix @ wide) / degree - wide[at]) / 2
        wide[at] += change
        if float(torch.linalg.vector_norm(change, dim=1).mean()) <= delta * scale:
            break
    f[at] = wide[at].to(f.dtype)
    return f, has, steps


def _csr(rows: Tensor, columns: Tensor, values: Tensor, shape: tuple[int, int]) -> Tensor:
    with warnings.catch_warnings():  # torch calls its CSR layout a beta
        warnings.simplefilter("ignore", UserWarning)
        return torch.sparse_csr_tensor(rows, columns, values, shape)
