"""The exact posterior of an infinite HMM on tiny data, by enumerating every partition of its steps.

An oracle for tests of any HDP-HMM sampler, ours included: it shares no code with the beam sampler. Transition rows,
emission parameters and ``beta`` are integrated out. A row's factor is a product of ``alpha b_k + kappa [j=k] + i``, so
that given N the prior is a polynomial in ``b_1..b_K``, whose moments under a Dirichlet process of strength gamma are
gamma functions.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from initkit import InitError
from initkit_ihmm.emissions import Emission
from initkit_ihmm.labels import Floats, Ints, check_lengths

LIMIT = 10


@dataclass(frozen=True, eq=False)
class ExactPosterior:
    """All partitions of T steps with their posterior probabilities.

    Args:
        partitions: int64 (M, T), labels by first appearance.
        probabilities: (M,), they sum to 1.
        log_evidence: ``log p(x)``, or the log of the prior's total mass (0) without data.
    """

    partitions: Ints
    probabilities: Floats
    log_evidence: float

    @property
    def states(self) -> Floats:
        """``P(K = 1..T)``."""
        found = np.bincount(self.partitions.max(axis=1), self.probabilities, minlength=self.partitions.shape[1])
        return np.asarray(found, dtype=np.float64)

    @property
    def coclustering(self) -> Floats:
        """``P(z_s = z_t)`` (T, T)."""
        same = self.partitions[:, :, None] == self.partitions[:, None, :]
        return np.asarray(np.tensordot(self.probabilities, same, axes=1))


def exact_posterior(
    x: npt.NDArray[Any] | None,
    emission: Emission | None = None,
    *,
    alpha: float,
    gamma: float,
    kappa: float = 0.0,
    lengths: Sequence[int] | None = None,
    steps: int | None = None,
) -> ExactPosterior:
    """Enumerate the posterior over partitions with fixed concentrations.

    Args:
        x: observations (T, D), at most 10 of them, a row with a NaN was not seen; None is the prior.
        emission: with its prior; None for the prior of z.
        alpha: concentration of the rows.
        gamma: concentration of beta.
        kappa: 0, or the sticky model's self-transition bonus.
        lengths: of the sequences; None is one.
        steps: T, where x is None.

    Raises:
        InitError: more than 10 steps, which would be more than 115,975 partitions.
    """
    count = len(x) if x is not None else int(steps or 0)
    if not 1 <= count <= LIMIT:
        raise InitError(f"{count} steps: every partition is enumerated, so give between 1 and {LIMIT}")
    spans = check_lengths(lengths, count)
    rows = None if x is None or emission is None else _statistics(np.asarray(x), emission)
    marginals: dict[tuple[int, ...], float] = {}
    partitions, logs = [], []
    for labels in _partitions(count):
        value = log_prior(labels, spans, alpha, gamma, kappa)
        if rows is not None and emission is not None:
            for k in range(max(labels) + 1):
                members = tuple(t for t in range(count) if labels[t] == k)
                if members not in marginals:
                    marginals[members] = float(emission.log_marginal(rows[list(members)].sum(axis=0)))
                value += marginals[members]
        partitions.append(labels)
        logs.append(value)
    found = np.array(logs)
    top = found.max()
    weights = np.exp(found - top)
    return ExactPosterior(np.array(partitions), weights / weights.sum(), float(top + math.log(weights.sum())))


def _statistics(x: npt.NDArray[Any], emission: Emission) -> Floats:
    seen = np.logical_not(np.isnan(x.astype(np.float64)).any(axis=1))
    rows = emission.per_step(np.where(seen[:, None], x, 0))
    return np.where(seen[:, None], rows, 0.0)


def log_prior(labels: Sequence[int], lengths: Sequence[int], alpha: float, gamma: float, kappa: float = 0.0) -> float:
    """``log p(z)``, everything but the partition integrated out.

    Args:
        labels: states by first appearance, (T,).
        lengths: of the sequences.
        alpha: concentration of the rows.
        gamma: concentration of beta.
        kappa: the self-transition bonus.
    """
    states = max(labels) + 1
    counts = np.zeros((states + 1, states), dtype=np.int64)
    begin = 0
    for length in lengths:
        counts[0, labels[begin]] += 1
        for t in range(begin + 1, begin + length):
            counts[labels[t - 1] + 1, labels[t]] += 1
        begin += length
    strength, value = alpha + kappa, 0.0
    for total in counts.sum(axis=1):
        value += math.lgamma(strength) - math.lgamma(strength + total)
    powers = np.ones(1)  # by the total power M of all b_k
    for k in range(states):
        polynomial = np.ones(1)
        for j in range(states + 1):
            slope, bonus = (strength, 0.0) if j == 0 else (alpha, kappa if j == k + 1 else 0.0)
            for i in range(counts[j, k]):
                polynomial = np.convolve(polynomial, [bonus + i, slope])
        if polynomial[0] != 0.0:
            raise AssertionError("a state that nothing else leads to has no stick")
        moments = np.array([0.0, *(math.gamma(m) for m in range(1, len(polynomial)))])
        powers = np.convolve(powers, polynomial * moments)
    total = 0.0
    for m in range(1, len(powers)):
        total += powers[m] * math.exp(states * math.log(gamma) + math.lgamma(gamma) - math.lgamma(gamma + m))
    return value + math.log(total)


def _partitions(count: int) -> Iterator[list[int]]:
    """Restricted growth strings of a length."""
    labels = [0] * count

    def grow(t: int, states: int) -> Iterator[list[int]]:
        if t == count:
            yield labels.copy()
            return
        for k in range(states + 1):
            labels[t] = k
            yield from grow(t + 1, max(states, k + 1))

    yield from grow(0, 0)
