"""As many states as a model has: labels with more are merged, labels with fewer split."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from initkit_ihmm.emissions import Emission
from initkit_ihmm.labels import Floats, Ints, LabelInit, compacted
from initkit_ihmm.merging import merged


def merge_to(init: LabelInit, x: npt.NDArray[Any], emission: Emission, states: int) -> Ints:
    """Labels with ``states`` states, or as many as there are: the best pair is merged again and again."""
    return merged(init, x, emission, states)[0]


def split_to(labels: Ints, features: Floats, states: int, seed: int) -> Ints:
    """Labels with ``states`` states: the widest cluster is halved by 2-means until there are enough.

    Args:
        labels: int64 (T,).
        features: (T, F), what halving is done by.
        states: no more than there are different rows of features.
        seed: of the halvings.
    """
    from sklearn.cluster import KMeans

    labels = compacted(labels)[0]
    count = int(labels.max()) + 1
    while count < states:
        spread = [_spread(features[labels == k]) for k in range(count)]
        widest = int(np.argmax(spread))
        members = np.flatnonzero(labels == widest)
        if spread[widest] > 0:
            half = KMeans(2, n_init=3, random_state=(seed + count) % 2**31).fit_predict(features[members])
        else:  # nothing tells its steps apart: the later half is a state of its own
            members = np.flatnonzero(labels == np.bincount(labels).argmax())
            half = np.arange(len(members)) >= len(members) // 2
        labels[members[half == 1]] = count
        count += 1
    return compacted(labels)[0]


def _spread(rows: Floats) -> float:
    return float(((rows - rows.mean(axis=0)) ** 2).sum()) if len(rows) > 1 else 0.0
