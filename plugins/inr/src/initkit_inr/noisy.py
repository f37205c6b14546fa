"""A draw with noise of its own on top."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import torch

from initkit import Draw

if TYPE_CHECKING:
    from collections.abc import Sequence

    from initkit import Stream


class WithNoise(Draw):
    """The sum of a draw and of independent noise, which has the sub-stream ``NAME#noise``.

    Args:
        base: gets the tensor's own stream: with the same seed it is the tensor without the noise.
        noise: the second draw.
    """

    def __init__(self, base: Draw, noise: Draw) -> None:
        self.base, self.noise = base, noise

    def sample(
        self,
        shape: Sequence[int],
        dtype: torch.dtype,
        stream: Stream,
        *,
        current: torch.Tensor | None = None,
        device: torch.device | None = None,
    ) -> torch.Tensor:
        """Both in float64, summed and rounded once (half types through float32)."""
        total = self.base.sample(shape, torch.float64, stream)
        total += self.noise.sample(shape, torch.float64, stream.sub("noise"))
        return total if dtype == torch.float64 else total.to(torch.float32).to(dtype)

    def describe(self) -> str:
        """Both, with a plus."""
        return f"{self.base.describe()} + {self.noise.describe()}"

    def problem(self, shape: Sequence[int], dtype: torch.dtype) -> str | None:
        """Refuse what either refuses, and complex tensors."""
        if dtype.is_complex:
            return "noise on a complex tensor is not defined"
        return self.base.problem(shape, dtype) or self.noise.problem(shape, dtype)

    @property
    def std(self) -> float:
        """Standard deviation of the sum."""
        return math.hypot(self.base.std, self.noise.std)

    def parts(self) -> tuple[Any, ...]:
        """Both draws."""
        return (self.base, self.noise)
