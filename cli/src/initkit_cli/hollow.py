"""Building a model on the meta device, where its size costs nothing."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

_DRAWS = frozenset(
    {"normal_", "uniform_", "trunc_normal_", "random_", "exponential_", "bernoulli_", "cauchy_", "log_normal_"}
)


@contextlib.contextmanager
def hollow() -> Iterator[None]:
    """Context in which new tensors have shapes but no values, and drawing into them does nothing."""
    with torch.device("meta"), _WithoutDraws():
        yield


class _WithoutDraws(TorchFunctionMode):
    """Leaves out random draws into tensors without values: some of them import torch's compiler to do nothing."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if getattr(func, "__name__", "") in _DRAWS:
            tensor = args[0] if args else (kwargs or {}).get("tensor")
            if isinstance(tensor, Tensor) and tensor.is_meta:
                return tensor
        return func(*args, **(kwargs or {}))
