"""The hyper block: tables, override counts, concentrations and beta, in an order that leaves the posterior invariant.

With transition rows integrated out: tables given beta; then the concentrations and gamma with beta integrated out; then
beta. ``scalars`` is [alpha, kappa, gamma]; ``hyper`` is [a_alpha, b_alpha, a_gamma, b_gamma, c0, d0, and whether alpha,
kappa and gamma are drawn].
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from initkit_ihmm.beam.kernels import draws
from initkit_ihmm.beam.kernels._jit import jit
from initkit_ihmm.beam.kernels.conjugate import log_marginal

_ROUNDS = 10


@jit
def table_count(rng: Any, customers: int, concentration: float) -> float:
    """Tables of a Chinese restaurant: ``sum_{l=1..n} Bern(c/(c + l - 1))``."""
    if customers == 0:
        return 0.0
    tables = 1.0
    for already in range(1, customers):
        if rng.random() * (concentration + already) < concentration:
            tables += 1.0
    return tables


@jit
def resample_strength(rng: Any, strength: float, totals: Any, tables: float, shape: float, rate: float) -> float:
    """``alpha + kappa`` given the rows' totals and the number of tables, ten rounds of the auxiliary draws."""
    for _ in range(_ROUNDS):
        a, b = shape + tables, rate
        for n in totals:
            if n > 0.0:
                b -= _log_beta(rng, strength + 1.0, n)
                if rng.random() * (n + strength) < n:
                    a -= 1.0
        strength = math.exp(draws.log_gamma(rng, a)) / b
    return strength


@jit
def _log_beta(rng: Any, a: float, b: float) -> float:
    """The logarithm of a Beta(a, b) variable."""
    first, second = draws.log_gamma(rng, a), draws.log_gamma(rng, b)
    high = max(first, second)
    return first - high - math.log(math.exp(first - high) + math.exp(second - high))


@jit
def resample_gamma(rng: Any, gamma: float, states: int, tables: float, shape: float, rate: float) -> float:
    """gamma given K states and the number of tables, beta integrated out (Escobar and West, 1995)."""
    below = rate - _log_beta(rng, gamma + 1.0, tables)
    odds = (shape + states - 1.0) / (tables * below)
    a = shape + states
    if not rng.random() * (1.0 + odds) < odds:
        a -= 1.0
    return math.exp(draws.log_gamma(rng, a)) / below


@jit
def hyper_block(rng: Any, counts: Any, states: int, beta: Any, scalars: Any, hyper: Any) -> None:
    """Draw tables, then the concentrations and beta, in place."""
    alpha, kappa, gamma = scalars[0], scalars[1], scalars[2]
    strength = alpha + kappa
    rho = kappa / strength
    mass = np.zeros(states + 1)  # tables that took their state from beta
    tables, later, overrides = 0.0, 0.0, 0.0
    for j in range(states + 1):
        for k in range(states):
            c = (strength if j == 0 else alpha) * beta[k] + (kappa if j == k + 1 else 0.0)
            m = table_count(rng, int(counts[j, k]), c)
            tables += m
            if j > 0:
                later += m
            if j == k + 1 and kappa > 0.0 and m > 0.0:
                w = float(rng.binomial(int(m), rho / (rho + beta[k] * (1.0 - rho))))
                overrides += w
                m -= w
            mass[k] += m
    if hyper[6] > 0.0:
        totals = np.empty(states + 1)
        for j in range(states + 1):
            totals[j] = counts[j, :states].sum()
        strength = resample_strength(rng, strength, totals, tables, hyper[0], hyper[1])
    if hyper[7] > 0.0:
        rho = draws.beta(rng, hyper[4] + overrides, hyper[5] + later - overrides)
    if hyper[6] > 0.0 or hyper[7] > 0.0:
        scalars[0], scalars[1] = strength * (1.0 - rho), strength * rho
    if hyper[8] > 0.0:
        gamma = resample_gamma(rng, gamma, states, mass.sum(), hyper[2], hyper[3])
        scalars[2] = gamma
    mass[states] = gamma
    draws.dirichlet(rng, mass, states + 1, beta)


@jit
def log_joint(counts: Any, states: int, beta: Any, scalars: Any, kind: int, stats: Any, prior: Any) -> float:
    """``log p(x, z | beta, alpha, kappa)``: transition rows and parameters integrated out."""
    alpha, kappa = scalars[0], scalars[1]
    value = 0.0
    for j in range(states + 1):
        total = 0.0
        for k in range(states):
            if counts[j, k] > 0.0:
                c = (alpha + kappa if j == 0 else alpha) * beta[k] + (kappa if j == k + 1 else 0.0)
                value += math.lgamma(c + counts[j, k]) - math.lgamma(c)
                total += counts[j, k]
        if total > 0.0:
            value += math.lgamma(alpha + kappa) - math.lgamma(alpha + kappa + total)
    for k in range(states):
        value += log_marginal(kind, stats[k], prior)
    return value
