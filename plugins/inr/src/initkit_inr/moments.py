"""What an activation does to the size of a Gaussian signal and of its gradient, to ten digits.

With z ~ N(0, s²):  m2 = E|φ(z)|²,  d2 = E|φ'(z)|²,  condition = s² d2/m2 (1 where the size of the gradient is kept from
layer to layer while that of the signal is). Closed forms where there are some, else adaptive quadrature in float64.
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from scipy.optimize import brentq
from torch import Tensor

from initkit import PlanError
from initkit_inr.activations import Activation, Function

Array = npt.NDArray[np.float64]
_REACH = 12.0  # a normal number beyond has probability 4e-33
_TOLERANCE, _COARSE = 1e-10, 1e-7
_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(16)


@dataclass(frozen=True)
class Moments:
    """The moments of an activation at one size of its input.

    Attributes:
        std: s of z ~ N(0, s²).
        m2: E|φ(z)|², the second moment (not the variance).
        d2: E|φ'(z)|².
    """

    std: float
    m2: float
    d2: float

    @property
    def condition(self) -> float:
        """s² d2/m2: what a layer multiplies the gradient's variance by when it keeps the signal's."""
        return self.std**2 * self.d2 / self.m2


def moments(
    activation: Activation, std: float, *, complex_input: bool = False, tolerance: float = _TOLERANCE
) -> Moments:
    """The moments of an activation.

    Args:
        activation: φ.
        std: s, above 0; with a complex z, E|z|² = s².
        complex_input: whether z is complex (with independent parts of equal variance); for ``wire`` alone.
        tolerance: relative, of a quadrature.

    Raises:
        PlanError: the activation is dead at this size (m2 is 0 or not finite), or the quadrature does not converge.
    """
    closed = _closed(activation, std, complex_input)
    if closed is not None:
        m2, d2 = closed
    else:
        m2, d2 = quadrature(activation, std, tolerance)
    if not (math.isfinite(m2) and math.isfinite(d2) and m2 > 0):
        raise PlanError(f"the activation {activation} is dead at preactivations of size {std:.4g}: E[φ²] = {m2:.4g}")
    return Moments(std, m2, d2)


def _closed(activation: Activation, s: float, complex_input: bool) -> tuple[float, float] | None:
    w, k = activation.frequency, activation.scale
    kind = activation.kind
    if kind == "sine":
        t = 2 * (w * s) ** 2
        return -math.expm1(-t) / 2, w**2 * (1 + math.exp(-t)) / 2
    if kind == "gauss":
        a = 4 * (k * s) ** 2
        return (1 + a) ** -0.5, 4 * k**4 * s**2 * (1 + a) ** -1.5
    if kind == "wire":
        return _wire(w, k, s, complex_input)
    if kind in ("relu", "leaky_relu", "identity"):
        slope = {"relu": 0.0, "identity": 1.0}.get(kind, k)
        half = (1 + slope**2) / 2
        return half * s**2, half
    return None


def _wire(w: float, k: float, s: float, complex_input: bool) -> tuple[float, float]:
    """exp(iωz - |kz|²); d2 is that of the real parts: half the squared norm of the Jacobian."""
    if not complex_input:
        shrink = 1 + (2 * k * s) ** 2
        m2 = shrink**-0.5
        return m2, m2 * (w**2 + 4 * k**4 * s**2 / shrink) / 2
    v = s**2 / 2  # of each part
    shrink = 1 + 4 * k**2 * v
    m2 = math.exp(2 * w**2 * v / shrink) / shrink
    # Under the weight |φ|² both parts are normal with variance v/shrink; the imaginary one has a mean.
    spread = 4 * k**4 * v / shrink
    mean = -2 * w * v / shrink
    return m2, m2 * (w**2 + (w + 2 * k**2 * mean) ** 2 + 2 * spread) / 2


def quadrature(fn: Function, std: float, tolerance: float = _TOLERANCE) -> tuple[float, float]:
    """E|φ(su)|² and E|φ'(su)|² for u ~ N(0, 1), by adaptive Gauss-Legendre panels with an edge at 0.

    Args:
        fn: φ, elementwise, differentiable by autograd; called with float64 vectors.
        std: s.
        tolerance: relative.

    Raises:
        PlanError: it does not settle.
    """
    left, right = _panels()
    whole = _integrals(fn, std, left, right)
    done = np.zeros(2)
    for _ in range(40):
        middle = (left + right) / 2
        halves = _integrals(fn, std, np.concatenate([left, middle]), np.concatenate([middle, right]))
        first, second = np.split(halves, 2, axis=1)
        total = done + halves.sum(axis=1)
        if not np.isfinite(total).all():
            return float(total[0]), float(total[1])
        off = (np.abs(first + second - whole) > tolerance / 100 * np.maximum(total, 1e-300)[:, None]).any(axis=0)
        done += (first + second)[:, ~off].sum(axis=1)
        if not off.any():
            return float(done[0]), float(done[1])
        left, right = np.concatenate([left[off], middle[off]]), np.concatenate([middle[off], right[off]])
        whole = np.concatenate([first[:, off], second[:, off]], axis=1)
        if len(left) > 20_000:
            break
    raise PlanError(f"the moments of the activation at preactivations of size {std:.4g} do not settle")


@functools.cache
def _panels() -> tuple[Array, Array]:
    """Panels on [-12, 12]: even ones, and ever finer ones towards 0, where narrow activations live."""
    fine = 0.5 * 0.25 ** np.arange(0, 12)
    positive = np.unique(np.concatenate([[0.0], fine, np.arange(1, 13) * 1.0]))
    edges = np.concatenate([-positive[:0:-1], positive])
    return edges[:-1], edges[1:]


def _integrals(fn: Function, std: float, left: Array, right: Array) -> Array:
    """The two integrals on each panel, (2, panels)."""
    half = (right - left)[:, None] / 2
    u = (left + right)[:, None] / 2 + half * _NODES
    weight = half * _WEIGHTS * np.exp(-u * u / 2) / math.sqrt(2 * math.pi)
    value, slope = squares(fn, torch.from_numpy(std * u.reshape(-1)))
    found: Array = np.stack([(weight * part.reshape(u.shape)).sum(axis=1) for part in (value, slope)])
    return found


def squares(fn: Function, z: Tensor) -> tuple[Array, Array]:
    """|φ(z)|² and |φ'(z)|², the derivative by autograd."""
    with torch.enable_grad():
        z = z.detach().requires_grad_(True)
        value = fn(z)
        parts = [value.real, value.imag] if value.is_complex() else [value]
        slopes = []
        for part in parts:
            if not part.requires_grad:  # a step function
                slopes.append(torch.zeros_like(z))
                continue
            (slope,) = torch.autograd.grad(part.sum(), z, retain_graph=True)
            slopes.append(slope)
    size = value.detach().abs().square()
    return size.numpy(), torch.stack(slopes).square().sum(dim=0).numpy()


def monte_carlo(fn: Function, std: float, numbers: Array) -> tuple[float, float]:
    """The moments from random numbers: what the authors do with a million of them."""
    value, slope = squares(fn, torch.from_numpy(std * numbers))
    return float(value.mean()), float(slope.mean())


def theory(activation: Activation, *, complex_input: bool = False) -> float | None:
    """The smallest s at which the gradient's size is kept from layer to layer: the root of condition = 1.

    Returns:
        The root, or None where there is none in 1e-4..1e2 (in units of 1/ω or 1/s where the activation has one).
    """
    unit = _unit(activation)

    def excess(s: float, tolerance: float) -> float:
        try:
            return moments(activation, s, complex_input=complex_input, tolerance=tolerance).condition - 1
        except PlanError:
            return math.nan

    before: tuple[float, float] | None = None
    for s in np.logspace(-4, 2, 61) * unit:
        here = excess(float(s), _COARSE)
        if not abs(here) > 100 * _COARSE:  # 1 up to rounding, or no number: neither side of a root
            continue
        if before is not None and before[1] * here < 0:
            return float(brentq(excess, before[0], float(s), args=(_TOLERANCE,), xtol=1e-13 * unit))
        before = float(s), here
    return None


def _unit(activation: Activation) -> float:
    if activation.kind in ("sine", "finer", "wire"):
        return 1 / activation.frequency
    if activation.kind == "gauss":
        return 1 / activation.scale
    return 1.0
