"""The formulas: standard deviations of residual weights and basis coefficients. Pure functions of fans and moments."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from initkit_kan.bases import Array
from initkit_kan.moments import Moments

Formula = Callable[["Fans", Moments], "Scales"]


@dataclass(frozen=True)
class Fans:
    """How many terms meet in an output and leave an input.

    Attributes:
        n: inputs that an output sees, (1, 1) or (1, o); masked edges are not counted.
        o: outputs that an input reaches, (1, 1) or (n, 1).
        k: terms a connection, as n·k terms meet in an output: M, and 1 more for a residual branch.
        k_back: terms a connection on the way back; k, but for surfaces.
        splines: terms of the basis that meet in an output: n·M, but for surfaces.
    """

    n: Array
    o: Array
    k: float
    k_back: float
    splines: Array

    @classmethod
    def of(cls, n: float | Array, o: float | Array, basis: int, *, residual: bool) -> Fans:
        """The fans of an ordinary layer.

        Args:
            n: number of inputs.
            o: number of outputs.
            basis: M.
            residual: whether there is a residual branch.
        """
        k = basis + residual
        wide, back = np.atleast_2d(np.asarray(n, float)), np.atleast_2d(np.asarray(o, float))
        return cls(wide, back, k, k, wide * basis)

    @classmethod
    def of_surface(cls, o: int, basis: int) -> Fans:
        """The fans of a surface over two inputs with M² products and two residual terms."""
        return cls(np.array([[2.0]]), np.array([[float(o)]]), (2 + basis) / 2, 1 + basis, np.array([[float(basis)]]))


@dataclass(frozen=True)
class Scales:
    """Standard deviations of a layer.

    Attributes:
        residual: (1 or n, 1 or o), or None without a residual branch.
        basis: (1 or n, 1 or o, 1 or M).
    """

    residual: Array | None
    basis: Array


def lecun(fans: Fans, m: Moments) -> Scales:
    """σ_r = g/√(n K R0), σ_b = g/√(n K μ̄0): each of the n·K terms has the share g²/(nK) of the variance."""
    terms = fans.n * fans.k
    residual = m.g / np.sqrt(terms * _column(m.r0)) if m.r0.size else None
    return Scales(residual, _per_basis(m.g / np.sqrt(terms * _mean(m.mu0))))


def glorot(fans: Fans, m: Moments) -> Scales:
    """σ = g √(2/(K(n E[f²] + o E[f'²]))) with f the residual branch, or the basis functions on average."""
    residual = m.g * np.sqrt(2 / _both(fans, _column(m.r0), _column(m.r1))) if m.r0.size else None
    return Scales(residual, _per_basis(m.g * np.sqrt(2 / _both(fans, _mean(m.mu0), _mean(m.mu1)))))


def glorot_fine(fans: Fans, m: Moments, factor: float = 1.0, floor: float = 0.0) -> Scales:
    """As glorot for the residual branch; σ_(b,m) = g √(c/(K(n μ0_m + o μ1_m))) for each basis function of its own.

    Args:
        fans: of the layer.
        m: its moments.
        factor: c.
        floor: part of the mean over m that n μ0_m + o μ1_m counts for at least: a batch may never reach a function.
    """
    forward = (fans.n * fans.k)[..., None] * m.mu0[:, None, :]
    backward = (fans.o * fans.k_back)[..., None] * m.mu1[:, None, :]
    both = forward + backward
    return Scales(
        glorot(fans, m).residual,
        m.g * np.sqrt(factor / np.maximum(both, floor * both.mean(axis=-1, keepdims=True))),
    )


def iso(fans: Fans, m: Moments, share: float = 0.01) -> Scales:
    """σ_r = g √((1-s)/(n R0)), σ_b = g √(s/(n M max(μ̄0, g² μ̄1))): splines get the share s both ways at most."""
    residual = m.g * np.sqrt((1 - share) / (fans.n * _column(m.r0)))
    cap = np.maximum(_mean(m.mu0), m.g**2 * _mean(m.mu1))
    return Scales(residual, _per_basis(m.g * np.sqrt(share / (fans.splines * cap))))


def power(
    fans: Fans,
    *,
    residual: bool,
    residual_exponents: tuple[float, float] = (0.25, 0.25),
    basis_exponents: tuple[float, float] = (1.75, 1.75),
    residual_scale: float = 1.0,
    basis_scale: float = 1.0,
) -> Scales:
    """σ_r = c_r K^-α1 n^-α2, σ_b = c_b K^-β1 n^-β2."""

    def scale(factor: float, exponents: tuple[float, float]) -> Array:
        found: Array = factor * fans.k ** -exponents[0] * fans.n ** -exponents[1]
        return found

    return Scales(
        scale(residual_scale, residual_exponents) if residual else None,
        _per_basis(scale(basis_scale, basis_exponents)),
    )


@dataclass(frozen=True)
class Gains:
    """What a layer is predicted to do to root mean squares, over draws of its weights.

    Attributes:
        output: root mean square of the output.
        forward: that over the input's standard deviation g.
        backward: root mean square of the gradient by an input over that by an output.
        spline_share: part of the output's mean square that the basis carries.
    """

    output: float
    forward: float
    backward: float
    spline_share: float


def gains(fans: Fans, m: Moments, scales: Scales) -> Gains:
    """Predicted gains under the law of the moments.

    Args:
        fans: of the layer.
        m: its moments.
        scales: standard deviations of its weights.
    """
    basis = np.square(scales.basis)
    residual = None if scales.residual is None else np.square(scales.residual)
    sites = fans.splines / m.mu0.shape[1]  # how many times each basis function meets in an output
    spline_out = float(np.mean(sites * _sum(basis, m.mu0)))
    residual_out = 0.0 if residual is None else float(np.mean(fans.n * residual * _column(m.r0)))
    back = _sum(basis, m.mu1)
    if residual is not None:
        back = back + residual * _column(m.r1)
    out = spline_out + residual_out
    return Gains(
        output=float(np.sqrt(out)),
        forward=float(np.sqrt(out) / m.g),
        backward=float(np.sqrt(np.mean(fans.o * back))),
        spline_share=spline_out / out if out else 0.0,
    )


def _both(fans: Fans, forward: Array, backward: Array) -> Array:
    both: Array = fans.n * fans.k * forward + fans.o * fans.k_back * backward
    return both


def _column(values: Array) -> Array:
    return values[:, None]


def _mean(values: Array) -> Array:
    mean: Array = values.mean(axis=1, keepdims=True)
    return mean


def _per_basis(values: Array) -> Array:
    return values[..., None]


def _sum(squares: Array, mu: Array) -> Array:
    """Σ_m σ_m² μ_m, (1 or n, 1 or o)."""
    terms: Array = squares * mu[:, None, :]
    total: Array = np.sum(terms, axis=-1)
    return total
