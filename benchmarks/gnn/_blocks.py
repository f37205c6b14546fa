"""A degree-corrected block graph of any size."""

from __future__ import annotations

import numpy as np

from benchmarks.gnn._data import _both_ways


def block_graph(nodes: int, entries: int, blocks: int, between: float, seed: int, exponent: float = 2.5) -> np.ndarray:
    """Return an undirected graph with planted blocks and power-law degrees: int64 (2, E), in random order.

    Args:
        nodes: N.
        entries: directed edges drawn, both directions together; loops and repetitions are dropped.
        blocks: planted blocks of equal size.
        between: share of the edges whose ends are in two blocks drawn independently.
        seed: of all draws.
        exponent: of the tail of the degrees' distribution; expected degrees reach 100 times the least.

    Both ends are drawn in proportion to expected degree, so the degrees of planted blocks differ only by chance
    (Karrer, Newman, Phys. Rev. E 83, 2011). Node numbers say nothing about blocks.
    """
    rng = np.random.default_rng(seed)
    weight = np.minimum((1 - rng.random(nodes)) ** (-1 / (exponent - 1)), 100.0)
    size = nodes // blocks
    size += nodes % blocks > 0
    total = np.concatenate(([0.0], np.cumsum(weight)))
    count = entries // 2
    a = _draw(total, rng.random(count))
    start = (a // size) * size
    end = np.minimum(start + size, nodes)
    within = total[start] + rng.random(count) * (total[end] - total[start])
    outside = rng.random(count) < between
    target = np.where(outside, rng.random(count) * total[-1], within)
    b = np.minimum(np.searchsorted(total, target, "right") - 1, nodes - 1)
    low, high = np.minimum(a, b), np.maximum(a, b)
    key = np.unique((low << 32 | high)[low != high])
    number = rng.permutation(nodes)
    return _both_ways(number[np.stack((key >> 32, key & (2**32 - 1)))], rng)


def _draw(total: np.ndarray, u: np.ndarray) -> np.ndarray:
    return np.minimum(np.searchsorted(total, u * total[-1], "right") - 1, len(total) - 2)
