"""What moved between two saved models."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from initkit._save import METADATA_KEY
from initkit.difference import Difference, Moved
from initkit.errors import FileError
from initkit.shards.reading import StoredTensors

_BLOCK = 1 << 22  # numbers that are compared at once


def diff(first: str | os.PathLike[str], second: str | os.PathLike[str]) -> Difference:
    """Compare two safetensors files, or folders of shards, tensor by tensor; no more than one pair of them is held.

    Tied names that a file stores once are compared under each name.

    Args:
        first: path of a file or folder.
        second: path of another.

    Raises:
        FileError: one is missing or broken.
    """
    one, two = _opened(first), _opened(second)
    names = list(dict.fromkeys([*one.names, *two.names]))
    moved = [_compared(name, one, two) for name in names]
    return Difference(os.fspath(first), os.fspath(second), one.provenance, two.provenance, moved)


class _File:
    def __init__(self, stored: StoredTensors) -> None:
        self._stored = stored
        self.provenance: dict[str, Any] = json.loads(stored.metadata(METADATA_KEY) or "{}")
        self._alias = dict(self.provenance.get("aliases", {}))
        self.names = sorted([*stored, *self._alias])

    def tensor(self, name: str) -> Tensor | None:
        return self._stored.read(self._alias.get(name, name)) if name in self.names else None


def _opened(path: str | os.PathLike[str]) -> _File:
    try:
        return _File(StoredTensors.of(path))
    except FileError as error:
        raise FileError(f"cannot compare {path}: {str(error).removeprefix(f'{path}: ')}") from None
    except ValueError as error:
        raise FileError(f"cannot compare {path}: it is no sound safetensors file ({error})") from None


def _compared(name: str, one: _File, two: _File) -> Moved:
    a, b = one.tensor(name), two.tensor(name)
    if a is None or b is None:
        shape = tuple((a if a is not None else b).shape)  # type: ignore[union-attr]
        return Moved(name, "removed" if b is None else "added", shape)
    shape = tuple(b.shape)
    if a.shape != b.shape:
        return Moved(name, "resized", shape, was=f"shape {tuple(a.shape)}")
    kind = f"dtype {str(a.dtype).removeprefix('torch.')}" if a.dtype != b.dtype else ""
    if not kind and torch.equal(a.contiguous().view(torch.uint8), b.contiguous().view(torch.uint8)):
        return Moved(name, "same", shape)
    return Moved(name, "moved", shape, was=kind, **_distances(a, b))


def _distances(a: Tensor, b: Tensor) -> dict[str, Any]:
    """RMS of the change, that relative to the first tensor's RMS, the largest change and the cosine."""
    change = first = second = product = largest = 0.0
    for x, y in _blocks(a, b):
        difference = y - x
        change += float(difference.square().sum())
        first += float(x.square().sum())
        second += float(y.square().sum())
        product += float((x * y).sum())
        largest = max(largest, float(difference.abs().max()))
    count = max(1, a.numel())
    length = math.sqrt(first) * math.sqrt(second)
    return {
        "rms": math.sqrt(change / count),
        "relative": math.sqrt(change / first) if first > 0 else None,
        "largest": largest,
        "cosine": product / length if length > 0 else None,
    }


def _blocks(a: Tensor, b: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
    flat = [(torch.view_as_real(t) if t.is_complex() else t).reshape(-1) for t in (a, b)]
    for start in range(0, flat[0].numel(), _BLOCK):
        yield flat[0][start : start + _BLOCK].double(), flat[1][start : start + _BLOCK].double()
