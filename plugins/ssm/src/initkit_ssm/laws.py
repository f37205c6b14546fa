"""The laws of S4D's eigenvalues: rates -Re A, frequencies Im A and B for each mode, before any scale."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from initkit_ssm.hippo import spectrum


class Law(NamedTuple):
    """A law's numbers, float64 (M,) each.

    Attributes:
        rate: -Re A.
        freq: Im A.
        b: B, real.
    """

    rate: Tensor
    freq: Tensor
    b: Tensor


def legs(n: int) -> Law:
    """-1/2 + i w of HiPPO-LegS's normal part, the largest frequency first, with its own B."""
    found = spectrum("legs", n)
    return Law(torch.full_like(found.freq, found.rate), found.freq, found.b)


def lin(n: int) -> Law:
    """-1/2 + i π n: the frequencies of a Fourier basis."""
    index = torch.arange(n // 2, dtype=torch.float64)
    return Law(torch.full_like(index, 0.5), math.pi * index, torch.ones_like(index))


def inv(n: int) -> Law:
    """-1/2 + i (N/π)(N/(2n+1) - 1): what LegS's frequencies tend to; N is the full state size."""
    index = torch.arange(n // 2, dtype=torch.float64)
    freq = n / math.pi * (n / (2 * index + 1) - 1)
    return Law(torch.full_like(index, 0.5), freq, torch.ones_like(index))


def real(modes: int) -> Law:
    """-(n+1) without frequencies."""
    rate = torch.arange(1, modes + 1, dtype=torch.float64)
    return Law(rate, torch.zeros_like(rate), torch.ones_like(rate))
