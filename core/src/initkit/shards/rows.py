"""Parts of stored tensors: rows read when they are asked for, and bytes that are passed on."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import BinaryIO

import torch
from torch import Tensor

from initkit.draws.region import Region
from initkit.errors import FileError
from initkit.shards.buffers import PIECE
from initkit.shards.reading import Stored, read_into

_GAP = 3


class FileRows:
    """A tensor's rows in a file, read when they are asked for.

    Indexed by a slice, a list or a tensor of row numbers; what it gives is a tensor. Its rows are read in runs, so the
    order of the numbers does not matter.

    Args:
        stored: whose rows; all axes but ``axis`` make a row.
        axis: of the rows; those before it have one entry.
    """

    def __init__(self, stored: Stored, axis: int = 0) -> None:
        if any(size != 1 for size in stored.shape[:axis]):
            raise FileError(
                f"{stored.file}: {stored.name} {stored.shape} has its rows in axis {axis}, so a row is not in one "
                f"place; load the model and apply the recipe to it"
            )
        self.dtype, self.device = stored.dtype, torch.device("cpu")
        rows = stored.shape[axis]
        self.shape = torch.Size((rows, math.prod(stored.shape) // rows))
        self._stored = stored

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, index: slice | Tensor | Sequence[int]) -> Tensor:
        with self._stored.file.open("rb", buffering=0) as stream:
            if isinstance(index, slice):
                start, stop, step = index.indices(len(self))
                if step != 1:
                    raise IndexError("rows are read one after the other")
                return self._run(stream, start, max(start, stop))
            return self._chosen(stream, torch.as_tensor(index, dtype=torch.long))

    def _chosen(self, stream: BinaryIO, rows: Tensor) -> Tensor:
        if rows.ndim != 1:
            raise IndexError("one row number a row")
        if not len(rows):
            return torch.empty(0, self.shape[1], dtype=self.dtype)
        wanted, place = torch.unique(rows, return_inverse=True)
        parts, done = [], 0
        for start, stop in _runs(wanted.tolist()):
            end = int(torch.searchsorted(wanted, stop))
            run = self._run(stream, start, stop)
            parts.append(run if end - done == len(run) else run[wanted[done:end] - start])
            done = end
        out = torch.cat(parts) if len(parts) != 1 else parts[0]
        return out if torch.equal(wanted, rows) else out[place]

    def _run(self, stream: BinaryIO, start: int, stop: int) -> Tensor:
        out = torch.empty(stop - start, self.shape[1], dtype=self.dtype)
        read_into(stream, self._stored, start * self.shape[1] * self.dtype.itemsize, out)
        return out


def passed_on(stream: BinaryIO, stored: Stored, first: int = 0) -> Iterator[bytes]:
    """A tensor's bytes, piece by piece.

    Args:
        stream: of its file, open.
        stored: which tensor.
        first: byte of it to begin with.

    Raises:
        FileError: the file has become shorter.
    """
    stream.seek(stored.start + first)
    left = stored.size - first
    while left:
        piece = stream.read(min(PIECE, left))
        if not piece:
            raise FileError(f"{stored.file} became shorter while it was read")
        left -= len(piece)
        yield piece


def read_region(stored: Stored, region: Region) -> Tensor:
    """A part of a stored tensor, in memory of its own; the rest is read over in blocks of rows, or not at all.

    Raises:
        FileError: its type is not known, or its file has changed meanwhile.
    """
    out = torch.empty(region.sizes, dtype=stored.dtype)
    if not region.count:
        return out
    if not region.shape:
        return stored.read()
    inner = math.prod(region.shape[1:])
    step = max(1, PIECE // (inner * stored.dtype.itemsize))
    done = 0
    with stored.file.open("rb", buffering=0) as stream:
        for first, last in region.spans[0]:
            for start in range(first, last, step):
                rows = torch.empty((min(step, last - start), *region.shape[1:]), dtype=stored.dtype)
                read_into(stream, stored, start * inner * stored.dtype.itemsize, rows)
                out[done : done + len(rows)] = taken(rows, region, skip=1)
                done += len(rows)
    return out


def taken(whole: Tensor, region: Region, skip: int = 0) -> Tensor:
    """A region of a tensor, contiguous; not a copy where it is a stretch of it.

    Args:
        whole: the tensor.
        region: what to take of it.
        skip: how many of the first dimensions are taken already.
    """
    part = whole
    for dimension, spans in list(enumerate(region.spans))[skip:]:
        if len(spans) == 1:
            part = part.narrow(dimension, spans[0][0], spans[0][1] - spans[0][0])
        else:
            part = part.index_select(dimension, torch.from_numpy(region.indices(dimension)))
    return part.contiguous()


def _runs(rows: list[int]) -> Iterator[tuple[int, int]]:
    """Ascending row numbers as runs; small gaps are read along, since a call costs more."""
    start = last = -1
    for row in rows:
        if start < 0:
            start = row
        elif row - last > _GAP:
            yield start, last + 1
            start = row
        last = row
    if start >= 0:
        yield start, last + 1
