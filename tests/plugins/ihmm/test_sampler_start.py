"""Recipes start the beam sampler: its labels are a slot like any other."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import initkit
from initkit import PlanError
from initkit.testing import Case, parametrize_with_checks
from initkit_ihmm import BeamSampler, init_from

rng = np.random.default_rng(0)
STATES = np.repeat([0, 1, 2, 0, 2, 1, 0, 1], 25)
SERIES = np.array([[0.0, 0.0], [5.0, 0.0], [0.0, 5.0]])[STATES] + rng.normal(size=(200, 2))


def cases() -> list[Case]:
    given = {"sequences": SERIES, "lengths": [120, 80]}
    return [
        Case("ihmm/overfit_merge", BeamSampler, given),
        Case(initkit.recipe("ihmm/kmeans", n_states=4), BeamSampler, given),
    ]


@parametrize_with_checks(cases())
def test_conformance(check: Any, case: Case) -> None:
    check(case)


def test_overfit_merge_is_the_default_of_samplers() -> None:
    claiming = [card.id for card in initkit.recipes() if card.plugin == "ihmm" and card.claims(BeamSampler())]
    assert claiming[0] == "ihmm/overfit_merge"
    with pytest.raises(PlanError, match="take ihmm/overfit_merge"):
        initkit.apply(BeamSampler(), "ihmm/portfolio", sequences=SERIES)


def test_the_chain_begins_with_the_labels() -> None:
    model = BeamSampler(n_chains=1, burn=5, draws=5, random_state=0)
    report = initkit.apply(model, "ihmm/overfit_merge", sequences=SERIES)
    assert report.covered == 1
    model.fit(SERIES)
    assert np.array_equal(model.chains_[0].start.labels, model.start_labels_)
    assert model.n_states_ >= 3
    other = BeamSampler()
    init_from(other, STATES, SERIES)
    assert np.array_equal(other.start_labels_, STATES)


def test_a_sampler_that_takes_missing_steps_is_started_with_them() -> None:
    x = SERIES.copy()
    x[10] = np.nan
    model = BeamSampler(missing="skip")
    initkit.apply(model, "ihmm/overfit_merge", sequences=x)
    assert model.start_labels_.shape == (200,)
    assert model.start_labels_[10] == model.start_labels_[9]


def test_saved_and_loaded(tmp_path: Any) -> None:
    model, other = BeamSampler(), BeamSampler()
    report = initkit.apply(model, "ihmm/overfit_merge", sequences=SERIES)
    initkit.save(model, tmp_path / "start.safetensors", report=report)
    initkit.load(other, tmp_path / "start.safetensors")
    assert np.array_equal(other.start_labels_, model.start_labels_)
