"""Rational functions of order (5, 4): the forms that are in use, their second moments, and fits to an activation."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from torch import Tensor, nn

from initkit import PlanError
from initkit_kan.bases import Array
from initkit_kan.moments import NORMAL_REACH

Form = Literal["kernel", "fallback", "sum"]
NUMERATOR, DENOMINATOR = 6, 4
_PANELS, _POINTS = 48, 64

TARGETS: dict[str, Callable[[Tensor], Tensor]] = {
    "identity": nn.Identity(),
    "relu": nn.ReLU(),
    "leaky_relu": nn.LeakyReLU(0.01),
    "gelu": nn.GELU(),
    "silu": nn.SiLU(),
    "tanh": nn.Tanh(),
    "sigmoid": nn.Sigmoid(),
    "mish": nn.Mish(),
}
ALIASES = {"swish": "silu"}


@dataclass(frozen=True)
class Coefficients:
    """F(x) = (a0 + a1 x + ... + a5 x⁵)/Q(x).

    Attributes:
        a: of the numerator, 6 numbers.
        b: of the denominator, 4 numbers.
    """

    a: tuple[float, ...]
    b: tuple[float, ...]

    def __call__(self, x: Array, form: Form = "kernel") -> Array:
        """F at x.

        Args:
            x: numbers.
            form: Q is 1 + Σ |b_i| |x|^i (``kernel``), 1 + Σ |b_i| x^i (``fallback``), or 1 + |Σ b_i x^i| (``sum``).
        """
        return rational(x, np.array(self.a), np.array(self.b), form)


IDENTITY = Coefficients((0.0, 1.0, 0.0, 0.0, 0.0, 0.0), (0.0, 0.0, 0.0, 0.0))


def rational(x: Array, a: Array, b: Array, form: Form) -> Array:
    """F at x for coefficients of a group, see :meth:`Coefficients.__call__`."""
    top = np.polynomial.polynomial.polyval(x, a)
    return top / denominator(x, b, form)


def denominator(x: Array, b: Array, form: Form) -> Array:
    """Q at x."""
    powers = np.concatenate([[0.0], b if form == "sum" else np.abs(b)])
    inner: Array = np.polynomial.polynomial.polyval(np.abs(x) if form == "kernel" else x, powers)
    return 1 + (np.abs(inner) if form == "sum" else inner)


def mean_square(a: Array, b: Array, form: Form, sigma: float = 1.0) -> float:
    """E[F(x)²] for x ~ N(0, sigma²), by composite Gauss-Legendre quadrature with a break at 0.

    Raises:
        PlanError: the denominator has a zero there, so that there is no second moment.
    """
    x, weight = _normal_nodes()
    below = denominator(sigma * x, b, form)
    if bool((below <= 0).any()):
        where = float(sigma * x[np.argmin(below)])
        raise PlanError(
            f"the denominator 1 + Σ|b_i| x^i with b = {np.array2string(b, precision=4)} is not positive near "
            f"x = {where:.3g}: choose an activation, whose fit has even powers alone in this form"
        )
    values = np.polynomial.polynomial.polyval(sigma * x, a) / below
    return float(np.square(values) @ weight)


@functools.cache
def _normal_nodes() -> tuple[Array, Array]:
    """Nodes and weights of the standard normal law."""
    ends = np.linspace(-NORMAL_REACH, NORMAL_REACH, _PANELS + 1)
    place, weight = np.polynomial.legendre.leggauss(_POINTS)
    half = np.diff(ends)[:, None] / 2
    x = (ends[:-1, None] + half * (1 + place)).ravel()
    density: Array = np.exp(-(x**2) / 2) / np.sqrt(2 * np.pi)
    return x, (half * weight).ravel() * density


@dataclass(frozen=True)
class Fit:
    """Coefficients fitted to an activation, and how far off they are.

    Attributes:
        coefficients: a and b.
        rmse: root mean square error on the points of the fit.
        largest: largest error on the interval of the fit.
        beyond: largest error on [-10, 10], where rationals extrapolate as a5/|b4| x on both sides.
    """

    coefficients: Coefficients
    rmse: float
    largest: float
    beyond: float


def fit_rational(
    target: Callable[[Tensor], Tensor],
    low: float = -3.0,
    high: float = 3.0,
    points: int = 1000,
    form: Form = "kernel",
    starts: Sequence[Coefficients] = (),
) -> Fit:
    """Fit a rational function of order (5, 4) to an activation: nonlinear least squares from several starts.

    In the forms other than ``kernel`` the denominator gets even powers alone: 1 + |b_2| x² + |b_4| x⁴ is positive and
    the same in all forms.

    Args:
        target: takes and returns float64 tensors, element by element.
        low: left end of the interval.
        high: right end.
        points: equally spaced, ends included.
        form: of the denominator.
        starts: coefficients to start from; none takes those of the tables.

    Raises:
        PlanError: the target is not finite there.
    """
    from scipy.optimize import least_squares

    x = np.linspace(low, high, points)
    y = values_of(target, x)
    if np.array_equal(y, x):
        return measured(IDENTITY, target, form, low, high, points)
    free = np.array([0, 1, 2, 3] if form == "kernel" else [1, 3])
    powers, sizes = x[:, None] ** np.arange(NUMERATOR), np.abs(x)[:, None] ** (free + 1)

    def parts(flat: Array) -> tuple[Array, Array]:
        """Numerator and denominator, which is that of the kernels in every form here."""
        return powers @ flat[:NUMERATOR], 1 + sizes @ np.abs(flat[NUMERATOR:])

    def error(flat: Array) -> Array:
        top, below = parts(flat)
        off: Array = top / below - y
        return off

    def slope(flat: Array) -> Array:
        top, below = parts(flat)
        by_b = -(top / below**2)[:, None] * sizes * np.where(flat[NUMERATOR:] < 0, -1.0, 1.0)
        return np.concatenate([powers / below[:, None], by_b], axis=1)

    best: tuple[float, Array] | None = None
    for start in starts or _starts():
        begin = np.array([*start.a, *(start.b[i] for i in free)])
        found = least_squares(error, begin, jac=slope, method="lm", xtol=1e-14, ftol=1e-14, gtol=1e-14, max_nfev=300)
        if best is None or found.cost < best[0]:
            best = found.cost, found.x
    assert best is not None
    a, b = best[1][:NUMERATOR], np.zeros(DENOMINATOR)
    b[free] = best[1][NUMERATOR:]
    rounded = Coefficients(tuple(_seven(v) for v in a), tuple(_seven(abs(v)) for v in b))
    return measured(rounded, target, form, low, high, points)


def measured(
    coefficients: Coefficients,
    target: Callable[[Tensor], Tensor],
    form: Form,
    low: float = -3.0,
    high: float = 3.0,
    points: int = 1000,
) -> Fit:
    """How far coefficients are from an activation."""
    x, wide = np.linspace(low, high, points), np.linspace(-10.0, 10.0, 2001)
    error = coefficients(x, form) - values_of(target, x)
    beyond = coefficients(wide, form) - values_of(target, wide)
    return Fit(
        coefficients,
        float(np.sqrt(np.mean(np.square(error)))),
        float(np.abs(error).max()),
        float(np.abs(beyond).max()),
    )


def values_of(target: Callable[[Tensor], Tensor], x: Array) -> Array:
    """An activation at x.

    Raises:
        PlanError: it fails, is not finite, or does not act element by element.
    """
    try:
        with torch.no_grad():
            found = target(torch.from_numpy(x))
    except Exception as error:
        raise PlanError(
            f"the activation {target!r} fails at float64 numbers: {type(error).__name__}: {error}"
        ) from error
    if not isinstance(found, Tensor) or found.shape != x.shape or not bool(torch.isfinite(found).all()):
        raise PlanError(f"the activation {target!r} must return a finite number for each number in [-10, 10]")
    values: Array = found.to(torch.float64).numpy()
    return values


def _seven(value: float) -> float:
    """Seven significant digits; what is rounding error becomes 0."""
    return float(f"{value:.7g}") if abs(value) > 1e-10 else 0.0


def _starts() -> list[Coefficients]:
    """Four shapes: a kink, a smooth bend, a step through 0 and one above it."""
    from initkit_kan.tables import EVEN, KERNEL

    return [KERNEL["relu"], KERNEL["gelu"], EVEN["silu"], EVEN["tanh"], EVEN["sigmoid"]]


def named(activation: str, form: Form) -> Coefficients:
    """The table's coefficients for a named activation.

    Args:
        activation: a name of :data:`TARGETS` or :data:`ALIASES`.
        form: of the module.
    """
    from initkit_kan.tables import EVEN, KERNEL

    return (KERNEL if form == "kernel" else EVEN)[ALIASES.get(activation, activation)]
