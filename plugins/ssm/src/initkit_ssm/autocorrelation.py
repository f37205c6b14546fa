"""Second moments of sequences: autocorrelation, and the largest eigenvalue of its Toeplitz matrix."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from scipy.linalg import eigh, toeplitz
from scipy.sparse.linalg import LinearOperator, eigsh
from torch import Tensor

from initkit import NeedError

DENSE = 128


def second_moments(x: Tensor, mask: Tensor | None = None) -> Tensor:
    """r_k = mean over sequences of (1/L) Σ_t x_t x_{t+k}, not centred; the biased estimator, by FFT.

    With a mask, products of steps that both count are averaged, and then weighted by (L - k)/L as without one.

    Args:
        x: real (B, L, F).
        mask: (B, L), which steps count; None counts all.

    Returns:
        float64 (F, L).
    """
    length = x.shape[1]
    x = x.to(torch.float64)
    if mask is not None:
        mask = mask.to(x.device)
        x = x * mask.unsqueeze(-1)
    products = _lagged(x).sum(0)
    if mask is None:
        return (products / (length * x.shape[0])).t().contiguous()
    pairs = _lagged(mask.to(torch.float64).unsqueeze(-1)).sum(0).round()
    weight = torch.arange(length, 0, -1, dtype=torch.float64, device=x.device).unsqueeze(-1) / length
    return (products / pairs.clamp(min=1) * weight).t().contiguous()


def _lagged(x: Tensor) -> Tensor:
    """Σ_t x_t x_{t+k} for each sequence and feature, (B, L, F)."""
    length = x.shape[1]
    spectrum = torch.fft.rfft(x, 2 * length, dim=1)
    products: Tensor = torch.fft.irfft(spectrum.abs() ** 2, 2 * length, dim=1)
    return products[:, :length]


def largest_eigenvalue(r: Tensor) -> float:
    """The largest eigenvalue of the symmetric Toeplitz matrix with first column ``r``, float64 (L,).

    By LAPACK for short ones, else by the Lanczos method with FFT products: both to rounding, the latter in O(L log L).
    On the CPU, since one vector of length L is no work for a GPU.
    """
    column = r.cpu().numpy()
    length = len(column)
    if length <= DENSE:
        top = eigh(toeplitz(column), eigvals_only=True, subset_by_index=[length - 1, length - 1])
        return float(top[0])
    return _lanczos(column)


def _lanczos(column: npt.NDArray[np.float64]) -> float:
    length = len(column)
    circle = np.fft.rfft(np.concatenate([column, [0.0], column[:0:-1]]))

    def product(v: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        whole: npt.NDArray[np.float64] = np.fft.irfft(circle * np.fft.rfft(v.ravel(), 2 * length), 2 * length)
        return whole[:length]

    operator = LinearOperator((length, length), matvec=product, dtype=np.float64)
    # A fixed start with parts of both parities, so that the result is the same each time.
    start = 1 + 0.1 * np.cos(np.pi * (np.arange(length) + 0.5) / length)
    return float(eigsh(operator, k=1, which="LA", v0=start, return_eigenvectors=False)[0])


def checked(x: Tensor, what: str) -> Tensor:
    """Sequences as float64 (B, L, F) on their device; NeedError where they are too short, all zero or not finite.

    Args:
        x: real (L,), (B, L) or (B, L, F).
        what: names it in messages.
    """
    if x.is_complex() or x.ndim not in (1, 2, 3):
        raise NeedError(
            f"{what}: {x.dtype} of shape {tuple(x.shape)}, expected real numbers (batch, length[, features])"
        )
    x = x.detach().to(torch.float64)
    x = x.reshape(1, -1, 1) if x.ndim == 1 else x.unsqueeze(-1) if x.ndim == 2 else x
    if x.shape[1] < 2:
        raise NeedError(f"{what}: sequences of length {x.shape[1]}; an autocorrelation needs 2 steps or more")
    bad = int((~torch.isfinite(x)).sum())
    if bad:
        raise NeedError(f"{what}: {bad} values are NaN or infinite; clean the data first")
    if not bool((x != 0).any()):
        raise NeedError(f"{what}: every value is 0, so there is no time scale in it; give real data")
    return x
