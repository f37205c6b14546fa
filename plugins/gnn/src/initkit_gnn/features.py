"""Sums over the rows of a feature matrix."""

from __future__ import annotations

import torch
from torch import Tensor

BLOCK = 2**18  # feature entries read at a time


def sparse_entries(x: Tensor) -> tuple[Tensor, Tensor]:
    """Return the row and the value of each stored entry of a sparse feature matrix."""
    coo = x.to_sparse().coalesce()
    return coo.indices()[0], coo.values()


def row_moments(x: Tensor, device: torch.device) -> tuple[Tensor, Tensor]:
    """Return the mean and the mean square of every row, accumulated in float64 over blocks of rows."""
    size, width = x.shape[0], x.numel() // x.shape[0]
    if x.layout != torch.strided:
        row, value = sparse_entries(x)
        value = value.double()
        zeros = torch.zeros(size, dtype=torch.float64, device=row.device)
        mean = zeros.index_add(0, row, value) / width
        return mean.to(device), (zeros.index_add(0, row, value.square()) / width).to(device)
    mean = torch.empty(size, dtype=torch.float64, device=x.device)
    square = torch.empty_like(mean)
    step = max(1, BLOCK // width)
    for start in range(0, size, step):
        block = x[start : start + step].reshape(-1, width).double()
        mean[start : start + step] = block.mean(dim=1)
        square[start : start + step] = block.square().mean(dim=1)
    return mean.to(device), square.to(device)
