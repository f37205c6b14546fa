"""Draws that stay finite for the tiny parameters of a nearly empty stick, made of log-gammas."""

from __future__ import annotations

import math
from typing import Any

from initkit_ihmm.beam.kernels._jit import jit


@jit
def uniform(rng: Any) -> float:
    """In the open interval (0, 1)."""
    while True:
        value: float = rng.random()
        if value > 0.0:
            return value


@jit
def log_gamma(rng: Any, shape: float) -> float:
    """The logarithm of a Ga(shape, 1) variable; below 1 by ``log Ga(a + 1) + log(U)/a``, which cannot underflow."""
    if shape <= 0.0:
        return -math.inf
    if shape >= 1.0:
        return math.log(rng.standard_gamma(shape))
    return math.log(rng.standard_gamma(shape + 1.0)) + math.log(uniform(rng)) / shape


@jit
def beta(rng: Any, a: float, b: float) -> float:
    """A Beta(a, b) variable; 1 where b is 0."""
    first, second = log_gamma(rng, a), log_gamma(rng, b)
    if second == -math.inf:
        return 1.0
    apart = second - first
    if apart > 700.0:
        return 0.0
    return 1.0 / (1.0 + math.exp(apart))


@jit
def dirichlet(rng: Any, shapes: Any, count: int, out: Any) -> None:
    """A Dirichlet vector into ``out[:count]``."""
    top = -math.inf
    for k in range(count):
        out[k] = log_gamma(rng, shapes[k])
        top = max(top, out[k])
    total = 0.0
    for k in range(count):
        out[k] = math.exp(out[k] - top)
        total += out[k]
    for k in range(count):
        out[k] /= total


@jit
def log_dirichlet(rng: Any, shapes: Any, out: Any) -> None:
    """The logarithms of a Dirichlet vector: finite where the probabilities themselves are not."""
    top = -math.inf
    for k in range(len(shapes)):
        out[k] = log_gamma(rng, shapes[k])
        top = max(top, out[k])
    total = 0.0
    for k in range(len(shapes)):
        total += math.exp(out[k] - top)
    whole = top + math.log(total)
    for k in range(len(shapes)):
        out[k] -= whole
