"""Message-passing layers of a model: where their weights are, and which operator they apply.

Known PyG layers are described by a function each; others are described by their matrices and probed. A library or a
user adds a layer of their own with :func:`register`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from torch import nn
from torch.nn.parameter import UninitializedParameter
from torch_geometric.nn import MessagePassing
from torch_geometric.nn.conv import (
    GATConv,
    GATv2Conv,
    GCNConv,
    GINConv,
    GINEConv,
    GraphConv,
    SAGEConv,
)

from initkit import PlanError

Role = Literal["message", "inner", "last"]


@dataclass(frozen=True)
class Matrix:
    """One weight matrix of a layer.

    Attributes:
        name: within the layer: ``lin.weight``.
        fan_in: number of inputs of one output.
        fan_out: number of outputs that one input feeds.
        role: ``message`` acts next to the aggregation; ``inner`` and ``last`` follow it inside the layer (GIN's MLP).
    """

    name: str
    fan_in: int
    fan_out: int
    role: Role = "message"


@dataclass(frozen=True)
class Layer:
    """A message-passing layer.

    Attributes:
        name: qualified name in the model.
        module: the layer.
        kind: name of its operator, None where it has to be probed.
        options: of the operator.
        matrices: the weight matrices that carry the signal.
        biases: names of the offsets, within the layer.
        others: names of parameters that no recipe here sets (attention vectors), within the layer.
        d_in: input width.
        d_out: output width.
        averaged: number of independent maps whose mean is the output (attention heads that are not concatenated).
    """

    name: str
    module: nn.Module
    kind: str | None
    matrices: tuple[Matrix, ...]
    biases: tuple[str, ...]
    others: tuple[str, ...]
    d_in: int
    d_out: int
    options: dict[str, Any] = field(default_factory=dict)
    averaged: int = 1

    def full(self, name: str) -> str:
        """Qualified name of a tensor of the layer."""
        return f"{self.name}.{name}" if self.name else name


@dataclass(frozen=True)
class Description:
    """What a describing function says of a layer: its operator and its matrices."""

    kind: str | None
    matrices: tuple[Matrix, ...]
    options: dict[str, Any] = field(default_factory=dict)
    averaged: int = 1


Describe = Callable[[Any], Description]
_DESCRIBED: dict[type[nn.Module], Describe] = {}


def register(layer_class: type[nn.Module]) -> Callable[[Describe], Describe]:
    """Teach the plugin a layer class: decorates a function from the layer to its :class:`Description`.

    Example::

        @register(MyConv)
        def my_conv(layer):
            return Description("rowwise", (linear("theta.weight", layer.theta),))
    """

    def add(describe: Describe) -> Describe:
        _DESCRIBED[layer_class] = describe
        return describe

    return add


def find_layers(model: nn.Module) -> list[Layer]:
    """Return the message-passing layers of a model in registration order; a layer inside another is not listed.

    Raises:
        PlanError: there is none, or one has no sizes yet.
    """
    layers = list(_walk(model, "", set()))
    if not layers:
        raise PlanError(
            f"{type(model).__name__} has no message-passing layer; this recipe needs layers of torch_geometric "
            "(GCNConv, GATConv, SAGEConv, GINConv, GraphConv or another MessagePassing), or ones taught with "
            "initkit_gnn.register"
        )
    return layers


def claimed_matrices(model: Any) -> list[str]:
    """Names of the weight matrices of message-passing layers, [] where there are none."""
    if not isinstance(model, nn.Module):
        return []
    try:
        return [layer.full(matrix.name) for layer in find_layers(model) for matrix in layer.matrices]
    except PlanError:
        return []


def _walk(module: nn.Module, name: str, seen: set[int]) -> Iterator[Layer]:
    if id(module) in seen:
        return
    seen.add(id(module))
    describe = _describer(module)
    if describe is not None:
        yield _layer(module, name, describe)
        return
    for child_name, child in module.named_children():
        yield from _walk(child, f"{name}.{child_name}" if name else child_name, seen)


def _describer(module: nn.Module) -> Describe | None:
    for layer_class in type(module).__mro__:
        if layer_class in _DESCRIBED:
            return _DESCRIBED[layer_class]
    # A MessagePassing without weights (APPNP, LGConv) has nothing to initialise.
    if isinstance(module, MessagePassing) and any(p.ndim >= 2 for p in _parameters(module).values()):
        return _unknown
    return None


def _layer(module: nn.Module, name: str, describe: Describe) -> Layer:
    for parameter_name, parameter in module.named_parameters():
        if isinstance(parameter, UninitializedParameter):
            raise PlanError(
                f"layer {name} ({type(module).__name__}): {parameter_name} has no shape yet; run the model once on the "
                "graph, or build the layer with in_channels"
            )
    try:
        described = describe(module)
    except PlanError as error:
        raise PlanError(f"layer {name} ({type(module).__name__}): {error}") from None
    empty = next((m for m in described.matrices if m.fan_in < 1 or m.fan_out < 1), None)
    if empty is not None:
        raise PlanError(
            f"layer {name} ({type(module).__name__}): {empty.name} is empty: it leads from {empty.fan_in} to "
            f"{empty.fan_out} channels"
        )
    taken = {matrix.name for matrix in described.matrices}
    biases = tuple(
        p for p in _parameters(module) if p not in taken and p.rpartition(".")[2] == "bias" and _is_offset(module, p)
    )
    others = tuple(p for p in _parameters(module) if p not in taken and p not in biases)
    first = next((m for m in described.matrices if m.role == "message"), None)
    if first is None:
        raise PlanError(f"layer {name} ({type(module).__name__}): it has no weight matrix that messages pass through")
    return Layer(
        name=name,
        module=module,
        kind=described.kind,
        options=described.options,
        matrices=described.matrices,
        biases=biases,
        others=others,
        d_in=_width(module, "in_channels", first.fan_in),
        d_out=_d_out(module, described),
        averaged=described.averaged,
    )


def _parameters(module: nn.Module) -> dict[str, nn.Parameter]:
    return dict(module.named_parameters())


def _is_offset(module: nn.Module, name: str) -> bool:
    """Whether a parameter called bias belongs to a layer itself, not to a normalisation inside it."""
    owner = module.get_submodule(name.rpartition(".")[0])
    return owner is module or hasattr(owner, "in_features") or hasattr(owner, "in_channels")


def _width(module: nn.Module, attribute: str, default: int) -> int:
    width = getattr(module, attribute, None)
    if isinstance(width, (tuple, list)):
        width = width[0]
    return width if isinstance(width, int) and width > 0 else default


def _d_out(module: nn.Module, described: Description) -> int:
    last = [m for m in described.matrices if m.role == "last"] or [m for m in described.matrices if m.role == "message"]
    heads = getattr(module, "heads", 1) if getattr(module, "concat", True) else 1
    if isinstance(heads, int) and isinstance(getattr(module, "out_channels", None), int):
        return int(module.out_channels) * heads  # type: ignore[arg-type]
    return last[-1].fan_out


def linear(name: str, layer: Any, role: Role = "message") -> Matrix:
    """Describe the weight of a torch or PyG ``Linear``; both store (out, in).

    Raises:
        PlanError: it is no matrix; names it as the layer does.
    """
    shape = tuple(layer.weight.shape)
    if len(shape) != 2:
        raise PlanError(f"{name} has shape {shape}, expected (out, in)")
    return Matrix(name, fan_in=shape[1], fan_out=shape[0], role=role)


@register(GCNConv)
def _gcn(layer: GCNConv) -> Description:
    options = {
        "add_self_loops": bool(layer.add_self_loops),
        "normalize": bool(layer.normalize),
        "improved": bool(layer.improved),
    }
    return Description("gcn", (linear("lin.weight", layer.lin),), options)


@register(GATConv)
def _gat(layer: GATConv) -> Description:
    matrices: tuple[Matrix, ...]
    if layer.lin is not None:
        matrices = (linear("lin.weight", layer.lin),)
    else:
        matrices = (linear("lin_src.weight", layer.lin_src), linear("lin_dst.weight", layer.lin_dst))
    return _attention(layer, matrices)


@register(GATv2Conv)
def _gatv2(layer: GATv2Conv) -> Description:
    matrices = [linear("lin_l.weight", layer.lin_l)]
    if not layer.share_weights:
        matrices.append(linear("lin_r.weight", layer.lin_r))
    return _attention(layer, tuple(matrices))


def _attention(layer: Any, matrices: tuple[Matrix, ...]) -> Description:
    if getattr(layer, "res", None) is not None:
        # The residual map adds to the aggregation: the probe sees both.
        return Description(None, (*matrices, linear("res.weight", layer.res)))
    averaged = 1 if layer.concat else int(layer.heads)
    options = {"add_self_loops": bool(layer.add_self_loops), "weighted": False}
    return Description("gat", matrices, options, averaged)


@register(SAGEConv)
def _sage(layer: SAGEConv) -> Description:
    matrices = [linear("lin_l.weight", layer.lin_l)]
    if layer.root_weight:
        matrices.append(linear("lin_r.weight", layer.lin_r))
    if layer.project:
        matrices.append(linear("lin.weight", layer.lin, role="inner"))
    aggr = layer.aggr if isinstance(layer.aggr, str) else None
    options = {"aggr": aggr, "root_weight": bool(layer.root_weight), "weighted": False}
    return Description("sage", tuple(matrices), options)


@register(GINConv)
@register(GINEConv)
def _gin(layer: Any) -> Description:
    names = [name for name, module in layer.nn.named_modules() if _is_linear(module)]
    if not names:
        raise PlanError(f"{type(layer).__name__}: its nn holds no Linear layer")
    matrices = []
    for i, name in enumerate(names):
        role: Role = "message" if i == 0 else "last" if i == len(names) - 1 else "inner"
        full = f"nn.{name}.weight" if name else "nn.weight"
        matrices.append(linear(full, layer.nn.get_submodule(name) if name else layer.nn, role))
    # The buffer eps may be on the meta device; its start is kept beside it.
    options = {"eps": float(layer.initial_eps), "aggr": layer.aggr, "weighted": False}
    return Description("gin", tuple(matrices), options)


@register(GraphConv)
def _graphconv(layer: GraphConv) -> Description:
    matrices = (linear("lin_rel.weight", layer.lin_rel), linear("lin_root.weight", layer.lin_root))
    return Description("graphconv", matrices, {"aggr": layer.aggr})


def _is_linear(module: nn.Module) -> bool:
    weight = getattr(module, "weight", None)
    return (
        isinstance(weight, torch.Tensor)
        and weight.ndim == 2
        and (hasattr(module, "in_features") or hasattr(module, "in_channels"))
    )


def _unknown(layer: nn.Module) -> Description:
    """Every matrix of a layer that nobody described: Linear weights (out, in), bare parameters (in, out)."""
    matrices = []
    for name, parameter in _parameters(layer).items():
        owner_name, _, attribute = name.rpartition(".")
        owner = layer.get_submodule(owner_name)
        if _is_linear(owner) and attribute == "weight":
            matrices.append(linear(name, owner))
        elif parameter.ndim == 2 and min(parameter.shape) > 1 and not attribute.startswith("att"):
            fan_in, fan_out = (int(size) for size in parameter.shape)
            matrices.append(Matrix(name, fan_in=fan_in, fan_out=fan_out))
    return Description(None, tuple(matrices))
