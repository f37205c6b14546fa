"""Singular values of the input-output Jacobian: dynamical isometry is all of them near 1."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

from initkit.probes import Table, Verdict
from initkit.probing.inputs import Inputs, output_of, real
from initkit.probing.scene import NotMeasured, Scene, signs

EXACT_OUTPUTS = 64
_EXACT_ENTRIES = 1 << 24  # of all the Jacobians together
_SAMPLES = 32
_DIRECTIONS, _STEPS = 8, 20


def jacobian(scene: Scene) -> Iterator[Table | Verdict]:
    """Yield the spread of the Jacobian's singular values, in evaluation mode.

    Exact, sample by sample, where samples do not interact and have at most 64 outputs. Otherwise over the whole batch:
    the mean squared singular value E_v‖Jᵀv‖²/n with 8 vectors v of signs, the largest one by 20 power steps.
    """
    inputs = scene.given_inputs()
    signal = inputs.signal
    if signal is None:
        raise NotMeasured("inputs are whole numbers, which cannot be differentiated")
    values = exact(scene, inputs, signal)
    if values is not None:
        yield from _exact_rows(values)
        return
    mean, largest = _estimated(scene, inputs, signal)
    rows: list[dict[str, Any]] = [
        {"measure": "Jacobian: mean squared singular value", "value": mean},
        {"measure": "Jacobian: largest singular value", "value": largest},
    ]
    yield Table("model", rows, compare=("value",))
    if not (math.isfinite(mean) and mean > 1e-12):
        yield Verdict("FAIL", f"outputs do not depend on inputs (mean squared singular value {mean:.3g})")


def exact(scene: Scene, inputs: Inputs, signal: Tensor) -> Tensor | None:
    """Singular values (samples, outputs) of each sample's Jacobian, or None where they are estimated instead."""
    try:
        if signal.is_complex() or scene.samples_interact:
            return None
    except NotMeasured:
        return None
    few = inputs.rows(0, _SAMPLES)
    part = few.signal
    assert part is not None
    with scene.undisturbed(grad=True) as model:
        x = part.detach().clone().requires_grad_()
        out = output_of(scene.call(model, few.replaced(part, x)))
        out = out.reshape(len(out), -1)  # a model may give one number a sample
        if out.is_complex() or out.shape[1] > EXACT_OUTPUTS or out.shape[1] * x.numel() > _EXACT_ENTRIES:
            return None
        rows = []
        for column in range(out.shape[1]):
            (found,) = torch.autograd.grad(out[:, column].sum(), x, retain_graph=True, allow_unused=True)
            rows.append(torch.zeros_like(x) if found is None else found)
        matrices = torch.stack([row.reshape(len(row), -1) for row in rows], 1)
    values: Tensor = torch.linalg.svdvals(matrices.double())
    return values


def _exact_rows(values: Tensor) -> Iterator[Table | Verdict]:
    by_index = values.mean(0)
    squared = float(values.square().mean())
    smallest = float(by_index[-1])
    condition = float(by_index[0]) / smallest if smallest > 0 else math.inf
    rows: list[dict[str, Any]] = [
        {"measure": "Jacobian: mean squared singular value", "value": squared},
        {"measure": "Jacobian: largest singular value", "value": float(by_index[0])},
        {"measure": "Jacobian: smallest singular value", "value": smallest},
        {"measure": "Jacobian: condition number", "value": condition if math.isfinite(condition) else None},
    ]
    yield Table("model", rows, compare=("value",))
    spread = [{"index": i + 1, "singular value": float(v)} for i, v in enumerate(by_index)]
    if len(spread) > 1:
        yield Table("jacobian", spread, words=f"mean over {len(values)} samples; near 1 is dynamical isometry")
    if not (math.isfinite(squared) and squared > 1e-12):
        yield Verdict("FAIL", f"outputs do not depend on inputs (mean squared singular value {squared:.3g})")


def _estimated(scene: Scene, inputs: Inputs, signal: Tensor) -> tuple[float, float]:
    # Only the plain kernel of attention can be differentiated twice.
    with scene.undisturbed(grad=True) as model, sdpa_kernel(SDPBackend.MATH):
        x = signal.detach().clone().requires_grad_()
        out = output_of(scene.call(model, inputs.replaced(signal, x)))
        out = real(out).reshape(-1)

        def back(v: Tensor) -> Tensor:
            (found,) = torch.autograd.grad(out, x, v, retain_graph=True, allow_unused=True)
            return torch.zeros_like(x) if found is None else found

        total = 0.0
        for i in range(_DIRECTIONS):
            total += float(torch.linalg.vector_norm(back(signs(scene.stream(f"jacobian{i}"), out))).double() ** 2)
        mean = total / _DIRECTIONS / out.numel()
        return mean, _largest(scene, out, x)


def _largest(scene: Scene, out: Tensor, x: Tensor) -> float:
    """The largest singular value by power steps on J Jᵀ; J u comes from differentiating Jᵀv by v."""
    v = signs(scene.stream("power"), out)
    v = v / torch.linalg.vector_norm(v)
    dummy = torch.zeros_like(out, requires_grad=True)
    (pulled,) = torch.autograd.grad(out, x, dummy, create_graph=True, allow_unused=True)
    if pulled is None or not pulled.requires_grad:
        return 0.0
    size = 0.0
    for _ in range(_STEPS):
        (u,) = torch.autograd.grad(out, x, v, retain_graph=True)
        size = float(torch.linalg.vector_norm(u))
        if not math.isfinite(size) or size == 0:
            return size
        (w,) = torch.autograd.grad(pulled, dummy, u / size, retain_graph=True)
        v = w / torch.linalg.vector_norm(w)
    return size
