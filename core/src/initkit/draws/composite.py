"""Draws made of draws: copied rows with new ones, and blocks of one tensor."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from initkit.draws.base import PIECE, Draw, Lookup, Shape
from initkit.draws.fixed import FromJob
from initkit.draws.scaled import Elementwise

if TYPE_CHECKING:
    from initkit.draws.region import Region
    from initkit.streams import Stream

Index = int | slice | tuple[int | slice, ...]


class Rows(Draw):
    """Rows kept bit for bit from the present tensor, and new ones.

    Args:
        copy: for each new row the old row to copy, or -1 for a new one; integers, length = new number of rows.
        new: what the new rows get: an element-wise draw, ``Constant``, or values of shape (new rows, ...) in the
            order of their place.
    """

    reads_current = True

    def __init__(self, copy: torch.Tensor | Sequence[int], new: Draw) -> None:
        self.copy = torch.as_tensor(copy, dtype=torch.long).detach().cpu()
        self.new = new
        self.random = new.random

    def sample(
        self,
        shape: Shape,
        dtype: torch.dtype,
        stream: Stream,
        *,
        current: torch.Tensor | None = None,
        device: torch.device | None = None,
    ) -> torch.Tensor:
        """Return the new tensor, rows of ``current`` copied bit for bit."""
        if current is None:
            raise RuntimeError("Rows.sample needs the present tensor")
        out = torch.empty(tuple(shape), dtype=dtype, device=current.device)
        kept = self.copy >= 0
        out[kept] = current[self.copy[kept]].to(dtype)
        places = torch.nonzero(~kept).flatten().tolist()
        if isinstance(self.new, Elementwise):
            values = self.new.sample_runs(shape, dtype, stream, _runs(places, math.prod(shape[1:])), device=device)
            out[~kept] = values.reshape(len(places), *shape[1:]).to(out.device)
        elif places:
            fresh = self.new.sample((len(places), *shape[1:]), dtype, stream, device=device)
            out[~kept] = fresh.to(out.device)
        return out

    def pieces(
        self,
        shape: Shape,
        dtype: torch.dtype,
        stream: Stream,
        *,
        current: Any = None,
        device: torch.device | None = None,
    ) -> Iterator[torch.Tensor]:
        """Yield blocks of rows, each copied and made when its turn comes."""
        if current is None:
            raise RuntimeError("Rows.pieces needs the present tensor")
        inner = tuple(shape[1:])
        fresh, made = torch.cumsum(self.copy < 0, 0), self._made(shape, dtype, stream, device)
        step = max(1, PIECE // max(1, math.prod(inner)))
        for start in range(0, len(self.copy), step):
            copy = self.copy[start : start + step]
            out = torch.empty((len(copy), *inner), dtype=dtype)
            kept = copy >= 0
            if bool(kept.any()):
                out[kept] = current[copy[kept]].reshape(-1, *inner).to(dtype)
            places = torch.nonzero(~kept).flatten()
            if len(places):
                out[~kept] = made((places + start).tolist(), int(fresh[start + places[0]]) - 1).reshape(-1, *inner)
            yield out

    def _made(
        self, shape: Shape, dtype: torch.dtype, stream: Stream, device: torch.device | None
    ) -> Callable[[list[int], int], torch.Tensor]:
        """What gives the rows at ascending places, the first of which is the n-th of all new ones."""
        width = math.prod(shape[1:])
        new = self.new
        if isinstance(new, Elementwise):
            return lambda places, _: new.sample_runs(shape, dtype, stream, _runs(places, width), device=device).cpu()
        count = int((self.copy < 0).sum())
        fresh = new.sample((count, *shape[1:]), dtype, stream, device=device).cpu() if count else torch.empty(0)
        return lambda places, first: fresh[first : first + len(places)]

    def problem(self, shape: Shape, dtype: torch.dtype) -> str | None:
        """Refuse a length that is not the number of rows; ask the draw of the new rows."""
        if self.copy.ndim != 1 or len(self.copy) != shape[0]:
            return f"{len(self.copy)} rows are said where to come from, the tensor has {shape[0]}"
        fresh = int((self.copy < 0).sum())
        if fresh == 0 or isinstance(self.new, FromJob):
            return None
        return self.new.problem(shape if isinstance(self.new, Elementwise) else (fresh, *shape[1:]), dtype)

    def problem_with(self, current: Shape) -> str | None:
        """Refuse to copy rows that the present tensor does not have."""
        most = int(self.copy.max()) if len(self.copy) else -1
        if most >= current[0]:
            return f"row {most} is to be copied, the present tensor has {current[0]} rows"
        return None

    def resolve(self, lookup: Lookup) -> Draw:
        """Resolve the draw of the new rows."""
        return Rows(self.copy, self.new.resolve(lookup))

    def jobs(self) -> list[Any]:
        """Jobs of the draw of the new rows."""
        return self.new.jobs()

    def parts(self) -> tuple[Any, ...]:
        """Where rows come from, and the draw."""
        return (self.copy, self.new)

    def describe(self) -> str:
        """How many rows are kept, and what the others get."""
        kept = int((self.copy >= 0).sum())
        return f"{kept} rows kept, {len(self.copy) - kept} new: {self.new.describe()}"


class Blocks(Draw):
    """Different draws for blocks of one tensor; entries in no block keep their value.

    Args:
        blocks: pairs of an index (an int, a slice or a tuple of them) and a draw; blocks must not overlap. Block
            ``i`` draws from the sub-stream ``name#i``.
    """

    def __init__(self, blocks: Sequence[tuple[Index, Draw]]) -> None:
        self.blocks = tuple(blocks)
        self.random = any(draw.random for _, draw in self.blocks)
        self.reads_current = True

    def sample(
        self,
        shape: Shape,
        dtype: torch.dtype,
        stream: Stream,
        *,
        current: torch.Tensor | None = None,
        device: torch.device | None = None,
    ) -> torch.Tensor:
        """Return the tensor with each block drawn on its own sub-stream."""
        covered = self._covered(shape) == math.prod(shape)
        if current is None and not covered:
            raise RuntimeError("Blocks.sample needs the present tensor for the entries in no block")
        out = torch.empty(tuple(shape), dtype=dtype, device=device or "cpu")
        if not covered:
            out.copy_(current.detach())  # type: ignore[union-attr]
        for i, (index, draw) in enumerate(self.blocks):
            block = out[index]
            before = None if current is None else current[index]
            values = draw.sample(tuple(block.shape), dtype, stream.sub(str(i)), current=before, device=device)
            out[index] = values.to(out.device)
        return out

    def sample_region(
        self,
        region: Region,
        dtype: torch.dtype,
        stream: Stream,
        *,
        current: torch.Tensor | None = None,
        device: torch.device | None = None,
    ) -> torch.Tensor | None:
        """Return a part, where each block's draw can make its part."""
        if current is None and not self.whole(region.shape):
            return None
        out = torch.empty(region.sizes, dtype=dtype, device=device or "cpu")
        if current is not None:
            out.copy_(current.detach())
        for i, (index, draw) in enumerate(self.blocks):
            inside, places = region.within(index if isinstance(index, tuple) else (index,))
            grid = tuple(torch.from_numpy(place) for place in np.ix_(*places))
            before = None if current is None else out[grid].reshape(inside.sizes)
            values = draw.sample_region(inside, dtype, stream.sub(str(i)), current=before, device=device)
            if values is None:
                return None
            out[grid] = values.reshape(tuple(len(place) for place in places)).to(out.device)
        return out

    def whole(self, shape: Shape) -> bool:
        """Whether the blocks cover every entry, so that no present value is needed."""
        return self._covered(shape) == math.prod(shape)

    def _covered(self, shape: Shape) -> int:
        marker = torch.empty(tuple(shape), device="meta")
        return sum(marker[index].numel() for index, _ in self.blocks)

    def problem(self, shape: Shape, dtype: torch.dtype) -> str | None:
        """Refuse blocks outside the tensor or overlapping, and pass on what their draws refuse."""
        taken = torch.zeros(tuple(shape), dtype=torch.bool)
        for index, draw in self.blocks:
            try:
                block = taken[index]
            except IndexError as error:
                return f"block {index} does not fit shape {tuple(shape)}: {error}"
            if block.numel() == 0:
                return f"block {index} of shape {tuple(shape)} is empty"
            if bool(block.any()):
                return f"block {index} overlaps another"
            taken[index] = True
            found = draw.problem(tuple(block.shape), dtype)
            if found:
                return f"block {index}: {found}"
        return None

    def resolve(self, lookup: Lookup) -> Draw:
        """Resolve each block's draw."""
        return Blocks([(index, draw.resolve(lookup)) for index, draw in self.blocks])

    def jobs(self) -> list[Any]:
        """Jobs of all blocks."""
        return [job for _, draw in self.blocks for job in draw.jobs()]

    def parts(self) -> tuple[Any, ...]:
        """Indices as text, and draws."""
        return tuple((str(index), draw) for index, draw in self.blocks)

    def describe(self) -> str:
        """Each block's index and draw."""
        return "; ".join(f"[{_show(index)}] {draw.describe()}" for index, draw in self.blocks)


def _runs(rows: Sequence[int], width: int) -> list[tuple[int, int]]:
    """Runs of linear indices of rows in rising order."""
    found: list[tuple[int, int]] = []
    for row in rows:
        start, count = found[-1] if found else (0, 0)
        if found and start + count == row * width:
            found[-1] = (start, count + width)
        else:
            found.append((row * width, width))
    return found


def _show(index: Index) -> str:
    if isinstance(index, tuple):
        return ", ".join(_show(part) for part in index)
    if isinstance(index, slice):
        ends = ["" if end is None else str(end) for end in (index.start, index.stop)]
        return ":".join([*ends, str(index.step)] if index.step is not None else ends)
    return str(index)
