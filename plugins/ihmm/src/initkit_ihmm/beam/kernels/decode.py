"""Exact decoding with given parameters: likelihood, smoothing and the most probable path."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from initkit_ihmm.beam.kernels._jit import jit
from initkit_ihmm.beam.kernels.densities import log_density
from initkit_ihmm.labels import Floats, Ints


@jit
def log_densities(x: Any, seen: Any, kind: int, theta: Any) -> Any:
    """``log f_k(x_t)`` (T, K); 0 where nothing was seen."""
    found = np.zeros((len(x), theta.shape[0]))
    for t in range(len(x)):
        if seen[t]:
            for k in range(theta.shape[0]):
                found[t, k] = log_density(kind, x, t, theta, k)
    return found


@jit
def _smooth(startprob: Any, transmat: Any, levels: Any, first: Any, gamma: Any) -> float:
    steps, states = levels.shape
    total, scaled = 0.0, np.empty((steps, states))
    for t in range(steps):
        top = -math.inf
        for k in range(states):
            top = max(top, levels[t, k])
        mass = 0.0
        for k in range(states):
            scaled[t, k] = math.exp(levels[t, k] - top)
            came = 0.0
            if first[t]:
                came = startprob[k]
            else:
                for j in range(states):
                    came += gamma[t - 1, j] * transmat[j, k]
            gamma[t, k] = came * scaled[t, k]
            mass += gamma[t, k]
        for k in range(states):
            gamma[t, k] /= mass
        total += math.log(mass) + top
    after, before = np.ones(states), np.empty(states)
    for back in range(steps):
        t = steps - 1 - back
        if back > 0:
            if first[t + 1]:
                after[:] = 1.0
            else:
                mass = 0.0
                for j in range(states):
                    before[j] = 0.0
                    for k in range(states):
                        before[j] += transmat[j, k] * scaled[t + 1, k] * after[k]
                    mass = max(mass, before[j])
                for j in range(states):
                    after[j] = before[j] / mass
        whole = 0.0
        for k in range(states):
            gamma[t, k] *= after[k]
            whole += gamma[t, k]
        for k in range(states):
            gamma[t, k] /= whole
    return total


def smooth(startprob: Floats, transmat: Floats, levels: Floats, first: Any) -> tuple[float, Floats]:
    """The log likelihood, and ``P(z_t = k | x)`` (T, K).

    Args:
        startprob: (K,).
        transmat: (K, K).
        levels: log densities (T, K).
        first: bool (T,), where sequences begin.
    """
    gamma = np.empty(levels.shape)
    return float(_smooth(startprob, transmat, levels, first, gamma)), gamma


@jit
def _viterbi(startprob: Any, transmat: Any, levels: Any, first: Any, path: Any) -> float:
    steps, states = levels.shape
    begin, moves = np.log(startprob), np.log(transmat)
    came = np.zeros((steps, states), dtype=np.int64)
    best, then = np.empty(states), np.empty(states)
    total = 0.0
    ends = np.zeros(steps)
    last = np.zeros(steps, dtype=np.int64)
    for t in range(steps):
        for k in range(states):
            if first[t]:
                then[k] = begin[k] + levels[t, k]
            else:
                top, place = -math.inf, 0
                for j in range(states):
                    if best[j] + moves[j, k] > top:
                        top, place = best[j] + moves[j, k], j
                came[t, k] = place
                then[k] = top + levels[t, k]
        for k in range(states):
            best[k] = then[k]
        if t == steps - 1 or first[t + 1]:
            last[t] = np.argmax(best)
            ends[t] = best[last[t]]
            total += ends[t]
    for back in range(steps):
        t = steps - 1 - back
        path[t] = last[t] if t == steps - 1 or first[t + 1] else came[t + 1, path[t + 1]]
    return total


def viterbi(startprob: Floats, transmat: Floats, levels: Floats, first: Any) -> tuple[float, Ints]:
    """The joint log density of the most probable path, and the path (T,); arguments as in :func:`smooth`."""
    path = np.empty(len(levels), dtype=np.int64)
    with np.errstate(divide="ignore"):
        return float(_viterbi(startprob, transmat, levels, first, path)), path
