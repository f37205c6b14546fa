"""Element-wise random draws: a distribution's value at the element's own random number, scaled and shifted.

Each computes in float64 with elementary operations and rounds once, so that an element's value depends on the
stream and the element's index in the full tensor alone.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Literal

import numpy as np
import torch

from initkit import _device_streams, _elementary, streams
from initkit._device_streams import has_same_bits
from initkit._elementary import Vector
from initkit._normal import normal_quantile
from initkit.draws.base import Block, Draw, Shape, number

if TYPE_CHECKING:
    from collections.abc import Sequence

    from initkit.draws.region import Region
    from initkit.streams import Stream

Scale = float | torch.Tensor
_FILLED_DIRECTLY = {torch.float64: torch.float64, torch.float32: torch.float32}


class Elementwise(Draw):
    """A random draw whose elements are independent of each other."""

    kind: Literal["normal", "uniform"] = "uniform"

    def __init__(self, **scales: Scale) -> None:
        self._scales = {name: _as_scale(value) for name, value in scales.items()}

    @abstractmethod
    def shape_block(self, block: Vector, scales: dict[str, float | Vector]) -> None:
        """Turn standard numbers (normal, or uniform on (0, 1)) into the draw's values, in place, in float64.

        Args:
            block: a numpy vector, or a torch tensor where the numbers are made on another device than the CPU.
            scales: by name, numbers or vectors like the block.
        """

    def sample(
        self,
        shape: Shape,
        dtype: torch.dtype,
        stream: Stream,
        *,
        current: torch.Tensor | None = None,
        device: torch.device | None = None,
    ) -> torch.Tensor:
        """Return the whole tensor, made on ``device`` where that has the CPU's bits, else on the CPU."""
        return self.sample_run(shape, dtype, stream, 0, math.prod(shape), device=device).reshape(tuple(shape))

    def sample_run(
        self,
        shape: Shape,
        dtype: torch.dtype,
        stream: Stream,
        start: int,
        count: int,
        *,
        device: torch.device | None = None,
    ) -> torch.Tensor:
        """Return ``count`` elements from linear index ``start`` of a tensor of ``shape``, as a vector.

        A process that holds a part of a tensor generates just that part, with the same bits.
        """
        return self.sample_runs(shape, dtype, stream, [(start, count)], device=device)

    def sample_region(
        self,
        region: Region,
        dtype: torch.dtype,
        stream: Stream,
        *,
        current: torch.Tensor | None = None,
        device: torch.device | None = None,
    ) -> torch.Tensor:
        """Return a part of the tensor, made as by :meth:`sample`."""
        starts, counts = region.runs
        runs = list(zip(starts.tolist(), counts.tolist(), strict=True))
        return self.sample_runs(region.shape, dtype, stream, runs, device=device).reshape(region.sizes)

    def sample_runs(
        self,
        shape: Shape,
        dtype: torch.dtype,
        stream: Stream,
        runs: Sequence[tuple[int, int]],
        *,
        device: torch.device | None = None,
    ) -> torch.Tensor:
        """Return the elements at runs (first linear index, count) of a tensor of ``shape``, as a vector."""
        if dtype.is_complex:
            real = torch.float64 if dtype == torch.complex128 else torch.float32
            twice = [(2 * start, 2 * length) for start, length in runs]
            parts = _ComplexParts(self).sample_runs((*shape, 2), real, stream, twice, device=device)
            return torch.view_as_complex(parts.reshape(-1, 2)).to(dtype)
        held = _FILLED_DIRECTLY.get(dtype, torch.float32)
        where = self._workplace(device)
        out = torch.empty(sum(count for _, count in runs), dtype=held, device=where)
        fill = self._fill_on_device if _uses_torch(where) else self._fill_on_cpu
        fill(out, shape, stream, runs)
        return out if held == dtype else out.to(dtype)

    def _workplace(self, device: torch.device | None) -> torch.device:
        """Where the numbers are made."""
        fits = device is not None and device.type != "cpu" and has_same_bits(device)
        return device if device is not None and fits else torch.device("cpu")

    def _fill_on_cpu(self, out: torch.Tensor, shape: Shape, stream: Stream, runs: Sequence[tuple[int, int]]) -> None:
        spread = {name: _Spread(value, shape) for name, value in self._scales.items()}

        def transform(block: Block, first: int) -> None:
            self.shape_block(block, {name: scale.at(first, len(block)) for name, scale in spread.items()})

        streams.fill_runs(out.numpy(), stream, runs, transform, kind=self.kind)

    def _fill_on_device(self, out: torch.Tensor, shape: Shape, stream: Stream, runs: Sequence[tuple[int, int]]) -> None:
        spread = {name: _DeviceSpread(value, shape, out.device) for name, value in self._scales.items()}

        def transform(block: torch.Tensor, index: Callable[[], torch.Tensor]) -> None:
            self.shape_block(block, {name: scale.at(index) for name, scale in spread.items()})

        _device_streams.fill_runs(out, stream, runs, transform, kind=self.kind)

    def problem(self, shape: Shape, dtype: torch.dtype) -> str | None:
        """Refuse integers, scales that are not finite or do not broadcast, and a spread of 0 everywhere."""
        found = super().problem(shape, dtype)
        if found:
            return found
        for name, value in self._scales.items():
            if not bool(np.isfinite(value).all()):
                return f"{name} of {self.describe()} is not finite"
            try:
                if np.broadcast_shapes(value.shape, tuple(shape)) != tuple(shape):
                    raise ValueError
            except ValueError:
                return f"{name} has shape {value.shape}, which does not broadcast to {tuple(shape)}"
        return self._scale_problem()

    def _scale_problem(self) -> str | None:
        return None

    def map(self, fn: Callable[[torch.Tensor], torch.Tensor], name: str) -> Elementwise:
        """Return the draw followed by an element-wise function.

        Args:
            fn: takes and returns a float64 vector on the CPU, wherever the parameter lives, since the last bits of
                most functions are the device's own; must treat each element on its own.
            name: how to describe it: ``"log"``.
        """
        return Mapped(self, fn, name)

    def parts(self) -> tuple[object, ...]:
        """The scales."""
        return tuple((name, torch.from_numpy(np.atleast_1d(value))) for name, value in self._scales.items())

    def _show(self, name: str) -> str:
        value = self._scales[name]
        if value.ndim == 0:
            return number(float(value))
        return f"{name}{list(value.shape)}"


class Normal(Elementwise):
    """Normal distribution.

    Args:
        std: standard deviation, a number or a tensor that broadcasts to the parameter. Per component where the
            parameter is complex.
        mean: likewise.
    """

    kind = "normal"

    def __init__(self, std: Scale, mean: Scale = 0.0) -> None:
        super().__init__(std=std, mean=mean)

    def shape_block(self, block: Vector, scales: dict[str, float | Vector]) -> None:
        """``z * std + mean``."""
        block *= scales["std"]
        if not (isinstance(scales["mean"], float) and scales["mean"] == 0.0):
            block += scales["mean"]

    def _scale_problem(self) -> str | None:
        return _spread_problem("std", self._scales["std"])

    @property
    def std(self) -> float:
        """Standard deviation (RMS of a tensor of them)."""
        return _rms(self._scales["std"])

    def describe(self) -> str:
        """``N(mean, std²)``."""
        return f"N({self._show('mean')}, {self._show('std')}²)"


class Uniform(Elementwise):
    """Uniform distribution: ``low + (high - low) * u``.

    Args:
        low: lower bound, a number or a tensor that broadcasts to the parameter.
        high: upper bound, likewise; not below ``low``, and above it somewhere.
    """

    def __init__(self, low: Scale, high: Scale) -> None:
        super().__init__(low=low, high=high)
        self._std: float | None = None

    @classmethod
    def with_std(cls, std: Scale) -> Uniform:
        """The uniform distribution about 0 with the given standard deviation: bounds ``±sqrt(3)·std``."""
        made = cls(-math.sqrt(3) * std, math.sqrt(3) * std)
        if isinstance(std, (int, float)):
            made._std = float(std)
        return made

    def shape_block(self, block: Vector, scales: dict[str, float | Vector]) -> None:
        """``u * (high - low) + low``."""
        block *= scales["high"] - scales["low"]
        block += scales["low"]

    def _scale_problem(self) -> str | None:
        return _bounds_problem(self._scales["low"], self._scales["high"])

    @property
    def std(self) -> float:
        """``(high - low) / sqrt(12)`` (RMS over tensors)."""
        if self._std is not None:
            return self._std
        return _rms(self._scales["high"] - self._scales["low"]) / math.sqrt(12)

    def describe(self) -> str:
        """``U(low, high)``."""
        return f"U({self._show('low')}, {self._show('high')})"


class LogUniform(Elementwise):
    """Log-uniform distribution: ``exp(log low + (log high - log low) * u)``.

    Args:
        low: lower bound, above 0; a number or a tensor that broadcasts to the parameter.
        high: upper bound, likewise.
    """

    def __init__(self, low: Scale, high: Scale) -> None:
        super().__init__(low=low, high=high)

    def shape_block(self, block: Vector, scales: dict[str, float | Vector]) -> None:
        """Uniform in the logarithm."""
        low, high = _elementary.log(scales["low"]), _elementary.log(scales["high"])
        block *= high - low
        block += low
        block[...] = _elementary.exp(block)

    def _scale_problem(self) -> str | None:
        if bool((self._scales["low"] <= 0).any()):
            return "a log-uniform draw needs low > 0"
        return _bounds_problem(self._scales["low"], self._scales["high"])

    @property
    def std(self) -> float:
        """Standard deviation from the moments of the distribution (RMS over tensors)."""
        low, high = np.broadcast_arrays(self._scales["low"], self._scales["high"])
        width = np.log(high / low)
        wide = width > 0
        safe = np.where(wide, width, 1.0)
        variance = (high**2 - low**2) / (2 * safe) - ((high - low) / safe) ** 2
        return float(np.sqrt(np.mean(np.where(wide, variance, 0.0))))

    def describe(self) -> str:
        """``logU(low, high)``."""
        return f"logU({self._show('low')}, {self._show('high')})"


class TruncatedNormal(Elementwise):
    """Normal distribution cut to an interval, one random number an element (no rejection).

    Args:
        sigma: standard deviation before the cut; a number or a tensor that broadcasts to the parameter.
        mean: centre before the cut, likewise.
        low: lower cut, in standard deviations from the mean.
        high: upper cut, likewise.

    :meth:`with_std` asks for a standard deviation after the cut.
    """

    def __init__(self, sigma: Scale, mean: Scale = 0.0, low: float = -2.0, high: float = 2.0) -> None:
        super().__init__(sigma=sigma, mean=mean)
        self.low, self.high = float(low), float(high)

    @classmethod
    def with_std(cls, std: Scale, mean: Scale = 0.0, low: float = -2.0, high: float = 2.0) -> TruncatedNormal:
        """The truncated normal whose standard deviation after the cut is ``std``."""
        return cls(std / _cut_std(low, high), mean, low, high)

    def shape_block(self, block: Vector, scales: dict[str, float | Vector]) -> None:
        """Map u into [Φ(low), Φ(high)], then through the inverse normal distribution function."""
        # In the upper tail Φ is 1 to within rounding; the mirrored lower tail keeps the digits.
        mirrored = self.low > 0
        low, high = (-self.high, -self.low) if mirrored else (self.low, self.high)
        bottom, top = _elementary.normal_cdf(low), _elementary.normal_cdf(high)
        block *= top - bottom
        block += bottom
        block[...] = normal_quantile(block)
        xp = _elementary.namespace(block)
        xp.clip(block, low, high, out=block)
        if mirrored:
            xp.negative(block, out=block)
        block *= scales["sigma"]
        block += scales["mean"]

    def _scale_problem(self) -> str | None:
        if not (math.isfinite(self.low) and math.isfinite(self.high) and self.low < self.high):
            return f"a truncated normal needs finite cuts low < high, not {self.low} and {self.high}"
        if max(self.low, -self.high) > 30:
            return f"the cut [{self.low}, {self.high}] holds no probability"
        return _spread_problem("sigma", self._scales["sigma"])

    @property
    def std(self) -> float:
        """Standard deviation after the cut (RMS over tensors)."""
        return _rms(self._scales["sigma"]) * _cut_std(self.low, self.high)

    def parts(self) -> tuple[object, ...]:
        """The scales and the cuts."""
        return (*super().parts(), self.low, self.high)

    def describe(self) -> str:
        """``N(mean, sigma²) cut to [low, high]σ``."""
        cut = f"[{number(self.low)}, {number(self.high)}]σ"
        return f"N({self._show('mean')}, {self._show('sigma')}²) cut to {cut}"


class Mapped(Elementwise):
    """An element-wise draw followed by a function."""

    def __init__(self, draw: Elementwise, fn: Callable[[torch.Tensor], torch.Tensor], name: str) -> None:
        self._scales = draw._scales
        self.draw, self.fn, self.name = draw, fn, name
        self.kind = draw.kind

    def shape_block(self, block: Vector, scales: dict[str, float | Vector]) -> None:
        """The inner draw's values through the function."""
        self.draw.shape_block(block, scales)
        block[...] = self.fn(torch.from_numpy(block.copy())).numpy()

    def _workplace(self, device: torch.device | None) -> torch.device:
        return torch.device("cpu")

    def _scale_problem(self) -> str | None:
        return self.draw._scale_problem()

    def parts(self) -> tuple[object, ...]:
        """The inner draw and the function."""
        return (self.draw, self.fn, self.name)

    def describe(self) -> str:
        """``name(draw)``."""
        return f"{self.name}({self.draw.describe()})"


class _ComplexParts(Elementwise):
    """A draw for the real view of a complex tensor: the same scale for both components."""

    def __init__(self, draw: Elementwise) -> None:
        self._scales = {name: value[..., None] if value.ndim else value for name, value in draw._scales.items()}
        self.shape_block = draw.shape_block  # type: ignore[method-assign]
        self.describe = draw.describe  # type: ignore[method-assign]
        self._workplace = draw._workplace  # type: ignore[method-assign]
        self.kind = draw.kind

    def shape_block(self, block: Vector, scales: dict[str, float | Vector]) -> None:
        raise NotImplementedError

    def describe(self) -> str:
        raise NotImplementedError


class _Spread:
    """A scale at any run of linear indices of the full tensor."""

    def __init__(self, value: Block, shape: Shape) -> None:
        self._number = float(value) if value.ndim == 0 else None
        self._flat = None if value.ndim == 0 else np.broadcast_to(value, tuple(shape)).flat

    def at(self, first: int, count: int) -> float | Block:
        if self._number is not None:
            return self._number
        assert self._flat is not None
        run: Block = self._flat[first : first + count]
        return run


class _DeviceSpread:
    """The same on another device, at any linear indices."""

    def __init__(self, value: Block, shape: Shape, device: torch.device) -> None:
        self._number = float(value) if value.ndim == 0 else None
        # Sizes of the full tensor with the step that each takes in the scale, which is held as it is: not spread out.
        steps = np.broadcast_to(np.arange(value.size).reshape(value.shape), tuple(shape)).strides if value.ndim else ()
        self._dimensions = [(size, step // 8 if size > 1 else 0) for size, step in zip(shape, steps, strict=False)]
        self._values = torch.from_numpy(np.ascontiguousarray(value).reshape(-1)).to(device)

    def at(self, index: Callable[[], torch.Tensor]) -> float | torch.Tensor:
        if self._number is not None:
            return self._number
        rest = index()
        place = torch.zeros_like(rest)
        for size, step in reversed(self._dimensions):
            if step:
                place += (rest % size) * step
            rest //= size
        return self._values[place]


def _uses_torch(device: torch.device) -> bool:
    return device.type != "cpu"


def _as_scale(value: Scale) -> Block:
    if isinstance(value, torch.Tensor):
        return value.detach().to("cpu", torch.float64).numpy()
    return np.asarray(value, dtype=np.float64)


def _rms(value: Block) -> float:
    return float(np.sqrt(np.mean(np.square(value))))


def _spread_problem(name: str, value: Block) -> str | None:
    if bool((value < 0).any()):
        return f"{name} is negative"
    if not bool((value > 0).any()):
        return f"{name} is 0 everywhere; use Constant"
    return None


def _bounds_problem(low: Block, high: Block) -> str | None:
    if bool((high < low).any()):
        return "high is below low"
    if not bool((high > low).any()):
        return "low equals high everywhere; use Constant"
    return None


def _cut_std(low: float, high: float) -> float:
    """Standard deviation of the standard normal cut to [low, high]."""

    def density(x: float) -> float:
        return math.exp(-x * x / 2) / math.sqrt(2 * math.pi)

    mass = (math.erfc(-high / math.sqrt(2)) - math.erfc(-low / math.sqrt(2))) / 2
    if low > 0:
        mass = (math.erfc(low / math.sqrt(2)) - math.erfc(high / math.sqrt(2))) / 2
    first = (density(low) - density(high)) / mass
    second = 1 + (low * density(low) - high * density(high)) / mass
    return math.sqrt(second - first * first)
