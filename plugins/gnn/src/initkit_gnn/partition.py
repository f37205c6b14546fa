"""Balanced blocks of a graph with few edges between them, by one of several engines."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import torch

from initkit import CommitError, OptionError, Stream
from initkit_gnn.label_propagation import label_propagation
from initkit_gnn.undirected import Undirected

Engine = Literal["auto", "pymetis", "pymetis_kway", "mtkahypar", "label_propagation"]
Ints = npt.NDArray[np.int64]

_IMBALANCE = 0.03  # what mtkahypar is allowed; METIS has its own
_MEAN_WEIGHT, _TOTAL_WEIGHT = 1000, 2**30  # of the integers that stand for edge weights


@dataclass(frozen=True, eq=False)
class Partition:
    """The blocks of a graph.

    Attributes:
        block: of each node, 0..K-1, no block empty, (N,).
        count: K.
        engine: that found them.
        cut: share of the edges' weight between different blocks.
        imbalance: the largest block's size over the mean.
        notes: what the user should know, one sentence each.
    """

    block: Ints
    count: int
    engine: str
    cut: float
    imbalance: float
    notes: tuple[str, ...] = ()


def chosen_engine(asked: Engine) -> tuple[str, str | None]:
    """Return the engine that will run, and what to say where it is not the best.

    Raises:
        OptionError: the engine asked for is not installed.
    """
    if asked == "label_propagation":
        return asked, None
    if asked == "auto":
        if _installed("pymetis"):
            return "pymetis", None
        return "label_propagation", (
            "pymetis is not installed, so blocks come from label propagation, which cuts more edges; "
            "pip install 'initkit-gnn[partition]'"
        )
    package = "mtkahypar" if asked == "mtkahypar" else "pymetis"
    if not _installed(package):
        extra = "mtkahypar" if asked == "mtkahypar" else "partition"
        raise OptionError(
            f"engine={asked!r} needs the package {package}: pip install 'initkit-gnn[{extra}]', "
            "or take engine='label_propagation', which needs none"
        )
    return asked, None


def _installed(package: str) -> bool:
    return importlib.util.find_spec(package) is not None


def partition(graph: Undirected, blocks: int, engine: str, stream: Stream) -> Partition:
    """Split a graph into about ``blocks`` blocks; those that an engine leaves empty are dropped.

    Args:
        graph: what to split.
        blocks: K, 2..N.
        engine: a result of :func:`chosen_engine`.
        stream: seeds the engine.

    Raises:
        CommitError: the engine failed.
    """
    notes: list[str] = []
    if engine == "label_propagation":
        found = label_propagation(graph.matrix, blocks, stream)
    else:
        weights = None if graph.ones else _integers(graph, notes)
        try:
            if engine == "mtkahypar":
                found = _mtkahypar(graph, blocks, weights, stream.integer_seed())
            else:
                found = _metis(graph, blocks, weights, stream.integer_seed(), recursive=engine == "pymetis")
        except Exception as error:
            words = " ".join(str(error).split())
            raise CommitError(f"{engine} could not split the graph into {blocks} blocks: {words}") from error
    names, block = np.unique(found, return_inverse=True)
    if len(names) < blocks:
        notes.append(f"{blocks - len(names)} of {blocks} blocks were empty and are left out")
    sizes = np.bincount(block)
    return Partition(
        block.astype(np.int64),
        len(names),
        engine,
        _cut(graph, block),
        float(sizes.max() * len(names) / graph.num_nodes),
        tuple(notes),
    )


def _integers(graph: Undirected, notes: list[str]) -> Ints:
    """Edge weights as the whole numbers that partition engines take."""
    weight = graph.matrix.data
    whole = bool((weight == np.rint(weight)).all())
    if whole and float(weight.sum()) < _TOTAL_WEIGHT:
        integers: Ints = weight.astype(np.int64)
        return integers
    scale = min(_MEAN_WEIGHT, _TOTAL_WEIGHT / len(weight)) / float(weight.mean())
    notes.append(f"for the partition, edge weights are scaled by {scale:.3g} and rounded to whole numbers, at least 1")
    rounded: Ints = np.maximum(np.rint(weight * scale), 1).astype(np.int64)
    return rounded


def _metis(graph: Undirected, blocks: int, weights: Ints | None, seed: int, *, recursive: bool) -> Ints:
    import pymetis

    index = _metis_dtype(pymetis)
    ends = pymetis.CSRAdjacency(graph.matrix.indptr.astype(index), graph.matrix.indices.astype(index))
    eweights = None if weights is None else weights.astype(index)
    options = pymetis.Options(seed=seed)
    _, found = pymetis.part_graph(blocks, ends, eweights=eweights, recursive=recursive, options=options)
    return np.asarray(found, np.int64)


def _metis_dtype(pymetis: Any) -> Any:
    """The integers that this build of METIS counts in; other ones would be copied once more."""
    return np.dtype(pymetis.zero_copy_dtype())


def _mtkahypar(graph: Undirected, blocks: int, weights: Ints | None, seed: int) -> Ints:
    import mtkahypar

    library = mtkahypar.initialize(torch.get_num_threads(), False)
    mtkahypar.set_seed(seed)
    # The faster presets, LARGE_K among them, give other blocks in every run, even on one thread.
    context = library.context_from_preset(mtkahypar.PresetType.DETERMINISTIC)
    context.set_partitioning_parameters(blocks, _IMBALANCE, mtkahypar.Objective.CUT)
    context.logging = False
    matrix = graph.matrix
    row = np.repeat(np.arange(graph.num_nodes), np.diff(matrix.indptr))
    once = row < matrix.indices
    pairs = list(zip(row[once].tolist(), matrix.indices[once].tolist(), strict=True))
    if weights is None:
        made = library.create_graph(context, graph.num_nodes, len(pairs), pairs)
    else:
        made = library.create_graph(
            context, graph.num_nodes, len(pairs), pairs, [1] * graph.num_nodes, weights[once].tolist()
        )
    return np.asarray(made.partition(context).get_partition(), np.int64)


def _cut(graph: Undirected, block: Ints) -> float:
    matrix = graph.matrix
    small = block.astype(np.int32)
    between = np.repeat(small, np.diff(matrix.indptr)) != small[matrix.indices]
    if graph.ones:
        return float(between.mean())
    return float(matrix.data[between].sum() / matrix.data.sum())
