"""Balanced blocks without any partition library: label propagation under a cap on the blocks' sizes.

Clusters grow and are merged by propagation on ever coarser graphs, are packed into K blocks, and propagation on the
graph itself then moves nodes between blocks. After Meyerhenke, Sanders, Schulz, "Partitioning complex networks via
size-constrained clustering", SEA 2014; rows are handled many at a time so that numpy does the work.
"""

from __future__ import annotations

import heapq
import math

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

from initkit import Stream

Ints = npt.NDArray[np.int64]

_BATCHES = 8  # rows of one batch decide at the same time, on the labels of the batches before
_GROWING, _REFINING = 4, 6  # passes over all rows
_ROOM = 1.03  # a block may hold this many times the mean


def label_propagation(matrix: sp.csr_array, blocks: int, stream: Stream) -> Ints:
    """Split a graph into blocks of at most 1.03 N/K nodes (rounded up) with few edges between them.

    Args:
        matrix: symmetric CSR (N, N), entries > 0, nothing on the diagonal.
        blocks: K, at most N.
        stream: decides the order of the rows and ties; the same stream gives the same blocks.

    Returns:
        The block of each node, 0..K-1, (N,).
    """
    size = matrix.shape[0]
    cap = math.ceil(_ROOM * size / blocks)
    member = np.arange(size, dtype=np.int64)  # the cluster of each node
    coarse, weight = matrix, np.ones(size, np.int64)
    for share in (8, 4, 2, 1):
        limit = max(1, cap // share)
        if limit == 1:
            continue
        labels = _propagated(coarse, np.arange(len(weight)), weight, limit, _GROWING, stream.sub(f"grow{share}"))
        found, labels = np.unique(labels, return_inverse=True)
        member = labels[member]
        weight = np.bincount(labels, weights=weight).astype(np.int64)
        coarse = contracted(coarse, labels, len(found))
        coarse = sp.csr_array(coarse - sp.diags_array(coarse.diagonal(), format="csr"))
        coarse.eliminate_zeros()
    packed = _packed(member, weight, blocks, cap)
    return _propagated(matrix, packed, np.ones(size, np.int64), cap, _REFINING, stream.sub("refine"))


def contracted(matrix: sp.csr_array, labels: Ints, count: int) -> sp.csr_array:
    """Sum the entries between each pair of labels: CSR (count, count)."""
    chosen = _one_hot(labels, count)
    return sp.csr_array(chosen.T.tocsr() @ (matrix @ chosen))


def _one_hot(labels: Ints, count: int) -> sp.csr_array:
    rows = len(labels)
    return sp.csr_array((np.ones(rows), labels.astype(np.int32), np.arange(rows + 1, dtype=np.int32)), (rows, count))


def _propagated(matrix: sp.csr_array, labels: Ints, weight: Ints, cap: int, passes: int, stream: Stream) -> Ints:
    """Let rows take the label that most of their neighbours have, as long as labels stay within the cap."""
    labels = labels.astype(np.int64).copy()
    rows = matrix.shape[0]
    count = int(labels.max()) + 1
    load = np.bincount(labels, weights=weight, minlength=count).astype(np.int64)
    # Whole numbers of votes differ by 1 or more, so a bonus below 1 only breaks ties between them.
    bonus = 0.5 * stream.sub("ties").uniforms(0, count) * (matrix.data.min() if matrix.nnz else 1.0)
    for step in range(passes):
        order = stream.sub(f"order{step}").permutation(rows)
        moved = 0
        for batch in np.array_split(order, min(_BATCHES, rows)):
            moved += _move(matrix, batch, labels, load, weight, cap, bonus)
        if moved <= rows // 1000:
            break
    return labels


def _move(
    matrix: sp.csr_array,
    batch: Ints,
    labels: Ints,
    load: Ints,
    weight: Ints,
    cap: int,
    bonus: npt.NDArray[np.float64],
) -> int:
    """Decide for one batch of rows, changing labels and loads in place; returns how many rows moved."""
    votes = sp.csr_array(matrix[batch] @ _one_hot(labels, len(load)))
    row = np.repeat(np.arange(len(batch)), np.diff(votes.indptr))
    own = labels[batch][row] == votes.indices
    fits = load[votes.indices] + weight[batch][row] <= cap
    score = np.where(own | fits, votes.data + bonus[votes.indices], 0.0)
    filled = np.flatnonzero(np.diff(votes.indptr))
    if not len(filled):
        return 0
    best = np.zeros(len(batch))
    best[filled] = np.maximum.reduceat(score, votes.indptr[filled])
    chosen = np.flatnonzero((score == best[row]) & (score > 0) & ~own)
    chosen = chosen[np.concatenate(([True], np.diff(row[chosen]) > 0))] if len(chosen) else chosen
    at, target, gain = row[chosen], votes.indices[chosen].astype(np.int64), score[chosen]
    stays = np.zeros(len(batch))
    stays[row[own]] = score[own]
    better = gain > stays[at]
    at, target, gain = at[better], target[better], gain[better]
    # Of those that want to go to one label, the keenest go in while there is room.
    order = np.lexsort((at, -gain, target))
    at, target = at[order], target[order]
    mass = weight[batch[at]]
    before = np.cumsum(mass) - mass
    first = np.concatenate(([True], np.diff(target) > 0)) if len(target) else np.zeros(0, bool)
    before -= np.repeat(before[first], np.diff(np.append(np.flatnonzero(first), len(target))))
    kept = load[target] + before + mass <= cap
    at, target, mass = at[kept], target[kept], mass[kept]
    np.subtract.at(load, labels[batch[at]], mass)
    np.add.at(load, target, mass)
    labels[batch[at]] = target
    return len(at)


def _packed(member: Ints, weight: Ints, blocks: int, cap: int) -> Ints:
    """Put clusters into K blocks, the largest first, each where most room is; one that fits nowhere is cut up."""
    room = [(-cap, block) for block in range(blocks)]
    order = np.argsort(-weight, kind="stable")
    nodes = np.argsort(member, kind="stable")
    ends = np.cumsum(np.bincount(member, minlength=len(weight)))
    packed = np.empty(len(member), np.int64)
    for cluster in order.tolist():
        left = nodes[ends[cluster] - weight[cluster] : ends[cluster]]
        while len(left):
            free, block = heapq.heappop(room)
            taken = left[:-free]
            packed[taken] = block
            heapq.heappush(room, (free + len(taken), block))
            left = left[len(taken) :]
    return packed
