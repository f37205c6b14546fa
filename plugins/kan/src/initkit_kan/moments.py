"""Second moments of basis functions and residual branches under an assumed input: by quadrature, never by sampling."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Hashable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from initkit import PlanError
from initkit_kan.bases import FINEST, Array, Basis, Pairs

Residual = Callable[[Tensor], Tensor]
NORMAL_REACH = 12.0
POINTS = 16
"""Gauss-Legendre nodes a panel: exact for splines up to order 15, rounding error for smooth functions."""


@dataclass(frozen=True)
class Law:
    """A distribution of the layer's inputs: each feature alike, independent of the others.

    Args:
        kind: ``uniform`` on (low, high), ``normal`` with mean 0 and variance 1.
        low: lower end of the uniform law.
        high: upper end.
    """

    kind: str = "uniform"
    low: float = -1.0
    high: float = 1.0

    @property
    def std(self) -> float:
        """Standard deviation g."""
        return 1.0 if self.kind == "normal" else (self.high - self.low) / math.sqrt(12)

    @property
    def support(self) -> tuple[float, float]:
        """Where the quadrature looks; a normal variable is outside with probability 4e-33."""
        return (-NORMAL_REACH, NORMAL_REACH) if self.kind == "normal" else (self.low, self.high)

    def density(self, x: Array) -> Array:
        """Probability density at x inside the support."""
        if self.kind == "normal":
            return np.exp(-(x**2) / 2) / math.sqrt(2 * math.pi)
        return np.full_like(x, 1 / (self.high - self.low))


UNIFORM, NORMAL = Law(), Law("normal")


@dataclass(frozen=True, eq=False)
class Moments:
    """What the formulas need of a layer's functions.

    Attributes:
        mu0: E[B_m(x)²], (rows, M); rows is 1 or the number of features.
        mu1: E[B'_m(x)²], the same.
        r0: E[R(x)²] of the residual branch, (rows,); empty without one.
        r1: E[R'(x)²], the same.
        g: standard deviation of the input.
    """

    mu0: Array
    mu1: Array
    r0: Array
    r1: Array
    g: float

    def averaged(self) -> Moments:
        """The mean over features, for a scale that all of them share."""
        return Moments(_mean(self.mu0), _mean(self.mu1), _mean(self.r0), _mean(self.r1), self.g)


def moments(basis: Basis, residual: Residual | None, law: Law) -> Moments:
    """Moments of a layer's functions under a law.

    Args:
        basis: of the layer.
        residual: its residual branch R, taking float64 tensors, or None.
        law: of the inputs.
    """
    mu0, mu1 = _basis_moments(_Keyed(basis), law)
    r0, r1 = residual_moments(residual, law) if residual is not None else _none()
    return Moments(mu0, mu1, r0, r1, law.std)


class _Keyed:
    """A basis as the key of the cache: equal functions have equal moments."""

    def __init__(self, basis: Basis) -> None:
        self.basis, self._key = basis, basis.key

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Keyed) and self._key == other._key

    def __hash__(self) -> int:
        return hash(self._key)


@functools.lru_cache(maxsize=256)
def _basis_moments(keyed: _Keyed, law: Law) -> tuple[Array, Array]:
    basis = keyed.basis
    if isinstance(basis, Pairs):
        mu0, mu1 = _basis_moments(_Keyed(basis.one), law)
        if len(mu0) != 1:
            raise PlanError("a surface over two inputs needs one grid for both")
        # The slope is in either input: both directions have the same sum.
        cross = np.multiply.outer(mu1[0], mu0[0])
        return np.outer(mu0, mu0).reshape(1, -1), ((cross + cross.T) / 2).reshape(1, -1)
    x, weight = nodes(basis.breaks(*law.support), law)
    values, slopes = basis.evaluate(torch.from_numpy(x))
    return (
        np.einsum("rpm,rp->rm", np.square(values.numpy()), weight),
        np.einsum("rpm,rp->rm", np.square(slopes.numpy()), weight),
    )


def nodes(breaks: Array, law: Law) -> tuple[Array, Array]:
    """Composite Gauss-Legendre nodes and weights, the density included.

    Args:
        breaks: ends of panels, (rows, panels + 1); panels wider than 0.25 are cut where the density is no constant.
        law: whose density weighs.

    Returns:
        Nodes and weights, (rows, points) each.
    """
    if law.kind == "normal":
        widest = float(np.max(np.diff(breaks, axis=1)))
        cuts = max(1, math.ceil(widest / FINEST))
        share = np.arange(cuts) / cuts
        inner = breaks[:, :-1, None] + np.diff(breaks, axis=1)[..., None] * share
        breaks = np.concatenate([inner.reshape(len(breaks), -1), breaks[:, -1:]], axis=1)
    place, weight = np.polynomial.legendre.leggauss(POINTS)
    half = np.diff(breaks, axis=1)[..., None] / 2
    x = breaks[:, :-1, None] + half * (1 + place)
    return x.reshape(len(breaks), -1), (half * weight * law.density(x)).reshape(len(breaks), -1)


def residual_moments(residual: Residual, law: Law) -> tuple[Array, Array]:
    """E[R²] and E[R'²] under a law, (1,) each; the slope is taken by autograd.

    Raises:
        PlanError: R cannot be evaluated.
    """
    key = _function_key(residual)
    known = _RESIDUALS.get((key, law))
    if known is None:
        low, high = law.support
        count = 2 * max(1, math.ceil((high - low) / FINEST / 2))  # 0, where ReLU has its kink, is a break
        x, weight = nodes(np.linspace(low, high, count + 1)[None, :], law)
        value, slope = evaluate(residual, torch.from_numpy(x[0]))
        known = (np.atleast_1d(value.numpy() ** 2 @ weight[0]), np.atleast_1d(slope.numpy() ** 2 @ weight[0]))
        if len(_RESIDUALS) < 256:
            _RESIDUALS[key, law] = known
    return known


_RESIDUALS: dict[tuple[Hashable, Law], tuple[Array, Array]] = {}


def evaluate(residual: Residual, x: Tensor) -> tuple[Tensor, Tensor]:
    """R and R' at x, float64, of x's shape.

    Raises:
        PlanError: R cannot be evaluated there.
    """
    try:
        with torch.enable_grad():
            point = x.detach().clone().requires_grad_()
            value = residual(point)
            (slope,) = torch.autograd.grad(value.sum(), point, allow_unused=True, materialize_grads=True)
    except Exception as error:
        raise PlanError(
            f"the residual branch {residual!r} cannot be evaluated at float64 numbers: {type(error).__name__}: {error}"
        ) from error
    return value.detach(), slope.detach()


def _function_key(function: Residual) -> Hashable:
    """Modules without tensors are the same function when they are written the same."""
    if isinstance(function, nn.Module) and not any(True for _ in (*function.parameters(), *function.buffers())):
        return type(function), repr(function)
    return function


def _mean(values: Array) -> Array:
    return values.mean(axis=0, keepdims=True) if values.size else values


def _none() -> tuple[Array, Array]:
    return np.empty(0), np.empty(0)
