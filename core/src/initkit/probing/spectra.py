"""Ranks of a matrix by its singular values."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Ranks:
    """Three effective ranks, each between 1 and the matrix's smaller side (0 for a zero matrix).

    Attributes:
        entropy: exp(-Σ p ln p), p = s/Σs (Roy & Vetterli, The effective rank, EUSIPCO 2007).
        stable: Σ s²/s_1².
        participation: (Σ s²)²/Σ s⁴.
    """

    entropy: float
    stable: float
    participation: float


def entropy(p: Tensor) -> Tensor:
    """-Σ p ln p of a distribution, in nats."""
    return -(p * torch.where(p > 0, p, 1).log()).sum()


def ranks(matrix: Tensor) -> Ranks:
    """The effective ranks of a matrix, (rows, columns), not centred; computed in float64."""
    matrix = matrix.detach()
    s = torch.linalg.svdvals(matrix.to(torch.complex128 if matrix.is_complex() else torch.float64))
    if s.numel() == 0 or not float(s[0]) > 0:
        return Ranks(0.0, 0.0, 0.0)
    s = s / s[0]
    p = s / s.sum()
    squares = s.square()
    return Ranks(float(entropy(p).exp()), float(squares.sum()), float(squares.sum() ** 2 / squares.square().sum()))
