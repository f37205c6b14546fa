"""Is the sampler exact? Against enumeration of all partitions, against its own prior (Geweke), against smoothing."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

from initkit_ihmm.beam.chain import Chain
from initkit_ihmm.beam.kernels import conjugate, densities, ffbs, sticks
from initkit_ihmm.beam.kernels.sweep import draw_path
from initkit_ihmm.beam.normals import KnownVariance
from initkit_ihmm.beam.problem import Concentrations, problem_of
from initkit_ihmm.beam.state import to_beam_state
from initkit_ihmm.emissions import Categorical, Gaussian, Poisson
from initkit_ihmm.exact import exact_posterior
from initkit_ihmm.labels import LabelInit

SYMBOLS = np.array([0, 0, 1, 1, 2, 0])[:, None]
NORMALS = np.array([0.1, -0.2, 2.1, 1.8, -3, 0.3])[:, None]
PLANE = np.array([(0, 0), (0.2, -0.1), (3, 3), (2.8, 3.1), (0.1, 0.1)])
COUNTS = np.array([0, 1, 0, 7, 9, 1])[:, None]
GAPS = np.where(np.arange(6)[:, None] == 3, np.nan, NORMALS)
THREE = Categorical(np.full(3, 0.3))
CASES = {
    "categorical": (SYMBOLS, THREE, {"alpha": 1.5, "gamma": 1.2}, (6,)),
    "categorical, sticky": (SYMBOLS, THREE, {"alpha": 1.5, "gamma": 1.2, "kappa": 4.0}, (6,)),
    "known variance": (NORMALS, KnownVariance(1, 0.0, 4.0, 0.5), {"alpha": 1.0, "gamma": 1.0}, (6,)),
    "normal": (PLANE, Gaussian(np.zeros(2), 0.1, 4.0, 0.5 * np.eye(2)), {"alpha": 1.0, "gamma": 1.0}, (5,)),
    "poisson": (COUNTS, Poisson(1.0, np.array([0.5])), {"alpha": 1.0, "gamma": 1.0}, (6,)),
    "two sequences, a gap, sticky": (
        GAPS,
        KnownVariance(1, 0.0, 4.0, 0.5),
        {"alpha": 1.0, "gamma": 1.0, "kappa": 1.5},
        (4, 2),
    ),
}


def batch_error(values: np.ndarray, batches: int = 40) -> np.ndarray:
    """Standard errors of the means of columns, by means of batches."""
    means = values[: len(values) // batches * batches].reshape(batches, -1, *values.shape[1:]).mean(axis=1)
    return means.std(axis=0, ddof=1) / math.sqrt(batches)


@pytest.mark.parametrize("case", CASES)
def test_the_posterior_of_partitions_is_the_enumerated_one(case):
    x, emission, concentrations, lengths = CASES[case]
    exact = exact_posterior(x, emission, lengths=lengths, **concentrations)
    problem = problem_of(x, lengths, emission, Concentrations(**{"kappa": 0.0, **concentrations}))
    rng = np.random.default_rng(5)
    chain = Chain(problem, to_beam_state(LabelInit.of(np.arange(len(x)) // 2), problem, "sample", rng), rng)
    sweeps, steps = 40_000, len(x)
    seen = np.zeros((sweeps, 2 * steps))
    for n in range(sweeps):
        chain.sweep()
        seen[n, chain.states - 1] = 1.0
        seen[n, steps:] = chain.labels == chain.labels[0]
    wanted = np.concatenate([exact.states, exact.coclustering[0]])
    off = np.abs(seen.mean(axis=0) - wanted)
    assert (off <= 4.5 * batch_error(seen) + 5e-4).all(), (seen.mean(axis=0), wanted)
    assert off.max() < 0.03


# -- Geweke: draws of (parameters, data) from the prior, and by sweeps that alternate with new data, must agree.

STEPS, LENGTHS = 7, (4, 3)
HYPER = {"alpha_prior": (4.0, 3.0), "gamma_prior": (3.0, 2.0), "rho_prior": (2.0, 2.0)}


def prior_labels(rng: np.random.Generator, alpha: float, kappa: float, gamma: float) -> list[int]:
    """Labels by urns, with sticks broken as new states come: no slices, no rows."""
    beta: list[float] = []
    rest, labels = 1.0, []
    counts: dict[tuple[int, int], int] = {}
    starts = {0, LENGTHS[0]}
    for t in range(STEPS):
        row = -1 if t in starts else labels[-1]
        strength = alpha + kappa if row == -1 else alpha
        weights = [strength * b + counts.get((row, k), 0) + (kappa if k == row else 0.0) for k, b in enumerate(beta)]
        aim = rng.random() * (sum(weights) + strength * rest)
        k = 0
        while k < len(weights) and aim >= weights[k]:
            aim -= weights[k]
            k += 1
        if k == len(weights):
            aim /= strength  # within the rest
            while True:
                part = rng.beta(1.0, gamma) * rest
                beta.append(part)
                rest -= part
                if aim < part:
                    break
                aim -= part
            k = len(beta) - 1
        counts[row, k] = counts.get((row, k), 0) + 1
        labels.append(k)
    return labels


def features(labels: np.ndarray, scalars: np.ndarray, x: np.ndarray) -> list[float]:
    inside = np.arange(1, STEPS) != LENGTHS[0]
    same = labels[1:] == labels[:-1]
    states = len(set(labels.tolist()))
    alpha, kappa, gamma = scalars
    level = np.tanh(x[:, 0]).mean()
    return [
        *(float(states == k) for k in (1, 2, 3)),
        states,
        same[inside].sum(),
        alpha,
        kappa,
        gamma,
        alpha**2,
        gamma**2,
        gamma * states,
        level,
        level**2,
        level * states,
    ]


def new_data(rng: np.random.Generator, labels: np.ndarray, theta: np.ndarray, emission: str) -> np.ndarray:
    if emission == "categorical":
        sums = np.cumsum(np.exp(theta), axis=1)
        return (rng.random(STEPS)[:, None] > sums[labels][:, :2]).sum(axis=1).astype(float)[:, None]
    # theta is (mu, 1/sd, constant) in one dimension
    return theta[labels, :1] + rng.standard_normal((STEPS, 1)) / theta[labels, 1:2]


@pytest.mark.parametrize("emission", ["categorical", "normal"])
@pytest.mark.parametrize("sticky", [False, True])
def test_geweke(emission, sticky):
    """Getting it right (Geweke, 2004): concentrations drawn, two sequences."""
    prior = Categorical(np.array([0.4, 0.6, 0.5])) if emission == "categorical" else None
    prior = prior or Gaussian(np.zeros(1), 0.5, 4.0, np.eye(1))
    concentrations = Concentrations(kappa=None if sticky else 0.0, **HYPER)
    rng = np.random.default_rng(11)
    problem = problem_of(np.zeros((STEPS, 1)), LENGTHS, prior, concentrations)
    width, size = problem.sizes

    forward = []
    for _ in range(12_000):
        strength, gamma = rng.gamma(4.0, 1 / 3.0), rng.gamma(3.0, 1 / 2.0)
        rho = rng.beta(2.0, 2.0) if sticky else 0.0
        scalars = np.array([strength * (1 - rho), strength * rho, gamma])
        labels = np.array(prior_labels(rng, *scalars))
        theta = np.empty((labels.max() + 1, width))
        for k in range(len(theta)):
            conjugate.draw_parameters(rng, problem.kind, np.zeros(size), problem.prior, theta[k])
        forward.append(features(labels, scalars, new_data(rng, labels, theta, emission)))

    chain = Chain(problem, to_beam_state(LabelInit.of([0, 0, 1, 1, 0, 2, 1]), problem, "sample", rng), rng)
    around = []
    for _ in range(16_000):
        problem.x[:] = new_data(rng, chain.labels, chain._theta, emission)
        chain.sweep()
        around.append(features(chain.labels, chain.scalars, problem.x))
    a, b = np.array(forward), np.array(around)
    error = np.sqrt(a.var(axis=0) / len(a) + batch_error(b) ** 2)
    moved = error > 0
    scores = (a.mean(axis=0) - b.mean(axis=0))[moved] / error[moved]
    assert np.abs(scores).max() < 4.2, np.round(scores, 2)
    assert moved.sum() == (14 if sticky else 13)  # kappa stays 0 in the plain model


# -- Forward filtering, backward sampling.

START = np.array([0.5, 0.3, 0.2])
ROWS = np.array([(0.7, 0.2, 0.1), (0.1, 0.8, 0.1), (0.3, 0.3, 0.4)])
EMIT = np.array([(0.6, 0.3, 0.1), (0.1, 0.3, 0.6), (0.2, 0.6, 0.2)])
SEEN = np.array([0, 1, 2, 2, 0])
SLICES = np.array([0.15, 0.15, 0.05, 0.25, 0.08])
FIRST = np.arange(5) == 0
SLICED = [(12 / 21, 1 / 21, 8 / 21), (8 / 21, 9 / 21, 4 / 21), (1 / 55, 36 / 55, 18 / 55), (3 / 55, 48 / 55, 4 / 55),
          (6 / 9, 1 / 9, 2 / 9)]  # fmt: skip
SMOOTHED = [(0.7319550084, 0.12365939, 0.1443856015), (0.3560989031, 0.4210762742, 0.2228248227),
            (0.1127014826, 0.7932143676, 0.0940841498), (0.1250196529, 0.7776203761, 0.0973599709),
            (0.4661863466, 0.4043175463, 0.1294961071)]  # fmt: skip


def with_rest() -> np.ndarray:
    pi = np.zeros((4, 4))
    pi[0, :3], pi[1:, :3] = START, ROWS
    return pi


def admissible() -> dict[tuple[int, ...], float]:
    """Paths above the slices, and their weights."""
    found = {}
    for path in itertools.product(range(3), repeat=5):
        moves = [START[path[0]], *(ROWS[a, b] for a, b in itertools.pairwise(path))]
        if (np.array(moves) > SLICES).all():
            found[path] = float(np.prod([EMIT[k, x] for k, x in zip(path, SEEN, strict=True)]))
    return found


def sliced_marginals() -> np.ndarray:
    paths = admissible()
    total = np.zeros((5, 3))
    for path, weight in paths.items():
        total[np.arange(5), path] += weight
    return total / sum(paths.values())


@pytest.mark.parametrize("logs", [False, True])
def test_paths_given_slices(logs):
    assert len(admissible()) == 90
    pi, x = with_rest(), SEEN.astype(float)[:, None]
    rows, order = ffbs.sort_rows(pi, 3)
    trellis = np.empty((5, 3))
    ones = np.ones(5, dtype=bool)
    fill = ffbs.forward_log if logs else ffbs.forward
    fill(x, ones, FIRST, SLICES, rows, order, densities.CATEGORICAL, np.log(EMIT), trellis)
    rng, path = np.random.default_rng(0), np.zeros(5, dtype=np.int64)
    back = ffbs.backward_log if logs else ffbs.backward
    seen, allowed, draws = np.zeros((5, 3)), admissible(), 20_000
    for _ in range(draws):
        back(rng, FIRST, SLICES, pi, trellis, path)
        assert tuple(path.tolist()) in allowed
        seen[np.arange(5), path] += 1
    wanted = sliced_marginals()
    assert np.abs(seen / draws - wanted).max() < 4.5 * math.sqrt(0.25 / draws)
    last = wanted[-1]
    filtered = np.exp(trellis[-1]) / np.exp(trellis[-1]).sum() if logs else trellis[-1]
    np.testing.assert_allclose(filtered, last, rtol=1e-12)


def test_slices_and_paths_alternate_to_the_smoothed_distribution():
    pi, x = with_rest(), SEEN.astype(float)[:, None]
    rng, path = np.random.default_rng(1), np.array([0, 0, 1, 1, 0])
    u, trellis, ones = np.empty(5), np.empty((5, 3)), np.ones(5, dtype=bool)
    sweeps = 20_000
    seen = np.zeros((sweeps, 5, 3))
    for n in range(sweeps):
        sticks.draw_slices(rng, path, FIRST, pi, u)
        assert not draw_path(rng, x, ones, FIRST, u, pi, np.log(EMIT), densities.CATEGORICAL, trellis, path)
        seen[n, np.arange(5), path] = 1.0
    off = np.abs(seen.mean(axis=0) - np.array(SMOOTHED))
    assert (off <= 4.5 * batch_error(seen) + 1e-4).all()
