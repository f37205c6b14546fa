"""The layer plan: a model's linear maps in forward order, each with its activation and where the frequency sits.

    layers = find_layers(model)                      # read from the model
    layers = find_layers(model, activation="sine:30")  # said by the user, where it cannot be read

What is read is what the model computes: its forward pass is followed symbolically and the function between two linear
maps is recognised by its values. Attributes that name a frequency (``omega_0``, ``w0``...) tell where it sits when the
function does not hold it. A model that is not understood is an error that names the layer; nothing is guessed.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from initkit import NeedError, PlanError
from initkit_inr.evaluation import Unfollowable
from initkit_inr.reading import as_read, chain
from initkit_inr.saying import Said, as_said, registered
from initkit_inr.structure import Layer, Source
from initkit_inr.tracing import Trace

__all__ = ["Layer", "LayerPlan", "Said", "Source", "arguments", "find_layers"]


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
        layers = chain(trace, said=activation is not None)
    except Unfollowable as error:
        if activation is None:
            raise PlanError(
                f"{error}; give coords or inputs, or say which activations it has (activation=sine:30, or a list "
                "with one for each layer)"
            ) from error
        trace, layers = None, registered(model)
        notes.append("the forward pass cannot be followed: its layers are taken in the order they are registered in")
    if not layers:
        raise PlanError(f"{type(model).__name__} has no linear layers")
    unused = _unused(model, layers)
    if unused:
        notes.append(f"not reached in the forward pass and left alone: {', '.join(unused)}")
    if activation is not None:
        layers = as_said(layers, activation)
    elif trace is not None:
        layers = as_read(trace, layers, model)
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


def _unused(model: nn.Module, layers: list[Layer]) -> list[str]:
    used = {layer.weight for layer in layers}
    return [
        name
        for name, module in model.named_modules()
        if isinstance(module, nn.Linear) and (f"{name}.weight" if name else "weight") not in used
    ]
