"""Colour refinement (the Weisfeiler-Leman test) by hashing: all graphs at once, in numpy."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from initkit_gnn.features import BLOCK, sparse_entries
from initkit_gnn.graph import Graph

Colours = npt.NDArray[np.uint64]
_FIRST, _SECOND = np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)
_GOLDEN = np.uint64(0x9E3779B97F4A7C15)


def mixed(values: Colours) -> Colours:
    """Scatter 64-bit integers, one to one (the finaliser of SplitMix64; Steele, Lea, Flood, OOPSLA 2014)."""
    z = values + _GOLDEN
    z = (z ^ (z >> np.uint64(30))) * _FIRST
    z = (z ^ (z >> np.uint64(27))) * _SECOND
    found: Colours = z ^ (z >> np.uint64(31))
    return found


@dataclass(frozen=True)
class Refined:
    """Colours of nodes (N,), how many rounds made them and whether another would split no class further."""

    colours: Colours
    rounds: int
    stable: bool


class Edges:
    """The edges of a graph sorted by target, with a salt for each where they have weights."""

    def __init__(self, graph: Graph) -> None:
        source, target = (ends.numpy(force=True).astype(np.int64) for ends in graph.edge_index)
        order = np.argsort(target, kind="stable")
        self.size = graph.num_nodes
        self.source = source[order]
        self.starts = np.flatnonzero(np.diff(target[order], prepend=-1))
        self.targets = target[order][self.starts]
        weight = graph.edge_weight
        self.salt = None if weight is None else mixed(_bits(weight.numpy(force=True)[order]))

    def copies(self, count: int) -> Edges:
        """The edges of ``count`` copies of the graph side by side."""
        made = object.__new__(Edges)
        shift = np.arange(count)[:, None]
        made.size = self.size * count
        made.source = (self.source + shift * self.size).ravel()
        made.starts = (self.starts + shift * len(self.source)).ravel()
        made.targets = (self.targets + shift * self.size).ravel()
        made.salt = None if self.salt is None else np.tile(self.salt, count)
        return made

    def round(self, colours: Colours) -> Colours:
        """One round: a node's new colour is a hash of its own and the multiset of those of its neighbours."""
        heard = np.zeros(self.size, np.uint64)
        if len(self.source):
            said = mixed(colours)[self.source]
            if self.salt is not None:
                said = mixed(said ^ self.salt)
            # A sum of scattered values, modulo 2^64, is a hash of a multiset.
            heard[self.targets] = np.add.reduceat(said, self.starts)
        return mixed(mixed(colours) * np.uint64(3) + heard)


def refine(edges: Edges, colours: Colours, rounds: int | None = None) -> Refined:
    """Refine colours until no class splits any more, or for a number of rounds.

    Args:
        edges: of all graphs side by side.
        colours: to start from (N,).
        rounds: at most so many; None goes on until it is stable.
    """
    classes = count_classes(colours)
    done = 0
    while rounds is None or done < rounds:
        following = edges.round(colours)
        split = count_classes(following)
        if split == classes:
            return Refined(colours, done, True)
        colours, classes, done = following, split, done + 1
    return Refined(colours, done, False)


def count_classes(colours: Colours) -> int:
    """The number of different colours."""
    ordered = np.sort(colours)
    return int(np.count_nonzero(ordered[1:] != ordered[:-1])) + min(1, len(ordered))


def start_colours(x: Tensor | None, size: int) -> Colours:
    """Colours that are equal for equal rows of features; one colour for all without features."""
    found = np.zeros(size, np.uint64)
    if x is None or x.numel() == 0:
        return found
    x = x.detach()
    if x.layout != torch.strided:
        rows, values = (part.numpy(force=True) for part in sparse_entries(x))
        columns = x.to_sparse().coalesce().indices()[1].numpy(force=True)
        np.add.at(found, rows, _entries(values, columns.astype(np.uint64)))
        return mixed(found)
    table = x.reshape(size, -1)
    columns = np.arange(table.shape[1], dtype=np.uint64)
    step = max(1, BLOCK // table.shape[1])
    for first in range(0, size, step):
        part = table[first : first + step].float() if table.dtype.is_floating_point else table[first : first + step]
        found[first : first + step] = _entries(part.numpy(force=True), columns).sum(axis=1, dtype=np.uint64)
    return mixed(found)


def _entries(values: npt.NDArray[np.generic], columns: Colours) -> Colours:
    """A hash of each entry and its column; 0 for an entry of 0, so that sparse and dense features agree."""
    found = mixed(mixed(_bits(values)) ^ columns)
    found[values == 0] = 0
    return found


def _bits(values: npt.NDArray[np.generic]) -> Colours:
    wide = np.ascontiguousarray(values, dtype=np.float64)
    found: Colours = (wide + 0.0).view(np.uint64)  # -0.0 + 0.0 is 0.0
    return found


def totals(colours: Colours, graph_of: npt.NDArray[np.int64], count: int) -> Colours:
    """A hash of the multiset of colours of each graph (count,)."""
    found = np.zeros(count, np.uint64)
    np.add.at(found, graph_of, mixed(colours))
    return mixed(found)
