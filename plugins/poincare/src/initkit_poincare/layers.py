"""Finding hyperbolic layers by their attributes and shapes; no library is imported to look."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from torch import nn

from initkit import PlanError
from initkit._names import joined, walk
from initkit.errors import listed
from initkit_poincare.curvature import is_ball, is_lorentz
from initkit_poincare.geometry import concatenation

Kind = Literal["linear", "conv", "classifier", "mobius", "lorentz", "lorentz_conv"]
GYROPLANE: tuple[Kind, ...] = ("linear", "conv")
"""Layers of signed distances to hyperplanes, as in Hyperbolic Neural Networks++."""

_KNOWN = {
    "linear": "HNN++ linear layers (hypll HLinear, PoincareLinear)",
    "conv": "HNN++ convolutions (hypll HConvolution2d, PoincareConvolution2d, PoincareConvTBC)",
    "classifier": "HNN++ classifiers (UnidirectionalPoincareMLR)",
    "mobius": "Möbius linear layers (MobiusLinear, HypLinear)",
    "lorentz": "Lorentz linear layers (LorentzFullyConnected)",
    "lorentz_conv": "Lorentz convolutions (LorentzConv2d)",
}


@dataclass(frozen=True)
class Layer:
    """A hyperbolic layer of a model.

    Attributes:
        name: qualified name of its module.
        module: itself.
        kind: what it computes.
        weight: qualified name of its matrix: Z (n, m), of weight_v where the layer is weight-normalised, W (m, n) for
            Möbius and Lorentz layers.
        n: features that come in (rows of Z; k²C for a convolution).
        m: features that go out.
        gain: qualified name of weight_g (m), or None.
        bias: qualified name of the offsets, or None.
        channels: C of a convolution, else n.
        taps: sides of its kernel; () for others.
        position_major: whether row t·C + c of a convolution is channel c at tap t; else it is row c·k² + t.
        ball: its manifold, or None where it has none of its own.
    """

    name: str
    module: nn.Module
    kind: Kind
    weight: str
    n: int
    m: int
    gain: str | None = None
    bias: str | None = None
    channels: int = 0
    taps: tuple[int, ...] = ()
    position_major: bool = False
    ball: Any = None

    @property
    def label(self) -> str:
        """``fc1 (HLinear, 8 to 4)``."""
        wide = f"{self.channels} to {self.m} channels, {'x'.join(map(str, self.taps))}" if self.taps else ""
        return f"{self.name or 'the model'} ({type(self.module).__name__}, {wide or f'{self.n} to {self.m}'})"

    @property
    def beta_factor(self) -> float:
        """r_β, by which a convolution scales each part of a patch; 1 for other layers."""
        return concatenation(self.channels, math.prod(self.taps)) if self.taps else 1.0

    def rows(self, tap: int) -> slice:
        """The rows of Z that belong to a tap, in the order of channels."""
        size = math.prod(self.taps)
        return slice(tap * self.channels, (tap + 1) * self.channels) if self.position_major else slice(tap, None, size)


def find_layers(model: Any, kinds: Sequence[Kind] = GYROPLANE) -> list[Layer]:
    """Return a model's hyperbolic layers of some kinds, in the order of registration, each once.

    Raises:
        PlanError: there is none, or a layer bears a family's names but fails its shape rule.
    """
    layers = [layer for layer in all_layers(model) if layer.kind in kinds]
    if not layers:
        others = [f"{layer.label}: {_KNOWN[layer.kind]}" for layer in all_layers(model)]
        there = f"; it has {listed(others, 3)}" if others else ""
        raise PlanError(
            f"{type(model).__name__} has none of the layers that are filled: "
            f"{'; '.join(_KNOWN[kind] for kind in kinds)}{there}"
        )
    return layers


def all_layers(model: Any) -> list[Layer]:
    """Every hyperbolic layer of a model, each once; see :func:`find_layers`."""
    if not isinstance(model, nn.Module):
        return []
    found: list[Layer] = []
    seen: set[int] = set()
    for _, name, module in walk(model):
        if id(module) in seen:
            continue
        seen.add(id(module))
        layer = _read(name, module, seen)
        if layer is not None:
            found.append(layer)
    return found


def _read(name: str, module: nn.Module, seen: set[int]) -> Layer | None:
    held = module._parameters
    ball = getattr(module, "ball", None)
    ball = getattr(module, "manifold", None) if ball is None else ball
    if held.get("z") is not None and is_ball(ball):
        return _linear(name, module, ball)
    if held.get("weights") is not None and is_ball(ball) and hasattr(module, "out_channels"):
        return _conv(name, module, ball)
    if held.get("weight_g") is not None and held.get("weight_v") is not None and is_ball(ball):
        return _weight_normalised(name, module, ball)
    kernel = module._modules.get("linearized_kernel")
    if kernel is not None and _is_lorentz_linear(kernel):
        seen.update(map(id, kernel.modules()))
        return _lorentz_conv(name, module, kernel)
    if _is_lorentz_linear(module):
        seen.update(map(id, module.modules()))
        return _lorentz(name, module)
    if _is_mobius(module, ball):
        return _mobius(name, module, ball)
    return None


def _linear(name: str, module: nn.Module, ball: Any) -> Layer:
    n, m = _matrix(name, module, "z")
    said = (getattr(module, "in_features", n), getattr(module, "out_features", m))
    _agree(name, module, "z", (n, m), said, "(in_features, out_features)")
    bias = _bias(name, module, m)
    return Layer(name, module, "linear", joined(name, "z"), n, m, bias=bias, channels=n, ball=ball)


def _conv(name: str, module: nn.Module, ball: Any) -> Layer:
    n, m = _matrix(name, module, "weights")
    sides: Any = getattr(module, "kernel_dims", None) or module.kernel_size
    taps = tuple(int(k) for k in sides) if isinstance(sides, (tuple, list)) else (int(sides), int(sides))
    channels = int(module.in_channels)  # type: ignore[arg-type]
    said = (channels * math.prod(taps), int(module.out_channels))  # type: ignore[arg-type]
    _agree(name, module, "weights", (n, m), said, "(kernel volume · in_channels, out_channels)")
    bias = _bias(name, module, m)
    return Layer(name, module, "conv", joined(name, "weights"), n, m, None, bias, channels, taps, ball=ball)


def _weight_normalised(name: str, module: nn.Module, ball: Any) -> Layer:
    n, m = _matrix(name, module, "weight_v")
    gain = tuple(module._parameters["weight_g"].shape)  # type: ignore[union-attr]
    if gain != (m,):
        raise PlanError(f"{_where(name, module)}: weight_g has shape {gain}, weight_v ({n}, {m}) asks for ({m},)")
    kind: Kind = "linear"
    channels = n
    taps: tuple[int, ...] = ()
    if hasattr(module, "num_outcome"):
        kind = "classifier"
        _agree(name, module, "weight_v", (n, m), (module.feat_dim, module.num_outcome), "(feat_dim, num_outcome)")
    elif hasattr(module, "kernel_size"):
        kind, channels, taps = "conv", int(module.in_channels), (int(module.kernel_size),)  # type: ignore[arg-type]
        said = (channels * taps[0], module.out_channels)
        _agree(name, module, "weight_v", (n, m), said, "(kernel_size · in_channels, out_channels)")
    elif hasattr(module, "in_stacks"):
        said = (int(module.in_stacks) * int(module.in_dim), module.out_dim)  # type: ignore[arg-type]
        _agree(name, module, "weight_v", (n, m), said, "(in_stacks · in_dim, out_dim)")
    elif hasattr(module, "in_dim"):
        _agree(name, module, "weight_v", (n, m), (module.in_dim, module.out_dim), "(in_dim, out_dim)")
    names = joined(name, "weight_v"), n, m, joined(name, "weight_g"), _bias(name, module, m)
    return Layer(name, module, kind, *names, channels, taps, position_major=True, ball=ball)


def _is_mobius(module: nn.Module, ball: Any) -> bool:
    kind = " ".join(one.__name__ for one in type(module).__mro__).lower()
    weight = module._parameters.get("weight")
    named = "mobius" in kind or "hyplinear" in kind
    hyperbolic = ball is not None or any(hasattr(module, word) for word in ("c", "k", "hyperbolic_bias"))
    return named and weight is not None and len(weight.shape) == 2 and hyperbolic and hasattr(module, "in_features")


def _mobius(name: str, module: nn.Module, ball: Any) -> Layer:
    m, n = _matrix(name, module, "weight")
    said = (module.out_features, module.in_features)
    _agree(name, module, "weight", (m, n), said, "(out_features, in_features)")
    bias = _bias(name, module, m)
    return Layer(name, module, "mobius", joined(name, "weight"), n, m, bias=bias, channels=n, ball=ball)


def _is_lorentz_linear(module: nn.Module) -> bool:
    named = "lorentz" in type(module).__name__.lower() or is_lorentz(getattr(module, "manifold", None))
    return isinstance(module._modules.get("weight"), nn.Linear) and named


def _lorentz(name: str, module: nn.Module) -> Layer:
    inner: Any = module._modules["weight"]
    shape = tuple(int(size) for size in inner.weight.shape)
    if len(shape) != 2:
        raise PlanError(f"{_where(name, module)}: its matrix has shape {shape}, expected (out, in)")
    m, n = shape
    if min(n, m) < 2:
        raise PlanError(f"{_where(name, module)}: its matrix ({m}, {n}) has no space coordinates beside time")
    bias = joined(name, "weight.bias") if inner.bias is not None else None
    return Layer(name, module, "lorentz", joined(name, "weight.weight"), n, m, bias=bias, channels=n)


def _lorentz_conv(name: str, module: nn.Module, kernel: nn.Module) -> Layer:
    inner: Any = kernel._modules["weight"]
    m, n = (int(size) for size in inner.weight.shape)
    taps: Any = module.kernel_size
    taps = tuple(int(k) for k in taps) if isinstance(taps, (tuple, list)) else (int(taps),)
    channels = int(module.in_channels)  # type: ignore[arg-type]
    said = (int(module.out_channels), (channels - 1) * math.prod(taps) + 1)  # type: ignore[arg-type]
    _agree(name, module, "linearized_kernel", (m, n), said, "(out_channels, (in_channels - 1) · kernel volume + 1)")
    bias = joined(name, "linearized_kernel.weight.bias") if inner.bias is not None else None
    weight = joined(name, "linearized_kernel.weight.weight")
    return Layer(name, module, "lorentz_conv", weight, n, m, None, bias, channels, taps)


def _matrix(name: str, module: nn.Module, attribute: str) -> tuple[int, int]:
    shape = tuple(module._parameters[attribute].shape)  # type: ignore[union-attr]
    if len(shape) != 2 or min(shape) < 1:
        raise PlanError(
            f"{_where(name, module)}: {attribute} has shape {shape}, a matrix with no empty side is expected"
        )
    return int(shape[0]), int(shape[1])


def _agree(name: str, module: nn.Module, what: str, shape: Any, said: Any, words: str) -> None:
    if tuple(shape) != tuple(said):
        raise PlanError(f"{_where(name, module)}: {what} has shape {tuple(shape)}, expected {words} = {tuple(said)}")


def _bias(name: str, module: nn.Module, m: int) -> str | None:
    bias = module._parameters.get("bias")
    if bias is None:
        return None
    if tuple(bias.shape) != (m,):
        raise PlanError(f"{_where(name, module)}: bias has shape {tuple(bias.shape)}, expected ({m},)")
    return joined(name, "bias")


def _where(name: str, module: nn.Module) -> str:
    return f"{name or 'the model'} ({type(module).__name__})"
