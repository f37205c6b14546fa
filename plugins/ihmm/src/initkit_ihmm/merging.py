"""Greedy merging of states by the log probability of labels and observations, all parameters integrated out."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.special import gammaln

from initkit_ihmm.emissions import Emission
from initkit_ihmm.labels import Floats, Ints, LabelInit, compacted

_ALPHA = 1.0


def label_score(init: LabelInit, x: npt.NDArray[Any], emission: Emission) -> float:
    """``sum_k log m(x_k) + log p(z)``: rows of transitions are symmetric Dirichlet(alpha/(K+1)), alpha = 1."""
    marginals = emission.log_marginal(emission.statistics(x, init.labels, init.K))
    return float(marginals.sum() + transition_score(init.counts()[1]))


def transition_score(pairs: Floats) -> float:
    """Log probability of transitions (K+1, K), row 0 those into first states."""
    share = _ALPHA / len(pairs)
    rows = gammaln(_ALPHA) - gammaln(_ALPHA + pairs.sum(axis=1))
    return float(rows.sum() + (gammaln(share + pairs) - gammaln(share)).sum())


def merged(
    init: LabelInit, x: npt.NDArray[Any], emission: Emission, states: int | None = None
) -> tuple[Ints, list[float]]:
    """Merge the best pair again and again.

    Args:
        init: labels to start from.
        x: observations (T, D).
        emission: conjugate, for the marginals.
        states: None merges while the score gains; a number merges down to exactly that many, at a loss if need be,
            and stops there.

    Returns:
        labels (T,), contiguous in order of first appearance, and the gain of each merge.
    """
    statistics = emission.statistics(x, init.labels, init.K)
    pairs = LabelInit.of(init.labels, lengths=init.lengths).counts()[1]
    label_of = np.arange(init.K)
    alone = emission.log_marginal(statistics)
    together = _pair_marginals(emission, statistics, range(len(statistics)), np.full((init.K, init.K), -np.inf))
    gains: list[float] = []
    while len(alone) > 1 and (states is None or len(alone) > states):
        gain = together - alone[:, None] - alone[None, :] + _transition_gains(pairs)
        gain[np.tril_indices_from(gain)] = -np.inf
        a, b = (int(one) for one in np.unravel_index(int(gain.argmax()), gain.shape))
        if states is None and gain[a, b] <= 0:
            break
        gains.append(float(gain[a, b]))
        statistics[a] += statistics[b]
        statistics = np.delete(statistics, b, axis=0)
        pairs[a + 1] += pairs[b + 1]
        pairs[:, a] += pairs[:, b]
        pairs = np.delete(np.delete(pairs, b + 1, axis=0), b, axis=1)
        alone[a] = emission.log_marginal(statistics[a])
        alone = np.delete(alone, b)
        together = np.delete(np.delete(together, b, axis=0), b, axis=1)
        together = _pair_marginals(emission, statistics, [a], together)
        label_of = np.where(label_of == b, a, label_of)
        label_of = np.where(label_of > b, label_of - 1, label_of)
    return compacted(label_of[init.labels].astype(np.int64))[0], gains


def _pair_marginals(emission: Emission, statistics: Floats, rows: Any, found: Floats) -> Floats:
    """``log m`` of every pair that touches one of these rows."""
    for a in rows:
        found[a] = emission.log_marginal(statistics[a] + statistics)
        found[:, a] = found[a]
    return found


def _transition_gains(pairs: Floats) -> Floats:
    """Change of :func:`transition_score` if states a and b were one, (K, K)."""
    states = pairs.shape[1]
    share = _ALPHA / states  # K - 1 states after the merge
    every = gammaln(share + pairs)
    base = float(every.sum()) - states * (states - 1) * gammaln(share)
    inner, own = pairs[1:], every[1:]
    # Columns a and b become one in every row, then rows in every column; the square where both meet is put right.
    columns = gammaln(share + pairs[:, :, None] + pairs[:, None, :]) - every[:, :, None] - every[:, None, :]
    rows = gammaln(share + inner[:, None, :] + inner[None, :, :]) - own[:, None, :] - own[None, :, :]
    at = np.arange(states)
    column_sum = columns.sum(axis=0)
    row_sum = rows.sum(axis=2)
    # Take out the two rows (two columns) that belong to the square.
    column_sum = column_sum - columns[1:][at, at, :] - columns[1:][at, :, at].T
    row_sum = row_sum - rows[at, :, at] - rows[:, at, at]
    square = inner[at, at][:, None] + inner[at, at][None, :] + inner + inner.T
    parts = own[at, at][:, None] + own[at, at][None, :] + own + own.T
    totals = pairs.sum(axis=1)
    weights = gammaln(_ALPHA + totals)
    joined = weights[1:, None] + weights[None, 1:] - gammaln(_ALPHA + totals[1:, None] + totals[None, 1:])
    after = base + column_sum + row_sum + gammaln(share + square) - parts + joined - weights.sum()
    before = transition_score(pairs)
    rest = (len(pairs) - 1) * gammaln(_ALPHA)
    return np.asarray(after + rest - before)
