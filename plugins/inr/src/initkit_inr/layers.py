"""The layer plan: a model's linear maps in forward order, each with its activation and where the frequency sits.

    layers = find_layers(model)                      # read from the model
    layers = find_layers(model, activation="sine:30")  # said by the user, where it cannot be read

What is read is what the model computes: its forward pass is followed symbolically and the function between two linear
maps is recognised by its values. Attributes that name a frequency (``omega_0``, ``w0``...) tell where it sits when the
function does not hold it. A model that is not understood is an error that names the layer; nothing is guessed.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Any, TypeAlias

import torch
from annotated_types import Len
from torch import Tensor, fx, nn

from initkit import NeedError, OptionError, PlanError
from initkit_inr.activations import Activation, parse, recognise
from initkit_inr.tracing import CAT, Affine, Trace, Unfollowable

Said: TypeAlias = str | Annotated[tuple[str, ...], Len(1)] | Callable[..., Any] | None
"""What a recipe's option ``activation`` may be."""

_OMEGAS = ("omega_0", "w0", "omega")
_OMEGAS_BY_PLACE = ("first_omega_0", "hidden_omega_0")


@dataclass(frozen=True)
class Source:
    """A part of a layer's input.

    Attributes:
        layer: the index of the layer whose activation it is; None for the model's input (or features of it).
        width: how many units it has.
        scale: what it is multiplied by on the way.
    """

    layer: int | None
    width: int
    scale: float = 1.0


@dataclass(frozen=True)
class Layer:
    """A linear map W x + b and the activation that follows it.

    Attributes:
        index: its place in forward order, from 0.
        name: of the module that owns the weight; ``""`` for the model itself.
        weight, bias: qualified names of the tensors; bias None where there is none.
        n_in, n_out: the widths.
        dtype: of the weight.
        activation: what follows; None for a read-out.
        sources: what its input is made of; one source, or several that are concatenated.
        last: whether no other layer takes its output.
    """

    index: int
    name: str
    weight: str
    bias: str | None
    n_in: int
    n_out: int
    dtype: torch.dtype
    activation: Activation | None
    sources: tuple[Source, ...]
    last: bool

    @property
    def first(self) -> bool:
        """Whether it takes the model's input, or features of it, and nothing else."""
        return all(source.layer is None for source in self.sources)

    @property
    def label(self) -> str:
        """Its name for messages and tables."""
        return self.name or self.weight


class LayerPlan(Sequence[Layer]):
    """The layers in forward order.

    Attributes:
        notes: what a user should know of how they were found.
    """

    def __init__(self, layers: Sequence[Layer], notes: Sequence[str], trace: Trace | None) -> None:
        self._layers, self.notes, self._trace = tuple(layers), list(notes), trace

    def __getitem__(self, i: Any) -> Any:
        """The layer at a place."""
        return self._layers[i]

    def __len__(self) -> int:
        return len(self._layers)

    @property
    def periodic(self) -> list[Layer]:
        """The layers with a sine after them, FINER's included."""
        return [layer for layer in self if layer.activation is not None and layer.activation.periodic]

    def previous(self, layer: Layer) -> Layer:
        """The (first) layer whose activation a layer takes."""
        found: Layer = self[next(source.layer for source in layer.sources if source.layer is not None)]
        return found

    def input_of(self, layer: Layer, coords: Any) -> Tensor:
        """What a first layer is called with: the coordinates, or features that the model makes of them.

        Args:
            layer: one that takes the model's input.
            coords: what the model is called with: a tensor, or arguments as a tuple or dict.

        Returns:
            A float64 tensor (..., n_in).

        Raises:
            NeedError: the model cannot make features of such coordinates, or their number does not fit.
        """
        value: Any = coords
        if self._trace is not None:
            given = arguments(self._trace.model, coords)
            try:
                (value,) = self._trace.values([self._trace.affines[layer.index].input], given)
            except Exception as error:
                raise NeedError(f"coords: {layer.label} cannot be given them: {error}") from error
        found = torch.as_tensor(value).double()
        if found.ndim == 0 or found.shape[-1] != layer.n_in:
            raise NeedError(f"coords: shape {tuple(found.shape)}, but {layer.label} takes {layer.n_in} inputs")
        return found

    def measured(self, inputs: Any) -> list[float] | None:
        """The standard deviation of each layer's z = Wx + b with the weights that the model has now.

        Args:
            inputs: what the model is called with, as in :meth:`input_of`.

        Returns:
            One number a layer; None where the forward pass could not be followed.

        Raises:
            NeedError: the model fails on them.
        """
        if self._trace is None:
            return None
        device = next(self._trace.model.parameters()).device
        given = {
            name: value.to(device) if isinstance(value, Tensor) else value
            for name, value in arguments(self._trace.model, inputs).items()
        }
        try:
            outputs = self._trace.values([affine.node for affine in self._trace.affines], given)
        except Exception as error:
            what = " ".join(str(error).split())[:200]
            raise NeedError(
                f"{type(self._trace.model).__name__} cannot be called with the given points: {what}"
            ) from error
        return [float((z - z.mean()).abs().square().mean().sqrt()) for z in outputs]


def find_layers(model: nn.Module, activation: Said = None, inputs: Any = None) -> LayerPlan:
    """Read a model's layer plan.

    Args:
        model: any module whose forward pass goes through ``nn.Linear`` (or ``F.linear`` on parameters).
        activation: what the user says of the activations, as :func:`initkit_inr.activations.parse` reads it: one for
            all layers but the read-out, one for each, or a function of z; None reads them from the model.
        inputs: what the model is called with, for models whose forward pass asks about its values.

    Returns:
        The layers in the order of execution.

    Raises:
        PlanError: the model has no linear layer, cannot be followed, or a layer's activation is unknown; names it.
        OptionError: ``activation`` is malformed or does not fit the number of layers.
    """
    if not isinstance(model, nn.Module):
        raise PlanError(f"{type(model).__name__} is no nn.Module")
    notes: list[str] = []
    try:
        trace = Trace(model, _example(model) if inputs is None else arguments(model, inputs))
        layers = _chain(trace, said=activation is not None)
    except Unfollowable as error:
        if activation is None:
            raise PlanError(
                f"{error}; give coords or inputs, or say which activations it has (activation=sine:30, or a list "
                "with one for each layer)"
            ) from error
        trace, layers = None, _registered(model)
        notes.append("the forward pass cannot be followed: its layers are taken in the order they are registered in")
    if not layers:
        raise PlanError(f"{type(model).__name__} has no linear layers")
    unused = _unused(model, layers)
    if unused:
        notes.append(f"not reached in the forward pass and left alone: {', '.join(unused)}")
    if activation is not None:
        layers = _as_said(layers, activation, notes)
    elif trace is not None:
        layers = _as_read(trace, layers, model)
    return LayerPlan(layers, notes, trace)


def arguments(model: nn.Module, inputs: Any) -> dict[str, Any]:
    """What a model is called with, by the names of forward's arguments.

    Args:
        model: the model.
        inputs: a tensor for its first argument, a tuple, or a dict by name.
    """
    names = [p.name for p in inspect.signature(model.forward).parameters.values() if p.kind is not p.VAR_KEYWORD]
    if isinstance(inputs, Mapping) and set(inputs) <= set(names):
        return dict(inputs)
    values = inputs if isinstance(inputs, tuple) else (inputs,)
    tensors = [torch.as_tensor(value) if hasattr(value, "__array__") else value for value in values]
    return dict(zip(names, tensors, strict=False))


def _example(model: nn.Module) -> dict[str, Any] | None:
    """Points that answer a model's questions about shapes, where it takes one argument; None where it takes more."""
    required = [p.name for p in inspect.signature(model.forward).parameters.values() if p.default is p.empty]
    widths = [module.in_features for module in model.modules() if isinstance(module, nn.Linear)]
    if len(required) != 1 or not widths:
        return None
    return {required[0]: torch.zeros(8, widths[0])}


def _chain(trace: Trace, said: bool) -> list[Layer]:
    index = {affine.weight: i for i, affine in enumerate(trace.affines)}
    consumed: set[str] = set()
    found: list[Layer] = []
    for i, affine in enumerate(trace.affines):
        sources = []
        for node, origins in _branches(trace, affine, said):
            consumed |= {origin.weight for origin in origins}
            if origins:
                sources.append(Source(index[origins[0].weight], origins[0].n_out))
            else:
                sources.append(Source(None, 0, _factor(trace, node, affine.n_in)))
        rest = affine.n_in - sum(source.width for source in sources)
        if rest and any(source.layer is None for source in sources):
            place = next(k for k, source in enumerate(sources) if source.layer is None)
            sources[place] = replace(sources[place], width=rest)
        elif rest and not said:
            raise PlanError(f"{_label(affine)} takes {affine.n_in} inputs, but they come from {affine.n_in - rest}")
        found.append(
            Layer(
                i,
                affine.name,
                affine.weight,
                affine.bias,
                affine.n_in,
                affine.n_out,
                affine.dtype,
                None,
                tuple(sources),
                False,
            )
        )
    return [replace(layer, last=layer.weight not in consumed) for layer in found]


def _branches(trace: Trace, affine: Affine, said: bool) -> list[tuple[fx.Node, list[Affine]]]:
    """The parts of a layer's input, each with the layer that it is made of ([] for the model's input)."""
    whole = affine.input
    parts = [whole]
    if whole.op == "call_function" and whole.target in CAT and isinstance(whole.args[0], (list, tuple)):
        parts = [part for part in whole.args[0] if isinstance(part, fx.Node)]
    found = []
    for part in parts:
        origins, raw = trace.origins(part)
        if len(origins) > 1 or (origins and raw):
            names = [_label(one) for one in origins] + (["the model's input"] if raw else [])
            if not said:
                raise PlanError(
                    f"{_label(affine)}: its input mixes {' and '.join(names)}, so no single activation precedes it; "
                    "if a plain chain of layers describes it well enough, say the activations (activation=sine:30)"
                )
            origins = origins[-1:]
        found.append((part, origins))
    return found


def _factor(trace: Trace, node: fx.Node, width: int) -> float:
    """What the model multiplies its input by before a first layer; 1 where it makes other features of it."""
    placeholders = [argument for argument in trace.arguments if argument is node or argument in _above(node)]
    if len(placeholders) != 1 or placeholders[0] is node:
        return 1.0
    try:
        fn = trace.function(node, placeholders[0], width)
    except PlanError:
        return 1.0
    points = torch.tensor([-1.7, -0.4, 0.3, 1.0], dtype=torch.float64)
    values = fn(points)
    factor = float(values[-1].detach().real)
    return float(f"{factor:.7g}") if factor and torch.allclose(values, points * factor, rtol=1e-6) else 1.0


def _above(node: fx.Node) -> set[fx.Node]:
    seen: set[fx.Node] = set()
    stack = [node]
    while stack:
        at = stack.pop()
        if at not in seen:
            seen.add(at)
            stack.extend(at.all_input_nodes)
    return seen


def _as_read(trace: Trace, layers: list[Layer], model: nn.Module) -> list[Layer]:
    found = list(layers)
    for layer in layers:
        affine = trace.affines[layer.index]
        read: Activation | None = None
        for after in layers:
            for k, source in enumerate(after.sources):
                if source.layer != layer.index:
                    continue
                node, _ = _branches(trace, trace.affines[after.index], said=False)[k]
                one, amplitude = _recognised(trace, node, affine, layer)
                if read is not None and (one.kind, one.omega, one.scale) != (read.kind, read.omega, read.scale):
                    raise PlanError(f"{layer.label}: its output goes through {read} on one way and {one} on another")
                read = one
                sources = list(found[after.index].sources)
                sources[k] = replace(source, scale=amplitude)
                found[after.index] = replace(found[after.index], sources=tuple(sources))
        if layer.last:
            read = _at_the_end(trace, affine)
        found[layer.index] = replace(found[layer.index], activation=read)
    return _shared([_placed(layer, model) for layer in found])


def _shared(layers: list[Layer]) -> list[Layer]:
    """Layers whose own activations have the same values get one object for it, so that its moments are found once."""
    points = torch.linspace(-3.1, 3.3, 65, dtype=torch.float64)
    known: list[tuple[Tensor, Activation]] = []
    found = []
    for layer in layers:
        one = layer.activation
        if one is not None and one.kind == "custom":
            values = one(points).detach()
            same = next((other for seen, other in known if torch.equal(seen, values)), None)
            if same is None:
                known.append((values, one))
            else:
                layer = replace(layer, activation=same)
        found.append(layer)
    return found


def _recognised(trace: Trace, node: fx.Node, affine: Affine, layer: Layer) -> tuple[Activation, float]:
    try:
        return recognise(trace.function(node, affine.node, affine.n_out))
    except PlanError as error:
        raise PlanError(
            f"{layer.label}: the activation after it is unknown: {error}; say it (activation=sine:30, a list with one "
            "for each layer, or a function)"
        ) from error


def _at_the_end(trace: Trace, affine: Affine) -> Activation | None:
    """A sine (or another activation of coordinate networks) after the last layer; None for anything else."""
    if trace.output is None or trace.origins(trace.output) != ([affine], False):
        return None
    try:
        found, _ = recognise(trace.function(trace.output, affine.node, affine.n_out))
    except PlanError:
        return None  # whatever is made of the output is no matter of its start
    return found if found.kind in ("sine", "finer", "gauss", "wire") else None


def _placed(layer: Layer, model: nn.Module) -> Layer:
    """Where a sine's frequency sits: in the function, before the linear map, or in the weights."""
    activation = layer.activation
    if activation is None or not activation.periodic or activation.omega != 1:
        return layer
    factors = {source.scale for source in layer.sources}
    if factors != {1.0}:
        return replace(layer, activation=replace(activation, omega=max(factors), placement="input"))
    said = _attribute(layer, model)
    if said is not None and said != 1:
        return replace(layer, activation=replace(activation, omega=said, placement="folded"))
    return layer


def _attribute(layer: Layer, model: nn.Module) -> float | None:
    """A frequency that the module around a linear map names in an attribute."""
    parts = layer.name.split(".") if layer.name else []
    for depth in range(len(parts), -1, -1):
        owner = model.get_submodule(".".join(parts[:depth]))
        by_place = _OMEGAS_BY_PLACE[0 if layer.first else 1]
        for name in (*_OMEGAS, by_place) if depth >= len(parts) - 1 else (by_place,):
            value = getattr(owner, name, None)
            if isinstance(value, Tensor) and value.numel() == 1 and not value.is_meta:
                value = float(value)
            if isinstance(value, (int, float)) and not isinstance(value, bool) and value > 0:
                return float(value)
    return None


def _as_said(layers: list[Layer], activation: Said, notes: list[str]) -> list[Layer]:
    inner = [layer for layer in layers if not layer.last]
    if isinstance(activation, str):
        each = [parse(activation)] * len(inner)
    elif isinstance(activation, tuple):
        each = [parse(one) for one in activation]
        if len(each) not in (len(inner), len(layers)):
            raise OptionError(
                f"activation lists {len(each)}; the model has {len(layers)} linear layers, {len(inner)} before the "
                f"read-out: {', '.join(layer.label for layer in layers)}"
            )
    else:
        assert activation is not None
        each = [recognise(_elementwise(activation))[0]] * len(inner)
    given = inner if len(each) == len(inner) else layers
    by_index = {layer.index: one for layer, one in zip(given, each, strict=True)}
    found = []
    for layer in layers:
        one = by_index.get(layer.index)
        sources = layer.sources
        if one is not None and one.placement == "input":
            sources = tuple(replace(source, scale=one.omega) for source in sources)
        found.append(replace(layer, activation=one, sources=sources))
    return found


def _elementwise(fn: Callable[..., Any]) -> Callable[[Tensor], Tensor]:
    probe = torch.linspace(-1, 1, 6, dtype=torch.float64)
    value = fn(probe)
    if not isinstance(value, Tensor) or value.shape != probe.shape:
        shape = tuple(value.shape) if isinstance(value, Tensor) else type(value).__name__
        raise OptionError(f"activation: the function is not elementwise: it makes {shape} of shape (6,)")
    return fn


def _registered(model: nn.Module) -> list[Layer]:
    linears = [(name, module) for name, module in model.named_modules() if isinstance(module, nn.Linear)]
    found = []
    for i, (name, module) in enumerate(linears):
        prefix = f"{name}." if name else ""
        found.append(
            Layer(
                i,
                name,
                f"{prefix}weight",
                f"{prefix}bias" if module.bias is not None else None,
                module.in_features,
                module.out_features,
                module.weight.dtype,
                None,
                (Source(i - 1 if i else None, module.in_features),),
                i == len(linears) - 1,
            )
        )
    return found


def _unused(model: nn.Module, layers: list[Layer]) -> list[str]:
    used = {layer.weight for layer in layers}
    return [
        name
        for name, module in model.named_modules()
        if isinstance(module, nn.Linear) and (f"{name}.weight" if name else "weight") not in used
    ]


def _label(affine: Affine) -> str:
    return affine.name or affine.weight
