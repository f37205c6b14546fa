"""The loss at the start, against that of a model which answers nothing."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import torch

from initkit._guard import random_state
from initkit.probes import Table, Verdict
from initkit.probing.inputs import first_tensor
from initkit.probing.scene import NotMeasured, Scene

FAR = 2.0
"""A start this many times above the uninformed loss has to unlearn first."""


def loss(scene: Scene) -> Iterator[Table | Verdict]:
    """Yield the loss at the start and the uninformed value: the loss when the model answers 0 everywhere.

    For cross-entropy that is log C, for the squared error the targets' mean square.
    """
    if scene.loss_function() is None:
        raise NotMeasured("needs a loss: define loss(model) or 'targets' in model.py, or give loss=... or targets=...")
    start = scene.recorded.loss
    assert start is not None
    uninformed = uninformed_loss(scene)
    rows: list[dict[str, Any]] = [
        {"measure": "loss at the start", "value": start},
        {"measure": "loss of the answer 0 everywhere", "value": uninformed},
    ]
    yield Table("model", rows, compare=("value",))
    if not math.isfinite(start):
        yield Verdict("FAIL", f"the loss at the start is {start}")
    elif uninformed is not None and 0 < FAR * uninformed < start:
        yield Verdict(
            "WARN", f"the loss starts at {start:.3g}, {start / uninformed:.3g}x that of the answer 0 ({uninformed:.3g})"
        )


def uninformed_loss(scene: Scene) -> float | None:
    """The loss when the first floating tensor of the model's output is 0; the model itself is not changed.

    None where the loss does not call the model as a whole.
    """
    found = scene.loss_function()
    assert found is not None
    called = False

    def silence(module: torch.nn.Module, given: object, out: object) -> object:
        nonlocal called
        called = True
        tensor = first_tensor(out)
        if tensor is not None:
            with torch.no_grad():
                tensor.detach().zero_()
        return out

    with random_state(scene.seed), scene.undisturbed(train=True) as model:
        handle = model.register_forward_hook(silence)
        try:
            value = float(found(model))
            return value if called else None
        finally:
            handle.remove()
