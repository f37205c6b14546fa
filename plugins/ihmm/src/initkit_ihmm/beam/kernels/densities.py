"""Log densities of observations, in the layout in which the sampler keeps a state's parameters.

One row of float64 a state, by kind of emission:

- ``FULL``: mu (D), the lower triangle of ``G = F^-1`` row by row (D(D+1)/2) where ``Sigma = F F'``, and the constant
  ``-D/2 log 2 pi + sum log G_ii``.
- ``DIAGONAL`` and ``KNOWN`` (variance known): mu (D), 1/sd (D), the constant.
- ``CATEGORICAL``: log probabilities (V). ``POISSON``: rates (D), their logarithms (D).
"""

from __future__ import annotations

from typing import Any

from initkit_ihmm.beam.kernels._jit import jit

FULL, DIAGONAL, KNOWN, CATEGORICAL, POISSON = 0, 1, 2, 3, 4


@jit
def log_density(kind: int, x: Any, t: int, theta: Any, k: int) -> float:
    """``log f(x_t | theta_k)``; for counts without ``sum log x!``, which all states share.

    Takes whole arrays and indices: a view for every call would cost more than the arithmetic.
    """
    dims = x.shape[1]
    if kind == FULL:
        place = dims
        square = 0.0
        for i in range(dims):
            part = 0.0
            for j in range(i + 1):
                part += theta[k, place] * (x[t, j] - theta[k, j])
                place += 1
            square += part * part
        return float(theta[k, place] - 0.5 * square)
    if kind == CATEGORICAL:
        return float(theta[k, int(x[t, 0])])
    if kind == POISSON:
        found = 0.0
        for d in range(dims):
            found += x[t, d] * theta[k, dims + d] - theta[k, d]
        return found
    square = 0.0
    for d in range(dims):
        part = (x[t, d] - theta[k, d]) * theta[k, dims + d]
        square += part * part
    return float(theta[k, 2 * dims] - 0.5 * square)


def row_size(kind: int, dims: int, symbols: int) -> int:
    """Numbers in a state's row."""
    if kind == FULL:
        return dims + dims * (dims + 1) // 2 + 1
    if kind == CATEGORICAL:
        return symbols
    return 2 * dims + (0 if kind == POISSON else 1)
