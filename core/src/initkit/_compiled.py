"""The inverse normal distribution function compiled by numba, for very large fills, where numba is installed.

The same float64 operations in the same order as :mod:`initkit._normal`, so the same bits (tested): numba without
``fastmath`` neither fuses nor reorders them. It holds no interpreter lock, so that threads help, which they hardly do
with numpy's short passes.
"""

from __future__ import annotations

import functools
import importlib.util
import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from initkit import _elementary, _normal
from initkit._elementary import Array
from initkit._normal import Workspace

# Importing numba and compiling take a second or two: a fill must be large enough to win them back.
WORTH_COMPILING = 1 << 26

Quantile = Callable[[Array, Workspace], Array]


def quantile_for(size: int) -> Quantile:
    """The fastest way to :func:`initkit._normal.quantile_into` for a fill of ``size`` numbers."""
    if _kernel.cache_info().currsize:
        return quantile_compiled
    if size < WORTH_COMPILING or importlib.util.find_spec("numba") is None:
        return _normal.quantile_into
    return quantile_compiled


def quantile_compiled(u: Array, work: Workspace) -> Array:
    """As :func:`initkit._normal.quantile_into`; needs numba."""
    out: Array = work.top[: len(u)]
    _kernel()(u, out)
    return out


@functools.cache
def _kernel() -> Any:
    import numba

    compiled = numba.njit(nogil=True, fastmath=False)

    def polynomial(coefficients: Sequence[float]) -> Any:
        """Horner's rule, highest power first; each step a product, then a sum."""
        first, second, rest = coefficients[0], coefficients[1], tuple(coefficients[2:])

        @compiled
        def value(x: Any) -> Any:
            y = x * first
            y = y + second
            for coefficient in rest:
                y = y * x
                y = y + coefficient
            return y

        return value

    centre_top, centre_bottom = polynomial(_normal.CENTRE_TOP), polynomial(_normal.CENTRE_BOTTOM)
    middle_top, middle_bottom = polynomial(_normal.MIDDLE_TOP), polynomial(_normal.MIDDLE_BOTTOM)
    far_top, far_bottom = polynomial(_normal.FAR_TOP), polynomial(_normal.FAR_BOTTOM)
    atanh = polynomial(_elementary.ATANH)
    width, square = _normal.CENTRE_WIDTH, _normal.CENTRE_SQUARE
    middle_shift, far_shift = _normal.MIDDLE_SHIFT, _normal.FAR_SHIFT
    greatest, root_bits = _normal.GREATEST_U, _elementary.SQRT_HALF_BITS
    ln2_high, ln2_low = _elementary.LN2_HIGH, _elementary.LN2_LOW

    @compiled
    def logarithm(number: Any, bits: Any) -> Any:
        """Of ``number[0]``, whose bits ``bits`` shows; both are overwritten."""
        exponent = (bits[0] - root_bits) >> 52
        k = float(exponent)
        bits[0] = bits[0] - (exponent << 52)
        f = number[0] - 1.0
        s = f / (f + 2.0)
        z = s * s
        rest = atanh(z) * z
        h = f * f * 0.5
        rest = rest + h
        rest = rest * s
        rest = rest + k * ln2_low
        h = h - rest
        h = h - f
        return k * ln2_high - h

    @compiled
    def kernel(u: Any, out: Any) -> None:
        number = np.empty(1, np.float64)
        bits = number.view(np.int64)
        for i in range(len(u)):  # the central formula for all: without branches it runs in vectors
            q = u[i] - 0.5
            r = square - q * q
            out[i] = centre_top(r) * q / centre_bottom(r)
        for i in range(len(u)):
            q = u[i] - 0.5
            if abs(q) > width:
                tail = min(u[i], greatest)
                number[0] = min(tail, 1.0 - tail)
                r = math.sqrt(-logarithm(number, bits))
                if r > far_shift:
                    r = r - far_shift
                    value = far_top(r) / far_bottom(r)
                else:
                    r = r - middle_shift
                    value = middle_top(r) / middle_bottom(r)
                out[i] = math.copysign(value, q)

    return kernel
