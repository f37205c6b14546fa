"""One run of a recipe, with what the model was before and after."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn

import initkit
from initkit._stats import bytes_of
from initkit.slots import slots_of


@dataclass(frozen=True)
class State:
    """What a run may not change unless it says so.

    Attributes:
        bits: the bytes of every tensor that has values, by name.
        attributes: plain attributes of every part of the model, by dotted path.
        parameters: identity, dtype, device, ``requires_grad`` and strides by name.
        gradients: of the parameters, by name.
        aliases: the other names of each tensor.
        modes: whether each part is in training mode.
        random: torch's, numpy's and Python's global random state.
    """

    bits: Mapping[str, bytes]
    attributes: Mapping[str, Any]
    parameters: Mapping[str, tuple[Any, ...]]
    gradients: Mapping[str, Any]
    aliases: Mapping[str, tuple[str, ...]]
    modes: tuple[bool, ...]
    random: tuple[Any, ...]


@dataclass(frozen=True)
class Observed:
    """A run: the model, its report, and the states around it."""

    model: Any
    report: initkit.Report
    before: State
    after: State


def observed(model: Any, apply: Callable[[Any], initkit.Report]) -> Observed:
    """Run and look. Every second part is put into eval mode first, so that a changed mode shows."""
    if isinstance(model, nn.Module):
        for i, module in enumerate(model.modules()):
            module.training = i % 2 == 0
    before = state(model)
    report = apply(model)
    return Observed(model, report, before, state(model))


def state(model: Any) -> State:
    """The state of a model and of the process."""
    is_module = isinstance(model, nn.Module)
    parameters = dict(model.named_parameters()) if is_module else {}
    return State(
        bits(model),
        attributes(model),
        {n: (id(p), p.dtype, p.device, p.requires_grad, p.stride()) for n, p in parameters.items()},
        {n: p.grad for n, p in parameters.items()},
        {name: slot.aliases for name, slot in slots_of(model).items()},
        tuple(module.training for module in model.modules()) if is_module else (),
        random_state(),
    )


def bits(model: Any) -> dict[str, bytes]:
    """The bytes of every tensor that has values, by name."""
    return {
        name: bytes_of(slot.read()).tobytes()
        for name, slot in slots_of(model).items()
        if slot.present and not slot.originals
    }


def attributes(model: Any) -> dict[str, Any]:
    """Plain attributes of every part of a module, or of an estimator; modes are looked at on their own."""
    parts = dict(model.named_modules()) if isinstance(model, nn.Module) else {"": model}
    plain = (bool, int, float, str, type(None))
    return {
        f"{name}.{key}" if name else key: value
        for name, part in parts.items()
        for key, value in vars(part).items()
        if isinstance(value, plain) and key != "training"
    }


def random_state() -> tuple[Any, ...]:
    """torch's, numpy's and Python's global random state."""
    state: Any = np.random.get_state(legacy=False)  # noqa: NPY002 - this is what must not move
    numpy_state = (state["state"]["key"].tobytes(), state["state"]["pos"], state["has_gauss"])
    return (torch.get_rng_state().numpy().tobytes(), numpy_state, random.getstate())


def unequal(a: Mapping[str, Any], b: Mapping[str, Any]) -> list[str]:
    """Names whose values differ, or that only one of them has."""
    return [name for name in {**a, **b} if a.get(name) != b.get(name)]
