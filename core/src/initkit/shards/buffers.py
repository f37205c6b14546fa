"""The bytes of a tensor, as a file holds them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

PIECE = 1 << 22
"""Bytes that are copied at a time."""


def bytes_of(tensor: Tensor) -> Any:
    """The bytes of a contiguous tensor on the CPU as a numpy vector that shares its memory."""
    return tensor.reshape(-1).view(torch.uint8).numpy()


def pieces_of(tensor: Tensor) -> Iterator[memoryview]:
    """A tensor's bytes as a file holds them, piece by piece; copied only where it is elsewhere or not contiguous."""
    whole = tensor.detach().resolve_conj().resolve_neg().to("cpu").contiguous()
    raw = memoryview(bytes_of(whole))
    for start in range(0, len(raw), PIECE):
        yield raw[start : start + PIECE]
