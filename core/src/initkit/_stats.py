"""Statistics and hash of a written tensor, the same on every machine for the same bits."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

_CHUNK = 1 << 16


@dataclass(frozen=True)
class Statistics:
    """Mean, population standard deviation, extremes (None for an empty tensor) and SHA-256 of the bytes."""

    mean: float | None
    std: float | None
    min: float | None
    max: float | None
    hash: str


def statistics(tensor: torch.Tensor) -> Statistics:
    """Measure a tensor in float64, in fixed chunks, rounded to 6 significant digits; complex by its components."""
    values = tensor.detach().cpu().contiguous()
    digest = digest_of(values)
    if values.is_complex():
        values = torch.view_as_real(values.resolve_conj())
    count = values.numel()
    if count == 0:
        return Statistics(None, None, None, None, digest)
    mean = math.fsum(float(chunk.sum()) for chunk in _chunks(values)) / count
    spread = math.fsum(float(np.square(chunk - mean).sum()) for chunk in _chunks(values)) / count
    low = min(float(chunk.min()) for chunk in _chunks(values))
    high = max(float(chunk.max()) for chunk in _chunks(values))
    return Statistics(_round(mean), _round(math.sqrt(spread)), _round(low), _round(high), digest)


def digest_of(tensor: torch.Tensor) -> str:
    """SHA-256 of a tensor's bytes."""
    return hashlib.sha256(bytes_of(tensor).data).hexdigest()


def bytes_of(tensor: torch.Tensor) -> npt.NDArray[np.uint8]:
    """A tensor's bytes in order, shared with it where that can be."""
    values = tensor.detach().cpu().contiguous()
    # A single element counts as contiguous whatever its stride; through no dimension it gets the usual one.
    flat = values.reshape(()).reshape(1) if values.numel() == 1 else values.reshape(-1)
    return flat.view(torch.uint8).numpy()


def _chunks(values: torch.Tensor) -> Iterator[npt.NDArray[np.float64]]:
    flat = values.reshape(-1)
    for start in range(0, flat.numel(), _CHUNK):
        yield flat[start : start + _CHUNK].to(torch.float64).numpy()


def _round(value: float) -> float:
    return float(f"{value:.6g}")
