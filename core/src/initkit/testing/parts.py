"""Whether a draw's parts are those of its whole, as processes that hold parts need it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch

from initkit.draws.base import Draw
from initkit.draws.region import Region
from initkit.streams import Stream


def wrong_part(
    draw: Draw, shape: Sequence[int], dtype: torch.dtype, stream: Stream, *, current: torch.Tensor | None = None
) -> Region | None:
    """The first part that the draw makes otherwise than :meth:`Draw.sample` does; None where all are right.

    Parts are those of processes that cut a tensor along its first or its last dimension, along both, and twice along
    one, some of them empty. A draw that only makes whole tensors has no wrong part.

    Args:
        draw: without results of jobs in it.
        shape: of the whole tensor.
        dtype: of the tensor.
        stream: of random numbers.
        current: the whole present value, for draws with ``reads_current``.
    """
    whole = draw.sample(tuple(shape), dtype, stream, current=current).cpu()
    for region in cuts(shape):
        index = np.ix_(*(region.indices(dimension) for dimension in range(len(region.shape))))
        before = current[index] if current is not None else None
        part = draw.sample_region(region, dtype, stream, current=before)
        if part is None:
            return None
        if tuple(part.shape) != region.sizes or not _same_bits(part.cpu(), whole[index]):
            return region
    return None


def cuts(shape: Sequence[int]) -> Iterator[Region]:
    """Parts of a tensor that processes may hold: all parts of each cut."""
    sizes = tuple(shape)
    if not sizes:
        yield Region.whole(sizes)
        return
    whole = [np.arange(size) for size in sizes]
    for count in (2, 3, max(sizes) + 1):
        for part in _chunks(sizes[0], count):
            yield Region.of(sizes, [part, *whole[1:]])
            for other in _chunks(sizes[-1], 2) if len(sizes) > 1 else ():
                yield Region.of(sizes, [part, *whole[1:-1], other])
    for part in _chunks(sizes[-1], 2):
        yield Region.of(sizes, [*whole[:-1], part])
    # As FSDP over tensor parallelism: each process holds a piece of every half.
    halves = [_chunks(len(half), 2, half) for half in _chunks(sizes[0], 2)]
    for pieces in zip(*halves, strict=True):
        yield Region.of(sizes, [np.concatenate(pieces), *whole[1:]])


def _chunks(size: int, count: int, of: np.ndarray | None = None) -> list[np.ndarray]:
    """``torch.chunk``: equal parts, the last ones smaller or empty."""
    indices = np.arange(size) if of is None else of
    step = -(-size // count)
    return [indices[i * step : (i + 1) * step] for i in range(count)]


def _same_bits(a: torch.Tensor, b: torch.Tensor) -> bool:
    one, two = (t.contiguous().reshape(-1).view(torch.uint8) for t in (a, b))
    return torch.equal(one, two)
