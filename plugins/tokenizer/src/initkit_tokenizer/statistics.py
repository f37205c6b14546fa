"""Means, covariances and Gaussian samples of the rows of a table, in blocks that never hold it whole in float32."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

BLOCK = 2048


def blocks(table: Tensor, rows: Tensor) -> Iterator[Tensor]:
    """Chosen rows in float32, at most :data:`BLOCK` at a time.

    Args:
        table: (V, d), any float type.
        rows: indices, ascending.
    """
    for start in range(0, len(rows), BLOCK):
        yield table[rows[start : start + BLOCK]].to(torch.float32)


def soundness(table: Tensor) -> tuple[Tensor, Tensor]:
    """Which rows are finite, and the largest size of a number in each, both (V,); the latter in float32.

    Whatever is kept has its place before the blocks come, so that they all use the same memory.
    """
    largest = torch.empty(len(table), device=table.device)
    for start in range(0, len(table), BLOCK):
        low, high = torch.aminmax(table[start : start + BLOCK], dim=1)
        largest[start : start + BLOCK] = torch.maximum(-low, high)
    return torch.isfinite(largest), largest


def distinct(table: Tensor) -> int:
    """How many rows of a table differ from all others, to the bit."""
    return len({hash(row.tobytes()) for part in torch.split(table, BLOCK) for row in _bits(part)})


def _bits(part: Tensor) -> NDArray[np.uint8]:
    raw: NDArray[np.uint8] = part.contiguous().cpu().view(torch.uint8).numpy()
    return raw


def mean(table: Tensor, rows: Tensor) -> Tensor:
    """Mean of chosen rows, (d,), float32 from float64 sums."""
    total = torch.zeros(table.shape[1], dtype=torch.float64, device=table.device)
    for block in blocks(table, rows):
        total += block.to(torch.float64).sum(0)
    return (total / len(rows)).to(torch.float32)


def mean_norm(table: Tensor, rows: Tensor) -> float:
    """Mean length of chosen rows."""
    return float(torch.cat([block.norm(dim=1) for block in blocks(table, rows)]).mean())


def deviation(table: Tensor, rows: Tensor, *, ddof: int = 0) -> Tensor:
    """Standard deviation of each column over chosen rows, (d,), float32 from float64 sums."""
    centre = mean(table, rows).to(torch.float64)
    total = torch.zeros_like(centre)
    for block in blocks(table, rows):
        total += (block.to(torch.float64) - centre).square().sum(0)
    return (total / (len(rows) - ddof)).sqrt().to(torch.float32)


def covariance(table: Tensor, rows: Tensor) -> Tensor:
    """C = (E - mu)^T (E - mu)/V over chosen rows, (d, d), float32 products in float64 sums.

    A column's products are taken about its mean, so that a large mean costs no digits.
    """
    centre = mean(table, rows)
    width = table.shape[1]
    total = torch.zeros(width, width, dtype=torch.float64, device=table.device)
    for block in blocks(table, rows):
        centred = block - centre
        total += centred.T @ centred
    return (total / len(rows)).to(torch.float32)


def cholesky(matrix: Tensor) -> Tensor | None:
    """The lower factor L with L L^T = matrix, or None where it is not positive definite."""
    factor, info = torch.linalg.cholesky_ex(matrix)
    return None if int(info) else factor


def from_factor(numbers: Tensor, centre: Tensor, factor: Tensor, scale: float) -> Tensor:
    """mu + sqrt(s) z L^T: rows of N(mu, s L L^T) in one matrix product.

    Args:
        numbers: z, standard normal, (n, d).
        centre: mu, (d,).
        factor: L, (d, d).
        scale: s.
    """
    return centre + math.sqrt(scale) * (numbers @ factor.T)


def from_data(numbers: Callable[[int, int], Tensor], table: Tensor, rows: Tensor, count: int, scale: float) -> Tensor:
    """mu + sqrt(s/V) G (E - mu): rows of exactly N(mu, s C) without C, whatever its rank.

    Args:
        numbers: gives columns ``start`` to ``stop`` of G, standard normal, (count, V).
        table: E, (all rows, d).
        rows: indices of the V rows that C is of.
        count: how many rows to draw.
        scale: s.
    """
    centre = mean(table, rows)
    total = torch.zeros(count, table.shape[1], dtype=torch.float64, device=table.device)
    start = 0
    for block in blocks(table, rows):
        drawn = numbers(start, start + len(block)).to(table.device, torch.float32)
        total += drawn @ (block - centre)
        start += len(block)
    return centre + (math.sqrt(scale / len(rows)) * total).to(torch.float32)
