"""Where each rank's part of every tensor lies, and the roads between the ranks.

Everything goes over the ranks' own channel as CPU tensors, in pieces: no rank needs room for a whole tensor, but the
one that makes it, where a draw cannot be made in parts.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import torch

from initkit._stats import CHUNK, Measure, Statistics
from initkit.draws.region import Region
from initkit.errors import RankError, headline
from initkit.ranks.group import Group
from initkit.shards.rows import taken

if TYPE_CHECKING:
    from initkit.ranks.slot import ShardedSlot

BLOCK = 16 * CHUNK
"""Elements of a tensor that are on their way at once."""

Sink = Callable[[torch.Tensor], None]


@dataclass(frozen=True)
class Layout:
    """What each rank holds of a tensor, by the rank's index."""

    regions: tuple[Region, ...]

    def holders(self, best: int) -> list[int]:
        """One rank for each part; where several hold the same, ``best`` if it is among them, else the first."""
        found: dict[Region, int] = {}
        for index in (best, *range(len(self.regions))):
            found.setdefault(self.regions[index], index)
        return sorted(found.values())


class Parts:
    """The sharded tensors of a model, over the ranks that hold it.

    Args:
        ranks: the processes.
        slots: the sharded tensors, the same on all ranks.
    """

    def __init__(self, ranks: Group, slots: Sequence[ShardedSlot]) -> None:
        self.ranks = ranks
        regions = list(dict.fromkeys(slot.region for slot in slots))
        number = {region: i for i, region in enumerate(regions)}
        mine = (regions, {slot.name: number[slot.region] for slot in slots})
        told = ranks.share(mine)
        self._layouts = {slot.name: Layout(tuple(theirs[names[slot.name]] for theirs, names in told)) for slot in slots}
        self._turn = 0

    def made_whole(
        self, slot: ShardedSlot, make: Callable[[torch.Tensor | None], torch.Tensor], reads: bool
    ) -> torch.Tensor:
        """Let one rank make a tensor whole and give each its part; ranks take turns.

        Args:
            slot: of the tensor.
            make: called on one rank, with the whole present value if ``reads``; returns the whole new one.
            reads: whether the present value is asked for.

        Returns:
            This rank's part, on the CPU.

        Raises:
            RankError: the rank that makes it has failed, or one is missing.
        """
        owner = self._turn % self.ranks.count
        self._turn += 1
        current = self.gathered(slot, owner) if reads else None
        whole = None
        with self.ranks.together(f"{slot.name}, made whole on {self.ranks.name(owner)}"):
            if self.ranks.index == owner:
                whole = make(current).to("cpu", slot.dtype)
        return self.scattered(slot, whole, owner)

    def scattered(self, slot: ShardedSlot, whole: torch.Tensor | None, owner: int) -> torch.Tensor:
        """Give each rank its part of what one rank holds whole; returns this rank's part, on the CPU."""
        regions = self._layouts[slot.name].regions
        with _talk(f"{slot.name} is sent"):
            if self.ranks.index != owner:
                part = torch.empty(slot.region.sizes, dtype=slot.dtype)
                if part.numel():
                    _wait(self.ranks.receive(part, owner))
                return part
            assert whole is not None
            for index, region in enumerate(regions):
                if index != owner and region.count:
                    _wait(self.ranks.send(taken(whole, region), index))
            return taken(whole, slot.region).clone()

    def gathered(self, slot: ShardedSlot, owner: int) -> torch.Tensor | None:
        """The whole present value on one rank, None on the others."""
        self.ranks.meet(f"{slot.name}, gathered on {self.ranks.name(owner)}")
        whole = torch.empty(slot.shape, dtype=slot.dtype) if self.ranks.index == owner else None
        place = 0
        for block in self.blocks(slot, owner):
            assert whole is not None
            whole.reshape(-1)[place : place + len(block)] = block
            place += len(block)
        return whole

    def statistics(self, slots: Sequence[ShardedSlot]) -> dict[str, Statistics]:
        """Statistics and hash of whole tensors, on every rank; the measuring is shared out among the ranks."""
        self.ranks.meet("statistics")
        order = sorted(slots, key=lambda slot: -slot.numel)
        found: dict[str, Statistics] = {}
        wide = 4 * self.ranks.count
        for first in range(0, len(order), wide):
            measures = [Measure() for _ in order[first : first + wide]]
            tasks = [
                (slot, i % self.ranks.count, measure.add)
                for i, (slot, measure) in enumerate(zip(order[first : first + wide], measures, strict=True))
            ]
            self.stream(tasks)
            for (slot, collector, _), measure in zip(tasks, measures, strict=True):
                if collector == self.ranks.index:
                    found[slot.name] = measure.result()
        together: dict[str, Statistics] = {}
        with _talk("statistics are told"):
            for theirs in self.ranks.share(found):
                together |= theirs
        return together

    def blocks(self, slot: ShardedSlot, collector: int) -> Iterator[torch.Tensor]:
        """Bring a whole tensor to one rank, block by block in the order of its elements.

        All ranks must go through it to the end; only the collector is given anything.
        """
        road = self._road(slot, collector)
        for first in range(0, slot.numel, BLOCK):
            with _talk(f"{slot.name} is gathered"):
                road.send(first)
                block = road.take(first)
            if block is not None:
                yield block

    def stream(self, tasks: Sequence[tuple[ShardedSlot, int, Sink]]) -> None:
        """Bring several whole tensors, each to a rank of its own, at the same time.

        Args:
            tasks: the tensor, the index of the rank it goes to, and what takes the blocks there.
        """
        roads = [self._road(slot, collector, tag) for tag, (slot, collector, _) in enumerate(tasks)]
        with _talk("tensors are gathered"):
            for first in range(0, max((slot.numel for slot, _, _ in tasks), default=0), BLOCK):
                for road in roads:
                    road.send(first)
                for road, (_, _, sink) in zip(roads, tasks, strict=True):
                    block = road.take(first)
                    if block is not None:
                        sink(block)

    def _road(self, slot: ShardedSlot, collector: int, tag: int = 0) -> _Road:
        return _Road(self.ranks, self._layouts[slot.name], slot, collector, tag)


@dataclass
class _Road:
    """One tensor's way to the rank that collects it."""

    ranks: Group
    layout: Layout
    slot: ShardedSlot
    collector: int
    tag: int
    _work: list[tuple[object, torch.Tensor]] = field(default_factory=list)
    _parts: list[tuple[int, torch.Tensor]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._local = self.slot.local().detach().cpu().contiguous().reshape(-1)
        self._holders = self.layout.holders(self.collector)
        self._collects = self.collector == self.ranks.index

    def send(self, first: int) -> None:
        """Post this rank's piece of a block, or the rooms for the others' pieces, and wait for nothing."""
        stop = min(first + BLOCK, self.slot.numel)
        for holder in self._holders:
            low, high = self._piece(holder, first, stop)
            if low == high:
                continue
            if holder == self.ranks.index:
                part = self._local[low:high]
                if not self._collects:
                    self._work.append((self.ranks.send(part, self.collector, self.tag), part))
            elif self._collects:
                part = torch.empty(high - low, dtype=self.slot.dtype)
                self._work.append((self.ranks.receive(part, holder, self.tag), part))
            else:
                continue
            self._parts.append((holder, part))

    def take(self, first: int) -> torch.Tensor | None:
        """Wait for the pieces of a block; where they are collected, put them together."""
        for work, _ in self._work:
            _wait(work)
        stop = min(first + BLOCK, self.slot.numel)
        block = self._assembled(first, stop) if self._collects and first < stop else None
        self._work.clear()
        self._parts.clear()
        return block

    def _assembled(self, first: int, stop: int) -> torch.Tensor:
        if len(self._parts) == 1:
            return self._parts[0][1]
        block = torch.empty(stop - first, dtype=self.slot.dtype)
        for holder, part in self._parts:
            low, high = self._piece(holder, first, stop)
            places = self.layout.regions[holder].places(low, high) - first
            if places[-1] - places[0] == len(places) - 1:
                block[places[0] : places[-1] + 1] = part
            else:
                block[torch.from_numpy(places)] = part
        return block

    def _piece(self, holder: int, first: int, stop: int) -> tuple[int, int]:
        region = self.layout.regions[holder]
        return (region.before(first), region.before(stop)) if first < stop else (0, 0)


@contextlib.contextmanager
def _talk(what: str) -> Iterator[None]:
    """Errors of the channel in words."""
    try:
        yield
    except RankError:
        raise
    except RuntimeError as error:
        raise RankError(f"a rank has gone or is stuck while {what} ({headline(error)})") from None


def _wait(work: object) -> None:
    if work is not None:
        work.wait()  # type: ignore[attr-defined]
