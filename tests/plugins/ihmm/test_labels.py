"""Labels, their parameters, marginals, merging and the jump model: values derived by hand or by enumeration."""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from initkit import InitError
from initkit_ihmm.emissions import Categorical, Gaussian, Poisson
from initkit_ihmm.finite import Shape, params_from_labels, to_dict, to_dynamax
from initkit_ihmm.jump import cheapest_path
from initkit_ihmm.labels import LabelInit
from initkit_ihmm.merging import label_score, merged, transition_score

X = np.array(
    [(0, 0), (1, 0), (0, 1), (5, 5), (6, 5), (5, 6), (0, 0.5), (0.5, 0), (10, 0), (11, 0), (10, 1), (9.5, 0.5)]
)
Z = [0, 0, 0, 1, 1, 1, 0, 0, 2, 2, 2, 2]


def test_parameters_of_labels() -> None:
    init = LabelInit.of(Z)
    made = params_from_labels(init, X)
    close = {"rtol": 0, "atol": 1e-8}
    np.testing.assert_allclose(made.startprob, [0.4, 0.26666667, 0.33333333], **close)
    rows = [(0.55555556, 0.22222222, 0.22222222), (0.33333333, 0.58333333, 0.08333333), (1 / 12, 1 / 12, 10 / 12)]
    np.testing.assert_allclose(made.transmat, rows, **close)
    full = made.emissions["covars"]
    np.testing.assert_allclose(full[0], [[0.20702469, -0.09521605], [-0.09521605, 0.17398345]], **close)
    np.testing.assert_allclose(full[2], [[0.27886111, -0.10555556], [-0.10555556, 0.18100505]], **close)
    spherical = params_from_labels(init, X, Shape(covariance_type="spherical")).emissions["covars"]
    np.testing.assert_allclose(spherical, [0.19050407, 0.22229419, 0.22993308], **close)
    diag = params_from_labels(init, X, Shape(covariance_type="diag")).emissions["covars"]
    np.testing.assert_allclose(diag, np.diagonal(full, axis1=1, axis2=2), **close)
    tied = params_from_labels(init, X, Shape(covariance_type="tied")).emissions["covars"]
    np.testing.assert_allclose(tied, [[0.24101389, -0.10173611], [-0.10173611, 0.18482449]], **close)
    two = params_from_labels(LabelInit.of(Z, lengths=[8, 4]), X)
    np.testing.assert_allclose(two.transmat[0], [0.66666667, 0.26666667, 0.06666667], **close)


def test_soft_memberships_that_are_hard_give_the_same() -> None:
    hard, soft = LabelInit.of(Z), LabelInit.of(Z, resp=np.eye(3)[Z])
    for one, two in zip(hard.counts(), soft.counts(), strict=True):
        np.testing.assert_allclose(one, two)
    first, second = (params_from_labels(init, X).tensors for init in (hard, soft))
    for name, value in first.items():
        np.testing.assert_allclose(second[name], value, atol=1e-12)


def test_discrete_parameters() -> None:
    symbols = np.array([[0], [0], [1], [2], [2], [2]])
    init = LabelInit.of([0, 0, 0, 1, 1, 1])
    made = params_from_labels(init, symbols, Shape("categorical", symbols=4))
    np.testing.assert_allclose(made.emissions["emissionprob"][0], np.array([2.25, 1.25, 0.25, 0.25]) / 4)
    rates = params_from_labels(init, np.array([[0], [0], [0], [4], [5], [6]]), Shape("poisson")).emissions["lambdas"]
    np.testing.assert_allclose(rates[:, 0], [1e-3 * 2.5 + 1e-8, 5.0])
    assert to_dict(init, symbols, Shape("categorical"))["emissionprob"][1][2] == pytest.approx(10 / 12)


def test_dynamax_keywords() -> None:
    init = LabelInit.of(Z)
    full = to_dynamax(init, X)
    assert {name: value.shape for name, value in full.items()} == {
        "initial_probs": (3,),
        "transition_matrix": (3, 3),
        "emission_means": (3, 2),
        "emission_covariances": (3, 2, 2),
    }
    diag = to_dynamax(init, X, Shape(covariance_type="diag"))
    variances = np.diagonal(full["emission_covariances"], axis1=1, axis2=2)
    np.testing.assert_allclose(diag["emission_scale_diags"] ** 2, variances)
    assert to_dynamax(init, np.array(Z)[:, None], Shape("categorical"))["emission_probs"].shape == (3, 1, 3)
    with pytest.raises(InitError, match="mixture emissions"):
        to_dynamax(init, X, Shape("mixture", n_mix=2))


def test_marginals() -> None:
    points = np.array([(0, 0), (0.2, -0.1), (3, 3), (2.8, 3.1), (0.1, 0.1)])
    gaussian = Gaussian(np.zeros(2), 0.1, 4.0, 0.5 * np.eye(2))
    one = gaussian.log_marginal(gaussian.statistics(points, np.zeros(5, dtype=int), 1))
    assert one[0] == pytest.approx(-19.1805828380, abs=1e-9)
    # Chain rule: the marginal of all is the product of one-step predictions, in any order.
    for emission, x in (
        (gaussian, points),
        (Categorical(np.full(3, 0.3)), np.array([[0], [2], [2], [1]])),
        (Poisson(1.0, np.array([0.5, 2.0])), np.array([[0, 3], [7, 1], [2, 2]])),
    ):
        steps = emission.per_step(x)
        whole = float(emission.log_marginal(steps.sum(axis=0)))
        parts = np.cumsum(steps, axis=0)
        gains = np.diff([0.0, *emission.log_marginal(parts)])
        assert gains.sum() == pytest.approx(whole)
        backwards = emission.log_marginal(np.cumsum(steps[::-1], axis=0))
        assert backwards[-1] == pytest.approx(whole)
    # A categorical marginal is a distribution over sequences.
    small = Categorical(np.array([0.3, 0.7]))
    every = [small.log_marginal(small.per_step(np.array(s)[:, None]).sum(axis=0)) for s in product((0, 1), repeat=4)]
    assert np.exp(every).sum() == pytest.approx(1.0)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(0, 5), min_size=6, max_size=40), st.integers(0, 2**32 - 1))
def test_merging_gains_are_differences_of_the_score(labels: list[int], seed: int) -> None:
    x = np.random.default_rng(seed).normal(size=(len(labels), 2)) + np.array(labels)[:, None]
    lengths = [len(labels) // 2, len(labels) - len(labels) // 2]
    init = LabelInit.of(labels, lengths=lengths)
    emission = Gaussian.of_data(x)
    found, gains = merged(init, x, emission, 1)
    assert len(gains) == init.K - 1
    assert set(found) == {0}
    before = label_score(init, x, emission)
    after = label_score(LabelInit.of(found, lengths=lengths), x, emission)
    assert sum(gains) == pytest.approx(after - before, abs=1e-7)
    if init.K > 1:  # the first merge is the best of all pairs
        best = max(
            label_score(LabelInit.of(np.where(init.labels == b, a, init.labels), lengths=lengths), x, emission)
            for a in range(init.K)
            for b in range(a)
        )
        assert gains[0] == pytest.approx(best - before, abs=1e-7)


def test_transition_score_of_one_state_is_nothing_to_lose() -> None:
    assert transition_score(np.array([[1.0], [9.0]])) == pytest.approx(
        float(np.log(1 / 2) + sum(np.log((0.5 + i) / (1 + i)) for i in range(9)))
    )


@pytest.mark.parametrize(
    ("penalty", "labels", "total"),
    [(0.3, [0, 0, 1, 0, 1, 1, 1], 1.6), (0.6, [0, 0, 1, 1, 1, 1, 1], 2.1), (5.0, [1] * 7, 3.3)],
)
def test_jumps(penalty: float, labels: list[int], total: float) -> None:
    cost = np.array([(0, 1), (0.2, 1), (1, 0.1), (0.1, 0.9), (0.9, 0.2), (1, 0), (0.8, 0.1)])
    found, value = cheapest_path(cost, penalty)
    assert found.tolist() == labels
    assert value == pytest.approx(total)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32 - 1), st.floats(0.01, 3.0))
def test_the_cheapest_path_is_the_cheapest(seed: int, penalty: float) -> None:
    cost = np.random.default_rng(seed).random((6, 3))
    labels, value = cheapest_path(cost, penalty)

    def price(path: Any) -> float:
        return float(cost[np.arange(6), path].sum() + penalty * (np.diff(path) != 0).sum())

    assert price(labels) == pytest.approx(value)
    assert value == pytest.approx(min(price(np.array(path)) for path in product(range(3), repeat=6)))


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(-3, 9), min_size=1, max_size=30))
def test_labels_are_numbered_by_first_appearance(labels: list[int]) -> None:
    init = LabelInit.of(labels)
    assert len(set(labels)) == init.K
    first = [int(np.flatnonzero(init.labels == k)[0]) for k in range(init.K)]
    assert first == sorted(first)
    assert all((init.labels == init.labels[t]).tolist() == [one == labels[t] for one in labels] for t in first)


def test_labels_that_are_none() -> None:
    with pytest.raises(InitError, match="no integers"):
        LabelInit.of([0.5, 1.0])
    with pytest.raises(InitError, match=r"shape \(1, 2\)"):
        LabelInit.of([[0, 1]])
    with pytest.raises(InitError, match="sum to 4, but there are 3"):
        LabelInit.of([0, 1, 1], lengths=[2, 2])
    with pytest.raises(InitError, match="positive integers"):
        LabelInit.of([0, 1, 1], lengths=[3, 0])
