"""What a plain network computes before a linear layer: the activation that its input comes from."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, fx, nn

from initkit import PlanError
from initkit_kan.rational import TARGETS, values_of
from initkit_kan.rationals import PASSED, PASSED_FUNCTIONS

_ELEMENTWISE = (
    torch.relu,
    torch.tanh,
    torch.sigmoid,
    nn.functional.relu,
    nn.functional.leaky_relu,
    nn.functional.gelu,
    nn.functional.silu,
    nn.functional.mish,
    nn.functional.tanh,
    nn.functional.sigmoid,
    nn.functional.elu,
    nn.functional.celu,
    nn.functional.selu,
    nn.functional.softplus,
    nn.functional.hardswish,
    nn.functional.relu6,
)
_METHODS = ("relu", "tanh", "sigmoid")


def activation_before(model: nn.Module, linear: str) -> Callable[[Tensor], Tensor] | None:
    """The activation whose output a linear layer reads; None where it reads something else (a norm, the input).

    Args:
        model: a network.
        linear: name of the layer.

    Raises:
        PlanError: neither the layer's module nor the model can be traced.
    """
    parent = linear.rpartition(".")[0]
    reason = ""
    for name in dict.fromkeys((parent, "")):
        root = model.get_submodule(name)
        target = linear.removeprefix(f"{name}.") if name else linear
        try:
            graph = _graph(root)
        except Exception as error:  # noqa: BLE001 - any forward may be untraceable in its own way
            reason = f"{type(error).__name__}: {' '.join(str(error).split())[:120]}"
            continue
        node = next((n for n in graph.nodes if n.op == "call_module" and n.target == target), None)
        if node is not None:
            return _before(root, node)
    raise PlanError(
        f"mlp: the forward around {linear} cannot be traced{f' ({reason})' if reason else ''}; say which activation it "
        "has with the option activation"
    )


def _graph(root: nn.Module) -> fx.Graph:
    return fx.Tracer().trace(root)


def _before(root: nn.Module, node: fx.Node) -> Callable[[Tensor], Tensor] | None:
    source = node.args[0] if node.args else None
    if not isinstance(source, fx.Node):
        return None
    if source.op == "call_module":
        module = root.get_submodule(str(source.target))
        if isinstance(module, PASSED):
            return _before(root, source)
        return module if type(module).__module__ == "torch.nn.modules.activation" else None
    if source.op == "call_function":
        if source.target in PASSED_FUNCTIONS:
            return _before(root, source)
        return functools.partial(_call, source) if source.target in _ELEMENTWISE else None
    if source.op == "call_method" and source.target in _METHODS:
        return functools.partial(_call, source)
    if source.op == "call_method" and source.target == "contiguous":
        return _before(root, source)
    return None


def _call(node: fx.Node, x: Tensor) -> Tensor:
    """Call what a node calls, with its other arguments."""
    kwargs = {key: value for key, value in node.kwargs.items() if key not in ("inplace", "input")}
    target: Any = node.target if callable(node.target) else getattr(torch, str(node.target))
    found: Tensor = target(x, *node.args[1:], **kwargs)
    return found


def known_name(activation: Callable[[Tensor], Tensor]) -> str | None:
    """The name of the activation that a function is to within 1e-9 on [-10, 10], or None."""
    import numpy as np

    x = np.linspace(-10.0, 10.0, 401)
    y = values_of(activation, x)
    return next((name for name, target in TARGETS.items() if np.abs(values_of(target, x) - y).max() < 1e-9), None)
