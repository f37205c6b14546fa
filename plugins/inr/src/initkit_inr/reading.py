"""Read a layer plan from a followed model: which layer feeds which, through which activation."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor, fx, nn

from initkit import PlanError
from initkit_inr.activations import Activation, recognise
from initkit_inr.structure import Layer, Source
from initkit_inr.tracing import CAT, Affine, Trace

_OMEGAS = ("omega_0", "w0", "omega")
_OMEGAS_BY_PLACE = ("first_omega_0", "hidden_omega_0")


def chain(trace: Trace, said: bool) -> list[Layer]:
    """The layers of a followed model with what feeds each, activations left out.

    Args:
        trace: the followed model.
        said: whether the user says the activations, and with them that a chain describes the model.

    Raises:
        PlanError: a layer's input is no plain activation of one layer, nor several of them side by side.
    """
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


def as_read(trace: Trace, layers: list[Layer], model: nn.Module) -> list[Layer]:
    """The layers with the activations that the model computes.

    Raises:
        PlanError: an activation is unknown; names the layer.
    """
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
    factors = {abs(source.scale) for source in layer.sources}
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


def _label(affine: Affine) -> str:
    return affine.name or affine.weight
