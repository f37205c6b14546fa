"""How many states? Five ways to say so before a model is built."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from initkit import InitError, Stream
from initkit_ihmm.features import point_features
from initkit_ihmm.labels import Floats
from initkit_ihmm.sequences import EmissionName, Sequences, read_sequences

Method = Literal["overfit_merge", "bic", "silhouette", "gap", "calinski"]
_SILHOUETTE_ROWS, _REFERENCES = 2000, 20


def choose_n_states(
    sequences: Any,
    *,
    lengths: Sequence[int] | npt.NDArray[Any] | None = None,
    method: Method = "overfit_merge",
    most: int = 12,
    emission: EmissionName = "gaussian",
    seed: int = 0,
) -> int:
    """The number of states that a criterion finds.

    All but ``"overfit_merge"`` ignore time, and count too many where states have heavy tails or odd shapes.

    Args:
        sequences: as :func:`~initkit_ihmm.read_sequences` takes them.
        lengths: of the sequences.
        method: ``"overfit_merge"`` merges an overfitted HMM while its marginal likelihood gains; ``"bic"`` takes the
            mixture of lowest BIC; ``"silhouette"`` and ``"calinski"`` the k-means clustering of highest index;
            ``"gap"`` the smallest k with ``Gap(k) >= Gap(k+1) - s_{k+1}`` (Tibshirani et al., JRSS B 2001).
        most: largest number that is tried.
        emission: what the observations are.
        seed: of the random numbers.

    Raises:
        InitError: the sequences cannot be used, or the method is unknown.
    """
    data = read_sequences(sequences, lengths, emission=emission)
    rng = Stream(seed, "choose_n_states").generator()
    if method == "overfit_merge":
        return choose(data, rng)
    if method not in ("bic", "silhouette", "gap", "calinski"):
        raise InitError(f"method {method!r}: take overfit_merge, bic, silhouette, gap or calinski")
    features = point_features(data)
    distinct = len(np.unique(features, axis=0))
    if distinct < 3:
        raise InitError(f"the observations hold {distinct} different rows: there is nothing to choose from")
    tried = list(range(2, min(most, distinct - 1) + 1))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if method == "gap":
            return _gap(features, tried, rng)
        values = [_criterion(features, k, method, int(rng.integers(2**31))) for k in tried]
    return tried[int(np.argmax(values))]


def choose(data: Sequences, rng: np.random.Generator) -> int:
    """The number of states that overfitting and merging leaves."""
    from initkit_ihmm.overfit import overfit_merge
    from initkit_ihmm.recipe import Work

    made = overfit_merge(data, None, Work(rng, lambda key, table: None))
    return int(made.labels.max()) + 1


def _criterion(features: Floats, k: int, method: Method, seed: int) -> float:
    from sklearn.cluster import KMeans
    from sklearn.metrics import calinski_harabasz_score, silhouette_score
    from sklearn.mixture import GaussianMixture

    if method == "bic":
        return -float(GaussianMixture(k, n_init=3, random_state=seed).fit(features).bic(features))
    labels = KMeans(k, n_init=10, random_state=seed).fit_predict(features)
    if method == "calinski":
        return float(calinski_harabasz_score(features, labels))
    rows = min(_SILHOUETTE_ROWS, len(features))
    return float(silhouette_score(features, labels, sample_size=rows, random_state=seed))


def _gap(features: Floats, tried: list[int], rng: np.random.Generator) -> int:
    from sklearn.cluster import KMeans

    # Reference sets are uniform in the box of the principal components.
    centred = features - features.mean(axis=0)
    axes = np.linalg.svd(centred, full_matrices=False)[2]
    rotated = centred @ axes.T
    low, high = rotated.min(axis=0), rotated.max(axis=0)
    references = [rng.uniform(low, high, size=rotated.shape) for _ in range(_REFERENCES)]
    gaps, errors = [], []
    for k in [1, *tried]:
        seed = int(rng.integers(2**31))
        own = np.log(KMeans(k, n_init=3, random_state=seed).fit(rotated).inertia_)
        theirs = np.log([KMeans(k, n_init=1, random_state=seed).fit(one).inertia_ for one in references])
        gaps.append(float(theirs.mean() - own))
        errors.append(float(theirs.std() * np.sqrt(1 + 1 / _REFERENCES)))
    for i, k in enumerate([1, *tried[:-1]]):
        if gaps[i] >= gaps[i + 1] - errors[i + 1]:
            return k
    return tried[-1]
