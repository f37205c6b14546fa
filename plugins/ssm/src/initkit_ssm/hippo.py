"""Spectra of the HiPPO matrices' normal parts: for LegS, LagT and FouT in closed form, without an eigensolver.

HiPPO-LegS is A[n, k] = -sqrt(2n+1) sqrt(2k+1) below the diagonal, -(n+1) on it and 0 above, with B[n] = sqrt(2n+1).
With P[n] = sqrt(n + 1/2) the sum A + P Pᵀ is -1/2 I + K, K skew-symmetric. The eigenvalues ±i w of K solve

    Σ_n arctan(w/q_n) = Im[logΓ(N + 1/2 + i w) - logΓ(1/2 + i w)] = (k + 1/2) π,    q_n = n + 1/2,  k = 0 .. N/2 - 1,

a function of w that is increasing and concave: Newton's method finds all of them at once in O(N) memory. In the basis
of unit eigenvectors with P̂ real and positive, P̂² = 1/Σ_n q_n/(w² + q_n²) and B̂ = sqrt(2) P̂.

Source: the matrices are those of Gu et al., HiPPO (NeurIPS 2020, arXiv 2008.07669) and How to Train Your HiPPO
(arXiv 2206.12037); the closed form is ours.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import numpy as np
import numpy.typing as npt
import torch
from scipy.special import digamma, loggamma
from torch import Tensor

from initkit import OptionError

Measure = Literal["legs", "legt", "lagt", "fout"]
Array = npt.NDArray[np.float64]

_STEPS = 100
_SERIES = 30  # terms of arctan's series at an argument of at most 1/2: what follows is below 2^-60 of the sum


@dataclass(frozen=True)
class Spectrum:
    """The normal part of a HiPPO matrix in the basis of its eigenvectors, one of each conjugate pair.

    A = Λ - P P*, with Λ = -rate + i freq; modes by descending frequency, B real and not negative.

    Attributes:
        rate: -Re Λ, one number for all modes.
        freq: Im Λ, float64 (M,).
        b: B in this basis, float64 (M,).
        p: P in this basis, complex128 (rank, M).
    """

    rate: float
    freq: Tensor
    b: Tensor
    p: Tensor


@lru_cache(maxsize=64)
def spectrum(measure: Measure, n: int) -> Spectrum:
    """The spectrum of a HiPPO matrix of even size ``n``.

    Args:
        measure: ``legs`` (scaled Legendre), ``legt`` (translated Legendre), ``lagt`` (Laguerre), ``fout`` (Fourier).
        n: size of the real matrix; the spectrum has n/2 modes.

    Raises:
        OptionError: ``n`` is odd or below 2.
    """
    check_size(n)
    if measure == "legs":
        w, t = _legs(n)
        return _rank_one(0.5, w, math.sqrt(2) * t, t)
    if measure == "lagt":
        m = np.arange(n // 2)
        w = 0.5 / np.tan((2 * m + 1) * math.pi / (2 * n))
        t = np.sqrt(2 * (w * w + 0.25) / n)
        return _rank_one(0.0, w, math.sqrt(2) * t, t)
    if measure == "fout":
        k = np.arange(n // 2 - 1, -1, -1, dtype=np.float64)
        b = np.where(k == 0, math.sqrt(0.5), 1.0)
        return _rank_one(0.0, math.pi * k, b, b)
    if measure == "legt":
        return _legt(n)
    raise OptionError(f"measure must be one of legs, legt, lagt, fout, not {measure!r}")


def check_size(n: int, what: str = "the state size N") -> None:
    """Raise OptionError unless ``n`` is even and at least 2."""
    if n < 2 or n % 2:
        raise OptionError(f"{what} is {n}: it must be even and at least 2, since modes come in conjugate pairs")


def legs_eigenvectors(n: int, rows: int | None = None) -> Tensor:
    """Unit eigenvectors of the LegS normal part, complex128 (n, n/2): column m belongs to +i w_m, and P̂ is positive.

    With G_{-1} = T and G_j = G_{j-1} (i w - q_j)/(i w + q_j), the entry j is (G_{j-1} - G_j)/(2 P_j).

    Args:
        n: size of the real matrix.
        rows: how many entries of each vector, from the first; None for all.
    """
    found = spectrum("legs", n)
    w, t = found.freq.numpy(), found.p[0].real.numpy()
    count = n if rows is None else rows
    q = np.arange(count) + 0.5
    # (i w - q)/(i w + q) is a rotation by 2 arctan(q/w).
    angle = np.zeros((count + 1, n // 2))
    np.cumsum(2 * np.arctan2(q[:, None], w), axis=0, out=angle[1:])
    g = t * np.exp(1j * angle)
    return torch.from_numpy((g[:-1] - g[1:]) / (2 * np.sqrt(q)[:, None]))


def _rank_one(rate: float, w: Array, b: Array, p: Array) -> Spectrum:
    p_row = torch.from_numpy(p).to(torch.complex128).unsqueeze(0)
    return Spectrum(rate, torch.from_numpy(w), torch.from_numpy(b), p_row)


def _legs(n: int) -> tuple[Array, Array]:
    """Frequencies, descending, and P̂."""
    m = np.arange(n // 2)
    # arctan(x) < x bounds the roots from both sides: by 1/w from above, by w from below.
    high = n * n / ((2 * m + 1) * math.pi)
    low = (n // 2 - m - 0.5) * math.pi / np.sum(1 / (np.arange(n) + 0.5))
    w = np.clip(n / math.pi * (n / (2 * m + 1) - 1), low, high)
    sums = _Secular(n)
    active = np.arange(n // 2)
    for _ in range(_STEPS):
        here = w[active]
        excess, slope = sums.excess_and_slope(here, active)
        low[active] = np.where(excess < 0, here, low[active])
        high[active] = np.where(excess > 0, here, high[active])
        # Newton's step in w for small w and in 1/w for large: the function is concave in either.
        step = np.where(here > n, here / (1 + excess / (slope * here)), here - excess / slope)
        inside = (step >= low[active]) & (step <= high[active])
        after = np.where(inside, step, np.sqrt(low[active] * high[active]))
        w[active] = after
        # Newton's error squares with each step, so what such a step leaves is far below rounding.
        active = active[~inside | (np.abs(after - here) > 1e-11 * here)]
        if not len(active):
            break
    return w, 1 / np.sqrt(sums.excess_and_slope(w, m)[1])


class _Secular:
    """The secular function Σ arctan(w/q_n) - (N/2 - m - 1/2) π of each mode m, and its slope, in O(1) a mode."""

    def __init__(self, n: int) -> None:
        self.n = n
        ratio = (np.arange(n) + 0.5) / n
        self.sums = np.array([np.sum(ratio ** (2 * j + 1)) for j in range(_SERIES)])

    def excess_and_slope(self, w: Array, m: npt.NDArray[np.int64]) -> tuple[Array, Array]:
        """For w > 2N by arctan's series in 1/w, since there the difference of logΓ loses digits to cancellation."""
        excess, slope = np.empty_like(w), np.empty_like(w)
        large = w > 2 * self.n
        excess[large], slope[large] = self._series(w[large], m[large])
        z = 1j * w[~large]
        upper, lower = self.n + 0.5 + z, 0.5 + z
        excess[~large] = (loggamma(upper) - loggamma(lower)).imag - (self.n / 2 - m[~large] - 0.5) * math.pi
        slope[~large] = (digamma(upper) - digamma(lower)).real
        return excess, slope

    def _series(self, w: Array, m: npt.NDArray[np.int64]) -> tuple[Array, Array]:
        odd = 2 * np.arange(_SERIES) + 1
        terms = (self.n / w)[:, None] ** odd * (np.where(odd % 4 == 1, 1.0, -1.0) * self.sums)
        return (m + 0.5) * math.pi - np.sum(terms / odd, axis=1), np.sum(terms, axis=1) / w


def _legt(n: int) -> Spectrum:
    """Rank 2: its normal part maps even rows to odd ones and back, so singular values give its frequencies."""
    r = np.sqrt(2 * np.arange(n) + 1)
    even, odd = np.arange(0, n, 2), np.arange(1, n, 2)
    block = -0.5 * np.sign(odd[None, :] - even[:, None]) * r[even][:, None] * r[odd][None, :]
    # The even rows hold -block, the odd rows its negative transpose.
    left, w, right = np.linalg.svd(-block)
    # (left, i right)/sqrt(2) is the unit eigenvector of +i w; B decides its phase.
    even_part, odd_part = left.T @ r[even] / 2, -1j * (right @ r[odd]) / 2
    b = math.sqrt(0.5) * (even_part + odd_part)
    phase = np.conj(b) / np.abs(b)
    p = np.stack([odd_part, even_part]) * phase
    return Spectrum(0.0, torch.from_numpy(w.copy()), torch.from_numpy(np.abs(b)), torch.from_numpy(p))
