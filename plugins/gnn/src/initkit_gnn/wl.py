"""Does a data set need random features? What colour refinement, and so message passing, cannot tell apart."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from initkit import NeedError, OptionError, Stream
from initkit_gnn.graph import Graph
from initkit_gnn.reading import is_list_of_graphs
from initkit_gnn.refinement import Colours, Edges, refine, start_colours, totals
from initkit_gnn.segments import Segments

Level = Literal["graph", "node"]


@dataclass(frozen=True)
class WLCheck:
    """What colour refinement found in a data set.

    Attributes:
        level: whether graphs or nodes were compared.
        count: how many (with labels, those that have one).
        rounds: of refinement, the number of layers beyond which more message passing tells no more apart.
        stable: False where ``rounds=`` ended it before.
        classes: colour classes of the graphs or nodes.
        identical_pairs: pairs of the same colour.
        conflicting_pairs: those among them that have different labels; None without labels.
        ceiling: the best accuracy of any message passing without random features; None without labels.
        tested: conflicting pairs (colour pairs of graphs or nodes) that were looked at more closely.
        separable: of those, how many are certainly not alike, so that random features can tell them apart.
    """

    level: Level
    count: int
    rounds: int
    stable: bool
    classes: int
    identical_pairs: int
    conflicting_pairs: int | None
    ceiling: float | None
    tested: int
    separable: int

    @property
    def conflicting_share(self) -> float | None:
        """The share of the identical pairs that have different labels; 0 where there is no identical pair."""
        if self.conflicting_pairs is None:
            return None
        return self.conflicting_pairs / self.identical_pairs if self.identical_pairs else 0.0

    @property
    def needed(self) -> bool | None:
        """Whether random features can help; None without labels, or where no tested pair is certainly unlike."""
        if self.conflicting_pairs is None:
            return False if self.identical_pairs == 0 else None
        if self.conflicting_pairs == 0:
            return False
        return True if self.separable else None

    @property
    def verdict(self) -> str:
        """One sentence."""
        things = f"{self.level}s"
        if self.identical_pairs == 0:
            return f"No: message passing can tell all {things} apart; random features are not needed."
        if self.conflicting_pairs is None:
            return (
                f"Perhaps: message passing cannot tell {self.identical_pairs} pairs of {things} apart; "
                "give labels to see whether that matters."
            )
        if self.conflicting_pairs == 0:
            return f"No: {things} that message passing cannot tell apart have equal labels."
        limit = f"without random features no message passing gets above {_share(self.ceiling)} accuracy"
        if self.separable:
            return f"Yes: {limit}; use random features (gnn/rni)."
        return (
            f"Perhaps not: {limit}, but the {self.tested} pairs looked at more closely seem to be alike in everything "
            "(isomorphic), with contradicting labels, which random features cannot mend."
        )

    def to_dict(self) -> dict[str, Any]:
        """All figures as JSON values."""
        return {
            **asdict(self),
            "conflicting_share": self.conflicting_share,
            "needed": self.needed,
            "verdict": self.verdict,
        }

    def __str__(self) -> str:
        end = "stable" if self.stable else "not yet stable"
        lines = [
            f"WL check of {self.count} {self.level}s: {self.classes} classes after {self.rounds} rounds ({end})",
            f"  pairs that look the same: {self.identical_pairs}",
        ]
        if self.conflicting_pairs is not None:
            lines.append(f"  of these with different labels: {self.conflicting_pairs} ({self.conflicting_share:.1%})")
            lines.append(f"  best accuracy without random features: {_share(self.ceiling)}")
        if self.tested:
            lines.append(f"  looked at more closely: {self.tested} pairs, {self.separable} certainly not isomorphic")
        return "\n".join([*lines, f"  {self.verdict}"])


def _share(ceiling: float | None) -> str:
    """A share with so many digits that one below 1 does not look like 1."""
    if ceiling is None:
        return "-"
    return f"{ceiling:.3f}" if ceiling < 0.9995 or ceiling == 1 else f"{ceiling:.6f}"


def wl_check(
    graphs: Any,
    labels: Any = None,
    *,
    level: Level | None = None,
    rounds: int | None = None,
    use_features: bool = True,
    pairs: int = 20,
    seed: int = 0,
) -> WLCheck:
    """Tell whether message passing can solve a data set at all, or needs random features.

    Message passing gives the same output to graphs (or nodes) that colour refinement gives the same colours. This
    counts the pairs of the same colour and different labels, and for some of them makes sure, by singling out one
    node after the other, that they are not the same graph under another order of nodes.

    Args:
        graphs: a data set or list of graphs, a ``Batch``, or one graph: anything :meth:`initkit_gnn.Graph.of` reads.
        labels: one for each graph or node, or of several columns; negative integers and NaN stand for none. None
            takes ``y`` of the graphs.
        level: compare ``graph``s or ``node``s; None takes the labels' (one graph: nodes).
        rounds: the layers of the model in question; None refines until no class splits any more.
        use_features: whether nodes start with their features, or all alike.
        pairs: how many conflicting pairs to look at more closely.
        seed: of their choice.

    Raises:
        NeedError: no graph, or labels that do not fit.
        OptionError: an option out of range.

    Source: Weisfeiler, Leman, 1968; Xu, Hu, Leskovec, Jegelka, How Powerful are Graph Neural Networks?, ICLR 2019.
    """
    if level not in (None, "graph", "node"):
        raise OptionError(f"level={level!r} is unknown; choose graph or node")
    if rounds is not None and rounds < 0:
        raise OptionError(f"rounds={rounds} is negative; a model has at least 0 layers")
    graph, segments, own = _read(graphs)
    given = own if labels is None else labels
    level = level or _level(given, graph, segments)
    count = segments.count if level == "graph" else graph.num_nodes
    found = _labels(given, count, level)
    edges = Edges(graph)
    start = start_colours(graph.x if use_features else None, graph.num_nodes)
    refined = refine(edges, start, rounds)
    graph_of = np.zeros(graph.num_nodes, np.int64) if segments.batch is None else segments.batch.numpy(force=True)
    colours = refined.colours if level == "node" else totals(refined.colours, graph_of, count)
    used = np.arange(count) if found is None else np.flatnonzero(found >= 0)
    _, groups = np.unique(colours[used], return_inverse=True)
    sizes = np.bincount(groups)
    identical = _pairs(sizes)
    conflicting = ceiling = None
    tested = separable = 0
    if found is not None:
        width = int(found.max(initial=-1)) + 1
        cells, counts = np.unique(groups * np.int64(max(1, width)) + found[used], return_counts=True)
        conflicting = identical - _pairs(counts)
        best = np.zeros(len(sizes), np.int64)
        np.maximum.at(best, cells // max(1, width), counts)
        ceiling = float(best.sum() / len(used))
        if conflicting:
            chosen = _chosen(used, groups, found[used], pairs, Stream(seed, "wl_check"))
            look = _Closer(edges, start, graph_of, rounds)
            unlike = [(look.graphs if level == "graph" else look.nodes)(a, b) for a, b in chosen]
            tested, separable = len(chosen), sum(unlike)
    return WLCheck(
        level=level,
        count=len(used),
        rounds=refined.rounds,
        stable=refined.stable,
        classes=len(sizes),
        identical_pairs=identical,
        conflicting_pairs=conflicting,
        ceiling=ceiling,
        tested=tested,
        separable=separable,
    )


def _read(given: Any) -> tuple[Graph, Segments, Any]:
    """The graphs side by side, which node belongs to which, and their own labels."""
    if not (is_list_of_graphs(given) or isinstance(given, torch.utils.data.Dataset)):
        graph = Graph.of(given)
        return graph, Segments.of(given, graph.num_nodes), getattr(given, "y", None)
    parts = list(given)
    read = [Graph.of(one) for one in parts]
    graph = Graph.of(read)
    sizes = torch.tensor([one.num_nodes for one in read])
    labels: list[Any] = [getattr(one, "y", None) for one in parts]
    joined = None
    if all(isinstance(one, Tensor) for one in labels):
        joined = torch.cat([one.reshape(1) if one.ndim == 0 else one for one in labels])
    elif all(one is not None for one in labels):
        joined = torch.as_tensor(labels)
    return graph, Segments(graph.num_nodes, torch.repeat_interleave(sizes)), joined


def _level(labels: Any, graph: Graph, segments: Segments) -> Level:
    several = segments.batch is not None
    if labels is not None and len(labels) == graph.num_nodes and not (several and len(labels) == segments.count):
        return "node"
    return "graph" if several else "node"


def _labels(given: Any, count: int, level: Level) -> npt.NDArray[np.int64] | None:
    """Labels as class numbers, -1 for none."""
    if given is None:
        return None
    values = given.numpy(force=True) if isinstance(given, Tensor) else np.asarray(given)
    if values.ndim == 0 or len(values) != count:
        seen = "a single value" if values.ndim == 0 else f"{len(values)} labels"
        raise NeedError(f"labels: {seen} for {count} {level}s; give one for each {level}")
    flat = values.reshape(count, -1)
    if flat.dtype.kind == "f":
        none = np.isnan(flat)
        flat = np.where(none, 0, flat)
    else:
        none = flat < 0 if flat.dtype.kind == "i" else np.zeros(flat.shape, bool)
    _, classes = np.unique(flat, axis=0, return_inverse=True)
    numbers: npt.NDArray[np.int64] = classes.reshape(count).astype(np.int64)
    numbers[none.any(axis=1)] = -1
    return numbers


def _pairs(sizes: npt.NDArray[np.int64]) -> int:
    return int((sizes * (sizes - 1) // 2).sum())


def _chosen(
    used: npt.NDArray[np.int64],
    groups: npt.NDArray[np.int64],
    labels: npt.NDArray[np.int64],
    most: int,
    stream: Stream,
) -> list[tuple[int, int]]:
    """Pairs of one colour and two labels, one of each colour class in random order, then more."""
    order = np.lexsort((stream.words(0, len(groups)), labels, groups))
    same = groups[order][1:] == groups[order][:-1]
    unlike = np.flatnonzero(same & (labels[order][1:] != labels[order][:-1]))
    unlike = unlike[stream.sub("order").permutation(len(unlike))][:most]
    return [(int(used[order[i]]), int(used[order[i + 1]])) for i in unlike]


class _Closer:
    """Looks at pairs that refinement cannot tell apart: one node after the other gets a colour of its own."""

    def __init__(self, edges: Edges, start: Colours, graph_of: npt.NDArray[np.int64], rounds: int | None) -> None:
        self._edges, self._start, self._graph_of, self._rounds = edges, start, graph_of, rounds

    def graphs(self, a: int, b: int) -> bool:
        """Whether two graphs are certainly not isomorphic."""
        return self._all_singled(a) != self._all_singled(b)

    def nodes(self, a: int, b: int) -> bool:
        """Whether no symmetry of the graph takes one node to the other, for certain."""
        return self._singled(a) != self._singled(b)

    def _singled(self, node: int) -> int:
        start = self._start.copy()
        start[node] += np.uint64(1)
        # Rounds are fixed so that both nodes get as many; enough of them to see a whole small graph.
        found = start
        for _ in range(self._rounds or 16):
            found = self._edges.round(found)
        return int(totals(found, np.zeros(len(found), np.int64), 1)[0])

    def _all_singled(self, graph: int) -> int:
        nodes = np.flatnonzero(self._graph_of == graph)
        part = _part(self._edges, nodes).copies(len(nodes))
        colours = np.tile(self._start[nodes], len(nodes))
        own = np.arange(len(nodes)) * (len(nodes) + 1)
        colours[own] += np.uint64(1)
        for _ in range(self._rounds or 16):
            colours = part.round(colours)
        each = totals(colours, np.repeat(np.arange(len(nodes)), len(nodes)), len(nodes))
        return int(totals(each, np.zeros(len(nodes), np.int64), 1)[0])


def _part(edges: Edges, nodes: npt.NDArray[np.int64]) -> Edges:
    """The edges among some nodes, which no edge leaves, renumbered."""
    number = np.full(edges.size, -1, np.int64)
    number[nodes] = np.arange(len(nodes))
    target = np.repeat(edges.targets, np.diff(edges.starts, append=len(edges.source)))
    inside = number[target] >= 0
    made = object.__new__(Edges)
    made.size = len(nodes)
    made.source = number[edges.source[inside]]
    ends = number[target[inside]]
    made.starts = np.flatnonzero(np.diff(ends, prepend=-1))
    made.targets = ends[made.starts]
    made.salt = None if edges.salt is None else edges.salt[inside]
    return made
