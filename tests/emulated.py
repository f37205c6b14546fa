"""A device that is emulated on the CPU: it keeps its tensors apart from the CPU's, as a GPU does.

A tensor on it holds one on the CPU, on which every operation runs; an operation that mixes devices fails in the words
of CUDA, and numpy cannot read it. So what runs here runs on a GPU as far as devices are concerned, autograd included.
"""

from __future__ import annotations

import collections
import contextlib
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch.utils import backend_registration
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_iter, tree_map

NAME = "emulated"
# What copies between devices, or takes indices and numbers from the CPU.
_ACROSS = {"copy_", "_to_copy", "index", "index_put", "index_put_", "_index_put_impl_"}


class There(torch.Tensor):
    """A tensor on the emulated device."""

    @staticmethod
    def __new__(cls, here: torch.Tensor) -> There:
        dense = here.layout == torch.strided
        strided = {"strides": here.stride(), "storage_offset": here.storage_offset()} if dense else {}
        return torch.Tensor._make_wrapper_subclass(  # type: ignore[attr-defined,no-any-return]
            cls, here.size(), dtype=here.dtype, layout=here.layout, device=torch.device(NAME, 0), **strided
        )

    def __init__(self, here: torch.Tensor) -> None:
        self.here = here

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return _run(func, args, kwargs or {})

    def __repr__(self) -> str:  # type: ignore[override]
        return f"{self.here!r} on {NAME}"

    def numpy(self, *, force: bool = False) -> Any:
        raise TypeError(f"can't convert {NAME}:0 device type tensor to numpy. Use Tensor.cpu() first")

    def tolist(self) -> Any:
        return self.here.tolist()

    def __array__(self, dtype: Any = None) -> Any:
        return self.numpy()


class Device(TorchDispatchMode):
    """Context in which the device ``emulated`` is there; counts the elements that operations made on it.

    Attributes:
        work: operation's name -> elements of what it gave, on the device.
        elsewhere: the same on the CPU.
    """

    def __init__(self) -> None:
        super().__init__()
        self.work: collections.Counter[str] = collections.Counter()
        self.elsewhere: collections.Counter[str] = collections.Counter()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = _run(func, args, kwargs or {})
        for tensor in tree_iter(out):
            if isinstance(tensor, torch.Tensor):
                (self.work if isinstance(tensor, There) else self.elsewhere)[_name(func)] += tensor.numel()
        return out


class _Backend(backend_registration._DummyBackendModule):
    """To be seen inside :func:`emulated_device` alone, lest others take it for an accelerator of the machine."""

    there = False

    def is_available(self) -> bool:
        return self.there

    def device_count(self) -> int:
        return int(self.there)


class _Hook(backend_registration._DummyPrivateUse1Hook):
    def is_available(self) -> bool:
        return _Backend.there


def register() -> None:
    """Let torch know the device, once, before anything is differentiated: autograd counts devices when it starts."""
    if not hasattr(torch, NAME):
        backend_registration._setup_privateuseone_for_python_backend(NAME, _Backend(), _Hook())


@contextlib.contextmanager
def emulated_device() -> Iterator[Device]:
    """Context with the emulated device."""
    register()
    lifted = torch._C._only_lift_cpu_tensors()
    torch._C._set_only_lift_cpu_tensors(True)  # torch.tensor makes its numbers on the CPU, then moves them
    _Backend.there = True
    try:
        with Device() as device:
            yield device
    finally:
        _Backend.there = False
        torch._C._set_only_lift_cpu_tensors(lifted)


def _name(func: Any) -> str:
    return str(func.overloadpacket.__name__)


def _run(func: Any, args: Any, kwargs: dict[str, Any]) -> Any:
    name, target = _name(func), kwargs.get("device")
    tensors = [x for x in tree_iter((args, kwargs)) if isinstance(x, torch.Tensor)]
    there = any(isinstance(x, There) for x in tensors)
    if there and name not in _ACROSS and any(not isinstance(x, There) and x.dim() for x in tensors):
        raise RuntimeError(
            f"Expected all tensors to be on the same device, but found at least two devices, {NAME}:0 and cpu! "
            f"(when running {name})"
        )
    if name in ("index_put_", "_index_put_impl_") and isinstance(args[2], There) != isinstance(args[0], There):
        raise RuntimeError(f"{name}: values and the tensor must be on the same device")
    here_args, here_kwargs = tree_map(lambda x: x.here if isinstance(x, There) else x, (args, kwargs))
    if target is not None:
        here_kwargs["device"] = torch.device("cpu") if torch.device(target).type == NAME else target
    if there and name == "sqrt_" and here_args[0].dtype == torch.float64:
        np.sqrt(here_args[0].numpy(), out=here_args[0].numpy())  # exact as on a GPU, which MKL's is not
        return args[0]
    out = func(*here_args, **here_kwargs)
    if "out" in kwargs:
        return kwargs["out"]
    if func._schema.is_mutable and func._schema.returns and func._schema.returns[0].alias_info is not None:
        return args[0]  # an operation in place
    if not (there if target is None else torch.device(target).type == NAME):
        return out
    return tree_map(lambda x: There(x) if isinstance(x, torch.Tensor) else x, out)
