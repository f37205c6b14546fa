"""Edges of trees, read from what users have and checked."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import sparse

from initkit import NeedError

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Edges:
    """Edges as given: between numbered nodes, with positive lengths.

    Attributes:
        nodes: the node of each number, in the order of first appearance (0..n-1 where nodes are whole numbers).
        ends: (E, 2), child before parent where a parent array or a mapping was given.
        lengths: (E).
    """

    nodes: tuple[Hashable, ...]
    ends: Ints
    lengths: Floats


def read_edges(given: Any) -> Edges:
    """Read edges from whatever :meth:`Tree.of` takes.

    Raises:
        NeedError: it cannot be read, a length is not positive, an edge is given twice or joins a node to itself.
    """
    if isinstance(given, Edges):
        return given
    if hasattr(given, "edges") and hasattr(given, "nodes") and callable(given.edges):
        triples = [(a, b, float(data.get("weight", 1.0))) for a, b, data in given.edges(data=True)]
        return _numbered(triples, list(given.nodes))
    if isinstance(given, Mapping):
        roots = [child for child, parent in given.items() if parent is None or parent == -1 or parent == child]
        without = set(roots)
        pairs = [(child, parent, 1.0) for child, parent in given.items() if child not in without]
        return _numbered(pairs, roots)
    if sparse.issparse(given):
        upper = sparse.triu(sparse.coo_matrix(given).maximum(sparse.coo_matrix(given).T), k=1).tocoo()
        ends = np.stack([upper.row, upper.col], axis=1).astype(np.int64)
        return _checked(Edges(tuple(range(given.shape[0])), ends, upper.data.astype(np.float64)))
    if hasattr(given, "detach"):
        given = given.detach().cpu().numpy()
    array = np.asarray(given, dtype=object) if _ragged(given) else np.asarray(given)
    if array.ndim == 1 and array.size and np.issubdtype(array.dtype, np.number):
        return _of_parents(array)
    if array.ndim == 2 and array.shape[0] == 2 and array.shape[1] > 3:
        array = array.T
    if array.ndim != 2 or array.shape[1] not in (2, 3) or not array.size:
        raise NeedError(
            f"tree: an object of type {type(given).__name__} and shape {array.shape} is no tree; give edges (child, "
            "parent) with optional lengths, a parent array with -1 at the root, a mapping or a networkx graph"
        )
    if np.issubdtype(array.dtype, np.number):
        return _of_numbers(array)
    return _numbered([(row[0], row[1], float(row[2]) if len(row) > 2 else 1.0) for row in array.tolist()])


def _ragged(given: Any) -> bool:
    if isinstance(given, np.ndarray) or not isinstance(given, Sequence) or not len(given):
        return False
    return isinstance(given[0], (tuple, list)) and not all(isinstance(x, (int, float)) for x in given[0])


def _of_parents(array: npt.NDArray[Any]) -> Edges:
    parents = array.astype(np.int64)
    children = np.flatnonzero((parents >= 0) & (parents != np.arange(len(parents))))
    bad = children[parents[children] >= len(parents)]
    if len(bad):
        raise NeedError(f"tree: node {bad[0]} has the parent {parents[bad[0]]}, but there are {len(parents)} nodes")
    ends = np.stack([children, parents[children]], axis=1)
    return _checked(Edges(tuple(range(len(parents))), ends, np.ones(len(ends))))


def _of_numbers(array: npt.NDArray[Any]) -> Edges:
    ends = array[:, :2].astype(np.int64)
    lengths = array[:, 2].astype(np.float64) if array.shape[1] == 3 else np.ones(len(ends))
    if not np.array_equal(ends, array[:, :2]):
        raise NeedError("tree: the first two columns are nodes and must be whole numbers")
    if ends.min() < 0:
        row = int(np.argmin(ends.min(axis=1)))
        raise NeedError(f"tree: edge {row} ({ends[row, 0]}, {ends[row, 1]}) names a negative node")
    present = np.unique(ends)
    if present[-1] == len(present) - 1:
        return _checked(Edges(tuple(range(len(present))), ends, lengths))
    return _checked(Edges(tuple(int(x) for x in present), np.searchsorted(present, ends), lengths))


def _numbered(triples: Iterable[tuple[Hashable, Hashable, float]], first: Sequence[Hashable] = ()) -> Edges:
    rows = list(triples)
    number: dict[Hashable, int] = {}
    for node in (*first, *(end for row in rows for end in row[:2])):
        number.setdefault(node, len(number))
    ends = np.array([(number[a], number[b]) for a, b, _ in rows], dtype=np.int64).reshape(-1, 2)
    return _checked(Edges(tuple(number), ends, np.array([length for *_, length in rows], dtype=np.float64)))


def _checked(edges: Edges) -> Edges:
    def words(i: int) -> str:
        a, b = edges.ends[i]
        return f"edge {i} ({edges.nodes[a]}, {edges.nodes[b]})"

    if not len(edges.nodes):
        raise NeedError("tree: it has no nodes")
    bad = np.flatnonzero(~(np.isfinite(edges.lengths) & (edges.lengths > 0)))
    if len(bad):
        raise NeedError(f"tree: {words(int(bad[0]))} has length {edges.lengths[bad[0]]:g}; lengths must be positive")
    loops = np.flatnonzero(edges.ends[:, 0] == edges.ends[:, 1])
    if len(loops):
        raise NeedError(f"tree: {words(int(loops[0]))} joins a node to itself")
    return edges


def refuse_twice(edges: Edges) -> None:
    """Refuse an edge that is given twice, either way round.

    Raises:
        NeedError: names it.
    """
    low, high = edges.ends.min(axis=1, initial=len(edges.nodes)), edges.ends.max(axis=1, initial=0)
    _, first, counts = np.unique(low * len(edges.nodes) + high, return_index=True, return_counts=True)
    if (counts > 1).any():
        at = int(np.argmax(counts > 1))
        a, b = edges.ends[first[at]]
        raise NeedError(
            f"tree: edge {first[at]} ({edges.nodes[a]}, {edges.nodes[b]}) is given {counts[at]} times; once is enough"
        )
