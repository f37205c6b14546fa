"""A draw computed from other draws: real and imaginary parts, products with a fixed matrix, shared random numbers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import Tensor

from initkit import Constant, Draw, Values
from initkit.draws.base import Lookup, Shape
from initkit.draws.scaled import Elementwise
from initkit_ssm.codes import Code

if TYPE_CHECKING:
    from initkit.streams import Stream


@dataclass(frozen=True)
class Part:
    """One input of a :class:`Formula`.

    Args:
        draw: what to sample.
        shape: to sample it in.
        stream: ``"#tag"`` is a sub-stream of the tensor that is filled, ``""`` its own stream, anything else the
            name of another tensor, whose random numbers are then shared.
        complex: whether it is sampled as complex128 (std per component) instead of float64.
    """

    draw: Draw
    shape: tuple[int, ...]
    stream: str = ""
    complex: bool = False


class Formula(Draw):
    """Values computed in float64 (complex128) from parts that are sampled, and rounded once.

    Args:
        fn: from the parts' tensors, in order, to the tensor; a function of its arguments alone. Where its result is
            complex and the tensor filled is real, that tensor ends with an axis of 2: real and imaginary part.
        parts: what to sample.
        words: how to describe it.
    """

    def __init__(self, fn: Callable[..., Tensor], parts: Sequence[Part], words: str) -> None:
        self.fn, self.inputs, self.words = fn, tuple(parts), words
        self.random = any(part.draw.random for part in self.inputs)

    def compute(self, stream: Stream) -> Tensor:
        """The value in float64 or complex128, on the CPU."""
        return self.fn(*(_sample(part, stream) for part in self.inputs))

    def sample(
        self,
        shape: Shape,
        dtype: torch.dtype,
        stream: Stream,
        *,
        current: Tensor | None = None,
        device: torch.device | None = None,
    ) -> Tensor:
        """Return the tensor, rounded once (half types through float32)."""
        return rounded(self.compute(stream), dtype).broadcast_to(tuple(shape)).contiguous()

    def then(self, code: Code) -> Formula:
        """Follow by a scalar code."""
        return Formula(lambda *parts: code.store(self.fn(*parts)), self.inputs, f"{code.name}({self.words})")

    def component(self, part: Literal["real", "imag"], home: str) -> Formula:
        """One part of a complex result, for another tensor, from the numbers of the tensor ``home``."""
        moved = [
            Part(p.draw, p.shape, home + p.stream if p.stream[:1] in ("", "#") else p.stream, p.complex)
            for p in self.inputs
        ]
        words = f"{'real' if part == 'real' else 'imaginary'} part of {self.words}"
        return Formula(lambda *parts: getattr(self.fn(*parts), part), moved, words)

    def problem(self, shape: Shape, dtype: torch.dtype) -> str | None:
        """Whatever the parts say."""
        found = super().problem(shape, dtype)
        if found:
            return found
        problems = (
            part.draw.problem(part.shape, torch.complex128 if part.complex else torch.float64) for part in self.inputs
        )
        return next((problem for problem in problems if problem), None)

    def resolve(self, lookup: Lookup) -> Draw:
        """Resolve the parts."""
        parts = [Part(part.draw.resolve(lookup), part.shape, part.stream, part.complex) for part in self.inputs]
        return Formula(self.fn, parts, self.words)

    def jobs(self) -> list[Any]:
        """Jobs of the parts."""
        return [job for part in self.inputs for job in part.draw.jobs()]

    def parts(self) -> tuple[Any, ...]:
        """The words and the parts."""
        return (self.words, *((part.draw, part.shape, part.stream, part.complex) for part in self.inputs))

    def describe(self) -> str:
        """The words."""
        return self.words


def _sample(part: Part, stream: Stream) -> Tensor:
    if part.stream.startswith("#"):
        stream = stream.sub(part.stream[1:])
    elif part.stream:
        stream = type(stream)(stream.seed, part.stream)
    dtype = torch.complex128 if part.complex else torch.float64
    return part.draw.sample(part.shape, dtype, stream).broadcast_to(part.shape)


def rounded(value: Tensor, dtype: torch.dtype) -> Tensor:
    """Round float64 or complex128 once to ``dtype``; half types are the float32 value rounded.

    A complex value becomes a last axis of 2 where ``dtype`` is real.
    """
    if value.is_complex() and not dtype.is_complex:
        value = torch.view_as_real(value.resolve_conj())
    if dtype in (torch.bfloat16, torch.float16):
        value = value.to(torch.float32)
    return value.to(dtype)


def pair(real: Draw, imag: Draw, shape: tuple[int, ...]) -> Draw:
    """A complex draw from draws of its parts; given values and constants become given values."""
    if _fixed(real) and _fixed(imag):
        parts = [_fixed_values(draw, shape) for draw in (real, imag)]
        return Values(torch.complex(*parts), f"{real.describe()} + i·{imag.describe()}")
    inputs = (Part(real, shape, "#real"), Part(imag, shape, "#imag"))
    return Formula(torch.complex, inputs, f"{real.describe()} + i·{imag.describe()}")


def stored(draw: Draw, code: Code, shape: tuple[int, ...]) -> Draw:
    """The draw of what a layer stores, from the draw of a real value and the layer's code."""
    if code.name == "stored" and code.floor is None:
        return draw
    words = draw.describe() if code.name == "stored" else f"{code.name}({draw.describe()})"
    if isinstance(draw, Elementwise):
        return draw.map(code.store, code.name)
    if isinstance(draw, Formula):
        return draw.then(code)
    if isinstance(draw, Constant):
        value = code.store(torch.tensor(float(draw.value.real), dtype=torch.float64))
        return Constant(float(value))
    if isinstance(draw, Values):
        return Values(code.store(draw.tensor), words)
    return Formula(code.store, (Part(draw, shape),), words)


def _fixed(draw: Draw) -> bool:
    return isinstance(draw, (Constant, Values))


def _fixed_values(draw: Draw, shape: tuple[int, ...]) -> Tensor:
    if isinstance(draw, Values):
        return draw.tensor.to(torch.float64).broadcast_to(shape).contiguous()
    return torch.full(shape, float(draw.value.real), dtype=torch.float64)  # type: ignore[attr-defined]
