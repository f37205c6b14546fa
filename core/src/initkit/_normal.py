"""Inverse of the standard normal distribution function, with the same bits on every processor.

M. J. Wichura, "Algorithm AS 241: The percentage points of the normal distribution", Applied Statistics 37 (1988)
477-484, routine PPND16: rational functions of degree 7 in three regions. Float64 operations one at a time, and the
logarithm of :mod:`initkit._elementary`; on numpy arrays or torch tensors, with the same bits.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, overload

import numpy as np

from initkit._elementary import Array, Vector, horner, log, log_normal_numbers, namespace, square_root

if TYPE_CHECKING:
    import torch

# The three regions' numerators and denominators, highest power first: |u - 1/2| <= 0.425; sqrt(-log u) <= 5; beyond.
CENTRE_TOP = (
    2.5090809287301226727e3, 3.3430575583588128105e4, 6.7265770927008700853e4, 4.5921953931549871457e4,
    1.3731693765509461125e4, 1.9715909503065514427e3, 1.3314166789178437745e2, 3.3871328727963666080,
)  # fmt: skip
CENTRE_BOTTOM = (
    5.2264952788528545610e3, 2.8729085735721942674e4, 3.9307895800092710610e4, 2.1213794301586595867e4,
    5.3941960214247511077e3, 6.8718700749205790830e2, 4.2313330701600911252e1, 1.0,
)  # fmt: skip
MIDDLE_TOP = (
    7.74545014278341407640e-4, 2.27238449892691845833e-2, 2.41780725177450611770e-1, 1.27045825245236838258,
    3.64784832476320460504, 5.76949722146069140550, 4.63033784615654529590, 1.42343711074968357734,
)  # fmt: skip
MIDDLE_BOTTOM = (
    1.05075007164441684324e-9, 5.47593808499534494600e-4, 1.51986665636164571966e-2, 1.48103976427480074590e-1,
    6.89767334985100004550e-1, 1.67638483018380384940, 2.05319162663775882187, 1.0,
)  # fmt: skip
FAR_TOP = (
    2.01033439929228813265e-7, 2.71155556874348757815e-5, 1.24266094738807843860e-3, 2.65321895265761230930e-2,
    2.96560571828504891230e-1, 1.78482653991729133580, 5.46378491116411436990, 6.65790464350110377720,
)  # fmt: skip
FAR_BOTTOM = (
    2.04426310338993978564e-15, 1.42151175831644588870e-7, 1.84631831751005468180e-5, 7.86869131145613259100e-4,
    1.48753612908506148525e-2, 1.36929880922735805310e-1, 5.99832206555887937690e-1, 1.0,
)  # fmt: skip
CENTRE_WIDTH = 0.425
CENTRE_SQUARE = 0.180625
MIDDLE_SHIFT = 1.6
FAR_SHIFT = 5.0

GREATEST_U = 1.0 - 2.0**-53
_LEAST_NORMAL = 2.0**-1022
_CHUNK = 32768
_DEVICE_CHUNK = 1 << 22


class Workspace:
    """Room for :func:`quantile_into` on blocks of up to ``size`` numbers; one a thread.

    Args:
        size: of the blocks.
        xp: numpy, or torch.
        where: ``device=`` of torch's vectors.
    """

    def __init__(self, size: int, xp: Any = np, **where: Any) -> None:
        vectors = (xp.empty(size, dtype=xp.float64, **where) for _ in range(5))
        self.u, self.q, self.r, self.top, self.bottom = vectors
        self.places = xp.empty(size, dtype=xp.int64, **where)
        self.square = xp.full((), CENTRE_SQUARE, dtype=xp.float64, **where)


def quantile_into(u: Vector, work: Workspace) -> Vector:
    """Inverse normal distribution function of ``0 < u <= 1``, where 1 counts as 1 - 2⁻⁵³.

    Args:
        u: a contiguous vector without subnormal numbers, at most as long as the workspace; it may be ``work.u``.
        work: holds the result afterwards; ``u`` is left as it is.
    """
    xp, n = namespace(u), len(u)
    q, r, top, bottom = (a[:n] for a in (work.q, work.r, work.top, work.bottom))
    xp.subtract(u, 0.5, out=q)
    xp.abs(q, out=r)
    outer = r > CENTRE_WIDTH
    # The central formula is evaluated for all: one pass over 85 % useful numbers is cheaper than gathering them.
    xp.multiply(q, q, out=r)
    xp.subtract(work.square, r, out=r)
    horner(r, CENTRE_TOP, out=top)
    horner(r, CENTRE_BOTTOM, out=bottom)
    top *= q
    top /= bottom
    places = xp.where(outer)[0]
    if len(places):
        tail = xp.clip(u[places], None, GREATEST_U)
        values = _tail(log_normal_numbers(xp.minimum(tail, 1.0 - tail)))
        top[places] = xp.copysign(values, q[places])
    return top


def _tail(logarithm: Vector) -> Vector:
    """Minus the quantile, given the logarithm of the smaller tail (which is overwritten)."""
    xp = namespace(logarithm)
    r = square_root(xp.negative(logarithm, out=logarithm))
    far = r > FAR_SHIFT
    if not far.any():
        r -= MIDDLE_SHIFT
        value = horner(r, MIDDLE_TOP)
        value /= horner(r, MIDDLE_BOTTOM)
        return value
    value = xp.empty_like(r)
    for part, shift, top, bottom in (
        (~far, MIDDLE_SHIFT, MIDDLE_TOP, MIDDLE_BOTTOM),
        (far, FAR_SHIFT, FAR_TOP, FAR_BOTTOM),
    ):
        t = r[part] - shift
        value[part] = horner(t, top) / horner(t, bottom)
    return value


@overload
def normal_quantile(u: float) -> float: ...
@overload
def normal_quantile(u: Array) -> Array: ...
@overload
def normal_quantile(u: torch.Tensor) -> torch.Tensor: ...
def normal_quantile(u: Any) -> Any:
    """Inverse of the standard normal distribution function, element-wise (AS 241).

    Args:
        u: probabilities in [0, 1], a number or float64 of any shape; 0 and 1 give infinities, numbers outside NaN.
    """
    xp = namespace(u)
    if xp is np:
        given, chunk_size, where = np.ascontiguousarray(u, dtype=np.float64).reshape(-1), _CHUNK, {}
    else:
        given, chunk_size, where = u.contiguous().reshape(-1), _DEVICE_CHUNK, {"device": u.device}
    z = xp.empty_like(given)
    work: Workspace = Workspace(min(chunk_size, len(given)), xp, **where)
    for begin in range(0, len(given), chunk_size):
        chunk = given[begin : begin + chunk_size]
        inside = bool(chunk.min() >= _LEAST_NORMAL and chunk.max() < 1.0)
        z[begin : begin + chunk_size] = quantile_into(chunk, work) if inside else _quantile_at_edges(chunk, work)
    return float(z[0]) if xp is np and not isinstance(u, np.ndarray) else z.reshape(u.shape)


def _quantile_at_edges(u: Vector, work: Workspace) -> Vector:
    """The same where some numbers are 0, 1, subnormal, NaN or no probabilities."""
    ordinary = (u >= _LEAST_NORMAL) & (u < 1.0)
    z = quantile_into(namespace(u).where(ordinary, u, 0.5), work)
    z[~ordinary] = math.nan
    z[u == 0] = -math.inf
    z[u == 1] = math.inf
    small = (u > 0) & (u < _LEAST_NORMAL)
    if small.any():
        z[small] = -_tail(log(u[small]))
    return z
