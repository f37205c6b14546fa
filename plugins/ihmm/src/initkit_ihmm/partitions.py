"""Starts from clusterings that look at single steps: k-means, linkage, medoids, mixtures, graphs."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Annotated, Literal

import numpy as np
from annotated_types import Ge

from initkit import InitError
from initkit_ihmm.features import point_features
from initkit_ihmm.jump import squared_distances
from initkit_ihmm.labels import Floats, Ints
from initkit_ihmm.lloyd import kmeans_on
from initkit_ihmm.recipe import Found, Labelling, Work
from initkit_ihmm.sequences import Sequences

_SMALL, _MICRO, _SAMPLE, _SAMPLES = 5000, 500, 2000, 5


def kmeans_labels(features: Floats, states: int, work: Work, restarts: int = 10) -> Ints:
    """k-means++ labels, the best of ``restarts``: by scikit-learn, or on the run's GPU."""
    seed = work.seed()
    if work.device.type != "cpu":
        return kmeans_on(features, min(states, len(features)), seed, restarts, work.device)
    from sklearn.cluster import KMeans

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # fewer clusters than asked for are reported by who calls
        made = KMeans(min(states, len(features)), n_init=restarts, random_state=seed).fit(features)
    return np.asarray(made.labels_, dtype=np.int64)


@dataclass(frozen=True)
class KMeans(Labelling):
    """k-means on single steps, standardised: the plain clustering start.

    It looks at neither time nor shape: right where states differ in their means, blind where they differ in
    covariance alone.

    Args:
        n_states: number of states; a finite model has its own, ``"auto"`` has it chosen.
        missing: ``"skip"`` leaves steps with NaN out; they get the state before them.
        restarts: k-means++ starts, of which the best is kept.

    Source: Arthur and Vassilvitskii, k-means++: The Advantages of Careful Seeding, SODA 2007; as a start of HMMs
    compared by Maruotti and Punzo, International Statistical Review 2021.
    """

    restarts: Annotated[int, Ge(1)] = 10

    def found(self, data: Sequences, states: int | None, work: Work) -> Found:
        """k-means on the features of single steps."""
        assert states is not None
        features = point_features(data)
        return Found(kmeans_labels(features, states, work, self.restarts), features=features)


@dataclass(frozen=True)
class Hierarchical(Labelling):
    """Agglomerative clustering of single steps: Ward's, complete or average linkage, cut at the number of states.

    Beyond 5,000 steps 500 k-means clusters are linked instead, weighted by their sizes under Ward's linkage.

    Args:
        n_states: number of states; a finite model has its own, ``"auto"`` has it chosen.
        missing: ``"skip"`` leaves steps with NaN out; they get the state before them.
        linkage: what the distance of two clusters is.

    Source: Ward, Hierarchical Grouping to Optimize an Objective Function, JASA 1963.
    """

    linkage: Literal["ward", "complete", "average"] = "ward"

    def found(self, data: Sequences, states: int | None, work: Work) -> Found:
        """Link, and cut."""
        assert states is not None
        from sklearn.cluster import AgglomerativeClustering

        features = point_features(data)
        if len(features) <= _SMALL:
            made = AgglomerativeClustering(states, linkage=self.linkage).fit(features)
            return Found(np.asarray(made.labels_), features=features)
        small = kmeans_labels(features, max(_MICRO, 2 * states), work, 1)
        sizes = np.bincount(small).astype(np.float64)
        centres = np.stack([np.bincount(small, weights=column) for column in features.T], axis=1) / sizes[:, None]
        if self.linkage == "ward":
            of_centre = weighted_ward(centres, sizes, states)
        else:
            of_centre = AgglomerativeClustering(states, linkage=self.linkage).fit(centres).labels_
        return Found(np.asarray(of_centre)[small], settled={"micro_clusters": len(sizes)}, features=features)


def weighted_ward(centres: Floats, weights: Floats, clusters: int) -> Ints:
    """Ward's linkage of weighted points: merge the pair that adds least scatter until ``clusters`` are left."""
    centres, weights = centres.copy(), weights.copy()
    label = np.arange(len(centres))
    cost = squared_distances(centres, centres) * weights[:, None] * weights / (weights[:, None] + weights)
    np.fill_diagonal(cost, np.inf)
    alive = np.ones(len(centres), dtype=bool)
    for _ in range(len(centres) - clusters):
        a, b = np.unravel_index(int(cost.argmin()), cost.shape)
        centres[a] = (weights[a] * centres[a] + weights[b] * centres[b]) / (weights[a] + weights[b])
        weights[a] += weights[b]
        alive[b] = False
        cost[b], cost[:, b] = np.inf, np.inf
        row = squared_distances(centres[[a]], centres)[0] * weights[a] * weights / (weights[a] + weights)
        row[~alive] = np.inf
        row[a] = np.inf
        cost[a], cost[:, a] = row, row
        label[label == b] = a
    return np.unique(label, return_inverse=True)[1].astype(np.int64)


@dataclass(frozen=True)
class KMedoids(Labelling):
    """k-medoids (FasterPAM) on single steps: centres that are observations, under any distance.

    Beyond 5,000 steps the best of five samples of 2,000 is taken, and every step goes to the nearest medoid.

    Args:
        n_states: number of states; a finite model has its own, ``"auto"`` has it chosen.
        missing: ``"skip"`` leaves steps with NaN out; they get the state before them.
        metric: a distance by its scikit-learn name, such as ``"euclidean"``, ``"manhattan"`` or ``"cosine"``.

    Source: Schubert and Rousseeuw, Fast and Eager k-Medoids Clustering, Information Systems 2021.
    """

    metric: str = "euclidean"

    def found(self, data: Sequences, states: int | None, work: Work) -> Found:
        """FasterPAM on the distances of all steps, or of samples."""
        assert states is not None
        try:
            import kmedoids
        except ImportError:
            raise InitError(
                f"recipe {self.id} needs the package kmedoids: pip install 'initkit-ihmm[kmedoids]'"
            ) from None
        from sklearn.metrics import pairwise_distances

        features = point_features(data)
        samples = [np.arange(len(features))]
        if len(features) > _SMALL:
            samples = [work.rng.choice(len(features), _SAMPLE, replace=False) for _ in range(_SAMPLES)]
        best: tuple[float, Ints] | None = None
        for sample in samples:
            try:
                distance = pairwise_distances(features[sample], metric=self.metric)
            except ValueError as error:
                raise InitError(f"recipe {self.id}: metric {self.metric!r}: {str(error).splitlines()[0]}") from None
            # It takes plain ints only.
            made = kmedoids.fasterpam(distance, int(states), init="random", random_state=int(work.seed()))
            to_medoids = pairwise_distances(features, features[sample[np.asarray(made.medoids)]], metric=self.metric)
            loss = float(to_medoids.min(axis=1).sum())
            if best is None or loss < best[0]:
                best = loss, to_medoids.argmin(axis=1)
        assert best is not None
        return Found(best[1], score=-best[0], features=features)


@dataclass(frozen=True)
class GMM(Labelling):
    """A Gaussian mixture with full covariances: soft memberships, states of different shape and size.

    Args:
        n_states: number of states; a finite model has its own, ``"auto"`` has it chosen.
        missing: ``"skip"`` leaves steps with NaN out; they get the state before them.
        restarts: starts of the mixture's EM, of which the best is kept.

    Source: McLachlan and Peel, Finite Mixture Models, 2000; as a start of HMMs compared by Maruotti and Punzo,
    International Statistical Review 2021.
    """

    restarts: Annotated[int, Ge(1)] = 3

    def found(self, data: Sequences, states: int | None, work: Work) -> Found:
        """Fit the mixture; memberships are kept."""
        assert states is not None
        from sklearn.mixture import GaussianMixture

        x = data.x if data.emission == "gaussian" else point_features(data)
        # The floor of variances follows the data's own scale.
        floor = 1e-6 * float(x.var(axis=0).mean()) or 1e-6
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # a mixture that has not converged is a start all the same
                made = GaussianMixture(states, n_init=self.restarts, reg_covar=floor, random_state=work.seed()).fit(x)
        except ValueError as error:
            raise InitError(f"recipe {self.id}: the mixture cannot be fitted: {str(error).splitlines()[0]}") from None
        resp = made.predict_proba(x)
        return Found(resp.argmax(axis=1), resp=resp, score=float(made.lower_bound_))


@dataclass(frozen=True)
class Spectral(Labelling):
    """Spectral clustering on the graph of nearest neighbours, for states of odd shape; at most 5,000 steps.

    Args:
        n_states: number of states; a finite model has its own, ``"auto"`` has it chosen.
        missing: ``"skip"`` leaves steps with NaN out; they get the state before them.
        neighbours: of each step in the graph.

    Source: von Luxburg, A Tutorial on Spectral Clustering, Statistics and Computing 2007.
    """

    neighbours: Annotated[int, Ge(2)] = 10

    def found(self, data: Sequences, states: int | None, work: Work) -> Found:
        """Cluster the graph's eigenvectors."""
        assert states is not None
        from sklearn.cluster import SpectralClustering

        features = point_features(data)
        if len(features) > _SMALL:
            raise InitError(
                f"recipe {self.id}: {len(features)} steps are more than the {_SMALL} whose graph it can take; "
                f"use ihmm/kmeans or ihmm/overfit_merge"
            )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a graph in several parts is clustered all the same
            made = SpectralClustering(
                states,
                affinity="nearest_neighbors",
                n_neighbors=min(self.neighbours, len(features) - 1),
                random_state=work.seed(),
            ).fit(features)
        return Found(np.asarray(made.labels_), features=features)
