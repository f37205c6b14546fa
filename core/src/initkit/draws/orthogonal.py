"""Semi-orthogonal matrices."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import torch

from initkit.draws.base import Draw, Shape, number
from initkit.draws.scaled import Normal

if TYPE_CHECKING:
    from initkit.streams import Stream


class Orthogonal(Draw):
    """A semi-orthogonal matrix, uniform (Haar) over all of them, times a gain.

    The tensor is read as a matrix of its first dimension by all others. The factor Q of a normal matrix, with the
    signs of R's diagonal put in, so that the result is unique.

    Source: Saxe, McClelland, Ganguli, Exact solutions to the nonlinear dynamics of learning in deep linear neural
    networks, ICLR 2014; Mezzadri, How to generate random matrices from the classical compact groups, 2007.

    Args:
        gain: the singular values; positive and finite.
    """

    def __init__(self, gain: float = 1.0) -> None:
        self.gain = float(gain)

    def sample(
        self,
        shape: Shape,
        dtype: torch.dtype,
        stream: Stream,
        *,
        current: torch.Tensor | None = None,
        device: torch.device | None = None,
    ) -> torch.Tensor:
        """Return the matrix, on ``device``; the decomposition runs there in float64 (complex128)."""
        rows, columns = shape[0], math.prod(shape[1:])
        wide = rows < columns
        size = (columns, rows) if wide else (rows, columns)
        work = torch.complex128 if dtype.is_complex else torch.float64
        normal = Normal(1.0).sample(size, work, stream, device=device).to(device or "cpu")
        q, r = torch.linalg.qr(normal)
        diagonal = torch.diagonal(r)
        q = q * (diagonal / diagonal.abs())
        q = (q.mH if wide else q) * self.gain
        matrix: torch.Tensor = q.reshape(tuple(shape)).to(dtype)
        return matrix

    def problem(self, shape: Shape, dtype: torch.dtype) -> str | None:
        """Refuse vectors, empty tensors and a gain that is not positive."""
        found = super().problem(shape, dtype)
        if found:
            return found
        if len(shape) < 2 or math.prod(shape) == 0:
            return f"an orthogonal draw needs a matrix, not shape {tuple(shape)}"
        if not (math.isfinite(self.gain) and self.gain > 0):
            return f"the gain of an orthogonal draw must be positive and finite, not {self.gain}"
        return None

    @property
    def std(self) -> float:
        """The gain; an entry's standard deviation is ``gain / sqrt(max(rows, columns))``."""
        return self.gain

    def parts(self) -> tuple[Any, ...]:
        """The gain."""
        return (self.gain,)

    def describe(self) -> str:
        """``orthogonal, gain g``."""
        return f"orthogonal, gain {number(self.gain)}"
