"""PyTorch Geometric's and PyTorch's own starts, from reproducible streams."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.nn.modules.batchnorm import _NormBase
from torch.nn.parameter import UninitializedParameter
from torch_geometric.nn import MessagePassing
from torch_geometric.nn.dense.linear import Linear as PygLinear

from initkit import Constant, Fill, Item, Normal, PlanError, Recipe, Uniform


@dataclass(frozen=True)
class PygDefault(Recipe):
    """What PyTorch Geometric and PyTorch start each layer with, from reproducible streams.

    The baseline of the comparisons, and what fills the layers of a model on the meta device that no other recipe
    reaches (``["gnn/pyg_default", "gnn/virgo"]``). Linear layers get U(±1/√fan_in) or, where the layer asks for it,
    Glorot's U(±√(6/(fan_in + fan_out))); offsets of convolutions are 0, of Linear layers U(±1/√fan_in); embeddings
    N(0, 1); normalisations the identity.

    Source: the defaults of torch_geometric 2.8 and torch 2.13; variance 1/(3 fan_in) comes from LeCun et al.,
    Efficient BackProp, 1998, by way of kaiming_uniform with a = √5.
    """

    @classmethod
    def claims(cls, model: Any) -> list[str]:
        """Tensors of message-passing models for which PyG or torch has a rule."""
        if not isinstance(model, nn.Module) or not any(isinstance(m, MessagePassing) for m in model.modules()):
            return []
        return [item.name for item in cls().plan(model) if isinstance(item, Fill)]

    def plan(self, model: nn.Module) -> Iterator[Item]:
        """Yield a fill for each tensor whose default rule is known."""
        if not any(isinstance(m, MessagePassing) for m in model.modules()):
            raise PlanError(f"{type(model).__name__} has no message-passing layer of torch_geometric")
        for name, module in model.named_modules():
            for attribute, tensor in (*module._parameters.items(), *module._buffers.items()):
                if tensor is None or isinstance(tensor, UninitializedParameter):
                    continue
                fill = _rule(module, attribute, tensor)
                if fill is not None:
                    draw, why = fill
                    yield Fill(f"{name}.{attribute}" if name else attribute, draw, why=why)


def _rule(module: nn.Module, attribute: str, tensor: torch.Tensor) -> tuple[Constant | Uniform | Normal, str] | None:
    if isinstance(module, PygLinear):
        return _pyg_linear(module, attribute)
    if isinstance(module, nn.Linear):
        return _fan_in(module.in_features, "torch Linear")
    if isinstance(module, nn.Embedding):
        return Normal(1.0), "torch Embedding"
    if isinstance(module, nn.PReLU):
        return Constant(0.25), "torch PReLU"
    if isinstance(module, (_NormBase, nn.LayerNorm)) or type(module).__module__.startswith("torch_geometric.nn.norm"):
        return _identity(attribute)
    if isinstance(module, MessagePassing):
        return _convolution(module, attribute, tensor)
    return None


def _pyg_linear(module: PygLinear, attribute: str) -> tuple[Constant | Uniform, str]:
    fan_in, fan_out = int(module.in_channels), int(module.out_channels)
    if attribute == "weight" and module.weight_initializer == "glorot":
        return _glorot(fan_in, fan_out)
    if attribute == "bias" and module.bias_initializer == "zeros":
        return Constant(0.0), "PyG: zeros"
    return _fan_in(fan_in, "PyG Linear")


def _convolution(module: nn.Module, attribute: str, tensor: torch.Tensor) -> tuple[Constant | Uniform, str] | None:
    if attribute == "bias":
        return Constant(0.0), "PyG: zeros"
    if attribute == "eps" and hasattr(module, "initial_eps"):
        initial: Any = module.initial_eps
        return Constant(float(initial)), "PyG: eps"
    if attribute.startswith(("att", "weight")) and tensor.ndim >= 2:
        return _glorot(tensor.shape[-2], tensor.shape[-1])
    return None


def _identity(attribute: str) -> tuple[Constant, str] | None:
    values = {"weight": 1, "bias": 0, "running_mean": 0, "running_var": 1, "num_batches_tracked": 0, "mean_scale": 1}
    return (Constant(values[attribute]), "normalisation: identity") if attribute in values else None


def _glorot(a: int, b: int) -> tuple[Uniform, str]:
    bound = math.sqrt(6 / (a + b))
    return Uniform(-bound, bound), f"glorot: ±√(6/({a} + {b}))"


def _fan_in(fan_in: int, words: str) -> tuple[Constant | Uniform, str]:
    if fan_in == 0:
        return Constant(0.0), f"{words}: no input"
    bound = 1 / math.sqrt(fan_in)
    return Uniform(-bound, bound), f"{words}: ±1/√{fan_in}"
