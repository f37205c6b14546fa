"""Forward filtering and backward sampling on the slices: indicators in place of transition probabilities.

The trellis holds ``a_t(k)``, normalised at every t: ``a_t(k) ~ f_k(x_t) sum_{j: Pi_jk > u_t} a_{t-1}(j)``. Rows of Pi
come sorted by decreasing probability, so that a row is left at the first entry below the slice, and densities are
computed for states that can be reached only. What cannot be seen (a missing observation) has density 1.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from initkit_ihmm.beam.kernels._jit import jit
from initkit_ihmm.beam.kernels.densities import log_density


@jit
def sort_rows(pi: Any, states: int) -> Any:
    """Rows 0..K of Pi without the rest: sorted probabilities (K+1, K) and the states they belong to."""
    sorted_rows = np.empty((states + 1, states))
    order = np.empty((states + 1, states), dtype=np.int64)
    for j in range(states + 1):
        index = np.argsort(-pi[j, :states], kind="mergesort")
        for i in range(states):
            order[j, i] = index[i]
            sorted_rows[j, i] = pi[j, index[i]]
    return sorted_rows, order


@jit
def forward(x: Any, seen: Any, first: Any, u: Any, rows: Any, order: Any, kind: int, theta: Any, trellis: Any) -> int:
    """Fill the trellis (T, K); the step at which nothing can be reached, or -1."""
    steps, states = trellis.shape
    weight, level = np.zeros(states), np.zeros(states)
    stamp = np.full(states, -1, dtype=np.int64)
    reached, active = np.empty(states, dtype=np.int64), np.empty(states, dtype=np.int64)
    alive = 0
    for t in range(steps):
        row, slice_ = trellis[t], u[t]
        found = 0
        if first[t]:
            for i in range(states):
                if not rows[0, i] > slice_:
                    break
                k = order[0, i]
                weight[k] = 1.0
                reached[found] = k
                found += 1
        else:
            for n in range(alive):
                j = active[n]
                mass = trellis[t - 1, j]
                for i in range(states):
                    if not rows[j + 1, i] > slice_:
                        break
                    k = order[j + 1, i]
                    if stamp[k] == t:
                        weight[k] += mass
                    else:
                        stamp[k] = t
                        weight[k] = mass
                        reached[found] = k
                        found += 1
        for k in range(states):
            row[k] = 0.0
        total = 0.0
        if seen[t]:
            top = -math.inf
            for n in range(found):
                level[n] = log_density(kind, x, t, theta, reached[n])
                top = max(top, level[n])
            for n in range(found):
                weight[reached[n]] *= math.exp(level[n] - top)
                total += weight[reached[n]]
        else:
            for n in range(found):
                total += weight[reached[n]]
        if not total > 0.0:
            return t
        alive = 0
        for n in range(found):
            k = reached[n]
            row[k] = weight[k] / total
            if row[k] > 0.0:
                active[alive] = k
                alive += 1
    return -1


@jit
def backward(rng: Any, first: Any, u: Any, pi: Any, trellis: Any, z: Any) -> int:
    """Draw the path from the end: ``z_t ~ a_t(j) 1[Pi_{j, z_{t+1}} > u_{t+1}]``; a dead end's step, or -1."""
    steps, states = trellis.shape
    into = np.ascontiguousarray(pi[1 : states + 1, :states].T)
    sums = np.empty(states)
    for back in range(steps):
        t = int(steps - 1 - back)
        row = trellis[t]
        total = 0.0
        if back == 0 or first[t + 1]:
            for j in range(states):
                total += row[j]
                sums[j] = total
        else:
            column, slice_ = into[z[t + 1]], u[t + 1]
            for j in range(states):
                if column[j] > slice_:
                    total += row[j]
                sums[j] = total
        if not total > 0.0:
            return t
        aim = rng.random() * total
        k = 0
        while k < states - 1 and not sums[k] > aim:
            k += 1
        z[t] = k
    return -1


@jit
def forward_log(
    x: Any, seen: Any, first: Any, u: Any, rows: Any, order: Any, kind: int, theta: Any, trellis: Any
) -> None:
    """The trellis of logarithms, where outliers leave less than 1e-308 to the path that is there."""
    steps, states = trellis.shape
    for t in range(steps):
        row, slice_ = trellis[t], u[t]
        for k in range(states):
            row[k] = -math.inf
        for j in range(1 if first[t] else states):
            mass = 0.0 if first[t] else trellis[t - 1, j]
            if mass == -math.inf:
                continue
            source = 0 if first[t] else j + 1
            for i in range(states):
                if not rows[source, i] > slice_:
                    break
                k = order[source, i]
                high, low = max(row[k], mass), min(row[k], mass)
                row[k] = high + math.log1p(math.exp(low - high)) if low > -math.inf else high
        top = -math.inf
        for k in range(states):
            if row[k] > -math.inf and seen[t]:
                row[k] += log_density(kind, x, t, theta, k)
            top = max(top, row[k])
        for k in range(states):
            row[k] -= top


@jit
def backward_log(rng: Any, first: Any, u: Any, pi: Any, trellis: Any, z: Any) -> None:
    """``backward`` on the trellis of logarithms."""
    steps, states = trellis.shape
    sums = np.empty(states)
    for back in range(steps):
        t = steps - 1 - back
        last = back == 0 or first[t + 1]
        top = -math.inf
        for j in range(states):
            if last or pi[j + 1, z[t + 1]] > u[t + 1]:
                top = max(top, trellis[t, j])
        total = 0.0
        for j in range(states):
            if last or pi[j + 1, z[t + 1]] > u[t + 1]:
                total += math.exp(trellis[t, j] - top)
            sums[j] = total
        aim = rng.random() * total
        k = 0
        while k < states - 1 and not sums[k] > aim:
            k += 1
        z[t] = k
