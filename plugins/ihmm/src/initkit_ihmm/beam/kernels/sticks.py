"""Slices, the breaking of sticks until no slice can reach the rest, and the transition rows.

``beta`` has K states and then the rest; row 0 of ``pi`` starts a sequence, row j + 1 belongs to state j, its column K
is the rest. Row 0 is ``DP(alpha + kappa, beta)``, row j + 1 is ``DP(alpha + kappa, (alpha beta + kappa delta_j)/(alpha
+ kappa))``.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from initkit_ihmm.beam.kernels import draws
from initkit_ihmm.beam.kernels._jit import jit
from initkit_ihmm.beam.kernels.conjugate import draw_parameters


@jit
def draw_slices(rng: Any, z: Any, first: Any, pi: Any, u: Any) -> float:
    """``u_t`` uniform on (0, Pi[previous, z_t]); returns the smallest."""
    least = 1.0
    for t in range(len(z)):
        p = pi[0, z[t]] if first[t] else pi[z[t - 1] + 1, z[t]]
        value = draws.uniform(rng) * p
        while not value < p:  # rounded up to p, which would shut the present path out
            value = draws.uniform(rng) * p
        u[t] = value
        least = min(least, value)
    return least


@jit
def break_sticks(
    rng: Any, least: float, states: int, beta: Any, pi: Any, theta: Any, scalars: Any, kind: int, prior: Any
) -> int:
    """Add states while any row's rest is above the smallest slice; the number of states after it.

    Stops when the arrays are full, which truncates the model.
    """
    alpha, kappa, gamma = scalars[0], scalars[1], scalars[2]
    capacity = len(beta) - 1
    shapes = np.empty(capacity + 1)
    empty = np.zeros(theta.shape[1] + prior.shape[0])
    while states < capacity:
        most = 0.0
        for j in range(states + 1):
            most = max(most, pi[j, states])
        if not most > least:
            break
        part = draws.beta(rng, 1.0, gamma)
        rest = beta[states]
        beta[states], beta[states + 1] = part * rest, (1.0 - part) * rest
        for j in range(states + 1):
            strength = alpha + kappa if j == 0 else alpha
            share = draws.beta(rng, strength * beta[states], strength * beta[states + 1])
            whole = pi[j, states]
            pi[j, states], pi[j, states + 1] = share * whole, (1.0 - share) * whole
        for k in range(states + 2):
            shapes[k] = alpha * beta[k]
        shapes[states] += kappa
        draws.dirichlet(rng, shapes, states + 2, pi[states + 1])
        draw_parameters(rng, kind, empty, prior, theta[states])
        states += 1
    return states


@jit
def draw_rows(rng: Any, counts: Any, states: int, beta: Any, scalars: Any, pi: Any) -> None:
    """``Pi_j ~ Dir(alpha beta + N_j (+ kappa on j))`` with the rest in column K."""
    alpha, kappa = scalars[0], scalars[1]
    shapes = np.empty(states + 1)
    for j in range(states + 1):
        strength = alpha + kappa if j == 0 else alpha
        for k in range(states):
            shapes[k] = strength * beta[k] + counts[j, k]
        if j > 0:
            shapes[j - 1] += kappa
        shapes[states] = strength * beta[states]
        draws.dirichlet(rng, shapes, states + 1, pi[j])


@jit
def count_transitions(z: Any, first: Any, states: int) -> Any:
    """N (K+1, K): row 0 counts the states in which sequences start."""
    counts = np.zeros((states + 1, states))
    for t in range(len(z)):
        counts[0 if first[t] else z[t - 1] + 1, z[t]] += 1.0
    return counts


@jit
def drop_unused(z: Any, states: int, beta: Any) -> int:
    """Renumber the states that occur; what the others had of ``beta`` goes to the rest."""
    used = np.zeros(states, dtype=np.int64)
    for t in range(len(z)):
        used[z[t]] = 1
    rest, kept = beta[states], 0
    place = np.empty(states, dtype=np.int64)
    for k in range(states):
        place[k] = kept
        if used[k] == 1:
            beta[kept] = beta[k]
            kept += 1
        else:
            rest += beta[k]
    beta[kept] = rest
    for t in range(len(z)):
        z[t] = place[z[t]]
    return kept
