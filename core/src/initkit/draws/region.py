"""Parts of a tensor: a process that holds one generates just that."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

Span = tuple[int, int]
Spans = tuple[Span, ...]
Indices = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Region:
    """Some indices of each dimension of a tensor, and all elements where they meet.

    Its elements stand in the order of the tensor. Such is what a process holds of a tensor that is cut along one or
    several dimensions, evenly or not, once or several times.

    Attributes:
        shape: of the whole tensor.
        spans: for each dimension its indices, as pairs (first, one after the last), ascending and apart.
    """

    shape: tuple[int, ...]
    spans: tuple[Spans, ...]

    @classmethod
    def of(cls, shape: Iterable[int], indices: Iterable[Indices]) -> Region:
        """The region of ascending indices, one vector a dimension."""
        return cls(tuple(shape), tuple(_spans(one) for one in indices))

    @classmethod
    def whole(cls, shape: Iterable[int]) -> Region:
        """All of a tensor."""
        sizes = tuple(shape)
        return cls(sizes, tuple(((0, size),) if size else () for size in sizes))

    @cached_property
    def sizes(self) -> tuple[int, ...]:
        """Shape of the part."""
        return tuple(sum(stop - start for start, stop in spans) for spans in self.spans)

    @property
    def count(self) -> int:
        """Number of elements."""
        return math.prod(self.sizes)

    def indices(self, dimension: int) -> Indices:
        """The indices of a dimension."""
        return _joined(self.spans[dimension])

    @cached_property
    def runs(self) -> tuple[Indices, Indices]:
        """Stretches of consecutive linear indices in the whole tensor: the first of each, and how many there are."""
        last = len(self.shape) - 1
        inner = 1
        while last >= 0 and self.sizes[last] == self.shape[last]:
            inner *= self.shape[last]
            last -= 1
        if last < 0:
            return np.zeros(1 if inner else 0, np.int64), np.full(1 if inner else 0, inner, np.int64)
        starts = np.array([start for start, _ in self.spans[last]], np.int64) * inner
        counts = np.array([stop - start for start, stop in self.spans[last]], np.int64) * inner
        stride = inner * self.shape[last]
        for dimension in reversed(range(last)):
            offsets = self.indices(dimension) * stride
            starts = (offsets[:, None] + starts[None, :]).reshape(-1)
            counts = np.broadcast_to(counts, (len(offsets), len(counts))).reshape(-1)
            stride *= self.shape[dimension]
        kept = counts > 0
        return starts[kept], counts[kept]

    @cached_property
    def _ends(self) -> Indices:
        return np.cumsum(self.runs[1])

    def before(self, index: int) -> int:
        """How many of the region's elements come before a linear index of the whole tensor."""
        starts, counts = self.runs
        run = int(np.searchsorted(starts, index, side="right")) - 1
        if run < 0:
            return 0
        return int(self._ends[run] - counts[run] + min(index - int(starts[run]), int(counts[run])))

    def places(self, first: int, stop: int) -> Indices:
        """Linear indices in the whole tensor of the region's elements ``first .. stop - 1``."""
        if stop <= first:
            return np.zeros(0, np.int64)
        starts, counts = self.runs
        low, high = np.searchsorted(self._ends, [first, stop - 1], side="right")
        shifts = starts[low : high + 1] - (self._ends[low : high + 1] - counts[low : high + 1])
        ends = np.minimum(self._ends[low : high + 1], stop)
        lengths = np.diff(ends, prepend=first)
        places: Indices = np.arange(first, stop, dtype=np.int64) + np.repeat(shifts, lengths)
        return places

    def within(self, index: tuple[int | slice, ...]) -> tuple[Region, tuple[Indices, ...]]:
        """What a block of the whole tensor (ints and slices, as torch has them) holds of the region.

        Returns:
            The part as a region of the block, and for each dimension of the region where it lies in it.
        """
        full = (*index, *(slice(None),) * (len(self.shape) - len(index)))
        shape, inside, places = [], [], []
        for dimension, (size, one) in enumerate(zip(self.shape, full, strict=True)):
            held = self.indices(dimension)
            if isinstance(one, slice):
                start, stop, step = one.indices(size)
                taken = (held >= start) & (held < stop) & ((held - start) % step == 0)
                shape.append(len(range(start, stop, step)))
                inside.append((held[taken] - start) // step)
            else:
                taken = held == one % size
            places.append(np.flatnonzero(taken))
        # A dimension that an int removes empties the part where the region does not hold that index.
        empty = any(len(place) == 0 for place in places)
        return Region.of(shape, [one[:0] for one in inside] if empty else inside), tuple(places)


def blocks_of(shape: Iterable[int], most: int) -> Iterator[Region]:
    """A tensor cut along its first dimension into consecutive parts of about ``most`` elements.

    Nothing of a tensor without dimensions or elements, which needs no cutting.
    """
    whole = Region.whole(shape)
    if not whole.count or not whole.shape:
        return
    step = max(1, most // (whole.count // whole.shape[0]))
    for start in range(0, whole.shape[0], step):
        yield Region(whole.shape, (((start, min(start + step, whole.shape[0])),), *whole.spans[1:]))


def _spans(indices: Indices) -> Spans:
    if len(indices) == 0:
        return ()
    breaks = np.flatnonzero(np.diff(indices) != 1)
    starts = indices[np.concatenate(([0], breaks + 1))]
    stops = indices[np.concatenate((breaks, [len(indices) - 1]))] + 1
    return tuple(zip(starts.tolist(), stops.tolist(), strict=True))


def _joined(spans: Spans) -> Indices:
    parts = [np.arange(start, stop, dtype=np.int64) for start, stop in spans]
    return np.concatenate(parts) if parts else np.zeros(0, np.int64)
