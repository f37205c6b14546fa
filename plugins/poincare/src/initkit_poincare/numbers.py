"""Arrays of float64, or of mpmath's numbers where a tree reaches farther out than float64 can follow."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

FLOAT64_RADIUS = 15.0
"""Up to this radius (c = 1) Möbius sums in float64 keep edge lengths to about 1e-11; at 32 to 1e-4."""

Array = npt.NDArray[Any]


class Numbers:
    """Arithmetic for a tree of a given radius.

    Args:
        radius: of the farthest point, c = 1.

    Attributes:
        digits: decimal digits in use, 0 for float64.
    """

    def __init__(self, radius: float) -> None:
        self.digits = 0 if radius <= FLOAT64_RADIUS else math.ceil(0.87 * radius) + 10
        self._context: Any = None
        if self.digits:
            import mpmath

            self._context = mpmath.mp.clone()
            self._context.dps = self.digits

    @property
    def words(self) -> str:
        """``float64``, or the number of digits."""
        return f"{self.digits} decimal digits" if self.digits else "float64"

    def array(self, values: Any) -> Array:
        """Values as an array of these numbers."""
        found = np.asarray(values, dtype=np.float64)
        return found if not self.digits else self._each(self._context.mpf, found)

    def zeros(self, shape: tuple[int, ...]) -> Array:
        """An array of zeros."""
        return self.array(np.zeros(shape))

    def half_tanh(self, lengths: Any) -> Array:
        """tanh(x/2): the norm of a point at distance x from the origin."""
        if not self.digits:
            return np.asarray(np.tanh(np.asarray(lengths) / 2))
        return self._each(lambda x: self._context.tanh(x / 2), self.array(lengths))

    def unit(self, vectors: Array) -> Array:
        """Vectors (..., d) divided by their lengths."""
        squares = (vectors * vectors).sum(axis=-1, keepdims=True)
        return np.asarray(vectors / (self._each(self._context.sqrt, squares) if self.digits else np.sqrt(squares)))

    def floats(self, values: Array) -> npt.NDArray[np.float64]:
        """Rounded to float64."""
        return values.astype(np.float64)

    def _each(self, fn: Callable[[Any], Any], values: Array) -> Array:
        flat = [fn(x) for x in values.reshape(-1).tolist()]
        made = np.empty(len(flat), dtype=object)
        made[:] = flat
        return made.reshape(values.shape)


def mobius_add(x: Array, y: Array) -> Array:
    """x ⊕ y for c = 1, over the last axis."""
    xy = (x * y).sum(axis=-1, keepdims=True)
    x2 = (x * x).sum(axis=-1, keepdims=True)
    y2 = (y * y).sum(axis=-1, keepdims=True)
    return np.asarray(((1 + 2 * xy + y2) * x + (1 - x2) * y) / (1 + 2 * xy + x2 * y2))
