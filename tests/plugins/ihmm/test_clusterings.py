"""The clusterings: golden agreement with known states, borders of sequences, missing values, numbers of states."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.metrics import adjusted_rand_score

import initkit
from initkit import InitError
from initkit_ihmm.choosing import choose_n_states
from initkit_ihmm.density import dp_means, farthest_first
from initkit_ihmm.emissions import Gaussian
from initkit_ihmm.features import half_width, moments, window_features
from initkit_ihmm.labels import LabelInit
from initkit_ihmm.merging import merged
from initkit_ihmm.partitions import weighted_ward
from initkit_ihmm.regimes import runs
from initkit_ihmm.resizing import split_to
from initkit_ihmm.sequences import Sequences, read_sequences

sys.path.insert(0, str(Path(__file__).resolve().parents[3]))
from benchmarks.ihmm._data import generated

SUMS = {
    "A_sep": -777.88054,
    "B_overlap": -292.88054,
    "C_k8": -4573.358879,
    "D_t4": -339.627691,
    "E_cov": -59.512748,
    "F_rare": 2255.244991,
}
AGREEMENT = {
    "A_sep": {"kmeans": 0.989, "hierarchical": 0.979, "gmm": 0.984, "jump": 0.992, "windowed": 0.274},
    "B_overlap": {"kmeans": 0.437, "hierarchical": 0.373, "gmm": 0.424, "jump": 0.807, "windowed": 0.337},
    "C_k8": {"kmeans": 0.641, "hierarchical": 0.648, "gmm": 0.672, "windowed": 0.565},  # jump: several optima
    "F_rare": {"kmeans": 0.807, "hierarchical": 0.615, "gmm": 0.847, "jump": 0.975, "windowed": 0.392},
    "E_cov": {"kmeans": 0.034, "hierarchical": -0.028, "gmm": 0.148, "jump": -0.027, "windowed": 0.457},
}


@pytest.fixture(scope="module")
def series() -> dict[str, Any]:
    return {name: generated(name, 0) for name in SUMS}


def label(name: str, x: Any, **options: Any) -> LabelInit:
    keywords = {key: options.pop(key) for key in ("lengths", "emission", "seed") if key in options}
    recipe: Any = initkit.recipe(f"ihmm/{name}", **options)
    found: LabelInit = recipe.label(x, **keywords)
    return found


def test_the_series(series: dict[str, Any]) -> None:
    for name, (x, _) in series.items():
        assert x.sum() == pytest.approx(SUMS[name], abs=1e-5)


@pytest.mark.parametrize(("name", "recipe"), [(name, recipe) for name, row in AGREEMENT.items() for recipe in row])
def test_agreement_with_the_states(series: dict[str, Any], name: str, recipe: str) -> None:
    x, z = series[name]
    found = label(recipe, x, n_states=int(z.max()) + 1, seed=1)
    exact = recipe == "hierarchical"
    assert adjusted_rand_score(z, found.labels) == pytest.approx(AGREEMENT[name][recipe], abs=6e-4 if exact else 0.02)


def test_merging_twelve_of_ward(series: dict[str, Any]) -> None:
    x, z = series["A_sep"]
    found, gains = merged(label("hierarchical", x, n_states=12), x, Gaussian.of_data(x))
    assert len(gains) == 8
    assert gains[0] == pytest.approx(68.9748, abs=1e-4)
    assert found.max() == 3
    assert adjusted_rand_score(z, found) == pytest.approx(0.9789, abs=1e-4)


def test_the_number_of_states_is_found(series: dict[str, Any]) -> None:
    for name in ("A_sep", "E_cov"):
        x, z = series[name]
        found = label("overfit_merge", x, seed=3)
        assert abs(found.K - (int(z.max()) + 1)) <= 1
        assert adjusted_rand_score(z, found.labels) > 0.9
        assert label("overfit_merge", x, n_states=5).K == 5
    assert choose_n_states(series["A_sep"][0]) == 4
    assert choose_n_states(series["A_sep"][0][:300], method="silhouette", most=6) == 4
    assert choose_n_states(series["A_sep"][0][:300], method="bic", most=6) == 4
    assert choose_n_states(series["A_sep"][0][:300], method="calinski", most=6) == 4
    assert choose_n_states(series["A_sep"][0][:300], method="gap", most=6) in (1, 2, 3, 4)
    with pytest.raises(InitError, match="take overfit_merge, bic"):
        choose_n_states(series["A_sep"][0], method="elbow")  # type: ignore[arg-type]


def test_windows_stay_within_their_sequence() -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(90, 2))
    whole = read_sequences(x, [50, 40])
    alone = read_sequences(x[50:])
    z = whole.standardised()
    together = moments(whole, z, 4)
    np.testing.assert_allclose(together[50:], moments(alone, z[50:], 4), atol=1e-12)
    padded = np.pad(z[:50], ((4, 4), (0, 0)), mode="edge")
    for t in (0, 3, 25, 49):
        window = padded[t : t + 9]
        expected = [
            *window.mean(axis=0),
            *(0.5 * np.log(window.var(axis=0))),
            np.arctanh(np.clip(np.corrcoef(window.T)[1, 0], -0.99, 0.99)),
        ]
        np.testing.assert_allclose(together[t], expected, atol=1e-10)
    assert [half_width(steps) for steps in (10, 500, 1000, 10**6)] == [2, 5, 10, 12]


def test_windows_far_from_zero_keep_their_digits() -> None:
    x = np.random.default_rng(1).normal(size=(400, 1))
    near, far = (window_features(Sequences(x + shift, (400,))) for shift in (0.0, 1e6))
    np.testing.assert_allclose(near, far, atol=1e-5)


def test_contiguous_blocks_begin_anew_in_each_sequence() -> None:
    found = label("contig", np.zeros((10, 1)) + np.arange(10)[:, None], n_states=2, lengths=[6, 4])
    assert found.labels.tolist() == [0, 0, 0, 1, 1, 1, 0, 0, 1, 1]


def test_runs_end_at_borders() -> None:
    assert runs(np.array([0, 0, 1, 1, 1]), [(0, 3), (3, 5)]) == [[0, 2, 0], [2, 3, 1], [3, 5, 1]]


def test_weighted_ward_of_equal_weights_is_ward() -> None:
    from scipy.cluster.hierarchy import fcluster, linkage

    points = np.random.default_rng(2).normal(size=(60, 3))
    mine = weighted_ward(points, np.ones(60), 5)
    assert adjusted_rand_score(fcluster(linkage(points, "ward"), 5, "maxclust"), mine) == 1.0
    heavy = np.array([[0.0], [1.0], [3.0]])
    assert weighted_ward(heavy, np.array([1.0, 1.0, 100.0]), 2).tolist() == [0, 0, 1]


@pytest.mark.parametrize("recipe", ["hierarchical", "kmedoids"])
def test_long_series_are_clustered_by_parts(recipe: str) -> None:
    rng = np.random.default_rng(3)
    z = np.repeat(rng.integers(3, size=120), 50)
    x = 6.0 * np.eye(3)[z] + rng.normal(size=(6000, 3))
    assert adjusted_rand_score(z, label(recipe, x, n_states=3).labels) > 0.99


def test_dp_means_opens_clusters_beyond_the_penalty() -> None:
    x = np.array([[0.0], [0.1], [5.0], [5.1], [0.05], [9.9]])
    labels, _ = dp_means(x - x.mean(), 2.0)
    assert len(set(labels)) == 3
    assert len(set(dp_means(x - x.mean(), 1e3)[0])) == 1
    assert farthest_first(x, 1) == pytest.approx(float(((x - x.mean()) ** 2).max()))


def test_hdbscan_gives_noise_to_the_nearest(series: dict[str, Any]) -> None:
    x, z = series["A_sep"]
    found = label("hdbscan", x, least=40)
    assert found.params["noise"] > 0
    assert adjusted_rand_score(z, found.labels) > 0.8
    with pytest.raises(InitError, match="no cluster of 900 steps or more in 1000"):
        label("hdbscan", x, least=900)


def test_splitting_gives_as_many_states_as_asked() -> None:
    x = np.random.default_rng(4).normal(size=(50, 2))
    assert split_to(np.zeros(50, dtype=np.int64), x, 4, 0).max() == 3
    assert split_to(np.zeros(6, dtype=np.int64), np.zeros((6, 1)), 3, 0).max() == 2


def test_missing_steps_get_the_state_before() -> None:
    x = np.array([[np.nan], [0.0], [0.1], [np.nan], [9.0], [9.1], [np.nan], [np.nan], [9.2]])
    found = label("kmeans", x, n_states=2, missing="skip", lengths=[6, 3])
    assert found.labels.tolist() == [0, 0, 0, 0, 1, 1, 1, 1, 1]
    with pytest.raises(InitError, match="4 of 9 steps hold NaN, the first is step 0"):
        label("kmeans", x, n_states=2)


def test_too_large_for_the_graph() -> None:
    with pytest.raises(InitError, match="6000 steps are more than the 5000"):
        label("spectral", np.random.default_rng(0).normal(size=(6000, 1)), n_states=2)


def test_the_number_of_states_must_be_said() -> None:
    x = np.random.default_rng(5).normal(size=(30, 1))
    with pytest.raises(InitError, match="say n_states"):
        label("kmeans", x)
    assert label("kmeans", x, n_states="auto").K >= 1
    with pytest.raises(InitError, match="40 states for 30 steps"):
        label("kmeans", x, n_states=40)
    with pytest.raises(InitError, match="3 states, but the observations hold 2 different rows"):
        label("kmeans", np.array([0.0, 1.0] * 10), n_states=3)
    assert label("single", x).K == 1
    with pytest.warns(UserWarning, match="were found"):
        label("uniform", x[:3], n_states=3, seed=1)


def test_labels_alone_are_those_of_a_model() -> None:
    from hmmlearn.hmm import GaussianHMM

    x, _ = generated("A_sep", 1)
    report = initkit.apply(GaussianHMM(4), "ihmm/kmeans", sequences=x, seed=5)
    assert report.outputs["labels"].numpy().tolist() == label("kmeans", x, n_states=4, seed=5).labels.tolist()
