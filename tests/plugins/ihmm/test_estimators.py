"""hmmlearn's estimators as subjects: what is written, that fit() keeps it, that failures leave no trace."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from hmmlearn import hmm

import initkit
from initkit import InitError, NeedError, OptionError, PlanError
from initkit_ihmm.finite import Start
from initkit_ihmm.hmmlearn_models import em, features_of, kind_of, loaded, shapes_of
from initkit_ihmm.partitions import KMeans

rng = np.random.default_rng(0)
STATES = np.repeat([0, 1, 2, 0, 2, 1, 0, 2], 25)
SERIES = np.array([[0.0, 0.0], [4.0, 0.0], [0.0, 4.0]])[STATES] + rng.normal(size=(200, 2))
SYMBOLS = (STATES + 3 * (rng.random(200) < 0.3))[:, None]
COUNTS = rng.poisson(np.array([2.0, 8.0, 20.0])[STATES])[:, None]
SHARES = np.stack([rng.multinomial(20, [[0.7, 0.2, 0.1], [0.1, 0.8, 0.1], [0.2, 0.2, 0.6]][z]) for z in STATES])
COVARIANCES = ("spherical", "diag", "tied", "full")
MODELS = {
    **{f"gaussian {kind}": (lambda kind=kind: hmm.GaussianHMM(3, kind, n_iter=5), SERIES) for kind in COVARIANCES},
    **{f"mixture {kind}": (lambda kind=kind: hmm.GMMHMM(3, 2, covariance_type=kind), SERIES) for kind in COVARIANCES},
    "categorical": (lambda: hmm.CategoricalHMM(3), SYMBOLS),
    "categorical of 9": (lambda: hmm.CategoricalHMM(3, n_features=9), SYMBOLS),
    "multinomial": (lambda: hmm.MultinomialHMM(3, n_trials=20), SHARES),
    "poisson": (lambda: hmm.PoissonHMM(3), COUNTS),
}
every_model = pytest.mark.parametrize(("build", "x"), MODELS.values(), ids=MODELS)


def state_of(model: Any) -> dict[str, Any]:
    return {name: value.copy() if isinstance(value, np.ndarray) else value for name, value in vars(model).items()}


def same(one: dict[str, Any], two: dict[str, Any]) -> bool:
    return one.keys() == two.keys() and all(np.array_equal(one[name], two[name]) for name in one)


@every_model
def test_a_start_that_scores_and_that_fit_keeps(build: Any, x: Any) -> None:
    model = build()
    report = initkit.apply(model, "ihmm/kmeans", sequences=x, lengths=[120, 80], seed=1)
    assert report.covered == 1
    assert model.init_params == ""
    kind = kind_of(model)
    assert kind is not None
    for name, shape in shapes_of(model, kind).items():
        assert report[name].shape == shape
        assert 0 not in shape
    assert (model.transmat_ > 0).all()
    first = model.score(x, [120, 80])
    for name in ("means_", "covars_"):
        assert np.isfinite(getattr(model, name, 0.0)).all()
    model.set_params(n_iter=3, tol=-np.inf).fit(x, [120, 80])
    assert next(iter(model.monitor_.history)) == pytest.approx(first)  # EM began where we left it
    assert model.score(x, [120, 80]) > first


@every_model
@pytest.mark.parametrize("name", ["portfolio", "overfit_merge"])
def test_screening_with_every_kind(build: Any, x: Any, name: str) -> None:
    options: dict[str, Any] = {"candidates": ("kmeans", "contig"), "em_steps": 2} if name == "portfolio" else {}
    model = build()
    report = initkit.apply(model, initkit.recipe(f"ihmm/{name}", **options), sequences=x)
    assert report.covered == 1
    assert np.isfinite(model.score(x))
    assert sum(row["steps"] for row in report.notes["regimes"]) == 200


@every_model
def test_all_or_nothing(build: Any, x: Any) -> None:
    @dataclass(frozen=True)
    class Failing(KMeans):
        """Fails when all is written."""

        def plan(self, model: Any, *, sequences: Any, lengths: Any = None) -> Any:
            yield from super().plan(model, sequences=sequences, lengths=lengths)
            yield initkit.Job("fail", lambda ctx: 1 / 0, "fails")  # type: ignore[arg-type, return-value]

    model = build()
    before = state_of(model)
    with pytest.raises(ZeroDivisionError):
        initkit.apply(model, Failing(), sequences=x)
    assert same(state_of(model), before)
    initkit.apply(model, "ihmm/contig", sequences=x)
    before = state_of(model)
    with pytest.raises(ZeroDivisionError):
        initkit.apply(model, Failing(), sequences=x)
    assert same(state_of(model), before)


@every_model
def test_saved_and_loaded(build: Any, x: Any, tmp_path: Any) -> None:
    model, other = build(), build()
    report = initkit.apply(model, "ihmm/contig", sequences=x)
    initkit.save(model, tmp_path / "hmm.safetensors", report=report)
    initkit.load(other, tmp_path / "hmm.safetensors")
    assert other.init_params == ""
    assert other.score(x) == model.score(x)


def test_a_fitted_spherical_model_is_read_right() -> None:
    model = hmm.GaussianHMM(3, "spherical", n_iter=3, random_state=0).fit(SERIES)
    report = initkit.apply(model, "ihmm/contig", sequences=SERIES)
    assert report["covars_"].shape == (3,)
    assert report["covars_"].resized_from is None
    assert model.covars_.shape == (3, 2, 2)


def test_what_is_fixed_stays() -> None:
    model = hmm.GaussianHMM(3, params="smc")
    model.transmat_ = np.full((3, 3), 1 / 3)
    report = initkit.apply(model, "ihmm/kmeans", sequences=SERIES)
    assert report.kept == ["transmat_"]
    assert (model.transmat_ == 1 / 3).all()
    model = hmm.GaussianHMM(3, params="smc")  # not set: there is nothing to keep
    assert initkit.apply(model, "ihmm/kmeans", sequences=SERIES).covered == 1


def test_only_some_arrays() -> None:
    model = hmm.GaussianHMM(3, init_params="stmc")
    model.startprob_ = np.array([0.2, 0.3, 0.5])
    initkit.apply(model, "ihmm/kmeans", sequences=SERIES, exclude=["startprob_"])
    assert model.startprob_.tolist() == [0.2, 0.3, 0.5]


def test_the_portfolio_shows_its_scores_and_keeps_the_best() -> None:
    model = hmm.GaussianHMM(3, "full")
    report = initkit.apply(model, "ihmm/portfolio", sequences=SERIES, seed=2)
    rows = report.notes["screening"]
    best = max(row["log-likelihood"] for row in rows)
    kept = [row for row in rows if row["kept"]]
    assert len(kept) == 1
    assert kept[0]["log-likelihood"] == best
    assert {row["start"] for row in rows} >= {"kmeans", "segment", "overfit_merge/windowed"}
    fitted = hmm.GaussianHMM(3, "full")
    initkit.apply(fitted, initkit.recipe("ihmm/portfolio", keep="fitted"), sequences=SERIES, seed=2)
    assert fitted.score(SERIES) > model.score(SERIES)
    assert fitted.score(SERIES) >= best - 1e-6


def test_a_state_that_dies_is_no_candidate() -> None:
    start = Start(
        np.array([1.0, 0.0]),
        np.array([[1.0, 0.0], [0.0, 1.0]]),
        {"lambdas": np.array([[5.0], [5.0]])},
    )
    assert em(hmm.PoissonHMM(2), start, COUNTS, [200], 5).log_likelihood == -np.inf
    good = Start(np.array([0.5, 0.5]), np.full((2, 2), 0.5), {"lambdas": np.array([[2.0], [15.0]])})
    fitted = em(hmm.PoissonHMM(2), good, COUNTS, [200], 5)
    assert np.isfinite(fitted.log_likelihood)
    assert fitted.steps == 5


def test_an_underflow_is_done_with_logarithms() -> None:
    x = np.concatenate([SERIES, [[4000.0, 4000.0]], SERIES])
    start = Start(
        np.array([0.5, 0.5]), np.full((2, 2), 0.5), {"means": np.array([[0.0, 0], [3, 3]]), "covars": np.ones((2, 2))}
    )
    fitted = em(hmm.GaussianHMM(2, "diag"), start, x, [401], 3)
    assert np.isfinite(fitted.log_likelihood)
    assert fitted.model.implementation == "log"


def test_fewer_and_more_clusters_than_states_are_told() -> None:
    report = initkit.apply(hmm.GaussianHMM(5), "ihmm/single", sequences=SERIES)
    assert report.notes["states"] == {"found": 1, "model": 5, "how": "the widest one halved"}
    report = initkit.apply(hmm.GaussianHMM(2), initkit.recipe("ihmm/hdbscan", least=10), sequences=SERIES)
    assert report.notes["states"]["found"] > 2
    assert "merged" in report.notes["states"]["how"]


def test_scales_and_shifts_do_not_matter() -> None:
    one, two = hmm.GaussianHMM(3, "full"), hmm.GaussianHMM(3, "full")
    first = initkit.apply(one, "ihmm/overfit_merge", sequences=SERIES)
    second = initkit.apply(two, "ihmm/overfit_merge", sequences=1e-4 * SERIES + 7.0)
    assert first.outputs["labels"].tolist() == second.outputs["labels"].tolist()
    np.testing.assert_allclose(two.means_, 1e-4 * one.means_ + 7.0, rtol=1e-9)


@pytest.mark.parametrize("name", ["kmeans", "portfolio", "windowed", "jump", "segment", "gmm", "hierarchical"])
def test_a_constant_column_is_no_obstacle(name: str) -> None:
    x = np.column_stack([SERIES, np.full(200, 3.0)])
    model = hmm.GaussianHMM(3, "full")
    report = initkit.apply(model, f"ihmm/{name}", sequences=x)
    assert report.covered == 1
    assert np.isfinite(model.score(x))


@pytest.mark.parametrize("name", ["portfolio", "overfit_merge", "segment", "gmm"])
@pytest.mark.parametrize(
    "x",
    [
        np.column_stack([SERIES, SERIES[:, 0]]),
        np.column_stack([SERIES, SERIES.sum(axis=1)]),
        SERIES * 1e-9,
        SERIES * [1e9, 1e-6],
        SERIES.round().astype(int),
        SERIES[40:55],
        SERIES[:, 0],
    ],
    ids=["a column twice", "a sum of columns", "tiny", "huge and tiny", "integers", "few steps", "one column"],
)
def test_awkward_observations(name: str, x: Any) -> None:
    model = hmm.GaussianHMM(2, "full")
    assert initkit.apply(model, f"ihmm/{name}", sequences=x).covered == 1
    assert np.isfinite(model.score(np.asarray(x, dtype=np.float64).reshape(len(x), -1)))


def test_sequences_of_one_step() -> None:
    model = hmm.GaussianHMM(3, "diag")
    few = initkit.recipe("ihmm/portfolio", candidates=("kmeans", "segment", "overfit_merge/jump"), em_steps=2)
    initkit.apply(model, few, sequences=SERIES[::4], lengths=[1] * 50)
    np.testing.assert_allclose(model.transmat_, 1 / 3)


@pytest.mark.parametrize(
    ("model", "x", "rest", "error", "words"),
    [
        (hmm.GaussianHMM(3), np.where(SERIES > 5, np.nan, SERIES), {}, InitError, "steps hold NaN"),
        (hmm.GaussianHMM(3), np.where(SERIES > 5, np.inf, SERIES), {}, InitError, "infinite"),
        (hmm.GaussianHMM(3), SERIES, {"lengths": [100, 99]}, InitError, "sum to 199, but there are 200"),
        (hmm.GaussianHMM(3), SERIES, {"lengths": [200, 0]}, InitError, "positive integers"),
        (hmm.GaussianHMM(3), SERIES[:2], {}, InitError, "3 states for 2 steps"),
        (hmm.GaussianHMM(3), np.zeros((20, 2)), {}, InitError, "hold 1 different rows"),
        (hmm.GaussianHMM(3), "nowhere.npy", {}, NeedError, "no file nowhere.npy"),
        (hmm.GaussianHMM(3), [["a"]], {}, NeedError, "holds no numbers"),
        (hmm.GaussianHMM(3), [SERIES, SERIES[:, :1]], {}, InitError, r"\[1, 2\] columns"),
        (hmm.CategoricalHMM(3), SYMBOLS + 0.5, {}, InitError, "symbols must be integers"),
        (hmm.CategoricalHMM(3), SYMBOLS - 1, {}, InitError, "cannot be negative"),
        (hmm.CategoricalHMM(3, n_features=4), SYMBOLS, {}, InitError, r"outside 0\.\.3"),
        (hmm.CategoricalHMM(3), SHARES, {}, InitError, "one column"),
        (hmm.PoissonHMM(3), COUNTS - 9, {}, InitError, "counts cannot be negative; row"),
        (hmm.PoissonHMM(3), COUNTS * 0.3, {}, InitError, "counts must be integers"),
        (object(), SERIES, {}, PlanError, "no installed plugin knows its tensors"),
    ],
)
def test_bad_input_is_one_line(model: Any, x: Any, rest: Any, error: type[Exception], words: str) -> None:
    before = state_of(model) if hasattr(model, "__dict__") else {}
    with pytest.raises(error, match=words) as caught:
        initkit.apply(model, "ihmm/kmeans", sequences=x, **rest)
    assert "\n" not in str(caught.value)
    assert not before or same(state_of(model), before)


def test_options_that_do_not_fit() -> None:
    with pytest.raises(OptionError, match="n_states is 4, but the model has n_components=3"):
        initkit.apply(hmm.GaussianHMM(3), initkit.recipe("ihmm/kmeans", n_states=4), sequences=SERIES)
    with pytest.raises(OptionError, match="n_states"):
        initkit.recipe("ihmm/kmeans", n_states=0)
    with pytest.raises(InitError, match="metric 'nonsense'"):
        initkit.apply(hmm.GaussianHMM(3), initkit.recipe("ihmm/kmedoids", metric="nonsense"), sequences=SERIES)
    with pytest.raises(InitError, match="Gaussian ones and counts"):
        initkit.apply(hmm.CategoricalHMM(3), "ihmm/segment", sequences=SYMBOLS)
    fitted = hmm.GaussianHMM(3, random_state=0).fit(SERIES)
    with pytest.raises(PlanError, match="means_ has 2 columns, the sequences have 1"):
        initkit.apply(fitted, "ihmm/kmeans", sequences=SERIES[:, :1])


def test_other_estimators_are_none() -> None:
    from hmmlearn.vhmm import VariationalGaussianHMM
    from sklearn.cluster import KMeans as Other

    assert kind_of(Other()) is None
    assert kind_of(VariationalGaussianHMM(2)) is None

    class Mine(hmm.GaussianHMM):
        """A subclass is what it derives from."""

    kind = kind_of(Mine(2))
    assert kind is not None
    assert kind.name == "GaussianHMM"


def test_a_copy_with_a_start() -> None:
    model = hmm.GaussianHMM(3, "full", n_iter=7)
    initkit.apply(model, "ihmm/kmeans", sequences=SERIES)
    start = Start(model.startprob_, model.transmat_, {"means": model.means_, "covars": model._covars_})
    twin = loaded(model, start)
    assert twin is not model
    assert twin.n_iter == 7
    assert twin.score(SERIES) == model.score(SERIES)
    assert features_of(hmm.GaussianHMM(2)) == 0
