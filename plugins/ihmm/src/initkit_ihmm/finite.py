"""From labels to a finite HMM: start and transition probabilities that hold no zero, and shrunken emissions."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from initkit import InitError
from initkit_ihmm.emissions import covariance
from initkit_ihmm.features import one_hot
from initkit_ihmm.labels import Floats, LabelInit

CovarianceType = Literal["spherical", "diag", "tied", "full"]
Family = Literal["gaussian", "mixture", "categorical", "multinomial", "poisson"]
_RIDGE = 1e-3


@dataclass(frozen=True)
class Shape:
    """What a finite HMM's start must look like.

    Args:
        family: of its emissions.
        covariance_type: of Gaussians and mixtures of them.
        n_mix: Gaussians in a state's mixture.
        symbols: V of categorical emissions, or None for those that occur.
    """

    family: Family = "gaussian"
    covariance_type: CovarianceType = "full"
    n_mix: int = 1
    symbols: int | None = None


@dataclass(frozen=True, eq=False)
class Start:
    """A finite HMM: ``startprob`` (K,), ``transmat`` (K, K) and arrays of its emissions by name.

    ``means`` (K, D) with ``covars`` in the shape of its covariance type; mixtures have ``weights`` (K, M), ``means``
    (K, M, D) and ``covars``; categorical and multinomial emissions ``emissionprob`` (K, V); Poisson ``lambdas`` (K, D).
    """

    startprob: Floats
    transmat: Floats
    emissions: dict[str, Floats] = field(default_factory=dict)

    @property
    def tensors(self) -> dict[str, Floats]:
        """All arrays by name."""
        return {"startprob": self.startprob, "transmat": self.transmat, **self.emissions}


def params_from_labels(
    init: LabelInit, x: npt.NDArray[Any], shape: Shape | None = None, *, concentration: float = 1.0
) -> Start:
    """Turn labels into the parameters of a finite HMM.

    ``startprob_k = (n_k + a)/(T + K a)``: occupancy, since the first state of a single sequence says little.
    ``transmat_jk = (N_jk + a/K)/(N_j + a)``: never an exact zero, which EM would keep for ever.
    ``full_k = (S_k + (D+2) W)/(n_k + D + 2) + 1e-3 diag Cov(X)``, W the pooled scatter over T.

    Args:
        init: labels or memberships of K states.
        x: observations (T, D).
        shape: of the model; None is a Gaussian with full covariances.
        concentration: a.

    Raises:
        InitError: the labels are of another length than x.
    """
    shape = shape or Shape()
    if len(x) != len(init.labels):
        raise InitError(f"there are {len(init.labels)} labels for {len(x)} observations")
    n, pairs = init.counts()
    states = init.K
    startprob = (n + concentration) / (n.sum() + states * concentration)
    rows = pairs[1:]
    transmat = (rows + concentration / states) / (rows.sum(axis=1, keepdims=True) + concentration)
    r = init.resp if init.resp is not None else np.eye(states)[init.labels]
    return Start(startprob, transmat, _emissions(init, np.asarray(x), shape, n, r))


def _emissions(init: LabelInit, x: npt.NDArray[Any], shape: Shape, n: Floats, r: Floats) -> dict[str, Floats]:
    if shape.family == "gaussian":
        means, full, tied = gaussians(x.astype(np.float64), n, r)
        return {"means": means, "covars": _as_type(full, tied, shape.covariance_type)}
    if shape.family == "mixture":
        return _mixtures(init, x.astype(np.float64), shape, n, r)
    if shape.family == "poisson":
        grand = x.mean(axis=0)
        means = (r.T @ x) / np.maximum(n, 1e-12)[:, None]
        means = np.where(n[:, None] > 0, means, grand)
        return {"lambdas": np.maximum(means, 1e-3 * grand + 1e-8)}
    flat = one_hot(x) if shape.family == "categorical" else x.astype(np.float64)
    if shape.symbols is not None:
        flat = np.pad(flat, ((0, 0), (0, shape.symbols - flat.shape[1])))
    counts = r.T @ flat
    return {"emissionprob": (counts + 1.0 / flat.shape[1]) / (counts.sum(axis=1, keepdims=True) + 1.0)}


def gaussians(x: Floats, n: Floats, r: Floats) -> tuple[Floats, Floats, Floats]:
    """Means (K, D), full covariances (K, D, D) and the tied one (D, D) of memberships (T, K) that sum to n (K,)."""
    dims, overall = x.shape[1], covariance(x)
    ridge = _RIDGE * np.diag(np.diag(overall))
    grand = x.mean(axis=0)
    filled = n > 0
    off = x - grand  # a mean far from 0 would cost digits
    centre = np.where(filled[:, None], (r.T @ off) / np.maximum(n, 1e-12)[:, None], 0.0)
    scatter = np.empty((len(n), dims, dims))
    for k in range(len(n)):
        apart = off - centre[k]
        scatter[k] = (r[:, k, None] * apart).T @ apart
    pooled = scatter.sum(axis=0) / n.sum()
    full = (scatter + (dims + 2) * pooled) / (n + dims + 2)[:, None, None] + ridge
    full[~filled] = overall
    return centre + grand, full, pooled + ridge


def _as_type(full: Floats, tied: Floats, kind: CovarianceType) -> Floats:
    """Covariances (K, D, D) and the tied one in the shape of a covariance type."""
    if kind == "full":
        return full
    if kind == "tied":
        return tied
    diagonal = np.diagonal(full, axis1=-2, axis2=-1)
    return np.ascontiguousarray(diagonal if kind == "diag" else diagonal.mean(axis=-1))


def _mixtures(init: LabelInit, x: Floats, shape: Shape, n: Floats, r: Floats) -> dict[str, Floats]:
    """Each state's steps clustered into ``n_mix`` parts; covariances shrink towards the state's own."""
    means, full, _ = gaussians(x, n, r)
    states, mix, dims = init.K, shape.n_mix, x.shape[1]
    weights = np.empty((states, mix))
    centres = np.empty((states, mix, dims))
    covars = np.empty((states, mix, dims, dims))
    for k in range(states):
        own = x[init.labels == k]
        parts = _parts(own, means[k], full[k], mix, seed=init.seed + k)
        counts = np.bincount(parts[1], minlength=mix).astype(np.float64)
        weights[k] = (counts + 1) / (len(own) + mix)
        centres[k] = parts[0]
        for m in range(mix):
            apart = own[parts[1] == m] - parts[0][m]
            covars[k, m] = (apart.T @ apart + (dims + 2) * full[k]) / (counts[m] + dims + 2)
    if shape.covariance_type == "tied":  # in mixtures, one for each state
        share = weights / weights.sum(axis=1, keepdims=True)
        return {"weights": weights, "means": centres, "covars": np.einsum("km,kmij->kij", share, covars)}
    return {"weights": weights, "means": centres, "covars": _as_type(covars, covars[0, 0], shape.covariance_type)}


def _parts(own: Floats, mean: Floats, covar: Floats, mix: int, seed: int) -> tuple[Floats, npt.NDArray[Any]]:
    """Centres (M, D) and the part of each of a state's steps."""
    if mix == 1:
        return mean[None], np.zeros(len(own), dtype=np.int64)
    if len(np.unique(own, axis=0)) > mix:
        from sklearn.cluster import KMeans

        made = KMeans(mix, n_init=10, random_state=seed % 2**31).fit(own)
        return made.cluster_centers_, made.labels_
    # Too few steps: spread the centres along the longest axis of the state.
    sizes, axes = np.linalg.eigh(covar)
    ways = np.linspace(-1.0, 1.0, mix)[:, None] * np.sqrt(max(sizes[-1], 0.0)) * axes[:, -1]
    centres = mean + ways
    distance = ((own[:, None, :] - centres) ** 2).sum(axis=2)
    return centres, distance.argmin(axis=1) if len(own) else np.zeros(0, dtype=np.int64)


def to_dict(init: LabelInit, x: npt.NDArray[Any], shape: Shape | None = None) -> dict[str, Any]:
    """A finite HMM as nested lists, for any library: ``json.dumps`` takes it."""
    return {name: value.tolist() for name, value in params_from_labels(init, x, shape).tensors.items()}


def to_dynamax(init: LabelInit, x: npt.NDArray[Any], shape: Shape | None = None) -> dict[str, Any]:
    """Keyword arguments for ``initialize(key, method="prior", **found)`` of a dynamax HMM.

    Full covariances fit ``GaussianHMM``, diagonal ones ``DiagonalGaussianHMM``, spherical ones
    ``SphericalGaussianHMM``, tied ones ``SharedCovarianceGaussianHMM``; symbols ``CategoricalHMM``, counts
    ``PoissonHMM``. The values are jax's arrays in its default precision where jax is installed (dynamax refuses
    others), else NumPy's.

    Raises:
        InitError: dynamax has no such emission in this form.
    """
    shape = shape or Shape()
    made = params_from_labels(init, x, shape)
    found = {"initial_probs": made.startprob, "transition_matrix": made.transmat}
    held = made.emissions
    if shape.family == "gaussian":
        names: dict[CovarianceType, str] = {
            "full": "emission_covariances",
            "diag": "emission_scale_diags",
            "spherical": "emission_scales",
            "tied": "emission_covariance",
        }
        scales = shape.covariance_type in ("diag", "spherical")  # it takes deviations there
        value = np.sqrt(held["covars"]) if scales else held["covars"]
        return _for_jax({**found, "emission_means": held["means"], names[shape.covariance_type]: value})
    if shape.family == "categorical":
        return _for_jax({**found, "emission_probs": held["emissionprob"][:, None, :]})
    if shape.family == "poisson":
        return _for_jax({**found, "emission_rates": held["lambdas"]})
    raise InitError(f"to_dynamax: {shape.family} emissions; take gaussian, categorical or poisson, or to_dict")


def _for_jax(arrays: dict[str, Floats]) -> dict[str, Any]:
    try:
        from jax import numpy
    except ImportError:
        return dict(arrays)
    return {name: numpy.asarray(value) for name, value in arrays.items()}
