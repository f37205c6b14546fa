"""k-means on a GPU: scikit-learn's algorithm, with the distances and sums as matrix products on the device."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from initkit_ihmm.labels import Floats, Ints

_STEPS = 300
_TOLERANCE = 1e-4  # of the mean variance of the features, as scikit-learn's
_BLOCK = 1 << 26  # distances held at once


def kmeans_on(features: Floats, states: int, seed: int, restarts: int, device: torch.device) -> Ints:
    """Labels of the best of several k-means++ starts, in float64, the same each time.

    Args:
        features: (T, D), finite.
        states: K, at most T.
        seed: of the starts.
        restarts: how many.
        device: where it runs.
    """
    x = torch.from_numpy(np.ascontiguousarray(features, dtype=np.float64)).to(device)
    x = x - x.mean(0)
    rng = np.random.default_rng(seed)
    tolerance = _TOLERANCE * float(x.var(0, correction=0).mean())
    best, least = None, math.inf
    for _ in range(restarts):
        labels, inertia = _lloyd(x, _plus_plus(x, states, rng), tolerance)
        if best is None or inertia < least:
            best, least = labels, inertia
    assert best is not None
    return np.asarray(best.cpu().numpy(), dtype=np.int64)


def _plus_plus(x: Tensor, states: int, rng: np.random.Generator) -> Tensor:
    """Starting centres (K, D): greedy k-means++, the best of 2 + log K candidates for each."""
    trials = 2 + int(math.log(states))
    chosen = [int(rng.integers(len(x)))]
    nearest = _squared(x, x[chosen])[:, 0]
    while len(chosen) < states:
        # Summed up on the CPU: a GPU's running sums differ from run to run.
        ends = np.cumsum(nearest.cpu().numpy())
        candidates = np.searchsorted(ends, rng.random(trials) * ends[-1]).clip(max=len(x) - 1)
        distances = torch.minimum(nearest[:, None], _squared(x, x[torch.from_numpy(candidates).to(x.device)]))
        pick = int(distances.sum(0).argmin())
        chosen.append(int(candidates[pick]))
        nearest = distances[:, pick]
    return x[chosen]


def _lloyd(x: Tensor, centres: Tensor, tolerance: float) -> tuple[Tensor, float]:
    """Labels (T,) and the sum of squared distances, once centres move no more."""
    for _ in range(_STEPS):
        labels, distances = _nearest(x, centres)
        sums, counts = torch.zeros_like(centres), torch.zeros_like(centres[:, :1])
        for rows in _rows(x, len(centres)):
            # A product with indicators instead of scattered sums, whose order differs from run to run on a GPU.
            belongs = torch.nn.functional.one_hot(labels[rows], len(centres)).to(x.dtype).T
            sums += belongs @ x[rows]
            counts += belongs.sum(1, keepdim=True)
        empty = torch.nonzero(counts[:, 0] == 0).flatten()
        moved = sums / counts.clamp(min=1)
        if len(empty):  # they begin anew at the points farthest from their centres
            moved[empty] = x[distances.topk(len(empty)).indices]
        shift = float((moved - centres).square().sum())
        centres = moved
        if shift <= tolerance:
            break
    labels, distances = _nearest(x, centres)
    return labels, float(distances.sum())


def _nearest(x: Tensor, centres: Tensor) -> tuple[Tensor, Tensor]:
    found = [_squared(x[rows], centres).min(1) for rows in _rows(x, len(centres))]
    return torch.cat([one.indices for one in found]), torch.cat([one.values for one in found])


def _squared(x: Tensor, centres: Tensor) -> Tensor:
    """Squared distances (T, K)."""
    products = x @ centres.T
    return (x.square().sum(1, keepdim=True) - 2 * products + centres.square().sum(1)).clamp_(min=0)


def _rows(x: Tensor, width: int) -> Iterator[slice]:
    size = max(1, _BLOCK // width)
    for start in range(0, len(x), size):
        yield slice(start, start + size)
