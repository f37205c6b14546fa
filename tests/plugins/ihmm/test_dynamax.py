"""The keyword arguments for dynamax, with dynamax itself where it is installed."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from initkit_ihmm.finite import Shape, params_from_labels, to_dynamax
from initkit_ihmm.labels import LabelInit

models = pytest.importorskip("dynamax.hidden_markov_model")
jax = pytest.importorskip("jax")

rng = np.random.default_rng(0)
STATES = np.repeat([0, 1, 2, 0], 25)
SERIES = np.array([[0.0, 0.0], [4.0, 0.0], [0.0, 4.0]])[STATES] + rng.normal(size=(100, 2))


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    ("name", "shape", "x"),
    [
        ("GaussianHMM", Shape(), SERIES),
        ("DiagonalGaussianHMM", Shape(covariance_type="diag"), SERIES),
        ("SphericalGaussianHMM", Shape(covariance_type="spherical"), SERIES),
        ("SharedCovarianceGaussianHMM", Shape(covariance_type="tied"), SERIES),
        ("CategoricalHMM", Shape("categorical"), STATES[:, None]),
        ("PoissonHMM", Shape("poisson"), rng.poisson(3 + 5 * STATES)[:, None]),
    ],
)
def test_dynamax_starts_where_it_is_told(name: str, shape: Shape, x: Any) -> None:
    from hmmlearn import hmm

    init = LabelInit.of(STATES)
    extra = {"num_classes": 3} if name == "CategoricalHMM" else {}
    model = getattr(models, name)(3, x.shape[1], **extra)
    params, _ = model.initialize(jax.random.PRNGKey(0), method="prior", **to_dynamax(init, x, shape))
    theirs = float(model.marginal_log_prob(params, jax.numpy.asarray(x)))
    made = params_from_labels(init, x, shape)
    kind = {"CategoricalHMM": hmm.CategoricalHMM, "PoissonHMM": hmm.PoissonHMM}.get(name, hmm.GaussianHMM)
    peer = kind(3, shape.covariance_type) if kind is hmm.GaussianHMM else kind(3)
    for key, value in made.tensors.items():
        setattr(peer, f"{key}_", value)
    if kind is hmm.GaussianHMM:
        peer.n_features = 2
    assert theirs == pytest.approx(peer.score(x), rel=1e-4)
