"""What a model is called with, and how it is cut into samples."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from initkit.errors import ProbeError


@dataclass(frozen=True)
class Inputs:
    """Arguments of a model's forward.

    Attributes:
        args: by position.
        kwargs: by name.
    """

    args: tuple[Any, ...] = ()
    kwargs: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, given: Any, device: torch.device) -> Inputs:
        """Read what a user gives: a tensor or array, a tuple or list (by position), a mapping (by name), or any object.

        Args:
            given: the inputs; arrays become tensors.
            device: where tensors are put.
        """

        def ready(value: Any) -> Any:
            if isinstance(value, np.ndarray):
                value = torch.from_numpy(value)
            return value.to(device) if hasattr(value, "to") and callable(value.to) else value

        if isinstance(given, Mapping):
            return cls((), {str(name): ready(value) for name, value in given.items()})
        if isinstance(given, (tuple, list)):
            return cls(tuple(ready(value) for value in given), {})
        return cls((ready(given),), {})

    def __str__(self) -> str:
        parts = [_words(value) for value in self.args]
        parts += [f"{name}={_words(value)}" for name, value in self.kwargs.items()]
        return ", ".join(parts) or "nothing"

    @property
    def tensors(self) -> list[Tensor]:
        """The tensors among the arguments."""
        return [value for value in (*self.args, *self.kwargs.values()) if isinstance(value, Tensor)]

    @property
    def signal(self) -> Tensor | None:
        """The first floating or complex tensor: what is differentiated; None where all are whole numbers."""
        return next((t for t in self.tensors if t.is_floating_point() or t.is_complex()), None)

    @property
    def samples(self) -> int | None:
        """Length of the first tensor, which counts samples where they do not interact."""
        return next((len(t) for t in self.tensors if t.ndim), None)

    def mapped(self, change: Callable[[Tensor], Tensor]) -> Inputs:
        """The inputs with each tensor changed."""

        def one(value: Any) -> Any:
            return change(value) if isinstance(value, Tensor) else value

        return Inputs(tuple(map(one, self.args)), {name: one(value) for name, value in self.kwargs.items()})

    def replaced(self, old: Tensor, new: Tensor) -> Inputs:
        """The inputs with one tensor replaced."""
        return self.mapped(lambda tensor: new if tensor is old else tensor)

    def rows(self, start: int, stop: int) -> Inputs:
        """Samples ``start`` to ``stop`` of every tensor that is as long as the first one."""
        count = self.samples
        return self.mapped(lambda t: t[start:stop] if t.ndim and len(t) == count else t)


def real(tensor: Tensor) -> Tensor:
    """A complex tensor as its components; any other as it is."""
    return torch.view_as_real(tensor) if tensor.is_complex() else tensor


def first_tensor(found: Any) -> Tensor | None:
    """The first floating or complex tensor of an output: itself, or within tuples, mappings and dataclasses."""
    if isinstance(found, Tensor):
        return found if found.is_floating_point() or found.is_complex() else None
    if isinstance(found, Mapping):
        found = list(found.values())
    elif not isinstance(found, Sequence) and hasattr(found, "__dict__"):
        found = list(vars(found).values())
    if isinstance(found, Sequence) and not isinstance(found, (str, bytes)):
        return next((t for part in found if (t := first_tensor(part)) is not None), None)
    return None


def output_of(found: Any) -> Tensor:
    """The tensor that a model answers with: ``logits`` where it has one, else its first floating tensor.

    Raises:
        ProbeError: there is none.
    """
    logits = found.get("logits") if isinstance(found, Mapping) else getattr(found, "logits", None)
    tensor = first_tensor(logits) if logits is not None else None
    tensor = first_tensor(found) if tensor is None else tensor
    if tensor is None:
        raise ProbeError(f"the model answers with {type(found).__name__}, which holds no floating-point tensor")
    return tensor


def _words(value: Any) -> str:
    if isinstance(value, Tensor):
        return f"{str(value.dtype).removeprefix('torch.')} {tuple(value.shape)}"
    return type(value).__name__
