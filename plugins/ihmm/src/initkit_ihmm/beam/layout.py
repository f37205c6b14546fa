"""Between the emissions' own terms and the rows of numbers that the compiled functions work on."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from initkit_ihmm.beam.kernels.densities import CATEGORICAL, DIAGONAL, FULL, KNOWN, POISSON
from initkit_ihmm.beam.normals import DiagonalGaussian, KnownVariance
from initkit_ihmm.emissions import Categorical, Emission, Floats, Gaussian, Poisson

_LOG_2PI = np.log(2 * np.pi)


def packed_prior(emission: Emission, dims: int) -> tuple[int, Floats]:
    """The kind of an emission and its prior as one row, see :mod:`initkit_ihmm.beam.kernels.conjugate`.

    Raises:
        TypeError: an emission that the sampler does not know.
    """
    if isinstance(emission, Gaussian):
        head = [dims, emission.kappa0, emission.nu0]
        return FULL, np.concatenate([head, emission.mu0, np.ravel(emission.Psi0)]).astype(np.float64)
    if isinstance(emission, DiagonalGaussian):
        head = [dims, emission.kappa0, emission.nu0]
        return DIAGONAL, np.concatenate([head, emission.mu0, emission.psi0]).astype(np.float64)
    if isinstance(emission, KnownVariance):
        return KNOWN, np.array([dims, emission.mu0, emission.variance0, emission.variance], dtype=np.float64)
    if isinstance(emission, Categorical):
        return CATEGORICAL, np.concatenate([[len(emission.h)], emission.h]).astype(np.float64)
    if isinstance(emission, Poisson):
        return POISSON, np.concatenate([[dims, emission.a], np.broadcast_to(emission.b, (dims,))]).astype(np.float64)
    raise TypeError(f"the sampler has no compiled densities for {type(emission).__name__}")


def packed_parameters(kind: int, parameters: dict[str, Floats]) -> Floats:
    """Rows of parameters (K, P) of what ``Emission.means`` gives."""
    if kind == CATEGORICAL:
        return np.log(np.maximum(parameters["probs"], 1e-300))
    if kind == POISSON:
        rates = parameters["rates"]
        return np.concatenate([rates, np.log(rates)], axis=1)
    means, covars = parameters["means"], parameters["covars"]
    dims = means.shape[1]
    if kind in (DIAGONAL, KNOWN):
        constant = -0.5 * (dims * _LOG_2PI + np.log(covars).sum(axis=1, keepdims=True))
        return np.concatenate([means, 1 / np.sqrt(covars), constant], axis=1)
    inverse = np.linalg.inv(np.linalg.cholesky(covars))
    low, across = np.tril_indices(dims)
    lower = inverse[:, low, across]
    constant = -0.5 * dims * _LOG_2PI + np.log(np.diagonal(inverse, axis1=1, axis2=2)).sum(axis=1)
    return np.concatenate([means, lower, constant[:, None]], axis=1)


def unpacked_parameters(kind: int, theta: Floats, dims: int) -> dict[str, Floats]:
    """Parameters by name of rows (K, P): ``means`` and ``covars``, ``probs``, or ``rates``."""
    if kind == CATEGORICAL:
        return {"probs": np.exp(theta)}
    if kind == POISSON:
        return {"rates": theta[:, :dims].copy()}
    means = theta[:, :dims].copy()
    if kind in (DIAGONAL, KNOWN):
        return {"means": means, "covars": theta[:, dims : 2 * dims] ** -2.0}
    inverse = np.zeros((len(theta), dims, dims))
    low, across = np.tril_indices(dims)
    inverse[:, low, across] = theta[:, dims:-1]
    factor = np.linalg.inv(inverse)
    return {"means": means, "covars": factor @ factor.transpose(0, 2, 1)}


def observations(x: Any) -> tuple[Floats, npt.NDArray[np.bool_]]:
    """Observations as float64 with zeros in rows that hold a NaN, and which rows hold none."""
    values = np.ascontiguousarray(x, dtype=np.float64)
    seen: npt.NDArray[np.bool_] = np.logical_not(np.isnan(values).any(axis=1))
    return np.where(seen[:, None], values, 0.0), seen
