"""Convolution kernels of diagonal state space models, in complex128."""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor

Disc = Literal["zoh", "bilinear"]


def discretise(a: Tensor, dt: Tensor, disc: Disc = "zoh") -> tuple[Tensor, Tensor]:
    """Eigenvalues λ of one step, and the factor from B to B̄.

    ``zoh``: λ = exp(A dt), B̄/B = (λ - 1)/A. ``bilinear``: λ = (1 + A dt/2)/(1 - A dt/2), B̄/B = dt/(1 - A dt/2).

    Args:
        a: eigenvalues of A, complex128.
        dt: steps, float64, broadcasting with ``a``.
        disc: how to discretise.
    """
    z = a * dt
    if disc == "bilinear":
        return (1 + z / 2) / (1 - z / 2), dt / (1 - z / 2)
    # (exp(z) - 1)/z by its series near 0, where the difference cancels.
    small = z.abs() < 1e-5
    series = 1 + z / 2 + z * z / 6
    quotient = torch.where(small, series, torch.expm1(torch.where(small, torch.ones_like(z), z)) / z.where(~small, 1))
    return torch.exp(z), dt * quotient


def powers_sum(lam: Tensor, coefficient: Tensor, length: int) -> Tensor:
    """Σ_m c_m λ_m^l for l = 0 .. length-1, real part.

    Powers come from two tables, λ^(b i) and λ^j with l = b i + j, so that time and memory are O(M sqrt L + L) beside
    one matrix product instead of an exponential for each mode and place.

    Args:
        lam: complex128 (..., M), within the unit circle.
        coefficient: complex128 (..., M).
        length: L.

    Returns:
        float64 (..., L).
    """
    block = max(1, math.isqrt(length))
    blocks = -(-length // block)
    coarse = _powers(_power(lam, block), blocks)
    fine = _powers(lam, block)
    table = torch.matmul((coefficient.unsqueeze(-1) * coarse).transpose(-1, -2), fine)
    return table.real.reshape(*table.shape[:-2], blocks * block)[..., :length].contiguous()


def kernel(a: Tensor, bc: Tensor, dt: Tensor, length: int, disc: Disc = "zoh", paired: bool = True) -> Tensor:
    """The kernel K[l] = 2 Re Σ_m C_m B̄_m λ_m^l; without the 2 where modes are no conjugate pairs.

    Args:
        a: eigenvalues of A, complex128 (..., M).
        bc: products of B and C, complex128 (..., M).
        dt: steps, float64, broadcasting with ``a``.
        length: L.
        disc: how to discretise.
        paired: whether each mode stands for a conjugate pair.

    Returns:
        float64 (..., L).
    """
    lam, gain = discretise(a, dt, disc)
    coefficient = bc * gain
    shape = (lam * coefficient).shape
    return (2 if paired else 1) * powers_sum(lam.expand(shape), coefficient.expand(shape), length)


def _power(lam: Tensor, exponent: int) -> Tensor:
    """λ^exponent through modulus and angle; the angle is exact to rounding, since |λ| and arg λ are taken once."""
    return torch.polar(lam.abs() ** exponent, lam.angle() * exponent)


def _powers(lam: Tensor, count: int) -> Tensor:
    """λ^0 .. λ^(count-1) on a last axis."""
    exponents = torch.arange(count, dtype=torch.float64, device=lam.device)
    return torch.polar(lam.abs().unsqueeze(-1) ** exponents, lam.angle().unsqueeze(-1) * exponents)
