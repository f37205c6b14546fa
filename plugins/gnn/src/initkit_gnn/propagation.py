"""Random features, propagated through a graph: the steps, normalised within each graph of a batch."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

import torch
from torch import Tensor

from initkit_gnn.csr import Multiply
from initkit_gnn.qr import column_lengths, orthonormal
from initkit_gnn.segments import Segments

Norm = Literal["qr", "l2"]
_LARGEST = 1e30  # factors up to which float32 multiplies


def trajectory(multiply: Multiply, start: Tensor, steps: int, norm: Norm, segments: Segments) -> Iterator[Normalised]:
    """Yield R_1 .. R_P with R_p = norm(S R_(p-1)).

    Args:
        multiply: S, on blocks (N, k).
        start: R_0, float32 or float64 (N, k); kept as it is.
        steps: P.
        norm: ``qr`` or ``l2``, see :func:`normalised`.
        segments: the graphs of the batch.
    """
    block = start
    for _ in range(steps):
        found = normalised(multiply(block), norm, segments)
        yield found
        block = found.block


class Normalised:
    """A normalised block (N, k), and of each graph the number of columns that are not 0, int64 (G,)."""

    def __init__(self, block: Tensor, ranks: Tensor) -> None:
        self.block, self.ranks = block, ranks


def normalised(block: Tensor, norm: Norm, segments: Segments) -> Normalised:
    """Normalise columns within each graph.

    Args:
        block: (N, k); may be written over.
        norm: ``l2`` divides each column by its Euclidean length; ``qr`` takes the orthonormal factor of the thin QR
            decomposition whose triangular factor has a positive diagonal. A column that is 0, or with ``qr`` depends
            on those before it, becomes 0.
        segments: the graphs of the batch.
    """
    if segments.batch is None:
        q, ranks = _one_size(block[None], norm)
        return Normalised(q[0], ranks)
    if norm == "l2":
        return _lengths_of_many(block, segments)
    out = torch.zeros_like(block)
    all_ranks = torch.zeros(segments.count, dtype=torch.int64, device=block.device)
    for table in segments.buckets():
        there = (table >= 0).to(block.device)
        rows = table.clamp(min=0).to(block.device)
        padded = block[rows] * there[:, :, None]
        q, ranks = _one_size(padded, norm)
        out[rows[there]] = q[there]
        assert segments.batch is not None
        all_ranks[segments.batch.to(block.device)[rows[:, 0]]] = ranks
    return Normalised(out, all_ranks)


def _one_size(block: Tensor, norm: Norm) -> tuple[Tensor, Tensor]:
    if norm == "qr":
        return orthonormal(block)
    lengths = column_lengths(block)
    factor = 1 / lengths.where(lengths > 0, torch.ones_like(lengths))
    if float(factor.max()) < _LARGEST:
        return block.mul_(factor[:, None].to(block.dtype)), (lengths > 0).sum(dim=1)
    return (block.double() * factor[:, None]).to(block.dtype), (lengths > 0).sum(dim=1)


def _lengths_of_many(block: Tensor, segments: Segments) -> Normalised:
    largest = segments.largest(block.abs())
    scaled = block / segments.spread(largest.where(largest > 0, torch.ones_like(largest)))
    lengths = segments.total(scaled.double().square()).sqrt()
    factor = (1 / lengths.where(lengths > 0, torch.ones_like(lengths))).to(block.dtype)
    return Normalised(scaled * segments.spread(factor), (lengths > 0).sum(dim=1))
