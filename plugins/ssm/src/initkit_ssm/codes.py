"""Scalar codes: how a layer stores a number, such as log(dt) for a step dt, with the stable inverse of each."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from initkit import _elementary

_Scalar = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Code:
    """A scalar code: ``encode`` turns a value into what is stored, ``decode`` turns it back.

    Both take and return float64 tensors on the CPU and treat each element on its own.

    Attributes:
        name: of ``encode``, for descriptions: ``log``.
        encode: value to parameter.
        decode: parameter to value.
        floor: values below it are stored as it is, for codes that cannot hold 0.
    """

    name: str
    encode: _Scalar
    decode: _Scalar
    floor: float | None = None

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Code) and (self.name, self.floor) == (other.name, other.floor)

    def __hash__(self) -> int:
        return hash((self.name, self.floor))

    def store(self, value: Tensor) -> Tensor:
        """``encode`` of the value, in float64, with the floor."""
        value = value.to(torch.float64)
        return self.encode(value if self.floor is None else value.clamp(min=self.floor))

    def load(self, parameter: Tensor) -> Tensor:
        """``decode`` of a stored tensor, in float64 on the CPU."""
        return self.decode(parameter.detach().to("cpu", torch.float64))

    def floored(self, floor: float) -> Code:
        """The same code with a floor."""
        return replace(self, floor=floor)

    def before(self, outer: Code) -> Code:
        """This code followed by another: what is stored is ``outer`` of what this one would store."""
        return Code(
            f"{outer.name} {self.name}",
            lambda v: outer.encode(self.encode(v)),
            lambda p: self.decode(outer.decode(p)),
            self.floor,
        )


def log(v: Tensor) -> Tensor:
    """Natural logarithm with the same bits on every processor; values above 0."""
    return _elementary.log(v.detach().to(torch.float64))


def exp(v: Tensor) -> Tensor:
    """Exponential with the same bits on every processor."""
    return _elementary.exp(v.detach().to(torch.float64))


def inverse_softplus(v: Tensor) -> Tensor:
    """``v + log(1 - exp(-v))``; accurate for small v, where log(exp(v) - 1) is not."""
    return v + log(-torch.expm1(-v))


def softplus(p: Tensor) -> Tensor:
    """``log(1 + exp(p))`` without overflow."""
    return torch.clamp(p, min=0) + torch.log1p(torch.exp(-p.abs()))


def logit(v: Tensor) -> Tensor:
    """``log(v/(1 - v))``."""
    return log(v) - torch.log1p(-v)


def _same(v: Tensor) -> Tensor:
    return v


PLAIN = Code("stored", _same, _same)
NEGATIVE = Code("minus", torch.neg, torch.neg)
LOG = Code("log", log, torch.exp)
SOFTPLUS = Code("softplus⁻¹", inverse_softplus, softplus)
SIGMOID = Code("logit", logit, torch.sigmoid)
RELU = Code("relu⁻¹", lambda v: torch.clamp(v - 1e-4, min=0), lambda p: torch.relu(p) + 1e-4)
"""S4's relu code: it adds 1e-4 on the way back."""
ASINH = Code("asinh", torch.asinh, torch.sinh)
STABLE_BEST = Code("best", lambda v: torch.sqrt((1 / v - 0.1).clamp(min=1e-6)), lambda p: 1 / (p * p + 0.1))
"""StableSSM's code ``best``: v = 1/(p² + 1/10). (It gives eigenvalues -v; Wang and Li 2024.)"""

S4_FLOOR = 1e-4
"""S4's layers clamp to this before they take the logarithm, so that a frequency of 0 is stored as log(1e-4)."""

S4_CODES = {
    "none": PLAIN.floored(S4_FLOOR),
    "exp": LOG.floored(S4_FLOOR),
    "relu": RELU,
    "sigmoid": SIGMOID.floored(S4_FLOOR),
    "softplus": SOFTPLUS.floored(S4_FLOOR),
}
"""Codes by the words of state-spaces/s4 (``real_transform``, ``imag_transform``, ``dt_transform``)."""


def time_constant(decay: Tensor) -> Tensor:
    """Steps until a state has decayed by 1/e, 1/decay; infinite where it does not decay."""
    return torch.where(decay > 0, 1 / decay.clamp(min=1e-300), torch.full_like(decay, math.inf))
