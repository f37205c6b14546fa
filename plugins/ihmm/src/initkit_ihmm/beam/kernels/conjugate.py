"""Statistics of states, draws of their parameters and marginals, compiled.

``prior`` is one row of numbers, by kind: ``FULL`` and ``DIAGONAL`` [D, kappa0, nu0, mu0 (D), Psi0 (D*D or D)];
``KNOWN`` [D, mu0, sigma0^2, sigma^2]; ``CATEGORICAL`` [V, h (V)]; ``POISSON`` [D, a, b (D)]. Statistics of a state: the
number of its seen steps, then sums of x - mu0 (D) and of squares (lower triangle of D*D, or D); counts of symbols (V);
sums (D).
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from initkit_ihmm.beam.kernels._jit import jit
from initkit_ihmm.beam.kernels.densities import CATEGORICAL, DIAGONAL, FULL, POISSON
from initkit_ihmm.beam.kernels.draws import log_dirichlet, log_gamma

_LOG_2PI = math.log(2.0 * math.pi)
_LOG_PI = math.log(math.pi)


@jit
def add_up(x: Any, seen: Any, z: Any, kind: int, prior: Any, stats: Any) -> None:
    """Statistics of every state into ``stats`` (K, P)."""
    stats[:] = 0.0
    dims = x.shape[1]
    for t in range(len(z)):
        if not seen[t]:
            continue
        row = stats[z[t]]
        row[0] += 1.0
        if kind == CATEGORICAL:
            row[1 + int(x[t, 0])] += 1.0
        elif kind == POISSON:
            for d in range(dims):
                row[1 + d] += x[t, d]
        elif kind == FULL:
            place = 1 + dims
            for i in range(dims):
                off = x[t, i] - prior[3 + i]
                row[1 + i] += off
                for j in range(i + 1):
                    row[place + j] += off * (x[t, j] - prior[3 + j])
                place += dims
        else:
            for d in range(dims):
                off = x[t, d] - (prior[3 + d] if kind == DIAGONAL else prior[1])
                row[1 + d] += off
                row[1 + dims + d] += off * off


@jit
def posterior_factor(row: Any, prior: Any) -> Any:
    """The lower Cholesky factor of ``Psi_n`` (D, D); pivots stay above 1e-14 of the diagonal."""
    dims = int(prior[0])
    kappa = prior[1] + row[0]
    factor = np.zeros((dims, dims))
    for i in range(dims):
        for j in range(i + 1):
            value = prior[3 + dims + i * dims + j] + row[1 + dims + i * dims + j] - row[1 + i] * row[1 + j] / kappa
            whole = value
            for m in range(j):
                value -= factor[i, m] * factor[j, m]
            factor[i, j] = math.sqrt(max(value, 1e-14 * abs(whole) + 1e-300)) if i == j else value / factor[j, j]
    return factor


@jit
def draw_parameters(rng: Any, kind: int, row: Any, prior: Any, theta: Any) -> None:
    """A state's parameters from their posterior given its statistics, in the layout of the densities."""
    dims = int(prior[0])
    if kind == FULL:
        _draw_full(rng, row, prior, theta)
    elif kind == DIAGONAL:
        kappa, constant = prior[1] + row[0], -0.5 * dims * _LOG_2PI
        for d in range(dims):
            psi = prior[3 + dims + d] + row[1 + dims + d] - row[1 + d] * row[1 + d] / kappa
            deviation = math.sqrt(max(psi, 1e-300) / rng.chisquare(prior[2] + row[0]))
            theta[d] = prior[3 + d] + row[1 + d] / kappa + deviation * rng.standard_normal() / math.sqrt(kappa)
            theta[dims + d] = 1.0 / deviation
            constant -= math.log(deviation)
        theta[2 * dims] = constant
    elif kind == CATEGORICAL:
        log_dirichlet(rng, prior[1 : 1 + dims] + row[1 : 1 + dims], theta[:dims])
    elif kind == POISSON:
        for d in range(dims):
            level = log_gamma(rng, prior[1] + row[1 + d]) - math.log(prior[2 + d] + row[0])
            theta[d], theta[dims + d] = math.exp(level), level
    else:
        spread = 1.0 / (1.0 / prior[2] + row[0] / prior[3])
        for d in range(dims):
            mean = prior[1] + spread * row[1 + d] / prior[3]
            theta[d] = mean + math.sqrt(spread) * rng.standard_normal()
            theta[dims + d] = 1.0 / math.sqrt(prior[3])
        theta[2 * dims] = -0.5 * dims * (_LOG_2PI + math.log(prior[3]))


@jit
def _draw_full(rng: Any, row: Any, prior: Any, theta: Any) -> None:
    """Normal-inverse-Wishart by Bartlett: ``Psi_n = L L'``, ``Sigma = F F'`` with ``F = L B^-1``, B lower triangular.

    B has chi_{nu-D+1+i} on the diagonal and normals below: the transpose of Bartlett's factor in reversed coordinates,
    so that F and its inverse are triangular and a density costs half the products.
    """
    dims = int(prior[0])
    kappa, nu = prior[1] + row[0], prior[2] + row[0]
    factor = posterior_factor(row, prior)
    bartlett = np.zeros((dims, dims))
    for i in range(dims):
        for j in range(i):
            bartlett[i, j] = rng.standard_normal()
        bartlett[i, i] = math.sqrt(rng.chisquare(nu - (dims - 1 - i)))
    inverse = np.zeros((dims, dims))  # G = B L^-1, solved column by column from G L = B
    place, constant = dims, -0.5 * dims * _LOG_2PI
    for i in range(dims):
        for j in range(i, -1, -1):
            value = bartlett[i, j]
            for m in range(j + 1, i + 1):
                value -= inverse[i, m] * factor[m, j]
            inverse[i, j] = value / factor[j, j]
        for j in range(i + 1):
            theta[place + j] = inverse[i, j]
        place += i + 1
        constant += math.log(inverse[i, i])
    theta[place] = constant
    for i in range(dims):  # mu - mu_n = F e / sqrt(kappa) solves G y = e / sqrt(kappa)
        value = rng.standard_normal() / math.sqrt(kappa)
        for m in range(i):
            value -= inverse[i, m] * (theta[m] - prior[3 + m] - row[1 + m] / kappa)
        theta[i] = prior[3 + i] + row[1 + i] / kappa + value / inverse[i, i]


@jit
def log_marginal(kind: int, row: Any, prior: Any) -> float:
    """``log m``: a state's observations with parameters integrated out; for counts without ``sum log x!``."""
    dims, n = int(prior[0]), float(row[0])
    if kind == FULL:
        nu, after = float(prior[2]), float(prior[2]) + n
        blank = np.zeros(len(row))
        before_factor, after_factor = posterior_factor(blank, prior), posterior_factor(row, prior)
        value: float = 0.5 * dims * (math.log(prior[1] / (prior[1] + n)) - n * _LOG_PI)
        for i in range(dims):
            value += math.lgamma(0.5 * (after - i)) - math.lgamma(0.5 * (nu - i))
            value += nu * math.log(before_factor[i, i]) - after * math.log(after_factor[i, i])
        return value
    if kind == CATEGORICAL:
        total, value = 0.0, 0.0
        for v in range(dims):
            total += prior[1 + v]
            value += math.lgamma(prior[1 + v] + row[1 + v]) - math.lgamma(prior[1 + v])
        return value + math.lgamma(total) - math.lgamma(total + n)
    value = 0.0
    for d in range(dims):
        if kind == POISSON:
            a, b = prior[1], prior[2 + d]
            after = a + row[1 + d]
            value += a * math.log(b) - math.lgamma(a) + math.lgamma(after) - after * math.log(b + n)
        elif kind == DIAGONAL:
            kappa, nu, after = prior[1] + n, prior[2], prior[2] + n
            psi = prior[3 + dims + d]
            psi_n = max(psi + row[1 + dims + d] - row[1 + d] * row[1 + d] / kappa, 1e-300)
            value += math.lgamma(0.5 * after) - math.lgamma(0.5 * nu) + 0.5 * nu * math.log(psi)
            value += -0.5 * after * math.log(psi_n) + 0.5 * math.log(prior[1] / kappa) - 0.5 * n * _LOG_PI
        else:
            wide, narrow = prior[2], prior[3]
            whole = narrow + n * wide
            value += -0.5 * n * (_LOG_2PI + math.log(narrow)) + 0.5 * math.log(narrow / whole)
            value += -0.5 * row[1 + dims + d] / narrow + 0.5 * wide * row[1 + d] ** 2 / (narrow * whole)
    return value


def statistics_size(kind: int, dims: int, symbols: int) -> int:
    """Numbers in a state's statistics."""
    if kind == FULL:
        return 1 + dims + dims * dims
    if kind == CATEGORICAL:
        return 1 + symbols
    return 1 + dims if kind == POISSON else 1 + 2 * dims
