"""Normal emissions beside the full one: independent dimensions, and a variance that is known."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import gammaln

from initkit import InitError
from initkit_ihmm.emissions import Array, Emission, Floats, covariance


@dataclass(frozen=True, eq=False)
class DiagonalGaussian(Emission):
    """D independent normals, each with a one-dimensional normal-inverse-Wishart prior.

    Statistics: ``n``, ``sum (x - mu0)`` (D), ``sum (x - mu0)^2`` (D).

    Args:
        mu0: (D,).
        kappa0: how many observations the prior mean weighs.
        nu0: degrees of freedom, positive.
        psi0: (D,) scales; the prior mean of a variance is ``psi0/(nu0 - 2)``.
    """

    mu0: Floats
    kappa0: float
    nu0: float
    psi0: Floats
    name = "gaussian"

    def __post_init__(self) -> None:
        if not self.kappa0 > 0 or not self.nu0 > 0 or not (np.asarray(self.psi0) > 0).all():
            raise InitError(f"kappa0 {self.kappa0}, nu0 {self.nu0} and psi0 {self.psi0} must be positive")

    @classmethod
    def of_data(cls, x: Array) -> DiagonalGaussian:
        """The weak prior of the data: their mean, ``kappa0 = 0.01``, ``nu0 = 3``, ``psi0 = Var / 4^(2/D)``."""
        return cls(x.mean(axis=0), 0.01, 3.0, np.diag(covariance(x)) / 4 ** (2 / x.shape[1]))

    def per_step(self, x: Array) -> Floats:
        """Counts, deviations from ``mu0`` and their squares."""
        off = np.asarray(x, dtype=np.float64) - self.mu0
        return np.concatenate([np.ones((len(off), 1)), off, off * off], axis=1)

    def posterior(self, statistics: Floats) -> dict[str, Floats]:
        """``kappa_n``, ``nu_n``, ``mu_n`` (..., D), ``psi_n`` (..., D)."""
        dims = len(self.mu0)
        n, total, squares = statistics[..., :1], statistics[..., 1 : dims + 1], statistics[..., dims + 1 :]
        kappa = self.kappa0 + n
        psi = self.psi0 + squares - total**2 / kappa
        return {"kappa": kappa[..., 0], "nu": self.nu0 + n[..., 0], "mu": self.mu0 + total / kappa, "psi": psi}

    def log_marginal(self, statistics: Floats) -> Floats:
        """The sum over dimensions of normal-inverse-Wishart marginals."""
        found, n = self.posterior(statistics), statistics[..., :1]
        nu = found["nu"][..., None]
        each = (
            -n / 2 * np.log(np.pi)
            + gammaln(nu / 2)
            - gammaln(self.nu0 / 2)
            + self.nu0 / 2 * np.log(self.psi0)
            - nu / 2 * np.log(found["psi"])
            + 0.5 * np.log(self.kappa0 / found["kappa"][..., None])
        )
        return np.asarray(each.sum(axis=-1), dtype=np.float64)

    def means(self, statistics: Floats) -> dict[str, Floats]:
        """``means`` (..., D) and ``covars`` (..., D): variances, where ``nu_n > 2``."""
        found = self.posterior(statistics)
        return {"means": found["mu"], "covars": found["psi"] / (found["nu"] - 2)[..., None]}


@dataclass(frozen=True, eq=False)
class KnownVariance(Emission):
    """Normals of known variance in every dimension: ``mu ~ N(mu0, sigma0^2)``, ``x ~ N(mu, sigma^2)``.

    Statistics: ``n``, ``sum (x - mu0)`` (D), ``sum (x - mu0)^2`` (D).

    Args:
        dims: D.
        mu0: prior mean.
        variance0: ``sigma0^2``.
        variance: ``sigma^2``.
    """

    dims: int = 1
    mu0: float = 0.0
    variance0: float = 1.0
    variance: float = 1.5
    name = "gaussian"

    def __post_init__(self) -> None:
        if not self.variance0 > 0 or not self.variance > 0:
            raise InitError(f"variance0 {self.variance0} and variance {self.variance} must be positive")

    def per_step(self, x: Array) -> Floats:
        """Counts, deviations from ``mu0`` and their squares."""
        off = np.asarray(x, dtype=np.float64) - self.mu0
        return np.concatenate([np.ones((len(off), 1)), off, off * off], axis=1)

    def posterior(self, statistics: Floats) -> dict[str, Floats]:
        """``mu`` (..., D) and its ``variance`` (...)."""
        n, total = statistics[..., :1], statistics[..., 1 : self.dims + 1]
        spread = 1 / (1 / self.variance0 + n / self.variance)
        return {"mu": self.mu0 + spread * total / self.variance, "variance": spread[..., 0]}

    def log_marginal(self, statistics: Floats) -> Floats:
        """The normal marginal with the mean integrated out."""
        n, total = statistics[..., :1], statistics[..., 1 : self.dims + 1]
        squares = statistics[..., self.dims + 1 :]
        whole = self.variance + n * self.variance0
        each = (
            -n / 2 * np.log(2 * np.pi * self.variance)
            + 0.5 * np.log(self.variance / whole)
            - squares / (2 * self.variance)
            + self.variance0 * total**2 / (2 * self.variance * whole)
        )
        return np.asarray(each.sum(axis=-1), dtype=np.float64)

    def means(self, statistics: Floats) -> dict[str, Floats]:
        """``means`` (..., D) and ``covars`` (..., D), the known variance."""
        mean = self.posterior(statistics)["mu"]
        return {"means": mean, "covars": np.full_like(mean, self.variance)}
