"""The HiPPO matrices written out, as their papers define them; float64."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]


def hippo(measure: str, n: int) -> tuple[Array, Array, Array]:
    """A (n, n), B (n,) and P (rank, n) with A + Pᵀ P normal."""
    i = np.arange(n)
    r = np.sqrt(2 * i + 1)
    if measure == "legs":
        a = -np.tril(np.outer(r, r), -1) - np.diag(i + 1.0)
        return a, r, np.sqrt(i + 0.5)[None]
    if measure == "lagt":
        return np.eye(n) / 2 - np.tril(np.ones((n, n))), np.ones(n), np.full((1, n), math.sqrt(0.5))
    if measure == "legt":
        signs = np.where(i[:, None] >= i[None], 1.0, (-1.0) ** (i[:, None] - i[None]))
        return -0.5 * np.outer(r, r) * signs, r / 2, np.stack([r * (i % 2), r * (1 - i % 2)]) / math.sqrt(2)
    b = np.where(i % 2 == 0, math.sqrt(2), 0.0)
    b[0] = 1.0
    off = np.stack([np.zeros(n // 2), np.arange(n // 2)], -1).reshape(-1)[1:]
    return math.pi * (np.diag(off, -1) - np.diag(off, 1)) - np.outer(b, b), b, b[None]
