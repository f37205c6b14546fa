"""The statistical jump model: k-means with a price on every change of state."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from numba import njit

from initkit_ihmm.labels import Floats, Ints

_ROUNDS, _STARTS = 20, 3


@njit(cache=True)
def _cheapest(cost: Any, penalty: float, labels: Any) -> float:  # pragma: no cover - compiled
    """Viterbi with one price for every change; on a tie it stays, and takes the lowest state. O(TK)."""
    steps, states = cost.shape
    came = np.empty((steps, states), dtype=np.int32)
    value = cost[0].copy()
    for t in range(1, steps):
        best = 0
        for k in range(1, states):
            if value[k] < value[best]:
                best = k
        moved = value[best] + penalty
        for k in range(states):
            if moved < value[k]:
                came[t, k] = best
                value[k] = moved + cost[t, k]
            else:
                came[t, k] = k
                value[k] = value[k] + cost[t, k]
    last = 0
    for k in range(1, states):
        if value[k] < value[last]:
            last = k
    total = value[last]
    for t in range(steps - 1, -1, -1):
        labels[t] = last
        if t:
            last = came[t, last]
    return float(total)


def cheapest_path(cost: Floats, penalty: float) -> tuple[Ints, float]:
    """The labels that minimise ``sum_t cost[t, z_t] + penalty * #{t: z_t != z_{t-1}}``, and that minimum.

    Args:
        cost: (T, K).
        penalty: of a change.
    """
    labels = np.empty(len(cost), dtype=np.int64)
    total = _cheapest(np.ascontiguousarray(cost), float(penalty), labels)
    return labels, total


def jump_model(
    z: Floats, spans: list[tuple[int, int]], states: int, rng: np.random.Generator, penalty: float | None = None
) -> tuple[Ints, float, float]:
    """Alternate the cheapest path and means; the best of three k-means starts.

    Args:
        z: features (T, F).
        spans: begin and end of each sequence; a jump across a border costs nothing.
        states: K.
        rng: for the starts.
        penalty: of a change; None is twice the mean squared distance within clusters of each start.

    Returns:
        labels (T,), the objective (smaller is better) and the penalty of the best start.
    """
    best: tuple[Ints, float, float] | None = None
    for _ in range(_STARTS):
        from sklearn.cluster import KMeans

        start = KMeans(states, n_init=1, random_state=int(rng.integers(2**31))).fit(z)
        price = 2 * start.inertia_ / len(z) if penalty is None else penalty
        labels, total = _settled(z, spans, start.cluster_centers_, price)
        if best is None or total < best[1]:
            best = labels, total, price
    assert best is not None
    return best


def _settled(z: Floats, spans: list[tuple[int, int]], centres: Floats, price: float) -> tuple[Ints, float]:
    labels: Ints = np.full(len(z), -1, dtype=np.int64)
    total = np.inf
    for _ in range(_ROUNDS):
        cost = squared_distances(z, centres)
        parts = [cheapest_path(cost[begin:end], price) for begin, end in spans]
        found, total = np.concatenate([part[0] for part in parts]), sum(part[1] for part in parts)
        if np.array_equal(found, labels):
            break
        labels = found
        centres = means_of(z, labels, centres)
    return labels, float(total)


def squared_distances(z: Floats, centres: Floats) -> Floats:
    """Squared Euclidean distances (T, K), coordinate by coordinate, so that they are exact where they are small."""
    found = np.zeros((len(z), len(centres)))
    for column in range(z.shape[1]):
        found += (z[:, [column]] - centres[:, column]) ** 2
    return found


def means_of(z: Floats, labels: npt.NDArray[Any], before: Floats) -> Floats:
    """Means of clusters (K, F); an empty one keeps the centre that it had."""
    n = np.bincount(labels, minlength=len(before))
    sums = np.stack([np.bincount(labels, weights=column, minlength=len(before)) for column in z.T], axis=1)
    return np.where(n[:, None] > 0, sums / np.maximum(n, 1)[:, None], before)
