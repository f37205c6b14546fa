"""Starts that find the number of clusters from a density or a distance: HDBSCAN, DP-means."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
from annotated_types import Ge, Gt
from numba import njit

from initkit import InitError
from initkit_ihmm.features import point_features
from initkit_ihmm.jump import means_of, squared_distances
from initkit_ihmm.labels import Floats, Ints
from initkit_ihmm.recipe import Found, Labelling, Work
from initkit_ihmm.sequences import Sequences

_ROUNDS = 20


@dataclass(frozen=True)
class Hdbscan(Labelling):
    """HDBSCAN: clusters where observations are dense, as many as there are; noise goes to the nearest mean.

    A finite model merges or halves them to its own number of states.

    Args:
        n_states: of a finite model; else the clusters that are found.
        missing: ``"skip"`` leaves steps with NaN out; they get the state before them.
        least: smallest cluster, in steps; None is a fiftieth of them, at least 10.

    Source: Campello, Moulavi and Sander, Density-Based Clustering Based on Hierarchical Density Estimates, PAKDD 2013.
    """

    least: Annotated[int, Ge(2)] | None = None

    chooses_states = True
    exact = False

    def found(self, data: Sequences, states: int | None, work: Work) -> Found:
        """scikit-learn's HDBSCAN."""
        from sklearn.cluster import HDBSCAN

        features = point_features(data)
        least = self.least or max(10, data.steps // 50)
        if least > data.steps:
            raise InitError(f"recipe {self.id}: least={least} is more than the {data.steps} steps there are")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            labels = np.asarray(HDBSCAN(min_cluster_size=least, copy=True).fit_predict(features), dtype=np.int64)
        clusters = int(labels.max()) + 1
        if clusters == 0:
            raise InitError(
                f"recipe {self.id} found no cluster of {least} steps or more in {data.steps}: set least=... to fewer, "
                f"or take ihmm/overfit_merge"
            )
        noise = labels < 0
        if noise.any():
            means = means_of(features[~noise], labels[~noise], np.zeros((clusters, features.shape[1])))
            labels[noise] = squared_distances(features[noise], means).argmin(axis=1)
        settled = {"least": least, "clusters": clusters, "noise": int(noise.sum())}
        return Found(labels, settled=settled, features=features)


@njit(cache=True)
def _pass(z: Any, centres: Any, count: int, penalty: float, labels: Any) -> int:  # pragma: no cover - compiled
    """One pass in time order: a step further than the penalty from every centre becomes one."""
    for t in range(z.shape[0]):
        best, least = -1, np.inf
        for k in range(count):
            far = 0.0
            for d in range(z.shape[1]):
                far += (z[t, d] - centres[k, d]) ** 2
            if far < least:
                best, least = k, far
        if least > penalty and count < centres.shape[0]:
            centres[count] = z[t]
            best = count
            count += 1
        labels[t] = best
    return count


def dp_means(z: Floats, penalty: float, most: int = 200) -> tuple[Ints, int]:
    """DP-means: labels in passes over time, a new cluster beyond ``penalty``, means after each pass.

    Args:
        z: features (T, F).
        penalty: squared distance beyond which a step begins a cluster.
        most: clusters, at most.

    Returns:
        labels (T,) and the number of passes.
    """
    centres = np.zeros((most, z.shape[1]))
    centres[0] = z.mean(axis=0)
    count, labels = 1, np.full(len(z), -1, dtype=np.int64)
    rounds = 0
    while rounds < _ROUNDS:
        rounds += 1
        before = labels.copy()
        count = int(_pass(np.ascontiguousarray(z), centres, count, float(penalty), labels))
        used, labels = np.unique(labels, return_inverse=True)
        centres[: len(used)] = centres[used]
        count = len(used)
        centres[:count] = means_of(z, labels, centres[:count])
        if np.array_equal(before, labels):
            break
    return labels.astype(np.int64), rounds


def farthest_first(z: Floats, picks: int) -> float:
    """Squared distance of the last of ``picks`` farthest-first picks, the first of them from the grand mean."""
    nearest = ((z - z.mean(axis=0)) ** 2).sum(axis=1)
    far = 0.0
    for _ in range(picks):
        at = int(nearest.argmax())
        far = float(nearest[at])
        nearest = np.minimum(nearest, ((z - z[at]) ** 2).sum(axis=1))
    return far


@dataclass(frozen=True)
class DpMeans(Labelling):
    """DP-means: k-means that opens a cluster for a step too far from all others, as a Dirichlet process would.

    Args:
        n_states: how many picks the penalty comes from where none is given; the clusters may be more or fewer.
        missing: ``"skip"`` leaves steps with NaN out; they get the state before them.
        penalty: squared distance (in standardised units) beyond which a step begins a cluster; None is the distance
            of the last of ``n_states`` farthest-first picks.

    Source: Kulis and Jordan, Revisiting k-means: New Algorithms via Bayesian Nonparametrics, ICML 2012, algorithm 1.
    """

    penalty: Annotated[float, Gt(0)] | None = None

    exact = False

    def found(self, data: Sequences, states: int | None, work: Work) -> Found:
        """Passes in time order."""
        assert states is not None
        features = point_features(data)
        penalty = self.penalty or farthest_first(features, states)
        labels, rounds = dp_means(features, penalty)
        return Found(labels, settled={"penalty": penalty, "passes": rounds}, features=features)
