"""What a fitted model's arrays say of where it is stuck."""

from __future__ import annotations

import numpy as np
import pytest
from hmmlearn import hmm

from initkit import PlanError
from initkit_ihmm import explain, init_from

rng = np.random.default_rng(0)
STATES = np.repeat([0, 1, 2, 0, 2, 1], 30)
SERIES = np.array([[0.0, 0.0], [6.0, 0.0], [0.0, 6.0]])[STATES] + rng.normal(size=(180, 2))


def started(kind: str = "full") -> hmm.GaussianHMM:
    model = hmm.GaussianHMM(3, kind)
    init_from(model, STATES, SERIES)
    return model


@pytest.mark.parametrize("kind", ["spherical", "diag", "tied", "full"])
def test_a_good_model_has_nothing_to_explain(kind: str) -> None:
    assert explain(started(kind).fit(SERIES)) == []


@pytest.mark.parametrize("kind", ["spherical", "diag", "tied", "full"])
def test_doubles(kind: str) -> None:
    model = started(kind)
    model.means_[2] = model.means_[0] + 0.01
    if kind != "tied":
        model._covars_[2] = model._covars_[0]
    signs = [(row["state"], row["sign"]) for row in explain(model)]
    assert signs == [(2, "double")]


def test_rows_and_floors() -> None:
    model = started()
    model.transmat_ = np.array([[1.0, 0, 0], [0.5, 0.5, 0], [0, 1.0, 0]])
    model.startprob_ = np.array([0.5, 0.5, 0.0])
    model._covars_[1] *= 1e-6
    signs = {(row["state"], row["sign"]) for row in explain(model)}
    assert signs == {(0, "absorbing"), (2, "unreachable"), (2, "one-hot row"), (1, "narrow")}
    model.means_[0] = np.nan
    assert explain(model)[0]["sign"] == "dead"


def test_the_divergence_is_that_of_the_definition() -> None:
    from initkit_ihmm.explaining import _divergence
    from initkit_ihmm.hmmlearn_models import kind_of

    model = hmm.PoissonHMM(2)
    init_from(model, [0, 0, 0, 1, 1, 1], np.array([1, 2, 3, 7, 8, 9])[:, None])
    kind = kind_of(model)
    assert kind is not None
    assert _divergence(model, kind, 0, 1) == pytest.approx((8 - 2) * np.log(8 / 2))
    flat = hmm.GaussianHMM(2, "diag")
    flat.startprob_, flat.transmat_ = np.full(2, 0.5), np.full((2, 2), 0.5)
    flat.means_, flat.covars_ = np.array([[0.0], [1.0]]), np.array([[1.0], [4.0]])
    kind = kind_of(flat)
    assert kind is not None
    assert _divergence(flat, kind, 0, 1) == pytest.approx(0.5 * (1 / 4 + 4 - 2 + 1 + 1 / 4))


def test_what_cannot_be_explained() -> None:
    with pytest.raises(PlanError, match="not fitted"):
        explain(hmm.GaussianHMM(2))
    with pytest.raises(PlanError, match="no estimator of hmmlearn"):
        explain(object())
