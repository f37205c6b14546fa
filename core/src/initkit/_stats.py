"""Statistics and hash of a written tensor, the same on every machine for the same bits."""

from __future__ import annotations

import hashlib
import math
import threading
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

CHUNK = 1 << 16
"""Elements that are summed up together; blocks of a tensor are cut at its multiples."""
_SERIAL = 1 << 14
"""So few elements torch copies in one thread."""


@dataclass(frozen=True)
class Statistics:
    """Mean, population standard deviation, extremes (None for an empty tensor) and SHA-256 of the bytes."""

    mean: float | None
    std: float | None
    min: float | None
    max: float | None
    hash: str


_ORDERED = {torch.float64, torch.float32, torch.bfloat16, torch.float16}

UNMEASURED = Statistics(None, None, None, None, "")
"""Stands in for statistics that are still to come."""


def statistics(tensor: torch.Tensor) -> Statistics:
    """Measure a tensor in float64, in fixed chunks, rounded to 6 significant digits; complex by its components."""
    measure = Measure()
    measure.add(_flat(tensor))
    return measure.result()


def all_finite(tensor: torch.Tensor) -> bool:
    """Whether no element is NaN or infinite."""
    if tensor.is_complex():
        tensor = torch.view_as_real(tensor.resolve_conj())
    if tensor.numel() and tensor.dtype in _ORDERED:  # one pass, without a tensor of answers
        return all(math.isfinite(float(end)) for end in torch.aminmax(tensor))
    return bool(torch.isfinite(tensor).all())


def digest_of(tensor: torch.Tensor) -> str:
    """SHA-256 of a tensor's bytes."""
    return hashlib.sha256(bytes_of(tensor).data).hexdigest()


def bytes_of(tensor: torch.Tensor) -> npt.NDArray[np.uint8]:
    """A tensor's bytes in order, shared with it where that can be."""
    return _flat(tensor).view(torch.uint8).numpy()


def _flat(tensor: torch.Tensor) -> torch.Tensor:
    """The elements in order on the CPU, side by side."""
    values = tensor.detach().cpu().contiguous()
    # A single element counts as contiguous whatever its stride; through no dimension it gets the usual one.
    return values.reshape(()).reshape(1) if values.numel() == 1 else values.reshape(-1)


class Measure:
    """Statistics of a tensor that comes in blocks, one after the other in the order of its elements.

    The result does not depend on the blocks, as long as each but the last has a multiple of :data:`CHUNK` elements.
    """

    def __init__(self) -> None:
        self._digest = hashlib.sha256()
        self._counts: list[int] = []
        self._sums: list[float] = []
        self._spreads: list[float] = []
        self._low, self._high = math.inf, -math.inf

    def add(self, block: torch.Tensor) -> None:
        """Take in the next elements: a contiguous vector on the CPU."""
        block = block.resolve_conj()
        # The hash takes longer than the sums; neither holds the interpreter's lock.
        hashing = threading.Thread(target=self._digest.update, args=(block.view(torch.uint8).numpy().data,))
        hashing.start()
        try:
            self._sum_up(torch.view_as_real(block).reshape(-1) if block.is_complex() else block)
        finally:
            hashing.join()

    def _sum_up(self, block: torch.Tensor) -> None:
        for chunk in torch.split(block, CHUNK) if block.numel() else ():
            values = _in_float64(chunk)
            total = float(values.sum())
            self._counts.append(len(values))
            self._sums.append(total)
            self._spreads.append(float(np.square(values - total / len(values)).sum()))
            self._low, self._high = min(self._low, float(values.min())), max(self._high, float(values.max()))

    def result(self) -> Statistics:
        """The statistics of everything taken in."""
        digest = self._digest.hexdigest()
        count = sum(self._counts)
        if count == 0:
            return Statistics(None, None, None, None, digest)
        mean = math.fsum(self._sums) / count
        # The sum of squares about the whole mean, from those about each chunk's own.
        between = (n * (total / n - mean) ** 2 for n, total in zip(self._counts, self._sums, strict=True))
        spread = math.fsum((*self._spreads, *between)) / count
        return Statistics(_round(mean), _round(math.sqrt(spread)), _round(self._low), _round(self._high), digest)


def _in_float64(chunk: torch.Tensor) -> npt.NDArray[np.float64]:
    """A vector's numbers, converted by this thread alone: on a busy machine torch's threads wait for each other."""
    values = np.empty(len(chunk))
    for part, into in zip(torch.split(chunk, _SERIAL), torch.split(torch.from_numpy(values), _SERIAL), strict=True):
        into.copy_(part)
    return values


def _round(value: float) -> float:
    return float(f"{value:.6g}")
