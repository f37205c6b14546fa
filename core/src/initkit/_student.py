"""Student's t distribution for whole degrees of freedom, and what is asked of it: intervals and paired tests.

The finite sums are Abramowitz & Stegun 26.7.3 and 26.7.4.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Interval:
    """A mean with its 95 % t-interval; the bounds are None for fewer than two values."""

    mean: float
    low: float | None
    high: float | None
    n: int


@dataclass(frozen=True)
class Paired:
    """A paired t-test of differences.

    Attributes:
        difference: mean difference with its interval.
        p: two-sided; None for fewer than two pairs.
        wins: pairs with a negative difference.
    """

    difference: Interval
    p: float | None
    wins: int


def two_sided(t: float, freedom: int) -> float:
    """P(|T| > \\|t\\|) for T with ``freedom`` >= 1 degrees of freedom."""
    if math.isinf(t):
        return 0.0
    theta = math.atan(abs(t) / math.sqrt(freedom))
    sine, square = math.sin(theta), math.cos(theta) ** 2
    odd = freedom % 2
    term = math.cos(theta) if odd else 1.0
    total = 0.0 if odd and freedom == 1 else term
    for k in range(1 + odd, freedom - 2 + odd, 2):
        term *= square * k / (k + 1)
        total += term
    within = (2 / math.pi) * (theta + sine * total) if odd else sine * total
    return max(0.0, 1.0 - within)


def quantile(freedom: int, level: float = 0.95) -> float:
    """The t with P(|T| <= t) = level, by bisection."""
    low, high = 0.0, 1.0
    while two_sided(high, freedom) > 1 - level:
        high *= 2
    for _ in range(200):
        middle = (low + high) / 2
        low, high = (middle, high) if two_sided(middle, freedom) > 1 - level else (low, middle)
    return high


def interval(values: Sequence[float]) -> Interval:
    """Mean and 95 % t-interval of at least one value."""
    n = len(values)
    mean = math.fsum(values) / n
    if n < 2 or not math.isfinite(mean):
        return Interval(mean, None, None, n)
    half = quantile(n - 1) * _standard_error(values, mean)
    return Interval(mean, mean - half, mean + half, n)


def paired(differences: Sequence[float]) -> Paired:
    """Test whether the mean of at least one difference is 0."""
    found = interval(differences)
    wins = sum(d < 0 for d in differences)
    if found.n < 2:
        return Paired(found, None, wins)
    error = _standard_error(differences, found.mean)
    if error == 0:
        return Paired(found, 1.0 if found.mean == 0 else 0.0, wins)
    return Paired(found, two_sided(found.mean / error, found.n - 1), wins)


def holm(ps: Sequence[float]) -> list[float]:
    """P-values adjusted for being several (Holm 1979), in the order given."""
    order = sorted(range(len(ps)), key=lambda i: ps[i])
    found, so_far = [0.0] * len(ps), 0.0
    for rank, i in enumerate(order):
        so_far = max(so_far, min(1.0, (len(ps) - rank) * ps[i]))
        found[i] = so_far
    return found


def _standard_error(values: Sequence[float], mean: float) -> float:
    return math.sqrt(math.fsum((v - mean) ** 2 for v in values) / (len(values) - 1) / len(values))
