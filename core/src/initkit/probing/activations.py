"""Activation functions as they are called, modules or not: which units are dead or saturated."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor
from torch.overrides import TorchFunctionMode

# Nothing comes out of these below some input.
_GATES = frozenset({"relu", "relu6", "gelu", "silu", "mish", "hardswish", "threshold", "elu", "celu", "selu"})
# The slope of these, from their value.
_SLOPES: dict[str, Callable[[Tensor], Tensor]] = {
    "tanh": lambda y: 1 - y.square(),
    "sigmoid": lambda y: y * (1 - y),
    "hardtanh": lambda y: (y.abs() < 1).to(y.dtype),
    "hardsigmoid": lambda y: ((y > 0) & (y < 1)).to(y.dtype),
    "softsign": lambda y: (1 - y.abs()).square(),
}
_FLAT = 0.01  # a slope below this on 95 % of the samples: saturated
_MOST = 0.95


def activation_name(function: Any) -> str | None:
    """``relu`` for ``torch.relu``, ``F.relu``, ``Tensor.relu_``...; None for what is no activation known here."""
    name = getattr(function, "__name__", "").rstrip("_")
    return name if name in _GATES or name in _SLOPES else None


def idle_share(name: str, value: Tensor, unit_axis: int) -> float:
    """Share of units that do nothing: output <= 0 on all samples (ReLU-like), or |f'| < 0.01 on 95 % of them.

    Args:
        name: of :func:`activation_name`.
        value: the activation's output.
        unit_axis: the axis of units (channels); all others count samples.
    """
    y = value.detach()
    others = [axis for axis in range(y.ndim) if axis != unit_axis % y.ndim]
    if not others or y.numel() == 0:
        return 0.0
    if name in _GATES:
        return float((y.amax(others) <= 0).double().mean())
    flat = (_SLOPES[name](y).abs() < _FLAT).float().mean(others)
    return float((flat >= _MOST).double().mean())


class Activations(TorchFunctionMode):
    """While it is active, ``seen(name, value)`` is called for each activation that torch computes."""

    def __init__(self, seen: Callable[[str, Tensor], None]) -> None:
        super().__init__()
        self._seen = seen

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Call the function; report it if it is an activation."""
        found = func(*args, **(kwargs or {}))
        name = activation_name(func)
        if name is not None and isinstance(found, Tensor) and found.is_floating_point():
            self._seen(name, found)
        return found
