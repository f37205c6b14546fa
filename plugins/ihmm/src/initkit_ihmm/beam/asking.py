"""Checks of what a sampler is asked for, before any work: what is wrong, and what to do."""

from __future__ import annotations

from typing import Any

import numpy as np

from initkit import InitError
from initkit_ihmm.beam.normals import DiagonalGaussian, KnownVariance
from initkit_ihmm.emissions import Categorical, Emission, Floats, Gaussian, emission_of
from initkit_ihmm.sequences import Sequences

_CHOICES = {
    "emission": ("gaussian", "categorical", "poisson"),
    "covariance_type": ("full", "diag"),
    "init_mode": ("sample", "mean"),
}
_LEAST = {"n_chains": 1, "burn": 0, "draws": 1, "thin": 1, "init_states": 1, "max_mem": 0}


def check_options(sampler: Any) -> None:
    """Refuse options out of range.

    Raises:
        InitError: names the option, its value and its range.
    """
    for name, least in _LEAST.items():
        value = getattr(sampler, name)
        if not isinstance(value, (int, np.integer)) or value < least:
            raise InitError(f"{name} {value!r}: give a whole number from {least} on")
    if not isinstance(sampler.k_max, (int, np.integer)) or not 1 <= sampler.k_max < 2**15:
        raise InitError(f"k_max {sampler.k_max!r}: give a whole number in 1..{2**15 - 1}")
    for name, choices in _CHOICES.items():
        value = getattr(sampler, name)
        if value not in choices:
            raise InitError(f"{name} {value!r}: take {' or '.join(map(repr, choices))}")


def weak_prior(data: Sequences, covariance_type: str, symbols: int | None) -> Emission:
    """The emission with the weak prior of the data."""
    if data.emission == "gaussian" and covariance_type == "diag":
        return DiagonalGaussian.of_data(data.x)
    return emission_of(data.emission, data.x, symbols)


def check_prior(emission: Emission, data: Sequences) -> None:
    """Refuse a prior of another kind or width than the data.

    Raises:
        InitError: says both.
    """
    if emission.name != data.emission:
        raise InitError(f"the prior is {emission.name}, the sampler's emission {data.emission}: make them agree")
    if isinstance(emission, Categorical):
        most, symbols = int(data.x.max()), len(emission.h)
        if most >= symbols:
            raise InitError(f"symbol {most} is outside 0..{symbols - 1}, the symbols of the prior: set n_symbols")
    wide = None
    if isinstance(emission, (Gaussian, DiagonalGaussian)):
        wide = len(emission.mu0)
    elif isinstance(emission, KnownVariance):
        wide = emission.dims
    if wide is not None and wide != data.x.shape[1]:
        raise InitError(f"the prior has {wide} dimensions, the sequences {data.x.shape[1]}")


def with_gaps(data: Sequences) -> Floats:
    """All steps given, NaN where they were left out."""
    if data.kept is None:
        return np.asarray(data.x, dtype=np.float64)
    x = np.full((sum(data.given), data.x.shape[1]), np.nan)
    x[data.kept] = data.x
    return x


def seed_of(random_state: Any) -> int:
    """A seed for the streams, of an int, a generator, or nothing.

    Raises:
        InitError: none of these.
    """
    if random_state is None:
        return int(np.random.default_rng().integers(2**31))
    if isinstance(random_state, np.random.Generator):
        return int(random_state.integers(2**31))
    if isinstance(random_state, np.random.RandomState):
        return int(random_state.randint(2**31))
    if isinstance(random_state, (int, np.integer)) and 0 <= random_state < 2**64:
        return int(random_state)
    raise InitError(f"random_state {random_state!r}: give a whole number from 0 on, a numpy generator, or None")
