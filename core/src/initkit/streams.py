"""Random streams: numbers that depend on a seed, a name and an index alone.

A stream's 64-bit words are those of Philox4x64-10 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3",
SC 2011) under a key made of the seed and the name; word ``i`` belongs to index ``i``. So an element's value does not
change with other tensors, order, threads, processor or sharding, and any part is generated without the rest.
"""

from __future__ import annotations

import hashlib
import operator
import os
import sys
import threading
from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from numpy.random import Generator, Philox

from initkit._compiled import quantile_for
from initkit._normal import GREATEST_U, Workspace, normal_quantile
from initkit.errors import InitError, OptionError

__all__ = ["Kind", "Runs", "Stream", "Transform", "fill", "fill_runs", "normal_quantile", "stream_key"]

Block = npt.NDArray[np.float64]
Transform = Callable[[Block, int], None]
Kind = Literal["normal", "uniform"]

# 32768 numbers make 256 KiB a vector, so that the vectors of a pass stay in a core's second-level cache, and each pass
# is long enough (several microseconds) that threads seldom wait for the interpreter's lock between passes.
BLOCK = 32768

HALF_STEP = 2.0**-54
_LOW_32 = np.uint64(0xFFFFFFFF)
_32 = np.uint64(32)


def stream_key(seed: int, name: str) -> int:
    """The 128-bit Philox key of a seed and a name.

    BLAKE2b of the name in UTF-8, keyed with the seed's 8 little-endian bytes, 16 bytes, person ``initkit-1``, read as
    a little-endian integer.

    Raises:
        OptionError: the seed is not an integer in 0..2⁶⁴-1.
    """
    if isinstance(seed, (bool, np.bool_)) or not isinstance(seed, (int, np.integer)):
        raise OptionError(f"seed must be an integer, not {seed!r} ({type(seed).__name__})")
    if not 0 <= seed < 2**64:
        raise OptionError(f"seed {seed} is out of range: it must be in 0..2**64-1")
    if not isinstance(name, str):
        raise OptionError(f"a stream's name must be a string, not {name!r} ({type(name).__name__})")
    seed_bytes = int(seed).to_bytes(8, "little")
    digest = hashlib.blake2b(name.encode("utf-8"), key=seed_bytes, digest_size=16, person=b"initkit-1").digest()
    return int.from_bytes(digest, "little")


@dataclass(frozen=True)
class Stream:
    """The random numbers of one name under one seed. Immutable, hashable, picklable.

    Args:
        seed: an integer in 0..2⁶⁴-1.
        name: of the tensor or job; see :meth:`sub` for several streams of one tensor.

    Raises:
        OptionError: the seed or the name is not usable.
    """

    seed: int
    name: str

    def __post_init__(self) -> None:
        self.key  # noqa: B018 - checks both fields
        object.__setattr__(self, "seed", int(self.seed))

    @cached_property
    def key(self) -> int:
        """The 128-bit Philox key, see :func:`stream_key`."""
        return stream_key(self.seed, self.name)

    def sub(self, tag: str) -> Stream:
        """The stream ``name#tag``."""
        return Stream(self.seed, f"{self.name}#{tag}")

    def words(self, start: int, count: int) -> npt.NDArray[np.uint64]:
        """Words ``start .. start + count - 1``, uint64, shape (count,)."""
        start, count = _index("start", start), _index("count", count)
        skipped = start % 4
        drawn: npt.NDArray[np.uint64] = Philox(key=self.key, counter=start // 4).random_raw(skipped + count)
        return drawn[skipped:]

    def uniforms(self, start: int, count: int) -> Block:
        """Numbers in (0, 1), float64, shape (count,): ``min(((w >> 11) + 0.5)·2⁻⁵³, 1 - 2⁻⁵³)``."""
        out = np.empty(_index("count", count))
        fill(out, self, start, kind="uniform")
        return out

    def normals(self, start: int, count: int) -> Block:
        """Standard normal numbers, float64, shape (count,): the inverse distribution function of the uniforms."""
        out = np.empty(_index("count", count))
        fill(out, self, start)
        return out

    def integers(self, low: int, high: int, count: int, start: int = 0) -> npt.NDArray[np.int64]:
        """Integers in ``low .. high - 1``, int64, shape (count,): ``low + floor(w (high - low) / 2⁶⁴)``.

        One word a number, so that each depends on its index alone; a value's probability is off by 2⁻⁶⁴ at most.

        Raises:
            OptionError: the range is empty or does not fit int64.
        """
        low, high = operator.index(low), operator.index(high)
        if not -(2**63) <= low < high <= 2**63:
            raise OptionError(f"integers need -2**63 <= low < high <= 2**63, not low = {low} and high = {high}")
        offset = _high_product(self.words(start, count), high - low)
        offset += np.uint64(low % 2**64)
        return offset.view(np.int64)

    def permutation(self, n: int) -> npt.NDArray[np.int64]:
        """A random order of ``0 .. n - 1``, int64, shape (n,): the stable sorting order of the first n words."""
        return np.argsort(self.words(0, n), kind="stable").astype(np.int64, copy=False)

    def generator(self) -> Generator:
        """A new numpy Generator on a Philox of this stream, from its beginning.

        It shares this stream's words: give it a sub-stream of its own. What its methods return may change between
        versions of numpy.
        """
        return Generator(Philox(key=self.key))

    def integer_seed(self) -> int:
        """An integer in 0..2³¹-1 for libraries that need a seed: the top 31 bits of word 0."""
        return int(self.words(0, 1)[0]) >> 33


def fill(
    out: npt.NDArray[Any],
    stream: Stream,
    start: int = 0,
    transform: Transform | None = None,
    kind: Kind = "normal",
    *,
    threads: int | None = None,
) -> None:
    """Fill a vector with the stream's numbers from index ``start`` on. See :func:`fill_runs`."""
    fill_runs(out, stream, [(start, out.size)], transform, kind, threads=threads)


def fill_runs(
    out: npt.NDArray[Any],
    stream: Stream,
    runs: Sequence[tuple[int, int]],
    transform: Transform | None = None,
    kind: Kind = "normal",
    *,
    threads: int | None = None,
) -> None:
    """Fill a vector with the stream's numbers at runs of consecutive indices, one run after another.

    Works in blocks that fit the cache, in several threads, in float64, and rounds once into ``out``. The values do
    not depend on blocks, threads or how the indices are cut into runs. Many short runs share a block. A failure or
    an interrupt (Ctrl-C) ends it between blocks and leaves ``out`` partly filled.

    Args:
        out: contiguous float32 or float64 vector, as long as all runs together.
        stream: of the numbers.
        runs: pairs (first index, count).
        transform: called as ``transform(block, first)`` with float64 numbers of the consecutive indices from
            ``first`` on, to be changed in place, element by element; by several threads at once, in no set order.
        kind: ``"normal"`` (standard normal) or ``"uniform"`` (on (0, 1)).
        threads: how many; by default torch's number of threads when torch is loaded, else the number of processors.

    Raises:
        InitError: ``out`` is of another type or shape, or ``kind`` is unknown.
    """
    if out.dtype not in (np.dtype(np.float32), np.dtype(np.float64)) or out.ndim != 1 or not out.flags.c_contiguous:
        raise InitError(f"only contiguous float32 or float64 vectors can be filled, not {out.dtype} {out.shape}")
    if kind not in ("normal", "uniform"):
        raise InitError(f"unknown kind of numbers {kind!r}: use 'normal' or 'uniform'")
    job = _Job(out, stream, runs, transform, kind)
    most = default_threads() if threads is None else max(1, threads)
    helpers: list[threading.Thread] = []
    try:
        for _ in range(min(most, job.blocks) - 1):
            helper = threading.Thread(target=job.help, daemon=True)
            helper.start()
            helpers.append(helper)
        job.work()
        for helper in helpers:
            helper.join()
    finally:
        # Also after an interrupt, nobody may write to `out` once this function has ended.
        job.stopped = True
        for helper in helpers:
            helper.join()
    if job.error is not None:
        raise job.error


def default_threads() -> int:
    """Torch's number of threads when torch is loaded, else the number of processors."""
    count = getattr(sys.modules.get("torch"), "get_num_threads", os.cpu_count)()
    return int(count or 1)


class Runs:
    """Runs of consecutive indices, one after another.

    Args:
        runs: pairs (first index, count).
        size: of all together.

    Raises:
        InitError: they are not as many.
    """

    def __init__(self, runs: Sequence[tuple[int, int]], size: int) -> None:
        self.starts = [_index("start", start) for start, _ in runs]
        self.ends = list(accumulate(_index("count", count) for _, count in runs))
        total = self.ends[-1] if self.ends else 0
        if total != size:
            raise InitError(f"runs of {total} indices cannot fill {size} elements")

    def pieces(self, begin: int, end: int) -> list[tuple[int, int, int]]:
        """(place in the block, first index, count) of elements ``begin .. end - 1``."""
        found = []
        run = bisect_right(self.ends, begin)
        place = begin
        while place < end:
            run_begin = self.ends[run - 1] if run else 0
            count = min(self.ends[run], end) - place
            if count:
                found.append((place - begin, self.starts[run] + place - run_begin, count))
            place += count
            run += 1
        return found


class _Job:
    """The blocks of one fill, handed out to whoever is free."""

    def __init__(
        self,
        out: npt.NDArray[Any],
        stream: Stream,
        runs: Sequence[tuple[int, int]],
        transform: Transform | None,
        kind: Kind,
    ) -> None:
        self.out, self.key, self.transform, self.kind = out, stream.key, transform, kind
        self.runs = Runs(runs, out.size)
        self.blocks = -(-out.size // BLOCK)
        self.quantile = quantile_for(out.size)
        self.taken = 0
        self.stopped = False
        self.error: BaseException | None = None
        self.lock = threading.Lock()

    def take(self) -> int | None:
        with self.lock:
            if self.stopped or self.taken == self.blocks:
                return None
            self.taken += 1
            return self.taken - 1

    def help(self) -> None:
        try:
            self.work()
        except BaseException as error:  # noqa: BLE001 - raised again by the thread that called
            self.stopped = True
            self.error = error

    def work(self) -> None:
        source = _Source(self.key)
        work = Workspace(min(BLOCK, self.out.size))
        # Scales that overflow float32 give infinities, which whoever asked for the numbers looks for.
        with np.errstate(all="ignore"):
            while (block := self.take()) is not None:
                self.fill_block(block * BLOCK, min((block + 1) * BLOCK, self.out.size), source, work)

    def fill_block(self, begin: int, end: int, source: _Source, work: Workspace) -> None:
        pieces = self.runs.pieces(begin, end)
        values = work.u[: end - begin]
        for place, first, count in pieces:
            source.halves(first, values[place : place + count])
        values += HALF_STEP
        if self.kind == "normal":
            values = self.quantile(values, work)
        else:
            np.minimum(values, GREATEST_U, out=values)
        if self.transform is not None:
            for place, first, count in pieces:
                self.transform(values[place : place + count], first)
        np.copyto(self.out[begin:end], values, casting="same_kind")


class _Source:
    """Philox words as multiples of 2⁻⁵³, from any index on."""

    def __init__(self, key: int) -> None:
        self._counter = np.zeros(4, dtype=np.uint64)
        self._bits = Philox(key=key)
        self._generator = Generator(self._bits)
        # A new Philox's buffer is empty: the next word is the first of the block after the counter.
        self._state = self._bits.state
        self._state["state"]["counter"] = self._counter
        self._skipped = np.empty(3)
        self._fast = _random_is_known()

    def halves(self, first: int, out: Block) -> None:
        """Write ``(w >> 11)·2⁻⁵³`` for the indices from ``first`` on."""
        counter, skipped = divmod(first, 4)
        self._counter[0] = counter % 2**64
        self._counter[1] = counter >> 64
        self._bits.state = self._state
        if self._fast:
            if skipped:
                self._generator.random(out=self._skipped[:skipped])
            self._generator.random(out=out)
        else:
            np.multiply(self._bits.random_raw(skipped + len(out))[skipped:] >> np.uint64(11), 2.0**-53, out=out)


_known: bool | None = None


def _random_is_known() -> bool:
    """Whether ``Generator.random`` returns ``(w >> 11)·2⁻⁵³``, as it always has.

    Numpy promises the words of ``random_raw`` but not this. It is used because it makes no copy and lets other
    threads run meanwhile; should a version differ, the slower road gives the same numbers.
    """
    global _known
    if _known is None:
        words = Philox(key=7).random_raw(64)
        numbers = Generator(Philox(key=7)).random(64)
        _known = bool(np.array_equal((words >> np.uint64(11)) * 2.0**-53, numbers))
    return _known


def _index(what: str, value: int) -> int:
    if (number := operator.index(value)) < 0:
        raise InitError(f"{what} must not be negative: {number}")
    return number


def _high_product(words: npt.NDArray[np.uint64], factor: int) -> npt.NDArray[np.uint64]:
    """``floor(words * factor / 2**64)`` for a factor of up to 64 bits, by products of 32-bit halves."""
    if factor == 2**64:
        return words
    low_factor, high_factor = np.uint64(factor & 0xFFFFFFFF), np.uint64(factor >> 32)
    low, high = words & _LOW_32, words >> _32
    cross = high * low_factor + ((low * low_factor) >> _32)
    other = low * high_factor + (cross & _LOW_32)
    product: npt.NDArray[np.uint64] = high * high_factor + (cross >> _32) + (other >> _32)
    return product
