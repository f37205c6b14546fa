"""Log densities of observations, in the layout in which the sampler keeps a state's parameters.

One row of float64 a state, by kind of emission:

- ``FULL``: mu (D), the lower triangle of ``G = F^-1`` row by row (D(D+1)/2) where ``Sigma = F F'``, and the constant
  ``-D/2 log 2 pi + sum log G_ii``.
- ``DIAGONAL`` and ``KNOWN`` (variance known): mu (D), 1/sd (D), the constant.
- ``CATEGORICAL``: log probabilities (V). ``POISSON``: rates (D), their logarithms (D).
"""

from __future__ import annotations

from typing import Any

from initkit_ihmm.beam._jit import jit

FULL, DIAGONAL, KNOWN, CATEGORICAL, POISSON = 0, 1, 2, 3, 4


@jit
def log_density(kind: int, x: Any, theta: Any) -> float:
    """``log f(x | theta)`` of one observation (D,); for counts without ``sum log x!``, which all states share."""
    dims = len(x)
    if kind == FULL:
        place = dims
        square = 0.0
        for i in range(dims):
            part = 0.0
            for j in range(i + 1):
                part += theta[place] * (x[j] - theta[j])
                place += 1
            square += part * part
        return theta[place] - 0.5 * square
    if kind == CATEGORICAL:
        return theta[int(x[0])]
    if kind == POISSON:
        found = 0.0
        for d in range(dims):
            found += x[d] * theta[dims + d] - theta[d]
        return found
    square = 0.0
    for d in range(dims):
        part = (x[d] - theta[d]) * theta[dims + d]
        square += part * part
    return theta[2 * dims] - 0.5 * square


def row_size(kind: int, dims: int, symbols: int) -> int:
    """Numbers in a state's row."""
    if kind == FULL:
        return dims + dims * (dims + 1) // 2 + 1
    if kind == CATEGORICAL:
        return symbols
    return 2 * dims + (0 if kind == POISSON else 1)
