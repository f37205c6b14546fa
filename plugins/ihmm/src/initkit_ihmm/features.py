"""What is clustered: the observations themselves, or what a window around each step says of them.

Windows never cross the border of a sequence: its first and last observations are repeated beyond its ends.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from initkit_ihmm.labels import Floats
from initkit_ihmm.sequences import Sequences

HISTOGRAM, COUNTS = 7, 3  # half widths of windows over symbols and over counts
_LEAST_VARIANCE, _LARGEST_CORRELATION = 1e-6, 0.99


def point_features(data: Sequences) -> Floats:
    """Features of single steps, (T, F).

    Gaussian: standardised columns. Poisson: ``2 sqrt(x + 3/8)``, whose variance does not depend on the rate.
    Multinomial: square roots of shares. Categorical: the symbol with what comes before and after it (context).
    """
    if data.emission == "gaussian":
        return data.standardised()
    if data.emission == "poisson":
        return anscombe(data.x)
    if data.emission == "multinomial":
        return np.asarray(np.sqrt(data.x / np.maximum(data.x.sum(axis=1, keepdims=True), 1)))
    return context(data)


def window_features(data: Sequences) -> Floats:
    """Features of windows, (T, F).

    Gaussian: means, log standard deviations and correlations of standardised columns, standardised themselves.
    Poisson: window means of ``2 sqrt(x + 3/8)``. Symbols and counts of them: square roots of window shares.
    """
    if data.emission == "gaussian":
        return standardised(moments(data, data.standardised(), half_width(data.steps)))
    if data.emission == "poisson":
        return _means(data, anscombe(data.x), COUNTS)
    flat = one_hot(data.x) if data.emission == "categorical" else data.x.astype(np.float64)
    shares = np.maximum(_means(data, flat, HISTOGRAM), 0.0)  # sums from the beginning leave dust below 0
    return np.asarray(np.sqrt(shares / np.maximum(shares.sum(axis=1, keepdims=True), 1e-12)))


def half_width(steps: int) -> int:
    """Half the window's width ``w = max(5, min(25, T//50))``."""
    return max(5, min(25, steps // 50)) // 2


def moments(data: Sequences, z: Floats, half: int) -> Floats:
    """Window means (D), log standard deviations (D) and ``arctanh`` of correlations (i > j), (T, D + D(D+1)/2)."""
    mean = _means(data, z, half)
    variance = np.maximum(_means(data, z * z, half) - mean**2, _LEAST_VARIANCE)
    parts = [mean, 0.5 * np.log(variance)]
    for i in range(z.shape[1]):
        for j in range(i):
            joint = _means(data, z[:, [i]] * z[:, [j]], half)[:, 0] - mean[:, i] * mean[:, j]
            together = joint / np.sqrt(variance[:, i] * variance[:, j])
            parts.append(np.arctanh(np.clip(together, -_LARGEST_CORRELATION, _LARGEST_CORRELATION))[:, None])
    return np.concatenate(parts, axis=1)


def _means(data: Sequences, values: Floats, half: int) -> Floats:
    """Means over windows of ``2 half + 1`` steps, by sums from the beginning (of centred values, for precision)."""
    found = np.empty_like(values)
    centre = values.mean(axis=0)
    width = 2 * half + 1
    for begin, end in data.spans:
        padded = np.pad(values[begin:end] - centre, ((half, half), (0, 0)), mode="edge")
        sums = np.concatenate([np.zeros((1, values.shape[1])), np.cumsum(padded, axis=0)])
        found[begin:end] = (sums[width:] - sums[:-width]) / width + centre
    return found


def context(data: Sequences, smoothing: float = 0.5) -> Floats:
    """``[sqrt P[x_{t-1}], onehot(x_t), sqrt Q[x_{t+1}]]``, (T, 3V).

    ``P`` are the rows of the symbols' smoothed transition matrix, ``Q`` those of its transpose. At a border the part
    that is missing is the overall distribution of symbols.
    """
    flat = one_hot(data.x)
    symbols = data.x[:, 0]
    count = flat.shape[1]
    pairs = np.full((count, count), smoothing)
    for begin, end in data.spans:
        np.add.at(pairs, (symbols[begin : end - 1], symbols[begin + 1 : end]), 1.0)
    forth = np.sqrt(pairs / pairs.sum(axis=1, keepdims=True))
    back = np.sqrt(pairs.T / pairs.T.sum(axis=1, keepdims=True))
    overall = np.sqrt(flat.mean(axis=0))
    before, after = np.empty_like(flat), np.empty_like(flat)
    for begin, end in data.spans:
        before[begin], before[begin + 1 : end] = overall, forth[symbols[begin : end - 1]]
        after[end - 1], after[begin : end - 1] = overall, back[symbols[begin + 1 : end]]
    return np.concatenate([before, flat, after], axis=1)


def one_hot(x: npt.NDArray[Any]) -> Floats:
    """Symbols (T, 1) as rows of the identity, (T, V)."""
    return np.asarray(np.eye(int(x.max()) + 1)[x[:, 0]])


def anscombe(x: npt.NDArray[Any]) -> Floats:
    """``2 sqrt(x + 3/8)``: Poisson counts with a variance of about 1 (Anscombe, 1948)."""
    return np.asarray(2.0 * np.sqrt(x + 0.375))


def standardised(values: Floats) -> Floats:
    """Columns of mean 0 and standard deviation 1; constant columns are 0."""
    spread = values.std(axis=0)
    return np.asarray((values - values.mean(axis=0)) / np.where(spread > 1e-12, spread, 1.0))
