"""Orthonormal columns, with a positive triangular factor, of one tall matrix or of many at once.

Columns of a tall matrix are orthonormalised through the Cholesky factor of their Gram matrix (Yamamoto et al.,
Roundoff error analysis of the CholeskyQR2 algorithm, ETNA 2015), which reads the matrix twice and works in float64
whatever it is stored in. Where the columns' condition is above 1e7 the Gram matrix has lost them: then Householder's
reflections, and where columns depend on each other, which leaves those arbitrary, one column after the other, a
dependent one becoming 0.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

CONDITION = 1e7
_AGAIN = 1e2  # conditions above lose digits in one pass; a second restores them
_BLOCK = 2**17  # entries that are worked on at a time: 1 MB in float64 stays in a core's cache
# A column of which less than this share remains, when what it has in common with those before it is taken off, is
# rounding noise.
_DEPENDENT = {torch.float64: 1e-11, torch.float32: 1e-5}


def orthonormal(block: Tensor) -> tuple[Tensor, Tensor]:
    """Return Q of the thin QR decompositions with positive diagonals of R.

    Args:
        block: float32 or float64 (graphs, N, k); rows of zeros do not matter.

    Returns:
        Q like ``block``, columns that depend on those before them being 0, and how many are not, int64 (graphs,).
    """
    lengths = column_lengths(block)
    unit = 1 / lengths.where(lengths > 0, torch.ones_like(lengths))
    k = block.shape[2]
    factor, fine, condition = _cholesky(_gram(block, unit))
    fine &= (lengths > 0).all(dim=1) & (block.shape[1] >= k)
    ranks = torch.full((len(block),), k, device=block.device)
    q = block.clone() if not bool(fine.all()) else block
    if bool(fine.any()):
        all_fine = bool(fine.all())
        chosen = block if all_fine else block[fine]
        inverse = unit[fine, :, None] * _inverse(factor[fine])
        if bool((condition[fine] > _AGAIN).any()):
            once = _times(chosen, inverse)
            again, _, _ = _cholesky(_gram(once, torch.ones_like(unit[fine])))
            found = _times(once, _inverse(again))
        else:
            found = _times(chosen, inverse)
        if all_fine:
            return found, ranks
        q[fine] = found
    rest, ranks[~fine] = _careful(block[~fine], lengths[~fine])
    q[~fine] = rest.to(q.dtype)
    return q, ranks


def column_lengths(block: Tensor) -> Tensor:
    """Euclidean lengths of columns: (graphs, N, k) to float64 (graphs, k), however large or small the entries."""
    total = sum((part.double().square().sum(dim=1) for part in _parts(block)), start=_zeros(block))
    if block.dtype == torch.float32 or bool(((total > 1e-280) & (total < 1e300)).all()):
        return total.sqrt_()  # squares of float32 numbers neither overflow nor vanish in float64
    largest = block.abs().amax(dim=1)
    safe = largest.where(largest > 0, torch.ones_like(largest))
    total = sum(((part / safe[:, None]).square_().sum(dim=1) for part in _parts(block)), start=_zeros(block))
    return total.sqrt_() * safe


def _zeros(block: Tensor) -> Tensor:
    return torch.zeros(len(block), block.shape[2], dtype=torch.float64, device=block.device)


def _parts(block: Tensor) -> Iterator[Tensor]:
    rows = max(1, _BLOCK // max(1, len(block) * block.shape[2]))
    return (block[:, first : first + rows] for first in range(0, block.shape[1], rows))


def _gram(block: Tensor, unit: Tensor) -> Tensor:
    """The Gram matrix of columns scaled by ``unit``: float64 (graphs, k, k)."""
    total = torch.zeros(len(block), block.shape[2], block.shape[2], dtype=torch.float64, device=block.device)
    for part in _parts(block):
        wide = part.double() * unit[:, None]
        total += wide.mT @ wide
    return total


def _times(block: Tensor, matrix: Tensor) -> Tensor:
    """``block @ matrix``, computed in float64, like ``block``."""
    out = torch.empty_like(block)
    rows = max(1, _BLOCK // max(1, len(block) * block.shape[2]))
    for start in range(0, block.shape[1], rows):
        out[:, start : start + rows] = block[:, start : start + rows].double() @ matrix
    return out


def _cholesky(gram: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Lower factors, whether each can be used, and the condition of the columns."""
    factor, failed = torch.linalg.cholesky_ex(gram)
    eigenvalues = torch.linalg.eigvalsh(gram)
    smallest = eigenvalues[:, 0].clamp(min=0)
    condition = (eigenvalues[:, -1] / smallest).sqrt()
    return factor, (failed == 0) & (condition <= CONDITION), condition


def _inverse(factor: Tensor) -> Tensor:
    """Inverses of the transposes of lower factors: what the columns are multiplied by."""
    eye = torch.eye(factor.shape[-1], dtype=factor.dtype, device=factor.device)
    found: Tensor = torch.linalg.solve_triangular(factor, eye.expand_as(factor), upper=False).mT
    return found


def _careful(block: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
    """Q of matrices (graphs, N, k) whose columns are nearly or wholly dependent, and their ranks."""
    least = _DEPENDENT[block.dtype]
    n, k = block.shape[1:]
    wide = block.double() / lengths.where(lengths > 0, torch.ones_like(lengths))[:, None]
    ranks = torch.full((len(wide),), k, device=wide.device)
    if n < k:
        return _one_by_one(wide, least)
    q, r = torch.linalg.qr(wide)
    diagonal = r.diagonal(dim1=1, dim2=2)
    q *= torch.where(diagonal < 0, -1.0, 1.0)[:, None]
    dependent = (diagonal.abs() <= least).any(dim=1)
    if bool(dependent.any()):
        q[dependent], ranks[dependent] = _one_by_one(wide[dependent], least)
    return q, ranks


def _one_by_one(wide: Tensor, least: float) -> tuple[Tensor, Tensor]:
    """Gram-Schmidt, each column twice (which makes it orthogonal to the last digit), dependent columns 0."""
    found = torch.zeros_like(wide)
    ranks = torch.zeros(len(wide), dtype=torch.int64, device=wide.device)
    for j in range(wide.shape[2]):
        column = wide[:, :, j : j + 1]
        for _ in range(2):
            column = column - found[:, :, :j] @ (found[:, :, :j].mT @ column)
        length = torch.linalg.vector_norm(column, dim=(1, 2))
        keep = (length > least) & (ranks < wide.shape[1])
        found[keep, :, j] = column[keep, :, 0] / length[keep, None]
        ranks += keep
    return found, ranks
