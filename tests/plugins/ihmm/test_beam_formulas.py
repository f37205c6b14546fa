"""Golden values and moments of the sampler's parts."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.special import digamma, polygamma

from initkit import InitError
from initkit_ihmm.beam import layout
from initkit_ihmm.beam.kernels import conjugate, decode, draws, hyper, sticks
from initkit_ihmm.beam.normals import DiagonalGaussian, KnownVariance
from initkit_ihmm.beam.problem import Concentrations, problem_of
from initkit_ihmm.beam.state import to_beam_state
from initkit_ihmm.emissions import Categorical, Gaussian, Poisson
from initkit_ihmm.exact import exact_posterior, log_prior
from initkit_ihmm.labels import LabelInit


def near_mean(values, wanted, spread=4.5):
    """Whether the mean of independent values is the wanted one, within Monte Carlo error."""
    values = np.asarray(values)
    error = values.std(axis=0, ddof=1) / math.sqrt(len(values))
    np.testing.assert_array_less(np.abs(values.mean(axis=0) - wanted), spread * error + 1e-12)


# -- Exact posteriors and priors


@pytest.mark.parametrize(
    ("x", "emission", "options", "evidence", "states"),
    [
        (
            [0, 0, 1, 1, 2, 0],
            Categorical(np.full(3, 0.3)),
            {"alpha": 1.5, "gamma": 1.2},
            -7.7086565708,
            [0.104454, 0.262927, 0.337158, 0.219269, 0.068216, 0.007976],
        ),
        (
            [0, 0, 1, 1, 2, 0],
            Categorical(np.full(3, 0.3)),
            {"alpha": 1.5, "gamma": 1.2, "kappa": 4.0},
            -8.0973432711,
            [0.352185, 0.418202, 0.199241, 0.029012, 0.001342, 0.000018],
        ),
        (
            [0.1, -0.2, 2.1, 1.8, -3, 0.3],
            KnownVariance(1, 0.0, 4.0, 0.5),
            {"alpha": 1.0, "gamma": 1.0},
            -14.1833778961,
            [0.000137, 0.163700, 0.357801, 0.338803, 0.125817, 0.013742],
        ),
        (
            [0, 1, 0, 7, 9, 1],
            Poisson(1.0, np.array([0.5])),
            {"alpha": 1.0, "gamma": 1.0},
            -15.7896654659,
            [0.001491, 0.241069, 0.390296, 0.274921, 0.082940, 0.009282],
        ),
    ],
)
def test_exact_posteriors(x, emission, options, evidence, states):
    found = exact_posterior(np.array(x)[:, None], emission, **options)
    assert found.log_evidence == pytest.approx(evidence, abs=1e-9)
    np.testing.assert_allclose(found.states, states, atol=6e-7)


def test_exact_posterior_of_normals_in_the_plane():
    x = np.array([(0, 0), (0.2, -0.1), (3, 3), (2.8, 3.1), (0.1, 0.1)])
    emission = Gaussian(np.zeros(2), 0.1, 4.0, 0.5 * np.eye(2))
    found = exact_posterior(x, emission, alpha=1.0, gamma=1.0)
    assert found.log_evidence == pytest.approx(-15.6829922618, abs=1e-9)
    np.testing.assert_allclose(found.states, [0.010553, 0.779912, 0.195654, 0.013689, 0.000192], atol=6e-7)
    assert found.partitions[found.probabilities.argmax()].tolist() == [0, 0, 1, 1, 0]
    stats = np.zeros((1, 7))
    kind, prior = layout.packed_prior(emission, 2)
    conjugate.add_up(x, np.ones(5, bool), np.zeros(5, np.int64), kind, prior, stats)
    assert conjugate.log_marginal(kind, stats[0], prior) == pytest.approx(-19.1805828380, abs=1e-9)


@pytest.mark.parametrize(
    ("steps", "alpha", "kappa", "gamma", "wanted"),
    [
        (3, 1, 0, 1, 0.4166666667),
        (3, 2.5, 0, 0.7, 0.4793028322),
        (3, 1, 2, 1, 0.7361111111),
        (10, 1.5, 0, 1.2, 0.2028476398),
        (10, 1, 9, 2, 0.6417770010),
    ],
)
def test_prior_of_one_state(steps, alpha, kappa, gamma, wanted):
    assert math.exp(log_prior([0] * steps, [steps], alpha, gamma, kappa)) == pytest.approx(wanted, abs=1e-9)


def test_prior_of_partitions_sums_to_one():
    for kappa, wanted in (
        (0.0, [0.3021799629, 0.4056122449, 0.2337662338, 0.0584415584]),
        (3.0, [0.6240918173, 0.3239601308, 0.0497835498, 0.0021645022]),
    ):
        found = exact_posterior(None, alpha=1.5, gamma=1.2, kappa=kappa, steps=4)
        np.testing.assert_allclose(found.states, wanted, atol=1e-9)
        assert found.log_evidence == pytest.approx(0.0, abs=1e-13)
    with pytest.raises(InitError, match="every partition is enumerated"):
        exact_posterior(None, alpha=1.0, gamma=1.0, steps=11)


# -- Sticks, tables, concentrations


def test_sticks():
    rng, gamma, rounds = np.random.default_rng(0), 3.0, 6000
    found = np.empty((rounds, 6))
    for n in range(rounds):
        beta, pi = np.zeros(6), np.zeros((6, 6))
        beta[0] = pi[0, 0] = 1.0
        scalars = np.array([1.0, 0.0, gamma])
        states = sticks.break_sticks(rng, 1e-300, 0, beta, pi, np.zeros((6, 3)), scalars, 2, np.array([1.0, 0, 1, 1]))
        assert states == 5
        np.testing.assert_allclose(pi.sum(axis=1), 1.0)
        found[n] = beta
    near_mean(found, [0.25, 0.1875, 0.140625, 0.10546875, 0.0791015625, 0.2373046875])


@pytest.mark.parametrize(
    ("n", "c", "mean", "variance"),
    [
        (5, 0.5, 1.7873015873, 0.6034366339),
        (10, 1.2, 3.1915764205, 1.5010350257),
        (100, 2.0, 8.3945570155, 5.8542292963),
        (1000, 0.3, 3.1230238569, 2.0210310657),
    ],
)
def test_tables(n, c, mean, variance):
    expected = c * (digamma(c + n) - digamma(c))
    assert expected == pytest.approx(mean, abs=1e-9)
    assert expected + c * c * (polygamma(1, c + n) - polygamma(1, c)) == pytest.approx(variance, abs=1e-9)
    rng = np.random.default_rng(2)
    found = np.array([hyper.table_count(rng, n, c) for _ in range(4000)])
    near_mean(found, mean)
    near_mean((found - mean) ** 2, variance)


def test_distribution_of_tables():
    rng = np.random.default_rng(3)
    found = np.array([hyper.table_count(rng, 5, 0.5) for _ in range(20_000)])
    wanted = [0.4063492063, 0.4232804233, 0.1481481481, 0.0211640212, 0.0010582011]
    near_mean(found[:, None] == np.arange(1, 6), wanted)


@pytest.mark.parametrize(
    ("states", "tables", "prior", "mean"),
    [(4, 20, (1, 1), 1.1826155583), (4, 20, (3, 6), 0.6861222104), (8, 60, (1, 1), 1.9231192705)],
)
def test_gamma_given_tables(states, tables, prior, mean):
    rng, gamma, found = np.random.default_rng(4), 1.0, []
    for _ in range(20_000):
        gamma = hyper.resample_gamma(rng, gamma, states, float(tables), float(prior[0]), float(prior[1]))
        found.append(gamma)
    batches = np.array(found).reshape(50, -1).mean(axis=1)
    near_mean(batches, mean)


@pytest.mark.parametrize(
    ("tables", "totals", "prior", "mean"),
    [(12, (1, 200, 150, 100, 49), (1, 1), 0.4027670668), (15, (1, 40, 30, 30), (4, 1), 1.6328675962)],
)
def test_strength_given_tables(tables, totals, prior, mean):
    rng, strength, found = np.random.default_rng(5), 1.0, []
    for _ in range(6000):
        strength = hyper.resample_strength(
            rng, strength, np.array(totals, float), float(tables), float(prior[0]), float(prior[1])
        )
        found.append(strength)
    near_mean(np.array(found).reshape(50, -1).mean(axis=1), mean)


def test_log_joint():
    """One sequence whose first state counts as a move out of state 0, as the value was computed."""
    z = np.array([0, 0, 1, 1, 0, 2, 2, 0])
    y = np.array([0.1, -0.2, 2.1, 1.8, 0.3, -3, -2.5, 0])[:, None]
    counts = np.zeros((4, 3))
    for a, b in zip([0, *z[:-1]], z, strict=True):
        counts[a + 1, b] += 1
    kind, prior = layout.packed_prior(KnownVariance(), 1)
    stats = np.zeros((3, 3))
    conjugate.add_up(y, np.ones(8, bool), z, kind, prior, stats)
    beta, scalars = np.array([0.4, 0.3, 0.2, 0.1]), np.array([1.5, 0.0, 1.0])
    assert hyper.log_joint(counts, 3, beta, scalars, kind, stats, prior) == pytest.approx(-25.6079021269, abs=1e-9)


def test_draws_of_tiny_parameters():
    rng, out = np.random.default_rng(6), np.empty(3)
    for _ in range(200):
        draws.dirichlet(rng, np.array([1e-9, 1e-12, 1e-300]), 3, out)
        assert np.isfinite(out).all()
        assert out.sum() == pytest.approx(1.0)
        assert 0.0 <= draws.beta(rng, 1e-12, 1e-9) <= 1.0
    assert draws.beta(rng, 0.5, 0.0) == 1.0
    near_mean([draws.beta(rng, 0.3, 0.2) for _ in range(8000)], 0.6)
    logs = np.array([draws.log_gamma(rng, 1e-3) for _ in range(8000)])
    near_mean(logs, digamma(1e-3))


# -- Emissions: compiled and plain agree, draws have the posterior's moments

rng0 = np.random.default_rng(7)
EMISSIONS = {
    "full": (Gaussian.of_data, rng0.standard_normal((30, 3)) @ rng0.standard_normal((3, 3)) + 5),
    "diagonal": (DiagonalGaussian.of_data, rng0.standard_normal((30, 3)) + 5),
    "known": (lambda x: KnownVariance(2, 0.5, 2.0, 0.7), rng0.standard_normal((30, 2))),
    "categorical": (Categorical.of_data, rng0.integers(0, 4, (30, 1))),
    "poisson": (Poisson.of_data, rng0.poisson(6.0, (30, 2))),
}


@pytest.mark.parametrize("name", EMISSIONS)
def test_compiled_statistics_and_marginals(name):
    make, x = EMISSIONS[name]
    emission, labels = make(x), np.arange(30) % 3
    problem = problem_of(x, (30,), emission)
    stats = np.zeros((3, problem.sizes[1]))
    conjugate.add_up(problem.x, problem.seen, labels, problem.kind, problem.prior, stats)
    plain = emission.log_marginal(emission.statistics(x, labels, 3))
    compiled = [conjugate.log_marginal(problem.kind, row, problem.prior) for row in stats]
    assert sum(compiled) + problem.constant == pytest.approx(plain.sum(), abs=1e-8)
    if not problem.constant:
        np.testing.assert_allclose(compiled, plain, atol=1e-8)


@pytest.mark.parametrize("name", EMISSIONS)
def test_parameters_are_drawn_from_the_posterior(name):
    make, x = EMISSIONS[name]
    emission = make(x)
    problem = problem_of(x, (30,), emission)
    width, size = problem.sizes
    stats = np.zeros((1, size))
    conjugate.add_up(problem.x, problem.seen, np.zeros(30, np.int64), problem.kind, problem.prior, stats)
    rng, theta = np.random.default_rng(8), np.empty((4000, width))
    for row in theta:
        conjugate.draw_parameters(rng, problem.kind, stats[0], problem.prior, row)
    whole = emission.statistics(x, np.zeros(30, np.int64), 1)
    found = layout.unpacked_parameters(problem.kind, theta, problem.dims)
    for key, mean in emission.means(whole).items():
        if not (name == "known" and key == "covars"):
            near_mean(found[key], mean[0])
    after = {key: value[0] for key, value in emission.posterior(whole).items()}
    if name == "full":  # precisions are Wishart, and the mean's spread is Sigma/kappa
        near_mean(np.linalg.inv(found["covars"]), after["nu"] * np.linalg.inv(after["Psi"]))
        off = found["means"] - after["mu"]
        scaled = np.einsum("ni,nij,nj->n", off, np.linalg.inv(found["covars"]), off) * after["kappa"]
        near_mean(scaled, 3.0)
        near_mean((scaled - 3.0) ** 2, 6.0)
    elif name == "categorical":
        share = after["h"] / after["h"].sum()
        near_mean((found["probs"] - share) ** 2, share * (1 - share) / (after["h"].sum() + 1))
    elif name == "poisson":
        near_mean((found["rates"] - after["a"] / after["b"]) ** 2, after["a"] / after["b"] ** 2)


@pytest.mark.parametrize("name", EMISSIONS)
def test_layout_of_parameters(name):
    make, x = EMISSIONS[name]
    problem = problem_of(x, (30,), make(x))
    means = problem.emission.means(problem.emission.statistics(x, np.arange(30) % 2, 2))
    theta = layout.packed_parameters(problem.kind, means)
    assert theta.shape == (2, problem.sizes[0])
    for key, value in layout.unpacked_parameters(problem.kind, theta, problem.dims).items():
        np.testing.assert_allclose(value, means[key], rtol=1e-10)
    levels = decode.log_densities(problem.x, problem.seen, problem.kind, theta)
    if name == "full":
        from scipy.stats import multivariate_normal

        np.testing.assert_allclose(
            levels[:, 1], multivariate_normal(means["means"][1], means["covars"][1]).logpdf(x), rtol=1e-9
        )


# -- States from labels, decoding

POINTS = np.array(
    [(0, 0), (1, 0), (0, 1), (5, 5), (6, 5), (5, 6), (0, 0.5), (0.5, 0), (10, 0), (11, 0), (10, 1), (9.5, 0.5)]
)
LABELS = [0, 0, 0, 1, 1, 1, 0, 0, 2, 2, 2, 2]


def test_expected_state():
    problem = problem_of(POINTS, (12,), Gaussian.of_data(POINTS))
    state = to_beam_state(LabelInit.of(LABELS), problem, "mean")
    np.testing.assert_allclose(state.beta, [0.38393159, 0.24531103, 0.25909954, 0.11165784], atol=1e-8)
    np.testing.assert_allclose(state.transitions[1], [0.5639886, 0.20755184, 0.20984992, 0.01860964], atol=1e-8)
    again = to_beam_state(LabelInit.of([5, 5, 5, 2, 2, 2, 5, 5, 9, 9, 9, 9]), problem, "mean")
    assert again.labels.tolist() == LABELS
    np.testing.assert_array_equal(again.theta, state.theta)
    for kappa in (0.0, None):
        drawn = to_beam_state(
            LabelInit.of(LABELS),
            problem_of(POINTS, (8, 4), problem.emission, Concentrations(kappa=kappa)),
            "sample",
            np.random.default_rng(0),
        )
        np.testing.assert_allclose(drawn.transitions.sum(axis=1), 1.0)
        assert drawn.beta.sum() == pytest.approx(1.0)
        assert (drawn.scalars[1] > 0) == (kappa is None)


def test_states_that_labels_cannot_make():
    problem = problem_of(POINTS, (12,), Gaussian.of_data(POINTS), k_max=2)
    with pytest.raises(InitError, match="3 states, more than k_max=2"):
        to_beam_state(LabelInit.of(LABELS), problem)
    with pytest.raises(InitError, match="3 labels for 12 steps"):
        to_beam_state(LabelInit.of([0, 1, 0]), problem)


def test_smoothing_and_viterbi():
    start = np.array([0.5, 0.3, 0.2])
    rows = np.array([(0.7, 0.2, 0.1), (0.1, 0.8, 0.1), (0.3, 0.3, 0.4)])
    emit = np.array([(0.6, 0.3, 0.1), (0.1, 0.3, 0.6), (0.2, 0.6, 0.2)])
    levels, first = np.log(emit[:, [0, 1, 2, 2, 0]].T), np.arange(5) == 0
    value, gamma = decode.smooth(start, rows, levels, first)
    assert value == pytest.approx(-5.811839422421772, abs=1e-12)
    np.testing.assert_allclose(gamma[0], [0.7319550084, 0.12365939, 0.1443856015], atol=1e-9)
    np.testing.assert_allclose(gamma[3], [0.1250196529, 0.7776203761, 0.0973599709], atol=1e-9)
    joint, path = decode.viterbi(start, rows, levels, first)
    assert path.tolist() == [0, 1, 1, 1, 1]
    assert joint == pytest.approx(-8.01105051555463, abs=1e-12)
    twice = np.concatenate([levels, levels])
    both, again = decode.smooth(start, rows, twice, np.tile(first, 2))
    assert both == pytest.approx(2 * value)
    np.testing.assert_allclose(again[5:], gamma)
    assert decode.viterbi(start, rows, twice, np.tile(first, 2))[1].tolist() == [0, 1, 1, 1, 1] * 2


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"alpha": -1.0}, "alpha -1.0"),
        ({"kappa": -1.0}, "kappa -1.0"),
        ({"kappa": 2.0}, "fix alpha too"),
        ({"kappa": None, "alpha": 1.0}, "fix kappa too"),
        ({"gamma_prior": (1.0, 0.0)}, "two positive numbers"),
    ],
)
def test_concentrations_out_of_range(options, words):
    with pytest.raises(InitError, match=words):
        Concentrations(**options)
