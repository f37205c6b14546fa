"""Trees: read from what users have, checked, rooted at their centre."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from scipy import sparse
from scipy.sparse import csgraph

from initkit import NeedError
from initkit.errors import listed

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Cycles = Literal["error", "first_parent", "bfs_tree"]
Forest = Literal["error", "virtual_root"]


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


@dataclass(frozen=True, eq=False)
class Tree:
    """A rooted tree with nodes in breadth-first order from its root.

    Attributes:
        nodes: the node of each number.
        order: numbers in breadth-first order, the root first.
        parent: of each number; -1 for the root.
        length: of the edge to the parent; 0 for the root.
        depth: length of the path from the root.
        level: number of edges on it.
        virtual: number of a root that was added and stands in no table, or -1.
        notes: what was done to the input, in words.
    """

    nodes: tuple[Hashable, ...]
    order: Ints
    parent: Ints
    length: Floats
    depth: Floats
    level: Ints
    virtual: int = -1
    notes: tuple[str, ...] = field(default=())

    def __len__(self) -> int:
        return len(self.parent)

    @property
    def root(self) -> int:
        """Number of the root."""
        return int(self.order[0])

    @property
    def height(self) -> float:
        """Length of the longest path from the root."""
        return float(self.depth.max())

    @property
    def degrees(self) -> Ints:
        """Neighbours of each node."""
        inner = self.parent >= 0
        degrees = np.bincount(self.parent[inner], minlength=len(self))
        return np.asarray(degrees + inner, dtype=np.int64)

    @classmethod
    def of(
        cls,
        given: Any,
        *,
        root: Hashable | Literal["center", "first"] = "center",
        cycles: Cycles = "error",
        forest: Forest = "error",
        forest_gap: float = 1.0,
    ) -> Tree:
        """Read a tree.

        Args:
            given: pairs (child, parent) or triples with a length; an (E, 2) or (E, 3) array; a parent array (-1 for the
                root); a mapping child -> parent; a networkx graph (attribute ``weight``); a sparse matrix; a Tree.
            root: a node, ``center`` (the least height) or ``first``.
            cycles: what to do with a graph that is no tree: ``error``; ``first_parent`` keeps each child's first edge
                (child, parent); ``bfs_tree`` keeps shortest paths from the centre.
            forest: what to do with several trees: ``error``, or ``virtual_root`` joins their centres.
            forest_gap: length of the joining edges.

        Raises:
            NeedError: it cannot be read, or is no tree; names an edge or a node.
        """
        if isinstance(given, Tree):
            return given
        edges = read_edges(given)
        notes: list[str] = []
        if cycles == "first_parent":
            edges = _first_parents(edges, notes)
        _refuse_twice(edges)
        edges = _one_piece(edges, forest, forest_gap, notes, cyclic=cycles == "bfs_tree")
        virtual = len(edges.nodes) - 1 if edges.nodes and edges.nodes[-1] is VIRTUAL else -1
        if cycles == "bfs_tree" and len(edges.ends) >= len(edges.nodes):
            edges = _spanning(edges, notes)
        _refuse_cycles(edges)
        return _rooted(edges, root, virtual, tuple(notes))


class _Virtual:
    """The node that joins the trees of a forest."""

    def __repr__(self) -> str:
        return "(virtual root)"


VIRTUAL = _Virtual()


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


def _refuse_twice(edges: Edges) -> None:
    low, high = edges.ends.min(axis=1, initial=len(edges.nodes)), edges.ends.max(axis=1, initial=0)
    _, first, counts = np.unique(low * len(edges.nodes) + high, return_index=True, return_counts=True)
    if (counts > 1).any():
        at = int(np.argmax(counts > 1))
        a, b = edges.ends[first[at]]
        raise NeedError(
            f"tree: edge {first[at]} ({edges.nodes[a]}, {edges.nodes[b]}) is given {counts[at]} times; once is enough"
        )


def _first_parents(edges: Edges, notes: list[str]) -> Edges:
    _, first = np.unique(edges.ends[:, 0], return_index=True)
    kept = np.sort(first)
    dropped = len(edges.ends) - len(kept)
    if dropped:
        notes.append(f"{dropped} edges were dropped: each node keeps its first parent")
    return Edges(edges.nodes, edges.ends[kept], edges.lengths[kept])


def _matrix(edges: Edges) -> Any:
    n = len(edges.nodes)
    return sparse.csr_matrix((edges.lengths, (edges.ends[:, 0], edges.ends[:, 1])), shape=(n, n))


def _one_piece(edges: Edges, forest: Forest, gap: float, notes: list[str], *, cyclic: bool) -> Edges:
    count, piece = csgraph.connected_components(_matrix(edges), directed=False)
    if count == 1:
        return edges
    firsts = [int(np.argmax(piece == i)) for i in range(min(count, 3))]
    if forest == "error":
        raise NeedError(
            f"tree: it is a forest of {count} trees ({listed(str(edges.nodes[i]) for i in firsts)} lie apart); "
            'forest="virtual_root" joins them at a node that is added'
        )
    if not cyclic:
        _refuse_cycles(edges)
    centres = [_centre(edges, int(np.argmax(piece == i))) for i in range(count)]
    joint = len(edges.nodes)
    more = np.stack([np.array(centres), np.full(count, joint)], axis=1)
    notes.append(f"{count} trees are joined at a virtual root by edges of length {gap:g}")
    return Edges(
        (*edges.nodes, VIRTUAL),
        np.concatenate([edges.ends, more]),
        np.concatenate([edges.lengths, np.full(count, gap)]),
    )


def _spanning(edges: Edges, notes: list[str]) -> Edges:
    """The breadth-first tree from the node with the least greatest distance among ends of a double sweep."""
    centre = _centre(edges, 0)
    matrix = _matrix(edges)
    order, before = csgraph.breadth_first_order(matrix, centre, directed=False)
    children = order[1:]
    parents = before[children]
    both = matrix.maximum(matrix.T).tocsr()
    lengths = np.asarray(both[children, parents]).ravel()
    notes.append(
        f"the graph has {len(edges.ends)} edges, a tree {len(children)}: {len(edges.ends) - len(children)} are not "
        "embedded, distances are those of a breadth-first tree"
    )
    return Edges(edges.nodes, np.stack([children, parents], axis=1).astype(np.int64), lengths)


def _refuse_cycles(edges: Edges) -> None:
    """Name an edge of a cycle, by union and find."""
    count = csgraph.connected_components(_matrix(edges), directed=False, return_labels=False)
    if len(edges.ends) == len(edges.nodes) - count:
        return
    above = list(range(len(edges.nodes)))

    def find(i: int) -> int:
        while above[i] != i:
            above[i] = above[above[i]]
            i = above[i]
        return i

    for i, (a, b) in enumerate(edges.ends.tolist()):
        x, y = find(a), find(b)
        if x == y:
            raise NeedError(
                f"tree: edge {i} ({edges.nodes[a]}, {edges.nodes[b]}) closes a cycle; "
                'cycles="first_parent" keeps each node\'s first parent, cycles="bfs_tree" paths from the centre'
            )
        above[x] = y


def _walk(edges: Edges, root: int) -> tuple[Ints, Ints, Floats, Floats, Ints]:
    """Breadth-first order, parents, lengths to parents, depths and levels."""
    n = len(edges.nodes)
    matrix = _matrix(edges)
    both = matrix.maximum(matrix.T).tocsr()
    order, before = csgraph.breadth_first_order(both, root, directed=False)
    parent = np.where(before < 0, -1, before).astype(np.int64)
    length = np.zeros(n)
    children = order[1:]
    if len(children):
        length[children] = np.asarray(both[children, parent[children]]).ravel()
    depth, level = np.zeros(n), np.zeros(n, dtype=np.int64)
    steps, lengths, above = [0] * n, [0.0] * n, parent.tolist()
    given = length.tolist()
    for node in children.tolist():
        steps[node] = steps[above[node]] + 1
        lengths[node] = lengths[above[node]] + given[node]
    depth[:], level[:] = lengths, steps
    return order.astype(np.int64), parent, length, depth, level


def _centre(edges: Edges, start: int) -> int:
    """The node whose greatest distance is least: half way along a longest path."""
    order, *_, depth, _ = _walk(edges, start)
    far = int(order[np.argmax(depth[order])])
    order, parent, _, depth, _ = _walk(edges, far)
    end = int(order[np.argmax(depth[order])])
    path = [end]
    while parent[path[-1]] >= 0:
        path.append(int(parent[path[-1]]))
    total = depth[end]
    return min(path, key=lambda node: (max(depth[node], total - depth[node]), node))


def _rooted(edges: Edges, root: Any, virtual: int, notes: tuple[str, ...]) -> Tree:
    if isinstance(root, str) and root == "center" and root not in edges.nodes:
        at = virtual if virtual >= 0 else _centre(edges, 0)
    elif isinstance(root, str) and root == "first" and root not in edges.nodes:
        at = 0
    elif root in edges.nodes:
        at = edges.nodes.index(root)
    else:
        raise NeedError(f"root {root!r} is no node of the tree; give one, 'center' or 'first'")
    return Tree(edges.nodes, *_walk(edges, at), virtual, notes)
