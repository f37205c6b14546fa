"""Leave a model and the global random state as they were."""

from __future__ import annotations

import contextlib
import random
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import nn


@contextlib.contextmanager
def random_state(seed: int | None = None) -> Iterator[None]:
    """Restore torch's, numpy's and Python's global random state on leaving.

    Args:
        seed: what to seed them with on entering; None leaves them as they are.
    """
    python, numpy_state = random.getstate(), np.random.get_state()  # noqa: NPY002 - libraries use it
    with torch.random.fork_rng(devices=_cuda_devices()):
        if seed is not None:
            random.seed(seed)
            np.random.seed(seed % 2**32)  # noqa: NPY002
            torch.manual_seed(seed)
        try:
            yield
        finally:
            random.setstate(python)
            np.random.set_state(numpy_state)  # noqa: NPY002


def _cuda_devices() -> list[int]:
    # Asking for a state initialises CUDA, so only a process that uses it already is asked.
    return list(range(torch.cuda.device_count())) if torch.cuda.is_initialized() else []  # type: ignore[no-untyped-call]


@contextlib.contextmanager
def undisturbed(model: Any, *, train: bool = False, grad: bool = False) -> Iterator[Any]:
    """Run a model without leaving a trace: modes, buffers, gradients and random state are restored.

    Args:
        model: an ``nn.Module``, or anything else, which is passed through.
        train: the mode to run it in.
        grad: whether autograd records.
    """
    if not isinstance(model, nn.Module):
        with random_state():
            yield model
        return
    modes = [(module, module.training) for module in model.modules()]
    buffers = [(buffer, buffer.detach().clone()) for buffer in model.buffers() if not buffer.is_meta]
    gradients = [(parameter, parameter.grad) for parameter in model.parameters()]
    with random_state(), torch.set_grad_enabled(grad):
        try:
            model.train(train)
            yield model
        finally:
            for module, mode in modes:
                module.training = mode
            with torch.no_grad():
                for buffer, value in buffers:
                    if not torch.equal(buffer, value) or buffer.is_floating_point():
                        buffer.copy_(value)
            for parameter, gradient in gradients:
                parameter.grad = gradient
