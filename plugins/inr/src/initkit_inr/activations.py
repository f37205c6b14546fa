"""Activations of implicit neural representations: which there are, how they are written, how they are recognised.

An activation is the whole function from a layer's z = Wx + b to the next layer's input: frequency and scale included.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

import torch
from torch import Tensor
from torch.nn import functional

from initkit import OptionError
from initkit.errors import did_you_mean

Placement: TypeAlias = Literal["outer", "folded", "input"]
Function: TypeAlias = Callable[[Tensor], Tensor]
PLACEMENTS = ("outer", "folded", "input")
PERIODIC = ("sine", "finer")


def _sinc(z: Tensor) -> Tensor:
    return torch.sinc(z / math.pi)


# kind: function of z alone
PLAIN: dict[str, Function] = {
    "identity": lambda z: z,
    "relu": torch.relu,
    "tanh": torch.tanh,
    "sigmoid": torch.sigmoid,
    "gelu": functional.gelu,
    "silu": functional.silu,
    "softplus": functional.softplus,
    "elu": functional.elu,
    "selu": torch.selu,
    "sinc": _sinc,
    "wavelet": lambda z: torch.cos(z) * torch.exp(-z.square()),
}
# kind: the numbers that may follow it, in order
NUMBERS: dict[str, tuple[str, ...]] = {
    "sine": ("omega",),
    "finer": ("omega",),
    "gauss": ("scale",),
    "wire": ("omega", "scale"),
    "leaky_relu": ("scale",),
}
KINDS = (*NUMBERS, *PLAIN)


@dataclass(frozen=True)
class Activation:
    """An activation and where its frequency sits.

    Attributes:
        kind: ``sine`` sin(ωz), ``finer`` sin(ω(|z| + 1)z), ``gauss`` exp(-(sz)²), ``wire`` exp(iωz - |sz|²),
            ``leaky_relu`` (slope s), a function without numbers (``relu``, ``tanh``, ``sinc`` sin(z)/z, ``wavelet``
            cos(z)exp(-z²)...), or ``custom``.
        omega: ω, the frequency, wherever it sits.
        scale: s.
        placement: ``outer`` sin(ω(Wx + b)); ``folded`` sin(Wx + b), the weights hold ω; ``input`` sin(W(ωx) + b).
        fn: what is computed of z = Wx + b, in z's dtype; made from the kind unless it is ``custom``.
    """

    kind: str
    omega: float = 1.0
    scale: float = 1.0
    placement: Placement = "outer"
    fn: Function | None = field(default=None, repr=False)

    @property
    def frequency(self) -> float:
        """The number that multiplies z: ω where it is outer, 1 where the weights or the input hold it."""
        return self.omega if self.placement == "outer" else 1.0

    @property
    def fold(self) -> float:
        """What a weight bound for the outer placement is multiplied by: ω where the weights hold it, else 1."""
        return self.omega if self.placement == "folded" else 1.0

    @property
    def periodic(self) -> bool:
        """Whether it is a sine, FINER's with growing frequency included."""
        return self.kind in PERIODIC

    def __call__(self, z: Tensor) -> Tensor:
        """The activation of z, any shape; complex for ``wire``."""
        if self.fn is not None:
            return self.fn(z)
        w, s = self.frequency, self.scale
        if self.kind == "sine":
            return torch.sin(w * z)
        if self.kind == "finer":
            return torch.sin(w * (z.abs() + 1).detach() * z)
        if self.kind == "gauss":
            return torch.exp(-(s * z).square())
        if self.kind == "wire":
            return torch.exp(1j * w * z - (s * z).abs().square())
        if self.kind == "leaky_relu":
            return functional.leaky_relu(z, s)
        return PLAIN[self.kind](z)

    def __str__(self) -> str:
        """As :func:`parse` reads it."""
        words = [self.kind, *(f"{getattr(self, name):.7g}" for name in NUMBERS.get(self.kind, ()))]
        return ":".join([*words, *([self.placement] if self.placement != "outer" else [])])


def parse(text: str) -> Activation:
    """Read ``KIND[:NUMBER...][:PLACEMENT]``: ``sine:30``, ``sine:30:folded``, ``wire:20:10``, ``relu``.

    Raises:
        OptionError: the kind or placement is unknown, or a number is missing, not positive or too many.
    """
    kind, *rest = [word.strip() for word in text.split(":")]
    placement: Placement = "outer"
    if rest and rest[-1] in PLACEMENTS:
        placement = rest.pop()  # type: ignore[assignment]
    if kind not in KINDS:
        raise OptionError(
            f"activation {text!r}: no kind {kind!r}{did_you_mean(kind, KINDS)}; there are {', '.join(KINDS)}, or give "
            "a function"
        )
    names = NUMBERS.get(kind, ())
    if len(rest) != len(names):
        form = ":".join([kind, *(name.upper() for name in names)])
        raise OptionError(f"activation {text!r}: write {form}[:{'|'.join(PLACEMENTS)}]")
    numbers: dict[str, float] = {}
    for name, word in zip(names, rest, strict=True):
        try:
            value = float(word)
        except ValueError:
            value = math.nan
        if not (math.isfinite(value) and value > 0):
            raise OptionError(f"activation {text!r}: {name} must be a positive number, not {word!r}")
        numbers[name] = value
    if placement != "outer" and "omega" not in numbers:
        raise OptionError(f"activation {text!r}: {kind} has no frequency that could be {placement}")
    return Activation(kind, numbers.get("omega", 1.0), numbers.get("scale", 1.0), placement)


_GRID = torch.linspace(-5.963, 6.037, 241, dtype=torch.float64)
_STEPS = [10.0**k for k in range(0, -6, -1)]


def recognise(fn: Function) -> tuple[Activation, float]:
    """Say which activation a function is, from its values.

    Args:
        fn: elementwise; takes and returns a float64 vector (complex for ``wire``).

    Returns:
        The activation (``custom`` with ``fn`` where it is none of the known) and the number that multiplies it
        (1 for ``custom``).
    """
    for kind, plain in PLAIN.items():
        if _agree(fn, plain, _GRID):
            return Activation(kind), 1.0
    for find in (_as_wire, _as_sine, _as_finer, _as_gauss, _as_leaky):
        found = find(fn)
        if found is not None:
            return found
    return Activation("custom", fn=fn), 1.0


def _at(fn: Function, *points: float) -> list[Any]:
    values: list[Any] = fn(torch.tensor(points, dtype=torch.float64)).tolist()
    return values


def _as_sine(fn: Function) -> tuple[Activation, float] | None:
    # sin(2t)/(2 sin t) = cos t gives ω from two values whatever the amplitude.
    for h in _STEPS:
        one, two = _at(fn, h, 2 * h)
        if isinstance(one, complex) or one == 0 or not -1 < (ratio := two / (2 * one)) < 1:
            continue
        omega = _round(math.acos(ratio) / h)
        if omega == 0:
            continue
        amplitude = _round(one / math.sin(omega * h))
        found = Activation("sine", omega)
        if _agree(fn, _times(amplitude, found), _GRID / omega):
            return found, amplitude
    return None


def _as_finer(fn: Function) -> tuple[Activation, float] | None:
    h = 1e-9
    (value,) = _at(fn, h)
    if isinstance(value, complex) or not value > 0:
        return None
    found = Activation("finer", _round(value / (h * (1 + h))))
    return (found, 1.0) if _agree(fn, found, _GRID / found.omega) else None


def _as_gauss(fn: Function) -> tuple[Activation, float] | None:
    (top,) = _at(fn, 0.0)
    if isinstance(top, complex) or not top > 0:
        return None
    for h in _STEPS:
        (value,) = _at(fn, h)
        if isinstance(value, complex) or not 0 < value < top:
            continue
        found = Activation("gauss", scale=_round(math.sqrt(-math.log(value / top)) / h))
        if _agree(fn, _times(top, found), _GRID / found.scale / 2):
            return found, _round(top)
    return None


def _as_wire(fn: Function) -> tuple[Activation, float] | None:
    if not fn(_GRID[:2]).is_complex():
        return None
    (top,) = _at(fn, 0.0)
    for h in _STEPS:
        (value,) = _at(fn, h)
        size, angle = abs(value / top), math.atan2((value / top).imag, (value / top).real)
        if not (0 < size < 1 and angle > 0):
            continue
        found = Activation("wire", _round(angle / h), _round(math.sqrt(-math.log(size)) / h))
        reach = max(found.omega, found.scale)
        if _agree(fn, _times(top, found), _GRID / reach):
            return found, _round(abs(top))
    return None


def _as_leaky(fn: Function) -> tuple[Activation, float] | None:
    left, right = _at(fn, -1.0, 1.0)
    if isinstance(left, complex) or right != 1 or not left:
        return None
    found = Activation("leaky_relu", scale=_round(-left))
    return (found, 1.0) if _agree(fn, found, _GRID) else None


def _times(amplitude: complex, fn: Function) -> Function:
    return lambda z: amplitude * fn(z)


def _agree(fn: Function, other: Function, points: Tensor) -> bool:
    """Whether two functions have the same values, up to what float32 inside one of them may lose."""
    ours, theirs = fn(points), other(points)
    if ours.is_complex() != theirs.is_complex():
        return False
    size = float(theirs.abs().max())
    return bool(((ours - theirs).abs() <= 2e-6 * max(size, 1e-300) + 2e-6 * theirs.abs()).all())


def _round(value: float) -> float:
    """Ten significant digits: 30 rather than 29.999999999997."""
    return float(f"{value:.10g}")
