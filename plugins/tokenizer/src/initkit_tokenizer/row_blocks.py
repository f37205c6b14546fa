"""The rows of a new tensor a block at a time, from old rows that are read a block at a time."""

from __future__ import annotations

import hashlib
from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from initkit import Draw, Job, Stream
from initkit.shards import bytes_of
from initkit_tokenizer.task import RowTask

if TYPE_CHECKING:
    from initkit_tokenizer.base import RowRecipe

BLOCK_BYTES = 1 << 22


class RowBlocks:
    """What a recipe makes of one tensor, block by block: the rows that the whole would have, bit for bit.

    Args:
        task: of all new tokens. Its ``old`` is read by index alone.
        maker: the recipe; it ``streams``.

    Attributes:
        fallbacks: as a task's, once :meth:`blocks` is through.
        norm: mean length of the computed rows, likewise.
        distinct: how many of them differ, likewise.
    """

    def __init__(self, task: RowTask, maker: RowRecipe) -> None:
        self.task, self.maker = task, maker
        self.fallbacks: dict[int, str] = {}
        self._lengths = 0.0
        self._digests: set[bytes] = set()
        self._made: Tensor | None = None

    @property
    def norm(self) -> float | None:
        """Mean length of the computed rows; None for a bias, or without such rows."""
        return None if self.task.role == "bias" or not self.task.count else self._lengths / self.task.count

    @property
    def distinct(self) -> int:
        """How many of the computed rows differ."""
        return len(self._digests)

    def blocks(self) -> Iterator[Tensor]:
        """The new tensor's rows in order, in its type."""
        layout, task = self.task.layout, self.task
        size = max(16, BLOCK_BYTES // (4 * task.width))
        for start in range(0, layout.rows, size):
            yield self._block(start, min(start + size, layout.rows))

    def _block(self, start: int, stop: int) -> Tensor:
        layout, task = self.task.layout, self.task
        copy = torch.tensor(layout.copy[start:stop])
        if int(copy.min()) >= 0:
            return task.old[copy]
        rows = torch.zeros(stop - start, task.width, dtype=task.old.dtype)
        rows[copy >= 0] = task.old[copy[copy >= 0]]
        first, last = bisect_left(layout.computed, start), bisect_left(layout.computed, stop)
        if last > first:
            made = self._computed(first, last)
            cast = made.to(rows.dtype)
            rows[torch.tensor(layout.computed[first:last]) - start] = cast
            if task.role != "bias":
                self._lengths += float(made.norm(dim=1).to(torch.float64).sum())
                self._digests.update(hashlib.blake2b(bytes_of(row), digest_size=12).digest() for row in cast)
        for row, ids in layout.averaged.items():
            if start <= row < stop:
                rows[row - start] = task.old[torch.tensor(ids)].to(torch.float64).mean(0).to(rows.dtype)
        padded = [row - start for row in layout.padded if start <= row < stop]
        if padded:
            rows[padded] = task.padding
        return rows

    def _computed(self, first: int, last: int) -> Tensor:
        if self.maker.streams == "rows":
            part = self.task.part(first, last)
            made = self.maker.made(part)
            self.fallbacks.update({first + place: why for place, why in part.fallbacks.items()})
            return made
        if self._made is None:
            self._made = self.maker.made(self.task)
            self.fallbacks = self.task.fallbacks
        return self._made[first:last]


class RowDraw(Draw):
    """The rows of a tensor, block by block.

    Args:
        job: after which they can be made.
        words: how to describe them.
        blocks: gives the blocks in order.
    """

    random = False

    def __init__(self, job: Job, words: str, blocks: Callable[[], Iterator[Tensor]]) -> None:
        self._job, self._words, self._blocks = job, words, blocks

    def pieces(
        self,
        shape: Sequence[int],
        dtype: torch.dtype,
        stream: Stream,
        *,
        current: Any = None,
        device: torch.device | None = None,
    ) -> Iterator[Tensor]:
        """Yield the blocks."""
        return self._blocks()

    def sample(
        self,
        shape: Sequence[int],
        dtype: torch.dtype,
        stream: Stream,
        *,
        current: Tensor | None = None,
        device: torch.device | None = None,
    ) -> Tensor:
        """Return all blocks as one tensor."""
        return torch.cat(list(self._blocks())).reshape(tuple(shape))

    def describe(self) -> str:
        """As the draw of the loaded model."""
        return self._words

    def jobs(self) -> list[Any]:
        """The job."""
        return [self._job]
