"""Conjugate emissions: sufficient statistics of labels, log marginals, posteriors and their means.

Every emission keeps a state's statistics in one row of numbers that add up: merging two states adds their rows, so
that a table of states is a float64 array (K, P), and everything below takes any array (..., P). The first number is
the state's number of steps. ``posterior`` gives the parameters of the conjugate posterior, which is what a sampler
draws from; ``means`` its expectations.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.special import gammaln, multigammaln

from initkit import InitError

Floats = npt.NDArray[np.float64]
Array = npt.NDArray[Any]
_SINGULAR = 1e-9  # least eigenvalue of a correlation matrix that is taken as invertible


class Emission(ABC):
    """A conjugate family with its prior."""

    name: str

    @abstractmethod
    def per_step(self, x: Array) -> Floats:
        """What each step adds to its state's statistics, (T, P)."""

    @abstractmethod
    def log_marginal(self, statistics: Floats) -> Floats:
        """``log m``: the log density of a state's observations, parameters integrated out; (..., P) to (...)."""

    @abstractmethod
    def posterior(self, statistics: Floats) -> dict[str, Floats]:
        """Parameters of the posterior, by name, each with the leading shape of the statistics."""

    @abstractmethod
    def means(self, statistics: Floats) -> dict[str, Floats]:
        """Posterior means of the emission's parameters, by name."""

    def statistics(self, x: Array, labels: Array, states: int) -> Floats:
        """Statistics of each state, (K, P).

        Args:
            x: observations (T, D).
            labels: int (T,), or memberships (T, K) of real numbers.
            states: K.
        """
        rows = self.per_step(x)
        if labels.ndim == 2:
            return np.asarray(labels.T @ rows, dtype=np.float64)
        found = np.empty((states, rows.shape[1]))
        for column in range(rows.shape[1]):
            found[:, column] = np.bincount(labels, weights=rows[:, column], minlength=states)
        return found


@dataclass(frozen=True, eq=False)
class Gaussian(Emission):
    """Normal with a normal-inverse-Wishart prior: ``Sigma ~ IW(nu0, Psi0)``, ``mu ~ N(mu0, Sigma/kappa0)``.

    Statistics: ``n``, ``sum (x - mu0)`` (D), ``sum (x - mu0)(x - mu0)'`` (D*D, row by row).

    Args:
        mu0: (D,).
        kappa0: how many observations the prior mean weighs.
        nu0: degrees of freedom, more than D - 1.
        Psi0: (D, D).
    """

    mu0: Floats
    kappa0: float
    nu0: float
    Psi0: Floats
    name = "gaussian"

    def __post_init__(self) -> None:
        if not self.kappa0 > 0 or not self.nu0 > len(self.mu0) - 1:
            raise InitError(f"kappa0 {self.kappa0} must be positive, nu0 {self.nu0} more than {len(self.mu0) - 1}")

    @classmethod
    def of_data(cls, x: Array) -> Gaussian:
        """The weak prior of the data: their mean, ``kappa0 = 0.01``, ``nu0 = D + 2``, ``Psi0 = Cov / 4^(2/D)``.

        Where columns are combinations of others, a millionth of the variances is added to the diagonal.
        """
        dims, found = x.shape[1], covariance(x)
        scale = np.sqrt(np.diag(found))
        if np.linalg.eigvalsh(found / np.outer(scale, scale))[0] < _SINGULAR:
            found = found + 1e-6 * np.diag(scale**2)
        return cls(x.mean(axis=0), 0.01, dims + 2.0, found / 4 ** (2 / dims))

    def per_step(self, x: Array) -> Floats:
        """Counts, deviations from ``mu0`` and their outer products."""
        off = np.asarray(x, dtype=np.float64) - self.mu0
        outer = (off[:, :, None] * off[:, None, :]).reshape(len(off), -1)
        return np.concatenate([np.ones((len(off), 1)), off, outer], axis=1)

    def posterior(self, statistics: Floats) -> dict[str, Floats]:
        """``kappa_n``, ``nu_n``, ``mu_n`` (..., D), ``Psi_n`` (..., D, D)."""
        dims = len(self.mu0)
        n, total = statistics[..., 0], statistics[..., 1 : dims + 1]
        outer = statistics[..., dims + 1 :].reshape(*statistics.shape[:-1], dims, dims)
        kappa = self.kappa0 + n
        # About mu0, S + kappa0 n/kappa_n (xbar - mu0)(xbar - mu0)' is outer - total total'/kappa_n.
        psi = self.Psi0 + outer - total[..., :, None] * total[..., None, :] / kappa[..., None, None]
        return {"kappa": kappa, "nu": self.nu0 + n, "mu": self.mu0 + total / kappa[..., None], "Psi": psi}

    def log_marginal(self, statistics: Floats) -> Floats:
        """The normal-inverse-Wishart marginal."""
        dims, n = len(self.mu0), statistics[..., 0]
        found = self.posterior(statistics)
        before, after = np.linalg.slogdet(self.Psi0)[1], np.linalg.slogdet(found["Psi"])[1]
        value = (
            -n * dims / 2 * np.log(np.pi)
            + multigammaln(found["nu"] / 2, dims)
            - multigammaln(self.nu0 / 2, dims)
            + self.nu0 / 2 * before
            - found["nu"] / 2 * after
            + dims / 2 * np.log(self.kappa0 / found["kappa"])
        )
        return np.asarray(value, dtype=np.float64)

    def means(self, statistics: Floats) -> dict[str, Floats]:
        """``means`` (..., D) and ``covars`` (..., D, D), the latter where ``nu_n > D + 1``."""
        found, dims = self.posterior(statistics), len(self.mu0)
        return {"means": found["mu"], "covars": found["Psi"] / (found["nu"] - dims - 1)[..., None, None]}


@dataclass(frozen=True, eq=False)
class Categorical(Emission):
    """Symbols (or counts of symbols) with a Dirichlet prior.

    Statistics: the number of steps, then the count of each of V symbols.

    Args:
        h: (V,) Dirichlet parameters.
    """

    h: Floats
    name = "categorical"

    @classmethod
    def of_data(cls, x: Array, symbols: int | None = None, h: float = 0.3) -> Categorical:
        """Symmetric, over the symbols that occur or as many as are said."""
        count = x.shape[1] if x.ndim == 2 and x.shape[1] > 1 else int(x.max()) + 1
        return cls(np.full(symbols or count, h))

    def per_step(self, x: Array) -> Floats:
        """Ones, then one-hot symbols; counts (T, V) as they are."""
        flat = x if x.ndim == 2 and x.shape[1] > 1 else np.eye(len(self.h))[x.reshape(-1).astype(np.int64)]
        return np.concatenate([np.ones((len(flat), 1)), flat.astype(np.float64)], axis=1)

    def posterior(self, statistics: Floats) -> dict[str, Floats]:
        """``h`` (..., V)."""
        return {"h": self.h + statistics[..., 1:]}

    def log_marginal(self, statistics: Floats) -> Floats:
        """The Dirichlet-multinomial marginal of a sequence of symbols."""
        after = self.h + statistics[..., 1:]
        value = gammaln(self.h.sum()) - gammaln(after.sum(axis=-1))
        return np.asarray(value + (gammaln(after) - gammaln(self.h)).sum(axis=-1), dtype=np.float64)

    def means(self, statistics: Floats) -> dict[str, Floats]:
        """``probs`` (..., V)."""
        after = self.h + statistics[..., 1:]
        return {"probs": after / after.sum(axis=-1, keepdims=True)}


@dataclass(frozen=True, eq=False)
class Poisson(Emission):
    """Counts with a gamma prior on each feature's rate: ``Ga(a, rate b)``.

    Statistics: the number of steps, sums (D), and the sum of ``log x!``.

    Args:
        a: shape of the prior.
        b: its rate, (D,).
    """

    a: float
    b: Floats
    name = "poisson"

    @classmethod
    def of_data(cls, x: Array) -> Poisson:
        """``a = 1`` and the prior mean at the data's."""
        return cls(1.0, 1.0 / np.maximum(x.mean(axis=0), 1e-3))

    def per_step(self, x: Array) -> Floats:
        """Ones, counts, and the sum over features of ``log x!``."""
        counts = np.asarray(x, dtype=np.float64)
        return np.concatenate([np.ones((len(x), 1)), counts, gammaln(counts + 1).sum(axis=1, keepdims=True)], axis=1)

    def posterior(self, statistics: Floats) -> dict[str, Floats]:
        """``a`` and ``b`` (..., D)."""
        return {"a": self.a + statistics[..., 1:-1], "b": self.b + statistics[..., :1]}

    def log_marginal(self, statistics: Floats) -> Floats:
        """The gamma-Poisson marginal."""
        after = self.posterior(statistics)
        each = self.a * np.log(self.b) - gammaln(self.a) + gammaln(after["a"]) - after["a"] * np.log(after["b"])
        return np.asarray(each.sum(axis=-1) - statistics[..., -1], dtype=np.float64)

    def means(self, statistics: Floats) -> dict[str, Floats]:
        """``rates`` (..., D)."""
        after = self.posterior(statistics)
        return {"rates": after["a"] / after["b"]}


def covariance(x: Array) -> Floats:
    """Covariance (D, D) with n - 1 below; a constant column gets a small variance, so that it can be inverted."""
    values = np.asarray(x, dtype=np.float64)
    if len(values) < 2:
        return np.eye(values.shape[1])
    found = np.atleast_2d(np.cov(values.T, ddof=1))
    spread = np.diag(found)
    floor = 1e-6 * (spread[spread > 0].mean() if (spread > 0).any() else 1.0)
    found[np.diag_indices_from(found)] = np.where(spread > 0, spread, floor)
    return np.asarray(found, dtype=np.float64)


def emission_of(name: str, x: Array, symbols: int | None = None) -> Emission:
    """The emission of a name with the weak prior of the data.

    Raises:
        InitError: an unknown name.
    """
    if name == "gaussian":
        return Gaussian.of_data(x)
    if name in ("categorical", "multinomial"):
        return Categorical.of_data(x, symbols)
    if name == "poisson":
        return Poisson.of_data(x)
    raise InitError(f"emission {name!r}: take 'gaussian', 'categorical', 'multinomial' or 'poisson'")
