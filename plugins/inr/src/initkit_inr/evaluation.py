"""Compute single values of a followed model."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, fx, nn

from initkit import PlanError

_ON_META = "it reads values that are on the meta device"


class Unfollowable(PlanError):
    """The model's forward pass cannot be followed."""


class Evaluator:
    """Computes single values of a graph.

    Args:
        model: the graph's model.
        constants: tensors made in its forward pass, by name.
        double: compute in float64, with copies of the modules.
    """

    def __init__(self, model: nn.Module, constants: Mapping[str, Tensor], *, double: bool) -> None:
        self._model, self._constants, self._double = model, constants, double
        self._copies: dict[str, nn.Module] = {}

    def __call__(self, node: fx.Node, known: Mapping[fx.Node, Any], inputs: Mapping[str, Any]) -> Any:
        """The value of ``node``, given those of some nodes and of the model's arguments by name."""
        values = dict(known)
        stack = [node]
        while stack:
            at = stack[-1]
            if at in values:
                stack.pop()
                continue
            missing = [one for one in at.all_input_nodes if one not in values]
            if missing:
                stack.extend(missing)
                continue
            values[at] = self._compute(at, values, inputs)
            stack.pop()
        return values[node]

    def _compute(self, node: fx.Node, values: Mapping[fx.Node, Any], inputs: Mapping[str, Any]) -> Any:
        if node.op == "placeholder":
            name = str(node.target)
            if name not in inputs:
                raise Unfollowable(f"the value of its argument {name!r} is needed: give coords or inputs")
            return self._cast(inputs[name])
        if node.op == "get_attr":
            name = str(node.target)
            value = self._constants[name] if name in self._constants else attribute_at(self._model, name)
            return self._cast(value)
        args = fx.node.map_arg(node.args, lambda one: values[one])
        kwargs = fx.node.map_arg(node.kwargs, lambda one: values[one])
        if node.op == "call_module":
            return self._module(str(node.target))(*args, **kwargs)
        if node.op == "call_method":
            return getattr(args[0], str(node.target))(*args[1:], **kwargs)
        if node.op == "call_function" and callable(node.target):
            return node.target(*args, **kwargs)
        raise Unfollowable(f"an operation of kind {node.op}")

    def _cast(self, value: Any) -> Any:
        if not self._double:
            return value
        if isinstance(value, Mapping):
            return {key: self._cast(one) for key, one in value.items()}
        if isinstance(value, (list, tuple)):
            return type(value)(self._cast(one) for one in value)
        if not isinstance(value, Tensor):
            return value
        if value.is_meta:
            raise PlanError(_ON_META)
        return _widened(value.detach())

    def _module(self, name: str) -> nn.Module:
        module = self._model.get_submodule(name)
        if not self._double:
            return module
        if name not in self._copies:
            if any(one.is_meta for one in (*module.parameters(), *module.buffers())):
                raise PlanError(_ON_META)
            copied = copy.deepcopy(module).eval()
            for tensor in (*copied.parameters(), *copied.buffers()):
                tensor.data = _widened(tensor.data)
            self._copies[name] = copied
        return self._copies[name]


def _widened(value: Tensor) -> Tensor:
    """In double precision, where it is no integer."""
    if value.is_complex():
        return value.to(torch.complex128)
    return value.double() if value.is_floating_point() else value


def attribute_at(model: nn.Module, path: str) -> Any:
    """What a dotted path from a model leads to."""
    value: Any = model
    for part in path.split("."):
        value = getattr(value, part)
    return value
