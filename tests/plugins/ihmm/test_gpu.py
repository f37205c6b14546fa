"""k-means on a GPU finds what scikit-learn's finds; on an emulated device it is seen to run there."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hmmlearn import hmm
from sklearn.cluster import KMeans
from sklearn.metrics import adjusted_rand_score

import initkit
from initkit_ihmm.lloyd import kmeans_on

STATES = np.repeat([0, 1, 2, 0, 2, 1], 50)
SERIES = np.array([[0.0, 0.0], [4.0, 0.0], [0.0, 4.0]])[STATES] + np.random.default_rng(0).normal(size=(300, 2))


@pytest.mark.parametrize("name", ["kmeans", "windowed", "hierarchical", "overfit_merge"])
def test_starts(alike: Callable[..., None], name: str) -> None:
    needs = {"sequences": SERIES, "lengths": [150, 150]}
    build = lambda: hmm.GaussianHMM(3, covariance_type="full")  # noqa: E731
    there = ("mm",) if name in ("kmeans", "windowed") else ()
    alike(build, initkit.recipe(f"ihmm/{name}"), rtol=1e-6, atol=1e-9, there=there, **needs)


@pytest.mark.parametrize("device", ["emulated", pytest.param("cuda", marks=pytest.mark.gpu)])
def test_it_is_as_good_as_scikit_learns(device: str, request: pytest.FixtureRequest) -> None:
    import torch

    if device == "emulated":
        request.getfixturevalue("emulated")
    rng = np.random.default_rng(1)
    x = rng.normal(size=(12, 5))[rng.integers(0, 12, 2000)] * 4 + rng.normal(size=(2000, 5))

    def inertia(labels: Any) -> float:
        return sum(float(((x[labels == k] - x[labels == k].mean(0)) ** 2).sum()) for k in range(12))

    theirs = KMeans(12, n_init=10, random_state=0).fit(x).labels_
    ours = kmeans_on(x, 12, 0, 10, torch.device(device))
    assert inertia(ours) == pytest.approx(inertia(theirs), rel=1e-3)
    assert adjusted_rand_score(ours, theirs) > 0.99
    assert np.array_equal(ours, kmeans_on(x, 12, 0, 10, torch.device(device)))


def test_fewer_different_points_than_states() -> None:
    import torch

    labels = kmeans_on(np.array([[0.0], [0.0], [1.0], [1.0]]), 3, 0, 2, torch.device("cpu"))
    assert labels[0] == labels[1] != labels[2] == labels[3]
