"""The inverse normal distribution function compiled by numba, for models of many numbers, where numba is installed.

The same float64 operations in the same order as :mod:`initkit._normal`, so the same bits (tested): numba without
``fastmath`` neither fuses nor reorders them. Three times as fast, and it holds no interpreter lock, so that threads
help more than they do with numpy's short passes.
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

# Importing numba and compiling take about two seconds and save about 5 ns a number. A process that has drawn this many
# is taken to draw as many again.
WORTH_COMPILING = 1 << 28

Quantile = Callable[[Array, Workspace], Array]

_asked = [0]  # numbers that this process has asked for


def quantile_for(size: int) -> Quantile:
    """The fastest way to :func:`initkit._normal.quantile_into` for a fill of ``size`` numbers."""
    _asked[0] += size
    if _kernel.cache_info().currsize:
        return quantile_compiled
    if _asked[0] < WORTH_COMPILING or importlib.util.find_spec("numba") is None or _memory_is_limited():
        return _normal.quantile_into
    return quantile_compiled


def _memory_is_limited() -> bool:
    """Whether this process may be refused memory: numba wants some hundred megabytes, and hangs where they are."""
    try:
        import resource
    except ImportError:  # there is none on Windows
        return False
    return resource.getrlimit(resource.RLIMIT_AS)[0] != resource.RLIM_INFINITY


def quantile_compiled(u: Array, work: Workspace) -> Array:
    """As :func:`initkit._normal.quantile_into`; needs numba."""
    out: Array = work.top[: len(u)]
    tail = work.r[: len(u)]
    _kernel()(u, out, work.places, tail, tail.view(np.int64), work.bottom)
    return out


@functools.cache
def _kernel() -> Any:
    import numba

    compiled = numba.njit(nogil=True, fastmath=False, error_model="numpy")

    def polynomial(coefficients: Sequence[float]) -> Any:
        """Horner's rule for degree 7, highest power first; each step a product, then a sum.

        Written out, since a loop in it would keep the loops that call it from running in vectors.
        """
        a, b, c, d, e, f, g, h = coefficients

        @compiled
        def value(x: Any) -> Any:
            return ((((((x * a + b) * x + c) * x + d) * x + e) * x + f) * x + g) * x + h

        return value

    centre_top, centre_bottom = polynomial(_normal.CENTRE_TOP), polynomial(_normal.CENTRE_BOTTOM)
    middle_top, middle_bottom = polynomial(_normal.MIDDLE_TOP), polynomial(_normal.MIDDLE_BOTTOM)
    far_top, far_bottom = polynomial(_normal.FAR_TOP), polynomial(_normal.FAR_BOTTOM)
    a9, a8, a7, a6, a5, a4, a3, a2, a1, a0 = _elementary.ATANH
    width, square = _normal.CENTRE_WIDTH, _normal.CENTRE_SQUARE
    middle_shift, far_shift = _normal.MIDDLE_SHIFT, _normal.FAR_SHIFT
    greatest, root_bits = _normal.GREATEST_U, _elementary.SQRT_HALF_BITS
    ln2_high, ln2_low = _elementary.LN2_HIGH, _elementary.LN2_LOW

    @compiled
    def atanh(x: Any) -> Any:
        y = ((((x * a9 + a8) * x + a7) * x + a6) * x + a5) * x + a4
        return (((y * x + a3) * x + a2) * x + a1) * x + a0

    # Loops without branches run in vectors, each in a function of its own: so all numbers go through the central
    # formula, and those of the tails are gathered before theirs.

    @compiled
    def centre(u: Any, out: Any) -> None:
        for i in range(len(u)):
            q = u[i] - 0.5
            r = square - q * q
            out[i] = centre_top(r) * q / centre_bottom(r)

    @compiled
    def gathered(u: Any, places: Any, tail: Any) -> Any:
        count = 0
        for i in range(len(u)):
            places[count] = i
            number = min(u[i], greatest)
            tail[count] = min(number, 1.0 - number)
            count += abs(u[i] - 0.5) > width
        return count

    @compiled
    def roots(tail: Any, bits: Any) -> None:
        """Of minus the logarithms, which are those of :mod:`initkit._elementary`."""
        for j in range(len(tail)):
            exponent = (bits[j] - root_bits) >> 52
            bits[j] = bits[j] - (exponent << 52)
            k = float(exponent)
            f = tail[j] - 1.0
            s = f / (f + 2.0)
            z = s * s
            rest = atanh(z) * z
            h = f * f * 0.5
            rest = rest + h
            rest = rest * s
            rest = rest + k * ln2_low
            h = h - rest
            h = h - f
            tail[j] = math.sqrt(h - k * ln2_high)

    @compiled
    def middle(tail: Any, value: Any) -> None:
        for j in range(len(tail)):
            r = tail[j] - middle_shift
            value[j] = middle_top(r) / middle_bottom(r)

    @compiled
    def kernel(u: Any, out: Any, places: Any, tail: Any, bits: Any, value: Any) -> None:
        """The quantile of ``u`` in ``out``; ``tail`` and ``bits`` are one buffer, as numbers and as integers."""
        centre(u, out)
        count = gathered(u, places, tail)
        roots(tail[:count], bits[:count])
        middle(tail[:count], value)
        for j in range(count):
            i = places[j]
            if tail[j] > far_shift:
                r = tail[j] - far_shift
                value[j] = far_top(r) / far_bottom(r)
            out[i] = math.copysign(value[j], u[i] - 0.5)

    return kernel
