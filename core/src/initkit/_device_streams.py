"""Random streams made on another device than the CPU, with the CPU's bits.

The words of Philox4x64-10 in int64 operations of torch, which wrap around as unsigned ones do, and the normal
quantile of :mod:`initkit._normal` on tensors. Each is an eager operation of its own, which IEEE 754 rounds exactly,
so that a device with float64 computes the numbers of the CPU; never run it under ``torch.compile``, which may fuse a
product with a sum. Whether a device does is tried once, see :func:`has_same_bits`.
"""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable, Sequence

import torch

from initkit._normal import GREATEST_U, Workspace, quantile_into
from initkit.errors import InitError
from initkit.streams import HALF_STEP, Kind, Runs, Stream

Transform = Callable[[torch.Tensor, Callable[[], torch.Tensor]], None]

# A few hundred operations a block cost a device about a millisecond to start, whatever the block's size; the vectors
# of a block of 4 million numbers (a dozen of 32 MiB) take about as long to read and write.
BLOCK = 1 << 22

_MASK = 0xFFFFFFFF
_WEYL = (0x9E3779B97F4A7C15, 0xBB67AE8584CAA73B)
_FACTORS = (0xD2E7470EE14C6C93, 0xCA5A826395121157)
_CHECKED = 1 << 17


def fill_runs(
    out: torch.Tensor,
    stream: Stream,
    runs: Sequence[tuple[int, int]],
    transform: Transform | None = None,
    kind: Kind = "normal",
) -> None:
    """As :func:`initkit.streams.fill_runs`, on the device of ``out``.

    Args:
        out: contiguous float32 or float64 vector, as long as all runs together.
        stream: of the numbers.
        runs: pairs (first index, count), below 2⁶³.
        transform: called as ``transform(block, index)`` with float64 numbers to be changed in place, element by
            element; ``index()`` gives their indices, int64.
        kind: ``"normal"`` or ``"uniform"``.

    Raises:
        InitError: ``out`` is of another type or shape, or an index is too large.
    """
    if out.dtype not in (torch.float32, torch.float64) or out.ndim != 1 or not out.is_contiguous():
        raise InitError(f"only contiguous float32 or float64 vectors can be filled, not {out.dtype} {list(out.shape)}")
    held = Runs(runs, out.numel())
    if any(start + count > 2**63 for start, count in runs):
        raise InitError("a device makes numbers of indices below 2**63 alone")
    work = Workspace(min(BLOCK, out.numel()), torch, device=out.device)
    for begin in range(0, out.numel(), BLOCK):
        end = min(begin + BLOCK, out.numel())
        pieces = _Pieces(held.pieces(begin, end), end - begin, out.device)
        values = pieces.uniforms(stream.key)
        if kind == "normal":
            values = quantile_into(values, work)
        else:
            values.clamp_(max=GREATEST_U)
        if transform is not None:
            transform(values, pieces.index)
        out[begin:end] = values


@functools.cache
def has_same_bits(device: torch.device) -> bool:
    """Whether a device makes the CPU's numbers bit for bit; tried once on a few thousand numbers.

    False for devices without float64 or 64-bit integers, and, with a warning, for one whose numbers differ.
    """
    stream = Stream(0, "device")
    wanted = torch.from_numpy(stream.normals(1, _CHECKED))
    try:
        found = torch.empty(_CHECKED, dtype=torch.float64, device=device)
        fill_runs(found, stream, [(1, _CHECKED)])
    except torch.OutOfMemoryError:
        raise
    except (TypeError, RuntimeError):
        return False
    if torch.equal(found.cpu(), wanted):
        return True
    warnings.warn(
        f"{device} rounds float64 numbers otherwise than IEEE 754 says; random numbers are made on the CPU",
        stacklevel=2,
    )
    return False


class _Pieces:
    """The numbers of one block: runs of indices one after another."""

    def __init__(self, pieces: list[tuple[int, int, int]], size: int, device: torch.device) -> None:
        self.size, self.device = size, device
        # Which words are needed and where is worked out on the CPU: there are as many of these as runs, not as numbers.
        self.place, self.first, self.count = (
            torch.tensor(column, device="cpu") for column in zip(*pieces, strict=True)
        )
        self.counter = self.first >> 2
        self.counters = ((self.first + self.count - 1) >> 2) - self.counter + 1

    def uniforms(self, key: int) -> torch.Tensor:
        """``(w >> 11)·2⁻⁵³ + 2⁻⁵⁴`` of the block's numbers, float64."""
        before = self.counters.cumsum(0) - self.counters
        size = int(self.counters.sum())
        lanes = _philox(self._ramp(self.counter + 1 - before, self.counters, size), key)
        # Word i of a counter is its lane i.
        numbers = torch.empty(size, 4, dtype=torch.float64, device=self.device)
        for place, lane in enumerate(lanes):
            numbers[:, place] = _shifted(lane, 11)
        values = numbers.view(-1)
        if len(self.first) == 1:
            skipped = int(self.first[0]) & 3
            values = values[skipped : skipped + self.size]
        else:
            values = values[self._ramp(4 * before + (self.first & 3) - self.place, self.count, self.size)]
        values *= 2.0**-53
        values += HALF_STEP
        return values

    def index(self) -> torch.Tensor:
        """The numbers' indices, int64."""
        return self._ramp(self.first - self.place, self.count, self.size)

    def _ramp(self, offset: torch.Tensor, count: torch.Tensor, size: int) -> torch.Tensor:
        """0, 1, 2... plus ``offset[i]`` for ``count[i]`` elements."""
        if len(offset) == 1:
            begin = int(offset[0])
            return torch.arange(begin, begin + size, dtype=torch.int64, device=self.device)
        ramp = torch.arange(size, dtype=torch.int64, device=self.device)
        ramp += torch.repeat_interleave(offset.to(self.device), count.to(self.device), output_size=size)
        return ramp


def _philox(counter: torch.Tensor, key: int) -> list[torch.Tensor]:
    """The four 64-bit words of counters, int64 tensors of the same bits."""
    zero = torch.zeros_like(counter)
    c = [counter, zero, zero, zero]
    k = [key & 2**64 - 1, key >> 64]
    for _ in range(10):
        high, low = _product(c[0], _FACTORS[0])
        other_high, other_low = _product(c[2], _FACTORS[1])
        other_high ^= c[1]
        other_high ^= _signed(k[0])
        high ^= c[3]
        high ^= _signed(k[1])
        c = [other_high, other_low, high, low]
        k = [(word + step) % 2**64 for word, step in zip(k, _WEYL, strict=True)]
    return c


def _product(x: torch.Tensor, factor: int) -> tuple[torch.Tensor, torch.Tensor]:
    """High and low 64 bits of unsigned products, by products of 32-bit halves."""
    low_factor, high_factor = factor & _MASK, factor >> 32
    low, high = x & _MASK, _shifted(x, 32)
    cross = low * low_factor
    cross = _shift(cross, 32)
    cross += high * low_factor
    other = cross & _MASK
    low *= high_factor
    other += low
    high *= high_factor
    high += _shift(cross, 32)
    high += _shift(other, 32)
    return high, x * _signed(factor)


def _shift(x: torch.Tensor, bits: int) -> torch.Tensor:
    """Shift to the right in place as unsigned numbers: torch's own copies the sign."""
    x >>= bits
    x &= (1 << 64 - bits) - 1
    return x


def _shifted(x: torch.Tensor, bits: int) -> torch.Tensor:
    return (x >> bits).bitwise_and_((1 << 64 - bits) - 1)


def _signed(word: int) -> int:
    return word - 2**64 if word >= 2**63 else word
