"""Trees: read from what users have, checked, rooted at their centre."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from scipy import sparse
from scipy.sparse import csgraph

from initkit import NeedError
from initkit.errors import listed
from initkit_poincare.edges import Edges, Floats, Ints, read_edges, refuse_twice

Cycles = Literal["error", "first_parent", "bfs_tree"]
Forest = Literal["error", "virtual_root"]


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
        refuse_twice(edges)
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
