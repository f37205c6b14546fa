"""The sampler as its users meet it."""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import sys
import threading
import warnings

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.metrics import adjusted_rand_score

import initkit
from initkit import InitError
from initkit._checkpoint import save_checkpoint
from initkit_ihmm import BeamSampler, Categorical, Concentrations, Gaussian, KnownVariance, problem_of, to_beam_state
from initkit_ihmm.beam import posterior
from initkit_ihmm.beam.chain import Chain
from initkit_ihmm.beam.running import run_chains
from initkit_ihmm.labels import LabelInit

SHORT = {"burn": 20, "draws": 20, "n_chains": 2, "random_state": 3}


@pytest.fixture(scope="module")
def series():
    """Three separated states that persist, (300, 2)."""
    rng = np.random.default_rng(0)
    z = np.repeat(rng.integers(0, 3, 20), 15)
    return np.array([(0, 0), (6, 0), (0, 6)])[z] + rng.standard_normal((300, 2)), z


@pytest.fixture(scope="module")
def fitted(series):
    return BeamSampler(**SHORT).fit(series[0])


def small_chain(seed=0, steps=60, **options):
    rng = np.random.default_rng(seed)
    x = np.where(np.arange(steps) // 10 % 2, 3.0, -3.0)[:, None] + rng.standard_normal((steps, 1))
    problem = problem_of(
        x, (steps - 20, 20), Gaussian.of_data(x), Concentrations(**options.pop("prior", {})), **options
    )
    start = LabelInit.of(rng.integers(0, 4, steps))
    return Chain(problem, to_beam_state(start, problem, "sample", rng), rng, burn=5)


def test_states_are_found(fitted, series):
    x, z = series
    assert fitted.n_states_ == 3
    assert adjusted_rand_score(z, fitted.labels_) > 0.98
    assert adjusted_rand_score(z, fitted.predict(x)) > 0.98
    assert adjusted_rand_score(z, fitted.point_estimate("vi")) > 0.98
    assert sum(fitted.state_counts_.values()) == pytest.approx(1.0)
    assert fitted.means_.shape == (3, 2)
    assert fitted.covars_.shape == (3, 2, 2)
    np.testing.assert_allclose(fitted.transmat_.sum(axis=1), 1.0)
    order = fitted.labels_[[np.flatnonzero(z == k)[0] for k in range(3)]]
    np.testing.assert_allclose(fitted.means_[order], [(0, 0), (6, 0), (0, 6)], atol=0.6)
    np.testing.assert_allclose(fitted.occupancy_[order], np.bincount(z) / 300, atol=0.02)
    np.testing.assert_allclose(fitted.predict_proba(x[:40]).sum(axis=1), 1.0)
    assert fitted.score(x[:50]) > fitted.score(x[:50] + 3.0)
    shares = fitted.coclustering(np.arange(10))
    np.testing.assert_allclose(np.diag(shares), 1.0)


def test_a_seed_gives_the_same_chains_in_threads_too(fitted, series):
    again = clone(fitted).set_params(n_jobs=2).fit(series[0])
    for one, other in zip(fitted.chains_, again.chains_, strict=True):
        np.testing.assert_array_equal(one.traces, other.traces)
    np.testing.assert_array_equal(fitted.means_, again.means_)
    assert not np.array_equal(fitted.chains_[0].traces, fitted.chains_[1].traces)
    other = clone(fitted).set_params(random_state=np.random.default_rng(1)).fit(series[0])
    assert other.seed_ != fitted.seed_


def test_plain_python_gives_the_same_chain():
    code = "import sys; sys.path.insert(0, sys.argv[1]); import test_beam_sampler as t;print(t.digest_of_chains())"
    environment = {**os.environ, "NUMBA_DISABLE_JIT": "1", "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code, os.path.dirname(__file__)],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == digest_of_chains()


def digest_of_chains() -> str:
    digest = hashlib.sha256()
    for prior in ({}, {"kappa": None}):
        chain = small_chain(prior=prior)
        chain.run(8)
        # log Gamma, which the log joint alone needs, comes from another library when compiled: its last bits differ
        digest.update(np.array(chain.traces)[:, 1:].tobytes() + chain.labels.tobytes() + chain.state.theta.tobytes())
    return digest.hexdigest()


def test_resuming_gives_the_uninterrupted_chain(series, tmp_path):
    x, _ = series
    path = tmp_path / "chains.safetensors"
    whole = BeamSampler(**SHORT, sticky=True).fit(x)
    half = BeamSampler(**{**SHORT, "draws": 7}, sticky=True, checkpoint=path).fit(x)
    assert [len(chain.traces) for chain in half.chains_] == [27, 27]
    on = BeamSampler(**SHORT, sticky=True, checkpoint=path).fit(x, resume=True)
    in_memory = clone(half).set_params(checkpoint=None)
    in_memory.fit(x)
    in_memory.set_params(draws=SHORT["draws"]).fit(x, resume=True)
    for other in (on, in_memory):
        for one, two in zip(whole.chains_, other.chains_, strict=True):
            np.testing.assert_array_equal(one.traces, two.traces)
            assert [d.sweep for d in one.draws] == [d.sweep for d in two.draws]
            for a, b in zip(one.draws, two.draws, strict=True):
                np.testing.assert_array_equal(a.theta, b.theta)
                np.testing.assert_array_equal(a.transitions, b.transitions)
        np.testing.assert_array_equal(whole.labels_, other.labels_)
    assert [chain.start.method for chain in on.chains_] == ["overfit_merge", "overfit_merge"]
    np.testing.assert_array_equal(on.chains_[0].start.labels, whole.chains_[0].start.labels)
    with pytest.raises(InitError, match=r"exists: fit\(..., resume=True\)"):
        BeamSampler(**SHORT, sticky=True, checkpoint=path).fit(x)
    with pytest.raises(InitError, match="other data or priors"):
        BeamSampler(**SHORT, sticky=True, checkpoint=path).fit(x + 1, resume=True)
    with pytest.raises(InitError, match="burn=20, the sampler 21"):
        BeamSampler(**{**SHORT, "burn": 21}, sticky=True, checkpoint=path).fit(x, resume=True)
    with pytest.raises(InitError, match="nothing to resume"):
        BeamSampler(**SHORT).fit(x, resume=True)
    with pytest.raises(InitError, match="there is no such file"):
        BeamSampler(**SHORT, checkpoint=tmp_path / "none.safetensors").fit(x, resume=True)
    (tmp_path / "junk.safetensors").write_bytes(b"junk")
    with pytest.raises(InitError, match="no sound checkpoint"):
        BeamSampler(**SHORT, checkpoint=tmp_path / "junk.safetensors").fit(x, resume=True)
    save_checkpoint(tmp_path / "other.safetensors", {}, {"steps": 3})
    with pytest.raises(InitError, match="of another kind or version"):
        BeamSampler(**SHORT, checkpoint=tmp_path / "other.safetensors").fit(x, resume=True)


def test_an_interrupt_keeps_the_draws(series, tmp_path):
    x, _ = series
    path = tmp_path / "chains.safetensors"

    def press(done, total, chains):
        if min(len(chain.traces) for chain in chains) > 20:
            os.kill(os.getpid(), signal.SIGINT)

    before = signal.getsignal(signal.SIGINT)
    sampler = BeamSampler(**{**SHORT, "draws": 3000}, progress=press, checkpoint=path)
    with pytest.warns(UserWarning, match="draws so far are kept"):
        sampler.fit(x)
    assert signal.getsignal(signal.SIGINT) is before
    assert sampler.interrupted_
    done = [len(chain.traces) for chain in sampler.chains_]
    assert all(20 < n < 3020 for n in done)
    assert sampler.n_states_ == 3
    on = clone(sampler).set_params(progress=False, draws=max(done)).fit(x, resume=True)
    for one, two in zip(sampler.chains_, on.chains_, strict=True):
        np.testing.assert_array_equal(one.traces, two.traces[: len(one.traces)])


def test_an_interrupt_before_any_draw(series, tmp_path):
    def press(done, total, chains):
        raise KeyboardInterrupt

    path = tmp_path / "chains.safetensors"
    sampler = BeamSampler(**{**SHORT, "burn": 5000}, progress=press, checkpoint=path)
    with pytest.raises(KeyboardInterrupt, match="before a draw was kept"):
        sampler.fit(series[0])
    assert path.is_file()


def test_a_second_interrupt_acts_at_once():
    chain = small_chain()

    def press(done, total, chains):
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        run_chains([chain], 10**6, progress=press)
    assert run_chains([chain], len(chain.traces) + 3)


def test_chains_run_outside_the_main_thread():
    chain, found = small_chain(), []
    thread = threading.Thread(target=lambda: found.append(run_chains([chain], 5)))
    thread.start()
    thread.join()
    assert found == [True]
    assert len(chain.traces) == 5


def test_progress_line(capsys):
    assert run_chains([small_chain()], 5, progress=True)
    assert "sweep 5/5, states" in capsys.readouterr().err


def test_apply_writes_the_start(series):
    x, _ = series
    sampler = BeamSampler(**{**SHORT, "n_chains": 1})
    report = initkit.apply(sampler, initkit.recipe("ihmm/contig", n_states=4), sequences=x, seed=0)
    assert "start_labels_" in report
    sampler.fit(x)
    expected = np.arange(300) * 4 // 300
    for chain in sampler.chains_:
        np.testing.assert_array_equal(chain.start.labels, expected)


def test_starts(series):
    x, z = series
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="chains .* stayed in modes")
        several = BeamSampler(**{**SHORT, "n_chains": 3}, init=["kmeans", "ihmm/uniform", z], init_states=3).fit(x)
    assert [chain.start.method for chain in several.chains_] == ["kmeans", "uniform", "given"]
    assert set(several.best_by_start()) == {"kmeans", "uniform", "given"}
    mean = BeamSampler(**SHORT, init=z.tolist(), init_mode="mean").fit(x)
    assert adjusted_rand_score(z, mean.labels_) > 0.98
    with pytest.raises(InitError, match="starts no infinite model"):
        BeamSampler(**SHORT, init="portfolio").fit(x)
    with pytest.raises(InitError, match="299 labels"):
        BeamSampler(**SHORT, init=LabelInit.of(z[:-1])).fit(x)


def test_a_chain_in_a_worse_mode_is_left_out(series):
    x, z = series
    sampler = BeamSampler(**{**SHORT, "burn": 3, "draws": 5}, init=[z, np.arange(300) // 8])
    with pytest.warns(UserWarning, match=r"chains \[1\] stayed in modes"):
        sampler.fit(x)
    assert sampler.pooled_ == [0]
    assert sampler.n_states_ == 3


def test_missing_steps_are_summed_over(series):
    x, z = series
    holes = x.copy()
    holes[[0, 100, 101, 299]] = np.nan
    sampler = BeamSampler(**SHORT, missing="skip").fit(holes, lengths=[150, 150])
    assert sampler.labels_.shape == (300,)
    assert adjusted_rand_score(z, sampler.labels_) > 0.95
    assert np.isfinite(sampler.score(holes, lengths=[150, 150]))
    with pytest.raises(InitError, match="NaN"):
        BeamSampler(**SHORT).fit(holes)


@pytest.mark.parametrize("emission", ["categorical", "poisson", "diag", "known"])
def test_other_emissions(emission):
    rng = np.random.default_rng(1)
    z = np.repeat([0, 1, 0, 1, 1, 0, 1, 0], 40)
    options, key = {**SHORT, "n_chains": 1}, "means_"
    if emission == "categorical":
        x, options["emission"], key = (2 * z + rng.integers(0, 2, 320))[:, None], "categorical", "probs_"
        options["prior"] = Categorical(np.full(5, 0.3))
    elif emission == "poisson":
        x, options["emission"], key = rng.poisson(np.where(z, 20, 2))[:, None], "poisson", "rates_"
    else:
        x = np.where(z, 4.0, -4.0)[:, None] + rng.standard_normal((320, 2))
        options["covariance_type"] = "diag"
        options["prior"] = KnownVariance(2, 0.0, 10.0, 1.0) if emission == "known" else None
    sampler = BeamSampler(**options, sticky=True).fit(x)
    assert adjusted_rand_score(z, sampler.labels_) > 0.95
    assert getattr(sampler, key).shape[0] == sampler.n_states_
    assert adjusted_rand_score(z, sampler.predict(x)) > 0.95
    if emission == "poisson":  # the density of whole observations, log x! included
        from scipy.stats import poisson

        known = poisson.logpmf(x[:, 0], np.where(z, 20, 2)).sum()
        assert known - 60 < sampler.score(x) < known + 10
    assert sampler.chains_[0].traces[-1][3] > 0  # kappa


def test_outliers_do_not_hang():
    chain = small_chain()
    chain.problem.x[7] = 1e9
    chain.run(3)
    assert np.isfinite(chain.traces).all()
    narrow = problem_of(chain.problem.x, (60,), KnownVariance(1, 0.0, 1.0, 1e-6))
    far = Chain(narrow, to_beam_state(LabelInit.of(np.zeros(60, int)), narrow, "mean"), np.random.default_rng(0))
    far.run(3)
    assert np.isfinite(far.traces).all()


def test_logarithms_where_products_underflow():
    """The present path alone is admissible at a later step, with a weight below 1e-308 at an earlier one."""
    from initkit_ihmm.beam.kernels import densities, ffbs
    from initkit_ihmm.beam.kernels.sweep import draw_path

    theta = np.array([(0.0, 1.0, 0.0), (100.0, 1.0, 0.0)])  # two normals of variance 1
    x, ones, first = np.array([[0.0], [100.0]]), np.ones(2, bool), np.array([True, False])
    pi = np.array([(0.5, 0.5, 0.0), (1.0, 0.0, 0.0), (0.0, 1.0, 0.0)])
    u, z = np.array([0.1, 0.5]), np.array([1, 1])
    pi[1, 0], pi[1, 1] = 0.3, 0.3  # from state 0, nothing is above the second slice
    rows, order = ffbs.sort_rows(pi, 2)
    trellis = np.empty((2, 2))
    assert ffbs.forward(x, ones, first, u, rows, order, densities.KNOWN, theta, trellis) == 1
    assert draw_path(np.random.default_rng(0), x, ones, first, u, pi, theta, densities.KNOWN, trellis, z)
    assert z.tolist() == [1, 1]


def test_a_small_trellis_and_a_full_model():
    small = small_chain(max_mem=0)
    small.run(5)
    assert small._buffer.dtype == np.float32
    assert np.isfinite(small.traces).all()
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        small_chain(k_max=4).run(30)
    assert [str(one.message)[:40] for one in found] == ["the sampler reached k_max=4 states: the "]


def test_diagnostics(fitted):
    found = fitted.diagnostics()
    assert found["kappa"]["rhat"] is None
    assert found["log_joint"]["rhat"] < 1.5
    assert found["log_joint"]["ess"] > 2
    data = fitted.to_arviz()
    assert data.posterior["gamma"].shape == (2, 20)
    assert data.sample_stats["lp"].shape == (2, 20)


def test_diagnostics_without_arviz(fitted, monkeypatch):
    monkeypatch.setitem(sys.modules, "arviz", None)
    with pytest.raises(InitError, match=r"pip install 'initkit-ihmm\[posterior\]'"):
        fitted.diagnostics()


def test_losses_of_partitions():
    """Against the definitions, on every pair of steps."""
    chain = small_chain()
    chain.run(20)
    points = np.arange(60)
    shares = posterior.coclustering(chain.draws, points)
    above = np.triu_indices(60, 1)
    binder = posterior.partition_losses(chain.draws, chain.draws, points, "binder")
    same = np.array([(d.labels[:, None] == d.labels)[above] for d in chain.draws])
    direct = np.abs(same - shares[above]).sum(axis=1)
    assert binder.argmin() == direct.argmin()
    mean = np.array([(same[i] ^ same).sum(axis=1).mean() for i in range(len(same))])
    np.testing.assert_allclose(binder, mean)
    np.testing.assert_allclose(direct, mean)
    vi = posterior.partition_losses(chain.draws[:1], chain.draws[:1], points, "vi")
    np.testing.assert_allclose(vi, 0.0, atol=1e-12)


def test_matching_of_states():
    reference = np.array([0, 0, 0, 1, 1, 2])
    assert posterior.matching(np.array([2, 2, 2, 0, 0, 1]), reference, 3, 3).tolist() == [1, 2, 0]
    assert posterior.matching(np.array([1, 1, 0, 2, 2, 3]), reference, 4, 3).tolist()[1:3] == [0, 1]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"n_chains": 0}, "n_chains 0"),
        ({"thin": 0}, "thin 0"),
        ({"k_max": 0}, "k_max 0"),
        ({"emission": "gauss"}, "emission 'gauss'"),
        ({"covariance_type": "tied"}, "covariance_type 'tied'"),
        ({"init_mode": "median"}, "init_mode 'median'"),
        ({"random_state": -1}, "random_state -1"),
        ({"kappa": 3.0}, "fix alpha too"),
        ({"prior": KnownVariance(1)}, "the prior has 1 dimensions, the sequences 2"),
        ({"prior": Categorical(np.ones(2))}, "the prior is categorical"),
        ({"emission": "categorical"}, "symbols"),
        ({"emission": "poisson"}, "counts must be integers"),
    ],
)
def test_mistakes(series, options, words):
    with pytest.raises(InitError, match=words):
        BeamSampler(**{**SHORT, **options}).fit(series[0])


def test_more_mistakes(series, fitted):
    x, _ = series
    with pytest.raises(InitError, match="not fitted"):
        BeamSampler().predict()
    with pytest.raises(InitError, match="lengths sum to 10"):
        BeamSampler(**SHORT).fit(x, lengths=[10])
    with pytest.raises(InitError, match="3 columns"):
        fitted.predict(np.zeros((4, 3)))
    with pytest.raises(InitError, match="outside 0..1"):
        BeamSampler("categorical", prior=Categorical(np.ones(2))).fit([0, 1, 2])
    with pytest.raises(InitError, match="criterion 'mode'"):
        fitted.point_estimate("mode")
