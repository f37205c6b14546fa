"""One sweep, in the two halves between which the trellis may have to grow."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from initkit_ihmm.beam.kernels._jit import jit
from initkit_ihmm.beam.kernels.conjugate import add_up, draw_parameters
from initkit_ihmm.beam.kernels.ffbs import backward, backward_log, forward, forward_log, sort_rows
from initkit_ihmm.beam.kernels.hyper import hyper_block, log_joint
from initkit_ihmm.beam.kernels.sticks import break_sticks, count_transitions, draw_rows, draw_slices, drop_unused


@jit
def slice_and_break(
    rng: Any,
    z: Any,
    first: Any,
    states: int,
    beta: Any,
    pi: Any,
    theta: Any,
    scalars: Any,
    kind: int,
    prior: Any,
    u: Any,
) -> int:
    """Draw slices and break sticks: the number of states that the slices can reach."""
    least = draw_slices(rng, z, first, pi, u)
    return break_sticks(rng, least, states, beta, pi, theta, scalars, kind, prior)


@jit
def draw_path(
    rng: Any, x: Any, seen: Any, first: Any, u: Any, pi: Any, theta: Any, kind: int, trellis: Any, z: Any
) -> bool:
    """A path given the slices, exactly; whether it had to be done in logarithms."""
    states = trellis.shape[1]
    rows, order = sort_rows(pi, states)
    path = np.empty_like(z)
    rounded = forward(x, seen, first, u, rows, order, kind, theta, trellis) >= 0
    if not rounded:
        rounded = backward(rng, first, u, pi, trellis, path) >= 0
    if rounded:
        forward_log(x, seen, first, u, rows, order, kind, theta, trellis)
        backward_log(rng, first, u, pi, trellis, path)
    z[:] = path
    return rounded


@jit
def update(
    rng: Any,
    x: Any,
    seen: Any,
    first: Any,
    z: Any,
    states: int,
    beta: Any,
    pi: Any,
    theta: Any,
    scalars: Any,
    kind: int,
    prior: Any,
    hyper: Any,
    stats: Any,
    trace: Any,
) -> int:
    """Drop unused states, then the hyper block, parameters and rows; the number of states.

    ``trace`` becomes [joint log probability, K, alpha, kappa, gamma, jumps, entropy of the occupancy].
    """
    states = drop_unused(z, states, beta)
    counts = count_transitions(z, first, states)
    hyper_block(rng, counts, states, beta, scalars, hyper)
    add_up(x, seen, z, kind, prior, stats[:states])
    for k in range(states):
        draw_parameters(rng, kind, stats[k], prior, theta[k])
    draw_rows(rng, counts, states, beta, scalars, pi)
    trace[0] = log_joint(counts, states, beta, scalars, kind, stats, prior)
    trace[1] = states
    trace[2], trace[3], trace[4] = scalars[0], scalars[1], scalars[2]
    jumps, entropy = 0.0, 0.0
    for j in range(1, states + 1):
        for k in range(states):
            if k != j - 1:
                jumps += counts[j, k]
    for k in range(states):
        share = counts[:, k].sum() / len(z)
        entropy -= share * math.log(share)
    trace[5], trace[6] = jumps, entropy
    return states
