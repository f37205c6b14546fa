"""What every draw can do."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import torch

from initkit.draws.region import Region, blocks_of

if TYPE_CHECKING:
    from initkit.streams import Stream

Shape = Sequence[int]
PIECE = 1 << 20
"""Elements of a tensor that is made part by part, made at once."""
Block = npt.NDArray[np.float64]
Lookup = Callable[[Any, str], torch.Tensor]


class Draw(ABC):
    """A value source. It samples itself and describes itself in one line; it never changes."""

    random: bool = True
    """Whether it draws random numbers; such a draw cannot fill an integer tensor."""

    reads_current: bool = False
    """Whether it needs the tensor's present value."""

    @abstractmethod
    def sample(
        self,
        shape: Shape,
        dtype: torch.dtype,
        stream: Stream,
        *,
        current: torch.Tensor | None = None,
        device: torch.device | None = None,
    ) -> torch.Tensor:
        """Return a new tensor.

        Args:
            shape: of the tensor.
            dtype: of the tensor; random draws compute in float64 and round once (half types through float32).
            stream: source of random numbers; the result depends on it, the shape and the dtype alone.
            current: the present value, for draws with ``reads_current``.
            device: where the draw may work, and where its result may be; None is the CPU.
        """

    def sample_region(
        self,
        region: Region,
        dtype: torch.dtype,
        stream: Stream,
        *,
        current: torch.Tensor | None = None,
        device: torch.device | None = None,
    ) -> torch.Tensor | None:
        """Return a part of the tensor that :meth:`sample` would return, same bits, without making the rest.

        Args:
            region: the part.
            dtype: of the tensor.
            stream: as of :meth:`sample`.
            current: the part's present value, for draws with ``reads_current``.
            device: as of :meth:`sample`.

        Returns:
            A tensor of the part's shape; None for a draw that only makes whole tensors.
        """
        return None

    def pieces(
        self,
        shape: Shape,
        dtype: torch.dtype,
        stream: Stream,
        *,
        current: Any = None,
        device: torch.device | None = None,
    ) -> Iterator[torch.Tensor]:
        """Yield the tensor of :meth:`sample` in consecutive parts, without making it whole where that can be helped.

        Args:
            shape: of the tensor.
            dtype: of the tensor.
            stream: as of :meth:`sample`.
            current: the present value, for draws with ``reads_current``; or what gives its rows by index.
            device: as of :meth:`sample`.

        Yields:
            Tensors whose elements follow one another as those of the whole do.
        """
        done = 0
        for region in blocks_of(shape, PIECE):
            before = None if current is None else current[slice(*region.spans[0][0])].reshape(region.sizes)
            part = self.sample_region(region, dtype, stream, current=before, device=device)
            if part is None:
                break
            done += region.count
            yield part
        if done < math.prod(shape) or not shape:
            whole = None if current is None else current[:].reshape(tuple(current.shape))
            yield self.sample(shape, dtype, stream, current=whole, device=device).reshape(-1)[done:]

    @abstractmethod
    def describe(self) -> str:
        """One line such as ``N(0, 0.031²)``."""

    def problem(self, shape: Shape, dtype: torch.dtype) -> str | None:
        """Say why the draw cannot fill such a tensor, or None when it can; samples nothing."""
        if self.random and not (dtype.is_floating_point or dtype.is_complex):
            return f"a random draw cannot fill a tensor of {dtype}; use Constant or Values of that dtype"
        return None

    @property
    def std(self) -> float:
        """Standard deviation of the values, whatever their distribution; only draws with a scale have one."""
        raise AttributeError(f"{type(self).__name__} has no std")

    def resolve(self, lookup: Lookup) -> Draw:
        """Return the draw with results of jobs put in; itself where it holds none."""
        return self

    def jobs(self) -> list[Any]:
        """The jobs whose results the draw uses."""
        return []

    def parts(self) -> tuple[Any, ...]:
        """The arguments that tell this draw from another of its class."""
        return ()

    def using(self, name: str) -> Draw:
        """Return this draw on another tensor's stream, so that both share their random numbers."""
        return Using(self, name)

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other) and isinstance(other, Draw) and _same(self.parts(), other.parts())

    def __hash__(self) -> int:
        return hash((type(self), self.describe()))

    def __repr__(self) -> str:
        return self.describe()


class Using(Draw):
    """A draw on another tensor's stream."""

    def __init__(self, draw: Draw, name: str) -> None:
        self.draw = draw
        self.name = name
        self.random = draw.random
        self.reads_current = draw.reads_current

    def sample(
        self,
        shape: Shape,
        dtype: torch.dtype,
        stream: Stream,
        *,
        current: torch.Tensor | None = None,
        device: torch.device | None = None,
    ) -> torch.Tensor:
        """Sample with the other tensor's stream, same seed."""
        return self.draw.sample(shape, dtype, self._other(stream), current=current, device=device)

    def sample_region(
        self,
        region: Region,
        dtype: torch.dtype,
        stream: Stream,
        *,
        current: torch.Tensor | None = None,
        device: torch.device | None = None,
    ) -> torch.Tensor | None:
        """As the inner draw, with the other tensor's stream."""
        return self.draw.sample_region(region, dtype, self._other(stream), current=current, device=device)

    def pieces(
        self,
        shape: Shape,
        dtype: torch.dtype,
        stream: Stream,
        *,
        current: Any = None,
        device: torch.device | None = None,
    ) -> Iterator[torch.Tensor]:
        """As the inner draw, with the other tensor's stream."""
        return self.draw.pieces(shape, dtype, self._other(stream), current=current, device=device)

    def _other(self, stream: Stream) -> Stream:
        return type(stream)(stream.seed, self.name)

    def describe(self) -> str:
        """Name the draw and whose numbers it uses."""
        return f"{self.draw.describe()} with the numbers of {self.name}"

    def problem(self, shape: Shape, dtype: torch.dtype) -> str | None:
        """Whatever the inner draw says."""
        return self.draw.problem(shape, dtype)

    def resolve(self, lookup: Lookup) -> Draw:
        """Resolve the inner draw."""
        return Using(self.draw.resolve(lookup), self.name)

    def jobs(self) -> list[Any]:
        """Jobs of the inner draw."""
        return self.draw.jobs()

    def parts(self) -> tuple[Any, ...]:
        """The inner draw and the name."""
        return (self.draw, self.name)

    @property
    def std(self) -> float:
        """Standard deviation of the inner draw."""
        return self.draw.std


def _same(a: Any, b: Any) -> bool:
    if isinstance(a, torch.Tensor) or isinstance(b, torch.Tensor):
        return (
            isinstance(a, torch.Tensor)
            and isinstance(b, torch.Tensor)
            and a.shape == b.shape
            and a.dtype == b.dtype
            and torch.equal(a, b)
        )
    if isinstance(a, tuple) and isinstance(b, tuple):
        return len(a) == len(b) and all(_same(x, y) for x, y in zip(a, b, strict=True))
    return bool(a == b)


def number(value: float) -> str:
    """A number as it stands in descriptions: four significant digits."""
    return f"{value:.4g}"
