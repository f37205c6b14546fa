"""Labels of one's own into an estimator; dead states."""

from __future__ import annotations

import logging

import numpy as np
import pytest
from hmmlearn import hmm

from initkit import InitError, PlanError
from initkit_ihmm import init_from, params_from_labels, repair
from initkit_ihmm.adapters import dead_states
from initkit_ihmm.labels import LabelInit

rng = np.random.default_rng(0)
STATES = np.repeat([0, 1, 2, 0, 2, 1], 30)
SERIES = np.array([[0.0, 0.0], [6.0, 0.0], [0.0, 6.0]])[STATES] + rng.normal(size=(180, 2))


def test_labels_of_ones_own() -> None:
    model = hmm.GaussianHMM(3, "full")
    init = init_from(model, STATES, SERIES, lengths=[90, 90])
    np.testing.assert_allclose(model.means_, params_from_labels(init, SERIES).emissions["means"])
    assert model.init_params == ""
    assert (model.predict(SERIES) == STATES).mean() > 0.95
    with pytest.raises(InitError, match="the labels have 3 states, the model n_components=4"):
        init_from(hmm.GaussianHMM(4), STATES, SERIES)
    with pytest.raises(InitError, match="180 labels for 100 steps"):
        init_from(hmm.GaussianHMM(3), LabelInit.of(STATES), SERIES[:100])
    with pytest.raises(PlanError, match="no HMM"):
        init_from(object(), STATES, SERIES)


def init_from_and_fit(kind: str) -> hmm.GaussianHMM:
    """EM goes on with NaN, which spreads to every state."""
    model = hmm.GaussianHMM(3, kind, n_iter=5)
    init_from(model, STATES, SERIES)
    model.means_ = np.array([[0.0, 0.0], [6.0, 0.0], [1e6, 1e6]])
    return model.fit(SERIES) if kind == "spherical" else _numb(model)


def _numb(model: hmm.GaussianHMM) -> hmm.GaussianHMM:
    model.transmat_ = np.full((3, 3), np.nan)
    return model


@pytest.mark.parametrize("kind", ["spherical", "diag", "tied", "full"])
def test_a_dead_state_is_brought_back(kind: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.CRITICAL)
    model = hmm.GaussianHMM(3, kind, n_iter=1)
    init_from(model, STATES, SERIES)
    model.means_ = np.array([[0.0, 0.0], [6.0, 0.0], [1e6, 1e6]])  # nothing is near the third
    model.params = "stmc" if kind != "tied" else "stm"
    with np.errstate(all="ignore"):
        model.fit(SERIES)
    assert dead_states(model) == [2]
    with pytest.raises(ValueError, match=r"transmat_|startprob_|NaN|infs|definite"):
        model.score(SERIES)
    with np.errstate(all="ignore"):
        lost = init_from_and_fit(kind)
    with pytest.raises(InitError, match="all 3 states are dead; start anew"):
        repair(lost, SERIES)
    assert repair(model, SERIES) == [2]
    assert np.isfinite(model.score(SERIES))
    model.set_params(n_iter=20).fit(SERIES)
    assert dead_states(model) == []
    assert repair(model, SERIES) == []
    two = hmm.GaussianHMM(2, kind, n_iter=20)
    init_from(two, np.minimum(STATES, 1), SERIES)
    assert model.score(SERIES) > two.fit(SERIES).score(SERIES)


def test_a_dead_mixture_and_a_dead_rate() -> None:
    mixture = hmm.GMMHMM(3, n_mix=2, covariance_type="diag", n_iter=2, random_state=0)
    init_from(mixture, STATES, SERIES)
    mixture.fit(SERIES)  # its priors are arrays now, one entry for each state
    mixture.means_[1] = np.nan
    mixture.transmat_[1] = 0.0
    assert repair(mixture, SERIES) == [1]
    assert np.isfinite(mixture.score(SERIES))
    counts = np.random.default_rng(1).poisson(np.array([2.0, 9.0, 25.0])[STATES])[:, None]
    rates = hmm.PoissonHMM(3, n_iter=10)
    init_from(rates, STATES, counts)
    rates.lambdas_[[0, 2]] = np.nan
    assert repair(rates, counts) == [0, 2]
    rates.fit(counts)
    assert dead_states(rates) == []
    assert len(np.unique(rates.lambdas_.round(1))) == 3
