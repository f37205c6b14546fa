"""The state of a chain, and the one that labels make."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy.special import digamma

from initkit import InitError
from initkit_ihmm.beam import layout
from initkit_ihmm.beam.kernels.conjugate import add_up, draw_parameters
from initkit_ihmm.beam.kernels.hyper import hyper_block
from initkit_ihmm.beam.kernels.sticks import count_transitions, draw_rows
from initkit_ihmm.beam.problem import Problem
from initkit_ihmm.labels import Floats, Ints, LabelInit, compacted

_ROUNDS = 5


@dataclass(eq=False)
class BeamState:
    """Where a chain is.

    Args:
        labels: int64 (T,), states 0..K-1, all of which occur.
        beta: (K+1,), the last entry is the rest.
        transitions: (K+1, K+1); row 0 starts a sequence, row j+1 leaves state j, the last column is the rest.
        theta: (K, P), parameters in the layout of the compiled densities.
        scalars: [alpha, kappa, gamma].
    """

    labels: Ints
    beta: Floats
    transitions: Floats
    theta: Floats
    scalars: Floats

    @property
    def K(self) -> int:
        """Number of states in use."""
        return len(self.beta) - 1


def to_beam_state(
    init: LabelInit,
    problem: Problem,
    mode: Literal["sample", "mean"] = "sample",
    rng: np.random.Generator | None = None,
) -> BeamState:
    """Turn labels into a state of the sampler.

    ``sample`` draws what is not a label from its conditional: five rounds of the hyper block with beta reset to equal
    sticks, then parameters and rows. ``mean`` is deterministic: expected tables in place of drawn ones, posterior means
    in place of draws, concentrations at their prior means.

    Args:
        init: labels of all T steps.
        problem: the observations and priors.
        mode: see above.
        rng: for ``sample``.

    Raises:
        InitError: labels of another length, or more states than ``k_max``.
    """
    if len(init.labels) != problem.steps:
        raise InitError(f"there are {len(init.labels)} labels for {problem.steps} steps")
    labels, _ = compacted(np.asarray(init.labels, dtype=np.int64))
    states = int(labels.max()) + 1
    if states > problem.k_max:
        raise InitError(f"the labels hold {states} states, more than k_max={problem.k_max}: raise it, or merge states")
    if mode == "sample":
        return _drawn(labels, states, problem, np.random.default_rng(0) if rng is None else rng)
    return _expected(labels, states, problem)


def _drawn(labels: Ints, states: int, problem: Problem, rng: np.random.Generator) -> BeamState:
    counts = count_transitions(labels, problem.first, states)
    scalars, hyper = problem.concentrations.start(), problem.concentrations.hyper
    beta = np.empty(states + 1)
    for _ in range(_ROUNDS):
        beta[:] = 1.0 / (states + 1)
        hyper_block(rng, counts, states, beta, scalars, hyper)
    width, size = problem.sizes
    stats, theta = np.zeros((states, size)), np.empty((states, width))
    add_up(problem.x, problem.seen, labels, problem.kind, problem.prior, stats)
    for k in range(states):
        draw_parameters(rng, problem.kind, stats[k], problem.prior, theta[k])
    transitions = np.empty((states + 1, states + 1))
    draw_rows(rng, counts, states, beta, scalars, transitions)
    return BeamState(labels, beta, transitions, theta, scalars)


def _expected(labels: Ints, states: int, problem: Problem) -> BeamState:
    counts = count_transitions(labels, problem.first, states)
    scalars = problem.concentrations.start()
    alpha, kappa, gamma = scalars
    strength = np.full((states + 1, 1), alpha)
    strength[0] += kappa
    bonus = np.concatenate([np.zeros((1, states)), kappa * np.eye(states)])
    beta = np.full(states + 1, 1.0 / (states + 1))
    for _ in range(_ROUNDS):
        c = strength * beta[:-1] + bonus
        tables = np.where(counts > 0, c * (digamma(c + counts) - digamma(c)), 0.0)
        # Of a state's own tables, the share that beta explains.
        tables[1:][np.diag_indices(states)] *= (alpha * beta[:-1]) / (alpha * beta[:-1] + kappa)
        beta = np.append(tables.sum(axis=0), gamma) / (tables.sum() + gamma)
    transitions = np.concatenate([counts + strength * beta[:-1] + bonus, strength * beta[-1]], axis=1)
    transitions /= transitions.sum(axis=1, keepdims=True)
    statistics = problem.emission.statistics(problem.x[problem.seen], labels[problem.seen], states)
    theta = layout.packed_parameters(problem.kind, problem.emission.means(statistics))
    return BeamState(labels, beta, transitions, theta, scalars)
