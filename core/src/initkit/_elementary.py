"""Logarithm, exponential and normal distribution function with the same bits on every processor.

The libraries' ``log`` and ``exp`` differ in the last bits between processors and versions. Here each value is made
of float64 additions, subtractions, multiplications and divisions, one at a time, which IEEE 754 rounds exactly, and
of integer work on the exponent; numpy runs each as a loop of its own, so that none can be fused with its neighbour.
The same holds for torch's operations outside ``torch.compile``, on every device that has float64: each function takes
numpy arrays and torch tensors, and what is written here once has the same bits in both. A tensor is never divided by
a number that is no power of two, since CUDA multiplies by its reciprocal.

Errors, measured against mpmath: ``log`` below 1 ulp, ``exp`` below 1 ulp, ``normal_cdf`` below 1e-15 of its value
(where that is a normal number).
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias, overload

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    import torch

Array = npt.NDArray[np.float64]
Vector: TypeAlias = Any  # float64 numbers: an array, or a torch tensor

# ln 2 in two parts: the first has 42 significant bits, so that its products with an exponent (11 bits) are exact.
LN2_HIGH = float.fromhex("0x1.62e42fefa38p-1")
LN2_LOW = float.fromhex("0x1.ef35793c7673p-45")
_PER_LN2 = float.fromhex("0x1.71547652b82fep+0")
_ROUNDER = 6755399441055744.0  # 1.5 * 2**52: adding and subtracting it rounds to an integer
SQRT_HALF_BITS = 0x3FE6A09E667F3BCD
_LEAST_NORMAL = 2.0**-1022
_CHUNK = 8192

# log((1 + s)/(1 - s)) = 2 s (1 + z/3 + z²/5 + ...) with z = s² <= 0.0295; what follows z¹⁰ is below 2**-59 of it.
ATANH = tuple(2.0 / (2 * k + 1) for k in range(10, 0, -1))

# exp(r) = 1 + r + r² (1/2! + r/3! + ...) with |r| <= 0.3466; what follows r¹³ is below 2**-57.
_FACTORIALS = (
    6227020800.0, 479001600.0, 39916800.0, 3628800.0, 362880.0, 40320.0, 5040.0, 720.0, 120.0, 24.0, 6.0, 2.0,
)  # fmt: skip
_EXP = tuple(1.0 / f for f in _FACTORIALS)

# W. J. Cody, "Rational Chebyshev approximations for the error function", Math. Comp. 23 (1969) 631-637, in the form
# for the normal distribution of his program ANORM (SPECFUN; Algorithm 715, ACM TOMS 19 (1993) 22-32). Highest power
# first; the denominators' leading coefficient is 1.
_ROOT_32 = float.fromhex("0x1.6a09e667f3bcdp+2")
_CENTRE = 0.66291
_PER_ROOT_2PI = 0.39894228040143267794
_CENTRE_TOP = (
    6.5682337918207449113e-2, 2.2352520354606839287, 1.6102823106855587881e2, 1.0676894854603709582e3,
    1.8154981253343561249e4,
)  # fmt: skip
_CENTRE_BOTTOM = (
    1.0, 4.7202581904688241870e1, 9.7609855173777669322e2, 1.0260932208618978205e4, 4.5507789335026729956e4,
)  # fmt: skip
_MIDDLE_TOP = (
    1.0765576773720192317e-8, 3.9894151208813466764e-1, 8.8831497943883759412, 9.3506656132177855979e1,
    5.9727027639480026226e2, 2.4945375852903726711e3, 6.8481904505362823326e3, 1.1602651437647350124e4,
    9.8427148383839780218e3,
)  # fmt: skip
_MIDDLE_BOTTOM = (
    1.0, 2.2266688044328115691e1, 2.3538790178262499861e2, 1.5193775994075548050e3, 6.4855582982667607550e3,
    1.8615571640885098091e4, 3.4900952721145977266e4, 3.8912003286093271411e4, 1.9685429676859990727e4,
)  # fmt: skip
_FAR_TOP = (
    2.307344176494017303e-2, 2.1589853405795699e-1, 1.274011611602473639e-1, 2.2235277870649807e-2,
    1.421619193227893466e-3, 2.9112874951168792e-5,
)  # fmt: skip
_FAR_BOTTOM = (
    1.0, 1.28426009614491121, 4.68238212480865118e-1, 6.59881378689285515e-2, 3.78239633202758244e-3,
    7.29751555083966205e-5,
)  # fmt: skip


def namespace(x: Any) -> Any:
    """The library of an array: torch for its tensors, else numpy."""
    torch = sys.modules.get("torch")
    return torch if torch is not None and isinstance(x, torch.Tensor) else np


def square_root(x: Vector) -> Vector:
    """Square root in place, rounded exactly.

    Torch's own on a CPU may be that of MKL, which is off by an ulp for one number in a hundred; CUDA's is exact.
    """
    if namespace(x) is np or x.device.type == "cpu":
        flat = x if isinstance(x, np.ndarray) else x.numpy()
        np.sqrt(flat, out=flat)
    else:
        x.sqrt_()
    return x


def horner(x: Vector, coefficients: Sequence[float], out: Vector | None = None) -> Vector:
    """Value of a polynomial by Horner's rule, highest power first; each step a product, then a sum."""
    out = namespace(x).multiply(x, coefficients[0], out=out)
    out += coefficients[1]
    for coefficient in coefficients[2:]:
        out *= x
        out += coefficient
    return out


def log_normal_numbers(x: Vector) -> Vector:
    """Natural logarithm of positive, finite numbers that are not subnormal; other inputs give nonsense."""
    # x = 2**k · m with sqrt(1/2) <= m < sqrt(2), f = m - 1 (exact), s = f/(2 + f), log m = log((1 + s)/(1 - s)).
    xp = namespace(x)
    bits = x.view(xp.int64)
    exponent = (bits - SQRT_HALF_BITS) >> 52
    k = xp.empty_like(x)
    k[...] = exponent
    exponent <<= 52
    f = (bits - exponent).view(xp.float64)
    f -= 1.0
    s = f + 2.0
    xp.divide(f, s, out=s)
    z = s * s
    rest = horner(z, ATANH)
    rest *= z
    # 2 s = f - s f = f - h + s h with h = f²/2, which keeps the leading term f exact.
    h = xp.multiply(f, f, out=z)
    h *= 0.5
    rest += h
    rest *= s
    rest += k * LN2_LOW
    h -= rest
    h -= f
    k *= LN2_HIGH
    k -= h
    return k


def _log(x: Vector) -> Vector:
    xp = namespace(x)
    normal = (x >= _LEAST_NORMAL) & (x < math.inf)
    if normal.all():
        return log_normal_numbers(x)
    subnormal = (x > 0) & (x < _LEAST_NORMAL)
    scaled = xp.where(normal, x, 1.0)
    scaled[subnormal] = x[subnormal] * 2.0**54
    y = log_normal_numbers(scaled)
    y[subnormal] = (y[subnormal] - 54 * LN2_LOW) - 54 * LN2_HIGH
    y[x == 0] = -math.inf
    y[x == math.inf] = math.inf
    y[(x < 0) | xp.isnan(x)] = math.nan
    return y


def _exp(x: Vector) -> Vector:
    # x = k ln 2 + r; beyond these limits the result is 0 or infinite whatever x is.
    xp = namespace(x)
    x = xp.clip(x, -746.0, 710.0)
    k = x * _PER_LN2
    k += _ROUNDER
    k -= _ROUNDER
    high = x - k * LN2_HIGH
    low = k * LN2_LOW
    r = high - low
    y = horner(r, _EXP)
    r *= r
    y *= r
    y = low - y
    y = high - y
    y += 1.0
    # Two factors, since 2**k itself may be out of range; where the result is subnormal only the second one rounds.
    with np.errstate(all="ignore"):
        exponent = xp.empty_like(x, dtype=xp.int64)
        exponent[...] = k
        half = exponent >> 1
        for part in (half, exponent - half):
            y *= ((part + 1023) << 52).view(xp.float64)
    return y


def _minus_half_square(y: Vector) -> Vector:
    """``exp(-y²/2)`` for y >= 0, keeping the digits that the rounding of y² would lose."""
    coarse = namespace(y).trunc(y * 16.0) / 16.0
    rest = (y - coarse) * (y + coarse)
    value = _exp(coarse * coarse * -0.5)
    value *= _exp(rest * -0.5)
    return value


def _normal_cdf(x: Vector) -> Vector:
    xp = namespace(x)
    y = xp.clip(xp.abs(x), None, 40.0)
    result = xp.full_like(x, math.nan)
    centre = y <= _CENTRE
    middle = (y > _CENTRE) & (y <= _ROOT_32)
    far = y > _ROOT_32
    if centre.any():
        t = x[centre]
        square = t * t
        result[centre] = t * horner(square, _CENTRE_TOP) / horner(square, _CENTRE_BOTTOM) + 0.5
    if middle.any():
        t = y[middle]
        result[middle] = _minus_half_square(t) * (horner(t, _MIDDLE_TOP) / horner(t, _MIDDLE_BOTTOM))
    if far.any():
        t = y[far]
        inverse = xp.ones_like(t) / (t * t)
        ratio = inverse * horner(inverse, _FAR_TOP) / horner(inverse, _FAR_BOTTOM)
        result[far] = _minus_half_square(t) * ((_PER_ROOT_2PI - ratio) / t)
    upper = (x > 0) & ~centre
    result[upper] = 1.0 - result[upper]
    return result


def _on(function: Callable[[Any], Any], x: Any) -> Any:
    if namespace(x) is not np:
        return function(x.contiguous().reshape(-1)).reshape(x.shape)
    given = np.asarray(x, dtype=np.float64)
    flat = np.ascontiguousarray(given).reshape(-1)
    if len(flat) <= _CHUNK:
        flat = function(flat)
    else:
        # In pieces, so that the temporary vectors stay in the cache.
        flat = np.concatenate([function(flat[i : i + _CHUNK]) for i in range(0, len(flat), _CHUNK)])
    return flat.reshape(given.shape) if isinstance(x, np.ndarray) else float(flat[0])


@overload
def log(x: float) -> float: ...
@overload
def log(x: Array) -> Array: ...
@overload
def log(x: torch.Tensor) -> torch.Tensor: ...
def log(x: Any) -> Any:
    """Natural logarithm, element-wise: a number, or float64 of any shape; 0 gives -inf, negative numbers NaN."""
    return _on(_log, x)


@overload
def exp(x: float) -> float: ...
@overload
def exp(x: Array) -> Array: ...
@overload
def exp(x: torch.Tensor) -> torch.Tensor: ...
def exp(x: Any) -> Any:
    """Exponential, element-wise: a number, or float64 of any shape; silently 0 or infinite where it is out of range."""
    return _on(_exp, x)


@overload
def normal_cdf(x: float) -> float: ...
@overload
def normal_cdf(x: Array) -> Array: ...
@overload
def normal_cdf(x: torch.Tensor) -> torch.Tensor: ...
def normal_cdf(x: Any) -> Any:
    """Standard normal distribution function Φ, element-wise: a number, or float64 of any shape (Cody 1969)."""
    return _on(_normal_cdf, x)
