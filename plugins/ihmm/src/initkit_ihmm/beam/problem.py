"""What a chain is given: observations, emission, priors of the concentrations."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.special import gammaln

from initkit import InitError
from initkit_ihmm.beam import layout
from initkit_ihmm.beam.kernels.conjugate import statistics_size
from initkit_ihmm.beam.kernels.densities import POISSON, row_size
from initkit_ihmm.emissions import Categorical, Emission
from initkit_ihmm.labels import Floats


@dataclass(frozen=True)
class Concentrations:
    """Priors of the concentrations, and which of them are fixed.

    Args:
        alpha: fixed, or None to draw it: ``alpha + kappa ~ Ga(alpha_prior)``, shape and rate.
        gamma: fixed, or None to draw it: ``gamma ~ Ga(gamma_prior)``.
        kappa: fixed (0 is the plain model), or None to draw ``rho = kappa/(alpha + kappa) ~ Beta(rho_prior)``.
        alpha_prior: shape and rate.
        gamma_prior: shape and rate.
        rho_prior: of the beta distribution.

    Raises:
        InitError: a value out of range, or a fixed kappa above 0 beside an alpha that is drawn.
    """

    alpha: float | None = None
    gamma: float | None = None
    kappa: float | None = 0.0
    alpha_prior: tuple[float, float] = (1.0, 1.0)
    gamma_prior: tuple[float, float] = (1.0, 1.0)
    rho_prior: tuple[float, float] = (1.0, 1.0)

    def __post_init__(self) -> None:
        for name in ("alpha", "gamma"):
            value = getattr(self, name)
            if value is not None and not (np.isfinite(value) and value > 0):
                raise InitError(f"{name} {value}: give a positive number, or None to draw it")
        if self.kappa is not None and not (np.isfinite(self.kappa) and self.kappa >= 0):
            raise InitError(f"kappa {self.kappa}: give 0 for the plain model, a positive number, or None to draw it")
        if bool(self.kappa) and self.alpha is None:
            raise InitError(f"kappa is fixed at {self.kappa}, so fix alpha too, or draw both with kappa=None")
        if self.kappa is None and self.alpha is not None:
            raise InitError(f"alpha is fixed at {self.alpha}, so fix kappa too, or draw both with alpha=None")
        for name in ("alpha_prior", "gamma_prior", "rho_prior"):
            pair = tuple(getattr(self, name))
            if len(pair) != 2 or not all(np.isfinite(one) and one > 0 for one in pair):
                raise InitError(f"{name} {pair}: give two positive numbers")

    @property
    def hyper(self) -> Floats:
        """As the compiled hyper block reads them."""
        drawn = [self.alpha is None, self.kappa is None, self.gamma is None]
        return np.array([*self.alpha_prior, *self.gamma_prior, *self.rho_prior, *drawn], dtype=np.float64)

    def start(self) -> Floats:
        """[alpha, kappa, gamma] at their fixed values or prior means."""
        strength = self.alpha_prior[0] / self.alpha_prior[1]
        share = self.rho_prior[0] / sum(self.rho_prior) if self.kappa is None else 0.0
        alpha = (1 - share) * strength if self.alpha is None else self.alpha
        kappa = share * strength if self.kappa is None else self.kappa
        gamma = self.gamma_prior[0] / self.gamma_prior[1] if self.gamma is None else self.gamma
        return np.array([alpha, kappa, gamma], dtype=np.float64)


@dataclass(frozen=True, eq=False)
class Problem:
    """Observations with everything that stays the same from sweep to sweep. See :func:`problem_of`.

    Args:
        x: float64 (T, D), 0 where nothing was seen.
        seen: bool (T,).
        first: bool (T,), where sequences begin.
        lengths: of the sequences.
        emission: with its prior.
        kind: of its compiled densities.
        prior: its row of numbers.
        concentrations: their priors.
        k_max: most states that are kept; reaching it truncates the model.
        max_mem: bytes of a trellis above which it is kept in float32.
        constant: what the compiled marginals leave out, ``-sum log x!`` for counts.
    """

    x: Floats
    seen: npt.NDArray[np.bool_]
    first: npt.NDArray[np.bool_]
    lengths: tuple[int, ...]
    emission: Emission
    kind: int
    prior: Floats
    concentrations: Concentrations
    k_max: int = 200
    max_mem: int = 2**31
    constant: float = 0.0

    @property
    def steps(self) -> int:
        """T."""
        return len(self.x)

    @property
    def dims(self) -> int:
        """D."""
        return int(self.x.shape[1])

    @property
    def symbols(self) -> int:
        """V of categorical emissions, else 0."""
        return len(self.emission.h) if isinstance(self.emission, Categorical) else 0

    @property
    def sizes(self) -> tuple[int, int]:
        """Numbers in a state's row of parameters and in its statistics."""
        return row_size(self.kind, self.dims, self.symbols), statistics_size(self.kind, self.dims, self.symbols)


def problem_of(
    x: npt.NDArray[Any],
    lengths: tuple[int, ...],
    emission: Emission,
    concentrations: Concentrations | None = None,
    *,
    k_max: int = 200,
    max_mem: int = 2**31,
) -> Problem:
    """Put a problem together.

    Args:
        x: observations (T, D), rows with a NaN are not seen.
        lengths: of the sequences; their sum is T.
        emission: with its prior.
        concentrations: priors; None are the defaults.
        k_max: most states that are kept.
        max_mem: bytes of a trellis in float64.
    """
    values, seen = layout.observations(x)
    kind, prior = layout.packed_prior(emission, values.shape[1])
    return Problem(
        values, seen, beginnings(lengths), tuple(lengths), emission, kind, prior, concentrations or Concentrations(),
        k_max, max_mem, constant_of(kind, values[seen]),
    )  # fmt: skip


def constant_of(kind: int, x: Floats) -> float:
    """What compiled log densities of observations leave out: ``-sum log x!`` for counts, else 0."""
    return -float(gammaln(x + 1).sum()) if kind == POISSON else 0.0


def beginnings(lengths: tuple[int, ...]) -> npt.NDArray[np.bool_]:
    """Where sequences begin, bool (T,)."""
    first = np.zeros(sum(lengths), dtype=bool)
    first[np.concatenate([[0], np.cumsum(lengths)[:-1]]).astype(np.int64)] = True
    return first
