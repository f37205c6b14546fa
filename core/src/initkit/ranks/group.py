"""The processes that hold one model together, and how they keep in step.

Whatever may fail is done between two meetings. At a meeting every rank says whether it has failed; if one has, all of
them raise the same error, so that nobody waits for a rank that has gone.
"""

from __future__ import annotations

import contextlib
import hashlib
import math
import os
import re
import traceback
import weakref
from collections.abc import Iterator, Sequence
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist

from initkit.errors import InitError, OptionError, RankError, headline, listed

TIMEOUT_VARIABLE = "INITKIT_TIMEOUT"
DEFAULT_TIMEOUT = 600.0


class Ranks:
    """One process alone: meets nobody.

    Attributes:
        count: how many processes there are.
        index: of this one among them.
    """

    count = 1
    index = 0

    @contextlib.contextmanager
    def together(self, place: str) -> Iterator[None]:
        """Context for work that may fail on a single rank; an error in it ends the work of all.

        Args:
            place: what is done, in words.

        Raises:
            RankError: another rank has failed in it.
        """
        yield

    def meet(self, place: str, facts: Sequence[str] = (), trouble: Exception | None = None) -> None:
        """Wait until every rank has come here, and compare notes.

        Args:
            place: where this is; the same on all ranks.
            facts: what must be the same on all ranks.
            trouble: why this rank cannot go on.

        Raises:
            RankError: a rank has failed, is elsewhere, or has not come in time; or facts differ.
        """
        if trouble is not None:
            raise trouble

    def share(self, value: Any) -> list[Any]:
        """Every rank's value, in the order of ranks."""
        return [value]


class Group(Ranks):
    """Several processes, with a communication channel of their own.

    Args:
        ranks: their global ranks, ascending; every one of them makes this object at the same time.

    Raises:
        RankError: not all have come in time.
    """

    def __init__(self, ranks: Sequence[int]) -> None:
        self.ranks = tuple(ranks)
        self.count, self.index = len(ranks), self.ranks.index(dist.get_rank())
        self.timeout = timeout()
        self.group = _channel(self.ranks, self.timeout)
        self._over = False

    @contextlib.contextmanager
    def together(self, place: str) -> Iterator[None]:
        """As :meth:`Ranks.together`."""
        try:
            yield
        except Exception as error:
            if not self._over:
                self.meet(place, trouble=error)
            raise
        self.meet(place)

    def meet(self, place: str, facts: Sequence[str] = (), trouble: Exception | None = None) -> None:
        """As :meth:`Ranks.meet`."""
        try:
            self._meet(place, facts, trouble)
        except BaseException:
            self._over = True  # all ranks end here: there is no next meeting
            raise

    def share(self, value: Any) -> list[Any]:
        """As :meth:`Ranks.share`; values must be picklable."""
        found: list[Any] = [None] * self.count
        dist.all_gather_object(found, value, group=self.group)
        return found

    def send(self, part: torch.Tensor, to: int, tag: int = 0) -> dist.Work | None:
        """Begin to send a contiguous CPU tensor to another rank, by its index."""
        return dist.isend(_bytes(part), self.ranks[to], group=self.group, tag=tag)

    def receive(self, part: torch.Tensor, source: int, tag: int = 0) -> dist.Work | None:
        """Begin to receive into a contiguous CPU tensor from another rank, by its index."""
        return dist.irecv(_bytes(part), self.ranks[source], group=self.group, tag=tag)

    def name(self, index: int) -> str:
        """``rank 3`` for the process of that index."""
        return f"rank {self.ranks[index]}"

    def _meet(self, place: str, facts: Sequence[str], trouble: Exception | None) -> None:
        self._wait(place)
        known = hashlib.sha256("\n".join([place, *facts]).encode()).digest()[:8]
        mine = torch.tensor([int(trouble is not None), int.from_bytes(known, "little", signed=True)])
        all_of_them = [torch.empty_like(mine) for _ in range(self.count)]
        dist.all_gather(all_of_them, mine, group=self.group)
        if all(not one[0] and one[1] == mine[1] for one in all_of_them):
            return
        told = self.share((None if trouble is None else _told(trouble), place, list(facts)))
        failed = [(index, words) for index, (words, _, _) in enumerate(told) if words is not None]
        if not failed:
            raise _known_to_all(self._difference([(place, facts) for _, place, facts in told]))
        words = failed[0][1]
        if trouble is not None and len(failed) == self.count and all(other == words for _, other in failed):
            raise trouble  # the same mistake everywhere
        others = f" (and {listed(self.name(index) for index, _ in failed[1:])})" if len(failed) > 1 else ""
        raise _known_to_all(f"{self.name(failed[0][0])} of {self.count}{others}: {words}") from trouble

    def _wait(self, place: str) -> None:
        try:
            dist.monitored_barrier(self.group, self.timeout, wait_all_ranks=True)
        except RuntimeError as error:
            missing = re.search(r"Ranks ([\d, ]+) failed", str(error))
            if missing:
                names = listed(self.name(int(index)) for index in missing[1].split(","))
                who = f"{names} did not come within {self.timeout.total_seconds():g} s, or has ended"
            else:
                who = f"{self.name(0)}, which waits for all, gave no answer: its message says who is missing"
            raise RankError(
                f"{self.name(self.index)} waits at {place!r}: {who}; every rank must make the same call "
                f"(the time is set by {TIMEOUT_VARIABLE})"
            ) from None

    def _difference(self, told: Sequence[tuple[str, Sequence[str]]]) -> str:
        first_place, first_facts = told[0]
        for index, (place, facts) in enumerate(told):
            who = f"{self.name(0)} and {self.name(index)}"
            if place != first_place:
                return f"{who} do different things: {first_place!r} and {place!r}; every rank must make the same calls"
            for one, other in zip(first_facts, facts, strict=False):
                if one != other:
                    return f"{who} differ at {place!r}: {one!r} and {other!r}"
            if len(facts) != len(first_facts):
                return f"{who} differ at {place!r}: {len(first_facts)} and {len(facts)} entries"
        raise AssertionError("nothing differs")


def _known_to_all(words: str) -> RankError:
    error = RankError(words)
    error.told = True
    return error


_channels: weakref.WeakKeyDictionary[Any, dict[tuple[tuple[int, ...], timedelta], Any]] = weakref.WeakKeyDictionary()


def _channel(ranks: tuple[int, ...], patience: timedelta) -> Any:
    """A gloo group of these ranks, made once; it carries CPU tensors and can say who is missing."""
    made = _channels.setdefault(dist.group.WORLD, {})
    if (ranks, patience) not in made:
        try:
            made[ranks, patience] = dist.new_group(list(ranks), patience, "gloo", use_local_synchronization=True)
        except RuntimeError as error:
            others = listed(f"rank {rank}" for rank in ranks if rank != dist.get_rank())
            raise RankError(
                f"rank {dist.get_rank()} waits for {others}: not all came within {patience.total_seconds():g} s "
                f"({headline(error)}); every rank must make the same call (the time is set by {TIMEOUT_VARIABLE})"
            ) from None
    return made[ranks, patience]


def close_channels() -> None:
    """Let go of all channels, for whoever ends torch's process group."""
    _channels.clear()


def timeout() -> timedelta:
    """How long a rank waits for the others: ``INITKIT_TIMEOUT`` seconds, or ten minutes.

    Raises:
        OptionError: the variable holds no such number.
    """
    text = os.environ.get(TIMEOUT_VARIABLE, "")
    try:
        seconds = float(text) if text else DEFAULT_TIMEOUT
        if not (math.isfinite(seconds) and seconds > 0):
            raise ValueError
    except ValueError:
        raise OptionError(f"{TIMEOUT_VARIABLE}={text!r}: give a number of seconds above 0") from None
    return timedelta(seconds=seconds)


def _told(error: Exception) -> str:
    if isinstance(error, InitError) or getattr(error, "is_message", False):
        return str(error)
    last = traceback.extract_tb(error.__traceback__)[-1:]
    where = "".join(f" ({os.path.basename(frame.filename)}, line {frame.lineno})" for frame in last)
    return headline(error) + where


def _bytes(part: torch.Tensor) -> torch.Tensor:
    return part.reshape(-1).view(torch.uint8)
