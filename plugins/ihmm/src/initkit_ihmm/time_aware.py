"""Starts that know time: windows, jumps with a price, segments between change points."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Annotated

import numpy as np
from annotated_types import Ge, Gt

from initkit import InitError
from initkit_ihmm.emissions import covariance
from initkit_ihmm.features import point_features, window_features
from initkit_ihmm.jump import jump_model
from initkit_ihmm.labels import Floats
from initkit_ihmm.partitions import kmeans_labels
from initkit_ihmm.recipe import Found, Labelling, Work
from initkit_ihmm.sequences import Sequences

_SHRINK = 5


@dataclass(frozen=True)
class Jump(Labelling):
    """The statistical jump model: k-means with a price on every change of state, exact over time.

    Args:
        n_states: number of states; a finite model has its own, ``"auto"`` has it chosen.
        missing: ``"skip"`` leaves steps with NaN out; they get the state before them.
        penalty: the price, in squared standardised units; None is twice the mean squared distance within clusters.

    Source: Bemporad, Breschi, Piga and Boyd, Fitting Jump Models, Automatica 2018; Nystrup, Lindström and Madsen,
    Learning Hidden Markov Models with Persistent States by Penalizing Jumps, Expert Systems with Applications 2020.
    """

    penalty: Annotated[float, Gt(0)] | None = None

    def found(self, data: Sequences, states: int | None, work: Work) -> Found:
        """Alternate the cheapest path and means."""
        assert states is not None
        features = point_features(data)
        labels, total, penalty = jump_model(features, data.spans, states, work.rng, self.penalty)
        return Found(labels, settled={"penalty": penalty}, score=-total, features=features)


@dataclass(frozen=True)
class Windowed(Labelling):
    """k-means on windows' means, variances and correlations: for states that differ in more than their means.

    Args:
        n_states: number of states; a finite model has its own, ``"auto"`` has it chosen.
        missing: ``"skip"`` leaves steps with NaN out; they get the state before them.
        restarts: k-means++ starts, of which the best is kept.

    Source: derived here; windows of w = max(5, min(25, T/50)) steps, logarithms of deviations and arctanh of
    correlations so that k-means sees them on one scale.
    """

    restarts: Annotated[int, Ge(1)] = 10

    def found(self, data: Sequences, states: int | None, work: Work) -> Found:
        """k-means on the features of windows."""
        assert states is not None
        features = window_features(data)
        return Found(kmeans_labels(features, states, work, self.restarts), features=features)


@dataclass(frozen=True)
class Segment(Labelling):
    """Change points first, then clusters of segments by their means, variances and correlations.

    Args:
        n_states: number of states; a finite model has its own, ``"auto"`` has it chosen.
        missing: ``"skip"`` leaves steps with NaN out; they get the state before them.
        penalty: of a change point in nats; None is ``(D + D(D+1)/2) log T``.

    Source: binary segmentation under a normal cost, Truong, Oudre and Vayatis, Selective Review of Offline Change
    Point Detection Methods, Signal Processing 2020.
    """

    penalty: Annotated[float, Gt(0)] | None = None

    def found(self, data: Sequences, states: int | None, work: Work) -> Found:
        """Segment each sequence, describe the segments, cluster them weighted by length."""
        assert states is not None
        try:
            import ruptures
        except ImportError:
            raise InitError(
                f"recipe {self.id} needs the package ruptures: pip install 'initkit-ihmm[segment]'"
            ) from None
        from sklearn.cluster import KMeans

        if data.emission in ("categorical", "multinomial"):
            raise InitError(f"recipe {self.id}: {data.emission} observations; it is for Gaussian ones and counts")
        z = point_features(data)
        moving = z[:, z.std(axis=0) > 0]
        dims = moving.shape[1]
        price = self.penalty or (dims + dims * (dims + 1) / 2) * float(np.log(max(data.steps, 2)))
        least = max(5, dims + 2)
        cuts: list[tuple[int, int]] = []
        for begin, end in data.spans:
            ends = [end - begin]
            if dims and end - begin >= 2 * least:
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")  # it says that constant segments are allowed
                    finder = ruptures.Binseg(model="normal", min_size=least, jump=5).fit(moving[begin:end])
                    ends = finder.predict(pen=price)
            cuts += [(begin + a, begin + b) for a, b in zip([0, *ends[:-1]], ends, strict=True)]
        rows = segment_features(z, cuts)
        sizes = np.array([b - a for a, b in cuts], dtype=np.float64)
        count = min(states, len(np.unique(rows, axis=0)))
        made = KMeans(count, n_init=20, random_state=work.seed()).fit(rows, sample_weight=sizes)
        labels = np.repeat(made.labels_, sizes.astype(int))
        return Found(labels, settled={"penalty": price, "segments": len(cuts)})


def segment_features(z: Floats, cuts: list[tuple[int, int]]) -> Floats:
    """Mean, log deviations and arctanh correlations of each segment, its covariance shrunk: ``(n S + 5 C)/(n + 5)``."""
    overall = covariance(z)
    lower = np.tril_indices(z.shape[1], -1)
    rows = []
    for begin, end in cuts:
        part = z[begin:end]
        apart = part - part.mean(axis=0)
        shrunk = (apart.T @ apart + _SHRINK * overall) / (len(part) + _SHRINK)
        deviation = np.sqrt(np.diag(shrunk))
        correlation = (shrunk / np.outer(deviation, deviation))[lower]
        rows.append(
            np.concatenate([part.mean(axis=0), np.log(deviation), np.arctanh(np.clip(correlation, -0.99, 0.99))])
        )
    return np.stack(rows)
